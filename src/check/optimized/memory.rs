//! The contents of slots.

use super::evaluate::World;
use super::nodes::{Node, Side, SlotRef, Symbol, Term};
use cranelift_codegen::ir::{Endianness, Opcode, StackSlot};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Stored bytes; `None` for unknown ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) size: u32,
    pub(super) node: Option<Node>,
}

impl Piece {
    fn end(&self) -> u32 {
        self.start + self.size
    }
}

/// The contents of a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// The bytes outside of all pieces.
    pub(super) behind: Option<Node>,
    /// In order, without overlap.
    pub(super) pieces: Vec<Piece>,
}

/// The contents of a function's slots; slots without a store are absent.
pub(super) type Memory = BTreeMap<StackSlot, Held>;

/// The place of an access.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Not in a private slot.
    Outside,
    At(StackSlot, u32),
    /// Somewhere in a private slot, at an address that is not constant.
    Within(StackSlot, Node),
    /// The address is unknown.
    Unknown,
}

/// The maximum number of stores at addresses that are not constant below which bytes are looked up.
const MAX_STORES: u32 = 32;

/// The maximum number of steps of a computed address that is examined.
const MAX_ADDRESS_DEPTH: u32 = 16;

impl World {
    pub(super) fn place(
        &mut self,
        side: Side,
        address: Option<Node>,
        offset: i32,
        size: u32,
    ) -> Place {
        let Some(address) = address else {
            return Place::Unknown;
        };
        let mentioned: SmallVec<[_; 2]> = self.nodes.mentions(address).into();
        let [named] = mentioned[..] else {
            for named in mentioned {
                self.tracking.share_named(named);
            }
            return Place::Outside;
        };
        let slot = self.tracking.slot_of(side, named);
        match *self.nodes.term(address) {
            Term::Slot(_, start) => {
                let start = start.checked_add(i64::from(offset));
                let start = start.and_then(|start| u32::try_from(start).ok());
                if let (Some(slot), Some(start)) = (slot, start)
                    && let Some(end) = start.checked_add(size)
                    && end <= self.tracking.size(side, slot)
                {
                    return Place::At(slot, start);
                }
            }
            _ => {
                if let Some(slot) = slot
                    && self.points_into(address, MAX_ADDRESS_DEPTH)
                {
                    return Place::Within(slot, address);
                }
            }
        }
        self.tracking.share_named(named);
        Place::Outside
    }

    /// Returns the private slot in which both terms are addresses.
    pub(super) fn common_base(&self, a: Node, b: Node) -> Option<SlotRef> {
        let (&[base], &[other]) = (self.nodes.mentions(a), self.nodes.mentions(b)) else {
            return None;
        };
        let both = [a, b]
            .iter()
            .all(|&node| self.points_into(node, MAX_ADDRESS_DEPTH));
        (base == other && both).then_some(base)
    }

