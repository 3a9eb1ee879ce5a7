//! The tool, as its users run it: programs that end, exit, trap, read files, and are linked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Calls of WASI, and `print` for numbers below ten.
const HEAD: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 1)
    (func $write (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func $print (param $number i32)
        (i32.store (i32.const 12) (i32.add (local.get $number) (i32.const 48)))
        (call $write (i32.const 12) (i32.const 1)))
"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn module(&self, text: &str) -> PathBuf {
        let path = self.path("module.wasm");
        let wasm = wat::parse_str(format!("(module {text})")).expect("the text is right");
        fs::write(&path, wasm).expect("it can be written");
        path
    }
}

fn wasm(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm"));
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    command.output().expect("it starts")
}

fn run(module: &Path, policy: &str) -> Output {
    wasm(&[&"run", &"--policy", &policy, &module])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is text")
}

#[test]
fn a_program_prints_and_exits() {
    let folder = Folder::new();
    let module = folder.module(&format!(
        r#"{HEAD} (func (export "_start") (call $print (i32.const 7)) (call $proc_exit (i32.const 3))
            (call $print (i32.const 8)))"#
    ));
    for policy in ["none", "small", "cost", "always"] {
        let output = run(&module, policy);
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            ("7", Some(3)),
            "{output:?}"
        );
    }
}

/// A function that traps, in one that is small enough to go into the one before.
const DIVIDES: &str = r#"
    (func $quotient (param $a i32) (param $b i32) (result i32)
        (i32.div_s (local.get $a) (local.get $b)))
    (func $ratio (param $b i32) (result i32)
        (i32.add (call $quotient (i32.const 100) (local.get $b)) (i32.const 1)))
    (func (export "_start") (call $print (call $ratio (i32.const 20))) (call $print (call $ratio (i32.const 0))))
"#;

#[test]
fn a_trap_tells_of_inlined_functions_too() {
    let folder = Folder::new();
    let module = folder.module(&format!("{HEAD} {DIVIDES}"));
    let plain = run(&module, "none");
    let inlined = run(&module, "cost");
    for output in [&plain, &inlined] {
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            ("6", Some(134)),
            "{output:?}"
        );
    }
    let plain = text(&plain.stderr);
    assert!(
        plain.starts_with("trap: integer division by zero\n  in quotient at 0x"),
        "{plain}"
    );
    assert!(plain.contains("\n  in ratio at 0x"), "{plain}");
    assert!(!plain.contains("inlined"), "{plain}");
    let inlined = text(&inlined.stderr);
    assert_eq!(inlined.matches(", inlined").count(), 2, "{inlined}");
    // Otherwise they are the same places.
    assert_eq!(inlined.replace(", inlined", ""), plain);
    let streamed = wasm(&[&"run", &"--stream", &module]);
    assert_eq!(text(&streamed.stdout), "6");
    assert_eq!(text(&streamed.stderr), inlined);
}

/// A recursive function whose innermost activation reads beyond the memory, in a callee that an
/// indirect call reaches through a table.
const READS: &str = r#"
    (type $reader (func (param i32) (result i32)))
    (table 1 funcref) (elem (i32.const 0) $read)
    (func $read (param i32) (result i32) (i32.load offset=65530 (local.get 0)))
    (func $through (param i32) (result i32)
        (call_indirect (type $reader) (local.get 0) (i32.const 0)))
    (func $twice (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))
    (func $down (param $n i32) (result i32)
        (if (result i32) (local.get $n)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $n) (i32.const 1)))))
            (else (call $through (call $twice (i32.const 4))))))
    (func $main (export "_start") (call $print (call $down (i32.const DEPTH))))
"#;

#[test]
fn every_policy_and_linked_programs_tell_of_the_same_chain() {
    for depth in [2, 200] {
        check_chain(depth);
    }
}

