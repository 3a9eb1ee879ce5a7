//! Debuggers show the frames of tail calls.

use super::builds::{Build, Order, REFERENCE};
use super::programs::{Lines, Subject};
use super::session::{Host, LLDB, Machine, NATIVE};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::pass::Optimize;
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::execute::Invocation;
use cranelift_inliner_testing::generate::Generated;
use std::fs;

const TEXT: &str = "\
function %inner() -> i64 tail {
    fn0 = %ask() -> i64 system_v
block0:
    v0 = call fn0()
    return v0
}
function %middle() -> i64 tail {
    fn0 = colocated %inner() -> i64 tail
block0:
    return_call fn0()
}
function %outer() -> i64 tail {
    fn0 = colocated %middle() -> i64 tail
block0:
    return_call fn0()
}
function %main() -> i64 system_v {
    fn0 = colocated %outer() -> i64 tail
block0:
    v0 = call fn0()
    return v0
}
";

#[test]
fn gdb_shows_the_frames_of_tail_calls_with_and_without_inlining() {
    compare(&NATIVE);
}

#[test]
fn lldb_shows_the_frames_of_tail_calls_with_and_without_inlining() {
    compare(&LLDB);
}

fn compare(machine: &Machine) {
    if !machine.is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::from_clif(TEXT, "tail.clif").unwrap();
    program.export_only(&["%main".parse().unwrap()]).unwrap();
    let invocations = vec![Invocation {
        function: "%main".parse().unwrap(),
        arguments: Vec::new(),
    }];
    let generated = Generated {
        program,
        invocations,
    };
    let subject = Subject::new(&generated, Lines::Unique).unwrap();
    let mut host = Host::default();
    let inlined = Build {
        policy: "always",
        optimize: Optimize::Inlined,
        level: OptLevel::Speed,
        order: Order::Rounds,
    };
    for (number, build) in [REFERENCE, inlined].into_iter().enumerate() {
        let prefix = format!("entry_{number}_");
        let object = build.object(&subject, 0, "x64", &prefix);
        fs::write(folder.path().join(format!("{number}.o")), object).unwrap();
        host.add_all(&subject, &prefix);
    }
    host.link("cc", &[], folder.path());
    let Some(stops) = host.stops_on(machine, folder.path()) else {
        return;
    };
    let frames = |run: usize| -> Vec<(String, u64, String)> {
        let frames = stops[run][0].frames.iter();
        frames
            .map(|frame| (frame.function.clone(), frame.line, frame.kind.clone()))
            .collect()
    };
    let expected = |kinds: [&str; 4]| {
        let functions = [("inner", 3), ("middle", 8), ("outer", 10), ("main", 11)];
        let frames = functions.into_iter().zip(kinds);
        let frames =
            frames.map(|((function, line), kind)| (function.to_owned(), line, kind.to_owned()));
        let host = [("ask".to_owned(), 0, "n".to_owned())];
        host.into_iter().chain(frames).collect::<Vec<_>>()
    };
    assert_eq!(frames(0), expected(["n", "t", "t", "n"]));
    assert_eq!(frames(1), expected(["i", "i", "i", "n"]));
}
