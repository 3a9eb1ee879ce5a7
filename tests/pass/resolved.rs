//! Indirect calls whose target becomes known: decided and spliced in further stages.

use crate::support::{id, isa, program, run};
use cranelift_inliner::cleanup::{OptimizeOptions, TableFunction, Tables};
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision, Never};
use cranelift_inliner::pass::{Inlined, Inliner, Optimize, Reason};
use cranelift_inliner::plan::{Fallback, Plan, Replay};
use cranelift_inliner::program::{FunctionName, Linkage, Program};
use std::sync::Arc;

/// `%main` hands `%leaf` to `%apply`, which hands it on in a slot.
const CLOSURE: &str = "
function %leaf(i64) -> i64 fast {
block0(v0: i64):
    v1 = imul v0, v0
    return v1
}
function %apply(i64, i64) -> i64 fast {
    ss0 = explicit_slot 8
    sig0 = (i64) -> i64 fast
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store v0, v2
    v3 = load.i64 v2
    v4 = call_indirect sig0, v3(v1)
    return v4
}
function %main(i64) -> i64 fast {
    fn0 = colocated %apply(i64, i64) -> i64 fast
    fn1 = colocated %leaf(i64) -> i64 fast
block0(v0: i64):
    v1 = func_addr.i64 fn1
    v2 = call fn0(v1, v0)
    v3 = call fn0(v1, v2)
    return v3
}";

fn text(inlined: &Inlined, program: &Program, name: &str) -> String {
    inlined.body(id(program, name)).unwrap().to_string()
}

fn told(inlined: &Inlined, program: &Program, caller: &str) -> Vec<String> {
    let sites = inlined.sites_of(id(program, caller)).iter();
    sites
        .filter(|site| site.is_resolved())
        .map(|site| {
            let path = inlined.path(site);
            let path: Vec<_> = path.iter().map(ToString::to_string).collect();
            let became = if site.inlined { "inlined" } else { "kept" };
            format!("{} {became}: {}", path.join(" > "), site.reason.slug())
        })
        .collect()
}

#[test]
fn calls_that_become_direct_are_decided_and_spliced() {
    let program = program(CLOSURE);
    let inlined = run(Inliner::new(Always).check(true), &program);
    let expected = [
        "%main -> %leaf #0~1 inlined: policy",
        "%main -> %leaf #1~1 inlined: policy",
    ];
    assert_eq!(told(&inlined, &program, "main"), expected);
    let main = text(&inlined, &program, "main");
    assert!(!main.contains("call") && !main.contains("ss0"), "{main}");
    assert_eq!(
        inlined.stats(id(&program, "main")).cleanup.calls_resolved,
        2
    );
    let stages = inlined.sites_of(id(&program, "main")).iter();
    let stages: Vec<_> = stages.map(|site| site.stage()).collect();
    assert_eq!(stages, [0, 0, 1, 1]);
}

#[test]
fn without_the_transform_calls_stay_indirect() {
    let program = program(CLOSURE);
    let mut options = OptimizeOptions::default();
    options.resolve_targets = false;
    let inlined = run(Inliner::new(Always).optimize_options(options), &program);
    assert_eq!(told(&inlined, &program, "main"), [""; 0]);
    assert!(text(&inlined, &program, "main").contains("call_indirect"));
    let inlined = run(Inliner::new(Always).optimize(Optimize::None), &program);
    assert!(text(&inlined, &program, "main").contains("call_indirect"));
}

#[test]
fn a_call_that_no_policy_wants_is_direct_and_has_a_name_where_it_comes_in() {
    let outer = "
    function %outer(i64) -> i64 fast {
        fn0 = colocated %main(i64) -> i64 fast
    block0(v0: i64):
        v1 = call fn0(v0)
        return v1
    }";
    let program = program(&(CLOSURE.to_owned() + outer));
    let not_leaf = |site: &CallSite<'_>| match site.callee_name().to_string().as_str() {
        "%leaf" if site.caller_name().to_string() == "%main" => Decision::keep("later"),
        _ => Decision::inline("all"),
    };
    let inlined = run(Inliner::new(not_leaf).check(true), &program);
    let main = text(&inlined, &program, "main");
    assert!(
        !main.contains("call_indirect") && main.contains("call fn"),
        "{main}"
    );
    let expected = [
        "%outer -> %main #0 > %main -> %leaf #0~1 inlined: policy",
        "%outer -> %main #0 > %main -> %leaf #1~1 inlined: policy",
    ];
    assert_eq!(told(&inlined, &program, "outer"), expected);
}

