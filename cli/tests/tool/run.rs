//! The tool's `run`.

use crate::ROOT;
use crate::support::Workplace;
use std::fs;

const OTHER: &str = if cfg!(target_arch = "x86_64") {
    "aarch64"
} else {
    "x86_64"
};

/// Two functions, of which `%twice` inlines `%add`, and directives that hold.
const HOLDING: &str = "\
test run

function %add(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    return v2
}

function %twice(i32) -> i32 {
    fn0 = %add(i32, i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0, v0)
    return v1
}
; run: %twice(3) == 6
; print: %twice(21)
";

const TRAPPING: &str = "\
function %trap(i32) -> i32 {
block0(v0: i32):
    trapnz v0, user1
    return v0
}
; run: %trap(0) == 0
; run: %trap(1) == 0
; run: %trap(0) == 0
";

/// Functions with the names of C's, and another meaning: `%memcpy` copies to its second argument,
/// and `%memset` leaves memory alone.
const NAMES_OF_C: &str = "\
function %memcpy(i64, i64, i64) -> i64 {
block0(v0: i64, v1: i64, v2: i64):
    v3 = load.i64 v0
    store v3, v1
    return v2
}

function %memset(i64, i64, i64) -> i64 {
block0(v0: i64, v1: i64, v2: i64):
    return v1
}

function %main(i64) -> i64, i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
    fn0 = %memcpy(i64, i64, i64) -> i64
    fn1 = %memset(i64, i64, i64) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    store v0, v1
    v3 = iconst.i64 5
    store v3, v2
    v4 = iconst.i64 8
    v5 = call fn0(v1, v2, v4)
    v6 = load.i64 v2
    v7 = call fn1(v1, v5, v4)
    v8 = load.i64 v1
    return v6, v8
}
; run: %main(9) == [9, 9]
";

#[test]
fn directives_that_hold_are_counted_and_printed() {
    let place = Workplace::with(&[("m.clif", HOLDING)]);
    assert_eq!(
        place.run("run m.clif").ok(),
        "%twice(21) -> 42\n2 passed, 0 failed, 0 skipped in 1 file; 1 call inlined, call sites 1 → 0\n"
    );
    let text = place.run_with("run - --policy never", HOLDING).ok();
    assert!(
        text.ends_with("0 calls inlined, call sites 1 → 1\n"),
        "{text}"
    );
}

#[test]
fn directives_that_fail_or_trap_are_errors_with_their_place() {
    let wrong = format!("{HOLDING}; run: %twice(1) == 3\n");
    let place = Workplace::with(&[("wrong.clif", &wrong), ("trap.clif", TRAPPING)]);
    let ran = place.run("run wrong.clif trap.clif");
    let summary = String::from_utf8(ran.out.clone()).unwrap();
    assert!(
        summary.contains("4 passed, 2 failed, 0 skipped in 2 files"),
        "{summary}"
    );
    let errors = ran.failed();
    let errors: Vec<_> = errors.lines().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with("error: wrong.clif:17: "),
        "{errors:?}"
    );
    assert!(errors[0].contains("it returned 2"), "{errors:?}");
    assert!(errors[1].starts_with("error: trap.clif:7: "), "{errors:?}");
    assert!(errors[1].contains("trapped"), "{errors:?}");
}

#[test]
fn directives_that_cannot_be_executed_are_passed_over_and_told() {
    let header = format!("test run\ntarget {OTHER}\n");
    let elsewhere = HOLDING.replace("test run\n", &header);
    let compiled = HOLDING.replace("test run", "test compile");
    let place = Workplace::with(&[("elsewhere.clif", &elsewhere), ("compiled.clif", &compiled)]);
    let text = place.run("run elsewhere.clif compiled.clif").ok();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("skipped: elsewhere.clif: target "),
        "{text}"
    );
    assert!(lines[1].starts_with("skipped: compiled.clif: "), "{text}");
    assert!(
        lines[2].starts_with("0 passed, 0 failed, 4 skipped in 2 files"),
        "{text}"
    );
    let quiet = place.run("run elsewhere.clif compiled.clif --quiet").ok();
    assert_eq!(quiet.lines().count(), 1);
}

#[test]
fn a_directive_that_names_another_function_is_an_error_with_its_line() {
    let functions = HOLDING.split("; run").next().unwrap();
    // %add takes two numbers, %twice one: each would be called with the other's arguments.
    let module = format!("{functions}; run: %add(1, 2) == 3\n; run: %twice(3) == 6\n");
    let place = Workplace::with(&[("m.clif", &module)]);
    let ran = place.run("run m.clif");
    let summary = String::from_utf8(ran.out.clone()).unwrap();
    assert!(summary.contains("1 passed, 1 failed"), "{summary}");
    assert_eq!(
        ran.failed(),
        "error: m.clif:15: `run: %add(1, 2) == 3` names a function other than %twice, which stands \
         before it (target host)\n"
    );

    // The same signature, so that nothing but the name tells.
    let same = "test run\nfunction %one() -> i32 {\nblock0:\n    v0 = iconst.i32 1\n    \
                return v0\n}\nfunction %two() -> i32 {\nblock0:\n    v0 = iconst.i32 2\n    \
                return v0\n}\n; print: %one()\n";
    let place = Workplace::with(&[("m.clif", same)]);
    let error = place.run("run m.clif").failed();
    assert!(
        error.starts_with("error: m.clif:12: `print: %one()` "),
        "{error}"
    );
}

