//! Metadata that text does not show: value labels, and source locations that
//! are relative to a function's first one.

use cranelift_codegen::ir::{
    Function, Inst, RelSourceLoc, SourceLoc, Value, ValueLabel, ValueLabelAssignments,
    ValueLabelStart,
};
use cranelift_inliner::cleanup::{CleanupContext, clean_up};
use cranelift_inliner::splice::{SpliceOptions, splice};

fn parse(text: &str) -> [Function; 2] {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    functions.try_into().map_err(|_| "two functions").unwrap()
}

fn first_call(func: &Function) -> Inst {
    func.layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block))
        .find(|&inst| func.dfg.insts[inst].opcode().is_call())
        .unwrap()
}

fn splice_first(func: &mut Function, callee: &Function) {
    let call = first_call(func);
    splice(func, call, callee, &SpliceOptions::default()).unwrap();
}

fn label(func: &mut Function, value: u32, label: u32, from: u32) {
    let start = ValueLabelStart {
        from: RelSourceLoc::new(from),
        label: ValueLabel::from_u32(label),
    };
    let labels = func.dfg.values_labels.get_or_insert_default();
    labels.insert(
        Value::from_u32(value),
        ValueLabelAssignments::Starts(vec![start]),
    );
}

/// Returns the labels of a value, with where they start.
fn labels(func: &Function, value: u32) -> Vec<(u32, SourceLoc)> {
    let labels = func.dfg.values_labels.as_ref().unwrap();
    match labels.get(&Value::from_u32(value)) {
        Some(ValueLabelAssignments::Starts(starts)) => starts
            .iter()
            .map(|start| {
                (
                    start.label.as_u32(),
                    start.from.expand(func.params.base_srcloc()),
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

const FUNCTIONS: &str = "
function %callee(i32) -> i32 system_v {
block0(v0: i32):
@0100 v1 = iadd v0, v0
@0110 v2 = imul v1, v0
    v3 -> v2
    return v3
}
function %caller(i32) -> i32 system_v {
    fn0 = %callee(i32) -> i32 system_v
block0(v0: i32):
@0900 v1 = iadd v0, v0
@0904 v2 = call fn0(v1)
    return v2
}";

#[test]
fn labels_go_to_the_copies() {
    let [mut callee, mut caller] = parse(FUNCTIONS);
    label(&mut callee, 0, 10, 0x4);
    label(&mut callee, 1, 11, 0x8);
    label(&mut caller, 1, 20, 0x4);
    splice_first(&mut caller, &callee);
    // The callee's parameter is the caller's argument, which is both variables.
    let at = SourceLoc::new;
    assert_eq!(labels(&caller, 1), [(20, at(0x904)), (10, at(0x104))]);
    assert_eq!(labels(&caller, 3), [(11, at(0x108))]);
}

#[test]
fn labels_of_aliases_go_to_the_value() {
    // A compiler that follows aliases never sees the labels of one.
    let [mut callee, mut caller] = parse(FUNCTIONS);
    label(&mut callee, 3, 12, 0x10);
    label(&mut caller, 2, 21, 0x8);
    splice_first(&mut caller, &callee);
    assert_eq!(
        caller.dfg.resolve_aliases(Value::from_u32(2)),
        Value::from_u32(4)
    );
    let found = labels(&caller, 4);
    let at = SourceLoc::new;
    assert!(found.contains(&(12, at(0x110))), "{found:?}");
    assert!(found.contains(&(21, at(0x908))), "{found:?}");
    assert_eq!(labels(&caller, 2), []);
}

#[test]
fn labels_of_an_alias_that_leads_to_none_are_passed_over() {
    let [mut callee, mut caller] = parse(FUNCTIONS);
    label(&mut callee, 1, 11, 0x8);
    let of_nothing = ValueLabelAssignments::Alias {
        from: RelSourceLoc::default(),
        value: Value::from_u32(0),
    };
    let labels_of_callee = callee.dfg.values_labels.as_mut().unwrap();
    labels_of_callee.insert(Value::from_u32(2), of_nothing);
    splice_first(&mut caller, &callee);
    assert_eq!(labels(&caller, 3), [(11, SourceLoc::new(0x108))]);
    assert_eq!(caller.dfg.values_labels.as_ref().unwrap().len(), 1);
}

#[test]
fn labels_keep_their_place_in_a_caller_without_locations() {
    let [mut callee, mut caller] = parse(FUNCTIONS);
    caller.srclocs.clear();
    caller.params = {
        let mut params = cranelift_codegen::ir::function::FunctionParameters::new();
        for name in caller.params.user_named_funcs().values() {
            params.ensure_user_func_name(name.clone());
        }
        params
    };
    label(&mut callee, 1, 11, 0x8);
    splice_first(&mut caller, &callee);
    assert_eq!(labels(&caller, 3), [(11, SourceLoc::new(0x108))]);
    let block = caller.layout.entry_block().unwrap();
    let copied = caller.layout.block_insts(block).nth(1).unwrap();
    assert_eq!(caller.srcloc(copied), SourceLoc::new(0x100));
}

#[test]
fn labels_survive_merged_blocks() {
    let [_, mut func] = parse(
        "function %unused() system_v {\nblock0:\n return\n}
         function %f(i32) -> i32 system_v {
         block0(v0: i32):
             v1 = iadd v0, v0
             jump block1(v1)
         block1(v2: i32):
             return v2
         }",
    );
    func.params.ensure_base_srcloc(SourceLoc::new(0x10));
    label(&mut func, 2, 5, 0x1);
    assert_eq!(
        clean_up(&mut func, &mut CleanupContext::new()).blocks_merged,
        1
    );
    assert_eq!(labels(&func, 1), [(5, SourceLoc::new(0x11))]);
}

#[test]
fn a_callee_with_labels_but_without_locations() {
    let [mut callee, mut caller] = parse(FUNCTIONS);
    callee.srclocs.clear();
    label(&mut callee, 1, 11, 0x8);
    caller.srclocs.clear();
    caller.params = cranelift_codegen::ir::function::FunctionParameters::new();
    splice_first(&mut caller, &callee);
    assert_eq!(labels(&caller, 3), [(11, SourceLoc::new(0x108))]);
}
