//! The host: the functions that a program calls and does not define.
//!
//! Interpreter and native code call the same host, so a program behaves the same in both.

use super::HostCall;
use super::values::{canonical, write_bits};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::immediates::{Ieee16, Ieee128};
use cranelift_codegen::ir::{AbiParam, Signature, Type, types};
use cranelift_inliner::program::FunctionName;

/// The calls of one invocation so far.
#[derive(Debug, Default)]
pub(super) struct Host {
    calls: Vec<HostCall>,
}

/// The result of a call of the host.
pub(super) enum Reply {
    /// It returns these values.
    Return(Vec<DataValue>),
    /// It throws an exception.
    Throw(Exception),
}

/// An exception being thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) tag: u32,
    pub(super) payload: i64,
}

impl Host {
    /// Records the call and returns its result.
    pub(super) fn call(
        &mut self,
        function: &FunctionName,
        arguments: Vec<DataValue>,
        signature: &Signature,
    ) -> Reply {
        let arguments: Vec<DataValue> = arguments
            .into_iter()
            .zip(&signature.params)
            .map(|(value, param)| canonical(value, param.value_type))
            .collect();
        let reply = match thrown(function, &arguments) {
            Some(exception) => Reply::Throw(exception),
            None => {
                let seed = seed(function, self.calls.len(), &arguments);
                Reply::Return(results(seed, &signature.returns))
            }
        };
        self.calls.push(HostCall {
            function: function.clone(),
            arguments,
        });
        reply
    }

    pub(super) fn into_calls(self) -> Vec<HostCall> {
        self.calls
    }
}

/// Returns the exception that a call of `%throw` throws; `None` for other functions.
fn thrown(function: &FunctionName, arguments: &[DataValue]) -> Option<Exception> {
    if *function != FunctionName::testcase("throw") {
        return None;
    }
    let mut integers = arguments.iter().map(integer);
    let tag = integers.next()??;
    let payload = integers.next().flatten().unwrap_or(0);
    Some(Exception {
        tag: tag as u32,
        payload,
    })
}

fn integer(value: &DataValue) -> Option<i64> {
    Some(match value {
        DataValue::I8(bits) => i64::from(*bits),
        DataValue::I16(bits) => i64::from(*bits),
        DataValue::I32(bits) => i64::from(*bits),
        DataValue::I64(bits) => *bits,
        DataValue::I128(bits) => *bits as i64,
        _ => return None,
    })
}

/// Returns a hash of the name, of the index in the order of calls and of the arguments.
fn seed(function: &FunctionName, ordinal: usize, arguments: &[DataValue]) -> u64 {
    let mut state = mix(ordinal as u64);
    for byte in function.to_string().into_bytes() {
        state = mix(state ^ u64::from(byte));
    }
    for argument in arguments {
        let mut bytes = [0; 16];
        write_bits(argument, &mut bytes);
        for word in bytes.as_chunks::<8>().0 {
            state = mix(state ^ u64::from_le_bytes(*word));
        }
    }
    state
}

/// Mixes the bits by the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014), after its increment.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn results(seed: u64, returns: &[AbiParam]) -> Vec<DataValue> {
    let mut state = seed;
    returns
        .iter()
        .map(|result| value(&mut state, result.value_type))
        .collect()
}

/// Returns the next value of type `ty`.
fn value(state: &mut u64, ty: Type) -> DataValue {
    let mut bytes = [0; 16];
    let lane = ty.lane_type();
    let size = lane.bytes() as usize;
    for place in bytes.chunks_mut(size.max(1)).take(ty.lane_count() as usize) {
        write_bits(&lane_value(state, lane), place);
    }
    DataValue::read_from_slice_le(&bytes, ty)
}

fn lane_value(state: &mut u64, ty: Type) -> DataValue {
    *state = mix(*state);
    let bits = *state;
    // Half of the integers are small, so that branches on them go both ways.
    let integer = match bits % 4 {
        0 => i128::from(bits >> 8 & 1),
        1 => i128::from(bits >> 8 & 0xf) - 8,
        _ => {
            *state = mix(bits);
            i128::from(bits) << 64 | i128::from(*state)
        }
    };
    // Quarters from -8 to 7.75: exact in every type.
    let float = ((bits >> 8 & 0x3f) as f32 - 32.0) / 4.0;
    match ty {
        types::I8 => DataValue::I8(integer as i8),
        types::I16 => DataValue::I16(integer as i16),
        types::I32 => DataValue::I32(integer as i32),
        types::I64 => DataValue::I64(integer as i64),
        types::F32 => DataValue::F32(float.into()),
        types::F64 => DataValue::F64(f64::from(float).into()),
        types::F16 => DataValue::F16(Ieee16::with_bits(0)),
        types::F128 => DataValue::F128(Ieee128::with_bits(0)),
        _ => DataValue::I128(integer),
    }
}
