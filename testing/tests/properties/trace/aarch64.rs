//! The traces of aarch64 code, which QEMU executes where this machine does not.
//!
//! Each build of a program is an object file; a host in C, which `aarch64-linux-gnu-gcc` compiles
//! and links with all of them, calls each and writes the copies of the stack to its output. The
//! walk over them and all that follows is done here, as for native code. Where the compiler or
//! `qemu-aarch64` is missing, the test says so and passes.

use super::builds::{LEVELS, ORDERS, POLICIES, by_pass, compile_order};
use super::programs::{Case, cases};
use super::recording::{self, Build, Run, assert_same, parse};
use cranelift_codegen::FinalizedMachExceptionHandler;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{
    ObjectFunction, ObjectLinkage, TargetSettings, build_object, default_symbol, target,
};
use cranelift_inliner::frames::text_offsets;
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::execute::Snapshot;
use cranelift_module::FuncId;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const COMPILER: &str = "aarch64-linux-gnu-gcc";

/// A build in an object file.
struct Linked {
    what: String,
    build: Build,
    offsets: Vec<(u64, u64)>,
}

fn emulator() -> Option<&'static str> {
    let works = |program: &str| {
        let mut command = Command::new(program);
        let command = command.arg("--version").stdout(Stdio::null());
        command.stderr(Stdio::null()).status().is_ok()
    };
    let mut emulators = ["qemu-aarch64", "qemu-aarch64-static"].into_iter();
    emulators.find(|emulator| works(emulator) && works(COMPILER))
}

#[test]
fn every_build_for_aarch64_gives_the_trace_without_inlining() {
    let Some(emulator) = emulator() else {
        eprintln!("passed over: no {COMPILER}, or no qemu-aarch64");
        return;
    };
    for case in cases() {
        let program = parse(case);
        let folder = tempfile::tempdir().unwrap();
        let linked = link(case, &program, folder.path());
        let host = folder.path().join("host");
        let output = Command::new(emulator).arg(host).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", case.name);
        let mut words = &output.stdout[..];
        let mut expected = Vec::new();
        for (index, linked) in linked.iter().enumerate() {
            for (at, argument) in case.arguments.iter().enumerate() {
                let run = read_run(&mut words, &linked.offsets);
                let actual = recording::trace(case, &program, &linked.build, &run).unwrap();
                if index == 0 {
                    assert!(actual.events.iter().all(|event| !event.stack.is_empty()));
                    expected.push(actual);
                } else {
                    let what = format!("{} {argument} {}", case.name, linked.what);
                    assert_same(&what, &expected[at], &actual);
                }
            }
        }
        assert!(words.is_empty());
    }
}

/// Builds the program in every way, without inlining first, and links it with the host.
fn link(case: &Case, program: &Program, folder: &Path) -> Vec<Linked> {
    let mut builds = Vec::new();
    for level in LEVELS {
        let isa = isa(level);
        for policy in POLICIES {
            for clean_up in [false, true] {
                let (build, _) = by_pass(program, &*isa, policy, clean_up);
                builds.push((format!("{policy} {level} {clean_up}"), build));
            }
        }
        for order in ORDERS {
            let build = compile_order(program, &*isa, order);
            builds.push((format!("{order:?} {level}"), build));
        }
    }
    let isa = isa(OptLevel::None);
    let mut tables = String::from(include_str!("aarch64_host.c"));
    let mut rows = String::new();
    let mut linked = Vec::new();
    let mut compiler = Command::new(COMPILER);
    compiler
        .args(["-O1", "-static", "-o"])
        .arg(folder.join("host"));
    compiler.arg(folder.join("host.c"));
    for (number, (what, build)) in builds.into_iter().enumerate() {
        let object = folder.join(format!("{number}.o"));
        let offsets = write_object(&isa, number, &build, &object);
        compiler.arg(object);
        describe(number, &build, &offsets, &mut tables, &mut rows);
        linked.push(Linked {
            what,
            build,
            offsets,
        });
    }
    let arguments: Vec<String> = case.arguments.iter().map(ToString::to_string).collect();
    write!(
        tables,
        "const struct build builds[] = {{{rows}}};\n\
         const uint64_t build_count = {};\n\
         const int64_t arguments[] = {{{}}};\n\
         const uint64_t argument_count = {};\n",
        linked.len(),
        arguments.join(", "),
        arguments.len()
    )
    .unwrap();
    fs::write(folder.join("host.c"), tables).unwrap();
    let output = compiler.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", case.name);
    linked
}

