//! Running a program, in Cranelift's interpreter or natively, and noting what can be seen of it
//! from outside.
//!
//! What can be seen, an [`Observation`], is which functions of the host were called with what, and
//! how the call ended. A program means the same before inlining and after if its observations are
//! equal, in the interpreter and natively.
//!
//! # The host
//!
//! What a program calls and does not define is a function of the host. Every call of it is noted.
//! What it returns is a fixed function of the function's name, of how many calls of the host there
//! were before, and of the arguments' bits: from these a number is made, and from it the results in
//! order. About half of the integers are small (0, 1, or from -8 to 7), so that branches on them go
//! both ways, and the others any. Floats are quarters from -8 to 7.75, so never NaN; those of 16
//! and 128 bits are 0.
//!
//! The function `%throw` does not return. It throws the exception whose tag is its first integer
//! and whose payload is its second; a handler gets the payload and 0. Handlers are tried in order;
//! contexts are passed over, so a tag means the same in all of them.
//!
//! # Floats
//!
//! Which NaN an operation gives is left to the machine. In observations every NaN is the canonical
//! one. The interpreter makes the result of every float operation canonical, and so does native
//! code from [`Engine::new`], as the setting `enable_nan_canonicalization` says; so programs may
//! look at the bits of a NaN that an operation gave. Floats are compared by their bits: 0 and -0
//! differ.
//!
//! # Example
//!
//! Inlining keeps what a program does:
//!
//! ```
//! use cranelift_codegen::data_value::DataValue;
//! use cranelift_inliner::backend::TargetSettings;
//! use cranelift_inliner::decide::Always;
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//! use cranelift_inliner_testing::execute::{Engine, Invocation, interpret};
//!
//! let program = Program::from_clif("
//! function %main(i32) -> i32 {
//!     fn0 = %ask(i32) -> i32
//! block0(v0: i32):
//!     v1 = call fn0(v0)
//!     v2 = udiv v0, v1
//!     return v2
//! }
//! function %ask(i32) -> i32 {
//!     fn0 = %host(i32) -> i32
//! block0(v0: i32):
//!     v1 = iadd v0, v0
//!     v2 = call fn0(v1)
//!     return v2
//! }", "ask.clif")?;
//! let invocation = Invocation { function: "main".parse()?, arguments: vec![DataValue::I32(7)] };
//! let before = interpret(&program, &invocation, 1000)?;
//! assert_eq!(before.host_calls[0].arguments, [DataValue::I32(14)]);
//!
//! # if !Engine::works_here() { return Ok(()) }
//! let engine = Engine::new(&TargetSettings::new())?;
//! let (_, compiled) = Inliner::new(Always).run_and_compile(&program, engine.isa())?;
//! let native = engine.link(&program, compiled.iter().map(|(_, function)| function))?;
//! assert_eq!(native.call(&invocation)?, before);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod host;
#[cfg(feature = "properties")]
mod interpret;
mod native;
mod values;

pub use error::ExecuteError;
#[cfg(feature = "properties")]
pub use interpret::{interpret, interpret_in_order};
pub use native::{
    Engine, IsolatedOutcome, IsolatedProgram, NativeProgram, SharedCounters, Snapshot,
    check_signature, process_symbol,
};

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::TrapCode;
use cranelift_inliner::program::FunctionName;

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

/// A call of a function that the program does not define. Two are equal if their arguments are the
/// same bits.
#[derive(Clone, Debug)]
pub struct HostCall {
    /// What was called.
    pub function: FunctionName,
    /// Its arguments.
    pub arguments: Vec<DataValue>,
}

impl PartialEq for HostCall {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function && values::same_bits(&self.arguments, &other.arguments)
    }
}

/// How a call ended. Two are equal if their values are the same bits.
#[derive(Clone, Debug)]
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

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Outcome::Returned(one), Outcome::Returned(other)) => values::same_bits(one, other),
            (Outcome::Trapped(one), Outcome::Trapped(other)) => one == other,
            (
                Outcome::Threw { tag, payload },
                Outcome::Threw {
                    tag: other_tag,
                    payload: other_payload,
                },
            ) => (tag, payload) == (other_tag, other_payload),
            (Outcome::Returned(_) | Outcome::Trapped(_) | Outcome::Threw { .. }, _) => false,
        }
    }
}

impl Outcome {
    fn threw(exception: host::Exception) -> Self {
        Outcome::Threw {
            tag: exception.tag,
            payload: exception.payload,
        }
    }

    /// The values that were returned, every NaN canonical.
    fn returned(values: Vec<DataValue>, signature: &cranelift_codegen::ir::Signature) -> Self {
        let values = values.into_iter().zip(&signature.returns);
        let values = values.map(|(value, result)| values::canonical(value, result.value_type));
        Outcome::Returned(values.collect())
    }
}
