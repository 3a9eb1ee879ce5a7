//! Policies: closures, compositions, and the decisions of those that ship.

use super::support::{calls_left, leaf, name, program, program_exporting, run, sites_of, through};
use cranelift_inliner::decide::{
    Always, CallSite, CostModel, Decision, FirstMatch, Inline, Never, Small, from_fn_mut,
};
use cranelift_inliner::pass::{Inliner, Reason};
use cranelift_inliner::program::Program;

fn two_leaves() -> Program {
    program(&(leaf("get_x", 2) + &leaf("other", 2) + &through("main", &["get_x", "other"])))
}

fn is_getter(site: &CallSite<'_>) -> bool {
    site.callee_name().to_string().starts_with("%get_")
}

#[test]
fn a_closure_is_a_policy() {
    let program = two_leaves();
    let threshold = 2;
    let closure = |site: &CallSite<'_>| {
        if is_getter(site) && site.summary().insts() <= threshold {
            Decision::inline("a getter")
        } else {
            Decision::keep("no getter")
        }
    };
    let inlined = run(Inliner::new(closure), &program);
    let sites = sites_of(&inlined, &program, "main");
    assert!(sites[0].inlined && !sites[1].inlined);
    assert_eq!(sites[0].reason, Reason::Policy("a getter".into()));
    assert_eq!(sites[1].reason, Reason::Policy("no getter".into()));
}

#[test]
fn a_closure_may_change_its_state() {
    let program = two_leaves();
    let mut asked = Vec::new();
    let recording = from_fn_mut(|site: &CallSite<'_>| {
        asked.push((site.caller_name().clone(), site.callee_name().clone()));
        Decision::inline("recorded")
    });
    let inlined = run(Inliner::new(recording), &program);
    assert_eq!(inlined.sites().count(), 2);
    assert_eq!(
        asked,
        [(name("main"), name("get_x")), (name("main"), name("other"))]
    );
}

#[test]
fn the_first_policy_that_decides_wins() {
    let program = two_leaves();
    let getters = |site: &CallSite<'_>| {
        if is_getter(site) {
            Decision::inline("a getter")
        } else {
            Decision::Undecided
        }
    };
    let not_asked = |site: &CallSite<'_>| {
        assert!(!is_getter(site), "it is decided already");
        Decision::Undecided
    };
    let inlined = run(
        Inliner::new(FirstMatch::new().then(getters).then(not_asked).then(Never)),
        &program,
    );
    let reasons: Vec<String> = sites_of(&inlined, &program, "main")
        .iter()
        .map(|site| site.reason.to_string())
        .collect();
    assert_eq!(reasons, ["a getter", "policy never"]);

    let inlined = run(Inliner::new(FirstMatch::new().then(getters)), &program);
    let sites = sites_of(&inlined, &program, "main");
    assert_eq!(sites[1].reason, Reason::Undecided);
    assert!(!sites[1].inlined);
}

/// Returns whether `policy` inlines the one call of `%main` in `text`, `%main` being exported.
fn inlines(policy: impl Inline, text: &str) -> bool {
    inlines_in(policy, &program_exporting(text, &["main"]))
}

/// Returns the same where `%callee` is exported too, and stays in any case.
fn inlines_exported(policy: impl Inline, text: &str) -> bool {
    inlines_in(policy, &program_exporting(text, &["main", "callee"]))
}

fn inlines_in(policy: impl Inline, program: &Program) -> bool {
    let inlined = run(Inliner::new(policy), program);
    sites_of(&inlined, program, "main")[0].inlined
}

#[test]
fn small_goes_by_the_callee_and_by_the_sum() {
    let text = leaf("callee", 20) + &through("main", &["callee"]);
    assert!(inlines(Small::new(20, 23), &text));
    assert!(!inlines(Small::new(19, 1000), &text), "the callee has 20");
    assert!(!inlines(Small::new(20, 22), &text), "together they have 23");
}

#[test]
fn small_adds_up_the_callees_accepted_before() {
    let text = leaf("callee", 10) + &through("main", &["callee"; 5]);
    let program = program(&text);
    // 7 instructions at the start.
    let inlined = run(Inliner::new(Small::new(10, 30)), &program);
    let decisions: Vec<bool> = sites_of(&inlined, &program, "main")
        .iter()
        .map(|site| site.inlined)
        .collect();
    assert_eq!(decisions, [true, true, false, false, false]);
}

