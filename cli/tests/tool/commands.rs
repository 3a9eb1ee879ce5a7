//! The tool's `opt` and `compile`: inputs, outputs, flags and errors.

use crate::ROOT;
use crate::support::{COUNTED, UNVERIFIABLE, Workplace, command};
use object::read::{Object as _, ObjectSymbol as _};
use std::fs;
use std::process::{Command, Stdio};

/// Returns `count` functions. Each calls some before it.
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
    // Not even the name of an inlined function remains.
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

/// Returns a module whose `%f` twice calls `%g`, which has 22 instructions and does not fold.
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
    let told = |reason: &str, count: u64| serde_json::json!({ reason: count });
    for (flags, inlined, refused) in [
        ("", 2, &none),
        ("--policy cost", 2, &none),
        ("--policy never", 0, &told("policy", 2)),
        ("--policy never --always g", 2, &none),
        ("--policy never --always %g", 2, &none),
        ("--policy always", 2, &none),
        ("--policy always --never g", 0, &told("attribute", 2)),
        ("--policy small", 2, &none),
        ("--policy small --small-callee 22", 2, &none),
        ("--policy small --small-callee 21", 0, &told("policy", 2)),
        ("--policy small --small-sum 46", 1, &told("policy", 1)),
        ("--policy small --small-sum 47", 2, &none),
        ("--cost-threshold 0", 0, &told("policy", 2)),
        ("--cost-threshold -5", 0, &told("policy", 2)),
        ("--cold g", 0, &told("policy", 2)),
        ("--interposable g", 0, &told("interposable", 2)),
        (
            "--policy always --max-function-insts 25",
            1,
            &told("function-size", 1),
        ),
        (
            "--policy always --max-function-growth 8",
            1,
            &told("program-growth", 1),
        ),
        (
            "--policy always --max-function-growth 0",
            0,
            &told("program-growth", 2),
        ),
        (
            "--policy always --max-program-growth 0",
            0,
            &told("program-growth", 2),
        ),
        ("--policy always --max-depth 0", 0, &told("depth", 2)),
        ("--policy always --max-depth 1", 2, &none),
    ] {
        let arguments = format!("opt m.clif -o out.clif --stats=json {flags}");
        let stats = place.run(&arguments).json();
        assert_eq!(stats["inlined"], inlined, "{flags}: {stats}");
        let is_kept = refused["policy"].is_u64() || refused["attribute"].is_u64();
        let (kept, refused) = if is_kept {
            (refused, &none)
        } else {
            (&none, refused)
        };
        assert_eq!(&stats["kept"], kept, "{flags}: {stats}");
        assert_eq!(&stats["refused"], refused, "{flags}: {stats}");
    }
}

#[test]
fn growth_that_is_no_number_from_zero_on_is_refused() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    for option in ["--max-function-growth", "--max-program-growth"] {
        for value in ["nan", "inf", "-inf", "-1", "-0.5", "1e999", "much", ""] {
            let error = place.run(&format!("opt m.clif {option}={value}")).misused();
            assert!(error.contains(option), "{value}: {error}");
        }
        place.run(&format!("opt m.clif {option}=0.5")).ok();
    }
}

#[test]
fn commands_name_the_file_that_they_wrote() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    for (arguments, file) in [
        ("opt m.clif -o out.clif", "out.clif"),
        ("compile m.clif", "m.o"),
        ("graph m.clif -o g.svg", "g.svg"),
        ("graph m.clif -o g.dot", "g.dot"),
        ("report m.clif", "m.html"),
    ] {
        let told = place.run(arguments);
        let size = place.bytes(file).len();
        let size = match size {
            0..1000 => format!("{size} bytes"),
            _ => format!("{} kB", size.div_ceil(1000)),
        };
        let line = format!("wrote {file} ({size})");
        let found = told.err.lines().any(|told| told.starts_with(&line));
        assert!(found, "{line}: {}", told.err);
    }
    let quiet = place.run("compile m.clif --quiet");
    assert_eq!(quiet.err, "");
    assert_eq!(place.run("opt m.clif").err, "");
}