#[test]
fn a_plan_of_the_run_is_followed_to_the_letter() {
    let program = program(CLOSURE);
    let inlined = run(Inliner::new(Always), &program);
    let plan = Plan::record(&inlined).to_string();
    assert!(plan.contains("inline %leaf #1~1"), "{plan}");
    let plan: Plan = plan.parse().unwrap();
    let replay = || Replay::new(&plan, Fallback::Policy(Box::new(Never)));
    let again = run(Inliner::new(replay()), &program);
    assert!(plan.deviations(&again).is_empty());
    for name in ["leaf", "apply", "main"] {
        assert_eq!(text(&again, &program, name), text(&inlined, &program, name));
    }
    let kept: Plan = plan
        .to_string()
        .replace("inline %leaf #1~1", "keep %leaf #1~1")
        .parse()
        .unwrap();
    let replay = Replay::new(&kept, Fallback::Keep);
    let half = run(Inliner::new(replay), &program);
    assert!(kept.deviations(&half).is_empty());
    assert!(text(&half, &program, "main").contains("call fn"));

    // If the target is never known, the plan names a site that is not there.
    let replay = Replay::new(&plan, Fallback::Keep);
    let none = run(Inliner::new(replay).optimize(Optimize::None), &program);
    let deviations = plan.deviations(&none);
    let deviations: Vec<_> = deviations.iter().map(ToString::to_string).collect();
    assert_eq!(
        deviations,
        [
            "%main -> %leaf #0~1 is not in the program, or was optimized away",
            "%main -> %leaf #1~1 is not in the program, or was optimized away",
        ]
    );
}

#[test]
fn a_signature_that_differs_is_reported() {
    let text_of = CLOSURE.replace("sig0 = (i64) -> i64 fast", "sig0 = (i64) -> i64 system_v");
    let program = program(&text_of);
    let inlined = run(Inliner::new(Always).check(true), &program);
    assert!(text(&inlined, &program, "main").contains("call_indirect"));
    let sites = inlined.sites_of(id(&program, "main")).iter();
    let reasons: Vec<_> = sites.filter(|site| site.is_resolved()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(
        reasons
            .iter()
            .all(|site| site.reason == Reason::OtherSignature && !site.inlined)
    );
    // The declarations of inlined functions are gone, and the others have their numbers.
    assert!(
        reasons
            .iter()
            .all(|site| site.callee.to_string() == "%leaf" && site.callee_id.is_some())
    );
}

#[test]
fn stages_end_though_each_brings_another_target() {
    // %self gets its own address, and calls the address that it gets.
    let program = program(
        "function %self(i64, i64) -> i64 fast {
            sig0 = (i64, i64) -> i64 fast
        block0(v0: i64, v1: i64):
            v2 = call_indirect sig0, v0(v0, v1)
            return v2
        }
        function %main(i64) -> i64 fast {
            fn0 = colocated %self(i64, i64) -> i64 fast
        block0(v0: i64):
            v1 = func_addr.i64 fn0
            v2 = call fn0(v1, v0)
            return v2
        }",
    );
    let inlined = run(Inliner::new(Always).check(true), &program);
    let expected = [
        "%main -> %self #0~1 inlined: policy",
        "%main -> %self #0~2 inlined: policy",
        "%main -> %self #0~3 inlined: policy",
        "%main -> %self #0~4 kept: stages",
    ];
    assert_eq!(told(&inlined, &program, "main"), expected);
    assert!(!text(&inlined, &program, "main").contains("call_indirect"));
}

#[test]
fn limits_hold_over_all_stages() {
    let program = program(CLOSURE);
    let mut limits = cranelift_inliner::decide::Limits::default();
    limits.depth = 1;
    let inlined = run(Inliner::new(Always).limits(limits), &program);
    let expected = [
        "%main -> %leaf #0~1 kept: depth",
        "%main -> %leaf #1~1 kept: depth",
    ];
    assert_eq!(told(&inlined, &program, "main"), expected);
}