/// Returns a text in which `%main` calls `%callee` inside `loops` loops, with the v1 that
/// `argument` defines. Another function calls it too.
fn call_with(callee: &str, argument: &str, loops: usize) -> String {
    let mut text = callee.to_owned();
    text += &through("another", &["callee"]);
    text += "function %main(i32) -> i32 fast {\n    fn0 = %callee(i32) -> i32 fast\n";
    text += "block0(v0: i32):\n    jump block1\n";
    for depth in 1..=loops {
        text += &format!("block{depth}:\n    jump block{}\n", depth + 1);
    }
    text += &format!(
        "block{}:\n    {argument}\n    v2 = call fn0(v1)\n",
        loops + 1
    );
    let mut block = loops + 1;
    for depth in (1..=loops).rev() {
        let next = block + 1;
        text += &format!("    brif v0, block{depth}, block{next}\nblock{next}:\n");
        block = next;
    }
    text + "    return v2\n}\n"
}

const PASSED_ON: &str = "v1 = iadd v0, v0";
const CONSTANT: &str = "v1 = iconst.i32 7";

#[test]
fn the_cost_model_weighs_size_loops_and_constants() {
    let model = CostModel::default;
    // The call and its passing are worth 10, the threshold is 30: 40 and 41 are the two sides.
    assert!(inlines_exported(
        model(),
        &call_with(&leaf("callee", 40), PASSED_ON, 0)
    ));
    assert!(!inlines_exported(
        model(),
        &call_with(&leaf("callee", 41), PASSED_ON, 0)
    ));
    // A loop adds 30, two add 60, three no more.
    assert!(inlines_exported(
        model(),
        &call_with(&leaf("callee", 70), PASSED_ON, 1)
    ));
    assert!(!inlines_exported(
        model(),
        &call_with(&leaf("callee", 71), PASSED_ON, 1)
    ));
    assert!(inlines_exported(
        model(),
        &call_with(&leaf("callee", 100), PASSED_ON, 2)
    ));
    assert!(!inlines_exported(
        model(),
        &call_with(&leaf("callee", 101), PASSED_ON, 3)
    ));
    // Of a constant, everything but the return folds.
    assert!(inlines_exported(
        model(),
        &call_with(&leaf("callee", 1000), CONSTANT, 0)
    ));
}

#[test]
fn the_cost_model_takes_a_sole_call_site_of_a_local_function() {
    let sole = leaf("callee", 300) + &through("main", &["callee"]);
    assert!(inlines(CostModel::default(), &sole));
    let twice = leaf("callee", 300) + &through("main", &["callee", "callee"]);
    assert!(!inlines(CostModel::default(), &twice));
    let exported = program(&sole);
    let inlined = run(Inliner::new(CostModel::default()), &exported);
    assert!(
        !sites_of(&inlined, &exported, "main")[0].inlined,
        "it stays anyway"
    );
}

#[test]
fn the_cost_model_allows_more_for_a_local_function_with_few_call_sites() {
    // The threshold of 30 and the benefit of 10, and 90 for one other site, or 45 each for two.
    for (sites, most) in [(2, 130), (3, 85), (4, 70), (91, 41), (92, 40)] {
        let text = |insts| leaf("callee", insts) + &through("main", &vec!["callee"; sites]);
        assert!(inlines(CostModel::default(), &text(most)), "{sites}");
        assert!(!inlines(CostModel::default(), &text(most + 1)), "{sites}");
        assert!(
            !inlines_exported(CostModel::default(), &text(41)),
            "{sites}"
        );
    }
}

/// Returns a text in which `%main` calls `%push` at `sites` sites, and `%push` calls the large
/// function `%grow` at its only site, in a block of its own or in the first one.
fn grows(sites: usize, is_conditional: bool) -> String {
    let code = match is_conditional {
        true => {
            "    brif v0, block1, block2(v0)
                block1:
                    v2 = call fn0(v0)
                    jump block2(v2)
                block2(v3: i32):
                    return v3"
        }
        false => "    v2 = call fn0(v0)\n    return v2",
    };
    let push = format!(
        "function %push(i32) -> i32 fast {{
            fn0 = %grow(i32) -> i32 fast
        block0(v0: i32):
        {code}
        }}\n"
    );
    leaf("grow", 600) + &push + &through("main", &vec!["push"; sites])
}