    /// Returns whether a term that mentions one slot is an address in it.
    fn points_into(&self, node: Node, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        let mentions = |node: Node| !self.nodes.mentions(node).is_empty();
        match self.nodes.term(node) {
            // A symbol mentions a slot only if it is an address in it.
            Term::Slot(..) | Term::Symbol(_) => true,
            Term::Computed { shape, args, .. } => match (self.contents.opcode(*shape), &args[..]) {
                (Some(Opcode::Iadd), &[x, y]) => match (mentions(x), mentions(y)) {
                    (true, false) => self.points_into(x, depth),
                    (false, true) => self.points_into(y, depth),
                    _ => false,
                },
                (Some(Opcode::Isub), &[x, y]) => !mentions(y) && self.points_into(x, depth),
                (Some(Opcode::Select | Opcode::SelectSpectreGuard), &[condition, x, y]) => {
                    !mentions(condition) && self.points_into(x, depth) && self.points_into(y, depth)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Returns the memory behind all pieces of a slot when the function is called. Bytes that no
    /// store precedes may be read as anything, but as the same each time. So the contents can be
    /// chosen for the function before, once per slot: those of the optimised function's slot, or
    /// zeros.
    pub(super) fn initially_behind(&mut self, side: Side, slot: StackSlot) -> Node {
        let named = self.tracking.named(side, slot);
        let is_paired = self.tracking.pair(slot).is_some();
        if side == Side::Before && !is_paired && self.tracking.holds_zeros(slot) {
            return self.nodes.node(Term::Zeros, 0);
        }
        let symbol = Symbol::Uninitialised(named.0, named.1);
        self.nodes.symbol(symbol, 0)
    }

    pub(super) fn initially_held(&mut self, side: Side, slot: StackSlot) -> Held {
        Held {
            behind: Some(self.initially_behind(side, slot)),
            pieces: Vec::new(),
        }
    }

    /// Returns bytes of the memory behind. Stores elsewhere do not matter, so of memory below a
    /// store at an address that is not constant, only the same bytes are taken.
    pub(super) fn part(&mut self, behind: Node, start: u32, size: u32) -> Node {
        let &Term::Stored {
            memory,
            address,
            offset,
            value,
        } = self.nodes.term(behind)
        else {
            return match self.nodes.term(behind) {
                Term::Zeros => self.nodes.constant(0, size * 8),
                _ => self.nodes.node(Term::Part(behind, start), size * 8),
            };
        };
        let whole = Term::Part(behind, start);
        if self.stores_above >= MAX_STORES {
            return self.nodes.node(whole, size * 8);
        }
        self.stores_above += 1;
        let below = self.part_below(memory, start, size);
        self.stores_above -= 1;
        let Some(below) = below else {
            return self.nodes.node(whole, size * 8);
        };
        let term = Term::Overlaid {
            below,
            start,
            address,
            offset,
            value,
        };
        self.nodes.node(term, size * 8)
    }

    fn part_below(&mut self, memory: Node, start: u32, size: u32) -> Option<Node> {
        let Term::Memory { behind, pieces } = self.nodes.term(memory) else {
            return Some(self.part(memory, start, size));
        };
        let inside =
            |&&(from, long, _): &&(u32, u32, Node)| from < start + size && start < from + long;
        let pieces = pieces.iter().filter(inside);
        let pieces = pieces.map(|&(start, size, node)| Piece {
            start,
            size,
            node: Some(node),
        });
        let held = Held {
            behind: Some(*behind),
            pieces: pieces.collect(),
        };
        self.read(&held, start, size)
    }

    /// Returns bytes of a stored term, beginning `offset` bytes after its first one in memory.
    pub(super) fn bytes_of(&mut self, node: Node, offset: u32, size: u32) -> Option<Node> {
        let all = self.nodes.width(node) / 8;
        if offset == 0 && size == all {
            return Some(node);
        }
        let low = match self.endianness {
            Some(Endianness::Little) => offset,
            Some(Endianness::Big) => all.checked_sub(offset + size)?,
            None => {
                // Zeros are the same in every order.
                if self.nodes.constant_of(node) == Some(0) {
                    return Some(self.nodes.constant(0, size * 8));
                }
                if let Term::Sequence(parts) = self.nodes.term(node) {
                    let parts = parts.clone();
                    return self.bytes_of_sequence(&parts, offset, size);
                }
                let (of, start) = self.piece(node);
                let term = Term::Piece(of, start + offset);
                return Some(self.nodes.node(term, size * 8));
            }
        };
        Some(self.nodes.bits(node, low * 8, size * 8))
    }

    fn bytes_of_sequence(&mut self, parts: &[Node], offset: u32, size: u32) -> Option<Node> {
        let end = offset + size;
        let mut found: SmallVec<[Node; 4]> = SmallVec::new();
        let mut at = 0;
        for &part in parts {
            let next = at + self.nodes.width(part) / 8;
            let (from, to) = (offset.max(at), end.min(next));
            if from < to {
                found.push(self.bytes_of(part, from - at, to - from)?);
            }
            at = next;
        }
        match found[..] {
            [only] => Some(only),
            _ => Some(self.sequence(&found)),
        }
    }

    /// Returns the term that this is a piece of, and its offset there.
    pub(super) fn piece(&self, node: Node) -> (Node, u32) {
        match *self.nodes.term(node) {
            Term::Piece(of, start) => (of, start),
            _ => (node, 0),
        }
    }

    /// Returns bytes side by side in memory, in an unknown byte order.
    pub(super) fn sequence(&mut self, parts: &[Node]) -> Node {
        let mut all: SmallVec<[Node; 4]> = SmallVec::new();
        for &part in parts {
            match self.nodes.term(part) {
                Term::Sequence(parts) => all.extend(parts.iter().copied()),
                _ => all.push(part),
            }
        }
        let mut joined: SmallVec<[Node; 4]> = SmallVec::new();
        let mut width = 0;
        for part in all {
            let size = self.nodes.width(part);
            width += size;
            let (of, start) = self.piece(part);
            if let Some(last) = joined.last_mut() {
                let (before, from) = self.piece(*last);
                let until = self.nodes.width(*last);
                let both = [*last, part].map(|part| self.nodes.constant_of(part));
                if both == [Some(0); 2] {
                    *last = self.nodes.constant(0, until + size);
                    continue;
                }
                if before == of && from + until / 8 == start {
                    *last = match self.nodes.width(of) == until + size {
                        true => of,
                        false => self.nodes.node(Term::Piece(of, from), until + size),
                    };
                    continue;
                }
            }
            joined.push(part);
        }
        match joined[..] {
            [only] => only,
            _ => {
                let parts = joined.into_boxed_slice();
                self.nodes.node(Term::Sequence(parts), width)
            }
        }
    }

    pub(super) fn read(&mut self, held: &Held, start: u32, size: u32) -> Option<Node> {
        let end = start + size;
        let mut parts: SmallVec<[Node; 4]> = SmallVec::new();
        let mut at = start;
        let first = held.pieces.partition_point(|piece| piece.end() <= start);
        for piece in &held.pieces[first..] {
            if piece.start >= end {
                break;
            }
            if at < piece.start {
                parts.push(self.part(held.behind?, at, piece.start - at));
                at = piece.start;
            }
            let to = end.min(piece.end());
            parts.push(self.bytes_of(piece.node?, at - piece.start, to - at)?);
            at = to;
        }
        if at < end {
            parts.push(self.part(held.behind?, at, end - at));
        }
        match (&parts[..], self.endianness) {
            (&[only], _) => Some(only),
            (_, Some(Endianness::Little)) => Some(self.nodes.row(&parts)),
            (_, Some(Endianness::Big)) => {
                parts.reverse();
                Some(self.nodes.row(&parts))
            }
            (_, None) => Some(self.sequence(&parts)),
        }
    }

    pub(super) fn write(&mut self, held: &mut Held, start: u32, size: u32, node: Option<Node>) {
        let end = start + size;
        let first = held.pieces.partition_point(|piece| piece.end() <= start);
        let last = held.pieces.partition_point(|piece| piece.start < end);
        let mut new: SmallVec<[Piece; 3]> = SmallVec::new();
        let mut keep = |world: &mut World, piece: Piece, from: u32, to: u32| {
            if from < to {
                let size = to - from;
                let bytes = piece.node;
                let bytes = bytes.and_then(|node| world.bytes_of(node, from - piece.start, size));
                new.push(Piece {
                    start: from,
                    size,
                    node: bytes,
                });
            }
        };
        let overwritten = held.pieces.get(first..last).unwrap_or_default();
        let (left, right) = (overwritten.first().copied(), overwritten.last().copied());
        if let Some(piece) = left {
            keep(self, piece, piece.start, start);
        }
        let written = Piece { start, size, node };
        keep(self, written, start, end);
        if let Some(piece) = right {
            keep(self, piece, end, piece.end());
        }
        held.pieces.splice(first..last.max(first), new);
    }

    /// Returns the whole contents of a slot as one term. Adjacent pieces become one, however they
    /// were stored.
    fn whole(&mut self, held: &Held) -> Option<Node> {
        let behind = held.behind?;
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for piece in &held.pieces {
            let node = piece.node?;
            if node == self.part(behind, piece.start, piece.size) {
                continue;
            }
            match runs.last_mut() {
                Some((_, end)) if *end == piece.start => *end = piece.end(),
                _ => runs.push((piece.start, piece.end())),
            }
        }
        if runs.is_empty() {
            return Some(behind);
        }
        let mut pieces = Vec::with_capacity(runs.len());
        for (start, end) in runs {
            let node = self.read(held, start, end - start)?;
            pieces.push((start, end - start, node));
        }
        let pieces = pieces.into_boxed_slice();
        Some(self.nodes.node(Term::Memory { behind, pieces }, 0))
    }

    /// Notes a use of unknown bytes of a slot, where addresses of slots may be.
    pub(super) fn reveal(&mut self, side: Side, slot: StackSlot) {
        for named in self.hidden.remove(&(side, slot)).into_iter().flatten() {
            self.tracking.reveal((side, slot), named);
        }
    }

    pub(super) fn read_within(
        &mut self,
        held: &Held,
        address: Node,
        offset: i32,
        size: u32,
    ) -> Option<Node> {
        let memory = self.whole(held)?;
        let term = Term::Read {
            memory,
            address,
            offset,
        };
        Some(self.nodes.node(term, size * 8))
    }

    pub(super) fn write_within(
        &mut self,
        held: &mut Held,
        address: Node,
        offset: i32,
        value: Option<Node>,
    ) {
        let memory = self.whole(held);
        held.pieces.clear();
        held.behind = match (memory, value) {
            (Some(memory), Some(value)) => {
                let term = Term::Stored {
                    memory,
                    address,
                    offset,
                    value,
                };
                Some(self.nodes.node(term, 0))
            }
            _ => None,
        };
    }
}
