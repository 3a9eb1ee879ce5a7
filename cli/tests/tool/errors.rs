//! Errors, and outputs that cannot be written.

use crate::support::{COUNTED, UNVERIFIABLE, Workplace, command, many_functions};
use std::fs;

#[test]
fn errors_name_the_file_and_the_line() {
    let twice = format!("{COUNTED}\nfunction %double() {{\nblock0:\n    return\n}}\n");
    let place = Workplace::with(&[
        ("good.clif", COUNTED),
        ("syntax.clif", "function %f() {\nblock0:\n    frob\n}\n"),
        ("twice.clif", &twice),
        ("empty.clif", ""),
        ("bad.clif", UNVERIFIABLE),
    ]);
    fs::create_dir(place.path("nothing")).unwrap();
    fs::write(place.path("binary.clif"), [0xff, 0xfe, 0x00]).unwrap();
    for (input, beginning) in [
        ("missing.clif", "error: missing.clif: "),
        ("syntax.clif", "error: syntax.clif:3: "),
        (
            "twice.clif",
            "error: twice.clif:25: function %double is defined twice; it is also at twice.clif:12",
        ),
        (
            "good.clif good.clif",
            "error: good.clif:1: function %main is defined twice",
        ),
        ("empty.clif", "error: empty.clif:1: "),
        ("nothing", "error: nothing: no .clif file in the folder"),
        ("binary.clif", "error: binary.clif:1: the text is not UTF-8"),
        (
            "bad.clif",
            "error: bad.clif:2: function %bad does not verify: ",
        ),
        ("good.clif --always nope", "error: --always %nope: "),
        ("good.clif --never nope", "error: --never %nope: "),
        ("good.clif --cold u0:7", "error: --cold u0:7: "),
        (
            "good.clif --export main --export nope",
            "error: --export %nope: ",
        ),
        (
            "good.clif --interposable nope",
            "error: --interposable %nope: ",
        ),
        ("good.clif --target pdp11", "error: unknown target `pdp11`"),
        (
            "good.clif --set wings=2",
            "error: target `host` has no setting `wings`",
        ),
        (
            "good.clif --remarks missing/r.yaml",
            "error: missing/r.yaml: ",
        ),
    ] {
        for command in ["opt", "compile", "graph"] {
            let error = place.run(&format!("{command} -o out {input}")).failed();
            assert!(error.starts_with(beginning), "{command} {input}: {error}");
            assert!(!place.path("out").exists(), "{command} {input}");
        }
    }
    let error = place.run_with("opt -", "function").failed();
    assert!(error.starts_with("error: <stdin>:1: "), "{error}");
}

