//! The uses of addresses that a body gets as parameters, and of those of its own stack slots.
//!
//! An estimate for policies, from one walk over a body: addresses are followed through additions of
//! constants, but not through block parameters. The optimizer looks closer.

use crate::body::{branches, operands, resolve_alias};
use cranelift_codegen::entity::{EntityRef, EntitySet, SecondaryMap};
use cranelift_codegen::ir::{
    DebugTag, Function, Inst, InstructionData, Opcode, StackSlot, Value, ValueDef,
};

/// The maximum number of additions of constants that are followed back. Front ends make one or two.
const MOST_ADDITIONS: usize = 8;

/// A use of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressUse {
    /// A load or store at a constant offset, or a comparison.
    Access { is_memory: bool },
    /// An argument of a call.
    Passed(Inst),
    /// Any other use.
    Other,
}

/// Calls `note` for each use of a value that is, up to added constants, one of `origins`.
pub(super) fn for_each_use<O: Copy>(
    func: &Function,
    origins: impl IntoIterator<Item = (Value, O)>,
    mut note: impl FnMut(O, AddressUse),
) {
    let mut of: SecondaryMap<Value, Option<O>> = SecondaryMap::new();
    let mut any = false;
    for (value, origin) in origins {
        of[value] = Some(origin);
        any = true;
    }
    if !any {
        return;
    }
    let sums = add_sums_and_aliases(func, &mut of);
    let of = |value| of[value];
    for block in func.layout.blocks() {
        let last = func.layout.last_inst(block);
        for inst in func.layout.block_insts(block) {
            let data = &func.dfg.insts[inst];
            match *data {
                InstructionData::Load {
                    opcode: Opcode::Load,
                    arg,
                    ..
                } => {
                    let access = AddressUse::Access { is_memory: true };
                    of(arg).into_iter().for_each(|origin| note(origin, access));
                    continue;
                }
                InstructionData::Store {
                    opcode: Opcode::Store,
                    args: [stored, address],
                    ..
                } => {
                    if let Some(origin) = of(address) {
                        note(origin, AddressUse::Access { is_memory: true });
                    }
                    if let Some(origin) = of(stored) {
                        note(origin, AddressUse::Other);
                    }
                    continue;
                }
                // The uses of the sum count, not the addition.
                InstructionData::Binary {
                    opcode: Opcode::Iadd,
                    ..
                } if sums.contains(inst) => continue,
                _ => {}
            }
            let how = match *data {
                InstructionData::IntCompare { .. }
                | InstructionData::Brif { .. }
                | InstructionData::CondTrap { .. } => AddressUse::Access { is_memory: false },
                InstructionData::Call { .. }
                | InstructionData::TryCall { .. }
                | InstructionData::CallIndirect { .. }
                | InstructionData::TryCallIndirect { .. } => AddressUse::Passed(inst),
                _ => AddressUse::Other,
            };
            for &arg in operands(&func.dfg, inst) {
                of(arg).into_iter().for_each(|origin| note(origin, how));
            }
            if last != Some(inst) {
                continue;
            }
            for edge in branches(func, inst) {
                for arg in edge.args(&func.dfg.value_lists) {
                    let origin = arg.as_value().and_then(of);
                    origin
                        .into_iter()
                        .for_each(|origin| note(origin, AddressUse::Other));
                }
            }
        }
    }
}

/// Gives sums with constants, and aliases, the origins of their bases. Returns the sums with
/// constants.
fn add_sums_and_aliases<O: Copy>(
    func: &Function,
    of: &mut SecondaryMap<Value, Option<O>>,
) -> EntitySet<Inst> {
    let mut sums = EntitySet::new();
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            let InstructionData::Binary {
                opcode: Opcode::Iadd,
                args: [one, other],
            } = func.dfg.insts[inst]
            else {
                continue;
            };
            let next = match (is_constant(func, one), is_constant(func, other)) {
                (false, false) => continue,
                (false, true) => Some(one),
                (true, false) => Some(other),
                (true, true) => None,
            };
            sums.insert(inst);
            if let &[sum] = func.dfg.inst_results(inst)
                && let Some(next) = next
                && let Some(origin) = base(func, next, 1).and_then(|base| of[base])
            {
                of[sum] = Some(origin);
            }
        }
    }
    for alias in (0..func.dfg.num_values()).map(Value::new) {
        if !func.dfg.value_is_real(alias)
            && let Some(origin) = resolve_alias(&func.dfg, alias).and_then(|value| of[value])
        {
            of[alias] = Some(origin);
        }
    }
    sums
}

