//! Copies of structures passed by value, and the addresses that the result passes on after them.

use cranelift_codegen::ir::{Function, Inst};
use cranelift_inliner::check::{CopyTree, check};

fn functions(text: &str) -> Vec<Function> {
    cranelift_reader::parse_functions(text).unwrap()
}

/// Returns a caller that passes a structure of this size, and then goes on to a block with a
/// parameter.
fn caller(size: u32, after: &str) -> String {
    format!(
        "
function %caller(i64, i32) -> i32 system_v {{
    fn0 = %callee(i64 sarg({size})) system_v
    fn1 = %host(i32) system_v
block0(v0: i64, v1: i32):
    call fn0(v0)
    {after}
}}
function %callee(i64 sarg({size})) system_v {{
block0(v0: i64):
    return
}}"
    )
}

const PASSES_ON: &str = "jump block1(v1)
block1(v2: i32):
    call fn1(v2)
    brif v2, block1(v2), block2(v2)
block2(v3: i32):
    return v3";

fn told(text: &str, change: impl Fn(String) -> String) -> Result<(), String> {
    use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
    let functions = functions(text);
    let [before, callee] = &functions[..] else {
        panic!("{} functions", functions.len());
    };
    let entry = before.layout.entry_block().unwrap();
    let mut insts = before.layout.block_insts(entry);
    let is_call = |&inst: &Inst| before.dfg.insts[inst].opcode().is_call();
    let call = insts.find(is_call).unwrap();
    let mut after = before.clone();
    let mut context = SpliceContext::new();
    let options = SpliceOptions::default();
    let mut session = context.session(&mut after, &options);
    session.splice(call, &Callee::new(callee).unwrap()).unwrap();
    session.finish();
    let after = self::functions(&change(after.to_string())).remove(0);
    let mut copies = CopyTree::new(before);
    copies.add(CopyTree::ROOT, call, callee);
    check(&copies, &after).map_err(|error| error.to_string())
}

/// Nothing stands between the last byte and the jump, whether bytes are copied one after the other
/// or in a loop.
#[test]
fn arguments_right_behind_a_structure_are_followed() {
    for size in [0, 1, 8, 13, 16, 64, 127, 128, 136, 160, 1023] {
        let text = caller(size, PASSES_ON);
        assert_eq!(told(&text, |after| after), Ok(()), "{size}");
        let other = "v90 = iconst.i32 3\n    jump block1(v90)";
        let told = told(&text, |after| after.replace("jump block1(v1)", other));
        assert!(told.is_err(), "{size}");
    }
}

#[test]
fn a_loop_without_end_may_follow_a_structure() {
    let text = caller(16, "jump block1\nblock1:\n    jump block1");
    assert_eq!(told(&text, |after| after), Ok(()));
}
