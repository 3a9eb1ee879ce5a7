//! Value labels: which source variable a value holds.
//!
//! Cranelift drops the labels of aliases when it compiles, so a label always
//! goes to the value itself. Two variables can then share a value: all labels
//! are kept.

use super::relative_srcloc;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, SourceLoc, Value, ValueLabelAssignments, ValueLabelStart};
use std::collections::BTreeMap;

/// Gives the copies in `caller` the `labels` of the callee's values.
///
/// `values` translates, by index, a value of `labels` to its copy, and
/// `location` the callee's source locations.
pub(crate) fn copy_labels(
    caller: &mut Function,
    callee: &Function,
    labels: &[(Value, Vec<ValueLabelStart>)],
    values: &[Value],
    mut location: impl FnMut(SourceLoc) -> SourceLoc,
) {
    if labels.is_empty() {
        return;
    }
    caller.collect_debug_info();
    let from_base = callee.params.base_srcloc();
    for (value, starts) in labels {
        // Storing a location may change the stored form of earlier ones.
        for start in starts {
            let from = location(start.from.expand(from_base));
            let start = ValueLabelStart {
                from: relative_srcloc(caller, from),
                label: start.label,
            };
            add(caller, values[value.index()], vec![start]);
        }
    }
}

/// Gives the second value of each pair the labels of the first one.
pub(crate) fn copy_labels_within(func: &mut Function, pairs: &[(Value, Value)]) {
    if func.dfg.values_labels.is_none() {
        return;
    }
    for &(from, to) in pairs {
        let starts = starts_of(func, from);
        add(func, to, starts);
    }
}

/// Gives `value` the labels of `alias`, which has just become its alias.
pub(crate) fn move_labels(caller: &mut Function, alias: Value, value: Value) {
    let Some(labels) = caller.dfg.values_labels.as_mut() else {
        return;
    };
    let Some(assignments) = labels.remove(&alias) else {
        return;
    };
    match assignments {
        ValueLabelAssignments::Starts(starts) => add(caller, value, starts),
        ValueLabelAssignments::Alias { value: of, .. } => {
            let starts = starts_of(caller, of);
            add(caller, value, starts);
        }
    }
}

fn starts_of(func: &Function, value: Value) -> Vec<ValueLabelStart> {
    let labels = func.dfg.values_labels.as_ref();
    let starts = labels.and_then(|labels| labels_of(labels, value));
    starts.map_or_else(Vec::new, <[_]>::to_vec)
}

/// Returns the labels of `value` in `labels`. A chain of aliases of labels is followed as far as
/// Cranelift itself does.
pub(crate) fn labels_of(
    labels: &BTreeMap<Value, ValueLabelAssignments>,
    mut value: Value,
) -> Option<&[ValueLabelStart]> {
    const LONGEST_CHAIN: usize = 10;
    for _ in 0..=LONGEST_CHAIN {
        match labels.get(&value)? {
            ValueLabelAssignments::Starts(starts) => return Some(starts),
            ValueLabelAssignments::Alias { value: next, .. } => value = *next,
        }
    }
    None
}

fn add(caller: &mut Function, value: Value, starts: Vec<ValueLabelStart>) {
    let value = super::resolve_alias(&caller.dfg, value).unwrap_or(value);
    let mut all = starts_of(caller, value);
    for start in starts {
        if !all.contains(&start) {
            all.push(start);
        }
    }
    if let Some(labels) = caller.dfg.values_labels.as_mut()
        && !all.is_empty()
    {
        labels.insert(value, ValueLabelAssignments::Starts(all));
    }
}
