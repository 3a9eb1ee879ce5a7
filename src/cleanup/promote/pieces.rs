//! Division of slots into pieces, each of which becomes a variable.
//!
//! A slot is cut wherever an access of it begins or ends, so that each access is of one or more
//! whole pieces. A copy from one slot to another reads the pieces of the target, which cuts the
//! source too; a copy to memory reads everything.

use super::super::options::OptimizeOptions;
use super::convert::{Order, has_zero};
use super::scan::{Action, Event, Place, Privacy, Side, Uses};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, StackSlot, Type, types};
use std::ops::Range;

/// Slots with more pieces stay in memory: as values they would all be spilled.
const MOST_PIECES: usize = 64;

/// In each attempt, a slot that cannot be cut becomes memory for the others.
const MOST_ATTEMPTS: usize = 8;

/// A copy within a slot to another place of it can cut it more finely again and again.
const MOST_COPY_ROUNDS: usize = 8;

/// A variable: a part of a slot that is always read and written as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) ty: Type,
}

impl Piece {
    pub(super) fn end(self) -> u32 {
        self.start + self.ty.bytes()
    }
}

/// The accesses of a slot.
#[derive(Clone, Debug, Default)]
struct Shape {
    slot: Option<StackSlot>,
    cuts: Vec<u32>,
    /// Parts that are read as bytes of any type.
    covered: Vec<(u32, u32)>,
    typed: Vec<(u32, Type)>,
    order: Order,
    rejected: bool,
    pieces: Range<usize>,
}

/// The slots that become values, and their pieces.
#[derive(Default)]
pub(super) struct Pieces {
    /// In the order in which the function uses them.
    shapes: Vec<Shape>,
    index: SecondaryMap<StackSlot, Option<u32>>,
    pub(super) all: Vec<Piece>,
}

impl Pieces {
    /// Cuts the slots of `func` that can become values.
    pub(super) fn find(&mut self, func: &Function, uses: &Uses, options: &OptimizeOptions) {
        self.shapes.clear();
        self.index.clear();
        self.all.clear();
        let slots = uses.address_insts.iter().map(|&(_, slot)| slot);
        for slot in slots {
            if uses.privacy[slot] == Privacy::Fixed && self.index[slot].is_none() {
                self.index[slot] = u32::try_from(self.shapes.len()).ok();
                self.shapes.push(Shape {
                    slot: Some(slot),
                    ..Shape::default()
                });
            }
        }
        for _ in 0..MOST_ATTEMPTS {
            if self.shapes.iter().all(|shape| shape.rejected) {
                break;
            }
            if self.attempt(func, &uses.events, options) {
                return;
            }
        }
        for shape in &mut self.shapes {
            shape.rejected = true;
        }
        self.all.clear();
    }

    /// Returns the slots, in the order in which the function uses them.
    pub(super) fn slots(&self) -> impl Iterator<Item = StackSlot> {
        let kept = self.shapes.iter().filter(|shape| !shape.rejected);
        kept.filter_map(|shape| shape.slot)
    }

    /// Returns whether `slot` becomes values.
    pub(super) fn has(&self, slot: StackSlot) -> bool {
        self.shape(slot).is_some()
    }

    /// Returns the order of bytes in `slot`.
    pub(super) fn order(&self, slot: StackSlot) -> Order {
        self.shape(slot).map_or(Order::Any, |shape| shape.order)
    }

    /// Returns the numbers of the pieces within `place`.
    pub(super) fn within(&self, place: Place) -> Range<usize> {
        let Some(shape) = self.shape(place.slot) else {
            return 0..0;
        };
        let pieces = &self.all[shape.pieces.clone()];
        let start = pieces.partition_point(|piece| piece.start < place.start);
        let end = pieces.partition_point(|piece| piece.start < place.end());
        shape.pieces.start + start..shape.pieces.start + end.max(start)
    }

    /// Returns `side` as a place in a slot that becomes values.
    pub(super) fn promoted(&self, side: Side) -> Option<Place> {
        match side {
            Side::Slot(place) if self.has(place.slot) => Some(place),
            _ => None,
        }
    }

