//! Entries of lists count: long lists under every policy and limit, ordinary ones not at all.

use super::support::{POLICIES, id, leaf, policy, program, run, run_always, sites_of, through};
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision, Limits};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::Program;
use std::fmt::Write;

/// Returns a helper with a `br_table` of `targets` targets beside its default.
fn switch(targets: usize) -> String {
    let table: Vec<&str> = (0..targets).map(|_| "block2").collect();
    format!(
        "function %switch(i32) -> i32 fast {{
         block0(v0: i32):
             br_table v0, block1, [{}]
         block1:
             v1 = iadd v0, v0
             return v1
         block2:
             return v0
         }}\n",
        table.join(", ")
    )
}

/// Returns a caller with a `try_call` of `%callee`, which makes `calls` calls, and as many handlers
/// as `handlers`.
fn handled(calls: usize, handlers: usize) -> Program {
    let mut text = "function %callee() tail {\n    fn0 = %outside() tail\nblock0:\n".to_owned();
    for _ in 0..calls {
        text += "    call fn0()\n";
    }
    let mut items = String::new();
    for tag in 0..handlers {
        write!(items, "tag{tag}: block1, ").unwrap();
    }
    program(&format!(
        "{text}    return
         }}
         function %main() tail {{
             sig0 = () tail
             fn0 = %callee() tail
         block0:
             try_call fn0(), sig0, block1, [ {items} default: block1 ]
         block1:
             return
         }}"
    ))
}

fn size_after(inlined: &Inlined, program: &Program, function: &str) -> usize {
    inlined.stats(id(program, function)).insts_after
}

#[test]
fn a_table_of_many_targets_is_not_copied_many_times() {
    let program = program(&(switch(20_000) + &through("main", &["switch"; 300])));
    for name in POLICIES {
        let inlined = run(Inliner::new(policy(name)), &program);
        assert_eq!(size_after(&inlined, &program, "main"), 302, "{name}");
    }
}

#[test]
fn a_limit_of_size_counts_the_targets() {
    let program = program(&(switch(49) + &through("main", &["switch"])));
    // Four instructions and 50 targets, of which eight do not count.
    for (limit, inlined) in [(3 + 46, 1), (3 + 45, 0)] {
        let mut limits = Limits::default();
        limits.function_insts = limit;
        let result = run(Inliner::new(Always).limits(limits), &program);
        assert_eq!(result.stats(id(&program, "main")).inlined, inlined);
    }
}

#[test]
fn policies_see_the_targets() {
    let small = |targets| {
        let program = program(&(switch(targets) + &through("main", &["switch"])));
        let inlined = run(Inliner::new(policy("small")), &program);
        inlined.stats(id(&program, "main")).inlined
    };
    assert_eq!((small(53), small(54)), (1, 0));
    let program = program(&(switch(7) + &leaf("leaf", 4) + &through("main", &["switch", "leaf"])));
    let same = |site: &CallSite<'_>| {
        assert_eq!(site.summary().insts(), 4);
        Decision::Undecided
    };
    assert_eq!(run(Inliner::new(same), &program).sites().count(), 2);
}

#[test]
fn handlers_count_for_each_call_that_gets_them() {
    let limited = |calls, handlers, growth| {
        let mut limits = Limits::default();
        limits.function_growth = 0.0;
        limits.function_growth_floor = growth;
        let program = handled(calls, handlers);
        let inlined = run(Inliner::new(Always).limits(limits), &program);
        (
            inlined.stats(id(&program, "main")).inlined,
            sites_of(&inlined, &program, "main")[0].reason.slug(),
        )
    };
    // With the default and the normal edge, 28 handlers make 30 entries: 22 more than count as one.
    let size = 11 + 10 * 22;
    assert_eq!(limited(10, 28, size), (1, "policy"));
    assert_eq!(limited(10, 28, size - 1), (0, "program-growth"));
    // Six handlers make eight entries.
    assert_eq!(limited(10, 6, 11), (1, "policy"));

    // A thousand calls and a thousand handlers would make a million.
    let program = handled(1000, 1000);
    let inlined = run_always(&program);
    assert_eq!(inlined.stats(id(&program, "main")).inlined, 0);
}

#[test]
fn the_size_after_is_that_of_the_result() {
    let program = handled(10, 28);
    let inlined = run_always(&program);
    let stats = inlined.stats(id(&program, "main"));
    assert_eq!(stats.inlined, 1);
    // The `try_call`, and the return; then ten of them.
    assert_eq!(stats.insts_before, 1 + 22 + 1);
    assert!(
        stats.insts_after > 10 * 23 && stats.insts_after < 10 * 23 + 15,
        "{}",
        stats.insts_after
    );
}

#[test]
fn ordinary_calls_count_as_one_instruction() {
    // Eight arguments and a result.
    let text = "function %callee(i64, i64, i64, i64, i64, i64, i64, i64) -> i64 fast {
            fn0 = %outside(i64, i64, i64, i64, i64, i64, i64, i64) -> i64 fast
        block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64):
            v8 = call fn0(v0, v1, v2, v3, v4, v5, v6, v7)
            return v8
        }
        function %main(i64) -> i64 fast {
            fn0 = %callee(i64, i64, i64, i64, i64, i64, i64, i64) -> i64 fast
        block0(v0: i64):
            v1 = call fn0(v0, v0, v0, v0, v0, v0, v0, v0)
            return v1
        }";
    let program = program(text);
    let inlined = run(Inliner::new(CostModel::default()), &program);
    let site = sites_of(&inlined, &program, "main")[0];
    assert_eq!(site.reason.to_string(), "cost 7, benefit 17");
    assert_eq!((site.callee_insts(), site.caller_insts()), (2, 2));
}
