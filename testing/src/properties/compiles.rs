//! The result verifies, and compiles wherever the input does.

use super::broken::{Broken, Property};
use crate::targets::{Architecture, LEVELS};
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::{CompileError, CompileScratch, compile_function, verify_function};
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, Program};
use std::sync::Arc;

/// Checks that each function of the result verifies, and compiles for x64, aarch64, riscv64 and
/// s390x, with and without optimization.
///
/// # Errors
///
/// See [`compiles_for`].
pub fn compiles(before: &Program, inlined: &Inlined) -> Result<(), Broken> {
    for architecture in Architecture::ALL {
        for level in LEVELS {
            if let Some(isa) = architecture.isa(level) {
                compiles_for(before, inlined, &**isa)?;
            }
        }
    }
    Ok(())
}

/// Checks that each function of the result verifies, and compiles for `isa`.
///
/// Functions without inlined calls are skipped, since they are unchanged. A function may fail if
/// one of its input functions fails too, or if it is too large for Cranelift: the pass then
/// compiles the original.
///
/// # Errors
///
/// Cranelift's error for the first function that fails.
pub fn compiles_for(
    before: &Program,
    inlined: &Inlined,
    isa: &dyn TargetIsa,
) -> Result<(), Broken> {
    let mut scratch = CompileScratch::new();
    for (id, function) in before.iter() {
        let Some(after) = inlined.body(id).filter(|_| !inlined.stats(id).dropped) else {
            continue;
        };
        if Arc::ptr_eq(after, function.body()) {
            continue;
        }
        let sources = || sources(before, inlined, id);
        let broken = |message: String| {
            let place = format!("{}, {}", isa.name(), isa.flags().opt_level());
            let broken = Broken::new(Property::Compiles, message);
            Err(broken.in_function(function.name()).at(place))
        };
        if let Err(error) = verify_function(after, isa) {
            let mut sources = sources().into_iter();
            if sources.all(|id| verify_function(before[id].body(), isa).is_ok()) {
                return broken(error.messages.join("; "));
            }
            continue;
        }
        let error = match compile_function(isa, after, &mut scratch) {
            Ok(_)
            | Err(CompileError::CodeTooLarge { .. } | CompileError::ImplLimitExceeded { .. }) => {
                continue;
            }
            Err(error) => error,
        };
        let mut compiles =
            |id: FunctionId| compile_function(isa, before[id].body(), &mut scratch).is_ok();
        if sources().into_iter().all(&mut compiles) {
            return broken(error.to_string());
        }
    }
    Ok(())
}

/// Returns the functions of the input that the result of `id` was made from, each once.
fn sources(before: &Program, inlined: &Inlined, id: FunctionId) -> Vec<FunctionId> {
    let mut sources = vec![id];
    let mut next = 0;
    while let Some(&id) = sources.get(next) {
        next += 1;
        for site in inlined.sites_of(id).iter().filter(|site| site.inlined) {
            if let Some(callee) = site.callee_id
                && before.get(callee).is_some()
                && !sources.contains(&callee)
            {
                sources.push(callee);
            }
        }
    }
    sources
}