#[test]
fn outputs_that_cannot_be_written_are_errors_too() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    fs::create_dir(place.path("folder")).unwrap();
    for command in ["opt", "compile", "graph"] {
        let error = place
            .run(&format!("{command} m.clif -o missing/out"))
            .failed();
        assert!(error.starts_with("error: missing/out: "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let error = place.run(&format!("{command} m.clif -o folder")).failed();
        assert!(error.starts_with("error: folder: "), "{error}");
    }
}

#[test]
fn functions_that_no_target_can_compile_are_named_with_their_place() {
    let module = "function %fine() {\nblock0:\n    return\n}\n\
                  function %wide(i8x16, i8x16) -> i8x16 {\nblock0(v0: i8x16, v1: i8x16):\n    \
                  v2 = x86_pmaddubsw v0, v1\n    v3 = bitcast.i8x16 little v2\n    return v3\n}\n";
    let place = Workplace::with(&[("m.clif", module)]);
    let error = place.run("compile m.clif --target aarch64").failed();
    assert!(error.starts_with("error: m.clif:5: %wide: "), "{error}");
    assert_eq!(place.files(), ["m.clif"]);
}

#[test]
fn a_failing_run_leaves_the_old_output_and_nothing_else() {
    let place = Workplace::with(&[("good.clif", COUNTED), ("bad.clif", UNVERIFIABLE)]);
    place.write("out", "old");
    for command in ["opt", "compile", "graph"] {
        place.run(&format!("{command} bad.clif -o out")).failed();
        assert_eq!(place.read("out"), "old");
        assert_eq!(place.files(), ["bad.clif", "good.clif", "out"]);
    }
    // An error while writing: a name without a text in CLIF cannot be read, so it takes a second
    // output that fails.
    place
        .run("opt good.clif -o out --remarks missing/r.yaml")
        .failed();
    assert_eq!(place.read("out"), "old");
    place.run("opt good.clif -o out").ok();
    assert!(place.read("out").starts_with("function %main"));
    assert_eq!(place.files(), ["bad.clif", "good.clif", "out"]);
}

#[cfg(unix)]
#[test]
fn replaced_files_keep_their_permissions_and_links_stay_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Workplace::with(&[("m.clif", COUNTED), ("real", "old")]);
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(place.path("real"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real", place.path("link")).unwrap();
    place.run("opt m.clif -o link").ok();
    assert!(
        fs::symlink_metadata(place.path("link"))
            .unwrap()
            .is_symlink()
    );
    assert!(place.read("real").starts_with("function %main"));
    assert_eq!(mode("real"), 0o640);

    // A new file gets the usual permissions.
    place.run("opt m.clif -o new").ok();
    place.write("usual", "");
    assert_eq!(mode("new"), mode("usual"));
}

#[cfg(target_os = "linux")]
#[test]
fn special_files_are_written_to_and_full_ones_are_errors() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let text = place.run("opt m.clif").ok();
    assert_eq!(place.run("opt m.clif -o /dev/stdout").ok(), text);
    assert_eq!(place.run("opt m.clif -o /dev/null").ok(), "");
    let error = place.run("opt m.clif -o /dev/full").failed();
    assert!(error.starts_with("error: /dev/full: "), "{error}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_reason_to_complain() {
    let place = Workplace::with(&[("m.clif", &many_functions(2000))]);
    let mut child = command(&place.path(""))
        .args(["opt", "m.clif", "--policy", "never"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    for arguments in [
        "",
        "opt",
        "frob m.clif",
        "opt m.clif --policy sometimes",
        "opt m.clif --always main --never main",
        "opt m.clif --always u0:x",
        "opt m.clif --stats=xml",
        "opt m.clif --threads some",
        "opt m.clif --threads 1000000",
        "opt m.clif --remarks - --plan-out -",
        "opt m.clif --remarks out --plan-out out",
        "opt m.clif --quiet",
        "run m.clif --target x64",
    ] {
        place.run(arguments).misused();
    }
}

/// They are values out of range, and not options.
#[test]
fn negative_numbers_are_refused_as_values() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    for option in [
        "--threads",
        "--small-callee",
        "--small-sum",
        "--max-depth",
        "--max-frame-bytes",
        "--max-recursive-frame-bytes",
        "--max-function-insts",
        "--max-function-growth",
        "--max-program-growth",
    ] {
        let error = place.run(&format!("opt m.clif {option} -1")).misused();
        let expected = format!("error: invalid value '-1' for '{option} <");
        assert!(error.starts_with(&expected), "{error}");
    }
    for arguments in [
        "explain m.clif --depth -1",
        "graph m.clif --around main --depth -1",
    ] {
        let error = place.run(arguments).misused();
        assert!(
            error.starts_with("error: invalid value '-1' for '--depth"),
            "{error}"
        );
    }
}

#[test]
fn names_that_are_nearly_right_are_told() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    for (arguments, meant) in [
        ("opt m.clif --always duoble", "%double"),
        ("opt m.clif --export %mian", "%main"),
        ("explain m.clif --function agian", "%again"),
        ("graph m.clif --around doubles", "%double"),
    ] {
        let error = place.run(arguments).failed();
        let ending = format!("no input defines this function; did you mean {meant}?\n");
        assert!(error.ends_with(&ending), "{error}");
    }
    // Nothing is like it, or all is: a number that is wrong by one is another function.
    for name in ["nobody", "u0:1"] {
        let error = place.run(&format!("opt m.clif --never {name}")).failed();
        assert!(
            error.ends_with("no input defines this function\n"),
            "{error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn an_output_of_another_kind_never_replaces_an_input() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    std::os::unix::fs::symlink("m.clif", place.path("link")).unwrap();
    for arguments in [
        "compile m.clif -o m.clif",
        "compile m.clif -o ./m.clif",
        "compile m.clif -o link",
        "report m.clif -o m.clif",
        "graph m.clif -o m.clif",
        "summarize m.clif -o m.clif",
        "summarize m.clif -o out --bodies m.clif",
        "opt m.clif -o out --remarks m.clif",
        "explain m.clif --plan-out m.clif",
    ] {
        let error = place.run(arguments).failed();
        assert!(
            error.ends_with(": it is an input, which the output would replace\n"),
            "{arguments}: {error}"
        );
        assert_eq!(fs::read_to_string(place.path("m.clif")).unwrap(), COUNTED);
        assert!(!place.path("out").exists(), "{arguments}");
    }
    place.run("opt m.clif -o m.clif").ok();
}

const EXECUTED: &str = "\
function %one() -> i32 {
block0:
    v0 = iconst.i32 1
    return v0
}

function %two() -> i32 {
    fn0 = %one() -> i32
block0:
    v0 = call fn0()
    v1 = iadd v0, v0
    return v1
}
; run: %two() == 2
";

#[test]
fn no_output_replaces_a_file_that_is_read() {
    let place = Workplace::with(&[("m.clif", EXECUTED), ("b.clif", COUNTED)]);
    place.run("opt m.clif -o out --plan-out m.plan").ok();
    place.run("run m.clif --profile-out m.profile").ok();
    place.run("summarize m.clif").ok();
    place.run("summarize b.clif").ok();
    place.run("thin m.sum b.sum -o shards").ok();
    fs::create_dir(place.path("folder")).unwrap();
    fs::copy(place.path("m.clif"), place.path("folder/m.clif")).unwrap();
    for (arguments, spared) in [
        ("run m.clif --profile-out m.clif", "m.clif"),
        ("run m.clif --plan-out m.clif", "m.clif"),
        ("run m.clif --remarks m.clif", "m.clif"),
        ("run folder --profile-out folder/m.clif", "folder/m.clif"),
        ("compile folder -o folder/m.clif", "folder/m.clif"),
        ("opt m.clif -o m.plan --plan m.plan", "m.plan"),
        ("opt m.clif --remarks m.plan --plan m.plan", "m.plan"),
        (
            "compile m.clif -o m.profile --profile m.profile",
            "m.profile",
        ),
        (
            "explain m.clif --plan-out m.profile --profile m.profile",
            "m.profile",
        ),
        ("backend m.clif --plan shards/m.plan -o m.clif", "m.clif"),
        (
            "backend m.clif --plan shards/m.plan -o shards/m.plan",
            "shards/m.plan",
        ),
        (
            "backend m.clif --plan shards/m.plan --import b.clif -o b.clif",
            "b.clif",
        ),
        (
            "backend m.clif --plan shards/m.plan -o out --depfile m.clif",
            "m.clif",
        ),
        ("summarize m.clif -o out --depfile m.clif", "m.clif"),
        (
            "summarize m.clif -o m.profile --profile m.profile",
            "m.profile",
        ),
        ("bisect m.clif --plan m.plan -o m.clif -- false", "m.clif"),
        ("bisect m.clif --plan m.plan -o m.plan -- false", "m.plan"),
    ] {
        let before = fs::read(place.path(spared)).unwrap();
        let error = place.run(arguments).failed();
        let expected = format!("error: {spared}: it is an input, which the output would replace\n");
        assert_eq!(error, expected, "{arguments}");
        assert_eq!(fs::read(place.path(spared)).unwrap(), before, "{arguments}");
    }
    // These are of the same kind.
    place
        .run("opt m.clif -o out --plan m.plan --plan-out m.plan")
        .ok();
    place
        .run("run m.clif --profile m.profile --profile-out m.profile")
        .ok();
}

#[test]
fn two_outputs_are_never_one_file() {
    let place = Workplace::with(&[("m.clif", EXECUTED)]);
    place.run("opt m.clif -o whatever --plan-out m.plan").ok();
    place.run("summarize m.clif").ok();
    place.run("thin m.sum -o shards").ok();
    for (arguments, options) in [
        (
            "compile m.clif -o out --plan-out out",
            "--output and --plan-out",
        ),
        (
            "compile m.clif -o out --remarks ./out",
            "--output and --remarks",
        ),
        ("compile m.clif --remarks m.o", "--output and --remarks"),
        ("opt m.clif --remarks -", "--output and --remarks"),
        ("graph m.clif --plan-out -", "--output and --plan-out"),
        (
            "report m.clif -o out --remarks out",
            "--output and --remarks",
        ),
        (
            "explain m.clif --remarks out --plan-out ./out",
            "--remarks and --plan-out",
        ),
        (
            "run m.clif --profile-out out --remarks out",
            "--profile-out and --remarks",
        ),
        (
            "run m.clif --profile-out out --plan-out out",
            "--profile-out and --plan-out",
        ),
        (
            "summarize m.clif -o out --bodies out",
            "--output and --bodies",
        ),
        (
            "summarize m.clif -o out --depfile out",
            "--output and --depfile",
        ),
        (
            "summarize m.clif --bodies out --depfile out",
            "--bodies and --depfile",
        ),
        (
            "backend m.clif --plan shards/m.plan -o out --depfile out",
            "--output and --depfile",
        ),
    ] {
        let ran = place.run(arguments);
        let expected = format!("error: {options} need two outputs\n");
        assert!(ran.err.starts_with(&expected), "{arguments}: {ran:?}");
        assert!(!place.path("out").exists(), "{arguments}");
        ran.misused();
    }
    place
        .run("compile m.clif -o /dev/null --plan-out /dev/null")
        .ok();
}

#[test]
fn files_of_other_kinds_are_named() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.run("summarize m.clif --bodies m.fns").ok();
    for (arguments, error) in [
        (
            "opt m.sum",
            "m.sum: this is the summary of a shard, which `clif-inline thin` reads, and \
             `clif-inline summarize --text` prints",
        ),
        (
            "summarize m.fns -o out",
            "m.fns: these are the functions of a shard, which only `clif-inline backend` reads",
        ),
        (
            "opt m.clif --profile m.clif",
            "m.clif:1: this is not a profile: expected ident at line 1 column 2",
        ),
    ] {
        assert_eq!(place.run(arguments).failed(), format!("error: {error}\n"));
    }
}

/// Editors of Windows write one at the start of a file.
#[test]
fn a_byte_order_mark_is_not_part_of_the_text() {
    let marked = format!("\u{feff}{COUNTED}");
    let place = Workplace::with(&[("marked.clif", &marked), ("plain.clif", COUNTED)]);
    let plain = place.run("opt plain.clif").ok();
    assert_eq!(place.run("opt marked.clif").ok(), plain);
    assert_eq!(place.run_with("opt -", &marked).ok(), plain);
    let test = "\u{feff}test run\nfunction %f() -> i32 {\nblock0:\n    v0 = iconst.i32 1\n    \
                return v0\n}\n; run: %f() == 1\n";
    let ran = place.run_with("run -", test).ok();
    assert!(ran.starts_with("1 passed"), "{ran}");
}

#[test]
fn strange_text_is_an_error_and_never_a_panic() {
    let place = Workplace::new();
    let cut = |at: usize| COUNTED.get(..at).unwrap_or("").to_owned();
    let mut texts: Vec<String> = (0..COUNTED.len()).step_by(7).map(cut).collect();
    texts.extend([
        "\0".to_owned(),
        "function %f() { block0: v0 = iconst.i128 1 return }".to_owned(),
        "function u0:0(i64 sarg(0)) { block0(v0: i64): return }".to_owned(),
        "function %f() {\n    fn0 = %f(i32)\nblock0:\n    call fn0()\n    return\n}".to_owned(),
        "test run\nset opt_level=best\nfunction %f() { block0: return }".to_owned(),
        "function %f() {\nblock0:\n    jump block9\n}".to_owned(),
    ]);
    for text in texts {
        for flags in ["", "--no-verify --policy always"] {
            let ran = place.run_with(&format!("opt - {flags}"), &text);
            assert!(ran.status <= 1, "{text}: {ran:?}");
            assert_eq!(ran.status == 1, ran.err.starts_with("error: "), "{text}");
        }
    }
}