/// Returns the value to which constants were added, if `additions` were followed back before.
fn base(func: &Function, value: Value, additions: usize) -> Option<Value> {
    let mut value = resolve_alias(&func.dfg, value)?;
    for _ in additions..MOST_ADDITIONS {
        let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
            return Some(value);
        };
        let InstructionData::Binary {
            opcode: Opcode::Iadd,
            args: [one, other],
        } = func.dfg.insts[inst]
        else {
            return Some(value);
        };
        let next = match (is_constant(func, one), is_constant(func, other)) {
            (false, true) => one,
            (true, false) => other,
            _ => return Some(value),
        };
        value = resolve_alias(&func.dfg, next)?;
    }
    Some(value)
}

fn is_constant(func: &Function, value: Value) -> bool {
    let value = resolve_alias(&func.dfg, value);
    let def = value.map(|value| func.dfg.value_def(value));
    matches!(def, Some(ValueDef::Result(inst, 0))
        if func.dfg.insts[inst].opcode() == Opcode::Iconst)
}

/// Returns the slot whose address `value` is, up to added constants.
pub(super) fn slot_of(func: &Function, value: Value) -> Option<StackSlot> {
    slot_of_base(func, base(func, value, 0)?)
}

fn slot_of_base(func: &Function, value: Value) -> Option<StackSlot> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return None;
    };
    match func.dfg.insts[inst] {
        InstructionData::StackAddr { stack_slot, .. } => Some(stack_slot),
        _ => None,
    }
}

/// Returns the addresses of slots, in the order of the layout.
fn slot_addresses(func: &Function) -> impl Iterator<Item = (Value, StackSlot)> {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    insts.filter_map(|inst| match func.dfg.insts[inst] {
        InstructionData::StackAddr { stack_slot, .. } => {
            Some((*func.dfg.inst_results(inst).first()?, stack_slot))
        }
        _ => None,
    })
}

/// The uses of a caller's stack slots.
#[derive(Debug, Default)]
pub(super) struct SlotUses {
    of: SecondaryMap<StackSlot, SlotUse>,
}

/// The uses of a slot by its function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotUse {
    /// Calls that get the address, each once.
    pub(super) calls: usize,
    /// The last of them.
    last_call: Option<Inst>,
    /// Loads and stores of the caller itself.
    pub(super) accesses: u32,
    /// Whether the slot stays in memory even if all calls are inlined.
    pub(super) stays: bool,
}

impl SlotUses {
    pub(super) fn of(func: &Function) -> Self {
        let mut uses = SlotUses::default();
        for (slot, data) in &func.sized_stack_slots {
            uses.of[slot].stays = data.key.is_some();
        }
        if func.sized_stack_slots.is_empty() {
            return uses;
        }
        for_each_use(func, slot_addresses(func), |slot, how| {
            let slot = &mut uses.of[slot];
            match how {
                AddressUse::Access { is_memory } => slot.accesses += u32::from(is_memory),
                AddressUse::Passed(call) => {
                    slot.calls += usize::from(slot.last_call != Some(call));
                    slot.last_call = Some(call);
                }
                AddressUse::Other => slot.stays = true,
            }
        });
        let has_tags = !func.debug_tags.is_empty();
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                let tags = has_tags.then(|| func.debug_tags.get(inst));
                for tag in tags.into_iter().flatten() {
                    if let DebugTag::StackSlot(slot) = *tag {
                        uses.of[slot].stays = true;
                    }
                }
                for entry in func.dfg.user_stack_map_entries(inst).into_iter().flatten() {
                    uses.of[entry.slot].stays = true;
                }
            }
        }
        uses
    }

    pub(super) fn get(&self, slot: StackSlot) -> SlotUse {
        self.of[slot]
    }
}