/// Returns the number of calls that the cost model leaves in `%push` and in `%main`.
fn left_of_growing(sites: usize, is_conditional: bool) -> [usize; 2] {
    let program = program_exporting(&grows(sites, is_conditional), &["main"]);
    let inlined = run(Inliner::new(CostModel::default()), &program);
    ["push", "main"].map(|caller| calls_left(&inlined, &program, caller))
}

#[test]
fn the_cost_model_keeps_a_caller_small_that_may_be_copied_itself() {
    // The copies in `%main` have calls of `%grow`, which is not moved to either of them.
    assert_eq!(left_of_growing(2, true), [1, 2]);
    assert_eq!(left_of_growing(5, true), [1, 5]);
    // With one site both move.
    assert_eq!(left_of_growing(1, true), [0, 0]);
    // Each call of `%push` calls `%grow`, so that one of the two calls is as good as the other.
    assert_eq!(left_of_growing(2, false), [0, 2]);
}

#[test]
fn the_cost_model_inlines_into_cold_code_only_to_make_it_smaller() {
    let cold = |insts: usize| {
        leaf("callee", insts)
            + &through("another", &["callee"])
            + "function %main(i32) -> i32 fast {
                   fn0 = %callee(i32) -> i32 fast
               block0(v0: i32):
                   brif v0, block1, block2
               block1:
                   return v0
               block2 cold:
                   v1 = call fn0(v0)
                   return v1
               }"
    };
    assert!(inlines(CostModel::default(), &cold(10)));
    assert!(!inlines(CostModel::default(), &cold(11)));
}

#[test]
fn the_cost_model_leaves_the_first_call_of_a_recursion() {
    let program = |body: &str| {
        let text = format!(
            "function %count(i64) -> i64 {{
                 fn0 = %count(i64) -> i64
             block0(v0: i64):
                 brif v0, block1, block2
             block1:
                 v9 = iconst.i64 -1
                 v1 = iadd v0, v9
                 v2 = call fn0(v1)
                 v3 = isub v2, v9
                 v4 = imul v3, v0
                 v5 = bxor v4, v2
                 v6 = iadd v5, v1
                 v7 = isub v6, v3
                 v8 = imul v7, v4
                 return v8
             block2:
                 return v0
             }}
             function %main(i64) -> i64 {{
                 fn0 = %count(i64) -> i64
             block0(v0: i64):
                 {body}
             }}"
        );
        Program::from_clif(&text, "test").unwrap()
    };
    let is_inlined = |body: &str| {
        let program = program(body);
        let inlined = run(Inliner::new(CostModel::default()), &program);
        sites_of(&inlined, &program, "main")[0].inlined
    };
    let once = "v1 = call fn0(v0)
                return v1";
    let in_loop = "jump block1(v0)
             block1(v1: i64):
                 v2 = call fn0(v1)
                 brif v2, block1(v2), block2
             block2:
                 return v1";
    assert!(!is_inlined(once));
    assert!(is_inlined(in_loop));
}

#[test]
fn the_cost_model_grants_nothing_for_an_indirect_call_of_a_known_function() {
    // Nothing makes it direct. The callee calls its parameter; 50 instructions beside that.
    let mut apply = "function %apply(i64, i32) -> i32 fast {\n    sig0 = (i32) -> i32 fast\n\
                     block0(v0: i64, v1: i32):\n    v2 = call_indirect sig0, v0(v1)\n"
        .to_owned();
    for index in 3..40 {
        apply += &format!("    v{index} = iadd v{}, v1\n", index - 1);
    }
    apply += "    return v39\n}\n";
    let main = |argument: &str| {
        format!(
            "{apply}{}function %main(i64, i32) -> i32 fast {{
                 fn0 = %apply(i64, i32) -> i32 fast
                 fn1 = %known(i32) -> i32 fast
             block0(v0: i64, v1: i32):
                 v2 = {argument}
                 v3 = call fn0(v2, v1)
                 v4 = call fn0(v0, v3)
                 return v4
             }}",
            leaf("known", 2)
        )
    };
    for argument in ["func_addr.i64 fn1", "iadd v0, v0"] {
        let program = program_exporting(&main(argument), &["main", "apply"]);
        assert!(!inlines_in(CostModel::default(), &program), "{argument}");
    }
}

