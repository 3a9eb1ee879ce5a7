//! Policies that say of a final function that they keep all of its calls.

use super::support::{program_exporting, run};
use cranelift_inliner::decide::{CallSite, CostModel, Decision, Inline};
use cranelift_inliner::pass::Inliner;

/// Inlines like a model, unless that has said that it keeps all calls of the callee.
struct KeepsItsWord(CostModel);

impl Inline for KeepsItsWord {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        match self.0.keeps_all_calls(site.summary()) {
            true => Decision::keep("all calls stay"),
            false => self.0.decide(site),
        }
    }
}

/// Each term of the cost model may be the one for which a call is inlined.
#[test]
fn the_cost_model_keeps_no_call_that_some_term_lets_in() {
    let none = CostModel::default()
        .with_threshold(0)
        .with_loop_bonus(0)
        .with_sole_call_site_threshold(0)
        .with_few_call_sites_bonus(0)
        .with_call_overhead(0)
        .with_argument_overhead(0)
        .with_folded_branch(0)
        .with_max_promotion(0);
    let callee = "function %callee(i64) -> i64 fast {
        block0(v0: i64):
            v1 = load.i64 v0
            v2 = load.i64 v0+8
            v3 = imul v1, v2
            v4 = imul v3, v2
            return v4
        }\n";
    let takes_condition = "function %callee(i64) -> i64 fast {
        block0(v0: i64):
            brif v0, block1, block2
        block1:
            v1 = load.i64 v0
            return v1
        block2:
            return v0
        }\n";
    let gives_constant = "function %callee(i64) -> i64 fast {
        block0(v0: i64):
            v1 = load.i64 v0
            brif v1, block1, block2
        block1:
            return v1
        block2:
            v2 = iconst.i64 0
            return v2
        }\n";
    let main = |body: &str| {
        format!(
            "function %main(i64) -> i64 fast {{
                ss0 = explicit_slot 16
                fn0 = colocated %callee(i64) -> i64 fast
            block0(v0: i64):
            {body}
            }}\n"
        )
    };
    let once = main("v1 = call fn0(v0)\n return v1");
    let twice = main("v1 = call fn0(v0)\n v2 = call fn0(v1)\n return v2");
    let in_loop = main(
        "jump block1(v0)
        block1(v1: i64):
            v2 = call fn0(v1)
            brif v2, block1(v2), block2
        block2:
            return v2",
    );
    let constant = main("v1 = iconst.i64 0\n v2 = call fn0(v1)\n return v2");
    let slot = main(
        "v1 = stack_addr.i64 ss0
            store v0, v1
            store v0, v1+8
            v2 = call fn0(v1)
            return v2",
    );
    let tests_result = main(
        "v1 = call fn0(v0)
            brif v1, block1, block2
        block1:
            return v0
        block2:
            return v1",
    );
    for (what, model, callee, main) in [
        ("threshold", none.with_threshold(20), callee, &once),
        ("overhead", none.with_call_overhead(20), callee, &once),
        ("arguments", none.with_argument_overhead(10), callee, &once),
        ("loops", none.with_loop_bonus(20), callee, &in_loop),
        (
            "sole call",
            none.with_sole_call_site_threshold(20),
            callee,
            &once,
        ),
        (
            "few calls",
            none.with_few_call_sites_bonus(20),
            callee,
            &twice,
        ),
        (
            "branch",
            none.with_folded_branch(20),
            takes_condition,
            &constant,
        ),
        (
            "slot",
            none.with_max_promotion(20).with_promoted_access(20),
            callee,
            &slot,
        ),
        (
            "result",
            none.with_folded_branch(20),
            gives_constant,
            &tests_result,
        ),
    ] {
        let program = program_exporting(&(callee.to_owned() + main), &["main"]);
        let inlined = |policy: &dyn Inline| {
            let inlined = run(Inliner::new(policy), &program);
            inlined.sites().filter(|site| site.inlined).count()
        };
        assert_eq!(inlined(&none), 0, "{what}");
        assert!(inlined(&model) > 0, "{what}");
        assert_eq!(inlined(&KeepsItsWord(model)), inlined(&model), "{what}");
        assert_eq!(inlined(&KeepsItsWord(none)), 0, "{what}");
    }
    let large = none.with_threshold(1000).with_max_callee_insts(3);
    let program = program_exporting(&(callee.to_owned() + &once), &["main"]);
    let inlined = run(Inliner::new(KeepsItsWord(large)), &program);
    let reason = inlined.sites().next().unwrap().reason.to_string();
    assert_eq!(reason, "all calls stay");
}
