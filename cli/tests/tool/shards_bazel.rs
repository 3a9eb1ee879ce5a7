//! The rules of `shards.bzl`, run by Bazel, which says how many jobs it ran.
//!
//! Without Bazel, the tests are passed over, and so they are with its versions since 7: these read
//! modules instead of WORKSPACE, which come from the network.

use super::shards::{SHARDS, expected, expected_with, has, importers_of, prepared, shard};
use super::support::{Workplace, command};
use object::read::{Object as _, ObjectSymbol as _};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The link is a command of its own, as Bazel's rules for C need more than Bazel.
pub(super) const BUILD: &str = r#"
load(":out/shards.bzl", "clif_shards")

clif_shards(name = "objects", tool = "//tools:clif-inline")

genrule(
    name = "link",
    srcs = ["main.c", ":objects"],
    outs = ["program"],
    cmd = "cc $(SRCS) -o $@",
)
"#;

/// Bazel with a folder of its own for all that it keeps.
pub(super) struct Bazel(TempDir);

/// A build that succeeded.
pub(super) struct Built {
    /// The processes by the last lines of Bazel, without the part of Bazel itself and cached
    /// results.
    pub(super) processes: usize,
    /// The objects by the log of its actions, as paths from its output folder.
    pub(super) objects: BTreeSet<String>,
    /// Bazel's messages.
    pub(super) errors: String,
}

impl Built {
    /// Returns the warnings of the tool.
    fn warnings(&self) -> Vec<&str> {
        let lines = self.errors.lines();
        lines.filter(|line| line.starts_with("warning: ")).collect()
    }
}

impl Bazel {
    /// Returns `None` where no usable one is installed.
    pub(super) fn installed() -> Option<Self> {
        let Ok(output) = Command::new("bazel").arg("--version").output() else {
            eprintln!("passed over: bazel is not installed");
            return None;
        };
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.trim();
        // Debian's, which is a version 4, says that it has none.
        let usable = ["no_version", "4.", "5.", "6."]
            .iter()
            .any(|usable| version.starts_with(&format!("bazel {usable}")));
        if !usable {
            eprintln!("passed over: not a version from 4 to 6: {version}");
        }
        usable.then(|| Self(tempfile::tempdir().unwrap()))
    }

    /// Makes a workspace of a folder with a program in shards.
    fn prepare(place: &Workplace) {
        place.write("WORKSPACE", "");
        place.write("tools/BUILD", "exports_files([\"clif-inline\"])\n");
        let tool = Path::new(env!("CARGO_BIN_EXE_clif-inline"));
        symlink(tool, place.path("tools/clif-inline")).unwrap();
    }

    /// Returns the command that builds a target, with more options.
    pub(super) fn command(&self, place: &Workplace, target: &str, options: &[&str]) -> Command {
        let root = self.0.path().join("root");
        let mut command = Command::new("bazel");
        // With --batch there is no server that would stay.
        command
            .current_dir(place.path(""))
            .args(["--batch", "--nohome_rc", "--noworkspace_rc"])
            .arg(format!("--output_user_root={}", root.display()))
            .args(["build", "--color=no", "--curses=no", "--nosandbox_debug"])
            .arg(format!(
                "--execution_log_json_file={}",
                self.log().display()
            ))
            .args(options)
            .arg(target);
        command
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log.json")
    }

    /// Returns the result of a build by Bazel's messages at its end.
    pub(super) fn built(&self, errors: String) -> Built {
        Built {
            processes: processes(&errors),
            objects: objects(&fs::read_to_string(self.log()).unwrap()),
            errors,
        }
    }

    pub(super) fn build(&self, place: &Workplace, target: &str, options: &[&str]) -> Built {
        let output = self.command(place, target, options).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        self.built(errors)
    }
}

