//! A `stack_switch` in a copy: the stack map that Cranelift gives it, and that of the replaced
//! call.

use cranelift_codegen::ir::Function;
use cranelift_codegen::ir::{Inst, Opcode};
use cranelift_inliner::check::{CopyTree, check};

fn parse(text: &str) -> Function {
    cranelift_reader::parse_functions(text).unwrap().remove(0)
}

fn first_call(func: &Function) -> Inst {
    let mut insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    let is_call = |&inst: &Inst| func.dfg.insts[inst].opcode().is_call();
    insts.find(is_call).unwrap()
}

const CALLEE: &str = "
function %callee(i64) -> i64 tail {
block0(v0: i64):
    v1 = stack_switch v0, v0, v0
    return v1
}";

/// Returns the checker's answer for `after`, in which the first call of `before` is replaced.
fn told(before: &str, after: &str) -> Result<(), String> {
    let (before, callee, after) = (parse(before), parse(CALLEE), parse(after));
    let mut copies = CopyTree::new(&before);
    copies.add(CopyTree::ROOT, first_call(&before), &callee);
    assert!(after.layout.blocks().any(|block| {
        let mut insts = after.layout.block_insts(block);
        insts.any(|inst| after.dfg.insts[inst].opcode() == Opcode::StackSwitch)
    }));
    check(&copies, &after).map_err(|error| error.to_string())
}

fn try_call(handlers: &str) -> String {
    format!(
        "function %caller(i64) -> i64 tail {{
    sig0 = (i64) -> i64 tail
    fn0 = %callee(i64) -> i64 tail
block0(v0: i64):
    try_call fn0(v0), sig0, block1(ret0), [ {handlers} ]
block1(v1: i64):
    return v1
}}"
    )
}

const SPLICED: &str = "function %caller(i64) -> i64 tail {
block0(v0: i64):
    v1 = stack_switch v0, v0, v0
    jump block1(v1)
block1(v2: i64):
    return v2
}";

/// An unwinder looks for handlers at the instruction that left the frame.
#[test]
fn it_is_not_under_handlers() {
    for handlers in ["tag1: block1(exn0)", "default: block1(exn0)"] {
        let message = told(&try_call(handlers), SPLICED).unwrap_err();
        assert!(message.contains("handlers"), "{message}");
    }
    for handlers in ["", "context v0"] {
        assert_eq!(told(&try_call(handlers), SPLICED), Ok(()));
    }
}

/// The copy's own map does not matter: Cranelift emits none.
#[test]
fn it_is_not_where_references_are_live() {
    let before = "function %caller(i64) -> i64 tail {
    ss0 = explicit_slot 8, align = 8
    fn0 = %callee(i64) -> i64 tail
block0(v0: i64):
    v1 = call fn0(v0), stack_map=[i64 @ ss0+0]
    return v1
}";
    let after = "function %caller(i64) -> i64 tail {
    ss0 = explicit_slot 8, align = 8
block0(v0: i64):
    v1 = stack_switch v0, v0, v0, stack_map=[i64 @ ss0+0]
    return v1
}";
    let message = told(before, after).unwrap_err();
    assert!(message.contains("stack map"), "{message}");
    let plain = |text: &str| text.replace(", stack_map=[i64 @ ss0+0]", "");
    assert_eq!(told(&plain(before), &plain(after)), Ok(()));
    assert!(told(before, &plain(after)).is_err());
}