    fn shape_index(&self, slot: StackSlot) -> Option<usize> {
        let index = self.index[slot]? as usize;
        (!self.shapes[index].rejected).then_some(index)
    }

    fn shape(&self, slot: StackSlot) -> Option<&Shape> {
        self.shape_index(slot).map(|index| &self.shapes[index])
    }

    /// Cuts the slots that were not rejected; returns whether none had to be.
    fn attempt(&mut self, func: &Function, events: &[Event], options: &OptimizeOptions) -> bool {
        self.all.clear();
        for shape in &mut self.shapes {
            shape.cuts.clear();
            shape.covered.clear();
            shape.typed.clear();
            shape.order = Order::Any;
        }
        let mut good = true;
        for event in events {
            good &= self.note(func, event, options);
        }
        good &= self.follow_copies(func, events);
        for index in 0..self.shapes.len() {
            if !self.shapes[index].rejected {
                good &= self.cut(index);
            }
        }
        for event in events {
            good &= self.check(event);
        }
        good & self.shapes.iter().any(|shape| !shape.rejected)
    }

    fn reject(&mut self, slot: StackSlot) {
        if let Some(index) = self.shape_index(slot) {
            self.shapes[index].rejected = true;
        }
    }

    /// Notes the accesses of an event; returns whether the byte orders agree.
    fn note(&mut self, func: &Function, event: &Event, options: &OptimizeOptions) -> bool {
        match event.action {
            Action::Access {
                place, ty, flags, ..
            } => {
                let Some(index) = self.shape_index(place.slot) else {
                    return true;
                };
                let shape = &mut self.shapes[index];
                shape.typed.push((place.start, ty));
                if ty.bytes() > 1 {
                    let explicit = func.dfg.mem_flags[flags].explicit_endianness();
                    let order = explicit.or(options.endianness);
                    let order = order.map_or(Order::Native, Order::Is);
                    match shape.order.meet(order) {
                        Some(order) => shape.order = order,
                        None => {
                            shape.rejected = true;
                            return false;
                        }
                    }
                }
            }
            Action::Copy { to, from, .. } => {
                let (to, from) = (self.promoted(to), self.promoted(from));
                for place in [to, from].into_iter().flatten() {
                    self.cut_at(place);
                }
                if let (Some(from), None) = (from, to) {
                    self.cover(from.slot, from.start, from.end());
                }
            }
            Action::Fill { place, .. } => self.cut_at(place),
            Action::LoadSomewhere(_) => {}
        }
        true
    }

    fn cut_at(&mut self, place: Place) {
        if let Some(index) = self.shape_index(place.slot) {
            self.shapes[index].cuts.extend([place.start, place.end()]);
        }
    }

    fn cover(&mut self, slot: StackSlot, start: u32, end: u32) {
        if let Some(index) = self.shape_index(slot) {
            self.shapes[index].covered.push((start, end));
        }
    }

    /// Marks the parts of a copy's source as read that are read from its target; returns whether
    /// that reached a fixpoint.
    fn follow_copies(&mut self, func: &Function, events: &[Event]) -> bool {
        for shape in &mut self.shapes {
            shape.tidy();
        }
        let mut good = true;
        for round in 0..=MOST_COPY_ROUNDS {
            let mut changed = false;
            // Backward, so that one round follows a chain of copies.
            for event in events.iter().rev() {
                let Action::Copy { to, from, size } = event.action else {
                    continue;
                };
                let places = (self.promoted(to), self.promoted(from));
                let (Some(to), Some(from)) = places else {
                    // One side is memory, or has become it.
                    let place = places.0.or(places.1);
                    let too_large = size > super::scan::LARGEST_MEMORY_CALL;
                    if let Some(place) = place
                        && (too_large || func.dfg.alias_regions.len() > 0)
                    {
                        self.reject(place.slot);
                        good = false;
                    }
                    continue;
                };
                let (Some(target), Some(source)) =
                    (self.shape_index(to.slot), self.shape_index(from.slot))
                else {
                    debug_assert!(false, "slots that become values have shapes");
                    continue;
                };
                let seen = self.shapes[target].seen_from(to, from.start);
                let order = self.shapes[target].order;
                let shape = &mut self.shapes[source];
                let more = shape.add(seen);
                changed |= more;
                match shape.order.meet(order) {
                    Some(order) => {
                        changed |= shape.order != order;
                        shape.order = order;
                        changed |= self.shapes[target].order != order;
                        self.shapes[target].order = order;
                    }
                    None => {
                        self.reject(to.slot);
                        self.reject(from.slot);
                        good = false;
                    }
                }
                if more && round == MOST_COPY_ROUNDS {
                    self.reject(from.slot);
                    good = false;
                }
            }
            if !changed {
                break;
            }
        }
        good
    }

