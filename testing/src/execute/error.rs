//! The errors of observing a call.

use cranelift_inliner::backend::{CompileError, TargetError};
use cranelift_inliner::program::FunctionName;
use thiserror::Error;

/// The reason for the lack of an [`Observation`](super::Observation). A trap or an exception is not
/// an error: it is an [`Outcome`](super::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The program does not define the function to call.
    #[error("there is no function {function}")]
    UnknownFunction {
        /// The called function.
        function: FunctionName,
    },
    /// The arguments do not fit the function's signature.
    #[error("{function} cannot be called so: {reason}")]
    Arguments {
        /// The called function.
        function: FunctionName,
        /// A description.
        reason: String,
    },
    /// The interpreter reached its limit of steps.
    #[error("no result after {fuel} steps, in {function}")]
    OutOfFuel {
        /// The current function.
        function: FunctionName,
        /// The limit of steps.
        fuel: u64,
    },
    /// The interpreter's limit of frames or of bytes of stack slots was reached.
    #[error("{function} was called too deep in other functions")]
    TooDeep {
        /// The function that did not fit.
        function: FunctionName,
    },
    /// The interpreter does not know the instruction, or not with these types.
    #[error("{function}: {instruction}: cannot be interpreted: {reason}")]
    NotInterpretable {
        /// The function of the instruction.
        function: FunctionName,
        /// The instruction as CLIF prints it.
        instruction: String,
        /// A description.
        reason: String,
    },
    /// Code cannot run on this machine or operating system.
    #[error("code does not run here: {reason}")]
    Unsupported {
        /// A description.
        reason: String,
    },
    /// No target has these settings.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A function does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A function is called from outside, or calls the host, with an unsupported signature.
    #[error("{function}: its signature cannot be called from outside: {reason}")]
    Signature {
        /// The function, of the program or of the host.
        function: FunctionName,
        /// A description.
        reason: String,
    },
    /// The code cannot be placed in memory, or refers to something undefined.
    #[error("{function}: cannot be linked: {reason}")]
    Link {
        /// The function of the code.
        function: FunctionName,
        /// A description.
        reason: String,
    },
    /// A program for another architecture cannot be linked, or its emulator ended.
    #[error("in the emulator: {reason}")]
    Emulated {
        /// A description.
        reason: String,
    },
    /// An instruction that is not known to trap made the processor stop the program: an invalid
    /// address, or a stack overflow.
    #[error("signal {signal} at byte {offset} of {function}")]
    Fault {
        /// The function of the instruction.
        function: FunctionName,
        /// The place, in bytes from the start of the function's code.
        offset: u64,
        /// The signal's number.
        signal: i32,
    },
}