#[test]
fn a_function_comes_before_those_that_take_its_address() {
    // By name alone, %zleaf would come last.
    let program = program(&CLOSURE.replace("%leaf", "%zleaf"));
    let inlined = run(Inliner::new(CostModel::default()), &program);
    assert_eq!(told(&inlined, &program, "main").len(), 2);
    let graph = inlined.graph();
    let order: Vec<_> = graph.bottom_up().flatten().copied().collect();
    let place = |name| order.iter().position(|&other| other == id(&program, name));
    assert!(place("zleaf") < place("main"));
}

#[test]
fn a_cycle_of_addresses_ends_and_gives_the_same_on_any_number_of_threads() {
    let mut text_of = CLOSURE.to_owned();
    // %leaf takes the address of %main, so that neither waits for the other.
    text_of = text_of.replace(
        "function %leaf(i64) -> i64 fast {\nblock0(v0: i64):",
        "function %leaf(i64) -> i64 fast {\n    fn0 = colocated %main(i64) -> i64 fast\nblock0(v0: i64):\n    v9 = func_addr.i64 fn0\n    store v9, v0",
    );
    let program = program(&text_of);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let inlined = run(Inliner::new(Always), &program);
            (
                text(&inlined, &program, "main"),
                told(&inlined, &program, "main"),
            )
        })
    };
    let one = on(1);
    assert_eq!(
        one.1,
        [
            "%main -> %leaf #0~1 kept: recursion",
            "%main -> %leaf #1~1 kept: recursion"
        ]
    );
    for _ in 0..20 {
        assert_eq!(on(3), one);
    }
}

const TABLE: &str = "
function %one(i64) -> i64 fast {
block0(v0: i64):
    v1 = iconst.i64 1
    v2 = iadd v0, v1
    return v2
}
function %main(i64) -> i64 fast {
    gv0 = symbol colocated %vtable+8
    sig0 = (i64) -> i64 fast
block0(v0: i64):
    v1 = symbol_value.i64 gv0
    v2 = iconst.i64 16
    v3 = iadd v1, v2
    v4 = load.i64 notrap v3+8
    v5 = call_indirect sig0, v4(v0)
    return v5
}";

#[test]
fn a_load_of_a_read_only_table_is_the_function_there() {
    let mut program = program(TABLE);
    let name = |name: &str| name.parse().unwrap();
    program.set_linkage(&name("one"), Linkage::Local).unwrap();
    let inlined = run(Inliner::new(Always).check(true), &program);
    assert!(text(&inlined, &program, "main").contains("call_indirect"));

    program.add_table(name("vtable"), [(32, name("one"))]);
    let inlined = run(Inliner::new(Always).check(true), &program);
    assert_eq!(
        told(&inlined, &program, "main"),
        ["%main -> %one #0~1 inlined: policy"]
    );
    let main = text(&inlined, &program, "main");
    assert!(!main.contains("call") && !main.contains("load"), "{main}");
    // The data needs it still.
    assert!(!inlined.stats(id(&program, "one")).dropped);

    program.add_table(name("vtable"), [(24, name("one"))]);
    let inlined = run(Inliner::new(Always).check(true), &program);
    assert!(text(&inlined, &program, "main").contains("call_indirect"));
}

/// The bytes are there, so the load does not trap, whatever its flags say.
#[test]
fn a_load_of_a_table_need_not_promise_that_it_does_not_trap() {
    let name = |name: &str| name.parse().unwrap();
    let other = "    v6 = load.i64 v0\n    v4 = load.i64 v3+8\n    store v6, v0+8\n";
    let mut program = program(&TABLE.replace("    v4 = load.i64 notrap v3+8\n", other));
    program.add_table(name("vtable"), [(32, name("one"))]);
    let inlined = run(Inliner::new(Always).check(true), &program);
    let main = text(&inlined, &program, "main");
    assert!(!main.contains("call"), "{main}");
    assert_eq!(main.matches("load").count(), 1, "{main}");
    let swapped = other.replacen(
        "v6 = load.i64 v0\n    v4 = load.i64 v3+8",
        "v4 = load.i64 v3+8\n    v6 = load.i64 v0",
        1,
    );
    let mut program =
        crate::support::program(&TABLE.replace("    v4 = load.i64 notrap v3+8\n", &swapped));
    program.add_table(name("vtable"), [(32, name("one"))]);
    let inlined = run(Inliner::new(Always).check(true), &program);
    assert!(!text(&inlined, &program, "main").contains("call"));
}

