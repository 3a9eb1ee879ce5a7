//! Call trees: the backtraces of all builds are those of the program without inlining.

use super::builds::{Build, REFERENCE, builds};
use super::differences::difference;
use super::programs::{Lines, Subject, shape};
use super::session::{AARCH64, Host, LLDB, Machine, NATIVE};
use super::shipped;
use super::wasm::{self, Image};
use std::fs;
use std::path::{Path, PathBuf};

/// The runs of one build of one program.
struct Built {
    case: usize,
    build: Build,
    /// The number of each invocation's run.
    runs: Vec<usize>,
}

/// The builds of each program, besides the one without inlining.
const BUILDS: usize = 4;

fn count() -> u64 {
    let count = std::env::var("DEBUGGER_CASES").ok();
    count.and_then(|count| count.parse().ok()).unwrap_or(100)
}

pub(crate) fn first() -> u64 {
    let first = std::env::var("DEBUGGER_SEED").ok();
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// A program, and the number that its builds are chosen by.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) subject: Subject,
    pub(crate) seed: u64,
    /// The rest of the module, if it was made of WebAssembly.
    pub(crate) wasm: Option<Image>,
}

fn generated(lines: Lines, count: u64) -> Vec<Case> {
    let seeds = first()..first() + count;
    let cases = seeds.filter_map(|seed| {
        Some(Case {
            name: seed.to_string(),
            subject: Subject::generated(seed, &shape(), lines)?,
            seed,
            wasm: None,
        })
    });
    cases.collect()
}

fn build_all(cases: &[Case], host: &mut Host, target: &str, folder: &Path) -> Vec<Built> {
    let all = builds();
    let mut built = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let Case { subject, seed, .. } = case;
        let others = (0..BUILDS).map(|at| all[(*seed as usize * BUILDS + at) % all.len()]);
        for (at, build) in [REFERENCE].into_iter().chain(others).enumerate() {
            let prefix = format!("entry_{number}_{at}_");
            let object = build.object(subject, *seed, target, &prefix);
            fs::write(folder.join(format!("{number}_{at}.o")), object).unwrap();
            built.push(Built {
                case: number,
                build,
                runs: match &case.wasm {
                    None => host.add_all(subject, &prefix),
                    Some(image) => vec![image.add_to(host, &prefix)],
                },
            });
        }
    }
    built
}

/// Returns the folder for programs and their runs.
fn kept() -> Option<PathBuf> {
    std::env::var_os("DEBUGGER_KEEP").map(PathBuf::from)
}

fn compare(machine: &Machine, cases: &[Case], mut host: Host) {
    if !machine.is_here() {
        return;
    }
    let kept = kept();
    for Case { name, subject, .. } in cases {
        if let Some(kept) = &kept {
            fs::write(kept.join(format!("{name}.clif")), subject.text()).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let built = build_all(cases, &mut host, machine.target, folder.path());
    host.link(machine.compiler, machine.options, folder.path());
    let Some(stops) = host.stops_on(machine, folder.path()) else {
        return;
    };
    if let Some(kept) = kept {
        for file in ["host", "host.c", "stops.txt"] {
            fs::copy(folder.path().join(file), kept.join(file)).unwrap();
        }
    }
    let (mut same, mut inlined, mut traps, mut differences) = (0, 0, 0, Vec::new());
    let (mut shown, mut at_entries) = (0, 0);
    let mut reference = &built[0];
    for other in &built {
        if other.case != reference.case {
            reference = other;
        }
        let Case { name, subject, .. } = &cases[other.case];
        for (one, two) in reference.runs.iter().zip(&other.runs) {
            match difference(subject, &stops[*one], &stops[*two], &mut at_entries) {
                None => same += stops[*two].len(),
                Some(difference) => {
                    differences.push(format!("{name} {:?} {difference}", other.build));
                }
            }
            let all = stops[*two].iter();
            let frames = all.clone().flat_map(|stop| &stop.frames);
            shown += frames
                .clone()
                .map(|frame| frame.variables.len())
                .sum::<usize>();
            inlined += frames.filter(|frame| frame.kind == "i").count();
            traps += all.filter(|stop| stop.signal != "breakpoint").count();
        }
    }
    eprintln!(
        "{} programs, {same} equal stops, {traps} of traps, {at_entries} at entries, {inlined} inlined frames, \
         {shown} values",
        cases.len()
    );
    for difference in differences.iter().take(20) {
        eprintln!("{difference}");
    }
    assert_eq!(differences.len(), 0);
    assert!(at_entries * 10 <= traps);
    assert!(inlined > 0 && traps > 0 || cases.len() < 50);
}

#[test]
fn gdb_shows_the_same_call_tree_with_unique_lines() {
    compare(&NATIVE, &generated(Lines::Unique, count()), Host::default());
}

#[test]
fn gdb_shows_the_same_call_tree_with_shared_lines() {
    compare(&NATIVE, &generated(Lines::Shared, count()), Host::default());
}

/// An emulator runs these.
#[test]
fn gdb_shows_the_same_call_tree_on_aarch64() {
    compare(
        &AARCH64,
        &generated(Lines::Unique, count().div_ceil(2)),
        Host::default(),
    );
}

#[test]
fn lldb_shows_the_same_call_tree_with_unique_lines() {
    compare(&LLDB, &generated(Lines::Unique, count()), Host::default());
}

#[test]
fn lldb_shows_the_same_call_tree_with_shared_lines() {
    compare(&LLDB, &generated(Lines::Shared, count()), Host::default());
}

#[test]
fn gdb_shows_the_same_call_tree_of_the_shipped_programs() {
    compare(&NATIVE, &shipped::all(), Host::stopping_first(20));
}

#[test]
fn gdb_shows_the_same_call_tree_of_the_shipped_programs_on_aarch64() {
    compare(&AARCH64, &shipped::all(), Host::stopping_first(20));
}

#[test]
fn lldb_shows_the_same_call_tree_of_the_shipped_programs() {
    compare(&LLDB, &shipped::all(), Host::stopping_first(20));
}

#[test]
fn gdb_shows_the_same_call_tree_of_webassembly_programs() {
    compare_wasm(&NATIVE, count().div_ceil(25));
}

#[test]
fn lldb_shows_the_same_call_tree_of_webassembly_programs() {
    compare_wasm(&LLDB, count().div_ceil(50));
}

/// Compares programs of one round. They are large, so there are fewer than of the generated ones.
fn compare_wasm(machine: &Machine, count: u64) {
    if let Some(runtime) = wasm::runtime() {
        let host = Host::of_wasm(20, &runtime, &["1"]);
        let programs = wasm::programs(first(), count);
        compare(machine, &programs, host);
    }
}
