//! Programs in shards: the three steps, and the build files for them.

use super::support::Workplace;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The shards of the large program.
pub(super) const SHARDS: usize = 24;

/// Returns the shard `i`: a local helper with the same name in each, a small function for other
/// shards, and a loop that calls those of two others. The first shard calls all loops.
pub(super) fn shard(i: usize) -> String {
    let (next, far) = ((i + 1) % SHARDS, (i * 7 + 3) % SHARDS);
    let (factor, summand, mask) = (2 * i + 3, i, 13 * i);
    let mut text = format!(
        "function %helper(i64) -> i64 system_v {{
block0(v0: i64):
    v1 = iconst.i64 {factor}
    v2 = imul v0, v1
    v3 = iconst.i64 {summand}
    v4 = iadd v2, v3
    return v4
}}
function %get_{i}(i64) -> i64 system_v {{
    fn0 = %helper(i64) -> i64 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = iconst.i64 {mask}
    v3 = bxor v1, v2
    return v3
}}
function %work_{i}(i64) -> i64 system_v {{
    fn0 = %get_{next}(i64) -> i64 system_v
    fn1 = %get_{far}(i64) -> i64 system_v
    fn2 = %helper(i64) -> i64 system_v
block0(v0: i64):
    v1 = iconst.i64 0
    jump block1(v0, v1)
block1(v2: i64, v3: i64):
    v4 = iconst.i64 100
    v5 = icmp ult v3, v4
    brif v5, block2, block3
block2:
    v6 = call fn0(v2)
    v7 = call fn1(v6)
    v8 = call fn2(v7)
    v9 = iconst.i64 1
    v10 = iadd v3, v9
    jump block1(v8, v10)
block3:
    return v2
}}
"
    );
    if i == 0 {
        text += "function %start(i64) -> i64 system_v {\n";
        for k in 0..SHARDS {
            text += &format!("    fn{k} = %work_{k}(i64) -> i64 system_v\n");
        }
        text += "block0(v0: i64):\n";
        for k in 0..SHARDS {
            text += &format!("    v{} = call fn{k}(v{k})\n", k + 1);
        }
        text += &format!("    return v{SHARDS}\n}}\n");
    }
    text
}

/// Returns the result of the program for 7.
pub(super) fn expected() -> i64 {
    expected_with(|i| 13 * i as i64)
}

/// Returns the same for a program with other masks in the small functions of the shards.
pub(super) fn expected_with(mask: impl Fn(usize) -> i64) -> i64 {
    let helper = |i: usize, x: i64| x.wrapping_mul(2 * i as i64 + 3).wrapping_add(i as i64);
    let get = |i: usize, x: i64| helper(i, x) ^ mask(i);
    let work = |i: usize, mut x: i64| {
        for _ in 0..100 {
            x = get((i + 1) % SHARDS, x);
            x = get((i * 7 + 3) % SHARDS, x);
            x = helper(i, x);
        }
        x
    };
    (0..SHARDS).fold(7, |x, i| work(i, x))
}

const MAIN: &str = "#include <stdio.h>
#include <stdint.h>
int64_t start(int64_t);
int main(void) { printf(\"%lld\\n\", (long long)start(7)); return 0; }
";

/// Makes summaries and plans of all shards.
pub(super) fn prepared() -> Workplace {
    let place = Workplace::new();
    place.write("main.c", MAIN);
    fs::create_dir(place.path("out")).unwrap();
    for i in 0..SHARDS {
        place.write(&format!("s{i}.clif"), &shard(i));
        let start = if i == 0 { " --export start" } else { "" };
        let summarize = format!(
            "summarize s{i}.clif -o out/s{i}.sum --bodies out/s{i}.fns --export get_{i} \
             --export work_{i}{start}"
        );
        place.run(&summarize).ok();
    }
    let summaries: Vec<String> = (0..SHARDS).map(|i| format!("out/s{i}.sum")).collect();
    place
        .run(&format!("thin {} -o out", summaries.join(" ")))
        .ok();
    place
}

/// Returns whether a program is installed, and says that a test is passed over if not.
pub(super) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("passed over: {program} is not installed");
    }
    found
}