    /// Makes the pieces of a shape; returns whether that can be done.
    fn cut(&mut self, index: usize) -> bool {
        let first = self.all.len();
        let shape = &mut self.shapes[index];
        let ends = shape.typed.iter().map(|&(start, ty)| start + ty.bytes());
        let ends: Vec<u32> = ends.collect();
        shape
            .cuts
            .extend(shape.typed.iter().map(|&(start, _)| start));
        shape.cuts.extend(ends);
        let covered = shape.covered.iter().flat_map(|&(start, end)| [start, end]);
        shape.cuts.extend(covered);
        shape.cuts.sort_unstable();
        shape.cuts.dedup();
        let mut parts = shape.covered.clone();
        let typed = shape.typed.iter();
        parts.extend(typed.map(|&(start, ty)| (start, start + ty.bytes())));
        parts.sort_unstable();
        let mut parts = parts.into_iter().peekable();
        let mut reach = 0;
        for pair in shape.cuts.windows(2) {
            let &[start, end] = pair else {
                debug_assert!(false, "windows of two hold two");
                continue;
            };
            while let Some(&(from, to)) = parts.peek()
                && from <= start
            {
                reach = reach.max(to);
                parts.next();
            }
            if reach < end {
                continue;
            }
            let exact = shape.typed.iter();
            let exact = exact.filter(|(from, ty)| *from == start && start + ty.bytes() == end);
            match exact.map(|&(_, ty)| ty).next() {
                Some(ty) => self.all.push(Piece { start, ty }),
                None => fill(&mut self.all, start, end),
            }
            if self.all.len() - first > MOST_PIECES {
                break;
            }
        }
        let shape = &mut self.shapes[index];
        let pieces = &self.all[first..];
        if pieces.len() > MOST_PIECES || !pieces.iter().all(|piece| has_zero(piece.ty)) {
            self.all.truncate(first);
            shape.rejected = true;
        }
        shape.pieces = first..self.all.len();
        !shape.rejected
    }

    /// Rejects the slot of an access that is not made of pieces; returns whether there was none.
    fn check(&mut self, event: &Event) -> bool {
        let (place, ty) = match event.action {
            Action::Access { place, ty, .. } => (place, Some(ty)),
            Action::Copy { to, from, .. } => {
                let (Some(to), Some(from)) = (self.promoted(to), self.promoted(from)) else {
                    return true;
                };
                // Each piece of the target is read from the source.
                let pieces = self.within(to);
                let mut good = true;
                for piece in pieces {
                    let Piece { start, ty } = self.all[piece];
                    let place = Place {
                        slot: from.slot,
                        start: start - to.start + from.start,
                        size: ty.bytes(),
                    };
                    good &= self.is_made_of_pieces(place, ty);
                }
                if !good {
                    self.reject(from.slot);
                }
                return good;
            }
            Action::Fill { place, .. } => (place, None),
            Action::LoadSomewhere(_) => return true,
        };
        if !self.has(place.slot) {
            return true;
        }
        let good = match ty {
            Some(ty) => self.is_made_of_pieces(place, ty),
            // A number is filled with equal bytes, a vector or float of another kind is not.
            None => {
                let pieces = self.within(place);
                self.all[pieces].iter().all(|piece| is_word(piece.ty))
            }
        };
        if !good {
            self.reject(place.slot);
        }
        good
    }

