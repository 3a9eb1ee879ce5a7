//! Valid functions are not refused as malformed.

use super::broken::{Broken, Property};
use crate::targets::Architecture;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::verify_function;
use cranelift_inliner::pass::{Inlined, Reason};
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::Refusal;

/// Checks that no call is refused because it, its caller or its callee is malformed, unless
/// Cranelift's verifier rejects one of both functions too.
///
/// # Errors
///
/// The first call refused without cause.
pub fn valid_functions_are_taken(before: &Program, inlined: &Inlined) -> Result<(), Broken> {
    let Some(isa) = Architecture::X64.isa(OptLevel::None) else {
        return Ok(());
    };
    for site in inlined.sites() {
        let Reason::Refused(refusal) = &site.reason else {
            continue;
        };
        let is_malformed = matches!(
            **refusal,
            Refusal::MalformedCall(_) | Refusal::MalformedCaller(_) | Refusal::MalformedCallee(_)
        );
        let functions = [Some(site.caller), site.callee_id];
        let mut functions = functions.into_iter().flatten();
        let mut is_valid = |id| {
            let function = before.get(id);
            function.is_some_and(|function| verify_function(function.body(), &**isa).is_ok())
        };
        if is_malformed && functions.all(&mut is_valid) {
            let broken = Broken::new(Property::Malformed, refusal.to_string());
            let broken = match before.get(site.caller) {
                Some(caller) => broken.in_function(caller.name()),
                None => broken,
            };
            return Err(broken.at(site.inst.to_string()));
        }
    }
    Ok(())
}
