//! Streams free no body that is still needed.

use crate::generated::cases;
use cranelift_inliner::decide::{CallSite, CostModel, Decision, Inline, Small, Summary};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::generate::{CallGraph, Generated, Shape, programs};
use cranelift_inliner_testing::properties;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the calls that a policy inlines although it said that it keeps all of the callee.
struct KeepsItsWord<'a, P>(P, &'a AtomicUsize);

impl<P: Inline> Inline for KeepsItsWord<'_, P> {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        let decision = self.0.decide(site);
        if matches!(decision, Decision::Inline { .. }) && self.keeps_all_calls(site.summary()) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        decision
    }

    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        self.0.keeps_all_calls(callee)
    }
}

/// Returns models in which few terms count, so that each one decides somewhere, alone.
fn models() -> impl Strategy<Value = CostModel> {
    let number = || prop_oneof![4 => Just(0i64), 4 => 1..60i64, 1 => -9..0i64];
    let thresholds = proptest::array::uniform3(-10..140i64);
    (proptest::array::uniform9(number()), thresholds).prop_map(|(numbers, thresholds)| {
        let mut model = CostModel::default();
        [
            model.loop_bonus,
            model.few_call_sites_bonus,
            model.call_overhead,
            model.argument_overhead,
            model.inner_call_cost,
            model.folded_branch,
            model.promoted_access,
            model.max_promotion,
            model.cold_threshold,
        ] = numbers;
        [
            model.threshold,
            model.hot_threshold,
            model.sole_call_site_threshold,
        ] = thresholds;
        model
    })
}

fn shapes() -> impl Strategy<Value = Generated> {
    prop_oneof![
        programs(Shape::new()),
        programs(Shape::new().call_graph(CallGraph::Chain).functions(8..=24)),
    ]
}

/// Returns the same program with all functions local but the first, so that few or single sites
/// call them.
fn with_local_functions(program: &Program) -> Program {
    let mut program = program.clone();
    let first = program
        .iter()
        .next()
        .map(|(_, function)| function.name().clone());
    let exported: Vec<FunctionName> = first.into_iter().collect();
    // The name is one of the program.
    let _ = program.export_only(&exported);
    program
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn policies_inline_no_call_of_a_function_of_which_they_keep_all(
        generated in shapes(),
        model in models(),
        insts in 0..60usize,
        is_local in any::<bool>(),
    ) {
        let program = match is_local {
            true => with_local_functions(&generated.program),
            false => generated.program,
        };
        let broken = AtomicUsize::new(0);
        let run = |policy: &dyn Inline| {
            let inliner = Inliner::new(policy).optimize(Optimize::All);
            inliner.run(&program).map(|_| ())
        };
        run(&KeepsItsWord(model, &broken))?;
        run(&KeepsItsWord(CostModel::default(), &broken))?;
        run(&KeepsItsWord(Small::new(insts, 200), &broken))?;
        prop_assert_eq!(broken.into_inner(), 0);
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn streams_that_free_bodies_give_the_same_code(
        generated in shapes(),
        model in models(),
        is_model in any::<bool>(),
        insts in 0..60usize,
        checks in any::<bool>(),
        at in any::<bool>(),
        depth in 1..4u32,
    ) {
        let small = Small::new(insts, 200);
        let policy: &dyn Inline = if is_model { &model } else { &small };
        let mode = if at { LocationMode::InlinedAt } else { LocationMode::default() };
        let limits = cranelift_inliner::decide::Limits::default().with_depth(depth);
        let inliner = Inliner::new(policy).limits(limits).locations(mode).check(checks);
        properties::deterministic(&generated.program, &inliner)?;
    }
}