fn check_chain(depth: usize) {
    let folder = Folder::new();
    let reads = READS.replace("DEPTH", &depth.to_string());
    let module = folder.module(&format!("{HEAD} {reads}"));
    let program = folder.path("program");
    let chain = |output: &Output| {
        assert_eq!(output.status.code(), Some(134), "{output:?}");
        text(&output.stderr).replace(", inlined", "")
    };
    let plain = chain(&run(&module, "none"));
    let functions = plain.lines().filter_map(|line| line.strip_prefix("  in "));
    let functions: Vec<_> = functions
        .filter_map(|line| line.split(' ').next())
        .collect();
    let mut expected = vec!["read", "through"];
    expected.extend(vec!["down"; depth + 1]);
    expected.push("main");
    // It tells of no more.
    expected.truncate(64);
    assert_eq!(functions, expected, "{plain}");
    assert!(!plain.contains(" at 0x0"), "{plain}");
    for policy in ["none", "small", "cost", "always"] {
        for optimize in [&[][..], &[&"--optimize" as &dyn AsRef<std::ffi::OsStr>]] {
            let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
                vec![&"run", &"--policy", &policy];
            arguments.extend(optimize);
            arguments.push(&module);
            assert_eq!(chain(&wasm(&arguments)), plain, "{policy}");
        }
    }
    for policy in ["none", "always"] {
        let output = wasm(&[&"compile", &"--policy", &policy, &module, &"-o", &program]);
        assert!(output.status.success(), "{output:?}");
        let output = Command::new(&program).output().expect("it is a program");
        assert_eq!(chain(&output), plain, "{policy}, linked");
    }
}

#[test]
fn each_trap_is_told_by_its_name() {
    let cases = [
        ("(unreachable)", "unreachable code was reached"),
        (
            "(drop (i32.load (i32.const 65533)))",
            "access out of the bounds of memory",
        ),
        (
            "(i64.store offset=0xffffffff (i32.const -1) (i64.const 1))",
            "bounds of memory",
        ),
        (
            "(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))",
            "bounds of memory",
        ),
        (
            "(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))",
            "integer overflow",
        ),
        (
            "(drop (i32.trunc_f64_s (f64.const nan)))",
            "a number that is not an integer",
        ),
        ("(call_indirect (i32.const 4))", "bounds of a table"),
        ("(call_indirect (i32.const 1))", "call of a null reference"),
        (
            "(call_indirect (i32.const 2))",
            "call of a function of another type",
        ),
        ("(call $deep (i64.const 1))", "the stack is used up"),
    ];
    for (body, message) in cases {
        let folder = Folder::new();
        let module = folder.module(&format!(
            r#"{HEAD} (table 4 funcref) (elem (i32.const 2) $print $deep)
            (func $deep (param i64)
                (call $deep (i64.add (local.get 0) (i64.const 1))) (call $print (i32.const 1)))
            (func (export "_start") {body})"#
        ));
        for (policy, stream) in [
            ("none", None),
            ("always", None),
            ("always", Some("--stream")),
        ] {
            let mut command: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"run", &"--policy", &policy];
            command.extend(
                stream
                    .iter()
                    .map(|stream| stream as &dyn AsRef<std::ffi::OsStr>),
            );
            command.push(&module);
            let output = wasm(&command);
            let told = text(&output.stderr);
            assert!(
                told.starts_with("trap: ") && told.contains(message),
                "{body}: {told}"
            );
            assert_eq!(output.status.code(), Some(134), "{body}");
        }
    }
}

#[test]
fn only_files_below_the_folder_can_be_read() {
    let folder = Folder::new();
    fs::create_dir(folder.path("inside")).expect("it can be made");
    fs::write(folder.path("inside/file"), "text").expect("it can be written");
    fs::write(folder.path("secret"), "hidden").expect("it can be written");
    std::os::unix::fs::symlink("../secret", folder.path("inside/link")).expect("links work");
    // Prints the contents of the file, or else an `e`.
    let program = |name: &str| {
        let length = name.len();
        format!(
            r#"{HEAD} (data (i32.const 100) "{name}") (data (i32.const 80) "e")
            (func (export "_start")
                (if (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const {length})
                        (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 40))
                    (then (call $write (i32.const 80) (i32.const 1)))
                    (else
                        (i32.store (i32.const 48) (i32.const 200))
                        (i32.store (i32.const 52) (i32.const 50))
                        (drop (call $fd_read (i32.load (i32.const 40)) (i32.const 48) (i32.const 1)
                            (i32.const 56)))
                        (call $write (i32.const 200) (i32.load (i32.const 56))))))"#
        )
    };
    for (name, expected) in [
        ("file", "text"),
        ("../secret", "e"),
        ("link", "e"),
        ("/etc/passwd", "e"),
        ("missing", "e"),
    ] {
        let module = folder.module(&program(name));
        let output = wasm(&[&"run", &"--dir", &folder.path("inside"), &module]);
        assert_eq!(text(&output.stdout), expected, "{name}: {output:?}");
    }
}

