//! Labels that the checker accepts as lost with removed code, and labels that must be there.

use crate::copies::{Order, parse, splice_all};
use cranelift_codegen::ir::{
    Function, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};
use cranelift_inliner::check::{CopyTree, check};
use cranelift_inliner::cleanup::{CleanupContext, clean_up};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::SpliceOptions;

/// Returns `func` with a label for the variable 3 on a value.
fn labelled(func: &Function, value: u32) -> Function {
    let mut func = func.clone();
    func.collect_debug_info();
    let starts = vec![ValueLabelStart {
        from: RelSourceLoc::default(),
        label: ValueLabel::from_u32(3),
    }];
    let labels = func.dfg.values_labels.as_mut().unwrap();
    let starts = ValueLabelAssignments::Starts(starts);
    labels.insert(Value::from_u32(value), starts);
    func
}

/// Inlines into `%caller`, with a label on a value of `of`; returns whether the checker accepts the
/// loss of the label. It must accept the results of the splices in any order, and of the pass.
fn labels_may_be_lost(text: &str, of: &str, value: u32) -> bool {
    let mut functions = parse(text);
    let func = functions.get_mut(of).unwrap();
    *func = labelled(func, value);
    let mut program = Program::new();
    for func in functions.values() {
        program.add(func.clone()).unwrap();
    }
    Inliner::new(Always).check(true).run(&program).unwrap();

    let caller = &functions["%caller"];
    let options = SpliceOptions::default();
    let orders = [Order::Forwards, Order::Backwards, Order::Mixed(1)];
    let [forwards, backwards, _] = orders.map(|order| {
        let mut spliced = splice_all(caller, &functions, &options, order);
        clean_up(&mut spliced.after, &mut CleanupContext::new());
        let tree = spliced.tree(caller, &functions);
        check(&tree, &spliced.after).unwrap();
        spliced.after.dfg.values_labels = None;
        check(&tree, &spliced.after).is_ok()
    });
    assert_eq!(forwards, backwards);
    forwards
}

/// An alias of the caller's own keeps its label, which is the value's as well.
#[test]
fn a_label_of_an_alias_of_the_callers() {
    let text = "
function %leaf() system_v {
block0:
    return
}
function %caller(i32) -> i32 system_v {
    fn0 = %leaf() system_v
block0(v0: i32):
    v1 -> v0
    call fn0()
    return v1
}";
    assert!(!labels_may_be_lost(text, "%caller", 1));
}

/// Nothing needs the results of the call where the jump leads.
#[test]
fn a_label_of_the_result_of_a_call_before_a_jump() {
    let text = "
function %f(i32) system_v {
    fn0 = %host() -> i32, i32 system_v
block0(v0: i32):
    brif v0, block1, block2
block1:
    v1, v2 = call fn0()
    jump block2
block2:
    return
}";
    let func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    for value in [1, 2] {
        let func = labelled(&func, value);
        check(&CopyTree::new(&func), &func).unwrap();
        // A label that the source does not have.
        let other = labelled(&func, 0);
        assert!(check(&CopyTree::new(&func), &other).is_err());
    }
}

/// The payload is a parameter of a block that does nothing.
#[test]
fn a_label_of_a_payload_that_nothing_needs() {
    let text = "
function %f() system_v {
    sig0 = () tail
    fn0 = %throws() tail
block0:
    try_call fn0(), sig0, block1, [ tag0: block2(exn0) ]
block1:
    jump block3
block2(v0: i64):
    jump block3
block3:
    return
}";
    let func = cranelift_reader::parse_functions(text).unwrap().remove(0);
    let func = labelled(&func, 0);
    check(&CopyTree::new(&func), &func).unwrap();
}

/// The result of `%host` only goes to a block that does not need it, as one of two values.
#[test]
fn a_label_of_a_result_that_is_lost_from_sight_behind_a_splice() {
    let text = "
function %leaf() system_v {
block0:
    return
}
function %caller(i32) system_v {
    fn0 = %host() -> i32 system_v
    fn1 = %leaf() system_v
block0(v0: i32):
    brif v0, block1, block2(v0)
block1:
    v1 = call fn0()
    jump block2(v1)
block2(v2: i32):
    call fn1()
    return
}";
    assert!(!labels_may_be_lost(text, "%caller", 1));
}

