//! Checks every function of a program with Cranelift's verifier.

use super::{Program, ProgramError, ProgramFunction};
use crate::panics;
use cranelift_codegen::settings::FlagsOrIsa;
use cranelift_codegen::verify_function;
use rayon::prelude::*;

impl Program {
    /// Runs Cranelift's verifier on every function, in parallel.
    ///
    /// With a target in `fisa` the checks that depend on one are made too. Some instructions,
    /// `get_frame_pointer` among them, are rejected without one.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Verifier`] for the first function in input order that the verifier rejects,
    /// with any number of threads. A function so malformed that the verifier itself panics is
    /// rejected as well.
    pub fn verify<'a>(&self, fisa: impl Into<FlagsOrIsa<'a>>) -> Result<(), ProgramError> {
        let fisa = fisa.into();
        let rejected = self
            .functions
            .as_values_slice()
            .par_iter()
            .find_map_first(|function| reject(function, fisa));
        rejected.map_or(Ok(()), Err)
    }
}

fn reject(function: &ProgramFunction, fisa: FlagsOrIsa<'_>) -> Option<ProgramError> {
    let body = function.body();
    let message = match panics::catch(|| {
        // The message is made in here because displaying an error can panic like finding it.
        verify_function(body, fisa).map_err(|errors| errors.to_string())
    }) {
        Ok(Ok(())) => return None,
        Ok(Err(errors)) => errors.trim_end().to_string(),
        Err(panic) => format!("the verifier gave up: {panic}"),
    };
    Some(ProgramError::Verifier {
        function: function.name().clone(),
        origin: function.origin().cloned(),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::{self, InstBuilder};
    use cranelift_codegen::isa::CallConv;
    use cranelift_codegen::settings;

    fn flags() -> settings::Flags {
        settings::Flags::new(settings::builder())
    }

    #[test]
    fn the_first_rejected_function_is_named_with_its_place() {
        let good = "function %good() {\nblock0:\n    return\n}\n";
        let bad = |name: &str| {
            format!("function {name}(i32) -> i64 {{\nblock0(v0: i32):\n    return v0\n}}\n")
        };
        let text = format!("{good}{}{}", bad("%bad"), bad("%worse"));
        let program = Program::from_clif(&text, "v.clif").unwrap_or_else(|e| panic!("{e}"));
        let error = program.verify(&flags()).unwrap_err().to_string();
        assert!(
            error.starts_with("function %bad (v.clif:5) does not verify: "),
            "{error}"
        );
        assert!(error.contains("i64"), "{error}");
        let program = Program::from_clif(good, "v.clif").unwrap_or_else(|e| panic!("{e}"));
        assert!(program.verify(&flags()).is_ok());
    }

    #[test]
    fn a_body_with_dangling_references_is_an_error_and_no_panic() {
        let mut body = ir::Function::with_name_signature(
            ir::UserFuncName::testcase("odd"),
            ir::Signature::new(CallConv::SystemV),
        );
        let block = body.dfg.make_block();
        body.layout.append_block(block);
        let mut cursor = cranelift_codegen::cursor::FuncCursor::new(&mut body);
        use cranelift_codegen::cursor::Cursor;
        cursor.goto_bottom(block);
        cursor.ins().return_(&[ir::Value::from_u32(1000)]);
        let mut program = Program::new();
        program.add(body).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(
            program.verify(&flags()),
            Err(ProgramError::Verifier { .. })
        ));
        assert!(matches!(
            program.to_clif(),
            Ok(_) | Err(ProgramError::Unprintable { .. })
        ));
    }
}
