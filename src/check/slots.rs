//! Comparison of stack slots, and the search for slots with a key that no code names.

use super::difference::Difference;
use super::slot_owners::SlotOwner;
use super::tables::Walk;
use super::tree::{CopyId, CopyTree};
use cranelift_codegen::ir::{self, StackSlot, StackSlotData};
use rustc_hash::FxHashMap;

/// Slots of the result that are indistinguishable.
#[derive(Default)]
struct Candidates {
    all: Vec<StackSlot>,
    /// The slots without an owner, the first at the end.
    free: Vec<StackSlot>,
}

impl Walk<'_> {
    /// Checks that each copy has its slots with a key, whether code uses them or not.
    pub(super) fn check_keyed_slots(&mut self) -> Result<(), Difference> {
        let tree = self.tree;
        let mut candidates: FxHashMap<&StackSlotData, Candidates> = FxHashMap::default();
        for (slot, data) in self.after.sized_stack_slots.iter().rev() {
            if data.key.is_some() {
                let alike = candidates.entry(data).or_default();
                alike.all.push(slot);
                if !self.slots.owners.contains_key(&slot) {
                    alike.free.push(slot);
                }
            }
        }
        // Copies come after those around them. A copy in code that later became unreachable may
        // have left its slots behind or not.
        let entered = |copy: &CopyId| *copy == CopyTree::ROOT || self.entered.contains(*copy);
        let (certain, uncertain): (Vec<CopyId>, Vec<CopyId>) =
            tree.copies.keys().partition(entered);
        for (copies, is_certain) in [(certain, true), (uncertain, false)] {
            for copy in copies {
                for (slot, data) in tree.func(copy).sized_stack_slots.iter() {
                    let Some(key) = data.key else { continue };
                    if self.slots.of.contains_key(&(copy, slot)) {
                        continue;
                    }
                    let found = candidates
                        .get_mut(data)
                        .is_some_and(|alike| self.find_unnamed(alike, copy, slot));
                    if !found && is_certain {
                        let message =
                            format!("{slot} of {copy} with key {} is missing", key.bits());
                        return Err(Difference::general(message));
                    }
                }
            }
        }
        match candidates.values().flat_map(|alike| &alike.free).min() {
            Some(slot) => Err(Difference::general(format!(
                "{slot} has a key but comes from nowhere"
            ))),
            None => Ok(()),
        }
    }

    /// Finds a slot of the result for one that no code of its copy names: a free one, or else one
    /// of copies that are never active together with `copy`.
    ///
    /// If there is an assignment for all slots, taking the first suitable one finds it, with copies
    /// before those inside them: any other choice could be exchanged with it in all copies inside
    /// `copy`.
    fn find_unnamed(&mut self, alike: &mut Candidates, copy: CopyId, slot: StackSlot) -> bool {
        let tree = self.tree;
        let owners = &mut self.slots.owners;
        let found = match alike.free.pop() {
            Some(free) => Some(free),
            None if tree.shares_slots => alike.all.iter().copied().find(|found| {
                let owners = owners.get(found);
                owners.is_some_and(|owners| owners.never_meet(tree, copy))
            }),
            None => None,
        };
        let Some(found) = found else {
            return false;
        };
        let owners = owners.entry(found).or_default();
        owners.admit(tree, copy, SlotOwner::Slot(slot));
        true
    }

    pub(super) fn same_slot(&mut self, copy: CopyId, slot: StackSlot, result: StackSlot) -> bool {
        let (Some(a), Some(b)) = (
            self.tree.func(copy).sized_stack_slots.get(slot),
            self.after.sized_stack_slots.get(result),
        ) else {
            return false;
        };
        let known = *self.slots.of.entry((copy, slot)).or_insert(result);
        let owner = SlotOwner::Slot(slot);
        a == b && known == result && self.slots.claim(self.tree, result, copy, owner)
    }

    pub(super) fn same_dynamic_slot(
        &mut self,
        copy: CopyId,
        slot: ir::DynamicStackSlot,
        result: ir::DynamicStackSlot,
    ) -> bool {
        let func = self.tree.func(copy);
        let (Some(a), Some(b)) = (
            func.dynamic_stack_slots.get(slot),
            self.after.dynamic_stack_slots.get(result),
        ) else {
            return false;
        };
        let (Some(a_type), Some(b_type)) = (
            func.dfg.dynamic_types.get(a.dyn_ty),
            self.after.dfg.dynamic_types.get(b.dyn_ty),
        ) else {
            return false;
        };
        let known = *self.slots.dynamic_of.entry((copy, slot)).or_insert(result);
        let owners = &mut self.slots.dynamic_owners;
        let owner = *owners.entry(result).or_insert((copy, slot));
        a.kind == b.kind
            && a_type.base_vector_ty == b_type.base_vector_ty
            && self.same_global(copy, a_type.dynamic_scale, b_type.dynamic_scale)
            && known == result
            && owner == (copy, slot)
    }
}
