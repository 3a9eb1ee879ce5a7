//! Why a call could not be observed.

use cranelift_inliner::backend::{CompileError, TargetError};
use cranelift_inliner::program::FunctionName;
use thiserror::Error;

/// Why there is no [`Observation`](super::Observation) of a call. A trap or an exception is none of
/// these: it is an [`Outcome`](super::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The program does not define the function to call.
    #[error("there is no function {function}")]
    UnknownFunction {
        /// What was to be called.
        function: FunctionName,
    },
    /// The arguments do not fit the function's signature.
    #[error("{function} cannot be called so: {reason}")]
    Arguments {
        /// What was to be called.
        function: FunctionName,
        /// In words.
        reason: String,
    },
    /// The interpreter took as many steps as it was allowed to.
    #[error("no result after {fuel} steps, in {function}")]
    OutOfFuel {
        /// The function that it was in.
        function: FunctionName,
        /// The steps that it was allowed.
        fuel: u64,
    },
    /// More frames or more bytes of stack slots than the interpreter has room for.
    #[error("{function} was called too deep in other functions")]
    TooDeep {
        /// The function that there was no more room for.
        function: FunctionName,
    },
    /// The interpreter does not know the instruction, or not with these types.
    #[error("{function}: {instruction}: cannot be interpreted: {reason}")]
    NotInterpretable {
        /// The function that the instruction is in.
        function: FunctionName,
        /// The instruction as CLIF prints it.
        instruction: String,
        /// In words.
        reason: String,
    },
    /// Code is not run on this machine or operating system.
    #[error("code does not run here: {reason}")]
    Unsupported {
        /// In words.
        reason: String,
    },
    /// There is no target of these settings.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A function does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A function is called from outside, or calls the host, in a way that there is no code for.
    #[error("{function}: its signature cannot be called from outside: {reason}")]
    Signature {
        /// The function, of the program or of the host.
        function: FunctionName,
        /// In words.
        reason: String,
    },
    /// The code cannot be placed in memory, or refers to what is not there.
    #[error("{function}: cannot be linked: {reason}")]
    Link {
        /// The function whose code it is.
        function: FunctionName,
        /// In words.
        reason: String,
    },
    /// An instruction that is not known to trap made the processor stop the program: a wild
    /// address, or no stack left.
    #[error("signal {signal} at byte {offset} of {function}")]
    Fault {
        /// The function that the instruction is in.
        function: FunctionName,
        /// Where: bytes from the start of the function's code.
        offset: u64,
        /// The signal's number.
        signal: i32,
    },
}
