//! Comparisons of constants.

use cranelift_codegen::ir::condcodes::IntCC;

/// Returns the number with these bits in two's complement. The width is in bits.
pub(super) fn signed(bits: u128, width: u32) -> i128 {
    if width == 0 || width >= 128 {
        return bits.cast_signed();
    }
    let unused = 128 - width;
    (bits << unused).cast_signed() >> unused
}

/// Returns whether a comparison of constants of a width holds.
pub(super) fn holds(cond: IntCC, a: u128, b: u128, width: u32) -> bool {
    use IntCC::*;
    let (sa, sb) = (signed(a, width), signed(b, width));
    match cond {
        Equal => a == b,
        NotEqual => a != b,
        SignedLessThan => sa < sb,
        SignedLessThanOrEqual => sa <= sb,
        SignedGreaterThan => sa > sb,
        SignedGreaterThanOrEqual => sa >= sb,
        UnsignedLessThan => a < b,
        UnsignedLessThanOrEqual => a <= b,
        UnsignedGreaterThan => a > b,
        UnsignedGreaterThanOrEqual => a >= b,
    }
}
