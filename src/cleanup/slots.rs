//! Removal of unused stack slots.

use crate::body::{resolve_alias, slot_overrun};
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::entity::{EntityRef, PrimaryMap, SecondaryMap};
use cranelift_codegen::ir::{
    DebugTag, Function, Inst, InstructionData, Opcode, StackSlot, StackSlotData, StackSlotKind,
};

/// Removes sized stack slots that no instruction, tag or stack map names and that have no key;
/// returns their number.
///
/// The remaining slots move together. Cranelift has no way to change a stack map, so the slots that
/// one names keep their number, and a gap that cannot be filled becomes a slot of no size. Does
/// nothing if a missing slot is named.
pub(super) fn drop_unused_slots(func: &mut Function) -> usize {
    let count = func.sized_stack_slots.len();
    if count == 0 {
        return 0;
    }
    let uses = Uses::find(func);
    let kept = func.sized_stack_slots.iter();
    let kept: Vec<StackSlot> = kept
        .filter(|(slot, data)| data.key.is_some() || uses.of[*slot] != Use::None)
        .map(|(slot, _)| slot)
        .collect();
    if kept.len() == count || uses.names_missing || relies_on_layout(func) {
        return 0;
    }
    let pinned = |slot: &StackSlot| uses.of[*slot] == Use::Pinned;
    let fixed = kept.iter().filter(|slot| pinned(slot));
    let fixed_len = fixed.map(|slot| slot.index() + 1).max().unwrap_or(0);
    let mut placed: Vec<Option<StackSlot>> = vec![None; fixed_len.max(kept.len())];
    for &slot in kept.iter().filter(|slot| pinned(slot)) {
        placed[slot.index()] = Some(slot);
    }
    let mut free = 0;
    for &slot in kept.iter().filter(|slot| !pinned(slot)) {
        while placed[free].is_some() {
            free += 1;
        }
        placed[free] = Some(slot);
    }
    while let Some(None) = placed.last() {
        placed.pop();
    }

    let mut renamed: SecondaryMap<StackSlot, StackSlot> =
        SecondaryMap::with_default(StackSlot::reserved_value());
    let mut slots = PrimaryMap::with_capacity(placed.len());
    for old in placed {
        let data = match old {
            Some(old) => func.sized_stack_slots[old].clone(),
            None => StackSlotData::new(StackSlotKind::ExplicitSlot, 0, 0),
        };
        let new = slots.push(data);
        if let Some(old) = old {
            renamed[old] = new;
        }
    }
    let dropped = count - kept.len();
    func.sized_stack_slots = slots;
    uses.rename(func, &renamed);
    dropped
}

/// Returns whether some code of the caller's own goes past the end of a slot into the next, which
/// must then stay in its place.
pub(super) fn relies_on_layout(func: &Function) -> bool {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    slot_overrun(func, insts, |value| resolve_alias(&func.dfg, value)).is_some()
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Use {
    #[default]
    None,
    /// Named by an instruction or a tag.
    Movable,
    /// Named by a stack map.
    Pinned,
}

struct Uses {
    of: SecondaryMap<StackSlot, Use>,
    addresses: Vec<Inst>,
    tagged: Vec<Inst>,
    names_missing: bool,
}

impl Uses {
    fn find(func: &Function) -> Self {
        let mut uses = Uses {
            of: SecondaryMap::new(),
            addresses: Vec::new(),
            tagged: Vec::new(),
            names_missing: false,
        };
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                uses.find_in_inst(func, inst);
            }
        }
        uses
    }

    fn find_in_inst(&mut self, func: &Function, inst: Inst) {
        let data = &func.dfg.insts[inst];
        if let InstructionData::StackAddr { stack_slot, .. } = data {
            self.addresses.push(inst);
            self.note(func, *stack_slot, Use::Movable);
            return;
        }
        let opcode = data.opcode();
        if !opcode.is_call() && opcode != Opcode::SequencePoint {
            return;
        }
        let mut names_slot = false;
        for tag in func.debug_tags.get(inst) {
            if let DebugTag::StackSlot(slot) = tag {
                self.note(func, *slot, Use::Movable);
                names_slot = true;
            }
        }
        if names_slot {
            self.tagged.push(inst);
        }
        for entry in func.dfg.user_stack_map_entries(inst).unwrap_or_default() {
            self.note(func, entry.slot, Use::Pinned);
        }
    }

    fn note(&mut self, func: &Function, slot: StackSlot, how: Use) {
        if !func.sized_stack_slots.is_valid(slot) {
            self.names_missing = true;
        } else if self.of[slot] != Use::Pinned {
            self.of[slot] = how;
        }
    }

    fn rename(&self, func: &mut Function, renamed: &SecondaryMap<StackSlot, StackSlot>) {
        for &inst in &self.addresses {
            if let InstructionData::StackAddr { stack_slot, .. } = &mut func.dfg.insts[inst] {
                *stack_slot = renamed[*stack_slot];
            }
        }
        for &inst in &self.tagged {
            let mut tags = func.debug_tags.get(inst).to_vec();
            let mut changed = false;
            for tag in &mut tags {
                if let DebugTag::StackSlot(slot) = tag {
                    changed |= *slot != renamed[*slot];
                    *slot = renamed[*slot];
                }
            }
            if changed {
                func.debug_tags.set(inst, tags);
            }
        }
    }
}
