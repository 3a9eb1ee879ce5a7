//! What is known at the start of a block of the optimised function.

use super::evaluate::World;
use super::facts::Facts;
use super::memory::{Held, Memory, Piece};
use super::nodes::{Entry, Node, Side, Symbol, Term};
use cranelift_codegen::ir::{Block, Inst, StackSlot, Value};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::collections::BTreeMap;

/// Wider terms are not taken apart, in bits.
const MAX_WIDTH: u32 = 256;

type FxIndexMap<K, V> = indexmap::IndexMap<K, V, FxBuildHasher>;

/// What a slot holds, cut where accesses begin and end.
#[derive(Clone, PartialEq)]
pub(super) struct CutSlot {
    pub(super) behind: Option<Node>,
    pub(super) ranges: Vec<Piece>,
}

#[derive(Clone, PartialEq)]
pub(super) struct State {
    /// Where the function before optimisation is.
    pub(super) position: Inst,
    pub(super) before: Vec<(Value, Option<Node>)>,
    pub(super) after: Vec<(Value, Option<Node>)>,
    pub(super) slots: BTreeMap<(Side, StackSlot), CutSlot>,
    pub(super) facts: Facts,
}

impl World {
    pub(super) fn cut(&mut self, side: Side, slot: StackSlot, held: &Held) -> CutSlot {
        let size = self.tracking.size(side, slot);
        let cuts = self.tracking.cuts(side, slot);
        let inner: Vec<u32> = cuts
            .map(|cuts| cuts.iter().copied().collect())
            .unwrap_or_default();
        let mut ranges = Vec::with_capacity(inner.len() + 1);
        let mut start = 0;
        for end in inner.into_iter().chain([size]) {
            if start < end {
                let size = end - start;
                let node = self.read(held, start, size);
                ranges.push(Piece { start, size, node });
            }
            start = end;
        }
        CutSlot {
            behind: held.behind,
            ranges,
        }
    }

    pub(super) fn cut_all(&mut self, side: Side, memory: &Memory, state: &mut State) {
        for (&slot, held) in memory {
            let cut = self.cut(side, slot, held);
            state.slots.insert((side, slot), cut);
        }
    }

    /// The memory of one function in a state.
    pub(super) fn uncut(&mut self, state: &State, side: Side) -> Memory {
        let mut memory = Memory::new();
        for (&(of, slot), cut) in &state.slots {
            if of != side {
                continue;
            }
            let mut pieces = Vec::new();
            for piece in &cut.ranges {
                let behind = cut
                    .behind
                    .map(|behind| self.part(behind, piece.start, piece.size));
                if piece.node.is_none() || piece.node != behind {
                    pieces.push(*piece);
                }
            }
            let behind = cut.behind;
            memory.insert(slot, Held { behind, pieces });
        }
        memory
    }

    fn initially_cut(&mut self, side: Side, slot: StackSlot) -> CutSlot {
        let held = self.initially_held(side, slot);
        self.cut(side, slot, &held)
    }

