//! Running a program, in Cranelift's interpreter or natively, and noting what can be seen of it
//! from outside.

use crate::program::FunctionName;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::TrapCode;

/// A call from outside to a function of a program.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What is called.
    pub function: FunctionName,
    /// One value for each parameter, of its type.
    pub arguments: Vec<DataValue>,
}

/// What can be seen from outside of one call: what the host was called with, and how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The calls of functions that the program does not define, in order.
    pub host_calls: Vec<HostCall>,
    /// How the call ended.
    pub outcome: Outcome,
}

/// A call of a function that the program does not define.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCall {
    /// What was called.
    pub function: FunctionName,
    /// Its arguments.
    pub arguments: Vec<DataValue>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It returned these values.
    Returned(Vec<DataValue>),
    /// It trapped.
    Trapped(TrapCode),
    /// It threw an exception which no handler takes.
    Threw {
        /// The exception's tag.
        tag: u32,
        /// Its payload.
        payload: i64,
    },
}
