//! The machine code of functions, as Cranelift lists it.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::panics;
use cranelift_inliner::pass::{CompiledProgram, Inlined};
use cranelift_inliner::program::{FunctionId, Program};
use std::collections::BTreeSet;

/// Lists the code of a compiled program.
pub(super) struct MachineCode<'a> {
    isa: OwnedTargetIsa,
    compiled: &'a CompiledProgram,
    /// Functions that were compiled from their original bodies.
    fallbacks: BTreeSet<FunctionId>,
}

impl<'a> MachineCode<'a> {
    pub(super) fn new(isa: OwnedTargetIsa, compiled: &'a CompiledProgram) -> Self {
        MachineCode {
            isa,
            compiled,
            fallbacks: compiled.fallbacks().map(|(id, _)| id).collect(),
        }
    }

    /// Returns whether the program has code of a function.
    pub(super) fn has(&self, id: FunctionId) -> bool {
        self.compiled.get(id).is_some()
    }

    /// Returns the instructions of a compiled function, or the reason for their absence.
    ///
    /// The pass keeps only their bytes, so the function is compiled again.
    pub(super) fn listing(&self, program: &Program, inlined: &Inlined, id: FunctionId) -> String {
        let original = program.get(id).map(|function| function.body());
        let (note, body) = match self.fallbacks.contains(&id) {
            true => (
                "; Cranelift rejects the inlined body: this is the original\n",
                None,
            ),
            false => ("", inlined.body(id)),
        };
        let Some(body) = body.or(original) else {
            return "; it has no body".to_owned();
        };
        let listing = panics::catch(|| {
            let mut context = Context::for_function(body.as_ref().clone());
            context.set_disasm(true);
            let code = context.compile(&*self.isa, &mut ControlPlane::default());
            match code {
                Ok(code) => instructions(code.vcode.as_deref().unwrap_or_default()),
                Err(error) => format!("; {}", error.inner),
            }
        });
        let listing = listing.unwrap_or_else(|message| format!("; {message}"));
        format!("{note}{}", listing.trim_end())
    }
}

/// Returns a listing without the lines about unwind information, which are not code.
fn instructions(listing: &str) -> String {
    let lines = listing.lines();
    let code: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("unwind "))
        .collect();
    code.join("\n")
}