/// Returns the cells of the table's row about code.
fn code_bytes(table: &str) -> Vec<usize> {
    let row = table.lines().find(|line| line.contains("code bytes"));
    let cells = row.unwrap().split('│').skip(2).take(2).map(str::trim);
    cells.filter_map(|cell| cell.parse().ok()).collect()
}

#[test]
fn compile_compares_its_code_and_says_where_to_look_next() {
    let place = Workplace::with(&[("m.clif", &two_calls())]);
    let told = place.run("compile m.clif --export f").err;
    let [before, after] = code_bytes(&told)[..] else {
        panic!("{told}");
    };
    let code = |arguments: &str| {
        let stats = place.run(&format!("compile m.clif --stats=json {arguments}"));
        let stats = stats.json();
        (
            stats["code_bytes_before"].as_u64().unwrap() as usize,
            stats["code_bytes"].as_u64().unwrap() as usize,
        )
    };
    // Without --export %g stays, as it came in.
    assert_eq!(code("--policy never"), (before, before));
    assert_eq!(code("--export f"), (before, after));
    assert!(before != after, "{told}");
    for next in [
        "clif-inline explain m.clif --function NAME",
        "clif-inline report m.clif -o ",
    ] {
        assert!(told.contains(next), "{told}");
    }
}

#[test]
fn large_modules_are_compiled_twice_only_where_that_is_asked_for() {
    let module = |insts: usize| {
        let nops = "    nop\n".repeat(insts - 1);
        format!("function %f() {{\nblock0:\n{nops}    return\n}}\n")
    };
    let place = Workplace::with(&[("at.clif", &module(50_000)), ("over.clif", &module(50_001))]);
    assert_eq!(code_bytes(&place.run("compile at.clif").err).len(), 2);
    assert_eq!(code_bytes(&place.run("compile over.clif").err).len(), 1);
    let stats = place.run("compile over.clif --stats=json").json();
    assert_eq!(stats["code_bytes_before"], stats["code_bytes"]);
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

#[test]
fn stack_limits_can_be_per_thread() {
    let limited = |name: &str, callee: &str, body: &str| {
        format!(
            "function %{name}(i64 vmctx) {{\n    gv0 = vmctx\n    gv1 = load.i64 notrap aligned gv0+8\n    \
             stack_limit = gv1\n{callee}block0(v0: i64):\n{body}    return\n}}\n"
        )
    };
    let calls = "    v1 = load.i64 v0+16\n    call fn0(v1)\n";
    let module = limited("f", "    fn0 = %g(i64 vmctx)\n", calls) + &limited("g", "", "");
    let place = Workplace::with(&[("m.clif", &module)]);
    let stats = |flag: &str| {
        let arguments = format!("opt m.clif -o out.clif --check --stats=json {flag}");
        place.run(&arguments).json()
    };
    assert_eq!(stats("")["refused"]["stack-limit"], 1);
    assert_eq!(stats("--stack-limit-is-per-thread")["inlined"], 1);
}

/// Checking changes no output. `check_faults` shows that it finds faults.
#[test]
fn results_can_be_checked() {
    for module in ["lists", "checked_debug", "bytecode", "mandelbrot"] {
        let path = format!("{ROOT}/examples/modules/{module}.clif");
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
fn help_has_the_options_of_a_command_and_the_shared_ones_where_they_are_asked_for() {
    let place = Workplace::new();
    let commands = [
        "opt", "compile", "run", "graph", "explain", "report", "bisect",
    ];
    for command in commands {
        for flag in ["-h", "--help"] {
            let help = place.run(&format!("{command} {flag}")).ok();
            assert!(
                help.lines().count() < 75,
                "{command} {flag}: {}",
                help.lines().count()
            );
            assert!(!help.contains("--max-function-growth"), "{help}");
            assert!(help.contains("--help-shared"), "{help}");
            let more = format!("clif-inline {command} --help-shared");
            assert!(help.contains(&more), "{help}");
        }
        // Without the arguments that the command must have, wherever it stands.
        for asked in [
            format!("{command} --help-shared"),
            format!("{command} x --help-shared"),
        ] {
            let shared = place.run(&asked).ok();
            for option in [
                "--max-function-growth",
                "--policy",
                "--threads",
                "--check",
                "--stats",
            ] {
                assert!(shared.contains(option), "{option}: {shared}");
            }
            assert!(
                !shared.contains("--output") && !shared.contains("Examples"),
                "{shared}"
            );
        }
    }
    assert!(place.run("compile --help").ok().contains("--debug-info"));
    assert!(place.run("opt --help-shared").ok().contains("--target"));
    assert!(!place.run("run --help-shared").ok().contains("--target"));
    place.run("--help-shared").misused();
    place.run("completions --help-shared").misused();
}

#[test]
fn completions_and_manual_pages_have_every_option() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.run(&format!("completions {shell}")).ok();
        for word in [
            "clif-inline",
            "bisect",
            "max-function-growth",
            "help-shared",
        ] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    place.run("completions cmd").misused();

    std::fs::create_dir(place.path("man1")).unwrap();
    place.run("man man1").ok();
    let mut pages: Vec<_> = std::fs::read_dir(place.path("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let commands = [
        "backend",
        "bisect",
        "compile",
        "completions",
        "explain",
        "graph",
        "man",
        "opt",
        "report",
        "run",
        "summarize",
        "thin",
    ];
    let mut expected: Vec<_> = commands
        .map(|name| format!("clif-inline-{name}.1"))
        .to_vec();
    expected.insert(0, "clif-inline.1".to_owned());
    expected.sort();
    assert_eq!(pages, expected);
    let opt = place.read("man1/clif-inline-opt.1");
    assert!(opt.contains(".TH clif-inline-opt 1"), "{opt}");
    assert!(opt.contains("max\\-function\\-growth"), "{opt}");
    assert_eq!(place.run("man -").ok(), place.read("man1/clif-inline.1"));
    place.run("man missing").failed();
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

#[test]
fn what_is_done_to_a_function_can_be_followed_in_the_log() {
    let text = "
function %pick(i32) -> i32 {
block0(v0: i32):
    brif v0, block1, block2
block1:
    return v0
block2:
    v1 = iconst.i32 7
    return v1
}
function %main() -> i32 {
    fn0 = %pick(i32) -> i32
block0:
    v0 = iconst.i32 1
    v1 = call fn0(v0)
    return v1
}";
    let place = Workplace::with(&[("m.clif", text)]);
    let logged = |filter: Option<&str>| {
        let mut command = command(&place.path("."));
        command.args(["opt", "m.clif", "--policy", "always"]);
        match filter {
            Some(filter) => command.env("RUST_LOG", filter),
            None => command.env_remove("RUST_LOG"),
        };
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let all = logged(Some("cranelift_inliner=trace"));
    for expected in [
        "is to be inlined: ",
        " becomes %pick",
        "cranelift_inliner::cleanup] %main: tidied: branches_folded: 1",
    ] {
        assert!(all.contains(expected), "{expected}: {all}");
    }
    let splices = logged(Some("cranelift_inliner::splice=trace"));
    assert!(splices.contains(" becomes %pick"), "{splices}");
    assert!(!splices.contains("is to be inlined"), "{splices}");
    assert_eq!(logged(None), "");
}

/// Cranelift's analysis of loops does not end on such a function, and takes all memory.
#[test]
fn commands_end_where_unreachable_blocks_branch_into_two_loops() {
    let module = "function %g() -> i32 {\nblock0:\n    v0 = iconst.i32 1\n    return v0\n}\n\
                  function %f(i32) {\n    fn0 = %g() -> i32\nblock0(v0: i32):\n    return\n\
                  block1:\n    brif v0, block2, block4\n\
                  block2:\n    v1 = call fn0()\n    jump block3\nblock3:\n    jump block2\n\
                  block4:\n    v2 = call fn0()\n    jump block5\nblock5:\n    jump block4\n}\n";
    let place = Workplace::with(&[("m.clif", module)]);
    for arguments in [
        "opt m.clif --check -o out.clif",
        "compile m.clif -o out.o",
        "report m.clif -o out.html",
        "graph m.clif -o out.svg",
        "explain m.clif --function f",
    ] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_clif-inline"))
            .args(arguments.split(' '))
            .current_dir(place.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {error}");
    }
}
