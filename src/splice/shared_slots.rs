//! Stack slots that copies share.
//!
//! The content of a body's slots is lost when it ends. Of two copies in one caller that are not
//! nested, one ends before the other begins, so both can use the same slots. Nested copies cannot,
//! and the caller's own slots are never shared.
//!
//! Slots are shared within a *class*: same kind, size, alignment and key, and accesses through the
//! same alias region. The region is only known if the address does not escape (see
//! [`slot_access`](super::slot_access)). Where it escapes, copies of the same body still share the
//! slot, because they use it in the same way. If no function of the program has alias regions,
//! which the pass knows, escapes do not matter.
//!
//! Each class is a row of slots in the caller. A copy takes the next slots of the row after those
//! of the copies around it. So its slots depend only on the copies around it, not on the order or
//! the number of the splices. A row is as long as the nested copies need, which is the minimum.

use super::tables::{CopiedCall, SlotAccess, Tables};
use super::{MemoryPromises, SpliceOptions};
use cranelift_codegen::ir::{Function, Inst, StackSlot, StackSlotData};
use rustc_hash::FxHashMap;

/// The slots of one session's copies.
#[derive(Default)]
pub(super) struct SharedSlots {
    enabled: bool,
    no_alias_regions: bool,
    classes: FxHashMap<SlotClass, usize>,
    /// The slots of each class.
    rows: Vec<Vec<StackSlot>>,
    /// For each copy that has slots, the next such one around it.
    around: Vec<Option<CopyNumber>>,
    /// The end of a copy's slots in the row of a class, if it has any there.
    ends: FxHashMap<(CopyNumber, usize), usize>,
    /// The copies with which calls came in, if these or others around them have slots.
    came_in: FxHashMap<Inst, CopyNumber>,
    /// The copy around the current one, and the current one itself, after it has slots.
    outer: Option<CopyNumber>,
    current: Option<CopyNumber>,
}

type CopyNumber = usize;

#[derive(PartialEq, Eq, Hash)]
struct SlotClass {
    data: StackSlotData,
    sharers: Sharers,
}

/// Which copies may share a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sharers {
    /// All that use it through this alias region, or through none.
    Region(Option<u32>),
    /// Those of one prepared body, for the slot with this number.
    Slot(u64, StackSlot),
    /// Those of one prepared body, for the structure passed as the parameter with this number.
    Structure(u64, usize),
}

impl SharedSlots {
    /// Returns the copies that a slot of the callee can be shared with.
    pub(super) fn sharers(&self, tables: &Tables, slot: StackSlot, access: SlotAccess) -> Sharers {
        match access {
            _ if self.no_alias_regions => Sharers::Region(None),
            SlotAccess::Direct(region) => Sharers::Region(region),
            SlotAccess::Anyone => Sharers::Slot(tables.facts.id, slot),
        }
    }

    /// Starts with a caller into which nothing was spliced.
    pub(super) fn start(&mut self, options: &SpliceOptions) {
        self.enabled = options.share_slots;
        // Copies have no regions where each function's are its own.
        self.no_alias_regions =
            options.no_alias_regions || options.memory_promises == MemoryPromises::PerFunction;
        self.classes.clear();
        self.rows.clear();
        self.around.clear();
        self.ends.clear();
        self.came_in.clear();
    }

    /// Starts a copy at `call`.
    pub(super) fn enter(&mut self, call: Inst) {
        self.outer = self.came_in.get(&call).copied();
        self.current = None;
    }

    /// Returns the next slot of the copy.
    pub(super) fn take(
        &mut self,
        caller: &mut Function,
        data: StackSlotData,
        sharers: Sharers,
    ) -> StackSlot {
        if !self.enabled {
            return caller.create_sized_stack_slot(data);
        }
        let current = *self.current.get_or_insert_with(|| {
            self.around.push(self.outer);
            self.around.len() - 1
        });
        let class = SlotClass {
            data: data.clone(),
            sharers,
        };
        let new = self.rows.len();
        let class = *self.classes.entry(class).or_insert(new);
        if class == new {
            self.rows.push(Vec::new());
        }
        let place = self.end_around(current, class);
        self.ends.insert((current, class), place + 1);
        // Copies around this one took all slots before, so the row is never shorter than that.
        let row = &mut self.rows[class];
        match row.get(place) {
            Some(&slot) => slot,
            None => {
                let slot = caller.create_sized_stack_slot(data);
                row.push(slot);
                slot
            }
        }
    }

    /// Ends the copy, with which `calls` came in.
    pub(super) fn leave(&mut self, calls: &[CopiedCall]) {
        if let Some(copy) = self.current.or(self.outer) {
            self.came_in
                .extend(calls.iter().map(|call| (call.inst, copy)));
        }
    }

    /// Returns the end of the slots of a class that `copy` and those around it have.
    fn end_around(&self, copy: CopyNumber, class: usize) -> usize {
        let mut at = Some(copy);
        while let Some(copy) = at {
            if let Some(&end) = self.ends.get(&(copy, class)) {
                return end;
            }
            at = self.around.get(copy).copied().flatten();
        }
        0
    }
}
