//! Differences between the stops of two builds of a program.

use super::programs::Subject;
use super::session::{Frame, Stop};
use std::fmt::Write;

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
