//! The tool's `explain`.

use crate::support::{COUNTED, Workplace, command};

/// %main gets %middle, which got %leaf before, and after %middle the call of %again that came with
/// it. %again is recursive.
const NESTED: &str = "\
function %main(i32) -> i32 {
    fn0 = %middle(i32) -> i32
    fn1 = %ext()
block0(v0: i32):
    v1 = call fn0(v0)
    call fn1()
    return v1
}

function %middle(i32) -> i32 {
    fn0 = %leaf(i32) -> i32
    fn1 = %again(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
@0012    v2 = call fn1(v1)
    return v2
}

function %leaf(i32) -> i32 {
    fn0 = %ext()
block0(v0: i32):
    call fn0()
    return v0
}

function %again(i32) -> i32 {
    fn0 = %again(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}
";

#[test]
fn the_tree_has_every_site_at_every_depth() {
    let place = Workplace::with(&[("m.clif", NESTED)]);
    let tree = place
        .run("explain m.clif --function main --policy always --never again")
        .ok();
    assert_eq!(
        tree,
        "\
%main: exported, 3 → 4 instructions, 2 → 3 call sites; 1 call inlined
├─ inlined %middle, 3 instructions into 3: policy always (call inst0)
│  ├─ inlined %leaf, 2 instructions into 3: policy always (call inst0, decided in %middle)
│  │  └─ external %ext: the callee is external (call inst0, decided in %leaf)
│  └─ kept %again, 2 instructions into 6: attribute never (call inst4 at @0012)
└─ external %ext: the callee is external (call inst1)
"
    );
    let own = place
        .run("explain m.clif --function main --policy always --never again --depth 1")
        .ok();
    let lines: Vec<_> = tree.lines().collect();
    assert_eq!(
        own.lines().collect::<Vec<_>>(),
        [lines[0], lines[1], lines[5]]
    );
}

#[test]
fn the_default_policy_tells_its_numbers_and_several_functions_may_be_asked_for() {
    let place = Workplace::with(&[("m.clif", NESTED)]);
    let told = place
        .run("explain m.clif --function %leaf --function middle")
        .ok();
    let (leaf, middle) = told.split_once("\n\n").unwrap();
    assert!(
        leaf.starts_with("%leaf: exported, 2 → 2 instructions, 1 → 1 call sites; 0 calls inlined"),
        "{told}"
    );
    assert!(
        middle.contains("inlined %leaf, 2 instructions into 3: cost 7, benefit 10"),
        "{told}"
    );
}

#[test]
fn colours_are_for_terminals_and_on_demand() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let told = |variable: &str| {
        let mut command = command(&place.path(""));
        command.args(["explain", "m.clif", "--function", "main"]);
        let output = command.env(variable, "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!told("NO_COLOR").contains('\u{1b}'));
    assert!(!told("UNRELATED").contains('\u{1b}'));
    assert!(told("CLICOLOR_FORCE").contains("\u{1b}[32minlined\u{1b}[0m"));
}

/// Each function calls the next one twice: 2^20 calls, and no instruction but a return is left.
#[test]
fn a_tree_without_end_is_cut() {
    let mut text = String::from("function %f0() {\nblock0:\n    return\n}\n");
    for level in 1..=20 {
        let below = level - 1;
        text += &format!(
            "function %f{level}() {{\n    fn0 = %f{below}()\nblock0:\n    call fn0()\n    \
             call fn0()\n    return\n}}\n"
        );
    }
    let place = Workplace::with(&[("m.clif", &text)]);
    let told = place
        .run("explain m.clif --function f20 --policy always")
        .ok();
    assert!(told.ends_with("… and so on: 20000 sites are shown; --depth shows fewer levels\n"));
    assert_eq!(told.lines().count(), 20_002);
    let json = place.run("explain m.clif --function f20 --policy always --format json");
    assert!(json.json()[0]["cut"].as_bool().unwrap());
}

/// Returns `%f0` to `%f6`. Each calls a leaf once more than the one before.
fn growing() -> String {
    let mut text = String::from(
        "function %leaf(i32) -> i32 {\nblock0(v0: i32):\n    v1 = iadd v0, v0\n    \
         v2 = imul v1, v0\n    v3 = isub v2, v1\n    return v3\n}\n",
    );
    for calls in 0..7 {
        text += &format!(
            "function %f{calls}(i32) -> i32 {{\n    fn0 = %leaf(i32) -> i32\nblock0(v0: i32):\n"
        );
        for call in 0..calls {
            text += &format!("    v{} = call fn0(v{call})\n", call + 1);
        }
        text += &format!("    return v{calls}\n}}\n");
    }
    text
}

#[test]
fn without_a_name_the_functions_that_changed_most_are_told() {
    let place = Workplace::with(&[("m.clif", &growing())]);
    let told = place.run("explain m.clif --policy always").ok();
    let heads: Vec<_> = told
        .lines()
        .filter(|line| line.starts_with('%'))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(heads, ["%f6", "%f5", "%f4", "%f3", "%f2"]);
    assert!(
        told.ends_with("\n\n1 more function changed; use --function NAME to show one.\n"),
        "{told}"
    );
    let none = place.run("explain m.clif --policy never").ok();
    assert_eq!(
        none,
        "No function changed; use --function NAME to show one.\n"
    );
}

#[test]
fn json_has_the_contents_of_the_tree() {
    let place = Workplace::with(&[("m.clif", NESTED)]);
    let arguments = "explain m.clif --function main --policy always --never again";
    let json = place.run(&format!("{arguments} --format json")).json();
    let site = |callee: &str, decision: &str, kind: &str, reason: &str| {
        serde_json::json!({
            "callee": callee, "decision": decision, "reason_kind": kind, "reason": reason,
            "callee_instructions": null, "caller_instructions": 3, "kind": "call",
            "instruction": "inst0", "location": null, "decided_in": "%main", "sites": [],
        })
    };
    let with = |mut site: serde_json::Value, more: serde_json::Value| {
        for (key, value) in more.as_object().unwrap() {
            site[key] = value.clone();
        }
        site
    };
    let ext = site("%ext", "external", "external", "the callee is external");
    let ext_of_leaf = with(
        ext.clone(),
        serde_json::json!({ "decided_in": "%leaf", "caller_instructions": 2 }),
    );
    let leaf = with(
        site("%leaf", "inlined", "policy", "policy always"),
        serde_json::json!({ "callee_instructions": 2, "decided_in": "%middle", "sites": [ext_of_leaf] }),
    );
    let again = with(
        site("%again", "kept", "attribute", "attribute never"),
        serde_json::json!({
            "callee_instructions": 2, "caller_instructions": 6, "instruction": "inst4",
            "location": "@0012",
        }),
    );
    let middle = with(
        site("%middle", "inlined", "policy", "policy always"),
        serde_json::json!({ "callee_instructions": 3, "sites": [leaf, again] }),
    );
    let expected = serde_json::json!([{
        "function": "%main", "linkage": "exported", "dropped": false,
        "instructions_before": 3, "instructions_after": 4,
        "call_sites_before": 2, "call_sites_after": 3, "inlined": 1,
        "slots_promoted": 0, "calls_resolved": 0, "try_calls_replaced": 0,
        "sites": [middle, with(ext, serde_json::json!({ "instruction": "inst1" }))],
        "cut": false,
    }]);
    assert_eq!(json, expected);
    let flat = place
        .run(&format!("{arguments} --format json --depth 1"))
        .json();
    assert_eq!(flat[0]["sites"][0]["sites"], serde_json::json!([]));
    assert_eq!(flat[0]["sites"].as_array().unwrap().len(), 2);
}

#[test]
fn an_unknown_function_and_no_depth_are_errors() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let missing = place.run("explain m.clif --function nobody").failed();
    assert!(
        missing.contains("--function %nobody: no input defines this function"),
        "{missing}"
    );
    place
        .run("explain m.clif --function main --depth 0")
        .misused();
}

#[test]
fn calls_that_became_direct_are_told_as_such() {
    let text = "\
function %leaf(i64) -> i64 {
block0(v0: i64):
    v1 = imul v0, v0
    return v1
}
function %apply(i64, i64) -> i64 {
    sig0 = (i64) -> i64
block0(v0: i64, v1: i64):
    v2 = call_indirect sig0, v0(v1)
    return v2
}
function %main(i64) -> i64 {
    fn0 = colocated %apply(i64, i64) -> i64
    fn1 = colocated %leaf(i64) -> i64
block0(v0: i64):
    v1 = func_addr.i64 fn1
    v2 = call fn0(v1, v0)
    return v2
}
";
    let place = Workplace::with(&[("a.clif", text)]);
    let told = place
        .run("explain a.clif --function main --policy always")
        .ok();
    let lines: Vec<_> = told
        .lines()
        .filter(|line| line.contains("resolved"))
        .collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].contains("inlined %leaf"), "{told}");
    assert!(
        lines[0].contains("resolved from an indirect call"),
        "{told}"
    );
    place
        .run("opt a.clif --policy always --remarks r.yaml -o b.clif")
        .ok();
    assert!(
        place
            .read("r.yaml")
            .contains("', resolved from an indirect call'")
    );
    let head = told.lines().next().unwrap_or_default();
    assert!(
        head.ends_with("2 calls inlined; 1 indirect call became direct"),
        "{head}"
    );
    for (options, resolved, inlined) in [
        ("", 1, 2),
        ("--no-resolve-targets", 0, 1),
        ("--optimize none", 0, 1),
    ] {
        let told = place.run(&format!(
            "explain a.clif --function main --policy always --format json {options}"
        ));
        let main = &told.json()[0];
        assert_eq!(main["calls_resolved"], resolved, "{options}");
        assert_eq!(main["inlined"], inlined, "{options}");
        let stats = place.run(&format!(
            "opt a.clif --policy always -o b.clif --stats=json {options}"
        ));
        let transforms = &stats.json()["transforms"];
        assert_eq!(transforms["calls_resolved"], resolved, "{options}");
    }
}

#[test]
fn the_head_tells_of_slots_that_became_values() {
    let text = "\
function %set(i64, i64) {
block0(v0: i64, v1: i64):
    store notrap aligned v1, v0
    return
}
function %main(i64) -> i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
    fn0 = %set(i64, i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    call fn0(v1, v0)
    v2 = stack_addr.i64 ss1
    call fn0(v2, v0)
    v3 = load.i64 notrap aligned v1
    v4 = load.i64 notrap aligned v2
    v5 = iadd v3, v4
    return v5
}
";
    let place = Workplace::with(&[("a.clif", text)]);
    let told = place.run("explain a.clif --function main").ok();
    let head = told.lines().next().unwrap_or_default();
    assert!(
        head.ends_with("2 calls inlined; 2 slots became values"),
        "{head}"
    );
    let kept = place
        .run("explain a.clif --function main --no-promote-slots")
        .ok();
    let head = kept.lines().next().unwrap_or_default();
    assert!(head.ends_with("2 calls inlined"), "{head}");
}