/// Clean-up lets the branch of `block1` go past `block2`, which is all that has the parameter.
#[test]
fn a_label_of_a_parameter_that_is_only_passed_on() {
    let text = "
function %leaf() system_v {
block0:
    return
}
function %caller(i32, i32) -> i32 system_v {
    fn0 = %leaf() system_v
block0(v0: i32, v1: i32):
    call fn0()
    brif v0, block1, block2(v1)
block1:
    v2 = iadd v0, v1
    jump block2(v2)
block2(v3: i32):
    jump block3(v3)
block3(v4: i32):
    return v4
}";
    assert!(labels_may_be_lost(text, "%caller", 3));
    assert!(!labels_may_be_lost(text, "%caller", 4));
}

/// Labels that only the call's block has go with it, when clean-up leads both returns past it.
#[test]
fn a_label_of_the_values_of_several_returns_to_a_block_that_goes() {
    let text = "
function %twice(i32) -> i32 system_v {
    fn0 = %host() system_v
block0(v0: i32):
    brif v0, block1, block2
block1:
    call fn0()
    return v0
block2:
    return v0
}
function %caller(i32, i32) -> i32 system_v {
    fn0 = %twice(i32) -> i32 system_v
block0(v0: i32, v1: i32):
    brif v1, block1, block2
block1:
    v2 = call fn0(v0)
    jump block2
block2:
    return v0
}";
    assert!(labels_may_be_lost(text, "%caller", 2));
    let used = text.replace("jump block2", "trapz v2, user1\n    jump block2");
    assert!(!labels_may_be_lost(&used, "%caller", 2));
    let once = text.replacen("block2:\n    return v0", "block2:\n    trap user1", 1);
    assert!(!labels_may_be_lost(&once, "%caller", 2));
}

/// The call gets the handlers of the `try_call`, and its result goes straight to `block2`.
#[test]
fn a_label_of_the_result_of_a_call_with_handlers() {
    let text = "
function %callee(i32) -> i32 tail {
    fn0 = %host() -> i32 tail
block0(v0: i32):
    brif v0, block1, block2(v0)
block1:
    v1 = call fn0()
    jump block2(v1)
block2(v2: i32):
    return v2
}
function %caller(i32) -> i32 tail {
    sig0 = (i32) -> i32 tail
    fn0 = %callee sig0
block0(v0: i32):
    try_call fn0(v0), sig0, block1(ret0), [ tag0: block2 ]
block1(v1: i32):
    return v1
block2:
    return v0
}";
    assert!(labels_may_be_lost(text, "%callee", 1));
    let used = text.replace("jump block2(v1)", "trapz v1, user1\n    jump block2(v1)");
    assert!(!labels_may_be_lost(&used, "%callee", 1));
    let without_handlers = text.replace("[ tag0: block2 ]", "[ ]");
    assert!(!labels_may_be_lost(&without_handlers, "%callee", 1));
}

/// A parameter of the callee is the passed value, here in a block that goes.
#[test]
fn a_label_of_a_parameter_for_which_one_is_passed_that_goes() {
    let text = "
function %needs_nothing(i32) system_v {
block0(v0: i32):
    return
}
function %caller(i32, i32) -> i32 system_v {
    fn0 = %needs_nothing(i32) system_v
block0(v0: i32, v1: i32):
    brif v1, block1, block2(v0)
block1:
    trapz v0, user1
    jump block2(v0)
block2(v2: i32):
    call fn0(v2)
    jump block3
block3:
    return v0
}";
    assert!(labels_may_be_lost(text, "%needs_nothing", 0));
    let needed = text.replace("return v0", "return v2");
    assert!(!labels_may_be_lost(&needed, "%needs_nothing", 0));
}
