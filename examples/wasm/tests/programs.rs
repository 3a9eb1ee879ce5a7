//! The programs, compiled in every way, print what they print when a C compiler makes them for the
//! machine: `expected.txt`. `WASM_PROGRAMS` names another folder of them, such as a new one of
//! `build.sh`.

use cranelift_inliner::decide::Small;
use cranelift_inliner_wasm::{JitProgram, Options, Policy, Schedule, jit};
use cranelift_inliner_wasm_runtime::{Outcome, Wasi};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    let folder = std::env::var_os("WASM_PROGRAMS");
    folder.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("programs"),
        PathBuf::from,
    )
}

/// Calls `test` with the name, the module and the expected line of each program.
fn each_program(test: impl Fn(&str, &[u8], &str)) {
    let folder = folder();
    let expected = fs::read_to_string(folder.join("expected.txt")).expect("it is there");
    assert_eq!(expected.lines().count(), 18);
    for line in expected.lines() {
        let name = line
            .split_whitespace()
            .next()
            .expect("a line begins with a name");
        for suffix in ["", ".inlined"] {
            let path = folder.join(format!("{name}{suffix}.wasm"));
            let wasm = fs::read(&path).expect("the program is there");
            test(&format!("{name}{suffix}"), &wasm, line);
        }
    }
}

fn assert_prints(program: &JitProgram, name: &str, line: &str) {
    let mut wasi = Wasi::captured();
    let (program_name, _) = name.split_once('.').unwrap_or((name, ""));
    wasi.set_args([program_name.into(), "1".into()]);
    let mut instance = program.instantiate(wasi).expect("it fits");
    let outcome = instance.call("_start", &[]);
    assert_eq!(outcome, Some((Outcome::Returned, vec![])), "{name}");
    let output = String::from_utf8_lossy(instance.output());
    assert_eq!(output.trim_end(), line, "{name}");
}

#[test]
fn programs_print_the_same_in_every_way() {
    each_program(|name, wasm, line| {
        for (policy, optimize) in [
            (Policy::None, false),
            (Policy::Small(Small::default()), false),
            (Policy::default(), true),
        ] {
            let options = Options {
                policy,
                optimize,
                ..Options::default()
            };
            let program = jit(wasm, &options).expect("it is valid");
            assert_prints(&program, name, line);
        }
    });
}

/// The scan declares each function as it is translated later, so that the stream's result is taken,
/// and it is that of the pass.
#[test]
fn a_stream_inlines_the_same_calls() {
    each_program(|name, wasm, line| {
        let compiled = |schedule: Schedule| {
            let options = Options {
                schedule,
                ..Options::default()
            };
            let program = jit(wasm, &options).expect("it is valid");
            assert_prints(&program, name, line);
            let report = program.compiled.report.as_ref().expect("there is a stage");
            let streamed = schedule == Schedule::InBackground;
            assert_eq!(report.is_from_background(), streamed, "{name}");
            let sites = report.inlined().sites().map(|site| {
                let caller = report.program()[site.caller].name().to_string();
                let path: Vec<String> = report
                    .inlined()
                    .path(site)
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                (caller, path, site.inlined)
            });
            let mut sites: Vec<_> = sites.collect();
            sites.sort();
            (sites, program.compiled.code_bytes)
        };
        let streamed = compiled(Schedule::InBackground);
        assert!(streamed.0.iter().any(|(.., inlined)| *inlined), "{name}");
        assert_eq!(streamed, compiled(Schedule::InTurn), "{name}");
        assert_eq!(streamed, compiled(Schedule::InParallel), "{name}");
    });
}