#[test]
fn tables_keep_the_functions_that_they_hold_and_no_others() {
    let mut program = program(
        "function %main() fast {
        block0:
            return
        }
        function %unused() fast {
        block0:
            return
        }
        function %held() fast {
            fn0 = %callee() fast
        block0:
            call fn0()
            return
        }
        function %callee() fast {
        block0:
            return
        }",
    );
    program.export_only(&["main".parse().unwrap()]).unwrap();
    program.add_table("handlers".parse().unwrap(), [(8, "held".parse().unwrap())]);
    let inlined = run(Inliner::new(Never), &program);
    let names = inlined.program().iter();
    let names: Vec<_> = names
        .map(|(_, function)| function.name().to_string())
        .collect();
    assert_eq!(names, ["%main", "%held", "%callee"]);
}

/// The call goes to the same symbol, whatever definition that has in the end.
#[test]
fn a_function_in_a_table_that_may_be_replaced_becomes_direct_and_is_proved() {
    let mut program = program(TABLE);
    let name = |name: &str| name.parse().unwrap();
    program
        .set_linkage(&name("one"), Linkage::Interposable)
        .unwrap();
    program.add_table(name("vtable"), [(32, name("one"))]);
    let inliner = Inliner::new(Always).optimize(Optimize::All).check(true);
    let inlined = run(inliner, &program);
    assert_eq!(
        told(&inlined, &program, "main"),
        ["%main -> %one #0~1 kept: interposable"]
    );
}

/// The pass does not see which code reads a table of the options.
#[test]
fn tables_of_the_options_keep_the_functions_that_they_hold() {
    let mut program = program(
        "function %main() -> i64 fast {
            gv0 = symbol colocated %handlers
            sig0 = () -> i64 fast
        block0:
            v0 = symbol_value.i64 gv0
            v1 = load.i64 notrap readonly v0+8
            v2 = call_indirect sig0, v1()
            return v2
        }
        function %held() -> i64 fast {
            fn0 = %callee() -> i64 fast
        block0:
            v0 = call fn0()
            return v0
        }
        function %callee() -> i64 fast {
            fn0 = %also_held() -> i64 fast
        block0:
            v0 = call fn0()
            return v0
        }
        function %also_held() -> i64 fast {
        block0:
            v0 = iconst.i64 7
            return v0
        }
        function %unused() fast {
        block0:
            return
        }",
    );
    let name = |text: &str| text.parse::<FunctionName>().unwrap();
    program.export_only(&[name("main")]).unwrap();
    let signature = program[id(&program, "held")].body().signature.clone();
    let mut tables = Tables::default();
    for (offset, held) in [(8, "held"), (16, "also_held")] {
        let held = TableFunction::new(name(held), signature.clone());
        tables.insert(name("handlers"), offset, held);
    }
    let options = OptimizeOptions::default().with_tables(Arc::new(tables));
    let isa = isa("x86_64");
    for optimize in [Optimize::None, Optimize::Inlined, Optimize::All] {
        // The sole call of a function in a table is not its sole use.
        let policy = |site: &CallSite<'_>| {
            let summary = site.summary();
            assert_eq!(
                site.callee_name().to_string() == "%also_held",
                summary.is_address_taken()
            );
            assert_eq!(
                site.callee_name().to_string() == "%callee",
                summary.has_sole_call_site()
            );
            Decision::Undecided
        };
        let inliner = Inliner::new(policy)
            .optimize(optimize)
            .optimize_options(options.clone());
        let (inlined, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
        let names = inlined.program().iter();
        let names: Vec<_> = names
            .map(|(_, function)| function.name().to_string())
            .collect();
        let kept = ["%main", "%held", "%callee", "%also_held"];
        assert_eq!(names, kept, "{optimize:?}");
        let compiled: Vec<String> = compiled
            .iter()
            .map(|(id, _)| program[id].name().to_string())
            .collect();
        assert_eq!(compiled, names, "{optimize:?}");
    }
}
