//! The tool's `opt` and `compile`: inputs, outputs, flags and errors.
#![cfg(feature = "tool")]

mod tool_support;

use object::read::{Object as _, ObjectSymbol as _};
use std::fs;
use tool_support::{COUNTED, UNVERIFIABLE, Workplace, command};

/// `count` functions, of which each calls some before it.
fn many_functions(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let mut callees = vec![index / 3, index / 2, index.saturating_sub(1)];
        callees.retain(|&callee| callee < index);
        callees.dedup();
        text += &format!("function u0:{index}(i64) -> i64 {{\n");
        for callee in &callees {
            text += &format!("    fn{callee} = u0:{callee}(i64) -> i64\n");
        }
        text += "block0(v0: i64):\n    v1 = imul v0, v0\n";
        let mut last = 1;
        for callee in &callees {
            text += &format!("    v{} = call fn{callee}(v{last})\n", last + 1);
            last += 1;
        }
        text += &format!("    return v{last}\n}}\n");
    }
    text
}

#[test]
fn opt_writes_the_module_to_standard_output_or_to_a_file() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let text = place.run("opt m.clif").ok();
    let (main, _) = text.split_once("function %double").unwrap();
    assert!(main.contains("iadd v0, v0"), "{text}");
    // Of what was inlined not even the name is left.
    assert!(!main.contains("%double"), "{text}");
    assert!(main.contains("call fn0()"), "{text}");
    assert_eq!(place.run("opt m.clif -o out.clif").ok(), "");
    assert_eq!(place.read("out.clif"), text);
    assert_eq!(place.run("opt m.clif -o -").ok(), text);
    assert_eq!(place.files(), ["m.clif", "out.clif"]);
}

#[test]
fn what_opt_writes_goes_in_again_and_may_replace_its_input() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let once = place.run("opt m.clif").ok();
    place.run("opt m.clif -o m.clif").ok();
    assert_eq!(place.read("m.clif"), once);
    place.run("opt m.clif -o twice.clif").ok();
}

#[test]
fn standard_input_and_folders_are_inputs() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let expected = place.run("opt m.clif").ok();
    assert_eq!(place.run_with("opt -", COUNTED).ok(), expected);

    let (main, rest) = COUNTED.split_once("\nfunction %double").unwrap();
    place.write("parts/1.clif", main);
    place.write("parts/2.clif", &format!("function %double{rest}"));
    place.write("parts/readme.txt", "no CLIF");
    assert_eq!(place.run("opt parts").ok(), expected);
    assert_eq!(place.run("opt parts/1.clif parts/2.clif").ok(), expected);
}

#[test]
fn compile_writes_an_object_file_with_symbols() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let ran = place.run("compile m.clif -o named.o --target x64 --export main");
    assert!(ran.err.contains("code bytes"), "{}", ran.err);
    assert_eq!(ran.ok(), "");
    let bytes = place.bytes("named.o");
    let file = object::File::parse(&*bytes).unwrap();
    assert_eq!(file.architecture(), object::Architecture::X86_64);
    let symbol = |name: &str| file.symbols().find(|symbol| symbol.name() == Ok(name));
    assert!(symbol("main").unwrap().is_global());
    assert!(symbol("again").unwrap().is_local());
    assert!(symbol("ext").unwrap().is_undefined());
    assert!(symbol("double").is_none(), "nothing calls it any more");
}

#[test]
fn compile_names_the_object_file_after_its_only_input() {
    let place = Workplace::with(&[("a.clif", COUNTED), ("b.clif", "")]);
    place.run("compile a.clif --quiet").ok();
    assert_eq!(place.files(), ["a.clif", "a.o", "b.clif"]);
    assert!(place.run("compile a.clif b.clif").misused().contains("-o"));
    let error = place.run_with("compile -", COUNTED).misused();
    assert!(error.contains("-o"), "{error}");
    assert_eq!(place.run("compile b.o").misused().lines().count(), 2);
}

#[test]
fn compile_can_be_quiet_and_write_to_standard_output() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let ran = place.run("compile m.clif -o - --quiet");
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(object::File::parse(&*ran.out).is_ok());
}

