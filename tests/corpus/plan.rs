//! The decisions on real modules are recorded, followed again, and bisected.

use super::files::{corpus, module_name};
use cranelift_inliner::decide::{Always, CostModel, Inline};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::plan::{Fallback, Outcome, Plan, Replay, bisect};
use cranelift_inliner::program::Program;

fn replay(plan: &Plan, program: &Program) -> Inlined {
    let replay = Replay::new(plan, Fallback::Keep);
    Inliner::new(replay).run(program).unwrap()
}

#[test]
fn a_plan_of_a_real_module_gives_the_same_module_again() {
    for (path, text) in corpus() {
        let module = module_name(&path);
        let program = Program::from_clif(&text, module).unwrap();
        let policies: [&dyn Inline; 2] = [&CostModel::default(), &Always];
        for policy in policies {
            let inlined = Inliner::new(policy).run(&program).unwrap();
            let plan: Plan = Plan::record(&inlined).to_string().parse().unwrap();
            let replayed = replay(&plan, &program);
            assert_eq!(plan.deviations(&replayed), [], "{module}");
            let text = |inlined: &Inlined| inlined.program().to_clif().unwrap();
            assert!(text(&replayed) == text(&inlined), "{module}");
        }
    }
}

#[test]
fn a_fault_planted_in_a_real_module_is_found_within_the_bound() {
    let Some((path, text)) = corpus().next() else {
        return;
    };
    let program = Program::from_clif(&text, module_name(&path)).unwrap();
    let inlined = Inliner::new(Always).run(&program).unwrap();
    let plan = Plan::record(&inlined);
    let sites = plan.iter().filter(|(_, site)| site.inline);
    let sites: Vec<_> = sites.map(|(path, _)| path).collect();
    let bound = (sites.len() as f64).log2() + 2.0;
    for planted in sites.iter().step_by(sites.len().div_ceil(4).max(1)) {
        let found = bisect(&plan, &program, |plan, _| -> Result<bool, ()> {
            let recorded = Plan::record(&replay(plan, &program));
            Ok(recorded.get(planted).is_some_and(|site| site.inline))
        });
        let found = found.unwrap();
        assert!(found.runs as f64 <= bound, "{} runs", found.runs);
        let Outcome::Found { path, .. } = found.outcome else {
            panic!("{planted}: {found:?}")
        };
        assert_eq!(path, **planted);
    }
}