#[test]
fn a_directive_before_every_function_is_an_error_with_its_line() {
    let early = HOLDING.replace("test run\n", "test run\n\n; run: %add(1, 2) == 3\n");
    let place = Workplace::with(&[("m.clif", &early)]);
    let error = place.run("run m.clif").failed();
    assert_eq!(
        error,
        "error: m.clif:3: a directive stands before every function, and must stand after its own\n"
    );
}

/// Cranelift's own filetests do not look at the name.
#[test]
fn a_directive_that_names_no_function_calls_the_one_before_it_with_a_warning() {
    let other = HOLDING.replace("; run: %twice(", "; run: %double(");
    let place = Workplace::with(&[("m.clif", &other)]);
    let ran = place.run("run m.clif");
    assert_eq!(
        ran.err,
        "warning: m.clif:15: the file defines no function %double; %twice is called, which stands \
         before the directive\n"
    );
    assert!(ran.ok().contains("2 passed"));
    // Nothing can be written for a number.
    let numbered = HOLDING.replace("function %twice", "function u0:1");
    place.write("m.clif", &numbered);
    let ran = place.run("run m.clif");
    assert_eq!(ran.err, "");
    assert!(ran.ok().contains("2 passed"));
}

#[test]
fn a_run_with_nothing_to_execute_fails() {
    let without = HOLDING.split("; run").next().unwrap();
    let place = Workplace::with(&[
        ("without.clif", without),
        ("t/a.clif", without),
        ("t/b.clif", without),
    ]);
    let error = place.run("run without.clif").failed();
    assert_eq!(
        error,
        "error: without.clif: no `; run:` or `; print:` line, so there is nothing to execute\n"
    );
    let error = place.run("run t").failed();
    assert!(error.starts_with("error: 2 files: no `; run:` "), "{error}");

    // Beside files that have some, it is told and no failure.
    place.write("t/c.clif", HOLDING);
    let told = place.run("run t").ok();
    for line in [
        "skipped: t/a.clif: no directives\n",
        "skipped: t/b.clif: no directives\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let summary = "2 passed, 0 failed, 0 skipped in 3 files (2 without directives); 1 call ";
    assert!(told.contains(summary), "{told}");
    let quiet = place.run("run t --quiet").ok();
    assert!(
        !quiet.contains("t/a.clif") && quiet.contains(summary),
        "{quiet}"
    );
}

#[test]
fn a_folder_stands_for_all_test_files_under_it_each_a_module() {
    // Both define the same names, which in one module would be an error.
    let place = Workplace::with(&[
        ("tests/a.clif", HOLDING),
        ("tests/deep/er/b.clif", HOLDING),
        ("tests/notes.txt", "no CLIF"),
    ]);
    let text = place.run("run tests").ok();
    assert!(
        text.contains("4 passed, 0 failed, 0 skipped in 2 files"),
        "{text}"
    );
}

#[test]
fn a_bad_file_fails_and_the_others_go_on() {
    let unverifiable = "test run\nfunction %f(i32) -> i64 {\nblock0(v0: i32):\n    return v0\n}\n\
                        ; run: %f(1) == 1\n";
    let twice = format!("{HOLDING}function %add() {{\nblock0:\n    return\n}}\n");
    let place = Workplace::with(&[
        ("t/a_syntax.clif", "function %f() {\nblock0:\n    frob\n}\n"),
        ("t/b_verify.clif", unverifiable),
        ("t/c_twice.clif", &twice),
        ("t/d_good.clif", HOLDING),
    ]);
    std::fs::create_dir(place.path("empty")).unwrap();
    let ran = place.run("run t missing.clif empty");
    let summary = String::from_utf8(ran.out.clone()).unwrap();
    assert!(summary.contains("2 passed, 0 failed"), "{summary}");
    assert!(summary.contains("5 other errors"), "{summary}");
    let errors = ran.failed();
    let errors: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("error"))
        .collect();
    let beginnings = [
        "error: t/a_syntax.clif:3: ",
        "error: t/b_verify.clif:2: function %f does not verify",
        "error: t/c_twice.clif:17: function %add is defined twice; it is also at t/c_twice.clif:3",
        "error: missing.clif: ",
        "error: empty: ",
    ];
    assert_eq!(errors.len(), beginnings.len(), "{errors:?}");
    for (error, beginning) in errors.iter().zip(beginnings) {
        assert!(error.starts_with(beginning), "{error}");
    }
}

