//! Profiles: hot sites, counts in copies, the default policy's use of them, and files of profiles.

use cranelift_codegen::ir::SourceLoc;
use cranelift_inliner::decide::{Always, CallSite, CostModel, Decision};
use cranelift_inliner::graph::{CallGraph, SiteName};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::profile::{
    Heat, InstrumentError, Instrumented, MismatchKind, ParseProfileError, Profile, WrongLength,
};
use cranelift_inliner::program::{FunctionName, Program};
use std::sync::Mutex;

fn site(caller: &str, callee: &str, ordinal: u32) -> SiteName {
    SiteName {
        caller: caller.parse().unwrap(),
        callee: callee.parse().unwrap(),
        ordinal,
        stage: 0,
    }
}

fn profile(sites: &[(&str, &str, u32, u64)]) -> Profile {
    let mut profile = Profile::new();
    for &(caller, callee, ordinal, count) in sites {
        let site = site(caller, callee, ordinal);
        profile.insert(site, SourceLoc::default(), count);
    }
    profile
}

/// Returns a function of `insts` additions that calls `callees` in turn.
fn function(name: &str, insts: usize, callees: &[&str]) -> String {
    let mut text = format!("function {name}(i64) -> i64 fast {{\n");
    for (index, callee) in callees.iter().enumerate() {
        text += &format!("    fn{index} = {callee}(i64) -> i64 fast\n");
    }
    text += "block0(v0: i64):\n";
    let mut last = 0;
    let mut value = |text: &mut String, what: &str| {
        *text += &format!("    v{} = {what}v{last}", last + 1);
        last += 1;
        last
    };
    for _ in 0..insts {
        value(&mut text, "iadd v0, ");
        text.push('\n');
    }
    for index in 0..callees.len() {
        value(&mut text, &format!("call fn{index}("));
        text += ")\n";
    }
    text + &format!("    return v{last}\n}}\n")
}

fn program(text: &str) -> Program {
    Program::from_clif(text, "test").unwrap()
}

/// Returns the facts that a policy which inlines everything gets: caller, callee, count and heat.
fn seen(program: &Program, profile: &Profile) -> Vec<(String, String, Option<u64>, Heat)> {
    let seen = Mutex::new(Vec::new());
    let policy = |site: &CallSite<'_>| {
        let (caller, callee) = (site.caller_name(), site.callee_name());
        let names = (caller.to_string(), callee.to_string());
        let entry = (names.0, names.1, site.count(), site.heat());
        seen.lock().unwrap().push(entry);
        Decision::keep("looking")
    };
    let inlined = Inliner::new(policy).profile(profile).run(program).unwrap();
    for site in inlined.sites() {
        let known = seen.lock().unwrap();
        let mut same = known
            .iter()
            .filter(|entry| entry.1 == site.callee.to_string());
        assert!(same.any(|entry| entry.2 == site.count()), "{site:?}");
    }
    seen.into_inner().unwrap()
}

#[test]
fn the_sites_that_make_up_most_calls_are_hot() {
    let counts = [
        ("%m", "%a", 0, 9_000),
        ("%m", "%a", 1, 900),
        ("%m", "%a", 2, 99),
    ];
    // 99 % of 9999 calls is more than the first site alone has.
    assert_eq!(profile(&counts).hot_count(), 900);
    assert_eq!(profile(&counts[..1]).hot_count(), 9_000);
    assert_eq!(profile(&[]).hot_count(), Profile::LEAST_HOT);
    assert_eq!(
        profile(&[("%m", "%a", 0, 7)]).hot_count(),
        Profile::LEAST_HOT
    );
    let huge = [("%m", "%a", 0, u64::MAX), ("%m", "%a", 1, u64::MAX)];
    assert_eq!(profile(&huge).hot_count(), u64::MAX);
}

#[test]
fn policies_see_counts_and_unknown_is_not_never() {
    let text = function("%a", 1, &[]) + &function("%m", 1, &["%a", "%a", "%a", "%a"]);
    let counts = [
        ("%m", "%a", 0, 9_000),
        ("%m", "%a", 1, 10),
        ("%m", "%a", 2, 0),
    ];
    let seen = seen(&program(&text), &profile(&counts));
    let told: Vec<_> = seen.into_iter().map(|entry| (entry.2, entry.3)).collect();
    assert_eq!(
        told,
        [
            (Some(9_000), Heat::Hot),
            (Some(10), Heat::Warm),
            (Some(0), Heat::Never),
            (None, Heat::Unknown),
        ]
    );
}

#[test]
fn a_copy_has_its_share_of_the_calls() {
    // %inner is called 100 times, from %m 75 and 20 times, and calls %leaf 500 times.
    let text = function("%leaf", 1, &[])
        + &function("%inner", 1, &["%leaf"])
        + &function("%m", 1, &["%inner", "%inner"])
        + &function("%other", 1, &["%inner"]);
    let counts = profile(&[
        ("%inner", "%leaf", 0, 500),
        ("%m", "%inner", 0, 75),
        ("%m", "%inner", 1, 20),
        ("%other", "%inner", 0, 5),
    ]);
    let program = program(&text);
    let not_into_inner = |site: &CallSite<'_>| match site.caller_name().to_string().as_str() {
        "%inner" => Decision::keep("later"),
        _ => Decision::inline("here"),
    };
    let inlined = Inliner::new(not_into_inner)
        .profile(&counts)
        .run(&program)
        .unwrap();
    let copies = inlined.sites().filter(|site| !site.via().is_empty());
    let copies: Vec<_> = copies.map(|site| site.count()).collect();
    assert_eq!(copies, [Some(375), Some(100), Some(25)]);
}

