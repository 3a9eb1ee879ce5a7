//! The uses of addresses that a body gets as parameters, and of those of its own stack slots.
//!
//! An estimate for policies, from one walk over a body: addresses are followed through additions of
//! constants, and through block parameters that are always the same address. The optimizer looks
//! closer.

use crate::body::{branches, operands, resolve_alias};
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::entity::{EntityRef, EntitySet, SecondaryMap};
use cranelift_codegen::ir::{
    Block, DebugTag, Function, Inst, InstructionData, Opcode, StackSlot, Value, ValueDef, types,
};

/// The maximum number of additions of constants that are followed back. Front ends make one or two.
const MOST_ADDITIONS: usize = 8;

/// The maximum number of walks over the edges that follow addresses through block parameters. One
/// finds them, and one for each loop inside another corrects them.
const MOST_WALKS: usize = 8;

/// A use of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressUse {
    /// A load or store at a constant offset, or a comparison.
    Access { is_memory: bool },
    /// An addition of a constant, whose own uses count too.
    Addition,
    /// An argument of a call.
    Passed(Inst),
    /// Any other use.
    Other,
}

/// Calls `note` for each use of a value that is, up to added constants, one of `origins`. Returns
/// the origin of each value.
pub(super) fn for_each_use<O: Copy>(
    func: &Function,
    origins: impl IntoIterator<Item = (Value, O)>,
    mut note: impl FnMut(O, AddressUse),
) -> SecondaryMap<Value, Option<O>> {
    let mut of: SecondaryMap<Value, Option<O>> = SecondaryMap::new();
    let mut any = false;
    // Values of an unverified function may not exist, and a table grows to any number.
    let origins = origins.into_iter();
    for (value, origin) in origins.filter(|&(value, _)| func.dfg.value_is_valid(value)) {
        of[value] = Some(origin);
        any = true;
    }
    if !any {
        return of;
    }
    let mut sums = add_sums_and_aliases(func, &mut of);
    let joins = add_joins(func, &mut of);
    if !joins.is_empty() {
        sums = add_sums_and_aliases(func, &mut of);
    }
    let origins = of;
    let of = |value| origins[value];
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
                InstructionData::Binary {
                    opcode: Opcode::Iadd,
                    ..
                } if sums.contains(inst) => {
                    let sum = func.dfg.inst_results(inst).first();
                    if let Some(origin) = sum.and_then(|&sum| of(sum)) {
                        note(origin, AddressUse::Addition);
                    }
                    continue;
                }
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
                let params = params_of(func, edge.block(&func.dfg.value_lists));
                for (index, arg) in edge.args(&func.dfg.value_lists).enumerate() {
                    let is_joined = params
                        .get(index)
                        .is_some_and(|&param| joins.contains(param));
                    if !is_joined && let Some(origin) = arg.as_value().and_then(of) {
                        note(origin, AddressUse::Other);
                    }
                }
            }
        }
    }
    origins
}

