//! The programs, compiled in every way, print what they print when a C compiler makes them for the
//! machine: `expected.txt`. `WASM_PROGRAMS` names another folder of them, such as a new one of
//! `build.sh`.

use cranelift_inliner::decide::Small;
use cranelift_inliner_wasm::{Options, Policy, jit};
use cranelift_inliner_wasm_runtime::{Outcome, Wasi};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn programs_print_the_same_in_every_way() {
    let folder = std::env::var_os("WASM_PROGRAMS");
    let folder = folder.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("programs"),
        PathBuf::from,
    );
    let expected = fs::read_to_string(folder.join("expected.txt")).expect("it is there");
    assert_eq!(expected.lines().count(), 16);
    for line in expected.lines() {
        let name = line
            .split_whitespace()
            .next()
            .expect("a line begins with a name");
        for suffix in ["", ".inlined"] {
            let path = folder.join(format!("{name}{suffix}.wasm"));
            let wasm = fs::read(&path).expect("the program is there");
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
                let program = jit(&wasm, &options).expect("it is valid");
                let mut wasi = Wasi::captured();
                wasi.set_args([name.into(), "1".into()]);
                let mut instance = program.instantiate(wasi).expect("it fits");
                let outcome = instance.call("_start", &[]);
                assert_eq!(outcome, Some((Outcome::Returned, vec![])), "{name}{suffix}");
                let output = String::from_utf8_lossy(instance.output());
                assert_eq!(output.trim_end(), line, "{name}{suffix}, {policy:?}");
            }
        }
    }
}