#[test]
fn every_architecture_is_a_target() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    use object::Architecture::{Aarch64, Riscv64, S390x, X86_64};
    for (target, architecture) in [
        ("x64", X86_64),
        ("aarch64", Aarch64),
        ("riscv64", Riscv64),
        ("s390x", S390x),
        ("aarch64-unknown-linux-gnu", Aarch64),
    ] {
        let arguments = format!("compile m.clif -o m.o --target {target} --policy always");
        place.run(&arguments).ok();
        let bytes = place.bytes("m.o");
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.architecture(), architecture);
    }
}

#[test]
fn optimization_and_settings_reach_the_code() {
    let foldable = "function %f() -> i64 {\nblock0:\n    v0 = iconst.i64 1\n    \
                    v1 = iconst.i64 2\n    v2 = iadd v0, v1\n    v3 = imul v2, v1\n    \
                    return v3\n}\n";
    let place = Workplace::with(&[("m.clif", foldable)]);
    let size = |flags: &str| {
        let arguments = format!("compile m.clif -o m.o --stats=json {flags}");
        place.run(&arguments).json()["code_bytes"].as_u64().unwrap()
    };
    let best = size("--target x64");
    assert!(size("--target x64 --opt-level none") > best);
    assert_eq!(size("--target x64 --opt-level speed_and_size"), best);
    let frameless = "--target aarch64 --set preserve_frame_pointers=false";
    assert!(size(frameless) < size("--target aarch64"));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let place = Workplace::with(&[("m.clif", &many_functions(80))]);
    let outputs = |threads: usize| {
        let flags = format!("--policy small --threads {threads} --remarks r.yaml");
        let text = place.run(&format!("opt m.clif {flags}")).ok();
        let remarks = place.read("r.yaml");
        let arguments = format!("compile m.clif -o m.o --target x64 --quiet {flags}");
        place.run(&arguments).ok();
        let drawing = place.run(&format!("graph m.clif {flags}")).ok();
        place.run(&format!("graph m.clif -o g.svg {flags}")).ok();
        (
            text,
            remarks,
            place.bytes("m.o"),
            drawing,
            place.read("g.svg"),
        )
    };
    let one = outputs(1);
    assert!(one.1.matches("!Passed").count() > 80);
    assert!(outputs(2) == one);
    assert!(outputs(8) == one);
}

/// `%f` calls `%g`, which has 22 instructions and does not fold, twice.
fn two_calls() -> String {
    let mut body = String::new();
    for value in 1..=20 {
        body += &format!("    v{} = imul v{}, v{}\n", value + 1, value, value);
    }
    format!(
        "function %f(i64) -> i64 {{\n    fn0 = %g(i64) -> i64\nblock0(v0: i64):\n    \
         v1 = call fn0(v0)\n    v2 = call fn0(v1)\n    return v2\n}}\n\
         function %g(i64) -> i64 {{\nblock0(v0: i64):\n    v1 = iadd v0, v0\n{body}    \
         return v21\n}}\n"
    )
}

#[test]
fn each_flag_about_decisions_does_what_it_says() {
    let place = Workplace::with(&[("m.clif", &two_calls())]);
    let none = serde_json::json!({});
    let kept = |reason: &str, count: u64| serde_json::json!({ reason: count });
    for (flags, inlined, refused) in [
        ("", 2, &none),
        ("--policy cost", 2, &none),
        ("--policy never", 0, &kept("policy", 2)),
        ("--policy never --always g", 2, &none),
        ("--policy never --always %g", 2, &none),
        ("--policy always", 2, &none),
        ("--policy always --never g", 0, &kept("attribute", 2)),
        ("--policy small", 2, &none),
        ("--policy small --small-callee 22", 2, &none),
        ("--policy small --small-callee 21", 0, &kept("policy", 2)),
        ("--policy small --small-sum 46", 1, &kept("policy", 1)),
        ("--policy small --small-sum 47", 2, &none),
        ("--cost-threshold 0", 0, &kept("policy", 2)),
        ("--cost-threshold -5", 0, &kept("policy", 2)),
        ("--cold g", 0, &kept("policy", 2)),
        ("--interposable g", 0, &kept("interposable", 2)),
        (
            "--policy always --max-function-insts 25",
            1,
            &kept("function-size", 1),
        ),
        (
            "--policy always --max-function-growth 8",
            1,
            &kept("program-growth", 1),
        ),
        (
            "--policy always --max-function-growth 0",
            0,
            &kept("program-growth", 2),
        ),
        (
            "--policy always --max-program-growth 0",
            0,
            &kept("program-growth", 2),
        ),
        ("--policy always --max-depth 0", 0, &kept("depth", 2)),
        ("--policy always --max-depth 1", 2, &none),
    ] {
        let arguments = format!("opt m.clif -o out.clif --stats=json {flags}");
        let stats = place.run(&arguments).json();
        assert_eq!(stats["inlined"], inlined, "{flags}: {stats}");
        assert_eq!(&stats["refused"], refused, "{flags}: {stats}");
    }
}

