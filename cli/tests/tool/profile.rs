//! `clif-inline run --profile-out` and `--profile`: counting, and going by the counts; and demands
//! that cannot be met.

use crate::support::Workplace;
use cranelift_inliner::profile::Profile;

/// %main calls %often a hundred times for each time that it calls %once; %never is not called.
const LOOP: &str = "\
test run
target x86_64
target aarch64
function %often(i64) -> i64 {
block0(v0: i64):
    v1 = iconst.i64 3
    v2 = iadd v0, v1
    return v2
}

function %once(i64) -> i64 {
    fn0 = %often(i64) -> i64
block0(v0: i64):
@0007 v1 = call fn0(v0)
    return v1
}

function %main(i64) -> i64 {
    fn0 = %often(i64) -> i64
    fn1 = %once(i64) -> i64
block0(v0: i64):
    jump block1(v0, v0)
block1(v1: i64, v2: i64):
    v3 = call fn0(v2)
    v7 = iconst.i64 -1
    v4 = iadd v1, v7
    brif v4, block1(v4, v3), block2
block2:
    v5 = call fn1(v3)
    brif v5, block4, block3
block3:
    v6 = call fn0(v5)
    return v6
block4:
    return v5
}
; run: %main(100) == 403
; run: %main(100) == 403
";

fn counts(text: &str) -> Vec<(String, u64)> {
    let profile = Profile::from_json(text).unwrap();
    let counts = profile.iter();
    counts
        .map(|(name, site)| (name.to_string(), site.count))
        .collect()
}

#[test]
fn calls_are_counted_and_inlining_changes_no_count() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let place = Workplace::with(&[("loop.clif", LOOP)]);
    let expected = [
        ("%main -> %often #0".to_owned(), 200),
        ("%main -> %often #1".to_owned(), 0),
        ("%main -> %once #0".to_owned(), 2),
        ("%once -> %often #0".to_owned(), 2),
    ];
    for policy in ["never", "always"] {
        let run = format!("run loop.clif --policy {policy} --profile-out {policy}.json");
        place.run(&run).ok();
        let counted = place.read(&format!("{policy}.json"));
        assert_eq!(counts(&counted), expected, "{policy}");
    }
    assert_eq!(place.read("never.json"), place.read("always.json"));
    assert!(place.read("never.json").contains("\"location\":\"@0007\""));

    // Two files: counts of common sites are added up.
    place.write("again.clif", LOOP);
    place
        .run("run loop.clif again.clif --profile-out both.json")
        .ok();
    assert_eq!(counts(&place.read("both.json"))[0].1, 400);
}

#[test]
fn the_policy_goes_by_the_profile_and_tells_the_counts() {
    let place = Workplace::with(&[("loop.clif", LOOP)]);
    let profile = r#"{"format": "clif-inline profile", "version": 1, "sites": [
        {"caller": "%main", "callee": "%often", "ordinal": 0, "count": 100000},
        {"caller": "%main", "callee": "%often", "ordinal": 1, "count": 5},
        {"caller": "%once", "callee": "%often", "ordinal": 0, "location": "@0009", "count": 5},
        {"caller": "%gone", "callee": "%often", "ordinal": 0, "count": 5}
    ]}"#;
    place.write("profile.json", profile);
    // With this threshold only hot calls are inlined.
    let explain = "explain loop.clif --function main --cost-threshold -60";
    let told = place.run(explain).ok();
    assert!(!told.contains("inlined %"), "{told}");
    assert!(!told.contains("executed"), "{told}");

    let with = place.run(&format!("{explain} --profile profile.json"));
    let warnings = with.err.clone();
    let told = with.ok();
    assert_eq!(told.matches("inlined %often").count(), 1, "{told}");
    assert!(told.contains("executed 100000 times"), "{told}");
    let gone = "%gone -> %often #0: the program has no such call";
    let moved = "%once -> %often #0: the call was at @0009 and is at @0007";
    for warning in [gone, moved] {
        assert!(warnings.contains(warning), "{warnings}");
    }
}

#[test]
fn a_profile_that_cannot_be_read_is_an_error_that_names_the_file() {
    let place = Workplace::with(&[("loop.clif", LOOP), ("bad.json", "{\"format\": 1}")]);
    for (file, expected) in [("bad.json", "bad.json:1: "), ("none.json", "none.json: ")] {
        for command in ["opt", "run"] {
            let ran = place.run(&format!("{command} loop.clif --profile {file}"));
            let error = ran.failed();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn a_program_that_traps_is_counted_up_to_there() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let trapping = LOOP.replace("block4:\n    return v5", "block4:\n    trap user1");
    let place = Workplace::with(&[("trap.clif", &trapping)]);
    place.run("run trap.clif --profile-out trap.json").failed();
    assert_eq!(counts(&place.read("trap.json"))[0].1, 200);
}

#[test]
fn warnings_say_why_a_demand_is_not_met() {
    let again = "function %again(i64) -> i64 {
        fn0 = %again(i64) -> i64
    block0(v0: i64):
        v1 = call fn0(v0)
        return v1
    }
    function %main(i64) -> i64 {
        fn0 = %again(i64) -> i64
    block0(v0: i64):
        v1 = call fn0(v0)
        return v1
    }";
    let place = Workplace::with(&[("again.clif", again)]);
    let ran = place.run("opt again.clif --flatten main --policy never");
    let expected = "warning: %main still calls %again, though %main is to be flattened: recursion";
    assert!(ran.err.contains(expected), "{}", ran.err);
    // In %main the call is left that is in the body of %again.
    let text = ran.ok();
    assert_eq!(text.matches("call fn").count(), 2, "{text}");

    let ran = place.run("opt again.clif --always again --policy never");
    let expected = "%again still calls %again, though %again has the attribute always: recursion";
    assert!(ran.err.contains(expected), "{}", ran.err);
    ran.ok();

    let error = place.run("opt again.clif --flatten nobody").failed();
    assert!(error.contains("--flatten %nobody"), "{error}");
}