    /// Keeps of `state` only what holds in `other` too, which arrives at the same place. Whether
    /// that is less.
    pub(super) fn meet(&mut self, block: Block, state: &mut State, mut other: State) -> bool {
        let slots: Vec<(Side, StackSlot)> = {
            let all = state.slots.keys().chain(other.slots.keys());
            all.copied().collect()
        };
        for (side, slot) in slots {
            for slots in [&mut state.slots, &mut other.slots] {
                slots
                    .entry((side, slot))
                    .or_insert_with(|| self.initially_cut(side, slot));
            }
        }
        let mut pairs: Vec<(Entry, &mut Option<Node>, Option<Node>)> = Vec::new();
        for ((value, known), (_, new)) in state.after.iter_mut().zip(other.after) {
            pairs.push((Entry::After(*value), known, new));
        }
        for ((value, known), (_, new)) in state.before.iter_mut().zip(other.before) {
            pairs.push((Entry::Before(*value), known, new));
        }
        for (&(side, slot), cut) in &mut state.slots {
            let Some(new) = other.slots.remove(&(side, slot)) else {
                continue;
            };
            pairs.push((Entry::Backing(side, slot), &mut cut.behind, new.behind));
            for (known, new) in cut.ranges.iter_mut().zip(new.ranges) {
                let entry = Entry::Range(side, slot, known.start);
                pairs.push((entry, &mut known.node, new.node));
            }
        }
        let mut changed = false;
        let mut classes: FxIndexMap<(Node, Node), Vec<usize>> = FxIndexMap::default();
        let mut classes_of: FxHashMap<Node, u32> = FxHashMap::default();
        for (index, (_, known, new)) in pairs.iter_mut().enumerate() {
            match (**known, *new) {
                (Some(old), Some(new)) => {
                    let class = classes.entry((old, new)).or_default();
                    if class.is_empty() {
                        *classes_of.entry(old).or_default() += 1;
                    }
                    class.push(index);
                }
                (Some(_), None) => {
                    **known = None;
                    changed = true;
                }
                (None, _) => {}
            }
        }
        // What the optimised function passes comes first, so that bytes of slots can be told as
        // bytes of that.
        let mut apart = Vec::new();
        let mut passed = Vec::new();
        for ((old, new), class) in classes {
            let own = match *self.nodes.term(old) {
                Term::Symbol(Symbol::Join(of, entry)) if of == block => Some(entry),
                _ => None,
            };
            // What a join hides may be the address of a slot, and not always of the same.
            let base = self.common_base(old, new);
            let is_mixed = base.is_none() && (own.is_some() || old != new);
            let are_contents = || {
                let mut entries = class.iter().map(|&index| pairs[index].0);
                entries.all(|entry| matches!(entry, Entry::Range(Side::Before, ..)))
            };
            let mentions = |node: Node| !self.nodes.mentions(node).is_empty();
            // Whatever uses what is not known is not proved, so nothing can come of the address.
            if is_mixed
                && self.tracking.forgets_addresses
                && (mentions(old) || mentions(new))
                && are_contents()
            {
                for index in class {
                    *pairs[index].1 = None;
                }
                changed = true;
                continue;
            }
            if is_mixed {
                for node in [old, new] {
                    for named in self.nodes.mentions(node).to_vec() {
                        self.tracking.share_named(named);
                    }
                }
            }
            let entries = class.iter().map(|&index| pairs[index].0);
            let Some(least) = entries.clone().min() else {
                continue;
            };
            let is_passed = entries
                .clone()
                .any(|entry| matches!(entry, Entry::After(_) | Entry::Range(Side::After, ..)));
            let is_kept = own.is_none() && old == new
                || own.is_some_and(|own| {
                    classes_of.get(&old) == Some(&1) || entries.clone().any(|entry| entry == own)
                });
            if is_kept {
                if is_passed {
                    passed.push((old, new, old));
                }
                continue;
            }
            let symbol = Symbol::Join(block, least);
            let width = self.nodes.width(old);
            let (joined, is_same) = self.nodes.join(symbol, width, base);
            if !is_same {
                for node in [old, new] {
                    for named in self.nodes.mentions(node).to_vec() {
                        self.tracking.share_named(named);
                    }
                }
            }
            if !is_passed
                && entries
                    .clone()
                    .any(|entry| matches!(entry, Entry::Range(..)))
            {
                apart.push((old, new, joined, class));
                continue;
            }
            passed.push((old, new, joined));
            self.nodes
                .joined
                .entry(joined)
                .or_default()
                .push((old, new));
            changed = true;
            for index in class {
                *pairs[index].1 = Some(joined);
            }
        }
        let mut bytes = None;
        for (old, new, joined, class) in apart {
            let bytes = bytes.get_or_insert_with(|| self.bytes_of_passed(&passed));
            let node = match self.put_together(bytes, old, new) {
                Some(node) => node,
                None => {
                    self.nodes
                        .joined
                        .entry(joined)
                        .or_default()
                        .push((old, new));
                    joined
                }
            };
            for index in class {
                changed |= *pairs[index].1 != Some(node);
                *pairs[index].1 = Some(node);
            }
        }
        let facts = state.facts.len();
        let others = other.facts;
        state
            .facts
            .retain(|node, fact| others.get(node) == Some(fact));
        changed || state.facts.len() != facts
    }

    /// The bytes of what the optimised function passes: what they were and are, and what they are
    /// together.
    fn bytes_of_passed(&mut self, passed: &[(Node, Node, Node)]) -> FxHashMap<(Node, Node), Node> {
        let mut bytes = FxHashMap::default();
        for &(old, new, joined) in passed {
            let width = self.nodes.width(joined);
            if width > MAX_WIDTH || !width.is_multiple_of(8) {
                continue;
            }
            for at in 0..width / 8 {
                let [old, new, joined] = [old, new, joined].map(|of| self.byte(of, at));
                bytes.entry((old, new)).or_insert(joined);
            }
        }
        bytes
    }

    /// Two terms together, if each of their bytes is a byte of something passed, or constant.
    fn put_together(
        &mut self,
        bytes: &FxHashMap<(Node, Node), Node>,
        old: Node,
        new: Node,
    ) -> Option<Node> {
        let width = self.nodes.width(old);
        if width > MAX_WIDTH || !width.is_multiple_of(8) || self.nodes.width(new) != width {
            return None;
        }
        let mut parts = Vec::new();
        for at in 0..width / 8 {
            let [old, new] = [old, new].map(|of| self.byte(of, at));
            let is_constant = old == new && self.nodes.constant_of(old).is_some();
            parts.push(match is_constant {
                true => old,
                false => *bytes.get(&(old, new))?,
            });
        }
        Some(match self.endianness {
            Some(_) => self.nodes.row(&parts),
            None => self.sequence(&parts),
        })
    }

    /// A byte of a term: from its low end, or as memory holds it where the order is not known.
    fn byte(&mut self, of: Node, at: u32) -> Node {
        match self.endianness {
            Some(_) => self.nodes.bits(of, at * 8, 8),
            None => self.bytes_of(of, at, 1).unwrap_or(of),
        }
    }
}