#[test]
fn a_file_without_a_function_that_compiles_fails_for_the_reason_why() {
    let text = "\
set preserve_frame_pointers=false
target x86_64
target aarch64

function %f(i64) -> i64 tail {
    fn0 = %f(i64) -> i64 tail
block0(v0: i64):
    return_call fn0(v0)
}

function %main(i64) -> i64 {
    fn0 = %f(i64) -> i64 tail
block0(v0: i64):
    v1 = call fn0(v0)
    return v1
}
; run: %main(1) == 1
";
    let place = Workplace::with(&[("m.clif", text)]);
    let errors = place.run("run m.clif --policy never").failed();
    assert!(errors.contains("%f does not compile: "), "{errors}");
}

#[test]
fn functions_with_the_names_of_cs_do_what_their_bodies_say() {
    let place = Workplace::with(&[("m.clif", NAMES_OF_C)]);
    for policy in ["never", "small", "cost", "always"] {
        let command = format!("run m.clif --policy {policy} --optimize all --check");
        let text = place.run(&command).ok();
        assert!(text.starts_with("1 passed, 0 failed"), "{policy}: {text}");
    }
}

#[test]
fn functions_that_directives_call_stay_though_others_are_exported() {
    let place = Workplace::with(&[("m.clif", HOLDING)]);
    let stats = place.run("run m.clif --export add --stats=json").json();
    assert_eq!(
        stats["directives"],
        serde_json::json!({
            "passed": 2, "failed": 0, "passed_over": 0
        })
    );
    assert_eq!(
        (&stats["functions_dropped"], &stats["inlined"]),
        (&0.into(), &1.into())
    );
    let stats = place.run("run m.clif --export twice --stats=json").json();
    assert_eq!(stats["functions_dropped"], 1, "%add is local then");
}

#[test]
fn names_may_be_of_any_file_but_must_be_of_one() {
    let place = Workplace::with(&[("a.clif", HOLDING), ("b.clif", TRAPPING)]);
    let text = place.run("run a.clif --never add").ok();
    assert!(
        text.ends_with("0 calls inlined, call sites 1 → 1\n"),
        "{text}"
    );
    let error = place.run("run a.clif --never nope").failed();
    assert_eq!(
        error,
        "error: --never %nope: no file defines this function\n"
    );
}

#[test]
fn a_name_that_is_nearly_right_in_one_of_several_files_is_told() {
    let place = Workplace::with(&[("a.clif", HOLDING), ("b.clif", TRAPPING)]);
    let error = place.run("run a.clif b.clif --never tarp").failed();
    let told = "error: --never %tarp: no file defines this function; did you mean %trap?\n";
    assert!(error.contains(told), "{error}");
}

#[test]
fn the_settings_of_the_file_decide_which_code_verifies() {
    let module = |set: &str| {
        format!(
            "test run\n{set}\ntarget {}\nfunction %f() -> i64 {{\nblock0:\n    \
             v0 = get_frame_pointer.i64\n    v1 = icmp ne v0, v0\n    \
             v2 = uextend.i64 v1\n    return v2\n}}\n; run: %f() == 0\n",
            std::env::consts::ARCH
        )
    };
    let place = Workplace::with(&[
        ("with.clif", &module("set preserve_frame_pointers=true")),
        ("without.clif", &module("set preserve_frame_pointers=false")),
    ]);
    assert!(place.run("run with.clif").ok().starts_with("1 passed"));
    let error = place.run("run without.clif").failed();
    assert!(error.starts_with("error: without.clif:4: "), "{error}");
}

#[test]
fn remarks_and_tables_cover_all_files() {
    let place = Workplace::with(&[("a.clif", HOLDING), ("b.clif", HOLDING)]);
    let ran = place.run("run a.clif b.clif --remarks r.yaml --stats");
    assert!(ran.err.contains("4 passed"), "{}", ran.err);
    let table = ran.ok();
    assert!(table.contains("directives passed"), "{table}");
    let remarks = place.read("r.yaml");
    assert_eq!(remarks.matches("--- !Passed").count(), 2, "{remarks}");
    assert_eq!(remarks.matches("'b.clif'").count(), 1, "{remarks}");
}

#[test]
fn all_directives_of_the_examples_hold_under_every_policy() {
    let folder = format!("{ROOT}/examples/modules");
    let files = fs::read_dir(&folder).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let directives: usize = texts
        .map(|text| {
            let lines = text.lines();
            lines.filter(|line| line.starts_with("; run:")).count()
        })
        .sum();
    assert!(directives > 20, "{directives}");
    for policy in ["never", "always", "small", "cost"] {
        let ran = Workplace::new().run(&format!("run {folder} --quiet --policy {policy}"));
        let err = ran.err.clone();
        let told = ran.ok() + &err;
        assert!(
            told.contains(&format!("{directives} passed, 0 failed")),
            "{policy}: {told}"
        );
    }
}
