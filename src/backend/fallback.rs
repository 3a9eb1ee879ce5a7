//! Inlined bodies first, and originals where Cranelift refuses them.

use super::compile::{CompileScratch, compile_function};
use super::compiled::CompiledFunction;
use super::error::CompileError;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use std::sync::Arc;

/// A compiled function and which body it came from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Compilation {
    /// The machine code.
    pub function: CompiledFunction,
    /// The body that was compiled.
    pub body: BodyUsed,
}

/// Which body of a function was compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyUsed {
    /// The final one.
    Final,
    /// The original, because Cranelift rejected the final one.
    Original(Fallback),
}

impl BodyUsed {
    /// Returns why the original was compiled, if it was.
    pub fn fallback(&self) -> Option<&Fallback> {
        match self {
            BodyUsed::Final => None,
            BodyUsed::Original(fallback) => Some(fallback),
        }
    }
}

/// Why the original body was compiled in place of the final one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fallback {
    /// Cranelift's error about the final body.
    pub reason: CompileError,
}

/// Compiles `body`. If Cranelift rejects it for a reason that inlining can cause
/// ([`CompileError::may_be_due_to_inlining`]), compiles `original` instead.
///
/// # Errors
///
/// If both are rejected, the error of the original, which the program's author can act on. If the
/// final body fails for another reason, its error: that is a defect of the inliner or of Cranelift,
/// and must not be hidden.
pub fn compile_with_fallback(
    isa: &dyn TargetIsa,
    body: &Arc<Function>,
    original: &Arc<Function>,
    scratch: &mut CompileScratch,
) -> Result<Compilation, CompileError> {
    let original = || (!Arc::ptr_eq(body, original)).then(|| Arc::clone(original));
    compile_or_original(isa, body, original, scratch)
}

/// Like [`compile_with_fallback`], but makes the original only where it is needed. It is `None` if
/// `body` is the original.
pub(crate) fn compile_or_original(
    isa: &dyn TargetIsa,
    body: &Function,
    original: impl FnOnce() -> Option<Arc<Function>>,
    scratch: &mut CompileScratch,
) -> Result<Compilation, CompileError> {
    let reason = match compile_function(isa, body, scratch) {
        Ok(function) => {
            return Ok(Compilation {
                function,
                body: BodyUsed::Final,
            });
        }
        Err(reason) => reason,
    };
    if reason.may_be_due_to_inlining()
        && let Some(original) = original()
    {
        let function = compile_function(isa, &original, scratch)?;
        return Ok(Compilation {
            function,
            body: BodyUsed::Original(Fallback { reason }),
        });
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::{BodyUsed, compile_with_fallback};
    use crate::backend::{CompileError, CompileScratch, TargetSettings, compile_function, target};
    use cranelift_codegen::ir::{Function, UserFuncName};
    use std::sync::Arc;

    fn parse(text: &str) -> Arc<Function> {
        Arc::new(cranelift_reader::parse_functions(text).unwrap().remove(0))
    }

    fn small() -> Arc<Function> {
        parse("function %f(i64) -> i64 system_v {\nblock0(v0: i64):\n    return v0\n}")
    }

    /// Returns a frame that no target allows.
    fn too_large() -> Arc<Function> {
        parse(
            "function %f(i64) -> i64 system_v {
                 ss0 = explicit_slot 3000000000
                 ss1 = explicit_slot 3000000000
             block0(v0: i64):
                 v1 = stack_addr.i64 ss0
                 v2 = stack_addr.i64 ss1
                 store v1, v2
                 return v0
             }",
        )
    }

    #[test]
    fn a_good_final_body_is_the_one_that_is_used() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let body = parse(
            "function %f(i64) -> i64 system_v {
             block0(v0: i64):
                 v1 = imul v0, v0
                 return v1
             }",
        );
        let mut scratch = CompileScratch::new();
        let compiled = compile_with_fallback(&*isa, &body, &small(), &mut scratch).unwrap();
        assert_eq!(compiled.body, BodyUsed::Final);
        assert_eq!(compiled.body.fallback(), None);
        let expected = compile_function(&*isa, &body, &mut scratch).unwrap();
        assert_eq!(compiled.function, expected);
    }

    #[test]
    fn a_body_that_is_too_large_gives_way_to_the_original() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let mut scratch = CompileScratch::new();
        let compiled = compile_with_fallback(&*isa, &too_large(), &small(), &mut scratch).unwrap();
        let reason = CompileError::ImplLimitExceeded {
            function: crate::program::FunctionName::testcase("f"),
        };
        assert_eq!(
            compiled.body.fallback().map(|fallback| &fallback.reason),
            Some(&reason)
        );
        let expected = compile_function(&*isa, &small(), &mut scratch).unwrap();
        assert_eq!(compiled.function, expected);
    }

    #[cfg(feature = "all-arch")]
    #[test]
    fn a_body_that_the_target_cannot_compile_gives_way_too() {
        let isa = target("aarch64", &TargetSettings::new()).unwrap();
        let body = parse(
            "function %f(i64) -> i64 system_v {
                 fn0 = %g(i64 sarg(64)) system_v
             block0(v0: i64):
                 call fn0(v0)
                 return v0
             }",
        );
        let compiled =
            compile_with_fallback(&*isa, &body, &small(), &mut CompileScratch::new()).unwrap();
        assert!(matches!(
            compiled.body,
            BodyUsed::Original(fallback) if matches!(&fallback.reason,
                CompileError::Panicked { message, .. } if message.contains("StructArgument"))
        ));
    }

    #[test]
    fn where_the_original_fails_as_well_its_error_is_the_result() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let mut scratch = CompileScratch::new();
        let large = too_large();
        let alone = compile_with_fallback(&*isa, &large, &large, &mut scratch);
        assert!(matches!(alone, Err(CompileError::ImplLimitExceeded { .. })));
        let empty = Arc::new(Function::with_name_signature(
            UserFuncName::testcase("empty"),
            small().signature.clone(),
        ));
        let both = compile_with_fallback(&*isa, &large, &empty, &mut scratch);
        assert!(matches!(
            both,
            Err(CompileError::Panicked { function, .. }) if function.to_string() == "%empty"
        ));
    }

    #[test]
    fn a_body_that_the_verifier_rejects_is_not_hidden() {
        let settings = TargetSettings::new().setting("enable_verifier=true");
        let isa = target("host", &settings).unwrap();
        let bad = parse(
            "function %f(i64, i32) -> i64 system_v {
             block0(v0: i64, v1: i32):
                 v2 = iadd v0, v1
                 return v0
             }",
        );
        let result = compile_with_fallback(&*isa, &bad, &small(), &mut CompileScratch::new());
        assert!(matches!(result, Err(CompileError::Verifier { .. })));
    }
}
