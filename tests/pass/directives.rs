//! Attributes and hints: the demands of an embedder, and the reasons against those that are not
//! met.

use super::support::{calls_left, id, leaf, name, program, run, sites_of, through};
use cranelift_codegen::ir::Inst;
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision, Limits, Never};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::pass::{Demand, Inlined, Inliner, Reason};
use cranelift_inliner::program::{Attributes, InlineAttribute, Program, ProgramError, SiteHint};

/// Returns the number of the call in `caller` that is its `index`th.
fn call(program: &Program, caller: &str, index: usize) -> Inst {
    let graph = CallGraph::new(program);
    let mut sites = graph.callees(id(program, caller));
    sites.nth(index).unwrap().edge.inst
}

fn hint(program: &mut Program, caller: &str, index: usize, hint: SiteHint) {
    let inst = call(program, caller, index);
    program.set_hint(&name(caller), inst, hint).unwrap();
}

fn attribute(program: &mut Program, function: &str, change: impl FnOnce(&mut Attributes)) {
    let mut attributes = program[id(program, function)].attributes();
    change(&mut attributes);
    program.set_attributes(&name(function), attributes).unwrap();
}

fn unmet(program: &Program, inlined: &Inlined) -> Vec<String> {
    let sites = inlined.unmet();
    let told = sites.map(|site| {
        let caller = program[site.caller].name();
        format!("{caller} -> {}: {}", site.callee, site.reason)
    });
    told.collect()
}

/// Returns a program whose `%main` calls `%middle` and `%leaf`; `%middle` calls `%inner` and
/// `%outside`; `%inner` calls `%leaf` twice.
fn nested() -> Program {
    let text = leaf("leaf", 2)
        + &through("inner", &["leaf", "leaf"])
        + &through("middle", &["inner", "outside"])
        + &through("main", &["middle", "leaf"]);
    program(&text)
}

#[test]
fn flatten_inlines_everything_below_and_nothing_elsewhere() {
    let mut program = nested();
    attribute(&mut program, "main", |a| a.flatten = true);
    let inlined = run(Inliner::new(Never), &program);
    assert_eq!(calls_left(&inlined, &program, "main"), 1, "of %outside");
    assert_eq!(calls_left(&inlined, &program, "middle"), 2);
    assert_eq!(calls_left(&inlined, &program, "inner"), 2);
    let main = id(&program, "main");
    for site in sites_of(&inlined, &program, "main") {
        assert_eq!(site.reason, Reason::Flatten);
        assert_eq!(site.demand(), Some(Demand::Flatten(main)));
        let told = inlined.demand(site);
        assert_eq!(told.as_deref(), Some("%main is to be flattened"));
    }
    for function in ["inner", "middle", "main"] {
        let caller = id(&program, function);
        let all = inlined.sites().filter(|site| site.caller == caller);
        assert!(inlined.sites_of(caller).iter().eq(all), "{function}");
    }
    assert_eq!(unmet(&program, &inlined), [""; 0]);
}

#[test]
fn a_flattened_call_flattens_the_calls_of_its_body_and_no_others() {
    let mut program = nested();
    hint(&mut program, "main", 0, SiteHint::Flatten);
    let inlined = run(Inliner::new(Never), &program);
    // The call of %outside, and its own one of %leaf.
    assert_eq!(calls_left(&inlined, &program, "main"), 2);
    let sites = sites_of(&inlined, &program, "main");
    let inlined_sites: Vec<_> = sites.iter().filter(|site| site.inlined).collect();
    assert_eq!(inlined_sites.len(), 4);
    let first = inlined_sites[0];
    assert_eq!(first.reason, Reason::Hint(SiteHint::Flatten));
    assert_eq!(
        inlined_sites[1].demand(),
        Some(Demand::FlattenCall(first.path()[0].site().unwrap()))
    );
    assert_eq!(
        inlined.demand(inlined_sites[1]).as_deref(),
        Some("the call %main -> %middle #0 is to be flattened")
    );
}

#[test]
fn flatten_stops_at_functions_that_are_never_inlined() {
    let mut program = nested();
    attribute(&mut program, "main", |a| a.flatten = true);
    attribute(&mut program, "inner", |a| a.inline = InlineAttribute::Never);
    let inlined = run(Inliner::new(Always), &program);
    assert_eq!(calls_left(&inlined, &program, "main"), 2);
    assert_eq!(
        unmet(&program, &inlined),
        ["%main -> %inner: attribute never"]
    );
}

