//! When the caller's prologue checks the stack for the callee as well: exactly where both limits
//! are the same address.

use cranelift_codegen::ir::{Function, TrapCode};
use cranelift_inliner::backend::{CompileScratch, TargetSettings, compile_function, target};
use cranelift_inliner::check::{CopyTree, check};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::{Refusal, SpliceOptions, splice};

/// Splices a callee into a caller whose stack limits are `theirs` and `ours`, the values loaded
/// from there.
fn spliced(theirs: &str, ours: &str) -> Result<(), Refusal> {
    spliced_with(theirs, ours, "v0", false)
}

/// Returns the same, where `vmctx` is passed on: `v0` is the caller's own, `v1` another.
///
/// The checker has code of its own that compares limits. It must agree with the engine, and see the
/// loss if the engine did not refuse.
fn spliced_with(theirs: &str, ours: &str, vmctx: &str, per_thread: bool) -> Result<(), Refusal> {
    let limit = |limit: &str| match limit {
        "" => String::new(),
        _ => format!("{limit}\n stack_limit = gv2"),
    };
    let (theirs, ours) = (limit(theirs), limit(ours));
    let text = format!(
        "function %callee(i64 vmctx) system_v {{
             gv0 = vmctx
             gv1 = symbol %limit
             {theirs}
         block0(v0: i64):
             return
         }}
         function %caller(i64 vmctx, i64) system_v {{
             gv0 = vmctx
             gv1 = symbol %limit
             {ours}
             fn0 = %callee(i64 vmctx) system_v
         block0(v0: i64, v1: i64):
             call fn0({vmctx})
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
    let mut options = SpliceOptions::default();
    options.stack_limit_is_per_thread = per_thread;
    let result = splice(&mut caller, call, &callee, &options);
    assert_eq!(result.is_err(), caller == before);

    let mut claimed = CopyTree::new(&before);
    claimed.add(CopyTree::ROOT, call, &callee);
    if per_thread {
        claimed.stack_limits_are_per_thread();
    }
    let mut without_check = before.clone();
    let mut unlimited = callee.clone();
    unlimited.stack_limit = None;
    splice(&mut without_check, call, &unlimited, &options).unwrap();
    let checked = check(&claimed, &without_check);
    assert_eq!(checked.is_ok(), result.is_ok(), "{checked:?}");
    if let Err(difference) = checked {
        let lost = "the stack limit of its callee is not checked any more";
        assert_eq!(difference.difference().unwrap().message(), lost);
    }
    result
}

const LIMIT: &str = "gv2 = load.i64 notrap aligned gv0+8";

#[test]
fn the_same_limit_is_checked_once() {
    assert_eq!(spliced(LIMIT, LIMIT), Ok(()));
    // The flags of a load say nothing about the loaded value.
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

#[test]
fn another_vmctx_has_another_limit_unless_limits_are_per_thread() {
    let chain = "gv3 = load.i64 notrap aligned gv0+8\n gv2 = load.i64 notrap aligned gv3+16";
    for limit in [LIMIT, chain] {
        for (vmctx, per_thread) in [("v0", false), ("v0", true), ("v1", true)] {
            assert_eq!(spliced_with(limit, limit, vmctx, per_thread), Ok(()));
        }
        let refused = spliced_with(limit, limit, "v1", false);
        assert_eq!(refused, Err(Refusal::StackLimit));
    }
}

#[test]
fn a_limit_per_thread_is_still_one_that_the_caller_checks() {
    for vmctx in ["v0", "v1"] {
        for ours in [
            "",
            "gv2 = load.i64 notrap aligned gv0+16",
            "gv2 = load.i32 notrap aligned gv0+8",
            "gv2 = load.i64 notrap aligned gv1+8",
            "gv2 = vmctx",
        ] {
            let refused = spliced_with(LIMIT, ours, vmctx, true);
            assert_eq!(refused, Err(Refusal::StackLimit), "{ours}");
        }
        assert_eq!(spliced_with("", LIMIT, vmctx, true), Ok(()));
    }
}

/// The `vmctx` itself differs by definition.
#[test]
fn a_limit_that_is_the_vmctx_is_not_per_thread() {
    let itself = "gv2 = vmctx";
    assert_eq!(spliced_with(itself, itself, "v0", true), Ok(()));
    let refused = spliced_with(itself, itself, "v1", true);
    assert_eq!(refused, Err(Refusal::StackLimit));
}

/// Two instances of one program, whose functions find the same limit through their own `vmctx`.
#[test]
fn the_pass_inlines_between_instances_and_checks_the_result() {
    let text = "
    function %theirs(i64 vmctx) -> i64 tail {
        gv0 = vmctx
        gv1 = load.i64 notrap aligned gv0+8
        gv2 = load.i64 notrap aligned gv1+16
        stack_limit = gv2
    block0(v0: i64):
        v1 = load.i64 v0+32
        return v1
    }
    function %ours(i64 vmctx) -> i64 tail {
        gv0 = vmctx
        gv1 = load.i64 notrap aligned gv0+8
        gv2 = load.i64 notrap aligned gv1+16
        fn0 = %theirs(i64 vmctx) -> i64 tail
        stack_limit = gv2
    block0(v0: i64):
        v1 = load.i64 v0+24
        v2 = call fn0(v1)
        return v2
    }";
    let program = Program::from_clif(text, "instances.clif").unwrap();
    let mut options = SpliceOptions::default();
    let inlined = Inliner::new(Always).check(true).run(&program).unwrap();
    assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 0);
    options.stack_limit_is_per_thread = true;
    let inliner = Inliner::new(Always).check(true).splice_options(options);
    let inlined = inliner.run(&program).unwrap();
    assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 1);
    assert!(inlined.splice_options().stack_limit_is_per_thread);
}

