//! The tool's `opt` and `compile`: inputs, outputs and flags.

use crate::ROOT;
use crate::support::{COUNTED, UNVERIFIABLE, Workplace, command, many_functions};
use object::read::{Object as _, ObjectSymbol as _};
use std::process::{Command, Stdio};

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
fn the_output_of_opt_goes_in_again_and_may_replace_its_input() {
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
fn each_flag_about_decisions_has_its_effect() {
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
fn the_steps_of_a_function_can_be_followed_in_the_log() {
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
