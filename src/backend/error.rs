//! Errors on the way to machine code, as values that can be kept and compared.

use crate::program::FunctionName;
use cranelift_codegen::CodegenError;
use cranelift_codegen::ir::{ExternalName, Inst, UserFuncName};
use cranelift_codegen::isa::LookupError;
use cranelift_codegen::settings::SetError;
use thiserror::Error;

/// Why no target could be made from a name and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The name is neither a short name nor a triple.
    #[error(
        "unknown target `{name}`: neither x64, aarch64, riscv64, s390x, host nor a triple ({reason})"
    )]
    UnknownName {
        /// The name as given.
        name: String,
        /// The error about it as a triple.
        reason: String,
    },
    /// Cranelift has no backend for the architecture, or this build left it out.
    #[error("target `{name}` has no backend: {reason}")]
    NoBackend {
        /// The name as given.
        name: String,
        /// Which of both.
        reason: LookupError,
    },
    /// The processor of the host lacks features that Cranelift needs.
    #[error("the host cannot be a target: {reason}")]
    Host {
        /// The missing features.
        reason: String,
    },
    /// Neither the shared settings nor those of the architecture know this name.
    #[error("target `{name}` has no setting `{setting}`")]
    UnknownSetting {
        /// The target's name as given.
        name: String,
        /// The setting's name as given.
        setting: String,
    },
    /// The setting exists, but not with this value.
    #[error("setting `{setting}` cannot be `{value}`: {reason}")]
    BadValue {
        /// The setting's name.
        setting: String,
        /// The value as given; empty where a setting was switched on by its name alone.
        value: String,
        /// The values that the setting accepts.
        reason: String,
    },
    /// The settings contradict each other or the architecture.
    #[error("target `{name}` cannot be set up: {reason}")]
    Inconsistent {
        /// The target's name as given.
        name: String,
        /// Cranelift's message.
        reason: String,
    },
}

impl TargetError {
    pub(super) fn no_backend(name: &str, error: LookupError) -> Self {
        TargetError::NoBackend {
            name: name.to_owned(),
            reason: error,
        }
    }

