//! Indirect calls through a slot that the callee gets too: guarded, inlined, and then without the
//! guard, if the slot always holds the same address.

use crate::support::{id, program, run};
use cranelift_inliner::cleanup::{CleanupStats, OptimizeOptions};
use cranelift_inliner::decide::{Always, CallSite, Decision};
use cranelift_inliner::pass::Inliner;

/// `%main` calls a closure in each round of a loop. It adds to a counter in another slot, whose
/// address it captured.
const COUNTER: &str = "
function %step(i64, i64) -> i64 fast {
block0(v0: i64, v1: i64):
    v2 = load.i64 notrap v0+8
    v3 = load.i64 notrap v2
    v4 = iadd v3, v1
    store notrap v4, v2
    return v4
}
function %main(i64) -> i64 fast {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 16
    sig0 = (i64, i64) -> i64 fast
    fn0 = colocated %step(i64, i64) -> i64 fast
    fn1 = %outside(i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i64 0
    store notrap v2, v1
    v3 = stack_addr.i64 ss1
    v4 = func_addr.i64 fn0
    store notrap v4, v3
    store notrap v1, v3+8
    jump block1(v0)
block1(v5: i64):
    v6 = load.i64 notrap v3
    v7 = call_indirect sig0, v6(v3, v5)
    v8 = iconst.i64 -1
    v9 = iadd v5, v8
    brif v9, block1(v9), block2
block2:
    v10 = load.i64 notrap v1
    return v10
}";

fn optimized(text: &str, options: OptimizeOptions) -> (String, CleanupStats) {
    let program = program(text);
    let inliner = Inliner::new(Always).optimize_options(options).check(true);
    let inlined = run(inliner, &program);
    let main = id(&program, "main");
    let text = inlined.body(main).unwrap().to_string();
    (text, inlined.stats(main).cleanup)
}

#[test]
fn a_closure_that_a_loop_calls_is_inlined_and_its_slot_goes() {
    let (main, stats) = optimized(COUNTER, OptimizeOptions::default());
    assert!(!main.contains("call") && !main.contains("ss0"), "{main}");
    assert!(!main.contains("icmp"), "{main}");
    assert_eq!((stats.calls_guarded, stats.guards_decided), (1, 1));
}

#[test]
fn an_address_that_is_stored_and_loaded_in_one_order_is_known() {
    let text = edited(&[
        ("    store notrap v4, v3\n", "    store notrap big v4, v3\n"),
        (
            "    v6 = load.i64 notrap v3\n",
            "    v6 = load.i64 notrap big v3\n",
        ),
    ]);
    let (main, stats) = optimized(&text, OptimizeOptions::default());
    assert!(!main.contains("call") && !main.contains("icmp"), "{main}");
    assert_eq!((stats.calls_guarded, stats.guards_decided), (1, 1));
}

#[test]
fn each_switch_leaves_the_call_alone() {
    let switches: [fn(&mut OptimizeOptions); 2] = [
        |options| options.guard_calls = false,
        |options| options.resolve_targets = false,
    ];
    for switch in switches {
        let mut options = OptimizeOptions::default();
        switch(&mut options);
        let (main, stats) = optimized(COUNTER, options);
        assert!(main.contains("call_indirect") && !main.contains("icmp"));
        assert_eq!(stats.calls_guarded, 0);
    }
}

/// Returns the program with `edits`, each of a text that is there once.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = COUNTER.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn a_guard_stays_where_the_address_may_change() {
    // The closure stores into itself, and other code gets it or stores through an unknown address.
    for edits in [
        &[(
            "    store notrap v4, v2\n    return v4",
            "    store notrap v4, v0\n    return v4",
        )][..],
        &[("    v7 = call_ind", "    call fn1(v3)\n    v7 = call_ind")],
        &[(
            "    v2 = load.i64 notrap v0+8\n",
            "    v2 = load.i64 notrap v0+8\n    v5 = iadd v0, v1\n    store notrap v1, v5\n",
        )],
    ] {
        let (main, stats) = optimized(&edited(edits), OptimizeOptions::default());
        assert!(main.contains("call_indirect"), "{main}");
        assert!(main.contains("icmp eq"), "{main}");
        assert_eq!(
            (stats.calls_guarded, stats.guards_decided),
            (1, 0),
            "{main}"
        );
    }
}

#[test]
fn no_guard_where_the_target_is_not_likely_or_not_the_same_kind() {
    for edits in [
        // Another signature.
        &[(
            "sig0 = (i64, i64) -> i64 fast",
            "sig0 = (i64, i64) -> i64 system_v",
        )][..],
        // Two functions.
        &[(
            "    jump block1(v0)",
            "    brif v0, block3, block4\nblock3:\n    v20 = func_addr.i64 fn1\n    store notrap v20, v3\n    jump block4\nblock4:\n    jump block1(v0)",
        )],
        // A part of the address.
        &[(
            "    jump block1(v0)",
            "    store notrap v0, v3+4\n    jump block1(v0)",
        )],
        // The address with its bytes in another order.
        &[("    store notrap v4, v3\n", "    store notrap big v4, v3\n")],
        &[(
            "    v6 = load.i64 notrap v3\n",
            "    v6 = load.i64 notrap little v3\n",
        )],
        // A function that the program does not define.
        &[("fn0 = colocated %step", "fn0 = colocated %elsewhere")],
    ] {
        let (main, stats) = optimized(&edited(edits), OptimizeOptions::default());
        assert!(main.contains("call_indirect"), "{main}");
        assert_eq!(stats.calls_guarded, 0, "{main}");
    }
}

