//! Accesses beyond a stack slot.
//!
//! Cranelift lays out slots one after the other, so code that goes past the end of one reaches the
//! next. Cranelift does not promise that, but some code relies on it. Between other slots, or where
//! slots are shared or dropped, it would reach something else.

use cranelift_codegen::ir::{
    Function, Inst, InstructionData, Opcode, StackSlot, Type, Value, ValueDef, types,
};
use rustc_hash::FxHashMap;

/// Returns a slot beyond which `insts` reach, as far as constants show: by the offset of a
/// `stack_addr`, by an addition to it, or by the offset or the width of an access.
///
/// An address just behind a slot does not count, because it may be a bound that is never accessed.
/// `insts` must have definitions before uses, else some accesses are missed. `resolve` follows
/// aliases.
pub(crate) fn slot_overrun(
    func: &Function,
    insts: impl Iterator<Item = Inst>,
    resolve: impl Fn(Value) -> Option<Value>,
) -> Option<StackSlot> {
    if func.sized_stack_slots.is_empty() {
        return None;
    }
    let mut addresses: FxHashMap<Value, (StackSlot, i64)> = FxHashMap::default();
    let beyond = |(slot, offset): (StackSlot, i64), bytes: u32| {
        let size = func.sized_stack_slots.get(slot)?.size;
        let end = offset.checked_add(i64::from(bytes));
        let fits = offset >= 0 && end.is_some_and(|end| end <= i64::from(size));
        (!fits).then_some(slot)
    };
    for inst in insts {
        let data = &func.dfg.insts[inst];
        if let InstructionData::StackAddr {
            stack_slot, offset, ..
        } = *data
        {
            let address = (stack_slot, i64::from(offset));
            if let Some(slot) = beyond(address, 0) {
                return Some(slot);
            }
            addresses.extend(func.dfg.inst_results(inst).iter().map(|&v| (v, address)));
            continue;
        }
        if addresses.is_empty() {
            continue;
        }
        if let InstructionData::Binary { opcode, args } = *data {
            let sum = sum_of_constant(func, opcode, args, &addresses, &resolve);
            let results = func.dfg.inst_results(inst).iter();
            addresses.extend(results.zip(sum).map(|(&value, sum)| (value, sum)));
            continue;
        }
        let Some((address, offset, bytes)) = access(func, inst, data) else {
            continue;
        };
        if let Some(&(slot, from)) = resolve(address).and_then(|value| addresses.get(&value))
            && let Some(slot) = beyond((slot, from.saturating_add(offset)), bytes)
        {
            return Some(slot);
        }
    }
    None
}

/// Returns the address that `args` add up to, if one is an address and the other a constant.
fn sum_of_constant(
    func: &Function,
    opcode: Opcode,
    args: [Value; 2],
    addresses: &FxHashMap<Value, (StackSlot, i64)>,
    resolve: &impl Fn(Value) -> Option<Value>,
) -> Option<(StackSlot, i64)> {
    let sign = match opcode {
        Opcode::Iadd => 1,
        Opcode::Isub => -1,
        _ => return None,
    };
    let [x, y] = [resolve(args[0])?, resolve(args[1])?];
    let (address, other) = match (addresses.get(&x), addresses.get(&y)) {
        (Some(&address), None) => (address, y),
        (None, Some(&address)) if opcode == Opcode::Iadd => (address, x),
        _ => return None,
    };
    let ValueDef::Result(inst, _) = func.dfg.value_def(other) else {
        return None;
    };
    let InstructionData::UnaryImm {
        opcode: Opcode::Iconst,
        imm,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let width = func.dfg.value_type(other).bits().min(64);
    let imm = imm.sign_extend_from_width(width).bits();
    let (slot, offset) = address;
    Some((slot, offset.checked_add(imm.checked_mul(sign)?)?))
}

/// Returns the address, the offset and the width of a memory access.
fn access(func: &Function, inst: Inst, data: &InstructionData) -> Option<(Value, i64, u32)> {
    let dfg = &func.dfg;
    let result = || match dfg.inst_results(inst) {
        [result] => dfg.value_type(*result),
        _ => types::INVALID,
    };
    let stored = |value: Value| dfg.value_type(value);
    let (address, offset, ty) = match *data {
        InstructionData::Load { arg, offset, .. } => (arg, i64::from(offset), result()),
        InstructionData::Store { args, offset, .. } => {
            (args[1], i64::from(offset), stored(args[0]))
        }
        InstructionData::LoadNoOffset { arg, .. } => (arg, 0, result()),
        InstructionData::StoreNoOffset { args, .. } => (args[1], 0, stored(args[0])),
        InstructionData::AtomicRmw { args, .. } => (args[0], 0, stored(args[1])),
        InstructionData::AtomicCas { args, .. } => (args[0], 0, stored(args[1])),
        _ => return None,
    };
    Some((address, offset, width(data.opcode(), ty)))
}

fn width(opcode: Opcode, ty: Type) -> u32 {
    match opcode {
        Opcode::Uload8 | Opcode::Sload8 | Opcode::Istore8 => 1,
        Opcode::Uload16 | Opcode::Sload16 | Opcode::Istore16 => 2,
        Opcode::Uload32 | Opcode::Sload32 | Opcode::Istore32 => 4,
        Opcode::Uload8x8
        | Opcode::Sload8x8
        | Opcode::Uload16x4
        | Opcode::Sload16x4
        | Opcode::Uload32x2
        | Opcode::Sload32x2 => 8,
        // The least that it can be.
        _ if ty.is_dynamic_vector() => 0,
        _ => ty.bytes(),
    }
}
