//! When the caller's prologue checks the stack for the callee as well: exactly where both limits
//! are the same address.

use cranelift_codegen::ir::Function;
use cranelift_inliner::splice::{Refusal, SpliceOptions, splice};

/// A callee and a caller whose stack limits are `theirs` and `ours`: what is loaded from there.
fn spliced(theirs: &str, ours: &str) -> Result<(), Refusal> {
    let text = format!(
        "function %callee(i64 vmctx) system_v {{
             gv0 = vmctx
             gv1 = symbol %limit
             {theirs}
             stack_limit = gv2
         block0(v0: i64):
             return
         }}
         function %caller(i64 vmctx) system_v {{
             gv0 = vmctx
             gv1 = symbol %limit
             {ours}
             stack_limit = gv2
             fn0 = %callee(i64 vmctx) system_v
         block0(v0: i64):
             call fn0(v0)
             return
         }}"
    );
    let [callee, mut caller]: [Function; 2] = cranelift_reader::parse_functions(&text)
        .unwrap()
        .try_into()
        .unwrap();
    let before = caller.clone();
    let call = caller
        .layout
        .first_inst(caller.layout.entry_block().unwrap())
        .unwrap();
    let result = splice(&mut caller, call, &callee, &SpliceOptions::default());
    assert_eq!(result.is_err(), caller == before);
    result
}

const LIMIT: &str = "gv2 = load.i64 notrap aligned gv0+8";

#[test]
fn the_same_limit_is_checked_once() {
    assert_eq!(spliced(LIMIT, LIMIT), Ok(()));
    // What a load may assume says nothing of what it loads.
    assert_eq!(
        spliced(LIMIT, "gv2 = load.i64 notrap aligned readonly gv0+8"),
        Ok(())
    );
}

#[test]
fn another_limit_is_not_that_of_the_caller() {
    for other in [
        "gv2 = load.i64 notrap aligned gv0+16",
        "gv2 = load.i32 notrap aligned gv0+8",
        "gv2 = load.i64 notrap aligned gv1+8",
        "gv2 = iadd_imm.i64 gv0, 8",
        "gv2 = vmctx",
        "gv2 = symbol %limit",
        "gv3 = load.i64 notrap aligned gv0+8\n gv2 = load.i64 notrap aligned gv3+8",
    ] {
        assert_eq!(spliced(LIMIT, other), Err(Refusal::StackLimit), "{other}");
        assert_eq!(spliced(other, LIMIT), Err(Refusal::StackLimit), "{other}");
    }
}

#[test]
fn a_chain_is_compared_to_its_root() {
    let chain = |first: u32, second: u32| {
        format!(
            "gv3 = load.i64 notrap aligned gv0+{first}
             gv2 = load.i64 notrap aligned gv3+{second}"
        )
    };
    assert_eq!(spliced(&chain(8, 16), &chain(8, 16)), Ok(()));
    for other in [chain(16, 16), chain(8, 8), chain(16, 8)] {
        assert_eq!(spliced(&chain(8, 16), &other), Err(Refusal::StackLimit));
    }
}
