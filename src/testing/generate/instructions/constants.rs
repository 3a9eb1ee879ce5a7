//! Constants, mostly those at which instructions change what they do.

use crate::testing::generate::body::Body;
use crate::testing::generate::choices::Choices;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

/// A constant of type `ty`.
pub(in crate::testing::generate) fn constant(body: &mut Body<'_, '_, '_>, ty: Type) -> Value {
    let bits = integer(body.choices, ty);
    // Only as many bits as the type has may be set.
    let bits = match ty {
        types::I8 => i64::from(bits as u8),
        types::I16 => i64::from(bits as u16),
        types::I32 => i64::from(bits as u32),
        _ => bits as i64,
    };
    body.at().ins().iconst(ty, bits)
}

/// An argument of type `ty` for a call from outside.
pub(in crate::testing::generate) fn data_value(
    choices: &mut Choices<'_, '_>,
    ty: Type,
) -> DataValue {
    let bits = integer(choices, ty);
    match ty {
        types::I8 => DataValue::I8(bits as i8),
        types::I16 => DataValue::I16(bits as i16),
        types::I32 => DataValue::I32(bits as i32),
        _ => DataValue::I64(bits as i64),
    }
}

/// An integer that fits `ty`, sign-extended.
fn integer(choices: &mut Choices<'_, '_>, ty: Type) -> i128 {
    let high = 1_i128 << (ty.bits() - 1);
    match choices.below(8) {
        0 => 0,
        1 => 1,
        2 => -1,
        3 => high - 1,
        4 => -high,
        5 => i128::from(choices.byte() as i8),
        6 => 1 << choices.below(ty.bits() as usize - 1),
        _ => i128::from(choices.bits() as i64),
    }
}
