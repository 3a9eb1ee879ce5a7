//! The alias regions through which a body uses each of its stack slots.
//!
//! Cranelift assumes that no address is used through two alias regions, or through one and through
//! none: it drops a store that repeats the last one of its region. So two bodies that share a slot
//! must access it through the same region.

use super::tables::{SlotAccess, Tables};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{Function, InstructionData, MemFlags, Value};
use rustc_hash::FxHashMap;

/// Returns the access of each used slot, in the order of the list of used slots.
pub(super) fn of_used_slots(func: &Function, tables: &Tables) -> Vec<SlotAccess> {
    let slots = &tables.used.slots.list;
    if slots.is_empty() {
        return Vec::new();
    }
    let places = slots.iter().enumerate();
    let places: FxHashMap<_, _> = places.map(|(place, &slot)| (slot, place)).collect();
    let mut found: Vec<Option<SlotAccess>> = vec![None; slots.len()];
    let mut addresses: FxHashMap<Value, usize> = FxHashMap::default();
    // Definitions come before uses in this order.
    for plan in &tables.insts {
        match plan.data {
            InstructionData::StackAddr { stack_slot, .. } => {
                let results = func.dfg.inst_results(plan.inst).iter();
                let place = places.get(&stack_slot);
                addresses.extend(results.copied().zip(place.copied()));
            }
            InstructionData::Load { arg, flags, .. } => {
                note(&addresses, &mut found, arg, direct(func, flags));
            }
            InstructionData::Store { args, flags, .. } => {
                let [stored, address] = args;
                note(&addresses, &mut found, stored, SlotAccess::Anyone);
                note(&addresses, &mut found, address, direct(func, flags));
            }
            _ if addresses.is_empty() => {}
            _ => {
                for value in func.dfg.inst_values(plan.inst) {
                    let value = tables.resolved.get(value.index());
                    let value = value.copied().unwrap_or(Value::reserved_value());
                    note(&addresses, &mut found, value, SlotAccess::Anyone);
                }
            }
        }
    }
    let found = found.into_iter();
    found
        .map(|access| access.unwrap_or(SlotAccess::Direct(None)))
        .collect()
}

fn direct(func: &Function, flags: MemFlags) -> SlotAccess {
    let region = func.dfg.mem_flags[flags].alias_region();
    SlotAccess::Direct(region.map(|region| func.dfg.alias_regions[region].user_id))
}

fn note(
    addresses: &FxHashMap<Value, usize>,
    found: &mut [Option<SlotAccess>],
    value: Value,
    access: SlotAccess,
) {
    let place = addresses.get(&value).copied();
    let Some(known) = place.and_then(|place| found.get_mut(place)) else {
        return;
    };
    *known = match *known {
        Some(before) if before != access => Some(SlotAccess::Anyone),
        _ => Some(access),
    };
}
