//! Executes programs, in Cranelift's interpreter or natively, and records their observable
//! behaviour.
//!
//! An [`Observation`] has the called functions of the host with their arguments, and the end of the
//! call. Inlining preserves a program's meaning if its observations before and after are equal, in
//! the interpreter and natively.
//!
//! # The host
//!
//! Functions that a program calls and does not define belong to the host. Every call of them is
//! recorded. Their results are a fixed function of the name, the number of earlier calls of the
//! host, and the arguments' bits: these give a number, which gives the results in order. About half
//! of the integers are small (0, 1, or from -8 to 7), so that branches on them go both ways, and
//! the others are arbitrary. Floats are quarters from -8 to 7.75, so never NaN; those of 16 and 128
//! bits are 0.
//!
//! The function `%throw` does not return. It throws the exception whose tag is its first integer
//! and whose payload is its second; a handler gets the payload and 0. Handlers are tried in order;
//! contexts are ignored, so a tag has one meaning in all of them.
//!
//! # Floats
//!
//! The choice of NaN that an operation returns is left to the machine. Observations turn every NaN
//! into the canonical one. The interpreter makes the result of every float operation canonical, and
//! so does native code from [`Engine::new`], by the setting `enable_nan_canonicalization`; so
//! programs may read the bits of a NaN that an operation returned. Floats are compared by their
//! bits: 0 and -0 differ.
//!
//! # Example
//!
//! Inlining preserves a program's behaviour:
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

mod declared;
#[cfg(feature = "emulation")]
mod emulated;
mod error;
mod glue;
mod host;
mod image;
#[cfg(feature = "properties")]
mod interpret;
mod native;
mod tables;
mod values;

#[cfg(feature = "emulation")]
pub use emulated::{EmulatedLinker, EmulatedPrograms, Emulator};
pub use error::ExecuteError;
pub use glue::check_signature;
#[cfg(feature = "properties")]
pub use interpret::{interpret, interpret_in_order};
pub use native::{
    Engine, IsolatedOutcome, IsolatedProgram, NativeProgram, SharedCounters, Snapshot,
    process_symbol,
};

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::TrapCode;
use cranelift_inliner::program::FunctionName;

/// A call from outside to a function of a program.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The called function.
    pub function: FunctionName,
    /// One value for each parameter, of its type.
    pub arguments: Vec<DataValue>,
}

/// The observable behaviour of one call: the calls of the host, and its end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// The calls of functions that the program does not define, in order.
    pub host_calls: Vec<HostCall>,
    /// The end of the call.
    pub outcome: Outcome,
}

/// A call of a function that the program does not define. Two are equal if their arguments have the
/// same bits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostCall {
    /// The called function.
    pub function: FunctionName,
    /// Its arguments.
    pub arguments: Vec<DataValue>,
}

impl PartialEq for HostCall {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function && values::same_bits(&self.arguments, &other.arguments)
    }
}

/// The end of a call. Two are equal if their values are the same bits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It returned these values.
    Returned(Vec<DataValue>),
    /// It trapped.
    Trapped(TrapCode),
    /// It threw an exception without a handler.
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

    /// Makes the outcome of these returned values, with every NaN canonical.
    fn returned(values: Vec<DataValue>, signature: &cranelift_codegen::ir::Signature) -> Self {
        let values = values.into_iter().zip(&signature.returns);
        let values = values.map(|(value, result)| values::canonical(value, result.value_type));
        Outcome::Returned(values.collect())
    }
}