/// Returns the sum of a line like `INFO: 26 processes: 1 internal, 25 linux-sandbox.`
fn processes(errors: &str) -> usize {
    let count = errors.lines().find_map(|line| {
        let (before, kinds) = line.split_once(": ")?.1.split_once(": ")?;
        let is_count = before.ends_with(" process") || before.ends_with(" processes");
        is_count.then_some(kinds.trim_end_matches('.'))
    });
    let kinds = count.unwrap_or_else(|| panic!("no count:\n{errors}"));
    kinds
        .split(", ")
        .filter_map(|kind| kind.split_once(' '))
        .filter(|(_, kind)| *kind != "internal" && !kind.ends_with("cache hit"))
        .map(|(count, _)| count.parse::<usize>().unwrap())
        .sum()
}

/// Returns the outputs of the backend's jobs in a log of Bazel.
fn objects(log: &str) -> BTreeSet<String> {
    let jobs = serde_json::Deserializer::from_str(log).into_iter::<serde_json::Value>();
    let jobs = jobs.map(Result::unwrap);
    jobs.filter(|job| job["mnemonic"] == "ClifBackend")
        .map(|job| {
            let [output] = &job["listedOutputs"].as_array().unwrap()[..] else {
                panic!("{job}");
            };
            let output = output.as_str().unwrap();
            output.split_once("/bin/").unwrap().1.to_owned()
        })
        .collect()
}

pub(super) fn result(place: &Workplace) -> i64 {
    let run = Command::new(place.path("bazel-bin/program"))
        .output()
        .unwrap();
    assert!(run.status.success());
    let printed = String::from_utf8(run.stdout).unwrap();
    printed.trim().parse().unwrap()
}

/// Edits and summarizes one shard, and returns the program's result then.
pub(super) fn edited(place: &Workplace, mask: i64) -> i64 {
    let edited = shard(5).replace("iconst.i64 65", &format!("iconst.i64 {mask}"));
    place.write("s5.clif", &edited);
    let command =
        "summarize s5.clif -o out/s5.sum --bodies out/s5.fns --export get_5 --export work_5";
    place.run(command).ok();
    expected_with(|i| if i == 5 { mask } else { 13 * i as i64 })
}

pub(super) fn thin(place: &Workplace) {
    let summaries: Vec<String> = (0..SHARDS).map(|i| format!("out/s{i}.sum")).collect();
    let thin = format!("thin {} -o out", summaries.join(" "));
    place.run(&thin).ok();
}

/// Compares the objects of Bazel with those of the same jobs run here.
pub(super) fn assert_same_objects(place: &Workplace) {
    let jobs: serde_json::Value = serde_json::from_str(&place.read("out/jobs.json")).unwrap();
    for job in jobs["jobs"].as_array().unwrap() {
        let words = job["args"].as_array().unwrap().iter();
        let words: Vec<_> = words.map(|word| word.as_str().unwrap()).collect();
        place.run(&words.join(" ")).ok();
        let object = job["outputs"][0].as_str().unwrap();
        let of_bazel = place.bytes(&format!("bazel-bin/{object}"));
        assert_eq!(of_bazel, place.bytes(object), "{object}");
    }
}

pub(super) fn named(shards: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    shards.into_iter().map(|i| format!("out/s{i}.o")).collect()
}

