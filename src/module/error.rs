//! Errors that name the function.

use cranelift_module::{FuncId, ModuleError};
use thiserror::Error;

/// The wrapped module's error about a held function, inside a [`ModuleError::Backend`].
///
/// [`InliningModule::culprit`](super::InliningModule::culprit) returns the function for this error
/// and all others of a flush.
#[derive(Debug, Error)]
#[error("function `{function}`: {source}")]
#[non_exhaustive]
pub struct DefineError {
    /// The function.
    pub id: FuncId,
    /// The function's symbol.
    pub function: String,
    /// The error as the wrapped module gave it.
    pub source: ModuleError,
}

/// Adds the function's name to an error that lacks it.
pub(super) fn naming(id: FuncId, function: &str, error: ModuleError) -> ModuleError {
    match error {
        ModuleError::Undeclared(_)
        | ModuleError::IncompatibleDeclaration(_)
        | ModuleError::IncompatibleSignature(..)
        | ModuleError::DuplicateDefinition(_)
        | ModuleError::InvalidImportDefinition(_) => error,
        source => other(DefineError {
            id,
            function: function.to_owned(),
            source,
        }),
    }
}

/// Converts any other error to that of a module.
pub(super) fn other(error: impl std::error::Error + Send + Sync + 'static) -> ModuleError {
    ModuleError::Backend(anyhow::Error::new(error))
}

/// Converts a panic of Cranelift to the error of a module.
pub(super) fn gave_up(who: &str, panic: &str) -> ModuleError {
    ModuleError::Backend(anyhow::anyhow!("{who} gave up: {panic}"))
}
