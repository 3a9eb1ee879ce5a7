//! The tool's plans: written, followed, bisected.

use crate::support::{COUNTED, Workplace, command};
use std::fs;

const PLAN: &str = "\
clif-inline plan 2

function %main
  inline %again #0 ; policy always
  inline %double #0 ; policy always

end
";

#[test]
fn a_plan_is_written_and_followed() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let inlined = place
        .run("opt m.clif --policy always --plan-out m.plan")
        .ok();
    assert_eq!(place.read("m.plan"), PLAN);
    let followed = place.run("opt m.clif --policy never --plan m.plan").ok();
    assert_eq!(followed, inlined);
    // Every command that inlines one module has the options.
    place
        .run("compile m.clif -o m.o --plan m.plan --plan-fallback fail")
        .ok();
    let dot = place.run("graph m.clif --policy never --plan m.plan").ok();
    assert!(dot.contains("inlined: planned: policy always"), "{dot}");
    let told = place
        .run("explain m.clif --function main --policy never --plan m.plan --plan-out -")
        .ok();
    assert!(
        told.contains("inlined %double, 2 instructions into 4: planned: policy always"),
        "{told}"
    );
    assert!(
        told.contains("inline %double #0 ; planned: policy always"),
        "{told}"
    );
}

#[test]
fn the_fallback_is_for_sites_that_the_plan_does_not_list() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.write(
        "m.plan",
        "clif-inline plan 1\nfunction %main\n  keep %again #0\n",
    );
    let calls = |arguments: &str| {
        let ran = place.run(&format!(
            "opt m.clif --policy always --plan m.plan {arguments}"
        ));
        ran.ok().matches("call fn").count()
    };
    assert_eq!(calls(""), 3);
    assert_eq!(calls("--plan-fallback policy"), 3);
    assert_eq!(calls("--plan-fallback keep"), 4);
    let failed = place
        .run("opt m.clif -o out.clif --plan m.plan --plan-fallback fail")
        .failed();
    assert!(
        failed.contains("m.plan does not list %main -> %double #0\n"),
        "{failed}"
    );
    assert_eq!(place.files(), ["m.clif", "m.plan"], "nothing is written");
    place.run("opt m.clif --plan-fallback keep").misused();
}

#[test]
fn deviations_from_a_plan_are_warned_of() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let plan = "clif-inline plan 1\nfunction %main\n  inline %double #0\n  inline %double #1\n\
                function %again\n  inline %again #0\n";
    place.write("m.plan", plan);
    let ran = place.run("opt m.clif -o o.clif --plan m.plan");
    for line in [
        "warning: m.plan: %again -> %again #0 was to be inlined and was kept: recursion",
        "warning: m.plan: %main -> %double #1 is not in the program, or was optimized away",
    ] {
        assert!(
            ran.err.lines().any(|warning| warning == line),
            "{}",
            ran.err
        );
    }
    assert_eq!(ran.err.matches("warning: ").count(), 2, "{}", ran.err);
    ran.ok();

    let many: String = (1..10).map(|n| format!("  keep %double #{n}\n")).collect();
    place.write(
        "m.plan",
        &format!("clif-inline plan 1\nfunction %main\n{many}"),
    );
    let ran = place.run("opt m.clif -o o.clif --plan m.plan");
    assert_eq!(ran.err.matches("warning: ").count(), 6, "{}", ran.err);
    assert!(
        ran.err.contains("m.plan: 4 more sites are not as planned"),
        "{}",
        ran.err
    );
}

/// Each file of `run` is a module of its own, and a plan is of one.
#[test]
#[cfg(unix)]
fn run_follows_and_writes_a_plan_of_one_file() {
    let again = "\nfunction %again";
    let tested = COUNTED.replace(again, &format!("; run: %double(2) == 4\n{again}"));
    let unexecuted = COUNTED;
    let place = Workplace::with(&[("m.clif", &tested), ("other.clif", unexecuted)]);
    let total = |arguments: &str| {
        let text = place.run(&format!("run m.clif {arguments}")).ok();
        text.lines().last().unwrap().to_owned()
    };
    let total_of = |inlined: &str, after: usize| {
        format!(
            "1 passed, 0 failed, 0 skipped in 1 file; {inlined} inlined, call sites 4 → {after}"
        )
    };
    assert_eq!(
        total("--policy always --plan-out m.plan"),
        total_of("2 calls", 3)
    );
    assert_eq!(place.read("m.plan"), PLAN);
    assert_eq!(
        total("--policy never --plan m.plan"),
        total_of("2 calls", 3)
    );

    let less = PLAN.replace("  inline %double #0 ; policy always\n", "");
    place.write("less.plan", &less);
    assert_eq!(
        total("--policy always --plan less.plan --plan-fallback keep"),
        total_of("1 call", 4)
    );
    let failed = place.run("run m.clif --plan less.plan --plan-fallback fail");
    let failed = failed.failed();
    assert!(
        failed.contains("does not list %main -> %double #0"),
        "{failed}"
    );

    let misused = place.run("run m.clif other.clif --plan m.plan").misused();
    assert!(
        misused.contains("a plan is of one file, and there are 2 files"),
        "{misused}"
    );
    let failed = place.run("run other.clif --plan-out other.plan").failed();
    assert!(failed.contains("there is no plan"), "{failed}");
    assert!(!place.path("other.plan").exists());
}