#[test]
fn frames_can_be_looked_at_where_that_is_allowed() {
    for (opcode, flag) in [
        ("get_stack_pointer", "--allow-stack-pointer"),
        ("get_frame_pointer", "--allow-frame-pointer"),
        ("get_return_address", "--allow-return-address"),
    ] {
        let module = format!(
            "function %f() -> i64 {{\n    fn0 = %g() -> i64\nblock0:\n    v0 = call fn0()\n    \
             return v0\n}}\nfunction %g() -> i64 {{\nblock0:\n    v0 = {opcode}.i64\n    \
             return v0\n}}\n"
        );
        let place = Workplace::with(&[("m.clif", &module)]);
        let stats = |flag: &str| {
            let arguments = format!("opt m.clif -o out.clif --stats=json {flag}");
            place.run(&arguments).json()
        };
        assert_eq!(stats("")["refused"]["frame-introspection"], 1, "{opcode}");
        assert_eq!(stats(flag)["inlined"], 1, "{opcode}");
    }
}

/// Checking changes nothing of what comes out. That it finds what is wrong is
/// shown by `check_faults`.
#[test]
fn results_can_be_checked() {
    for module in ["lists", "checked_debug", "bytecode", "mandelbrot"] {
        let path = format!(
            "{}/examples/modules/{module}.clif",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(path).unwrap();
        let place = Workplace::with(&[("m.clif", &text)]);
        let plain = place.run("opt m.clif --policy always").ok();
        assert_eq!(place.run("opt m.clif --policy always --check").ok(), plain);
    }
}

#[test]
fn verification_and_clean_up_can_be_left_out() {
    let place = Workplace::with(&[("bad.clif", UNVERIFIABLE)]);
    place.run("opt bad.clif").failed();
    assert!(place.run("opt bad.clif --no-verify").ok().contains("%bad"));

    let folding = "function %f() -> i32 {\n    fn0 = %g(i32) -> i32\nblock0:\n    \
                   v0 = iconst.i32 1\n    v1 = call fn0(v0)\n    return v1\n}\n\
                   function %g(i32) -> i32 {\nblock0(v0: i32):\n    brif v0, block1, block2\n\
                   block1:\n    return v0\nblock2:\n    v1 = iconst.i32 5\n    return v1\n}\n";
    place.write("m.clif", folding);
    let first = |text: String| text.split("function %g").next().unwrap().to_owned();
    let cleaned = first(place.run("opt m.clif").ok());
    let left = first(place.run("opt m.clif --no-cleanup").ok());
    assert!(!cleaned.contains("brif"), "{cleaned}");
    assert!(left.contains("brif"), "{left}");
}

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
        ("nothing", "error: nothing:1: "),
        ("binary.clif", "error: binary.clif: "),
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
fn what_cannot_be_written_is_an_error_too() {
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
    // What fails only while it is written: a name that CLIF has no text for cannot be read, so it
    // takes a second output that fails.
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

    // A new file gets what any new file gets.
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
        "opt m.clif --quiet",
        "run m.clif --target x64",
    ] {
        place.run(arguments).misused();
    }
}

#[test]
fn help_teaches_by_examples() {
    let place = Workplace::new();
    assert!(
        place
            .run("--help")
            .ok()
            .contains("clif-inline compile module.clif")
    );
    for command in ["opt", "compile", "run", "graph"] {
        let help = place.run(&format!("{command} --help")).ok();
        assert!(help.contains("Examples:"), "{help}");
        assert!(help.contains(&format!("clif-inline {command} ")), "{help}");
        assert!(!help.contains('\u{1b}'), "no colours in a pipe");
    }
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
