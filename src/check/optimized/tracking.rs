//! Private slots, and the facts about them in both functions.
//!
//! A slot is assumed to be private, so that only loads and stores reach it, until its address is
//! seen to escape. Then the proof starts again, with the slot as ordinary memory.

use super::nodes::{Side, SlotRef};
use super::reads::Reads;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Function, StackSlot, StackSlotData, StackSlotKind};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Tracking {
    slots: [Vec<StackSlotData>; 2],
    reads: [Reads; 2],
    /// The slots that are known not to be private. Those found in a round are added after it.
    shared: [EntitySet<StackSlot>; 2],
    found_shared: BTreeSet<(Side, StackSlot)>,
    /// Private slots with unknown bytes that were used, each with a slot whose address may be
    /// there.
    found_revealed: BTreeSet<((Side, StackSlot), SlotRef)>,
    /// The paired slot of the function before, by slot of the optimised one.
    pair_of_after: FxHashMap<StackSlot, StackSlot>,
    pair_of_before: BTreeMap<StackSlot, StackSlot>,
    found_pairs: Vec<(StackSlot, StackSlot)>,
    /// Slots of the function before that hold zeros when it is called.
    zeros: BTreeSet<StackSlot>,
    found_zeros: BTreeSet<StackSlot>,
    dirty: bool,
}

fn index(side: Side) -> usize {
    match side {
        Side::Before => 0,
        Side::After => 1,
    }
}

impl Tracking {
    pub(super) fn new(before: &Function, after: &Function) -> Self {
        let of = |func: &Function| {
            let slots = func.sized_stack_slots.values();
            slots.cloned().collect::<Vec<_>>()
        };
        Tracking {
            slots: [of(before), of(after)],
            reads: [Reads::of(before), Reads::of(after)],
            shared: [keyed_slots(before), keyed_slots(after)],
            found_shared: BTreeSet::new(),
            found_revealed: BTreeSet::new(),
            pair_of_after: FxHashMap::default(),
            pair_of_before: BTreeMap::new(),
            found_pairs: Vec::new(),
            zeros: BTreeSet::new(),
            found_zeros: BTreeSet::new(),
            dirty: false,
        }
    }

    pub(super) fn data(&self, side: Side, slot: StackSlot) -> Option<&StackSlotData> {
        self.slots[index(side)].get(slot.as_u32() as usize)
    }

    pub(super) fn size(&self, side: Side, slot: StackSlot) -> u32 {
        self.data(side, slot).map_or(0, |data| data.size)
    }

    pub(super) fn is_private(&self, side: Side, slot: StackSlot) -> bool {
        !self.shared[index(side)].contains(slot)
    }

    pub(super) fn is_named_private(&self, (side, slot): SlotRef) -> bool {
        self.is_private(side, slot)
    }

    /// Returns the slot's name in terms.
    pub(super) fn named(&self, side: Side, slot: StackSlot) -> SlotRef {
        match (side, self.pair_of_after.get(&slot)) {
            (Side::After, Some(&paired)) => (Side::Before, paired),
            _ => (side, slot),
        }
    }

    /// Returns the slot of the function on `side` with this name in terms.
    pub(super) fn slot_of(&self, side: Side, named: SlotRef) -> Option<StackSlot> {
        match (side, named) {
            (Side::After, (Side::Before, slot)) => self.pair_of_before.get(&slot).copied(),
            (side, (of, slot)) => (side == of).then_some(slot),
        }
    }

    /// Returns the paired slot of the optimised function.
    pub(super) fn pair(&self, before: StackSlot) -> Option<StackSlot> {
        self.pair_of_before.get(&before).copied()
    }

    pub(super) fn is_paired(&self, after: StackSlot) -> bool {
        self.pair_of_after.contains_key(&after)
    }

    /// Returns whether some of the bytes of a slot, or of its pair, may be read.
    pub(super) fn may_read(&self, side: Side, slot: StackSlot, start: u32, size: u32) -> bool {
        let other = match side {
            Side::Before => self.pair_of_before.get(&slot),
            Side::After => self.pair_of_after.get(&slot),
        };
        let [of_side, of_other] = match side {
            Side::Before => [0, 1],
            Side::After => [1, 0],
        }
        .map(|index: usize| &self.reads[index]);
        of_side.may_read(slot, start, size)
            || other.is_some_and(|&other| of_other.may_read(other, start, size))
    }