/// Runs ninja, and returns the outputs that it made.
fn ninja(place: &Workplace) -> BTreeSet<String> {
    let mut command = Command::new("ninja");
    command
        .current_dir(place.path(""))
        .args(["-v", "-f", "out/build.ninja"]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    assert!(!errors.contains("warning:"), "{errors}");
    let commands = text.lines().filter(|line| line.starts_with('['));
    commands
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let step = words
                .iter()
                .position(|word| matches!(*word, "summarize" | "thin" | "backend"));
            let (step, rest) = words[step.unwrap()..].split_first().unwrap();
            match *step {
                "thin" => "thin".to_owned(),
                step => format!("{step} {}", rest[0]),
            }
        })
        .collect()
}

pub(super) fn linked_result(place: &Workplace) -> i64 {
    let objects = (0..SHARDS).map(|i| format!("out/s{i}.o"));
    let linked = Command::new("cc")
        .current_dir(place.path(""))
        .args(["main.c", "-o", "program"])
        .args(objects)
        .output()
        .unwrap();
    assert!(
        linked.status.success(),
        "{}",
        String::from_utf8_lossy(&linked.stderr)
    );
    let run = Command::new(place.path("program")).output().unwrap();
    assert!(run.status.success());
    String::from_utf8(run.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Returns the shards into whose objects the small function of one goes, with its own.
pub(super) fn importers_of(place: &Workplace, shard: usize) -> BTreeSet<usize> {
    let calls = |i: usize| (i + 1) % SHARDS == shard || (i * 7 + 3) % SHARDS == shard;
    let callers = (0..SHARDS).filter(|&i| calls(i));
    let mut importers: BTreeSet<usize> = callers.chain([shard]).collect();
    // The first shard calls all loops; it imports those that are small enough.
    if place.read("out/s0.plan").contains(&format!("%get_{shard}")) {
        importers.insert(0);
    }
    importers
}

#[test]
fn ninja_builds_a_program_in_24_shards_and_only_the_files_that_an_edit_reaches() {
    if !has("ninja") || !has("cc") || !cfg!(target_arch = "x86_64") {
        return;
    }
    let place = prepared();
    // The first time, ninja knows of no earlier commands, and makes the summaries again.
    let made = ninja(&place);
    let backends = made.iter().filter(|step| step.starts_with("backend"));
    assert_eq!(backends.count(), SHARDS, "{made:?}");
    assert_eq!(linked_result(&place), expected());
    assert_eq!(ninja(&place), BTreeSet::new());

    // The function is inlined into the loops that call it, and these into no other shard.
    let edited = shard(5).replace("iconst.i64 65", "iconst.i64 64");
    place.write("s5.clif", &edited);
    let made = ninja(&place);
    let backends: BTreeSet<String> = importers_of(&place, 5)
        .iter()
        .map(|i| format!("backend out/s{i}.fns"))
        .collect();
    let steps = BTreeSet::from(["summarize s5.clif".to_owned(), "thin".to_owned()]);
    assert_eq!(made, &backends | &steps);
    assert_ne!(linked_result(&place), expected());
    place.write("s5.clif", &shard(5));
    ninja(&place);
    assert_eq!(linked_result(&place), expected());

    // A function that no other shard imports: of the others only the plans are looked at.
    place.write(
        "s7.clif",
        &shard(7).replace("function %helper", "; a comment\n\nfunction %helper"),
    );
    let made = ninja(&place);
    let only = BTreeSet::from([
        "summarize s7.clif".to_owned(),
        "backend out/s7.fns".to_owned(),
    ]);
    assert_eq!(made, only);
    assert_eq!(ninja(&place), BTreeSet::new());
}

#[test]
fn the_result_does_not_depend_on_the_order_of_summaries_and_threads() {
    let place = prepared();
    let plans = || -> Vec<String> {
        (0..SHARDS)
            .map(|i| place.read(&format!("out/s{i}.plan")))
            .collect()
    };
    let before = plans();
    let reversed: Vec<String> = (0..SHARDS).rev().map(|i| format!("out/s{i}.sum")).collect();
    let ran = place.run(&format!("thin {} -o out --threads 1", reversed.join(" ")));
    assert!(
        ran.err.contains("3 files changed") || ran.err.contains("1 file changed"),
        "{}",
        ran.err
    );
    ran.ok();
    assert_eq!(plans(), before);
    let backend = |threads: usize| {
        let command =
            "backend s3.clif --plan out/s3.plan --import s0.clif --import s4.clif -o out/s3.o";
        place.run(&format!("{command} --threads {threads}")).ok();
        place.bytes("out/s3.o")
    };
    assert_eq!(backend(1), backend(4));
}

#[test]
fn jobs_are_listed_with_their_commands_inputs_and_outputs() {
    let place = prepared();
    let jobs: serde_json::Value = serde_json::from_str(&place.read("out/jobs.json")).unwrap();
    let list = jobs["jobs"].as_array().unwrap();
    assert_eq!(list.len(), SHARDS);
    for job in list {
        let words = |key: &str| -> Vec<String> {
            let words = job[key].as_array().unwrap().iter();
            words
                .map(|word| word.as_str().unwrap().to_owned())
                .collect()
        };
        for input in words("inputs") {
            assert!(place.path(&input).is_file(), "{input}");
        }
        let [output] = &words("outputs")[..] else {
            panic!("{job}");
        };
        place.run(&words("args").join(" ")).ok();
        assert!(place.path(output).is_file(), "{output}");
    }
    if has("cc") && cfg!(target_arch = "x86_64") {
        assert_eq!(linked_result(&place), expected());
    }
    let bazel = place.read("out/shards.bzl");
    assert_eq!(bazel.matches("    struct(\n").count(), SHARDS);
}

#[test]
fn rules_for_bazel_have_paths_in_its_folder() {
    let place = prepared();
    let relative = place.read("out/shards.bzl");
    let folder = place.path("").canonicalize().unwrap();
    let folder = folder.to_str().unwrap();
    let summaries: Vec<String> = (0..SHARDS).map(|i| format!("out/s{i}.sum")).collect();
    for out in [format!("{folder}/out"), "./out/../out/".to_owned()] {
        place
            .run(&format!("thin {} -o {out}", summaries.join(" ")))
            .ok();
        assert_eq!(place.read("out/shards.bzl"), relative, "{out}");
    }
    let outside = Workplace::new();
    let out = outside.path("out");
    let out = out.to_str().unwrap();
    place
        .run(&format!("thin {} -o {out}", summaries.join(" ")))
        .ok();
    let rules = outside.read("out/shards.bzl");
    assert!(rules.contains("object = \"s3.o\""), "{rules}");
    assert!(
        rules.contains(&format!("plan = \"{out}/s3.plan\"")),
        "{rules}"
    );
}

#[test]
fn an_import_may_have_the_sign_before_its_place_in_its_name() {
    let place = Workplace::with(&[
        (
            "a.clif",
            "function %a() system_v {\n fn0 = %b() system_v\nblock0:\n call fn0()\n return\n}\n",
        ),
        (
            "b=1.clif",
            "function %b() system_v {\nblock0:\n return\n}\n",
        ),
    ]);
    place.run("summarize a.clif").ok();
    place.run("summarize b=1.clif").ok();
    place.run("thin a.sum b=1.sum -o out").ok();
    assert!(place.read("out/a.plan").contains("inline %b"));
    let object = |import: &str| {
        let command = format!("backend a.clif --plan out/a.plan --import {import} -o a.o");
        let ran = place.run(&command);
        assert!(!ran.err.contains("warning"), "{import}: {}", ran.err);
        ran.ok();
        place.bytes("a.o")
    };
    let direct = object("b=1.clif");
    fs::copy(place.path("b=1.clif"), place.path("c=2.clif")).unwrap();
    assert_eq!(object("b=1.clif=c=2.clif"), direct);
}

#[test]
fn options_of_thin_are_those_of_every_backend() {
    let place = Workplace::with(&[("a.clif", "function %f() {\nblock0:\n return\n}\n")]);
    place.run("summarize a.clif").ok();
    place
        .run("thin a.sum -o out --policy small --no-promote-slots --target aarch64 --tool T")
        .ok();
    let ninja = place.read("out/build.ninja");
    for option in ["--policy=small", "--no-promote-slots", "--target=aarch64"] {
        assert!(ninja.contains(option), "{ninja}");
    }
    let jobs: serde_json::Value = serde_json::from_str(&place.read("out/jobs.json")).unwrap();
    assert_eq!(jobs["common"]["args"], serde_json::json!(["T"]));
    place.run("thin a.sum -o out --profile p.json").misused();
}

#[test]
fn a_missing_import_is_reported_and_the_object_is_made() {
    let place = prepared();
    let ran =
        place.run("backend s3.clif --plan out/s3.plan --import s0.clif -o out/s3.o --depfile d");
    assert!(ran.err.contains("s4.clif was not given"), "{}", ran.err);
    ran.ok();
    let object = place.bytes("out/s3.o");
    // With another version of the import, and the same plan.
    place.write(
        "s4.clif",
        &shard(4).replace("iconst.i64 52", "iconst.i64 53"),
    );
    let command = "backend s3.clif --plan out/s3.plan --import s0.clif --import s4.clif -o out/s3.o --depfile d";
    let ran = place.run(command);
    assert!(ran.err.contains("has another version of it"), "{}", ran.err);
    ran.ok();
    assert_eq!(place.bytes("out/s3.o"), object);
    let rule = place.read("d");
    assert!(
        rule.starts_with("out/s3.o:") && rule.contains("s4.clif"),
        "{rule}"
    );
    assert!(!rule.contains("s0.clif"), "{rule}");
}

#[test]
fn functions_in_binary_form_give_the_same_objects_as_text() {
    let place = prepared();
    let objects = |own: &str, imports: [&str; 2]| {
        let [zero, four] = imports;
        let command =
            format!("backend {own} --plan out/s3.plan --import {zero} --import {four} -o out/s3.o");
        let ran = place.run(&command);
        assert!(!ran.err.contains("warning"), "{}", ran.err);
        ran.ok();
        place.bytes("out/s3.o")
    };
    let text = objects("s3.clif", ["s0.clif", "s4.clif"]);
    assert_eq!(objects("s3.clif", ["s0.clif=out/s0.fns", "s4.clif"]), text);
    // The object has the name of the file.
    fs::copy(place.path("out/s3.fns"), place.path("s3.clif")).unwrap();
    let binary = ["s0.clif=out/s0.fns", "s4.clif=out/s4.fns"];
    assert_eq!(objects("s3.clif", binary), text);

    let ninja = place.read("out/build.ninja");
    assert!(ninja.contains("--import s4.clif=out/s4.fns"), "{ninja}");
    let functions = place.bytes("out/s4.fns");
    fs::write(place.path("out/s4.fns"), &functions[..functions.len() / 3]).unwrap();
    place.write("out/s3.o", "old");
    let command = "backend out/s3.fns --plan out/s3.plan --import s4.clif=out/s4.fns -o out/s3.o";
    let error = place.run(command).failed();
    assert!(
        error.contains("out/s4.fns: the functions are damaged"),
        "{error}"
    );
    assert_eq!(place.read("out/s3.o"), "old");
    fs::remove_file(place.path("out/s4.fns")).unwrap();
    let ran = place.run(command);
    assert!(ran.err.contains("s4.clif was not given"), "{}", ran.err);
    ran.ok();
}

#[test]
fn damaged_files_are_refused_and_leave_the_outputs_as_they_were() {
    let place = prepared();
    place.write("out/s3.o", "old");
    let plan = place.read("out/s3.plan");
    place.write("out/s3.plan", &plan[..plan.len() / 2]);
    let error = place
        .run("backend s3.clif --plan out/s3.plan -o out/s3.o")
        .failed();
    assert!(error.contains("out/s3.plan:"), "{error}");
    place.write(
        "out/s3.plan",
        "clif-inline shard 1\nshard \"s3.clif\"\nlocal helper x\n",
    );
    let error = place
        .run("backend s3.clif --plan out/s3.plan -o out/s3.o")
        .failed();
    assert!(error.contains("out/s3.plan:3: "), "{error}");
    assert_eq!(place.read("out/s3.o"), "old");

    let mut bytes = place.bytes("out/s3.sum");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place.path("out/s3.sum"), bytes).unwrap();
    let error = place.run("thin out/s3.sum out/s4.sum -o out").failed();
    assert!(
        error.contains("out/s3.sum: the summary is damaged"),
        "{error}"
    );
    assert_eq!(
        place.read("out/s4.plan").lines().next(),
        Some("clif-inline shard 1")
    );
}

#[test]
fn a_summary_is_shown_as_text() {
    let place = Workplace::with(&[("a.clif", &shard(1))]);
    let direct = place.run("summarize a.clif --text --export get_1").ok();
    assert!(
        direct.contains("function %work_1(i64) -> i64 system_v"),
        "{direct}"
    );
    assert!(direct.contains("call %get_2(_), in 1 loops"), "{direct}");
    place.run("summarize a.clif --export get_1").ok();
    assert_eq!(place.run("summarize a.sum --text").ok(), direct);
    let error = place.run("summarize a.clif --once nothing").failed();
    assert!(error.contains("nothing"), "{error}");
}

/// Only the names of files differ, which are not those of shards.
#[test]
fn the_object_is_the_same_from_clif_and_from_functions_in_binary_form() {
    let place = Workplace::with(&[("s.clif", &shard(1))]);
    place.run("summarize s.clif -o s.sum --bodies s.fns").ok();
    place.run("thin s.sum -o .").ok();
    place.run("backend s.clif --plan s.plan -o text.o").ok();
    place.run("backend s.fns --plan s.plan -o binary.o").ok();
    assert_eq!(place.bytes("text.o"), place.bytes("binary.o"));
}

#[test]
fn errors_about_shards_name_files_and_options() {
    let place = Workplace::with(&[("s1.clif", &shard(1)), ("s2.clif", &shard(2))]);
    place.run("summarize s1.clif").ok();
    place.run("summarize s2.clif").ok();
    place.run("summarize s1.clif -o again.sum").ok();
    let error = place.run("thin s1.sum again.sum -o out").failed();
    let expected = "error: s1.sum and again.sum are of one shard, s1.clif\n";
    assert_eq!(error, expected);
    let error = place.run("thin s1.sum s2.sum -o out").failed();
    let expected = "error: %helper is defined in s1.clif and again in s2.clif; `summarize --export` \
                    names functions that other shards may call, and `--once` those that several \
                    may define\n";
    assert_eq!(error, expected);

    place
        .run("summarize s1.clif --export get_1 --export work_1")
        .ok();
    place
        .run("summarize s2.clif --export get_2 --export work_2")
        .ok();
    place.run("thin s1.sum s2.sum -o out").ok();
    let backend = "backend s1.clif --plan out/s1.plan -o s1.o --import s2.clif=";
    let ran = place.run(&format!("{backend}missing.clif"));
    assert!(
        ran.err.contains("warning: missing.clif: No such file"),
        "{ran:?}"
    );
    assert!(ran.err.contains("%get_2: s2.clif was not given"), "{ran:?}");
    ran.ok();
    let error = place.run(&format!("{backend}s2.sum")).failed();
    assert!(
        error.starts_with("error: s2.sum: this is the summary of a shard"),
        "{error}"
    );
}

#[test]
fn files_of_others_are_not_replaced_by_build_files() {
    let place = Workplace::with(&[("s1.clif", &shard(1))]);
    place.run("summarize s1.clif").ok();
    for file in ["build.ninja", "jobs.json", "shards.bzl", "s1.plan"] {
        let own = "rule cc\n  command = cc $in -o $out\n";
        place.write(file, own);
        let error = place.run("thin s1.sum -o .").failed();
        let expected = format!(
            "error: ./{file}: `clif-inline thin` has not made this file, and would replace it\n"
        );
        assert_eq!(error, expected);
        assert_eq!(place.read(file), own);
        fs::remove_file(place.path(file)).unwrap();
        place.run("thin s1.sum -o .").ok();
        place.run("thin s1.sum -o . --policy never").ok();
    }
}
