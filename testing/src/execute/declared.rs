//! The functions of the host that a program declares.

use super::error::ExecuteError;
use cranelift_codegen::ir::{Function, Signature};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::{FunctionName, Program};
use rustc_hash::FxHashMap;

/// Returns the functions that `source` declares and does not define.
pub(super) fn declared(
    source: &Program,
) -> Result<FxHashMap<FunctionName, &Signature>, ExecuteError> {
    let mut declared = FxHashMap::default();
    for (_, function) in source.iter() {
        let body = function.body();
        check_handlers(function.name(), body)?;
        for (func_ref, external) in &body.dfg.ext_funcs {
            let Some(name) = FunctionName::of_callee(body, func_ref) else {
                continue;
            };
            if source.id(&name).is_some() {
                continue;
            }
            // An entity number that the text skips has no signature.
            let Some(signature) = body.dfg.signatures.get(external.signature) else {
                continue;
            };
            let earlier = *declared.entry(name.clone()).or_insert(signature);
            if earlier != signature {
                let reason = format!("it is declared as {earlier} and as {signature}");
                return Err(ExecuteError::Signature {
                    function: name,
                    reason,
                });
            }
        }
    }
    Ok(declared)
}

/// Refuses handlers that expect restored registers, which this engine does not support.
fn check_handlers(name: &FunctionName, body: &Function) -> Result<(), ExecuteError> {
    for table in body.dfg.exception_tables.values() {
        // An unused table has been cleared.
        let Some(signature) = body.dfg.signatures.get(table.signature()) else {
            continue;
        };
        let convention = signature.call_conv;
        let restores_nothing = matches!(
            convention,
            CallConv::Tail | CallConv::Winch | CallConv::PreserveAll
        );
        if !restores_nothing && table.items().next().is_some() {
            return Err(ExecuteError::Signature {
                function: name.clone(),
                reason: format!("the handlers of its {convention} calls need registers restored"),
            });
        }
    }
    Ok(())
}
