//! A policy's facts about results that are constant on some ways, and their weight in the cost
//! model.

use crate::support::{program, run};
use cranelift_inliner::decide::{CallSite, CostModel, Decision, ResultWays};
use cranelift_inliner::pass::Inliner;
use std::sync::Mutex;

/// Returns the program with a callee of this body, whose first result `%main` passes to `%host` and
/// whose second it tests as `test` says.
fn text(callee: &str, test: &str) -> String {
    format!(
        "function %f(i64) -> i64, i64 system_v {{
            fn0 = %external(i64) -> i64, i64 system_v
        block0(v0: i64):
            {callee}
        }}
        function %main(i64) -> i64 system_v {{
            fn0 = %f(i64) -> i64, i64 system_v
            fn1 = %host(i64) system_v
        block0(v0: i64):
            v1, v2 = call fn0(v0)
            call fn1(v1)
            {test}
        block1:
            return v1
        block2:
            return v0
        }}"
    )
}

/// Returns the facts of the site in `%main`: constant ways and all ways of each result, and the
/// branches that it decides.
fn told(callee: &str, test: &str) -> Vec<((u32, u32), u32)> {
    let seen = Mutex::new(Vec::new());
    let policy = |site: &CallSite<'_>| {
        let ways = site.summary().results().iter();
        let ways = ways.map(|&ResultWays { constant, all, .. }| (constant, all));
        seen.lock()
            .unwrap()
            .extend(ways.zip(site.result_branches()));
        Decision::keep("only looking")
    };
    run(Inliner::new(policy), &program(&text(callee, test)));
    seen.into_inner().unwrap()
}

const TWO_RETURNS: &str = "brif v0, block1, block2
        block1:
            v1 = iconst.i64 0
            return v0, v1
        block2:
            return v0, v0";

const ONE_JOIN: &str = "v1 = iconst.i64 0
            v2 = iconst.i64 1
            v4 = ireduce.i32 v0
            br_table v4, block1, [block2, block3]
        block1:
            jump block4(v1)
        block2:
            jump block4(v2)
        block3:
            jump block4(v0)
        block4(v3: i64):
            return v0, v3";

#[test]
fn ways_are_returns_and_ways_into_the_last_join() {
    let test = "brif v2, block1, block2";
    assert_eq!(told(TWO_RETURNS, test), [((0, 2), 0), ((1, 2), 1)]);
    assert_eq!(told(ONE_JOIN, test), [((0, 1), 0), ((2, 3), 1)]);
    let tail = "return_call fn0(v0)";
    let tail = tail.replace("return_call", "v1, v2 = call") + "\n return v1, v2";
    assert_eq!(told(&tail, test), [((0, 1), 0), ((0, 1), 1)]);
    // A parameter of the function is not one of a join.
    assert_eq!(told("return v0, v0", test), [((0, 1), 0), ((0, 1), 1)]);
}

#[test]
fn branches_count_through_tests_and_constants() {
    let branches = |test: &str| told(TWO_RETURNS, test)[1].1;
    let compared = "v3 = iconst.i64 5
            v4 = icmp eq v3, v2
            v5 = uextend.i32 v4
            brif v5, block1, block2";
    assert_eq!(branches(compared), 1);
    assert_eq!(
        branches("v3 = ireduce.i32 v2\n br_table v3, block1, [block2, block1]"),
        1
    );
    // With another value, it decides nothing alone.
    let with_other = "v4 = icmp eq v0, v2\n brif v4, block1, block2";
    assert_eq!(branches(with_other), 0);
    assert_eq!(branches("brif v0, block1, block2"), 0);
}

/// Returns the benefit and the words of the cost model's reason.
fn weighed(callee: &str, test: &str) -> (i64, String) {
    let program = program(&text(callee, test));
    let inlined = run(Inliner::new(CostModel::default()), &program);
    let mut sites = inlined
        .sites()
        .filter(|site| site.callee.to_string() == "%f");
    let site = sites.next().unwrap();
    let cranelift_inliner::pass::Reason::Policy(reason) = &site.reason else {
        panic!("{}", site.reason)
    };
    (reason.benefit().unwrap(), reason.to_string())
}

#[test]
fn the_cost_model_counts_a_share_of_each_branch() {
    let without = weighed(ONE_JOIN, "brif v0, block1, block2");
    assert!(!without.1.contains("constant result"), "{}", without.1);
    let with = weighed(ONE_JOIN, "brif v2, block1, block2");
    assert!(
        with.1.ends_with(", 1 branch on a constant result"),
        "{}",
        with.1
    );
    // Two of three ways, of 6.
    assert_eq!(with.0 - without.0, 4);
}
