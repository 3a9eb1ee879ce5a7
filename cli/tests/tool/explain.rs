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
fn colours_are_for_terminals_and_who_asks_for_them() {
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
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let missing = place.run("explain m.clif --function nobody").failed();
    assert!(
        missing.contains("--function %nobody: no input defines this function"),
        "{missing}"
    );
    place.run("explain m.clif").misused();
    place
        .run("explain m.clif --function main --depth 0")
        .misused();
}
