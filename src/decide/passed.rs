//! The values that a call passes and gets back, with their origins in the caller, for decisions in
//! functions into which the caller is inlined.

use super::argument::{Argument, SlotArgument, describe};
use super::call_site::RoundAnalysis;
use crate::body::resolve_alias;
use cranelift_codegen::ir::{Function, Inst, Value, ValueDef};

/// The known content of a value that a call passes, with its origin in the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassedValue {
    /// The same for all callers.
    Known(Argument),
    /// A parameter of the caller, by its index.
    Parameter(u32),
    /// The address of a slot that only calls keep in memory.
    Slot(SlotArgument),
}

/// Returns the known content of each value that `call` passes, with its origin in `caller`.
/// `promotes_slots` says whether slots of the caller become values.
pub(crate) fn passed_values(
    analysis: &RoundAnalysis<'_>,
    call: Inst,
    promotes_slots: bool,
) -> Vec<PassedValue> {
    let caller = analysis.caller;
    let passed = |&value: &Value| {
        if let Some(index) = parameter(caller, value) {
            return PassedValue::Parameter(index);
        }
        if promotes_slots && let Some(slot) = analysis.slot_argument(value) {
            return PassedValue::Slot(slot);
        }
        PassedValue::Known(describe(caller, value))
    };
    caller.dfg.inst_args(call).iter().map(passed).collect()
}

/// Returns the number of branches that each result of `call` decides.
pub(crate) fn result_branches(analysis: &RoundAnalysis<'_>, call: Inst) -> Vec<u32> {
    let caller = analysis.caller;
    let results = caller.dfg.inst_results(call).iter();
    let branches = results.map(|&result| analysis.branches().by(caller, result));
    branches.collect()
}

fn parameter(func: &Function, value: Value) -> Option<u32> {
    let value = resolve_alias(&func.dfg, value)?;
    match func.dfg.value_def(value) {
        ValueDef::Param(block, index) if func.layout.entry_block() == Some(block) => {
            u32::try_from(index).ok()
        }
        _ => None,
    }
}
