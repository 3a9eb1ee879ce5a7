//! Constants, mostly those at which instructions change their behaviour.

use crate::generate::body::Body;
use crate::generate::choices::Choices;
use crate::generate::types::FLOATS;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::constant::ConstantData;
use cranelift_codegen::ir::immediates::{Ieee16, Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

/// Makes a constant of type `ty`.
pub(in crate::generate) fn constant(body: &mut Body<'_, '_, '_>, ty: Type) -> Value {
    let bits = some_bits(body.choices, ty);
    match ty {
        types::F16 => {
            let float = Ieee16::with_bits(bits as u16);
            body.at().ins().f16const(float)
        }
        types::F32 => {
            let float = Ieee32::with_bits(bits as u32);
            body.at().ins().f32const(float)
        }
        types::F64 => {
            let float = Ieee64::with_bits(bits as u64);
            body.at().ins().f64const(float)
        }
        types::F128 => {
            let data = ConstantData::from(&bits.to_le_bytes()[..]);
            let constant = body.func.dfg.constants.insert(data);
            body.at().ins().f128const(constant)
        }
        ty if ty.is_vector() => {
            let data = ConstantData::from(&bits.to_le_bytes()[..]);
            let constant = body.func.dfg.constants.insert(data);
            body.at().ins().vconst(ty, constant)
        }
        ty => integer_constant(body, ty, bits as i128),
    }
}

/// Returns the integer `number`, truncated to type `ty`.
pub(in crate::generate) fn integer_constant(
    body: &mut Body<'_, '_, '_>,
    ty: Type,
    number: i128,
) -> Value {
    match ty {
        types::I128 => {
            let low = body.at().ins().iconst(types::I64, number as i64);
            match (number >> 64, number as i64) {
                (0, _) => body.at().ins().uextend(ty, low),
                (-1, i64::MIN..=-1) => body.at().ins().sextend(ty, low),
                (high, _) => {
                    let high = body.at().ins().iconst(types::I64, high as i64);
                    body.at().ins().iconcat(low, high)
                }
            }
        }
        // Only bits of the type may be set.
        types::I8 => body.at().ins().iconst(ty, i64::from(number as u8)),
        types::I16 => body.at().ins().iconst(ty, i64::from(number as u16)),
        types::I32 => body.at().ins().iconst(ty, i64::from(number as u32)),
        _ => body.at().ins().iconst(ty, number as i64),
    }
}

/// Returns an argument of type `ty` for a call from outside.
pub(in crate::generate) fn data_value(choices: &mut Choices<'_, '_>, ty: Type) -> DataValue {
    let bits = some_bits(choices, ty);
    DataValue::read_from_slice_le(&bits.to_le_bytes()[..ty.bytes() as usize], ty)
}

/// Returns the bits of a value of type `ty`, in the lowest bits.
fn some_bits(choices: &mut Choices<'_, '_>, ty: Type) -> u128 {
    let lane = ty.lane_type();
    let mut lane_bits = || {
        if FLOATS.contains(&lane) {
            float_bits(choices, lane)
        } else {
            integer(choices, lane) as u128 & (u128::MAX >> (128 - lane.bits()))
        }
    };
    match ty.lane_count() {
        1 => lane_bits(),
        lanes => {
            // Two different lanes are enough to distinguish lanes.
            let pair = [lane_bits(), lane_bits()];
            let lanes = (0..lanes).zip(pair.iter().cycle());
            lanes.fold(0, |bits, (lane_index, value)| {
                bits | value << (lane_index * lane.bits())
            })
        }
    }
}

/// Returns an integer that fits `ty`.
fn integer(choices: &mut Choices<'_, '_>, ty: Type) -> i128 {
    let high = 1_i128 << (ty.bits() - 1);
    match choices.below(8) {
        0 => 0,
        1 => 1,
        2 => -1,
        3 => high.wrapping_sub(1),
        4 => high.wrapping_neg(),
        5 => i128::from(choices.byte() as i8),
        6 => 1 << choices.below(ty.bits() as usize - 1),
        _ => {
            let low = choices.bits();
            // The halves differ, for types that have both.
            i128::from(low.rotate_left(17)) << 64 | i128::from(low)
        }
    }
}

fn float_bits(choices: &mut Choices<'_, '_>, ty: Type) -> u128 {
    let float = match choices.below(12) {
        0 => 0.0,
        1 => 1.0,
        2 => -1.0,
        3 => -0.0,
        4 => 0.5,
        5 => f64::INFINITY,
        6 => f64::NEG_INFINITY,
        7 => f64::NAN,
        8 => 4_294_967_296.0,
        9 => -9_223_372_036_854_775_808.0,
        10 => f64::from(choices.byte() as i8) * 0.75,
        _ => {
            // Any bits, including subnormal numbers, but no signaling NaN.
            let bits = choices.bits();
            if ty == types::F32 {
                let float = f32::from_bits(bits as u32);
                let float = if float.is_nan() { f32::NAN } else { float };
                return u128::from(float.to_bits());
            }
            f64::from_bits(bits)
        }
    };
    let float = if float.is_nan() { f64::NAN } else { float };
    if ty == types::F32 {
        u128::from((float as f32).to_bits())
    } else {
        u128::from(float.to_bits())
    }
}