#[test]
fn a_guarded_call_that_no_policy_wants_keeps_its_metadata_on_both_sides() {
    let text = edited(&[
        (
            "    v7 = call_indirect sig0, v6(v3, v5)",
            "<7> @0012    v7 = call_indirect sig0, v6(v3, v5), stack_map=[i64 @ ss2+0]",
        ),
        (
            "    ss1 = explicit_slot 16\n",
            "    ss1 = explicit_slot 16\n    ss2 = explicit_slot 8\n",
        ),
    ]);
    let program = program(&text);
    let not_step = |site: &CallSite<'_>| match site.callee_name().to_string().as_str() {
        "%step" => Decision::keep("later"),
        _ => Decision::inline("all"),
    };
    let inlined = run(Inliner::new(not_step).check(true), &program);
    let main = inlined.body(id(&program, "main")).unwrap();
    let calls: Vec<_> = main
        .layout
        .blocks()
        .flat_map(|block| main.layout.block_insts(block))
        .filter(|&inst| main.dfg.insts[inst].opcode().is_call())
        .collect();
    assert_eq!(calls.len(), 2, "{main}");
    for call in calls {
        assert_eq!(main.debug_tags.get(call).len(), 1, "{main}");
        assert_eq!(main.srcloc(call).bits(), 0x12, "{main}");
        assert_eq!(main.dfg.user_stack_map_entries(call).unwrap().len(), 1);
    }
}

/// Calls that end their block, with handlers and as the last thing that a function does.
#[test]
fn calls_that_end_a_block_are_guarded_too() {
    let handlers = edited(&[
        (
            "    v7 = call_indirect sig0, v6(v3, v5)\n",
            "    try_call_indirect v6(v3, v5), sig0, block3(ret0), [ default: block4(exn0) ]\nblock4(v21: i64):\n    return v21\nblock3(v7: i64):\n",
        ),
        (
            "sig0 = (i64, i64) -> i64 fast",
            "sig0 = (i64, i64) -> i64 tail",
        ),
        (
            "fn0 = colocated %step(i64, i64) -> i64 fast",
            "fn0 = colocated %step(i64, i64) -> i64 tail",
        ),
        (
            "function %step(i64, i64) -> i64 fast",
            "function %step(i64, i64) -> i64 tail",
        ),
    ]);
    let (main, stats) = optimized(&handlers, OptimizeOptions::default());
    assert_eq!(stats.calls_guarded, 1, "{main}");
    assert!(!main.contains("call"), "{main}");
    let (main, stats) = optimized(TAIL, OptimizeOptions::default());
    assert_eq!(
        (stats.calls_guarded, stats.guards_decided),
        (1, 0),
        "{main}"
    );
    assert!(main.contains("return_call_indirect"), "{main}");
    assert!(!main.contains("return_call fn"), "{main}");
}

/// The slot outlives no tail call, but the address that it holds is likely all the same.
const TAIL: &str = "
function %step(i64) -> i64 tail {
block0(v0: i64):
    v1 = imul v0, v0
    return v1
}
function %main(i64) -> i64 tail {
    ss0 = explicit_slot 8
    sig0 = (i64) -> i64 tail
    fn0 = colocated %step(i64) -> i64 tail
    fn1 = %outside(i64) tail
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = func_addr.i64 fn0
    store notrap v2, v1
    call fn1(v1)
    v3 = load.i64 notrap v1
    return_call_indirect sig0, v3(v0)
}";

/// The guard would leave no `try_call` at the end of the block, or one of two.
#[test]
fn a_handler_address_keeps_its_call() {
    const CALL: &str = "    v7 = call_indirect sig0, v6(v3, v5)\n";
    const NAMED: &str =
        "    v20 = get_exception_handler_address.i64 block1, 0\n    store v20, v5\n";
    let function = |text: &str, edits: &[(&str, &str)]| {
        let edits = edits.iter();
        edits.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    // All functions have a convention with exceptions.
    let tail = [
        ("fast", "tail"),
        ("%outside(i64)\n", "%outside(i64) tail\n"),
    ];
    let handlers = "[ tag0: block4(exn0) ]\nblock3(v7: i64):\n";
    let end = (
        "    return v10\n",
        "    return v10\nblock4(v21: i64):\n    return v21\n",
    );

    let guarded = format!("    try_call_indirect v6(v3, v5), sig0, block3(ret0), {handlers}");
    let named = format!("{NAMED}{guarded}");
    for (call, guards) in [(guarded, 1), (named, 0)] {
        let text = function(COUNTER, &[&tail[..], &[(CALL, &call), end]].concat());
        let (main, stats) = optimized(&text, OptimizeOptions::default());
        assert_eq!(stats.calls_guarded, guards, "{main}");
        assert_eq!(main.contains("get_exception"), guards == 0);
    }
    // The block ends with another call, which goes on behind the guard.
    let other = "    try_call fn1(v7), sig1, block3, [ tag0: block4(exn0) ]\nblock3:\n";
    let call = format!("{NAMED}{CALL}{other}");
    let signature = ("    fn0 = ", "    sig1 = (i64) tail\n    fn0 = ");
    let text = function(
        COUNTER,
        &[&tail[..], &[(CALL, &call), end, signature]].concat(),
    );
    let (main, stats) = optimized(&text, OptimizeOptions::default());
    assert_eq!(stats.calls_guarded, 1);
    assert!(main.contains("get_exception_handler_address"), "{main}");
}
