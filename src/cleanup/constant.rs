//! Conditions that are constant by the instructions that compute them.

use crate::body::resolve_alias;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{DataFlowGraph, InstructionData, Opcode, Type, Value, ValueDef};

/// Front ends wrap a comparison in at most a few extensions and comparisons with zero; deeper
/// expressions are left to Cranelift's optimizer.
const MAX_DEPTH: u32 = 6;

/// Returns the bits of `value`, zero-extended, where it is an integer constant of up to 64 bits.
pub(super) fn constant(dfg: &DataFlowGraph, value: Value) -> Option<u64> {
    evaluate(dfg, value, MAX_DEPTH, false)
}

/// Like [`constant`], but also for values that are computed from constants, like offsets into
/// structures.
///
/// Conditions are left to [`constant`], so that a proof that a branch was decided needs no
/// calculation.
pub(super) fn computed_constant(dfg: &DataFlowGraph, value: Value) -> Option<u64> {
    evaluate(dfg, value, MAX_DEPTH, true)
}

fn evaluate(dfg: &DataFlowGraph, value: Value, depth: u32, computes: bool) -> Option<u64> {
    let depth = depth.checked_sub(1)?;
    let evaluate = |value| evaluate(dfg, value, depth, computes);
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
        } => evaluate(arg)?,
        InstructionData::Unary {
            opcode: Opcode::Sextend,
            arg,
        } => sign_extend(evaluate(arg)?, dfg.value_type(arg)).cast_unsigned(),
        InstructionData::IntCompare {
            opcode: Opcode::Icmp,
            args: [x, y],
            cond,
        } => {
            let ty = dfg.value_type(x);
            let x = evaluate(x)?;
            let y = evaluate(y)?;
            u64::from(compare(cond, x, y, ty))
        }
        InstructionData::Binary {
            opcode,
            args: [x, y],
        } if computes => compute(opcode, evaluate(x)?, || evaluate(y))?,
        _ => return None,
    };
    Some(mask(bits, ty))
}

fn compute(opcode: Opcode, x: u64, y: impl FnOnce() -> Option<u64>) -> Option<u64> {
    Some(match opcode {
        Opcode::Iadd => x.wrapping_add(y()?),
        Opcode::Isub => x.wrapping_sub(y()?),
        Opcode::Imul => x.wrapping_mul(y()?),
        // Amounts beyond the width are taken modulo the width; amounts below 8 are within every
        // type.
        Opcode::Ishl => match y()? {
            amount @ 0..8 => x << amount,
            _ => return None,
        },
        _ => return None,
    })
}

fn is_word(ty: Type) -> bool {
    ty.is_int() && ty.bits() <= 64
}

pub(super) fn mask(bits: u64, ty: Type) -> u64 {
    bits & (u64::MAX >> (64 - ty.bits()))
}

pub(super) fn sign_extend(bits: u64, ty: Type) -> i64 {
    let unused = 64 - ty.bits();
    (bits << unused).cast_signed() >> unused
}

pub(super) fn compare(cond: IntCC, x: u64, y: u64, ty: Type) -> bool {
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