#[test]
fn every_number_of_the_model_can_be_set() {
    let text = call_with(&leaf("callee", 40), PASSED_ON, 0);
    let with = |change: fn(&mut CostModel)| {
        let mut model = CostModel::default();
        change(&mut model);
        inlines_exported(model, &text)
    };
    assert!(with(|_| {}));
    assert!(!with(|model| model.threshold = 29));
    assert!(!with(|model| model.call_overhead = 7));
    assert!(!with(|model| model.argument_overhead = 0));
    assert!(!with(|model| model.max_callee_insts = 39));
}

#[test]
fn a_threshold_below_zero_asks_for_a_gain() {
    // A call of ten instructions costs its benefit; one of five brings five.
    let text = |insts| call_with(&leaf("callee", insts), PASSED_ON, 0);
    let with_threshold = |threshold| {
        let mut model = CostModel::default();
        model.threshold = threshold;
        model
    };
    assert!(inlines_exported(with_threshold(0), &text(10)));
    assert!(!inlines_exported(with_threshold(-1), &text(10)));
    assert!(inlines_exported(with_threshold(-5), &text(5)));
    assert!(!inlines_exported(with_threshold(-6), &text(5)));
}

#[test]
fn refusals_by_the_code_of_a_callee_are_reported_where_inlining_is_wanted() {
    let program = program(
        "function %frame(i32) -> i32 fast {
        block0(v0: i32):
            v1 = get_frame_pointer.i64
            v2 = ireduce.i32 v1
            return v2
        }
        function %patchable() fast {
        block0:
            return
        }
        function %main(i32) -> i32 fast {
            fn0 = %frame(i32) -> i32 fast
            fn1 = colocated patchable %patchable() fast
        block0(v0: i32):
            v1 = call fn0(v0)
            call fn1()
            return v1
        }",
    );
    let slugs = |policy: Box<dyn Inline>| {
        let inlined = run(Inliner::new(policy), &program);
        let sites = sites_of(&inlined, &program, "main");
        let slugs: Vec<_> = sites.iter().map(|site| site.reason.slug()).collect();
        slugs
    };
    assert_eq!(
        slugs(Box::new(Always)),
        ["frame-introspection", "patchable"]
    );
    assert_eq!(slugs(Box::new(Never)), ["policy", "patchable"]);
}

/// An embedder says "always" or "never" with the numbers that are largest and smallest.
#[test]
fn the_numbers_of_the_cost_model_may_be_extreme() {
    let text = leaf("callee", 300) + &through("main", &["callee", "callee"]);
    for most in [i64::MAX, i64::MAX - 40] {
        assert!(inlines_exported(
            CostModel::default().with_threshold(most),
            &text
        ));
        let model = CostModel::default().with_call_overhead(most);
        assert!(inlines_exported(model.with_argument_overhead(most), &text));
        let model = CostModel::default().with_loop_bonus(most);
        assert!(!inlines_exported(model, &text));
        let cost = CostModel::default().with_inner_call_cost(most);
        let calls = text.clone() + &through("outer", &["main", "main"]);
        let inlined = run(Inliner::new(cost), &program(&calls));
        assert!(!sites_of(&inlined, &program(&calls), "outer")[0].inlined);
        let few = CostModel::default().with_few_call_sites_bonus(most);
        assert!(inlines(few.with_threshold(most), &text));
    }
    for least in [i64::MIN, i64::MIN + 40] {
        assert!(!inlines_exported(
            CostModel::default().with_threshold(least),
            &text
        ));
        let model = CostModel::default().with_call_overhead(least);
        assert!(!inlines_exported(model.with_folded_branch(least), &text));
        let model = CostModel::default().with_promoted_access(least);
        assert!(!inlines_exported(model.with_max_promotion(least), &text));
        let model = CostModel::default().with_inner_call_cost(least);
        assert!(!inlines_exported(model, &text));
    }
}