#[test]
fn bazel_builds_a_program_in_24_shards_and_only_the_files_that_an_edit_reaches() {
    if !cfg!(target_arch = "x86_64") || !has("cc") {
        return;
    }
    let Some(bazel) = Bazel::installed() else {
        return;
    };
    let place = prepared();
    Bazel::prepare(&place);
    place.write("BUILD", BUILD);
    let built = bazel.build(&place, "//:link", &[]);
    assert_eq!(built.objects, named(0..SHARDS), "{}", built.errors);
    // With the link.
    assert_eq!(built.processes, SHARDS + 1, "{}", built.errors);
    assert_eq!(built.warnings(), [""; 0]);
    assert_eq!(result(&place), expected());
    assert_same_objects(&place);

    let built = bazel.build(&place, "//:link", &[]);
    assert_eq!(built.processes, 0, "{}", built.errors);
    assert_eq!(built.objects, BTreeSet::new());

    let changed = edited(&place, 64);
    thin(&place);
    let importers = importers_of(&place, 5);
    assert_eq!(importers, BTreeSet::from([0, 4, 5, 14]));
    let built = bazel.build(&place, "//:link", &[]);
    assert_eq!(built.objects, named(importers.clone()), "{}", built.errors);
    assert_eq!(built.processes, importers.len() + 1, "{}", built.errors);
    assert_eq!(result(&place), changed);

    // Without new plans, calls stay calls.
    let changed = edited(&place, 63);
    let built = bazel.build(&place, "//:link", &[]);
    assert_eq!(built.objects, named(importers.clone()), "{}", built.errors);
    let warnings = built.warnings();
    let other_version = warnings
        .iter()
        .filter(|warning| warning.contains("s5.clif has another version of it"));
    assert!(other_version.count() >= 3, "{warnings:?}");
    assert_eq!(result(&place), changed);
    let calling = place.bytes("bazel-bin/out/s4.o");
    thin(&place);
    let built = bazel.build(&place, "//:link", &[]);
    // The shard itself is unchanged.
    let others = importers.into_iter().filter(|&i| i != 5);
    assert_eq!(built.objects, named(others), "{}", built.errors);
    assert_eq!(built.warnings(), [""; 0]);
    assert_eq!(result(&place), changed);
    assert_ne!(place.bytes("bazel-bin/out/s4.o"), calling);
}

#[test]
fn bazel_builds_shards_of_other_packages_with_unusual_names() {
    let Some(bazel) = Bazel::installed() else {
        return;
    };
    let function = |name: &str| {
        format!(
            "function %{name}(i64) -> i64 system_v {{
block0(v0: i64):
    v1 = iadd v0, v0
    return v1
}}
"
        )
    };
    let caller = "function %caller(i64) -> i64 system_v {
    fn0 = %near(i64) -> i64 system_v
    fn1 = %far(i64) -> i64 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}
";
    let near = "a=\u{e9} \"$'%s.clif";
    let place = Workplace::with(&[
        ("part/caller.clif", caller),
        (&format!("part/{near}"), &function("near")),
        ("made/far.txt", &function("far")),
        (
            "made/BUILD",
            r#"genrule(name = "far", srcs = ["far.txt"], outs = ["far.clif"], cmd = "cp $< $@",
                       visibility = ["//part:__pkg__"])"#,
        ),
        (
            "part/BUILD",
            r#"
load(":out/shards.bzl", "clif_shards")
clif_shards(
    name = "objects",
    tool = "//tools:clif-inline",
    labels = {"../made/far.clif": "//made:far.clif"},
    visibility = ["//visibility:public"],
)
"#,
        ),
    ]);
    Bazel::prepare(&place);
    fs::copy(place.path("made/far.txt"), place.path("made/far.clif")).unwrap();
    let part = place.path("part");
    let run = |arguments: &[&str]| {
        let mut command = command(&part);
        let output = command.args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    };
    run(&["summarize", "caller.clif", "-o", "1.sum"]);
    run(&["summarize", &format!("./{near}"), "-o", "2.sum"]);
    run(&["summarize", "../made/far.clif", "-o", "3.sum"]);
    // Paths in the folder may be absolute.
    let out = part.canonicalize().unwrap().join("out");
    let out = out.to_str().unwrap();
    run(&[
        "thin",
        "1.sum",
        "2.sum",
        "3.sum",
        "-o",
        out,
        "--policy=small",
    ]);
    // From here on it is made by a rule.
    fs::remove_file(place.path("made/far.clif")).unwrap();

    let built = bazel.build(&place, "//part:objects", &[]);
    assert_eq!(built.warnings(), [""; 0]);
    assert_eq!(built.objects.len(), 3, "{}", built.errors);
    // Both calls are gone.
    let caller = place.bytes("bazel-bin/part/out/caller.o");
    let caller = object::File::parse(&*caller).unwrap();
    let symbols = caller.symbols().filter_map(|symbol| symbol.name().ok());
    let symbols: Vec<&str> = symbols.filter(|name| !name.ends_with(".clif")).collect();
    assert_eq!(symbols, ["caller"]);
}