    /// Returns whether an address is that of a byte of the slot, so that it is not 0.
    pub(super) fn is_inside(&self, (side, slot): SlotRef, offset: i64) -> bool {
        (0..i64::from(self.size(side, slot))).contains(&offset)
    }

    /// Makes a slot ordinary memory, from the next round on.
    pub(super) fn share(&mut self, side: Side, slot: StackSlot) {
        if self.is_private(side, slot) {
            self.found_shared.insert((side, slot));
            self.dirty = true;
        }
    }

    pub(super) fn share_named(&mut self, named: SlotRef) {
        self.share(named.0, named.1);
        if let (Side::Before, slot) = named
            && let Some(paired) = self.pair(slot)
        {
            self.share(Side::After, paired);
        }
    }

    /// Notes that unknown bytes of the private slot `of` were used, where the address of another
    /// slot may be. That becomes ordinary memory from the next round on, unless `of` does: then the
    /// round sees which addresses both functions store there.
    pub(super) fn reveal(&mut self, of: (Side, StackSlot), named: SlotRef) {
        if self.is_named_private(named) {
            self.found_revealed.insert((of, named));
            self.dirty = true;
        }
    }

    /// Pairs two slots, from the next round on; returns false if that is impossible.
    pub(super) fn unite(&mut self, before: StackSlot, after: StackSlot) -> bool {
        if self.pair(before) == Some(after) {
            return true;
        }
        let alike = match (
            self.data(Side::Before, before),
            self.data(Side::After, after),
        ) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
        let is_free = |found: &(StackSlot, StackSlot)| found.0 != before && found.1 != after;
        let known = self.found_pairs.contains(&(before, after));
        if !alike || self.pair(before).is_some() || self.is_paired(after) {
            return false;
        }
        if !known {
            if !self.found_pairs.iter().all(is_free) {
                return false;
            }
            self.found_pairs.push((before, after));
            self.dirty = true;
        }
        true
    }

    pub(super) fn holds_zeros(&self, before: StackSlot) -> bool {
        self.zeros.contains(&before)
    }

    /// Decides that a slot of the function before holds zeros when it is called; returns false if
    /// its contents are decided otherwise.
    pub(super) fn choose_zeros(&mut self, before: StackSlot) -> bool {
        if self.pair(before).is_some() || self.zeros.contains(&before) {
            return false;
        }
        self.found_zeros.insert(before);
        self.dirty = true;
        true
    }

    /// Returns whether a slot of the function before counts as other memory because the checker
    /// lost sight of its address, while it knows of no such slot of the optimised function.
    pub(super) fn has_lost_slots(&self) -> bool {
        let slots = (0..).zip(&self.slots[index(Side::Before)]);
        let mut slots = slots.map(|(number, data)| (StackSlot::from_u32(number), data));
        slots.any(|(slot, data)| {
            data.key.is_none() && !self.is_private(Side::Before, slot) && self.pair(slot).is_none()
        })
    }

    /// Returns whether a finding makes another round necessary.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Makes another round necessary.
    pub(super) fn start_anew(&mut self) {
        self.dirty = true;
    }

    /// Applies the findings of a round.
    pub(super) fn settle(&mut self) {
        for (before, after) in std::mem::take(&mut self.found_pairs) {
            self.pair_of_before.insert(before, after);
            self.pair_of_after.insert(after, before);
        }
        self.zeros.append(&mut self.found_zeros);
        self.settle_shared();
        for ((side, slot), named) in std::mem::take(&mut self.found_revealed) {
            if self.is_private(side, slot) {
                self.share_named(named);
            }
        }
        self.settle_shared();
        self.dirty = false;
    }

    fn settle_shared(&mut self) {
        for (side, slot) in std::mem::take(&mut self.found_shared) {
            self.shared[index(side)].insert(slot);
        }
        // Of a pair, both are private or none is.
        for (&before, &after) in &self.pair_of_before {
            let [of_before, of_after] = &mut self.shared;
            if of_before.contains(before) || of_after.contains(after) {
                of_before.insert(before);
                of_after.insert(after);
            }
        }
    }
}

/// Returns slots that a debugger finds by their keys. Those that tags and stack maps name are found
/// by these.
fn keyed_slots(func: &Function) -> EntitySet<StackSlot> {
    let mut seen = EntitySet::new();
    for (slot, data) in func.sized_stack_slots.iter() {
        if data.key.is_some() || data.kind != StackSlotKind::ExplicitSlot {
            seen.insert(slot);
        }
    }
    seen
}