#[test]
fn unsupported_features_are_named_with_their_place() {
    let cases = [
        (
            "(func (result v128) (v128.const i64x2 1 2))",
            "SIMD support is not enabled (at offset 0x",
        ),
        (
            "(func (return_call 0))",
            "tail calls support is not enabled (at offset 0x",
        ),
        (
            "(func (param externref))",
            "references outside of tables are not supported (at offset 0x",
        ),
        (
            "(table 1 externref)",
            "tables of externref are not supported (at offset 0x",
        ),
        (
            r#"(import "a" "b" (global i32))"#,
            "imported globals are not supported (at offset 0x",
        ),
        (
            r#"(import "a" "b" (func))"#,
            "the import `a` `b` is not provided (at offset 0x",
        ),
        (
            "(table 1 funcref) (func (drop (table.get 0 (i32.const 0))))",
            "`TableGet` are not supported",
        ),
    ];
    for (module, message) in cases {
        let folder = Folder::new();
        let output = run(&folder.module(module), "cost");
        let told = text(&output.stderr);
        assert!(told.contains(message), "{module}: {told}");
        assert_eq!(output.status.code(), Some(1), "{told}");
    }
    let folder = Folder::new();
    fs::write(folder.path("text"), "no module").expect("it can be written");
    assert!(text(&run(&folder.path("text"), "cost").stderr).contains("offset 0x0"));
}

#[test]
fn a_linked_program_does_the_same() {
    let folder = Folder::new();
    let module = folder.module(&format!("{HEAD} {DIVIDES}"));
    let program = folder.path("program");
    let output = wasm(&[&"compile", &module, &"-o", &program]);
    assert!(output.status.success(), "{output:?}");
    let expected = run(&module, "cost");
    let output = Command::new(&program).output().expect("it is a program");
    assert_eq!(output, expected);
    assert!(!folder.path("program.wasm-object.o").exists());
}