/// Returns the traps for an overflow of the stack and the bytes of slots in the code of `func`.
fn overflow_traps(func: &Function) -> (usize, u64) {
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let compiled = compile_function(&*isa, func, &mut CompileScratch::new()).unwrap();
    let traps = compiled.traps().iter();
    let overflows = traps.filter(|trap| trap.code == TrapCode::STACK_OVERFLOW);
    let slots = func.sized_stack_slots.values();
    let bytes = slots.map(|slot| u64::from(slot.size)).sum();
    (overflows.count(), bytes)
}

/// A function that calls still checks its stack when its slots are values, and when the slots of
/// its callee are.
#[test]
fn an_optimized_function_checks_its_limit() {
    let text = "
    function %sum(i64 vmctx, i64) -> i64 system_v {
        gv0 = vmctx
        gv1 = load.i64 notrap aligned gv0+8
        stack_limit = gv1
        fn0 = %outside(i64) -> i64 system_v
    block0(v0: i64, v1: i64):
        v2 = load.i64 v1
        v3 = load.i64 v1+8
        v4 = iadd v2, v3
        v5 = call fn0(v4)
        return v5
    }
    function %main(i64 vmctx, i64) -> i64 system_v {
        ss0 = explicit_slot 16
        gv0 = vmctx
        gv1 = load.i64 notrap aligned gv0+8
        stack_limit = gv1
        fn0 = %sum(i64 vmctx, i64) -> i64 system_v
    block0(v0: i64, v1: i64):
        v2 = stack_addr.i64 ss0
        store v1, v2
        store v1, v2+8
        v3 = call fn0(v0, v2)
        return v3
    }";
    let program = Program::from_clif(text, "limits").unwrap();
    let main = program.id(&"main".parse().unwrap()).unwrap();
    assert_eq!(overflow_traps(program[main].body()), (1, 16));
    let inlined = Inliner::new(Always).check(true).run(&program).unwrap();
    assert!(inlined.sites().any(|site| site.inlined));
    assert_eq!(inlined.stats(main).cleanup.slots_promoted, 1);
    let body = inlined.body(main).unwrap();
    assert_eq!(overflow_traps(body), (1, 0));
    assert_eq!(body.stack_limit, program[main].body().stack_limit);
}
