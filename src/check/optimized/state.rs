//! The facts at the start of a block of the optimised function.

use super::contents::ContentId;
use super::evaluate::World;
use super::facts::{Fact, Facts, known_fact};
use super::memory::{Held, Memory, Piece};
use super::nodes::{Entry, Node, Side, SlotRef, Symbol};
use cranelift_codegen::ir::{Block, Inst, StackSlot, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The maximum width, in bits, of terms that are split.
const MAX_WIDTH: u32 = 256;

#[derive(Clone, PartialEq)]
pub(super) struct State {
    /// The place of the function before optimisation.
    pub(super) position: Inst,
    pub(super) before: Vec<(Value, Option<Node>)>,
    pub(super) after: Vec<(Value, Option<Node>)>,
    pub(super) slots: BTreeMap<(Side, StackSlot), Held>,
    pub(super) facts: Facts,
    /// The values that were loaded or stored before, where no other way leads to the block.
    pub(super) loaded: Loaded,
}

impl State {
    /// Returns the terms of all values.
    pub(super) fn live(&self) -> Vec<Node> {
        let values = self.before.iter().chain(&self.after);
        let values = values.filter_map(|&(_, node)| node);
        let slots = self.slots.values().flat_map(|held| {
            let pieces = held.pieces.iter().filter_map(|piece| piece.node);
            held.behind.into_iter().chain(pieces)
        });
        let loaded = self.loaded.values().copied();
        values.chain(slots).chain(loaded).collect()
    }
}

/// Values that were loaded or stored and are still there, by a load of them without its operand and
/// the address.
pub(super) type Loaded = FxHashMap<(ContentId, Node), Node>;

/// The finished part of a copy that was taken apart, while the function before is at it.
#[derive(Clone, Default)]
pub(super) struct Copying {
    /// The loaded or stored pieces, each at its offset in the copied bytes.
    pub(super) pieces: Vec<Piece>,
}

impl World {
    /// Returns the memory of one function in a state.
    pub(super) fn memory_in(&mut self, state: &State, side: Side) -> Memory {
        let mut memory = Memory::new();
        for (&(of, slot), held) in &state.slots {
            if of != side {
                continue;
            }
            let mut held = held.clone();
            let behind = held.behind;
            held.pieces.retain(|piece| {
                let below = behind.map(|behind| self.part(behind, piece.start, piece.size));
                piece.node.is_none() || piece.node != below
            });
            memory.insert(slot, held);
        }
        memory
    }

    /// Cuts the pieces of two ways at the same offsets; returns whether that cut the first further.
    fn cut_alike(&mut self, one: &mut Held, other: &mut Held) -> bool {
        let same = |a: &Piece, b: &Piece| (a.start, a.size) == (b.start, b.size);
        let is_alike = one.pieces.len() == other.pieces.len()
            && one
                .pieces
                .iter()
                .zip(&other.pieces)
                .all(|(a, b)| same(a, b));
        if is_alike {
            return false;
        }
        let before = one.pieces.len();
        let mut ends: BTreeSet<u32> = BTreeSet::new();
        for piece in one.pieces.iter().chain(&other.pieces) {
            ends.extend([piece.start, piece.start + piece.size]);
        }
        let ends: Vec<u32> = ends.into_iter().collect();
        let is_held = |held: &Held, start: u32| {
            let mut pieces = held.pieces.iter();
            pieces.any(|piece| piece.start <= start && start < piece.start + piece.size)
        };
        let mut cut = [Vec::new(), Vec::new()];
        for range in ends.windows(2) {
            let &[start, end] = range else { continue };
            if !is_held(one, start) && !is_held(other, start) {
                continue;
            }
            let size = end - start;
            for (cut, held) in cut.iter_mut().zip([&*one, &*other]) {
                let node = self.read(held, start, size);
                cut.push(Piece { start, size, node });
            }
        }
        let [of_one, of_other] = cut;
        one.pieces = of_one;
        other.pieces = of_other;
        one.pieces.len() != before
    }

    /// Keeps the facts of `state` that hold in `other` too, which arrives at the same place.
    /// Returns whether there are fewer.
    pub(super) fn meet(&mut self, block: Block, state: &mut State, mut other: State) -> bool {
        let slots: Vec<(Side, StackSlot)> = {
            let all = state.slots.keys().chain(other.slots.keys());
            all.copied().collect()
        };
        for (side, slot) in slots {
            for slots in [&mut state.slots, &mut other.slots] {
                slots
                    .entry((side, slot))
                    .or_insert_with(|| self.initially_held(side, slot));
            }
        }
        let mut changed = false;
        for (key, held) in &mut state.slots {
            if let Some(new) = other.slots.get_mut(key) {
                changed |= self.cut_alike(held, new);
            }
        }
        let mut pairs: Vec<(Entry, &mut Option<Node>, Option<Node>)> = Vec::new();
        for ((value, known), (_, new)) in state.after.iter_mut().zip(other.after) {
            pairs.push((Entry::After(*value), known, new));
        }
        for ((value, known), (_, new)) in state.before.iter_mut().zip(other.before) {
            pairs.push((Entry::Before(*value), known, new));
        }
        for (&(side, slot), held) in &mut state.slots {
            let Some(new) = other.slots.remove(&(side, slot)) else {
                continue;
            };
            pairs.push((Entry::Backing(side, slot), &mut held.behind, new.behind));
            for (known, new) in held.pieces.iter_mut().zip(new.pieces) {
                let entry = Entry::Range(side, slot, known.start);
                pairs.push((entry, &mut known.node, new.node));
            }
        }
        // Values that the optimised function passes come first, so that other entries are named by
        // them.
        pairs.sort_by_key(|&(entry, ..)| rank(entry));
        let mut classes = Classes::default();
        let others = other.facts;
        // About values that are joined here. Other facts about these are of an earlier time.
        let mut about_joined: BTreeMap<Node, Option<Fact>> = BTreeMap::new();
        for (entry, known, new) in pairs {
            let node = match (*known, new) {
                (Some(old), Some(new)) if old == new && !self.nodes.leans_on(old, block) => {
                    continue;
                }
                (Some(old), Some(new)) => {
                    let node = self.joined(block, entry, old, new, &mut classes);
                    if let Some(node) = node {
                        let of_old = known_fact(self, &state.facts, old);
                        let of_new = known_fact(self, &others, new);
                        let both = of_old.zip(of_new).and_then(|(a, b)| a.either(b));
                        about_joined.insert(node, both);
                    }
                    node
                }
                _ => None,
            };
            changed |= *known != node;
            *known = node;
        }
        let loaded = state.loaded.len();
        state
            .loaded
            .retain(|key, value| other.loaded.get(key) == Some(value));
        changed |= state.loaded.len() != loaded;
        state.facts.retain(|node, fact| {
            let both = match about_joined.remove(node) {
                Some(both) => both,
                // No entry is joined to it any more, so a fact about it on the way back is of an
                // earlier time.
                None if self.nodes.leans_on(*node, block) => None,
                None => others.get(node).and_then(|&other| fact.either(other)),
            };
            changed |= both != Some(*fact);
            *fact = both.unwrap_or(*fact);
            both.is_some()
        });
        for (node, fact) in about_joined {
            if let Some(fact) = fact.filter(|_| self.nodes.constant_of(node).is_none()) {
                state.facts.insert(node, fact);
                changed = true;
            }
        }
        changed
    }

    /// Returns the common value of an entry that was `old` and is `new` on another way.
    fn joined(
        &mut self,
        block: Block,
        entry: Entry,
        old: Node,
        new: Node,
        classes: &mut Classes,
    ) -> Option<Node> {
        let mentioned = [old, new]
            .into_iter()
            .flat_map(|node| self.nodes.mentions(node));
        let mentioned: Vec<SlotRef> = mentioned.copied().collect();
        let base = self.common_base(old, new);
        if base.is_none() && !mentioned.is_empty() {
            if let Entry::Range(side, slot, _) = entry {
                // It does no harm to forget it while nothing reads it.
                self.hidden
                    .entry((side, slot))
                    .or_default()
                    .extend(&mentioned);
                return None;
            }
            for &named in &mentioned {
                self.tracking.share_named(named);
            }
        }
        let width = self.nodes.width(old);
        if width != self.nodes.width(new) {
            return None;
        }
        let symbol = Symbol::Join(block, entry);
        let is_of_bytes =
            mentioned.is_empty() && (1..=MAX_WIDTH).contains(&width) && width.is_multiple_of(8);
        if !is_of_bytes {
            if let Some(&node) = classes.whole.get(&(old, new)) {
                return Some(node);
            }
            let (node, is_same) = self.nodes.join(symbol, width, base);
            if !is_same {
                for named in mentioned {
                    self.tracking.share_named(named);
                }
            }
            self.note_joined(node, old, new);
            classes.whole.insert((old, new), node);
            return Some(node);
        }
        let (node, is_same) = self.nodes.join(symbol, width, None);
        if !is_same {
            // It was an address when less was known.
            self.tracking.start_anew();
        }
        // In an unknown byte order, the bytes of numbers and those of memory have other terms.
        let is_value = matches!(entry, Entry::After(_) | Entry::Before(_));
        let is_number = is_value || self.endianness.is_some();
        let mut parts: SmallVec<[Node; 8]> = SmallVec::new();
        let mut is_new = false;
        for at in 0..width / 8 {
            let [old, new] = [old, new].map(|of| self.byte(of, at, is_number));
            if old == new && !self.nodes.leans_on(old, block) {
                parts.push(old);
                continue;
            }
            let known = classes.bytes.get(&(old, new)).copied();
            is_new |= known.is_none();
            let part = known.unwrap_or_else(|| self.byte(node, at, is_number));
            classes.bytes.insert((old, new), part);
            parts.push(part);
        }
        if is_new {
            self.note_joined(node, old, new);
        }
        let result = match is_number {
            true => self.nodes.row(&parts),
            false => self.sequence(&parts),
        };
        if is_value && self.endianness.is_none() {
            for at in 0..width / 8 {
                let [old, new, result] = [old, new, result].map(|of| self.byte(of, at, false));
                classes.bytes.entry((old, new)).or_insert(result);
            }
        }
        Some(result)
    }

    fn note_joined(&mut self, node: Node, old: Node, new: Node) {
        let joined = self.nodes.joined.entry(node).or_default();
        if joined.last() != Some(&(old, new)) {
            joined.push((old, new));
        }
    }

    /// Returns a byte of a term: of a number from its low end, otherwise in memory order.
    fn byte(&mut self, of: Node, at: u32, is_number: bool) -> Node {
        match is_number {
            true => self.nodes.bits(of, at * 8, 8),
            false => self.bytes_of(of, at, 1).unwrap_or(of),
        }
    }
}

/// The common values of entries, or of bytes of them, that were equal and are equal again. Each is
/// named by the first of its entries.
#[derive(Default)]
struct Classes {
    whole: FxHashMap<(Node, Node), Node>,
    bytes: FxHashMap<(Node, Node), Node>,
}

fn rank(entry: Entry) -> u32 {
    match entry {
        Entry::After(_) => 0,
        Entry::Range(Side::After, ..) | Entry::Backing(Side::After, _) => 1,
        Entry::Before(_) => 2,
        Entry::Range(Side::Before, ..) | Entry::Backing(Side::Before, _) => 3,
    }
}
