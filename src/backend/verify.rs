//! Cranelift's verifier, with errors that can be kept.

use super::error::VerifyError;
use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::ir::Function;
use cranelift_codegen::settings::FlagsOrIsa;

/// Checks `function` with Cranelift's verifier against a target (`&*isa`) or, without one, against
/// shared flags; rules that depend on the target are only checked with a target.
///
/// # Errors
///
/// All of the verifier's errors about the body.
pub fn verify_function<'a>(
    function: &Function,
    flags_or_isa: impl Into<FlagsOrIsa<'a>>,
) -> Result<(), VerifyError> {
    let flags_or_isa = flags_or_isa.into();
    let messages =
        match panics::catch(|| cranelift_codegen::verify_function(function, flags_or_isa)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(errors)) => errors.0.iter().map(ToString::to_string).collect(),
            Err(message) => vec![format!("the verifier panicked: {message}")],
        };
    Err(VerifyError {
        function: FunctionName::from(function.name.clone()),
        messages,
    })
}

#[cfg(test)]
mod tests {
    use super::verify_function;
    use crate::backend::{TargetSettings, target};
    use cranelift_codegen::ir::Function;
    use cranelift_codegen::settings;

    fn parse(text: &str) -> Function {
        cranelift_reader::parse_functions(text).unwrap().remove(0)
    }

    #[test]
    fn a_good_body_passes_with_a_target_and_with_flags_alone() {
        let function = parse("function %good() {\nblock0:\n    return\n}");
        let isa = target("host", &TargetSettings::new()).unwrap();
        assert_eq!(verify_function(&function, &*isa), Ok(()));
        let flags = settings::Flags::new(settings::builder());
        assert_eq!(verify_function(&function, &flags), Ok(()));
    }

    #[test]
    fn the_error_names_the_function_and_carries_every_message() {
        let function = parse(
            "function %bad(i32, i64) -> i64 {
             block0(v0: i32, v1: i64):
                 v2 = iadd v0, v1
                 v3 = isub v0, v1
                 return v1
             }",
        );
        let isa = target("host", &TargetSettings::new()).unwrap();
        let error = verify_function(&function, &*isa).unwrap_err();
        assert_eq!(error.function.to_string(), "%bad");
        assert_eq!(error.messages.len(), 2, "{error}");
        assert!(error.messages[0].contains("inst0"), "{error}");
        assert!(error.messages[1].contains("inst1"), "{error}");
        assert!(error.to_string().starts_with("%bad: "));
    }
}
