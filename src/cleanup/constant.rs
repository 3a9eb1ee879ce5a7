//! Conditions whose value is known from the instructions that compute them.

use crate::body::resolve_alias;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{DataFlowGraph, InstructionData, Opcode, Type, Value, ValueDef};

/// Front ends wrap a comparison in at most a few extensions and comparisons
/// with zero; deeper expressions are left to Cranelift's optimizer.
const MAX_DEPTH: u32 = 6;

/// The bits of `value`, zero-extended, where it is an integer constant of up
/// to 64 bits.
pub(super) fn constant(dfg: &DataFlowGraph, value: Value) -> Option<u64> {
    evaluate(dfg, value, MAX_DEPTH)
}

fn evaluate(dfg: &DataFlowGraph, value: Value, depth: u32) -> Option<u64> {
    let depth = depth.checked_sub(1)?;
    let value = resolve_alias(dfg, value)?;
    let ty = dfg.value_type(value);
    if !is_word(ty) {
        return None;
    }
    let ValueDef::Result(inst, 0) = dfg.value_def(value) else {
        return None;
    };
    let bits = match dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => imm.bits().cast_unsigned(),
        InstructionData::Unary {
            opcode: Opcode::Uextend | Opcode::Ireduce,
            arg,
        } => evaluate(dfg, arg, depth)?,
        InstructionData::Unary {
            opcode: Opcode::Sextend,
            arg,
        } => sign_extend(evaluate(dfg, arg, depth)?, dfg.value_type(arg)).cast_unsigned(),
        InstructionData::IntCompare {
            opcode: Opcode::Icmp,
            args: [x, y],
            cond,
        } => {
            let ty = dfg.value_type(x);
            let x = evaluate(dfg, x, depth)?;
            let y = evaluate(dfg, y, depth)?;
            u64::from(compare(cond, x, y, ty))
        }
        _ => return None,
    };
    Some(mask(bits, ty))
}

fn is_word(ty: Type) -> bool {
    ty.is_int() && ty.bits() <= 64
}

fn mask(bits: u64, ty: Type) -> u64 {
    bits & (u64::MAX >> (64 - ty.bits()))
}

fn sign_extend(bits: u64, ty: Type) -> i64 {
    let unused = 64 - ty.bits();
    (bits << unused).cast_signed() >> unused
}

fn compare(cond: IntCC, x: u64, y: u64, ty: Type) -> bool {
    let (sx, sy) = (sign_extend(x, ty), sign_extend(y, ty));
    match cond {
        IntCC::Equal => x == y,
        IntCC::NotEqual => x != y,
        IntCC::SignedLessThan => sx < sy,
        IntCC::SignedGreaterThanOrEqual => sx >= sy,
        IntCC::SignedGreaterThan => sx > sy,
        IntCC::SignedLessThanOrEqual => sx <= sy,
        IntCC::UnsignedLessThan => x < y,
        IntCC::UnsignedGreaterThanOrEqual => x >= y,
        IntCC::UnsignedGreaterThan => x > y,
        IntCC::UnsignedLessThanOrEqual => x <= y,
    }
}
