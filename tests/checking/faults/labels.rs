//! Mistakes that text does not show: value labels, flags of callees and of
//! atomics.

use crate::copies::{Functions, Order, parse, splice_all};
use cranelift_codegen::ir::{
    Function, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::check::{CopyTree, check};
use cranelift_inliner::splice::SpliceOptions;

const MODULE: &str = "
function %callee(i32, i64) -> i32 system_v {
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
@0100 v2 = iadd v0, v0
@0104 v3 = atomic_rmw.i32 add v1, v2
@0108 v4 = call fn0(v3)
    return v4
}
function %caller(i32, i64) -> i32 system_v {
    fn0 = %callee(i32, i64) -> i32 system_v
block0(v0: i32, v1: i64):
@0900 v2 = iadd v0, v0
@0904 v3 = call fn0(v2, v1)
@0908 v4 = isub v3, v2
    return v4
}";

/// Returns the module, with labels on a result and on a parameter of the callee, and on a result of
/// the caller.
fn labelled() -> Functions {
    let mut functions = parse(MODULE);
    for (name, value, label) in [("%callee", 0, 10), ("%callee", 4, 14), ("%caller", 4, 24)] {
        let func = functions.get_mut(name).unwrap();
        put(func, Value::from_u32(value), label, 4);
    }
    functions
}

fn put(func: &mut Function, value: Value, label: u32, from: u32) {
    let labels = func.dfg.values_labels.get_or_insert_default();
    let start = ValueLabelStart {
        from: RelSourceLoc::new(from),
        label: ValueLabel::from_u32(label),
    };
    labels.insert(value, ValueLabelAssignments::Starts(vec![start]));
}

/// Returns the value that has the label, which is taken away.
fn take(func: &mut Function, label: u32) -> (Value, ValueLabelAssignments) {
    let labels = func.dfg.values_labels.as_mut().unwrap();
    let has = |assignments: &ValueLabelAssignments| match assignments {
        ValueLabelAssignments::Starts(starts) => {
            starts.iter().any(|start| start.label.as_u32() == label)
        }
        ValueLabelAssignments::Alias { .. } => false,
    };
    let found = labels.iter().find(|(_, assignments)| has(assignments));
    let value = *found.unwrap().0;
    let assignments = labels.remove(&value).unwrap();
    (value, assignments)
}

type Change = fn(&mut Function);

#[test]
fn faults_that_text_does_not_show_are_found() {
    let functions = labelled();
    let caller = &functions["%caller"];
    let spliced = splice_all(
        caller,
        &functions,
        &SpliceOptions::default(),
        Order::Forwards,
    );
    let tree: CopyTree<'_> = spliced.tree(caller, &functions);
    check(&tree, &spliced.after).unwrap();
    let faults: [(&str, Change, &str); 9] = [
        (
            "a label of the copy lost",
            |func| drop(take(func, 14)),
            "labels of v4 of copy1",
        ),
        (
            "a label of a parameter lost",
            |func| drop(take(func, 10)),
            "labels of v0 of copy1",
        ),
        (
            "a label of the caller lost",
            |func| drop(take(func, 24)),
            "labels of v4 of copy0",
        ),
        (
            "all labels lost",
            |func| func.dfg.values_labels = None,
            "labels of",
        ),
        (
            "a label starts elsewhere",
            |func| {
                let (value, _) = take(func, 14);
                put(func, value, 14, 0x80);
            },
            "labels of v4 of copy1",
        ),
        (
            "a label on another value",
            |func| {
                let (_, assignments) = take(func, 24);
                let param = func.dfg.block_params(func.layout.entry_block().unwrap())[1];
                let labels = func.dfg.values_labels.as_mut().unwrap();
                labels.insert(param, assignments);
            },
            "labels of v4 of copy0",
        ),
        (
            "a label on one value more",
            |func| {
                let param = func.dfg.block_params(func.layout.entry_block().unwrap())[1];
                put(func, param, 14, 4);
            },
            "label that comes from nowhere",
        ),
        (
            "a callee became patchable",
            |func| {
                for callee in func.dfg.ext_funcs.values_mut() {
                    callee.patchable = true;
                }
            },
            "another callee",
        ),
        (
            "tags on an untagged instruction",
            |func| {
                let entry = func.layout.entry_block().unwrap();
                let add = func.layout.first_inst(entry).unwrap();
                func.debug_tags
                    .set(add, [cranelift_codegen::ir::DebugTag::User(1)]);
            },
            "its tags are",
        ),
    ];
    let mut failures = Vec::new();
    for (name, change, message) in faults {
        let mut wrong = spliced.after.clone();
        change(&mut wrong);
        match check(&tree, &wrong) {
            Ok(()) => failures.push(format!("{name}: not found")),
            Err(difference) if !difference.to_string().contains(message) => {
                failures.push(format!("{name}: found as {difference}"));
            }
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