/// Gives block parameters that are always the same value the origin of that value; returns them.
///
/// Front ends that seal their blocks late pass each address through every loop. Only values of the
/// width of an address are followed, so that code without slots costs little.
fn add_joins<O: Copy>(
    func: &Function,
    of: &mut SecondaryMap<Value, Option<O>>,
) -> EntitySet<Value> {
    let entry = func.layout.entry_block();
    let mut same: SecondaryMap<Value, PackedOption<Value>> = SecondaryMap::new();
    let mut found: Vec<Value> = Vec::new();
    let mut differs: EntitySet<Value> = EntitySet::new();
    let mut changed = true;
    for _ in 0..MOST_WALKS {
        changed = false;
        for block in func.layout.blocks() {
            let Some(last) = func.layout.last_inst(block) else {
                continue;
            };
            for edge in branches(func, last) {
                let target = edge.block(&func.dfg.value_lists);
                if Some(target) == entry {
                    continue;
                }
                let args = edge.args(&func.dfg.value_lists);
                for (arg, &param) in args.zip(params_of(func, target)) {
                    if differs.contains(param) || !func.dfg.value_is_valid(param) {
                        continue;
                    }
                    let value = arg.as_value();
                    let value = value.and_then(|value| resolve_alias(&func.dfg, value));
                    let value = value.map(|value| same[value].expand().unwrap_or(value));
                    if value == Some(param) {
                        continue;
                    }
                    match (same[param].expand(), value) {
                        (None, Some(value))
                            if of[value].is_some() && func.dfg.value_type(value) == types::I64 =>
                        {
                            same[param] = value.into();
                            found.push(param);
                            changed = true;
                        }
                        (Some(known), value) if value != Some(known) => {
                            same[param] = None.into();
                            differs.insert(param);
                            changed = true;
                        }
                        _ => {}
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    let mut joins = EntitySet::new();
    if changed {
        return joins;
    }
    for param in found {
        if let Some(value) = same[param].expand() {
            of[param] = of[value];
            joins.insert(param);
        }
    }
    joins
}

fn params_of(func: &Function, block: Block) -> &[Value] {
    match func.dfg.block_is_valid(block) {
        true => func.dfg.block_params(block),
        false => &[],
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
                && func.dfg.value_is_valid(sum)
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

/// Returns whether `value` may be the address of a slot of `func`, up to added constants: it is
/// one, or a block parameter.
pub(super) fn may_be_slot(func: &Function, value: Value) -> bool {
    if func.sized_stack_slots.is_empty() {
        return false;
    }
    let Some(value) = base(func, value, 0) else {
        return false;
    };
    match func.dfg.value_def(value) {
        ValueDef::Result(inst, 0) => {
            matches!(func.dfg.insts[inst], InstructionData::StackAddr { .. })
        }
        ValueDef::Param(block, _) => {
            Some(block) != func.layout.entry_block() && func.dfg.value_type(value) == types::I64
        }
        _ => false,
    }
}

/// Returns the addresses of slots, in the order of the layout.
fn slot_addresses(func: &Function) -> impl Iterator<Item = (Value, StackSlot)> {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    insts.filter_map(|inst| match func.dfg.insts[inst] {
        InstructionData::StackAddr { stack_slot, .. }
            if func.sized_stack_slots.is_valid(stack_slot) =>
        {
            Some((*func.dfg.inst_results(inst).first()?, stack_slot))
        }
        _ => None,
    })
}

/// The stack slots of a body that only its own loads and stores at constant offsets use, so that
/// they become values once it is optimized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnSlots {
    /// The instructions that go with them: loads, stores, and computations of their addresses.
    pub insts: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The uses of a caller's stack slots.
#[derive(Debug, Default)]
pub(super) struct SlotUses {
    of: SecondaryMap<StackSlot, SlotUse>,
    /// The slot of which a value is an address.
    slots: SecondaryMap<Value, Option<StackSlot>>,
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
    /// Its other instructions that use an address, and those that compute one.
    others: u32,
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
        for (_, slot) in slot_addresses(func) {
            uses.of[slot].others += 1;
        }
        uses.slots = for_each_use(func, slot_addresses(func), |slot, how| {
            let slot = &mut uses.of[slot];
            match how {
                AddressUse::Access { is_memory: true } => slot.accesses += 1,
                AddressUse::Access { is_memory: false } | AddressUse::Addition => slot.others += 1,
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
                        uses.stay(func, slot);
                    }
                }
                for entry in func.dfg.user_stack_map_entries(inst).into_iter().flatten() {
                    uses.stay(func, entry.slot);
                }
            }
        }
        uses
    }

    fn stay(&mut self, func: &Function, slot: StackSlot) {
        if func.sized_stack_slots.is_valid(slot) {
            self.of[slot].stays = true;
        }
    }

    pub(super) fn get(&self, slot: StackSlot) -> SlotUse {
        self.of[slot]
    }

    /// Returns the slot whose address `value` is, up to added constants.
    pub(super) fn slot_of(&self, func: &Function, value: Value) -> Option<StackSlot> {
        self.slots[resolve_alias(&func.dfg, value)?]
    }

    /// Returns the slots of `func`, of which these are the uses, that no call gets.
    pub(super) fn own(&self, func: &Function) -> OwnSlots {
        let mut own = OwnSlots::default();
        for (slot, data) in &func.sized_stack_slots {
            let uses = self.of[slot];
            if !uses.stays && uses.calls == 0 {
                own.insts = own.insts.saturating_add(uses.accesses as usize);
                own.insts = own.insts.saturating_add(uses.others as usize);
                own.bytes += u64::from(data.size);
            }
        }
        own
    }
}
