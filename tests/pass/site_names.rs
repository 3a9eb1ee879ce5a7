//! Sites are named so that the names outlast changes elsewhere, and a path of names leads to each
//! call wherever it came to be.

use crate::support::{id, leaf, program, run, sites_of, through};
use cranelift_inliner::decide::{CallSite, Decision};
use cranelift_inliner::graph::{CallGraph, SiteName};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::Program;
use std::sync::Mutex;

fn names(program: &Program) -> Vec<String> {
    let graph = CallGraph::new(program);
    let names = graph.site_names();
    names.map(|(_, name)| name.to_string()).collect()
}

fn paths(inlined: &Inlined, program: &Program, caller: &str) -> Vec<Vec<String>> {
    let sites = sites_of(inlined, program, caller);
    let path = |site| inlined.path(site);
    let names = |path: Vec<SiteName>| path.iter().map(SiteName::to_string).collect();
    sites.into_iter().map(path).map(names).collect()
}

/// Inlines everything into `callers` and nothing elsewhere.
fn only_into(callers: &[&str]) -> impl Fn(&CallSite<'_>) -> Decision {
    move |site| {
        if callers.contains(&site.caller_name().to_string().as_str()) {
            Decision::inline("chosen")
        } else {
            Decision::keep("not chosen")
        }
    }
}

#[test]
fn calls_of_other_functions_do_not_change_a_name() {
    let text = leaf("f", 2) + &leaf("g", 2);
    let before = program(&(text.clone() + &through("main", &["f", "f", "ext"])));
    assert_eq!(
        names(&before),
        ["%main -> %f #0", "%main -> %f #1", "%main -> %ext #0"]
    );
    let after = program(&(text + &through("main", &["g", "f", "ext", "g", "f"])));
    assert_eq!(
        names(&after),
        [
            "%main -> %g #0",
            "%main -> %f #0",
            "%main -> %ext #0",
            "%main -> %g #1",
            "%main -> %f #1",
        ]
    );
}

#[test]
fn references_of_one_name_count_together_and_cranelifts_routines_have_none() {
    let twice = "function %main() fast {
         fn0 = %f() fast
         fn1 = colocated %f() fast
         fn2 = %Memcpy() fast
     block0:
         call fn0()
         call fn2()
         call fn1()
         return
     }";
    assert_eq!(names(&program(twice)), ["%main -> %f #0", "%main -> %f #1"]);
}

#[test]
fn a_site_is_found_by_its_name_and_by_its_instruction() {
    let program = program(&(leaf("f", 2) + &through("main", &["f", "ext", "f"])));
    let graph = CallGraph::new(&program);
    for (site, name) in graph.site_names() {
        let found = graph.find_site(&name).unwrap();
        assert_eq!(found.id, site.id);
        let at = graph.site_at(site.caller, site.edge.inst).unwrap();
        assert_eq!(at.id, site.id);
    }
    let missing = SiteName {
        caller: "main".parse().unwrap(),
        callee: "f".parse().unwrap(),
        ordinal: 2,
        stage: 0,
    };
    assert!(graph.find_site(&missing).is_none());
}

#[test]
fn a_path_is_the_same_whichever_body_was_inlined_first() {
    let text = leaf("leaf", 2)
        + &through("inner", &["leaf"])
        + &through("middle", &["inner", "inner"])
        + &through("main", &["middle"]);
    let program = program(&text);
    let own = "%main -> %middle #0";
    let expected = vec![
        vec![own],
        vec![own, "%middle -> %inner #0"],
        vec![own, "%middle -> %inner #1"],
        vec![own, "%middle -> %inner #0", "%inner -> %leaf #0"],
        vec![own, "%middle -> %inner #1", "%inner -> %leaf #0"],
    ];
    let top_down = run(Inliner::new(only_into(&["%main"])), &program);
    assert_eq!(paths(&top_down, &program, "main"), expected);

    // %inner goes into %middle first, so that %leaf comes into %main with it.
    let bottom_up = run(Inliner::new(only_into(&["%main", "%middle"])), &program);
    let mut kept_in_middle = expected.clone();
    kept_in_middle.drain(1..3);
    // All of %leaf was inlined into %middle already.
    kept_in_middle.truncate(1);
    assert_eq!(paths(&bottom_up, &program, "main"), kept_in_middle);

    let leaf_last = |site: &CallSite<'_>| {
        let caller = site.caller_name().to_string();
        if caller == "%main" || site.callee_name().to_string() == "%inner" {
            Decision::inline("chosen")
        } else {
            Decision::keep("later")
        }
    };
    let leaf_last = run(Inliner::new(leaf_last), &program);
    let main = sites_of(&leaf_last, &program, "main");
    assert_eq!(main[1].via(), [id(&program, "middle")]);
    assert_eq!(
        paths(&leaf_last, &program, "main"),
        [
            vec![own],
            vec![own, "%middle -> %inner #0", "%inner -> %leaf #0"],
            vec![own, "%middle -> %inner #1", "%inner -> %leaf #0"],
        ]
    );
}

#[test]
fn a_policy_sees_the_names_of_the_report() {
    let text = leaf("leaf", 2) + &through("middle", &["leaf"]) + &through("main", &["middle"]);
    let program = program(&text);
    let seen = Mutex::new(Vec::new());
    let policy = |site: &CallSite<'_>| {
        let path = site.path_names();
        assert_eq!(path.last(), site.name().as_ref());
        seen.lock().unwrap().push(path);
        only_into(&["%main"])(site)
    };
    let inlined = run(Inliner::new(policy), &program);
    let mut reported: Vec<_> = inlined.sites().map(|site| inlined.path(site)).collect();
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    reported.sort();
    assert_eq!(seen, reported);
    assert_eq!(seen.len(), 3);
}