#[test]
fn demands_that_cannot_be_met_say_why() {
    let text = leaf("leaf", 60)
        + &through("again", &["again"])
        + &through("main", &["leaf", "again", "outside"]);
    let mut program = program(&text);
    attribute(&mut program, "leaf", |a| a.inline = InlineAttribute::Always);
    attribute(&mut program, "main", |a| a.flatten = true);
    hint(&mut program, "main", 2, SiteHint::Always);
    let mut limits = Limits::default();
    limits.function_insts = 50;
    let inlined = run(Inliner::new(Never).limits(limits), &program);
    assert_eq!(
        unmet(&program, &inlined),
        [
            "%main -> %outside: the callee is external",
            "%main -> %leaf: the caller would become too large",
            "%main -> %again: recursion",
        ]
    );
    let demands: Vec<_> = inlined.unmet().map(|site| site.demand().unwrap()).collect();
    let main = id(&program, "main");
    assert_eq!(
        demands,
        [
            Demand::Hint(SiteHint::Always),
            Demand::Attribute,
            Demand::Flatten(main)
        ]
    );
    let told: Vec<_> = inlined
        .unmet()
        .map(|site| inlined.demand(site).unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "the call has the hint always",
            "%leaf has the attribute always",
            "%main is to be flattened",
        ]
    );
}

#[test]
fn a_hint_comes_before_the_attribute_of_the_callee() {
    let text = leaf("leaf", 2) + &through("main", &["leaf", "leaf"]);
    for (attribute_of_leaf, hinted, expected) in [
        (InlineAttribute::Always, SiteHint::Never, [false, true]),
        (InlineAttribute::Never, SiteHint::Always, [true, false]),
    ] {
        let mut program = program(&text);
        attribute(&mut program, "leaf", |a| a.inline = attribute_of_leaf);
        hint(&mut program, "main", 0, hinted);
        let inlined = run(Inliner::new(Never), &program);
        let sites = sites_of(&inlined, &program, "main");
        assert_eq!([sites[0].inlined, sites[1].inlined], expected);
        assert_eq!(sites[0].reason, Reason::Hint(hinted));
    }
}

#[test]
fn a_hint_follows_its_call_into_other_functions() {
    // Nothing is inlined into %middle, so its calls come into %main with it.
    let text =
        leaf("leaf", 2) + &through("middle", &["leaf", "leaf"]) + &through("main", &["middle"]);
    let mut program = program(&text);
    hint(&mut program, "middle", 1, SiteHint::Never);
    let not_into_middle = |site: &CallSite<'_>| {
        if site.caller_name() == &name("middle") {
            Decision::keep("later")
        } else {
            Decision::inline("here")
        }
    };
    let inlined = run(Inliner::new(not_into_middle), &program);
    assert_eq!(calls_left(&inlined, &program, "main"), 1);
    let kept: Vec<_> = sites_of(&inlined, &program, "main")
        .into_iter()
        .filter(|site| !site.inlined)
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].reason, Reason::Hint(SiteHint::Never));

    // And it is on the copy when the result is inlined once more.
    let again = inlined.program().clone();
    let main = again.id(&name("main")).unwrap();
    assert_eq!(again[main].hint(kept[0].inst), Some(SiteHint::Never));
    assert_eq!(again[main].hints().len(), 1);
    let twice = run(Inliner::new(Always), &again);
    assert_eq!(calls_left(&twice, &again, "main"), 1);
}

#[test]
fn a_hint_follows_its_call_where_every_function_has_hints() {
    let text = through("inner", &["outside"])
        + &through("middle", &["inner"])
        + &through("main", &["middle"]);
    let mut program = program(&text);
    hint(&mut program, "inner", 0, SiteHint::Cold);
    hint(&mut program, "middle", 0, SiteHint::Never);
    hint(&mut program, "main", 0, SiteHint::Always);
    let inlined = run(Inliner::new(Never), &program);
    let left = inlined.program();
    for (caller, hint) in [
        ("inner", SiteHint::Cold),
        ("middle", SiteHint::Never),
        ("main", SiteHint::Never),
    ] {
        let function = &left[id(left, caller)];
        assert_eq!(function.hint(call(left, caller, 0)), Some(hint), "{caller}");
    }
}

#[test]
fn cold_calls_and_calls_in_cold_functions_get_no_budget() {
    let text = leaf("leaf", 30) + &through("middle", &["leaf"]) + &through("main", &["leaf"]);
    let inlined_sites = |program: &Program| {
        let inlined = run(Inliner::new(CostModel::default()), program);
        let sites = inlined.sites();
        sites.filter(|site| site.inlined).count()
    };
    let plain = program(&text);
    assert_eq!(inlined_sites(&plain), 2);
    let mut cold_call = plain.clone();
    hint(&mut cold_call, "main", 0, SiteHint::Cold);
    assert_eq!(inlined_sites(&cold_call), 1);
    let mut cold_caller = plain.clone();
    attribute(&mut cold_caller, "middle", |a| a.cold = true);
    assert_eq!(inlined_sites(&cold_caller), 1);
}

#[test]
fn only_direct_calls_take_hints() {
    let mut program = nested();
    let error = program.set_hint(&name("nope"), Inst::from_u32(0), SiteHint::Always);
    assert!(matches!(error, Err(ProgramError::UnknownName { .. })));
    for inst in [0, 1000, u32::MAX - 1] {
        let error = program
            .set_hint(&name("main"), Inst::from_u32(inst), SiteHint::Always)
            .unwrap_err();
        let expected = format!("inst{inst} of function %main is not a direct call");
        assert_eq!(error.to_string(), expected);
    }
    assert!(
        program
            .iter()
            .all(|(_, function)| function.hints().len() == 0)
    );
}
