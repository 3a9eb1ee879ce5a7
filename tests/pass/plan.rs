//! Plans: recorded decisions are followed, even if other code changes; and bisecting finds the one
//! site.

use cranelift_codegen::ir::SourceLoc;
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision, Inline, Never};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::pass::{Inlined, Inliner, Reason, RecordLevel};
use cranelift_inliner::plan::{
    Deviation, DeviationKind, Fallback, Outcome, Plan, PlanProblem, PlannedSite, Replay, SitePath,
    bisect,
};
use cranelift_inliner::program::{Attributes, FunctionName, InlineAttribute, Program, SiteHint};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Returns a function that adds to its parameter and then calls these, each on the result of the
/// last one. The location of a call is `base` and its place among the calls.
fn function(name: &str, base: u32, callees: &[&str]) -> String {
    let mut declared = callees.to_vec();
    declared.sort_unstable();
    declared.dedup();
    let mut text = format!("function %{name}(i32) -> i32 fast {{\n");
    for (number, callee) in declared.iter().enumerate() {
        text += &format!("    fn{number} = %{callee}(i32) -> i32 fast\n");
    }
    text += "block0(v0: i32):\n    v1 = iadd v0, v0\n";
    for (place, callee) in callees.iter().enumerate() {
        let number = declared.binary_search(callee).unwrap();
        let location = base as usize + place;
        let (argument, result) = (place + 1, place + 2);
        text += &format!("@{location:04x} v{result} = call fn{number}(v{argument})\n");
    }
    text + &format!("    return v{}\n}}\n", callees.len() + 1)
}

fn program(functions: &[String]) -> Program {
    Program::from_clif(&functions.concat(), "test.clif").unwrap()
}

fn run(program: &Program, policy: impl Inline) -> Inlined {
    Inliner::new(policy).check(true).run(program).unwrap()
}

/// Follows `plan` without asking attributes and hints.
fn replay_alone(plan: &Plan, program: &Program) -> Inlined {
    let replay = Replay::new(plan, Fallback::Keep);
    let inliner = Inliner::new(replay).meet_demands(false);
    inliner.check(true).run(program).unwrap()
}

fn replay(plan: &Plan, program: &Program) -> Inlined {
    run(program, Replay::new(plan, Fallback::Keep))
}

/// Returns three levels, a pair with two sites, and a call of a function by itself.
fn layered() -> Vec<String> {
    vec![
        function("main", 0x100, &["middle", "leaf", "middle", "again"]),
        function("middle", 0x200, &["leaf", "inner", "leaf"]),
        function("inner", 0x300, &["leaf", "outside"]),
        function("leaf", 0x400, &[]),
        function("again", 0x500, &["again", "leaf"]),
    ]
}

/// Decides by the path alone, about half of the sites each way.
fn by_path(site: &CallSite<'_>) -> Decision {
    let path = SitePath::from_names(&site.path_names()).unwrap();
    let sum: usize = path.to_string().bytes().map(usize::from).sum();
    match sum % 2 {
        0 => Decision::inline("even"),
        _ => Decision::keep("odd"),
    }
}

fn decisions(plan: &Plan) -> Vec<(String, bool)> {
    let sites = plan.iter();
    sites
        .map(|(path, site)| (path.to_string(), site.inline))
        .collect()
}

#[test]
fn a_recorded_plan_gives_the_same_program_and_the_same_plan() {
    let program = program(&layered());
    let policies: [&dyn Inline; 4] = [&Always, &Never, &CostModel::default(), &by_path];
    for policy in policies {
        let inlined = run(&program, policy);
        let plan = Plan::record(&inlined);
        let read: Plan = plan.to_string().parse().unwrap();
        assert_eq!(read, plan);
        let replayed = replay(&read, &program);
        let text = |inlined: &Inlined| inlined.program().to_clif().unwrap();
        assert_eq!(text(&replayed), text(&inlined));
        assert_eq!(plan.deviations(&replayed), []);
        let again = Plan::record(&replayed);
        assert_eq!(decisions(&again), decisions(&plan));
        let third = replay(&again, &program);
        assert_eq!(Plan::record(&third), again, "`planned` is said once");
    }
}