    pub(super) fn setting(name: &str, setting: &str, value: &str, error: SetError) -> Self {
        match error {
            SetError::BadName(_) => TargetError::UnknownSetting {
                name: name.to_owned(),
                setting: setting.to_owned(),
            },
            SetError::BadType | SetError::BadValue(_) => TargetError::BadValue {
                setting: setting.to_owned(),
                value: value.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

/// Why a body could not be compiled. Each kind names the function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The body needs more of something (frame, arguments) than Cranelift or the target allows.
    #[error("{function}: an implementation limit of the code generator is exceeded")]
    ImplLimitExceeded {
        /// The function.
        function: FunctionName,
    },
    /// The code would be larger than the target or the register allocator can handle.
    #[error("{function}: the code is too large")]
    CodeTooLarge {
        /// The function.
        function: FunctionName,
    },
    /// The body uses a feature that this target, with these settings, does not support.
    #[error("{function}: unsupported by the target: {feature}")]
    Unsupported {
        /// The function.
        function: FunctionName,
        /// Cranelift's message.
        feature: String,
    },
    /// The code generator panicked; most often on a body that the verifier would reject, or on a
    /// feature that the target does not have.
    #[error("{function}: the code generator panicked: {message}")]
    Panicked {
        /// The function.
        function: FunctionName,
        /// The panic's message.
        message: String,
    },
    /// The verifier that the setting `enable_verifier` runs during compilation rejected the body.
    #[error("{function}: the verifier rejects the body: {}", .messages.join("; "))]
    Verifier {
        /// The function.
        function: FunctionName,
        /// One message per error, each with its place in the function.
        messages: Vec<String>,
    },
    /// The code generator failed for a reason of its own.
    #[error("{function}: the code generator failed: {message}")]
    Internal {
        /// The function.
        function: FunctionName,
        /// Cranelift's message.
        message: String,
    },
    /// A function's name, or a name that it refers to, is not valid UTF-8.
    #[error("{function}: the name `{name}` is not valid UTF-8")]
    NameNotUtf8 {
        /// The function.
        function: FunctionName,
        /// The offending name, with invalid bytes replaced.
        name: String,
    },
    /// The body refers to an entry of its table of user names that does not exist.
    #[error("{function}: a reference to the user name {}, which is not declared", .reference.display(None))]
    DanglingName {
        /// The function.
        function: FunctionName,
        /// The reference.
        reference: ExternalName,
    },
    /// An indirect call has no arguments at all, not even its callee.
    #[error("{function}: the indirect call {inst} has no callee")]
    NoCallee {
        /// The function.
        function: FunctionName,
        /// The call.
        inst: Inst,
    },
}

impl CompileError {
    pub(super) fn from_codegen(function: &UserFuncName, error: &CodegenError) -> Self {
        let function = FunctionName::from(function.clone());
        match error {
            CodegenError::ImplLimitExceeded => CompileError::ImplLimitExceeded { function },
            CodegenError::CodeTooLarge => CompileError::CodeTooLarge { function },
            CodegenError::Unsupported(feature) => CompileError::Unsupported {
                function,
                feature: feature.clone(),
            },
            CodegenError::Verifier(errors) => CompileError::Verifier {
                function,
                messages: errors.0.iter().map(ToString::to_string).collect(),
            },
            other => CompileError::Internal {
                function,
                message: other.to_string(),
            },
        }
    }

    /// Returns the function that could not be compiled.
    pub fn function(&self) -> &FunctionName {
        match self {
            CompileError::ImplLimitExceeded { function }
            | CompileError::CodeTooLarge { function }
            | CompileError::Unsupported { function, .. }
            | CompileError::Panicked { function, .. }
            | CompileError::Verifier { function, .. }
            | CompileError::Internal { function, .. }
            | CompileError::NameNotUtf8 { function, .. }
            | CompileError::DanglingName { function, .. }
            | CompileError::NoCallee { function, .. } => function,
        }
    }

    /// Returns whether the body before inlining may compile: the body's size was rejected, or the
    /// target does not support a feature that inlining may have brought in.
    pub fn may_be_due_to_inlining(&self) -> bool {
        matches!(
            self,
            CompileError::ImplLimitExceeded { .. }
                | CompileError::CodeTooLarge { .. }
                | CompileError::Unsupported { .. }
                | CompileError::Panicked { .. }
        )
    }
}

/// An error of Cranelift's verifier about a body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{function}: the verifier rejects the body: {}", .messages.join("; "))]
#[non_exhaustive]
pub struct VerifyError {
    /// The function.
    pub function: FunctionName,
    /// One message per error, each with its place in the function; never empty. If the verifier
    /// itself panics, the only message says so.
    pub messages: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::CompileError;
    use cranelift_codegen::CodegenError;
    use cranelift_codegen::ir::UserFuncName;

    /// This error takes half a thousand million registers, so no test compiles such a function.
    #[test]
    fn code_that_is_too_large_names_the_function_and_gives_way_to_the_original() {
        let name = UserFuncName::user(1, 2);
        let error = CompileError::from_codegen(&name, &CodegenError::CodeTooLarge);
        assert_eq!(error.to_string(), "u1:2: the code is too large");
        assert_eq!(error.function().to_string(), "u1:2");
        assert!(error.may_be_due_to_inlining());
    }

    #[test]
    fn an_error_that_inlining_cannot_bring_about_is_not_hidden() {
        let name = UserFuncName::testcase("f");
        let register = CodegenError::RegisterMappingError(
            cranelift_codegen::isa::unwind::systemv::RegisterMappingError::MissingBank,
        );
        let error = CompileError::from_codegen(&name, &register);
        assert!(matches!(error, CompileError::Internal { .. }));
        assert!(!error.may_be_due_to_inlining());
    }
}
