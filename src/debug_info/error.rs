//! Errors of writing DWARF.

use crate::backend::CompileError;
use crate::program::FunctionName;
use thiserror::Error;

/// Why debug information could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DebugInfoError {
    /// The object file is not an ELF file. Other formats keep DWARF in other ways.
    #[error("debug information can be written for ELF object files only, not for {format}")]
    Format {
        /// The object file's format.
        format: String,
    },
    /// A function is not defined in the object file.
    #[error("{function} is not the function number {number} of the object file")]
    NotInObject {
        /// The function.
        function: FunctionName,
        /// Its place among the functions that were given.
        number: usize,
    },
    /// Cranelift cannot describe a function's frame.
    #[error(transparent)]
    Unwind(#[from] CompileError),
    /// The sections cannot be written.
    #[error("debug information cannot be written: {reason}")]
    Writing {
        /// The writer's words.
        reason: String,
    },
}

impl From<gimli::write::Error> for DebugInfoError {
    fn from(error: gimli::write::Error) -> Self {
        DebugInfoError::Writing {
            reason: error.to_string(),
        }
    }
}