fn isa(level: OptLevel) -> OwnedTargetIsa {
    target("aarch64", &TargetSettings::new().opt_level(level)).unwrap()
}

/// Writes the object file, in which only the main function is seen from outside, and returns where
/// each function is in its text.
fn write_object(
    isa: &OwnedTargetIsa,
    number: usize,
    build: &Build,
    path: &Path,
) -> Vec<(u64, u64)> {
    let functions: Vec<ObjectFunction<'_>> = build
        .iter()
        .map(|(_, compiled)| {
            let symbol = default_symbol(compiled.name());
            let is_main = symbol == "main";
            ObjectFunction::new(
                if is_main {
                    format!("main_{number}")
                } else {
                    symbol
                },
                if is_main {
                    ObjectLinkage::Export
                } else {
                    ObjectLinkage::Local
                },
                compiled,
            )
        })
        .collect();
    let product = build_object(isa, "program", &functions, default_symbol).unwrap();
    let ids = (0..functions.len()).map(|id| FuncId::from_u32(id as u32));
    let offsets = text_offsets(&product, ids).unwrap();
    fs::write(path, product.emit().unwrap()).unwrap();
    let identities = build.iter().map(|(identity, _)| *identity);
    identities.zip(offsets).collect()
}

/// Adds the host's data about a build to its source.
fn describe(
    number: usize,
    build: &Build,
    offsets: &[(u64, u64)],
    tables: &mut String,
    rows: &mut String,
) {
    let mut handlers = Vec::new();
    let mut main_offset = 0;
    for ((_, compiled), (_, start)) in build.iter().zip(offsets) {
        if default_symbol(compiled.name()) == "main" {
            main_offset = *start;
        }
        for site in compiled.call_sites() {
            for handler in site.exception_handlers {
                let (tag, landing) = match handler {
                    FinalizedMachExceptionHandler::Tag(tag, landing) => {
                        (i64::from(tag.as_u32()), landing)
                    }
                    FinalizedMachExceptionHandler::Default(landing) => (-1, landing),
                    FinalizedMachExceptionHandler::Context(_) => continue,
                };
                handlers.push(format!(
                    "{{{}, {}, {}, {tag}}}",
                    start + u64::from(site.ret_addr),
                    start + u64::from(*landing),
                    site.frame_offset.unwrap()
                ));
            }
        }
    }
    let count = handlers.len();
    handlers.push("{0, 0, 0, 0}".into());
    writeln!(
        tables,
        "extern int64_t main_{number}(int64_t);\n\
         static const struct handler handlers_{number}[] = {{{}}};",
        handlers.join(", ")
    )
    .unwrap();
    write!(
        rows,
        "{{main_{number}, {main_offset}, handlers_{number}, {count}}}, "
    )
    .unwrap();
}

fn read_run(bytes: &mut &[u8], offsets: &[(u64, u64)]) -> Run {
    let mut events = Vec::new();
    while word(bytes) == 1 {
        let arguments = [word(bytes).cast_signed(), word(bytes).cast_signed()];
        let (pc, fp, base) = (word(bytes), word(bytes), word(bytes));
        let length = usize::try_from(word(bytes)).unwrap();
        let (stack, rest) = bytes.split_at(length);
        *bytes = rest;
        let stack = stack.to_vec();
        let snapshot = Snapshot {
            pc,
            fp,
            base,
            stack,
        };
        events.push((arguments, snapshot));
    }
    Run {
        text: word(bytes),
        result: word(bytes).cast_signed(),
        offsets: offsets.to_vec(),
        events,
    }
}

fn word(bytes: &mut &[u8]) -> u64 {
    let (word, rest) = bytes.split_first_chunk().expect("the host wrote less");
    *bytes = rest;
    u64::from_le_bytes(*word)
}
