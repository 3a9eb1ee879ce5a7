//! Accesses beyond a stack slot.
//!
//! Cranelift lays out slots one after the other, so code that goes past the end of one reaches the
//! next. Cranelift does not promise that, but some code relies on it. Between other slots, or where
//! slots are shared or dropped, it would reach something else.

use super::branches;
use cranelift_codegen::ir::{
    Function, Inst, InstructionData, Opcode, StackSlot, Type, Value, ValueDef, types,
};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

/// The places of slots that a value may be the address of. Where it comes from more than a few,
/// the others are not looked at.
type Places = SmallVec<[(StackSlot, i64); 2]>;
const MOST_PLACES: usize = 8;

type Addresses = FxHashMap<Value, Places>;

/// Returns a slot beyond which `insts` reach, as far as constants show: by the offset of a
/// `stack_addr`, by an addition to it, or by the offset or the width of an access. Addresses are
/// followed through `select` and into blocks, but not around loops, which may end before.
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
    let mut addresses = Addresses::default();
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
            for &result in func.dfg.inst_results(inst) {
                addresses.insert(result, smallvec![address]);
            }
            continue;
        }
        if addresses.is_empty() {
            continue;
        }
        match *data {
            InstructionData::Binary { opcode, args } => {
                let sums = sums_of_constant(func, opcode, args, &addresses, &resolve);
                for &result in func.dfg.inst_results(inst) {
                    add(&mut addresses, result, &sums);
                }
                continue;
            }
            InstructionData::Ternary {
                opcode: Opcode::Select | Opcode::SelectSpectreGuard,
                args: [_, one, other],
            } => {
                for &result in func.dfg.inst_results(inst) {
                    pass(&mut addresses, resolve(one), result);
                    pass(&mut addresses, resolve(other), result);
                }
                continue;
            }
            _ => {}
        }
        if data.opcode().is_branch() {
            let pool = &func.dfg.value_lists;
            for call in branches(func, inst) {
                let target = call.block(pool);
                if !func.dfg.block_is_valid(target) {
                    continue;
                }
                let params = func.dfg.block_params(target);
                for (arg, &param) in call.args(pool).zip(params) {
                    pass(&mut addresses, arg.as_value().and_then(&resolve), param);
                }
            }
            continue;
        }
        let Some((address, offset, bytes)) = access(func, inst, data) else {
            continue;
        };
        let places = resolve(address).and_then(|value| addresses.get(&value));
        let mut places = places.into_iter().flatten();
        let found =
            places.find_map(|&(slot, from)| beyond((slot, from.saturating_add(offset)), bytes));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Notes that `value` may be `from`.
fn pass(addresses: &mut Addresses, from: Option<Value>, value: Value) {
    if let Some(places) = from.and_then(|from| addresses.get(&from)).cloned() {
        add(addresses, value, &places);
    }
}

fn add(addresses: &mut Addresses, value: Value, places: &[(StackSlot, i64)]) {
    if places.is_empty() {
        return;
    }
    let known = addresses.entry(value).or_default();
    for place in places {
        if known.len() < MOST_PLACES && !known.contains(place) {
            known.push(*place);
        }
    }
}

/// Returns the addresses that `args` may add up to, if one is an address and the other a constant.
fn sums_of_constant(
    func: &Function,
    opcode: Opcode,
    args: [Value; 2],
    addresses: &Addresses,
    resolve: &impl Fn(Value) -> Option<Value>,
) -> Places {
    let sign = match opcode {
        Opcode::Iadd => 1,
        Opcode::Isub => -1,
        _ => return Places::new(),
    };
    let [Some(x), Some(y)] = args.map(resolve) else {
        return Places::new();
    };
    let (places, other) = match (addresses.get(&x), addresses.get(&y)) {
        (Some(places), None) => (places, y),
        (None, Some(places)) if opcode == Opcode::Iadd => (places, x),
        _ => return Places::new(),
    };
    let Some(amount) = constant(func, other).and_then(|amount| amount.checked_mul(sign)) else {
        return Places::new();
    };
    let sums = places.iter();
    let sums = sums.filter_map(|&(slot, offset)| Some((slot, offset.checked_add(amount)?)));
    sums.collect()
}

fn constant(func: &Function, value: Value) -> Option<i64> {
    let ValueDef::Result(inst, _) = func.dfg.value_def(value) else {
        return None;
    };
    let InstructionData::UnaryImm {
        opcode: Opcode::Iconst,
        imm,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let ty = func.dfg.value_type(value);
    if !ty.is_int() {
        return None;
    }
    let width = ty.bits().min(64);
    Some(imm.sign_extend_from_width(width).bits())
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