#[test]
fn a_copy_is_not_executed_more_often_than_its_original() {
    // Only one of the calls of %inner was counted.
    let text = function("%leaf", 1, &[])
        + &function("%inner", 1, &["%leaf"])
        + &function("%m", 1, &["%inner"]);
    let counts = profile(&[("%inner", "%leaf", 0, 3), ("%m", "%inner", 0, 0)]);
    let inlined = |counts: &Profile| {
        let not_into_inner = |site: &CallSite<'_>| match site.caller_name().to_string().as_str() {
            "%inner" => Decision::keep("later"),
            _ => Decision::inline("here"),
        };
        let inliner = Inliner::new(not_into_inner).profile(counts);
        let inlined = inliner.run(&program(&text)).unwrap();
        inlined.sites().last().unwrap().count()
    };
    assert_eq!(inlined(&counts), Some(0), "no division by zero");
    let counts = profile(&[
        ("%inner", "%leaf", 0, u64::MAX),
        ("%m", "%inner", 0, u64::MAX),
    ]);
    assert_eq!(inlined(&counts), Some(u64::MAX));
}

#[test]
fn the_cost_model_gives_hot_sites_more_and_those_never_executed_nothing() {
    let text = function("%small", 20, &[])
        + &function("%large", 150, &[])
        + &function("%m", 1, &["%small", "%large", "%small", "%large"]);
    let program = program(&text);
    let decisions = |counts: Option<&Profile>| {
        let mut inliner = Inliner::new(CostModel::default());
        if let Some(counts) = counts {
            inliner = inliner.profile(counts);
        }
        let inlined = inliner.run(&program).unwrap();
        let sites = inlined.sites();
        sites.map(|site| site.inlined).collect::<Vec<_>>()
    };
    assert_eq!(decisions(None), [true, false, true, false]);
    let counts = profile(&[
        ("%m", "%small", 0, 0),
        ("%m", "%large", 0, 1_000_000),
        ("%m", "%small", 1, 5),
        ("%m", "%large", 1, 5),
    ]);
    assert_eq!(decisions(Some(&counts)), [false, true, true, false]);
}

#[test]
fn counts_of_another_program_are_not_used() {
    let text = "function %m(i64) -> i64 fast {
            fn0 = %a(i64) -> i64 fast
        block0(v0: i64):
        @0010 v1 = call fn0(v0)
        @0020 v2 = call fn0(v1)
              v3 = call fn0(v2)
            return v3
        }"
    .to_owned()
        + &function("%a", 1, &[]);
    let program = program(&text);
    let mut counts = Profile::new();
    counts.insert(site("%m", "%a", 0), SourceLoc::new(0x10), 1_000);
    counts.insert(site("%m", "%a", 1), SourceLoc::new(0x21), 2_000);
    counts.insert(site("%m", "%a", 2), SourceLoc::new(0x30), 3_000);
    counts.insert(site("%m", "%gone", 0), SourceLoc::new(0x40), 4_000);
    let seen = seen(&program, &counts);
    let told: Vec<_> = seen.into_iter().map(|entry| entry.2).collect();
    assert_eq!(told, [Some(1_000), None, Some(3_000)]);
    let mismatches = counts.mismatches(&CallGraph::new(&program));
    let told: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "%m -> %a #1: the call was at @0021 and is at @0020",
            "%m -> %gone #0: the program has no such call",
        ]
    );
    assert_eq!(mismatches[1].kind, MismatchKind::Missing);
}

#[test]
fn profiles_of_two_runs_are_added_up() {
    let mut sum = profile(&[("%m", "%a", 0, u64::MAX), ("%m", "%a", 1, 2)]);
    sum.add(&profile(&[("%m", "%a", 0, 1), ("%m", "%b", 0, 3)]));
    let counts: Vec<_> = sum.iter().map(|(_, site)| site.count).collect();
    assert_eq!(counts, [u64::MAX, 2, 3]);
}

#[test]
fn files_read_back_and_have_one_site_a_line() {
    let mut counts = profile(&[("%m", "u1:2", 3, u64::MAX)]);
    counts.insert(site("%a \"b\"", "%\u{e9}", 0), SourceLoc::new(0xabcd), 5);
    let text = counts.to_json();
    assert_eq!(Profile::from_json(&text).unwrap(), counts);
    assert_eq!(
        text.lines().filter(|line| line.contains("caller")).count(),
        2
    );
    let empty = Profile::new().to_json();
    assert_eq!(Profile::from_json(&empty).unwrap(), Profile::new());
}

