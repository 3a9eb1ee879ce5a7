//! Resolution of value aliases in unverified functions.

use cranelift_codegen::ir::{DataFlowGraph, Value};

/// Returns the value for which `value` stands, or `None` where `value` does not exist or is an
/// alias of itself.
///
/// Cranelift's own `resolve_aliases` panics in these cases.
#[inline]
pub(crate) fn resolve_alias(dfg: &DataFlowGraph, value: Value) -> Option<Value> {
    // Nearly all values are not aliases.
    match dfg.value_is_real(value) {
        true => Some(value),
        false => follow(dfg, value),
    }
}

fn follow(dfg: &DataFlowGraph, value: Value) -> Option<Value> {
    let mut current = value;
    for _ in 0..=dfg.num_values() {
        if !dfg.value_is_valid(current) {
            return None;
        }
        match dfg.value_alias_dest_for_serialization(current) {
            Some(target) => current = target,
            None => return Some(current),
        }
    }
    None
}
