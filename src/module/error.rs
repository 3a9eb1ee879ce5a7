//! Errors that name the function.

use cranelift_module::ModuleError;
use thiserror::Error;

/// The wrapped module's error about a held function, inside a [`ModuleError::Backend`].
///
/// ```
/// use cranelift_inliner::module::DefineError;
/// use cranelift_module::ModuleError;
///
/// /// The function that an error is about, if it says.
/// fn culprit(error: &ModuleError) -> Option<&str> {
///     match error {
///         ModuleError::Backend(error) => Some(&error.downcast_ref::<DefineError>()?.function),
///         _ => None,
///     }
/// }
/// # assert_eq!(culprit(&ModuleError::Undeclared("f".into())), None);
/// ```
#[derive(Debug, Error)]
#[error("function `{function}`: {source}")]
pub struct DefineError {
    /// The function's symbol.
    pub function: String,
    /// The error as the wrapped module gave it.
    pub source: ModuleError,
}

/// Adds the function's name to an error that lacks it.
pub(super) fn naming(function: &str, error: ModuleError) -> ModuleError {
    match error {
        ModuleError::Undeclared(_)
        | ModuleError::IncompatibleDeclaration(_)
        | ModuleError::IncompatibleSignature(..)
        | ModuleError::DuplicateDefinition(_)
        | ModuleError::InvalidImportDefinition(_) => error,
        source => other(DefineError {
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