#[test]
fn a_plan_outlasts_changes_elsewhere() {
    let before = program(&layered());
    let plan = Plan::record(&run(&before, by_path));
    assert!(plan.inlined() > 5 && plan.inlined() < plan.len(), "{plan}");

    let mut functions = layered();
    functions.reverse();
    functions.insert(2, function("added", 0x600, &["leaf", "middle"]));
    // Calls of other functions come in before those that the plan knows.
    let main = [
        "added", "middle", "leaf", "added", "middle", "again", "added",
    ];
    *functions.last_mut().unwrap() = function("main", 0x100, &main);
    let after = program(&functions);
    let replayed = replay(&plan, &after);
    let now = decisions(&Plan::record(&replayed));
    for decision in decisions(&plan) {
        assert!(now.contains(&decision), "{decision:?} in {now:#?}");
    }
    // The calls that came in have moved others; nothing else is wrong.
    for Deviation { path, kind, .. } in plan.deviations(&replayed) {
        match kind {
            DeviationKind::Moved { .. } => assert_eq!(path.caller().to_string(), "%main"),
            DeviationKind::Unlisted { inlined, .. } => {
                assert!(!inlined);
                assert!(path.to_string().contains("%added"), "{path}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn each_kind_of_deviation_is_told() {
    let before = program(&layered());
    let inlined = run(&before, Always);
    let plan = Plan::record(&inlined);
    let told = |functions: &[String], change: &dyn Fn(&mut Program)| {
        let mut after = program(functions);
        change(&mut after);
        let inlined = replay(&plan, &after);
        let deviations = plan.deviations(&inlined);
        deviations
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let unchanged = |_: &mut Program| {};

    let mut moved = layered();
    moved[2] = function("inner", 0x3f0, &["leaf", "outside"]);
    let expected = "%inner -> %leaf #0 is at @03f0 and not at @0300 as planned";
    assert_eq!(told(&moved, &unchanged), [expected]);

    let mut more = layered();
    more[2] = function("inner", 0x300, &["leaf", "outside", "leaf"]);
    let expected = "%inner -> %leaf #1 is not in the plan; it was kept: not in the plan";
    let unlisted = told(&more, &unchanged);
    assert!(
        unlisted.iter().any(|line| line == expected),
        "{unlisted:#?}"
    );

    let mut fewer = layered();
    fewer[2] = function("inner", 0x300, &["outside"]);
    assert_eq!(
        told(&fewer, &unchanged),
        ["%inner -> %leaf #0 is not in the program, or was optimized away"]
    );

    let never = |program: &mut Program| {
        let name: FunctionName = "inner".parse().unwrap();
        let mut attributes = program[program.id(&name).unwrap()].attributes();
        attributes.inline = InlineAttribute::Never;
        program.set_attributes(&name, attributes).unwrap();
    };
    let kept = told(&layered(), &never);
    let expected = "%middle -> %inner #0 was to be inlined and was kept: attribute never";
    assert!(kept.iter().any(|line| line == expected), "{kept:#?}");
}

/// The code after a call of a function that traps is gone when its turn comes, but it was decided.
/// Calls that stay as they are have no record, and are in the program all the same.
#[test]
fn a_call_without_a_record_is_not_missing() {
    let program = program(&layered());
    let plan = Plan::record(&run(&program, by_path));
    let deviations = |policy: &dyn Inline| {
        let inliner = Inliner::new(policy).records(RecordLevel::Changes);
        plan.deviations(&inliner.run(&program).unwrap())
    };
    assert_eq!(deviations(&Replay::new(&plan, Fallback::Keep)), []);

    let deviations = deviations(&Never);
    let (own, below): (Vec<_>, Vec<_>) = deviations
        .iter()
        .partition(|deviation| deviation.path.steps().len() == 1);
    let planned = plan.iter().filter(|(_, site)| site.inline);
    let planned = planned.filter(|(path, _)| path.steps().len() == 1);
    assert_eq!(own.len(), planned.count());
    for deviation in own {
        assert_eq!(deviation.kind, DeviationKind::Unrecorded);
        let told = format!("{} was to be inlined and was kept", deviation.path);
        assert_eq!(deviation.to_string(), told);
    }
    assert!(below.iter().all(|site| site.kind == DeviationKind::Missing));
}

#[test]
fn a_site_that_splices_before_it_made_unreachable_is_listed() {
    let traps = "function %traps(i32) -> i32 fast {\nblock0(v0: i32):\n    trap user1\n}\n";
    let mut functions = layered();
    functions.push(traps.to_owned());
    functions.push(function("top", 0x700, &["traps", "leaf"]));
    let program = program(&functions);
    let inlined = run(&program, Always);
    let plan = Plan::record(&inlined);
    let name = |name: &str| name.parse().unwrap();
    let listed = plan
        .get(&SitePath::new(name("top"), name("leaf"), 0))
        .unwrap();
    assert!(!listed.inline);
    assert_eq!(listed.reason, "the call is unreachable");
    assert_eq!(plan.deviations(&replay(&plan, &program)), []);
}

/// The policy is asked before the callee's code is read, so it must find its wanted facts then.
#[test]
fn calls_that_the_callees_code_forbids_are_listed() {
    let looking = function("leaf", 0x400, &[]).replace(
        "    v1 = iadd v0, v0\n",
        "    v9 = get_frame_pointer.i64\n    v1 = iadd v0, v0\n",
    );
    let program = program(&[function("main", 0x100, &["leaf", "outside"]), looking]);
    let inlined = run(&program, Always);
    let plan = Plan::record(&inlined);
    assert_eq!(decisions(&plan), [("%main -> %leaf #0".to_owned(), false)]);
    let again = replay(&plan, &program);
    assert_eq!(plan.deviations(&again), []);
    assert_eq!(plan.deviations(&inlined), []);
}

#[test]
fn the_policy_decides_calls_that_the_plan_does_not_list() {
    let program = program(&layered());
    let mut plan = Plan::new();
    let path = |callee: &str, ordinal| {
        let name = |name: &str| name.parse().unwrap();
        SitePath::new(name("main"), name(callee), ordinal)
    };
    let mut keep = PlannedSite::new(false);
    keep.reason = "by hand".into();
    plan.insert(path("middle", 1), keep);
    let fallback = Fallback::Policy(Box::new(Always));
    let inlined = run(&program, Replay::new(&plan, fallback));
    let recorded = Plan::record(&inlined);
    let site = |callee, ordinal| recorded.get(&path(callee, ordinal)).unwrap();
    assert!(site("middle", 0).inline && site("leaf", 0).inline && !site("middle", 1).inline);
    assert_eq!(site("middle", 1).reason, "planned: by hand");
    let main = program.id(&"main".parse().unwrap()).unwrap();
    let record = inlined
        .sites()
        .find(|record| record.caller == main && !record.inlined)
        .unwrap();
    assert_eq!(record.reason, Reason::Policy("planned: by hand".into()));
}

/// Returns a program like `layered`, but with each kind of demand and prohibition: `%inner` is
/// always to be inlined, `%again` never and yet once, `%main` is to be flattened, and so is its
/// first call; the first call of `%middle` is always to be inlined, and its last one never.
fn demanding() -> Program {
    let mut program = program(&layered());
    let name = |name: &str| -> FunctionName { name.parse().unwrap() };
    let attributes = |inline, flatten| {
        Attributes::default()
            .with_inline(inline)
            .with_flatten(flatten)
    };
    for (function, inline, flatten) in [
        ("inner", InlineAttribute::Always, false),
        ("again", InlineAttribute::Never, false),
        ("main", InlineAttribute::None, true),
    ] {
        let attributes = attributes(inline, flatten);
        program.set_attributes(&name(function), attributes).unwrap();
    }
    for (function, index, hint) in [
        ("main", 0, SiteHint::Flatten),
        ("main", 3, SiteHint::Always),
        ("middle", 0, SiteHint::Always),
        ("middle", 2, SiteHint::Never),
    ] {
        let graph = CallGraph::new(&program);
        let mut calls = graph.callees(program.id(&name(function)).unwrap());
        let call = calls.nth(index).unwrap().edge.inst;
        drop(calls);
        program.set_hint(&name(function), call, hint).unwrap();
    }
    program
}

#[test]
fn attributes_and_hints_come_before_the_plan() {
    let program = demanding();
    let plan = Plan::record(&run(&program, Never));
    assert!(plan.inlined() > 5, "{plan}");
    let mut opposite = plan.clone();
    let paths: Vec<_> = plan.iter().map(|(path, _)| path.clone()).collect();
    for path in &paths {
        let site = opposite.get_mut(path).unwrap();
        site.inline = !site.inline;
    }
    let replayed = replay(&opposite, &program);
    let undemanded = |reason: &str| reason.starts_with("policy") || reason.starts_with("planned");
    let recorded = Plan::record(&replayed);
    let mut reasons = BTreeSet::new();
    for (path, site) in plan.iter().filter(|(_, site)| !undemanded(&site.reason)) {
        // A call that was copied before may be inlined into that body now.
        let Some(now) = recorded.get(path) else {
            continue;
        };
        assert_eq!(
            (now.inline, &now.reason),
            (site.inline, &site.reason),
            "{path}"
        );
        reasons.insert(site.reason.as_str());
    }
    let expected = [
        "attribute always",
        "attribute never",
        "everything here is flattened",
        "hint always",
        "hint flatten",
        "hint never",
    ];
    assert_eq!(Vec::from_iter(reasons), expected);
    // Each of them is reported.
    let deviations = opposite.deviations(&replayed);
    let kept_word = "%main -> %middle #0 was to be kept and was inlined: hint flatten";
    let told: Vec<_> = deviations.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line == kept_word), "{told:#?}");
}

/// So that each part of a plan can be tried.
#[test]
fn demands_that_are_not_met_leave_the_plan_alone() {
    let program = demanding();
    let plan = Plan::record(&run(&program, Never));
    assert_eq!(plan.deviations(&replay_alone(&plan, &program)), []);
    let mut none = plan.clone();
    for (path, _) in plan.iter() {
        none.get_mut(path).unwrap().inline = false;
    }
    let inlined = replay_alone(&none, &program);
    assert!(inlined.sites().all(|site| !site.inlined));
    assert!(inlined.sites().all(|site| site.demand().is_none()));
}

/// The planted fault: the program goes wrong where this site is inlined.
#[test]
fn bisecting_finds_every_planted_fault_within_the_bound() {
    find_every_fault(&program(&layered()));
}

#[test]
fn bisecting_finds_faults_that_attributes_and_hints_demand() {
    find_every_fault(&demanding());
}

fn find_every_fault(program: &Program) {
    let policies: [&dyn Inline; 2] = [&Always, &by_path];
    for policy in policies {
        let plan = Plan::record(&run(program, policy));
        let count = plan.inlined();
        assert!(count >= 6);
        for (planted, _) in plan.iter().filter(|(_, site)| site.inline) {
            let mut runs = 0;
            let is_inlined = |plan: &Plan| {
                let inlined = replay_alone(plan, program);
                let deviations = plan.deviations(&inlined);
                let not_followed = |deviation: &&Deviation| {
                    matches!(deviation.kind, DeviationKind::NotFollowed { .. })
                };
                assert_eq!(deviations.iter().find(not_followed), None);
                let recorded = Plan::record(&inlined);
                recorded.get(planted).is_some_and(|site| site.inline)
            };
            let found = bisect(&plan, program, |plan, step| -> Result<bool, ()> {
                runs += 1;
                assert_eq!(step.run, runs);
                assert_eq!(plan.inlined(), step.inlined);
                Ok(is_inlined(plan))
            });
            let found = found.unwrap();
            let Outcome::Found {
                path,
                failing,
                passing,
            } = found.outcome
            else {
                panic!("{planted}: {found:?}")
            };
            assert_eq!(path, *planted);
            assert!(is_inlined(&failing) && !is_inlined(&passing));
            assert_eq!(failing.inlined(), passing.inlined() + 1);
            assert_eq!(found.runs, runs);
            assert!(
                runs as f64 <= (count as f64).log2() + 2.0,
                "{runs} of {count}"
            );
        }
    }
}

proptest! {
    #[test]
    fn the_bound_holds_for_every_number_of_sites(count in 1_u32..300, planted in 0_u32..300) {
        let planted = planted % count;
        let path = |ordinal| SitePath::new("a".parse().unwrap(), "b".parse().unwrap(), ordinal);
        let mut plan = Plan::new();
        for ordinal in 0..count {
            plan.insert(path(ordinal), PlannedSite::new(true));
        }
        let mut runs = 0_u32;
        let found = bisect(&plan, &Program::new(), |plan, _| -> Result<bool, ()> {
            runs += 1;
            Ok(plan.get(&path(planted)).unwrap().inline)
        });
        let found = found.unwrap();
        let is_planted = matches!(&found.outcome, Outcome::Found { path: found, .. } if *found == path(planted));
        prop_assert!(is_planted);
        prop_assert!(f64::from(runs) <= f64::from(count).log2() + 2.0);
    }

    /// Names of any bytes, in paths of any length.
    #[test]
    fn every_plan_reads_back_from_its_text(
        sites in prop::collection::vec(
            (
                prop::collection::vec((name(), any::<u32>()), 2..5),
                any::<bool>(),
                prop::option::of(0_u32..0xffff_fffe),
                "[a-z;,:]{0,9}",
            ),
            0..12,
        ),
    ) {
        let mut plan = Plan::new();
        for (steps, inline, location, reason) in sites {
            let [(caller, _), (callee, ordinal), rest @ ..] = steps.as_slice() else { continue };
            let mut path = SitePath::new(caller.clone(), callee.clone(), *ordinal);
            for (callee, ordinal) in rest {
                path = path.then(callee.clone(), *ordinal);
            }
            prop_assert_eq!(SitePath::from_names(&path.names().collect::<Vec<_>>()), Some(path.clone()));
            let location = location.map_or_else(SourceLoc::default, SourceLoc::new);
            let mut site = PlannedSite::new(inline);
            (site.location, site.reason) = (location, reason);
            plan.insert(path, site);
        }
        let text = plan.to_string();
        prop_assert_eq!(text.parse::<Plan>(), Ok(plan), "{}", text);
    }

    #[test]
    fn any_text_is_a_plan_or_an_error(text in "(clif-inline plan [12]\n)?(function|inline|keep|end|%|\"|#|@|>|;|\\\\|x|[0-9 \na-f]){0,40}") {
        if let Ok(plan) = text.parse::<Plan>() {
            prop_assert_eq!(plan.to_string().parse::<Plan>(), Ok(plan));
        }
    }
}

fn name() -> impl Strategy<Value = FunctionName> {
    prop_oneof![
        (any::<u32>(), any::<u32>())
            .prop_map(|(namespace, index)| FunctionName::user(namespace, index)),
        "[a-z_]{0,8}".prop_map(FunctionName::testcase),
        any::<String>().prop_map(FunctionName::testcase),
        any::<Vec<u8>>().prop_map(FunctionName::testcase),
    ]
}

/// A plan that is cut anywhere is not a plan; one of the version before may be.
#[test]
fn a_plan_that_was_cut_is_an_error() {
    let program = program(&layered());
    let plan = Plan::record(&run(&program, Always));
    let text = plan.to_string();
    assert_eq!(text.parse::<Plan>().as_ref(), Ok(&plan));
    for cut in 0..text.trim_end().len() {
        assert!(text[..cut].parse::<Plan>().is_err(), "{}", &text[..cut]);
    }
    let error = |text: &str| text.parse::<Plan>().unwrap_err().to_string();
    let without_end = text.strip_suffix("\nend\n").unwrap();
    let cut = error(without_end);
    let last = format!("line {}: the plan has no end", without_end.lines().count());
    assert!(cut.starts_with(&last), "{cut}");
    let behind = error(&format!("{text}function %more\n"));
    assert!(
        behind.ends_with("nothing may stand behind the line `end`"),
        "{behind}"
    );
    // The form before had no end.
    let before = without_end.replace("plan 2", "plan 1");
    assert_eq!(before.parse(), Ok(plan));
}

#[test]
fn bisecting_says_when_inlining_is_not_the_reason() {
    let program = program(&layered());
    let plan = Plan::record(&run(&program, Always));
    let passes = bisect(&plan, &program, |_, _| Ok::<_, ()>(false)).unwrap();
    assert_eq!((passes.outcome, passes.runs), (Outcome::Passes, 1));
    let fails = bisect(&plan, &program, |_, _| Ok::<_, ()>(true)).unwrap();
    assert_eq!(fails.outcome, Outcome::FailsWithoutInlining);
    assert!(fails.runs as f64 <= (plan.inlined() as f64).log2() + 2.0);
    let mut runs = 0;
    let stopped = bisect(&plan, &program, |_, _| {
        runs += 1;
        Err::<bool, _>("no such command")
    });
    assert_eq!((stopped, runs), (Err("no such command"), 1));
}

#[test]
fn errors_name_the_line() {
    let error = |lines: &str| {
        let text = format!("clif-inline plan 1\n{lines}");
        text.parse::<Plan>().unwrap_err().to_string()
    };
    let cases = [
        (
            "\n; comment\nfunction",
            "line 4: expected the name of a function at the end of the line",
        ),
        (
            "  inline %f #0",
            "line 2: a site needs a line `function NAME` before it",
        ),
        (
            "function %f\nin %g #0",
            "line 3: expected `function`, `inline`, `keep` or `end`, not `in`",
        ),
        (
            "function %f\nkeep %g",
            "line 3: expected a number such as #0 at the end of the line",
        ),
        (
            "function %f\nkeep %g 0",
            "line 3: expected a number such as #0, not `0`",
        ),
        (
            "function %f\nkeep u0:x #0",
            "line 3: `u0:x` is not a function name: expected `%name`, `name` or `u<namespace>:<index>`",
        ),
        (
            "function %f\nkeep %g #0 @x",
            "line 3: expected `>`, a location such as @001f, or the end of the line, not `@x`",
        ),
        (
            "function %f\nkeep %g #0 @1 @2",
            "line 3: expected the end of the line, not `@2`",
        ),
        (
            "function \"%f\nkeep",
            "line 2: the name in quotes has no end, or an escape other than `\\\\`, `\\\"` and `\\x00`",
        ),
        (
            "function %f\nkeep %g #0\n\ninline %g #0 @1",
            "line 5: %f -> %g #0 is on line 3 already",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(error(lines), expected);
    }
    let first = |text: &str| text.parse::<Plan>().unwrap_err();
    assert_eq!(first("").problem, PlanProblem::NoPlan);
    assert_eq!(first("function %f").line, 1);
    assert_eq!(
        first("clif-inline plan 3").to_string(),
        "line 1: this plan is of version 3, and only 1 and 2 can be read"
    );
}