    fn is_made_of_pieces(&self, place: Place, ty: Type) -> bool {
        let order = self.order(place.slot);
        let pieces = &self.all[self.within(place)];
        match pieces {
            [] => false,
            [piece] => converts(piece.ty, ty, order),
            _ => {
                let ends = |end: u32| pieces.iter().any(|piece| piece.end() == end);
                let is_parted = match ty {
                    types::I128 => ends(place.start + 8),
                    _ => is_word(ty),
                };
                is_parted && order.known().is_some() && pieces.iter().all(|piece| is_word(piece.ty))
            }
        }
    }
}

impl Shape {
    /// Sorts the entries and removes duplicates.
    fn tidy(&mut self) {
        self.cuts.sort_unstable();
        self.cuts.dedup();
        self.covered.sort_unstable();
        self.covered.dedup();
        // The first type of each part is that of its piece, so their order is kept.
        let mut typed: Vec<(u32, Type)> = Vec::new();
        for &part in &self.typed {
            if !typed.contains(&part) {
                typed.push(part);
            }
        }
        self.typed = typed;
    }

    /// Returns the accesses within `place`, as the shape of a slot in which it begins at `start`.
    fn seen_from(&self, place: Place, start: u32) -> Shape {
        let (low, high) = (place.start, place.end());
        let moved = |at: u32| at - low + start;
        let mut seen = Shape::default();
        let cuts = self.cuts.iter().filter(|&&cut| low < cut && cut < high);
        seen.cuts.extend(cuts.map(|&cut| moved(cut)));
        let mut cover = |from: u32, to: u32| {
            let (from, to) = (from.max(low), to.min(high));
            if from < to {
                seen.covered.push((moved(from), moved(to)));
            }
        };
        for &(from, to) in &self.covered {
            cover(from, to);
        }
        for &(from, ty) in &self.typed {
            let to = from + ty.bytes();
            if low <= from && to <= high {
                seen.typed.push((moved(from), ty));
            } else {
                cover(from, to);
            }
        }
        seen
    }

    /// Adds the content of `other`; returns whether this changed.
    fn add(&mut self, other: Shape) -> bool {
        let before = (self.cuts.len(), self.covered.len(), self.typed.len());
        for cut in other.cuts {
            if let Err(at) = self.cuts.binary_search(&cut) {
                self.cuts.insert(at, cut);
            }
        }
        for part in other.covered {
            if let Err(at) = self.covered.binary_search(&part) {
                self.covered.insert(at, part);
            }
        }
        for part in other.typed {
            if !self.typed.contains(&part) {
                self.typed.push(part);
            }
        }
        before != (self.cuts.len(), self.covered.len(), self.typed.len())
    }
}

/// Adds pieces for a part that no single access reads or writes as a whole.
fn fill(pieces: &mut Vec<Piece>, mut start: u32, end: u32) {
    while start < end {
        let ty = match end - start {
            8.. => types::I64,
            4..8 => types::I32,
            2..4 => types::I16,
            _ => types::I8,
        };
        pieces.push(Piece { start, ty });
        start += ty.bytes();
    }
}

/// Returns whether values of this type are words of one to eight bytes, with bits that can be used
/// as an integer on every target.
pub(super) fn is_word(ty: Type) -> bool {
    matches!(
        ty,
        types::I8 | types::I16 | types::I32 | types::I64 | types::F32 | types::F64
    )
}

/// Returns whether a value of one type can replace the result of a load of another type of the same
/// size.
fn converts(from: Type, to: Type, order: Order) -> bool {
    if from == to {
        return true;
    }
    let are_vectors = from.is_vector() && to.is_vector() && from.bits() == 128;
    let same_size = from.bytes() == to.bytes();
    same_size
        && (is_word(from) && is_word(to)
            || are_vectors && (from.lane_count() == to.lane_count() || order.known().is_some()))
}
