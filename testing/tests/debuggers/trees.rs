//! Call trees: the backtraces of all builds are those of the program without inlining.

use super::builds::{Build, REFERENCE, builds};
use super::programs::{Lines, Subject, shape};
use super::session::{AARCH64, Frame, Host, LLDB, Machine, NATIVE, Stop};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The runs of one build of one program.
struct Built {
    subject: usize,
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

fn first() -> u64 {
    let first = std::env::var("DEBUGGER_SEED").ok();
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn build_all(subjects: &[Subject], target: &str, folder: &Path) -> (Host, Vec<Built>) {
    let all = builds();
    let mut host = Host::default();
    let mut built = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let seed = first() + number as u64;
        let others = (0..BUILDS).map(|at| all[(seed as usize * BUILDS + at) % all.len()]);
        for (at, build) in [REFERENCE].into_iter().chain(others).enumerate() {
            let prefix = format!("entry_{number}_{at}_");
            let object = build.object(subject, seed, target, &prefix);
            fs::write(folder.join(format!("{number}_{at}.o")), object).unwrap();
            let runs = subject
                .invocations
                .iter()
                .zip(subject.entries())
                .enumerate()
                .map(|(run, (invocation, (_, signature)))| {
                    let values = invocation.arguments.iter().map(|argument| {
                        let mut bytes = [0; 16];
                        argument.write_to_slice_le(&mut bytes);
                        bytes
                    });
                    let values: Vec<[u8; 16]> = values.collect();
                    host.add(&format!("{prefix}{run}"), &values, signature.params.len())
                })
                .collect();
            built.push(Built {
                subject: number,
                build,
                runs,
            });
        }
    }
    (host, built)
}

/// Returns the frames of a stop, without those of calls that do not return: where such a call stays
/// one, its frame is gone.
fn frames<'a>(subject: &'a Subject, stop: &'a Stop) -> impl Iterator<Item = &'a Frame> {
    let frames = stop.frames.iter();
    frames.filter(|frame| !subject.tail_calls.contains(&frame.line))
}

/// Returns whether both frames are of the same call, and variables that both show are equal.
fn is_same(one: &Frame, other: &Frame) -> bool {
    let mut shown = one.variables.iter();
    one.function == other.function
        && one.line == other.line
        && shown.all(|(name, bits)| other.variables.get(name).is_none_or(|value| value == bits))
}

/// Returns whether the stops are at a trap, where the other does not show the innermost bodies. gdb
/// shows the call in place of a body at whose first instruction the program stopped.
fn is_at_entry(subject: &Subject, one: &Stop, other: &Stop) -> bool {
    let (all, shown) = (frames(subject, one).count(), frames(subject, other).count());
    let hidden = all.saturating_sub(shown);
    let rest = frames(subject, one).skip(hidden);
    one.signal != "breakpoint"
        && one.signal == other.signal
        && hidden > 0
        && shown > 0
        && rest
            .zip(frames(subject, other))
            .all(|(one, other)| is_same(one, other))
}

/// Returns whether the stops are at traps that Cranelift may have merged, which has nothing to do
/// with inlining.
fn is_merged_trap(subject: &Subject, one: &Stop, other: &Stop) -> bool {
    let traps = |stop: &Stop| stop.signal != "breakpoint";
    let (Some(first), Some(second)) = (one.frames.first(), other.frames.first()) else {
        return false;
    };
    traps(one) && traps(other) && subject.may_trap_at(first.line, second.line)
}

/// Returns the first difference. Adds the stops at which gdb alone hides bodies to `at_entries`.
pub(crate) fn difference(
    subject: &Subject,
    expected: &[Stop],
    actual: &[Stop],
    at_entries: &mut usize,
) -> Option<String> {
    for (number, (one, other)) in expected.iter().zip(actual).enumerate() {
        let same = one.signal == other.signal
            && other.is_complete
            && frames(subject, one).count() == frames(subject, other).count()
            && frames(subject, one)
                .zip(frames(subject, other))
                .all(|(one, other)| is_same(one, other));
        if !same && is_at_entry(subject, one, other) {
            *at_entries += 1;
        } else if !same && !is_merged_trap(subject, one, other) {
            return Some(format!(
                "stop {number}:\n  {}\n  {}",
                line(one),
                line(other)
            ));
        }
    }
    (expected.len() != actual.len()).then(|| {
        format!(
            "{} stops, and {} without inlining",
            actual.len(),
            expected.len()
        )
    })
}

fn line(stop: &Stop) -> String {
    let mut text = stop.signal.clone();
    for frame in &stop.frames {
        write!(text, " | {} {} {}", frame.function, frame.line, frame.kind).unwrap();
        for (name, bits) in &frame.variables {
            write!(text, " {name}={bits}").unwrap();
        }
    }
    if !stop.is_complete {
        text.push_str(" | ...");
    }
    text
}

fn compare(machine: &Machine, lines: Lines, count: u64) {
    if !machine.is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let subjects: Vec<Subject> = (first()..first() + count)
        .filter_map(|seed| Subject::generated(seed, &shape(), lines))
        .collect();
    let (host, built) = build_all(&subjects, machine.target, folder.path());
    host.link(machine.compiler, machine.options, folder.path());
    let Some(stops) = host.stops_on(machine, folder.path()) else {
        return;
    };
    if let Some(kept) = std::env::var_os("DEBUGGER_KEEP") {
        for (number, subject) in subjects.iter().enumerate() {
            let file = format!("{}.clif", first() + number as u64);
            fs::write(Path::new(&kept).join(file), subject.text()).unwrap();
        }
        let kept = Path::new(&kept);
        for file in ["host", "host.c", "stops.txt"] {
            fs::copy(folder.path().join(file), kept.join(file)).unwrap();
        }
    }
    let (mut same, mut inlined, mut traps, mut differences) = (0, 0, 0, Vec::new());
    let (mut shown, mut at_entries) = (0, 0);
    let mut reference = &built[0];
    for other in &built {
        if other.subject != reference.subject {
            reference = other;
        }
        let subject = &subjects[other.subject];
        for (one, two) in reference.runs.iter().zip(&other.runs) {
            match difference(subject, &stops[*one], &stops[*two], &mut at_entries) {
                None => same += stops[*two].len(),
                Some(difference) => {
                    let seed = first() + other.subject as u64;
                    differences.push(format!("{seed} {:?} {difference}", other.build));
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
        "{same} equal stops, {traps} of traps, {at_entries} at entries, {inlined} inlined frames, \
         {shown} values"
    );
    for difference in differences.iter().take(20) {
        eprintln!("{difference}");
    }
    assert_eq!(differences.len(), 0);
    assert!(at_entries * 10 <= traps);
    assert!(inlined > 0 && traps > 0 || count < 50);
}

#[test]
fn gdb_shows_the_same_call_tree_with_unique_lines() {
    compare(&NATIVE, Lines::Unique, count());
}

#[test]
fn gdb_shows_the_same_call_tree_with_shared_lines() {
    compare(&NATIVE, Lines::Shared, count());
}

/// An emulator runs these.
#[test]
fn gdb_shows_the_same_call_tree_on_aarch64() {
    compare(&AARCH64, Lines::Unique, count().div_ceil(2));
}

#[test]
fn lldb_shows_the_same_call_tree_with_unique_lines() {
    compare(&LLDB, Lines::Unique, count());
}

#[test]
fn lldb_shows_the_same_call_tree_with_shared_lines() {
    compare(&LLDB, Lines::Shared, count());
}
