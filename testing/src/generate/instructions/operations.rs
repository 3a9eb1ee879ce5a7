//! Operations whose operands have a single type, and the types that all four backends and the
//! interpreter support.

use crate::generate::types::{FLOAT_VECTORS, FLOATS, INT_VECTORS, INTS, NARROW};
use cranelift_codegen::ir::Opcode::{self, *};
use cranelift_codegen::ir::Type;
use cranelift_codegen::ir::types::*;

/// An operation and the types of its operands.
pub(super) struct Operation {
    pub(super) opcode: Opcode,
    on: &'static [&'static [Type]],
}

impl Operation {
    pub(super) fn takes(&self, ty: Type) -> bool {
        self.on.iter().any(|types| types.contains(&ty))
    }
}

const fn operation(opcode: Opcode, on: &'static [&'static [Type]]) -> Operation {
    Operation { opcode, on }
}

const UP_TO_I32_LANES: &[Type] = &[I8X16, I16X8, I32X4];
const FROM_I16_LANES: &[Type] = &[I16X8, I32X4, I64X2];
const SATURATING: &[Type] = &[I8X16, I16X8];

/// Operations with one operand.
pub(super) const UNARY: &[Operation] = &[
    operation(Ineg, &[INTS, INT_VECTORS]),
    operation(Bnot, &[INTS, INT_VECTORS]),
    operation(Iabs, &[NARROW, INT_VECTORS]),
    operation(Clz, &[INTS]),
    operation(Cls, &[INTS]),
    operation(Ctz, &[INTS]),
    operation(Popcnt, &[INTS, &[I8X16]]),
    operation(Bitrev, &[INTS]),
    operation(Bswap, &[&[I16, I32, I64, I128]]),
    operation(Fneg, &[FLOATS, FLOAT_VECTORS]),
    operation(Fabs, &[FLOATS, FLOAT_VECTORS]),
    operation(Sqrt, &[FLOATS, FLOAT_VECTORS]),
    operation(Ceil, &[FLOATS, FLOAT_VECTORS]),
    operation(Floor, &[FLOATS, FLOAT_VECTORS]),
    operation(Trunc, &[FLOATS, FLOAT_VECTORS]),
    operation(Nearest, &[FLOATS, FLOAT_VECTORS]),
    operation(SwidenLow, &[UP_TO_I32_LANES]),
    operation(SwidenHigh, &[UP_TO_I32_LANES]),
    operation(UwidenLow, &[UP_TO_I32_LANES]),
    operation(UwidenHigh, &[UP_TO_I32_LANES]),
    operation(VanyTrue, &[INT_VECTORS]),
    operation(VallTrue, &[INT_VECTORS]),
];

/// Operations with two operands.
pub(super) const BINARY: &[Operation] = &[
    operation(Iadd, &[INTS, INT_VECTORS]),
    operation(Isub, &[INTS, INT_VECTORS]),
    operation(Imul, &[INTS, FROM_I16_LANES]),
    operation(Band, &[INTS, INT_VECTORS]),
    operation(Bor, &[INTS, INT_VECTORS]),
    operation(Bxor, &[INTS, INT_VECTORS]),
    operation(Umulhi, &[NARROW]),
    operation(Smulhi, &[NARROW]),
    operation(Smin, &[NARROW, INT_VECTORS]),
    operation(Smax, &[NARROW, INT_VECTORS]),
    operation(Umin, &[NARROW, INT_VECTORS]),
    operation(Umax, &[NARROW, INT_VECTORS]),
    operation(UaddSat, &[SATURATING]),
    operation(SaddSat, &[SATURATING]),
    operation(UsubSat, &[SATURATING]),
    operation(SsubSat, &[SATURATING]),
    operation(SqmulRoundSat, &[&[I16X8]]),
    operation(IaddPairwise, &[UP_TO_I32_LANES]),
    operation(Snarrow, &[&[I16X8, I32X4]]),
    operation(Unarrow, &[&[I16X8, I32X4]]),
    operation(Fadd, &[FLOATS, FLOAT_VECTORS]),
    operation(Fsub, &[FLOATS, FLOAT_VECTORS]),
    operation(Fmul, &[FLOATS, FLOAT_VECTORS]),
    operation(Fdiv, &[FLOATS, FLOAT_VECTORS]),
    operation(Fmin, &[FLOATS, FLOAT_VECTORS]),
    operation(Fmax, &[FLOATS, FLOAT_VECTORS]),
    operation(Fcopysign, &[FLOATS]),
];

/// Operations with three operands.
pub(super) const TERNARY: &[Operation] = &[
    operation(Bitselect, &[NARROW, INT_VECTORS, FLOAT_VECTORS]),
    operation(Fma, &[FLOATS, FLOAT_VECTORS]),
];

/// Shifts, whose second operand is an integer of any type.
pub(super) const SHIFTS: &[Operation] = &[
    operation(Ishl, &[INTS, INT_VECTORS]),
    operation(Ushr, &[INTS, INT_VECTORS]),
    operation(Sshr, &[INTS, INT_VECTORS]),
    operation(Rotl, &[INTS]),
    operation(Rotr, &[INTS]),
];

/// Operations with two operands, and a second result for the overflow.
pub(super) const OVERFLOWING: &[Operation] = &[operation(UaddOverflow, &[&[I32, I64, I128]])];

/// The same, without riscv64.
pub(super) const OVERFLOWING_BEYOND_RISCV64: &[Operation] = &[
    operation(UaddOverflow, &[INTS]),
    operation(SaddOverflow, &[INTS]),
    operation(UsubOverflow, &[INTS]),
    operation(SsubOverflow, &[INTS]),
    operation(UmulOverflow, &[NARROW]),
    operation(SmulOverflow, &[NARROW]),
];

/// Divisions, which trap if the divisor is zero or the quotient does not fit.
pub(super) const DIVISIONS: &[Operation] = &[
    operation(Udiv, &[NARROW]),
    operation(Urem, &[NARROW]),
    operation(Sdiv, &[NARROW]),
    operation(Srem, &[NARROW]),
];
