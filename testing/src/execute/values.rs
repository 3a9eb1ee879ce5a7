//! Values by their bits.

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::immediates::{Ieee16, Ieee32, Ieee64, Ieee128};
use cranelift_codegen::ir::{Signature, Type, types};

/// Writes the value's bytes, least significant or lane 0 first, to the start of `place`, up to its
/// end.
pub(super) fn write_bits(value: &DataValue, place: &mut [u8]) {
    let mut bytes = [0; 16];
    value.write_to_slice_le(&mut bytes);
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = from;
    }
}

/// Returns whether both have the same type and bits.
pub(super) fn same_bits(one: &[DataValue], other: &[DataValue]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| one.bitwise_eq(other))
}

/// Returns `value`, of type `ty`, with every NaN in it replaced by the positive quiet NaN without
/// further bits.
pub(super) fn canonical(value: DataValue, ty: Type) -> DataValue {
    match value {
        DataValue::F16(float) if float.is_nan() => DataValue::F16(Ieee16::NAN),
        DataValue::F32(float) if float.is_nan() => DataValue::F32(Ieee32::NAN),
        DataValue::F64(float) if float.is_nan() => DataValue::F64(Ieee64::NAN),
        DataValue::F128(float) if float.is_nan() => DataValue::F128(Ieee128::NAN),
        vector if ty.is_vector() && ty.lane_type().is_float() => {
            let lane = ty.lane_type();
            let mut bytes = [0; 16];
            write_bits(&vector, &mut bytes);
            let lanes = bytes.chunks_mut(lane.bytes().max(1) as usize);
            for place in lanes.take(ty.lane_count() as usize) {
                let value = DataValue::read_from_slice_le(place, lane);
                write_bits(&canonical(value, lane), place);
            }
            DataValue::read_from_slice_le(&bytes, ty)
        }
        other => other,
    }
}

/// Checks `arguments` against `signature`, and returns a description of an error.
pub(super) fn check_arguments(
    arguments: &[DataValue],
    signature: &Signature,
) -> Result<(), String> {
    let params = &signature.params;
    if arguments.len() != params.len() {
        let given = arguments.len();
        return Err(format!("{given} arguments for {} parameters", params.len()));
    }
    for (argument, param) in arguments.iter().zip(params) {
        let fits = if param.value_type.is_vector() {
            argument.is_vector() && argument.ty().bytes() == param.value_type.bytes()
        } else {
            argument.ty() == param.value_type
        };
        if !fits {
            let ty = param.value_type;
            return Err(format!("the value {argument} for a parameter of type {ty}"));
        }
    }
    Ok(())
}

/// Returns whether a [`DataValue`] can hold a value of type `ty`.
pub(super) fn has_data_value(ty: Type) -> bool {
    let scalars = [
        types::I8,
        types::I16,
        types::I32,
        types::I64,
        types::I128,
        types::F16,
        types::F32,
        types::F64,
        types::F128,
    ];
    scalars.contains(&ty) || (ty.is_vector() && matches!(ty.bytes(), 2 | 4 | 8 | 16))
}
