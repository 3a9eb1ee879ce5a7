//! Defects of a module, and errors of compiling it.

use cranelift_codegen::CodegenError;
use cranelift_module::ModuleError;
use wasmparser::BinaryReaderError;

/// A module could not be compiled. Offsets are in bytes from its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It breaks WebAssembly's rules, or uses a feature that is not enabled, which the message
    /// names.
    #[error("{0}")]
    Invalid(#[from] BinaryReaderError),
    /// It uses a feature that this compiler lacks.
    #[error("{feature} not supported (at offset {offset:#x})")]
    Unsupported {
        /// The feature, in the plural.
        feature: String,
        /// The place.
        offset: u64,
    },
    /// It imports something that is not provided.
    #[error("the import `{module}` `{name}` is not provided (at offset {offset:#x})")]
    Import {
        /// The module of the import.
        module: String,
        /// The name in it.
        name: String,
        /// The place.
        offset: u64,
    },
    /// Cranelift or the inlining pass refused something.
    #[error("{}", explain(.0))]
    Module(Box<ModuleError>),
    /// The host's processor is not known.
    #[error("{0}")]
    Target(String),
}

impl From<ModuleError> for Error {
    fn from(error: ModuleError) -> Self {
        Self::Module(Box::new(error))
    }
}

/// Returns the text of an error, with the verifier's messages, which the error's own text lacks.
fn explain(error: &ModuleError) -> String {
    match error {
        ModuleError::Compilation(CodegenError::Verifier(errors)) => errors.to_string(),
        _ => error.to_string(),
    }
}

/// The result of compiling.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Returns the error for a feature that is not there.
pub(crate) fn unsupported<T>(feature: impl Into<String>, offset: u64) -> Result<T> {
    Err(Error::Unsupported {
        feature: format!("{} are", feature.into()),
        offset,
    })
}
