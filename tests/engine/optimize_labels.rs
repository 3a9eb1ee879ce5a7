//! Labels and locations of code that optimizing removes.

use cranelift_codegen::ir::{
    Function, Inst, Opcode, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::cleanup::{CleanupContext, OptimizeOptions, optimize};

fn parse(text: &str) -> Function {
    let mut func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    func.dfg.collect_debug_info();
    func
}

fn label(func: &mut Function, value: u32, label: u32) {
    let starts = ValueLabelAssignments::Starts(vec![ValueLabelStart {
        from: RelSourceLoc::default(),
        label: ValueLabel::from_u32(label),
    }]);
    let labels = func.dfg.values_labels.as_mut().unwrap();
    labels.insert(Value::from_u32(value), starts);
}

/// Returns the labels of a value, in order.
fn labels(func: &Function, value: u32) -> Vec<u32> {
    let labels = func.dfg.values_labels.as_ref().unwrap();
    let mut found = match labels.get(&Value::from_u32(value)) {
        Some(ValueLabelAssignments::Starts(starts)) => {
            starts.iter().map(|start| start.label.as_u32()).collect()
        }
        _ => Vec::new(),
    };
    found.sort_unstable();
    found
}

fn optimized(mut func: Function) -> Function {
    let options = OptimizeOptions::default();
    optimize(&mut func, &options, &mut CleanupContext::new());
    func
}

fn insts(func: &Function) -> Vec<Inst> {
    let blocks = func.layout.blocks();
    blocks
        .flat_map(|block| func.layout.block_insts(block))
        .collect()
}

const ONE_SLOT: &str = "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = load.i32 v1
    return v2
}";

#[test]
fn labels_of_loads_go_to_the_values() {
    let mut func = parse(ONE_SLOT);
    label(&mut func, 0, 4);
    label(&mut func, 2, 5);
    let func = optimized(func);
    assert_eq!(func.sized_stack_slots.len(), 0);
    assert_eq!(labels(&func, 0), [4, 5]);
}

#[test]
fn labels_of_addresses_go_with_them() {
    let mut func = parse(ONE_SLOT);
    label(&mut func, 1, 6);
    let func = optimized(func);
    assert_eq!(insts(&func).len(), 1, "{func}");
    assert!(func.dfg.values_labels.as_ref().unwrap().is_empty());
}

#[test]
fn labels_of_parameters_go_to_their_value() {
    let mut func = parse(
        "
function %f(i32, i32) -> i32 system_v {
block0(v0: i32, v1: i32):
    brif v0, block1(v1), block2
block1(v2: i32):
    return v2
block2:
    jump block1(v1)
}",
    );
    label(&mut func, 2, 7);
    let func = optimized(func);
    assert_eq!(labels(&func, 1), [7]);
}

#[test]
fn labels_of_comparisons_go_to_the_first() {
    let mut func = parse(
        "
function %f(i32, i32) -> i8, i8 system_v {
block0(v0: i32, v1: i32):
    v2 = icmp slt v0, v1
    v3 = uextend.i32 v2
    v4 = iconst.i32 0
    v5 = icmp ne v3, v4
    v6 = icmp eq v3, v4
    return v5, v6
}",
    );
    label(&mut func, 5, 7);
    label(&mut func, 6, 8);
    let func = optimized(func);
    assert_eq!(labels(&func, 2), [7]);
    assert_eq!(labels(&func, 6), [8]);
}

#[test]
fn labelled_values_stay() {
    let text = "
function %f(i32, i32) system_v {
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    brif v0, block1(v0), block1(v1)
block1(v3: i32):
    return
}";
    let bare = optimized(parse(text));
    assert!(!bare.to_string().contains("iadd") && !bare.to_string().contains("v3"));
    let mut func = parse(text);
    label(&mut func, 2, 1);
    label(&mut func, 3, 2);
    let func = optimized(func);
    assert!(func.to_string().contains("v2 = iadd v0, v1"), "{func}");
    assert_eq!((labels(&func, 2), labels(&func, 3)), (vec![1], vec![2]));
    let block = func.layout.last_block().unwrap();
    assert_eq!(func.dfg.block_params(block), [Value::from_u32(3)]);
}

#[test]
fn replacements_of_an_access_have_its_location() {
    let func = parse(
        "
function %f(i64) -> f64, i64 system_v {
    ss0 = explicit_slot 16
block0(v0: i64):
@0001   v1 = stack_addr.i64 ss0
@0002   store v0, v1
@0003   v2 = load.f64 v1
@0004   v3 = load.i64 v1+8
@0005   return v2, v3
}",
    );
    let func = optimized(func);
    let places: Vec<(Opcode, u32)> = insts(&func)
        .into_iter()
        .map(|inst| (func.dfg.insts[inst].opcode(), func.srcloc(inst).bits()))
        .collect();
    let none = u32::MAX;
    let expected = [
        (Opcode::Iconst, none),
        (Opcode::Bitcast, 3),
        (Opcode::Return, 5),
    ];
    assert_eq!(places, expected, "{func}");
}