/// Calls one function often and the other once; both are too large without a profile.
fn hot_and_cold() -> String {
    let work = |name: &str, factor: u32| {
        let step =
            format!("local.get 0 i32.const {factor} i32.mul i32.const 7 i32.xor local.set 0 ");
        let steps = step.repeat(50);
        format!("(func ${name} (param i32) (result i32) {steps} local.get 0)")
    };
    format!(
        r#"{HEAD} {} {}
        (func $main (export "_start") (local $i i32) (local $sum i32)
            (loop $again
                (local.set $sum (call $hot (local.get $sum)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
            (local.set $sum (call $cold (call $cold (local.get $sum))))
            (if (i32.eqz (local.get $i)) (then (local.set $sum (call $hot (local.get $sum)))))
            (call $print (i32.and (local.get $sum) (i32.const 7))))"#,
        work("hot", 5),
        work("cold", 3)
    )
}

#[test]
fn a_profile_is_written_and_followed() {
    let folder = Folder::new();
    let module = folder.module(&hot_and_cold());
    let profile = folder.path("profile.json");
    let first = wasm(&[&"run", &"--profile-out", &profile, &module]);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let plain = wasm(&[&"run", &"--explain=main", &module]);
    let hot = wasm(&[&"run", &"--explain=main", &"--profile", &profile, &module]);
    assert_eq!([&first.stdout, &plain.stdout], [&hot.stdout, &hot.stdout]);
    let decisions = |output: &Output, callee: &str| {
        let lines = text(&output.stderr).lines().map(str::trim);
        let calls = lines.filter(|line| line.contains(&format!(" {callee} at 0x")));
        let first_words = calls.filter_map(|line| line.split_whitespace().next());
        first_words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(decisions(&plain, "hot"), ["kept", "kept"], "{plain:?}");
    assert_eq!(decisions(&hot, "hot"), ["inlined", "kept"], "{hot:?}");
    assert_eq!(decisions(&hot, "cold"), ["kept", "kept"], "{hot:?}");
    // A linked program follows it too.
    let object = folder.path("program.o");
    let output = wasm(&[
        &"compile",
        &"--explain",
        &"--profile",
        &profile,
        &module,
        &"-o",
        &object,
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("inlined hot at 0x"),
        "{output:?}"
    );
}

#[test]
fn a_profile_that_is_none_is_named() {
    let folder = Folder::new();
    let module = folder.module(r#"(func (export "_start"))"#);
    let profile = folder.path("profile.json");
    fs::write(&profile, "{}").expect("it can be written");
    let output = wasm(&[&"run", &"--profile", &profile, &module]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("profile.json: "),
        "{output:?}"
    );
}

#[test]
fn thresholds_of_the_policies_can_be_set() {
    let folder = Folder::new();
    let module = folder.module(&hot_and_cold());
    for (options, decision) in [
        (["--policy=cost", "--cost-threshold=30"], "kept"),
        (["--policy=cost", "--cost-threshold=500"], "inlined"),
        (["--policy=small", "--small-callee=50"], "kept"),
        (["--policy=small", "--small-callee=500"], "inlined"),
    ] {
        let output = wasm(&[&"run", &options[0], &options[1], &"--explain=main", &module]);
        let list = text(&output.stderr);
        let mut calls = list.lines().filter(|line| line.contains(" cold at 0x"));
        assert!(
            calls.all(|line| line.trim().starts_with(decision)),
            "{list}"
        );
        assert_eq!(list.matches(" cold at 0x").count(), 2, "{list}");
    }
}

#[test]
fn functions_are_written_as_clif() {
    let folder = Folder::new();
    let module = folder.module(&format!("{HEAD} {DIVIDES}"));
    let clif = folder.path("functions.clif");
    let output = wasm(&[&"run", &"--clif-out", &clif, &module]);
    assert_eq!(text(&output.stdout), "6", "{output:?}");
    let clif = fs::read_to_string(clif).expect("it was written");
    let program = cranelift_inliner::program::Program::from_clif(&clif, "functions.clif");
    // Six functions of the module with imported ones, and an entry.
    let program = program.expect("it can be read");
    assert!(program.len() >= 7, "{}", program.len());
}

#[test]
fn an_output_never_replaces_an_input_or_leaves_a_part() {
    let folder = Folder::new();
    let module = folder.module(&format!("{HEAD} {DIVIDES}"));
    let bytes = fs::read(&module).expect("it is there");
    for (command, option) in [
        ("run", "--report"),
        ("run", "--clif-out"),
        ("run", "--profile-out"),
        ("compile", "--report"),
        ("compile", "-o"),
    ] {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&command, &option, &module];
        let object = folder.path("program.o");
        if command == "compile" && option != "-o" {
            arguments.extend([&"-o" as &dyn AsRef<std::ffi::OsStr>, &object]);
        }
        arguments.push(&module);
        let output = wasm(&arguments);
        let told = text(&output.stderr);
        let message = "it is an input, which the output would replace\n";
        assert!(told.ends_with(message), "{option}: {told}");
        assert_eq!(fs::read(&module).expect("it is there"), bytes, "{option}");
    }
    // A folder in the place of a file, and a linker that fails.
    let taken = folder.path("taken");
    fs::create_dir(&taken).expect("it can be made");
    assert!(
        !wasm(&[&"run", &"--clif-out", &taken, &module])
            .status
            .success()
    );
    let program = folder.path("program");
    fs::write(&program, "old").expect("it can be written");
    let failing = Command::new(env!("CARGO_BIN_EXE_wasm"))
        .args(["compile", "-o"])
        .args([&program, &module])
        .env("CC", "false")
        .output()
        .expect("it runs");
    assert!(!failing.status.success());
    assert_eq!(fs::read(&program).expect("it is there"), b"old");
    let files = fs::read_dir(folder.0.path()).expect("it is there").count();
    assert_eq!(files, 3, "the module, the folder and the program");
}

#[test]
fn the_page_has_every_call_in_the_names_of_the_module() {
    let folder = Folder::new();
    let module = folder.module(&format!("{HEAD} {DIVIDES}"));
    let page = folder.path("page.html");
    let written = |options: &[&dyn AsRef<std::ffi::OsStr>]| {
        // A page takes the place of the file before.
        fs::write(&page, "old").expect("it can be written");
        let ours: [&dyn AsRef<std::ffi::OsStr>; 3] = [&"--report", &page, &module];
        let output = wasm(&[options, &ours].concat());
        let page = fs::read_to_string(&page).expect("it is text");
        (output, page)
    };
    let (output, page) = written(&[&"run", &"--policy=always"]);
    assert_eq!(text(&output.stdout), "6", "{output:?}");
    let head = "<!DOCTYPE html><html lang=\"en\">";
    assert!(page.starts_with(head), "{page}");
    assert!(page.contains("<title>Inlining report: module.wasm</title>"));
    // `quotient` is called in `ratio`, at the same offset as the message of the trap has.
    let told = text(&output.stderr);
    let offset = told.split("in ratio at 0x").nth(1).expect("it traps");
    let offset = offset.split(',').next().expect("it is inlined");
    let offset = u32::from_str_radix(offset, 16).expect("it is a number");
    let rows: Vec<&str> = page.split("<tr").collect();
    let inlined = rows.iter().find(|row| {
        let caller = row.contains("ratio (%wasm7)</a></td>");
        caller && row.contains("quotient (%wasm6)</a></td>")
    });
    let inlined = inlined.unwrap_or_else(|| panic!("{page}"));
    assert!(inlined.contains("<b>inlined</b>"), "{inlined}");
    assert!(inlined.contains(&format!("@{offset:04x}<")), "{inlined}");
    // The picture and the script have the same names, and imported functions are there too.
    assert!(page.contains("\"ratio (%wasm7)\""), "{page}");
    assert!(page.contains("fd_write (%wasm0)"), "{page}");
    // The rest is the page's, with the text of the functions.
    assert!(page.contains("<script type=\"text/plain\" id=\"t0\">"));

    assert_eq!(written(&[&"run", &"--stream", &"--policy=always"]).1, page);
    let (output, page) = written(&[&"compile", &"-o", &folder.path("program.o")]);
    assert!(output.status.success(), "{output:?}");
    assert!(page.starts_with(head) && page.contains("ratio (%wasm7)"));
    let (output, page) = written(&[&"run", &"--policy=none"]);
    assert_eq!((output.status.code(), &*page), (Some(1), "old"));
    let message = "wasm: --report: --policy none does not keep the functions\n";
    assert_eq!(text(&output.stderr), message);
    let files = fs::read_dir(folder.0.path()).expect("it is there").count();
    assert_eq!(files, 3, "the module, the object file and the page");
}

#[test]
fn code_for_a_debugger_does_the_same_and_shows_its_tags() {
    let folder = Folder::new();
    let module = folder.module(&format!("{HEAD} {DIVIDES}"));
    let expected = run(&module, "none");
    let clif = folder.path("functions.clif");
    for policy in ["none", "cost", "always"] {
        let output = wasm(&[
            &"run",
            &"--debug",
            &"--policy",
            &policy,
            &"--clif-out",
            &clif,
            &module,
        ]);
        assert_eq!(output.stdout, expected.stdout, "{output:?}");
        let told = text(&output.stderr).replace(", inlined", "");
        assert_eq!(told, text(&expected.stderr), "{policy}");
        let clif = fs::read_to_string(&clif).expect("it was written");
        for part in [
            "= get_stack_pointer",
            "key = ",
            "colocated patchable ",
            "preserve_all",
            "<ss0, ",
        ] {
            assert!(clif.contains(part), "{part} is missing in\n{clif}");
        }
    }
    let program = folder.path("program");
    let output = wasm(&[&"compile", &"--debug", &module, &"-o", &program]);
    assert!(output.status.success(), "{output:?}");
    let output = Command::new(&program).output().expect("it is a program");
    assert_eq!(
        (output.stdout, output.status.code()),
        (expected.stdout, Some(134))
    );
}