#[test]
fn files_that_are_not_profiles_are_refused() {
    let with = |format: &str, version: u32, sites: &str| {
        Profile::from_json(&format!(
            r#"{{"format": "{format}", "version": {version}, "sites": [{sites}]}}"#
        ))
    };
    let good = r#"{"caller": "%m", "callee": "%a", "ordinal": 0, "count": 1}"#;
    assert_eq!(with("clif-inline profile", 1, good).unwrap().len(), 1);
    let error = |result: Result<Profile, ParseProfileError>| result.unwrap_err().to_string();
    assert_eq!(
        error(with("other", 1, good)),
        "this is not a profile: `format` is `other`, not `clif-inline profile`"
    );
    assert_eq!(
        error(with("clif-inline profile", 2, good)),
        "this profile is of version 2, and only version 1 can be read"
    );
    let twice = format!("{good}, {good}");
    assert_eq!(
        error(with("clif-inline profile", 1, &twice)),
        "%m -> %a #0 is listed twice"
    );
    for (from, to) in [
        ("%m", "u0:x"),
        ("\"count\": 1", "\"count\": -1"),
        ("\"count\": 1", "\"count\": 1, \"more\": 2"),
        ("\"count\": 1", "\"count\": 1, \"location\": \"0010\""),
        ("\"count\": 1", "\"count\": 1, \"location\": \"@\""),
        ("\"count\": 1", "\"count\": 1, \"location\": \"@100000000\""),
        ("\"ordinal\": 0, ", ""),
    ] {
        let bad = good.replace(from, to);
        assert!(with("clif-inline profile", 1, &bad).is_err(), "{bad}");
    }
    for text in ["", "[]", "{}", "{\"format\":", "\u{0}"] {
        assert!(matches!(
            Profile::from_json(text),
            Err(ParseProfileError::Json(_))
        ));
    }
}

#[test]
fn calls_of_each_kind_get_a_counter() {
    let text = "function %m(i64) -> i64 tail {
            sig0 = (i64) -> i64 tail
            fn0 = %a(i64) -> i64 tail
            fn1 = u3:4(i64) -> i64 tail
        block0(v0: i64):
            v1 = call fn0(v0)
            try_call fn1(v1), sig0, block1(ret0), [ default: block2(exn0, exn1) ]
        block1(v2: i64):
            v3 = func_addr.i64 fn0
            v4 = call_indirect sig0, v3(v2)
            return_call fn0(v4)
        block2(v5: i64, v6: i64):
            return v5
        }"
    .to_owned()
        + &function("%a", 1, &[]).replace("fast", "tail");
    let program = program(&text);
    let table = FunctionName::user(9, 9);
    let instrumented = Instrumented::new(&program, &table).unwrap();
    let isa = cranelift_inliner::backend::target("host", &Default::default()).unwrap();
    instrumented.program().verify(&*isa).unwrap();
    let sites: Vec<_> = instrumented.sites().map(ToString::to_string).collect();
    assert_eq!(sites, ["%m -> %a #0", "%m -> u3:4 #0", "%m -> %a #1"]);
    assert_eq!(instrumented.table_bytes(), 24);
    let main = instrumented.program().id(&"%m".parse().unwrap()).unwrap();
    let body = instrumented.program()[main].body().display().to_string();
    assert_eq!(body.matches("store").count(), 3, "{body}");
    assert_eq!(body.matches("= symbol ").count(), 1, "{body}");
    // Counters are written while the function is executed, and belong to no region.
    assert!(
        !["readonly", "can_move", "region"]
            .iter()
            .any(|promise| body.contains(promise)),
        "{body}"
    );
    let text = instrumented.program().to_clif().unwrap();
    assert_eq!(text.matches("symbol u9:9").count(), 1, "{text}");
    // Names are those of the program without counters.
    let graph = CallGraph::new(instrumented.program());
    for (index, (_, name)) in graph.site_names().enumerate() {
        assert_eq!(name.to_string(), sites[index]);
    }
    // Counters go with their calls.
    let inlined = Inliner::new(Always).check(true).verify_with(&*isa);
    let inlined = inlined.run(instrumented.program()).unwrap();
    let body = inlined.body(main).unwrap().display().to_string();
    assert_eq!(body.matches("store").count(), 3, "{body}");

    let profile = instrumented.profile(&[1, 2, 3]).unwrap();
    assert_eq!(profile.get(&site("%m", "%a", 1)).unwrap().count, 3);
    let wrong = WrongLength {
        counters: 2,
        sites: 3,
    };
    assert_eq!(instrumented.profile(&[1, 2]).unwrap_err(), wrong);
}

#[test]
fn a_table_that_no_program_can_name_is_refused() {
    let program = program(&(function("%m", 1, &["%a"])));
    let table = FunctionName::testcase([0xff]);
    let error = Instrumented::new(&program, &table).unwrap_err();
    assert!(matches!(error, InstrumentError::Program(_)));
}

#[test]
fn the_example_of_the_document_is_a_profile() {
    let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROFILE.md");
    let text = std::fs::read_to_string(document).unwrap();
    let example = text.split("```json\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let profile = Profile::from_json(example).unwrap();
    assert_eq!(profile.to_json(), example);
}