#[test]
fn a_file_that_is_no_plan_is_told_with_its_line() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.write(
        "m.plan",
        "clif-inline plan 1\n\nfunction %f\n  inlined %g #0\n",
    );
    let failed = place.run("opt m.clif --plan m.plan").failed();
    let expected = "m.plan:4: expected `function`, `inline`, `keep` or `end`, not `inlined`";
    assert!(failed.contains(expected), "{failed}");
    // One that was cut at the end of a line is not followed as if it were whole.
    let (cut, _) = PLAN.split_once("  inline %double").unwrap();
    place.write("m.plan", cut);
    let failed = place.run("opt m.clif --plan m.plan").failed();
    assert!(failed.contains("m.plan:4: the plan has no end"), "{failed}");
    let failed = place.run("opt m.clif --plan missing.plan").failed();
    assert!(failed.contains("missing.plan: "), "{failed}");
}

/// Returns a function that calls `count` others, each of which holds a constant of its own.
fn wide(count: usize) -> String {
    let mut text = String::from("function %main(i32) -> i32 {\n");
    for index in 0..count {
        text += &format!("    fn{index} = %f{index}(i32) -> i32\n");
    }
    text += "block0(v0: i32):\n";
    for index in 0..count {
        text += &format!("    v{} = call fn{index}(v{index})\n", index + 1);
    }
    text += &format!("    return v{count}\n}}\n");
    for index in 0..count {
        let constant = 1000 + index;
        text += &format!(
            "function %f{index}(i32) -> i32 {{\nblock0(v0: i32):\n    v1 = iconst.i32 {constant}\n    \
             v2 = iadd v0, v1\n    return v2\n}}\n"
        );
    }
    text
}

/// A command that counts its runs and fails if the first function of the file holds `1007`.
#[cfg(unix)]
const COMMAND: [&str; 3] = [
    "sh",
    "-c",
    "echo run >> runs; echo told; test \"$CLIF_INLINE_FILE\" = {} && ! sed /^}/q {} | grep -q 1007",
];

#[cfg(unix)]
fn bisect(place: &Workplace, command_line: &[&str], more: &[&str]) -> std::process::Output {
    let mut command = command(&place.path(""));
    command.args(["bisect", "m.clif", "--plan", "m.plan", "--emit", "clif"]);
    command.args(more).arg("--").args(command_line);
    command.output().unwrap()
}

#[test]
#[cfg(unix)]
fn bisecting_finds_the_planted_fault_within_the_bound() {
    let count = 20;
    let place = Workplace::with(&[("m.clif", &wide(count))]);
    place
        .run("opt m.clif -o o.clif --plan-out m.plan --policy always")
        .ok();
    // Attributes do not come in between.
    let demands = ["--always", "f7", "--flatten", "main"];
    let output = bisect(&place, &COMMAND, &demands);
    let told = String::from_utf8(output.stdout).unwrap();
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{progress}");
    assert!(
        told.starts_with("%main -> %f7 #0\nwas inlined because: policy always\n"),
        "{told}"
    );
    let runs = place.read("runs").lines().count();
    assert!(runs as f64 <= (count as f64).log2() + 2.0, "{runs} runs");
    assert!(told.contains(&format!("found in {runs} runs")), "{told}");
    let lines = progress.lines().filter(|line| line.starts_with("run "));
    assert_eq!(lines.count(), runs, "{progress}");
    assert!(
        progress.contains(
            "told\nrun 1 of at most 6: 20 of 20 calls inlined, 20 left to look at: fails\n"
        ),
        "{progress}"
    );

    // The printed commands reproduce the failure.
    let reproduce = told
        .lines()
        .find(|line| line.contains("clif-inline opt"))
        .unwrap();
    let arguments = reproduce.trim().strip_prefix("clif-inline ").unwrap();
    let main = |arguments: &str| {
        place.run(arguments).ok();
        let text = place.read("failing.clif");
        text.split_once("\n}").unwrap().0.to_owned()
    };
    assert!(main(arguments).contains("1007"), "{arguments}");
    let last = told.lines().last().unwrap();
    let number = last
        .split("on line ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let number: usize = number.parse().unwrap();
    let plan = place.read("m.failing.plan");
    let mut lines: Vec<_> = plan.lines().map(str::to_owned).collect();
    lines[number - 1] = lines[number - 1].replace("inline", "keep");
    fs::write(place.path("m.failing.plan"), lines.join("\n")).unwrap();
    assert!(!main(arguments).contains("1007"));
}

#[test]
#[cfg(unix)]
fn bisecting_says_why_it_finds_nothing() {
    let place = Workplace::with(&[("m.clif", &wide(5))]);
    place
        .run("opt m.clif -o o.clif --plan-out m.plan --policy always")
        .ok();
    let failed = |command_line: &[&str]| {
        let output = bisect(&place, command_line, &["-o", "f.plan"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failed(&["true"]).contains("does not fail when the whole plan is followed"));
    assert!(failed(&["false"]).contains("fails even when nothing is inlined"));
    assert!(failed(&["./no-such-command"]).contains("./no-such-command: "));
    assert_eq!(place.files(), ["m.clif", "m.plan", "o.clif"]);
}

/// The command gets an object file that can be linked.
#[test]
#[cfg(unix)]
fn bisecting_compiles_unless_told_otherwise() {
    let place = Workplace::with(&[("m.clif", &wide(3))]);
    place
        .run("opt m.clif -o o.clif --plan-out m.plan --policy always")
        .ok();
    let mut command = command(&place.path(""));
    // The symbol's size grows with inlined calls; the whole plan fails, less passes.
    let script = "head -c 4 {} | tail -c 3 | grep -q ELF || exit 0; \
                  echo x >> runs; test $(wc -l < runs) -ne 1";
    command.args([
        "bisect", "m.clif", "--plan", "m.plan", "--target", "x64", "--", "sh", "-c", script,
    ]);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("%main -> %f2 #0\n"), "{told}");
    assert!(
        told.contains("clif-inline compile m.clif --plan m.failing.plan "),
        "{told}"
    );
}
