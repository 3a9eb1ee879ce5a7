//! The result behaves like the input.

use super::broken::{Broken, Property};
use super::code::Code;
use crate::execute::{ExecuteError, Invocation, Observation, interpret};
use crate::targets::{LEVELS, engine};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::Program;

/// The most instructions that the interpreter executes for one invocation.
const FUEL: u64 = 1_000_000;

/// Checks that each invocation calls the same functions of the host with the same arguments in the
/// same order, and ends in the same way: with the same results, the same trap or the same
/// exception; in the interpreter and natively before, and natively after, with and without
/// optimization.
///
/// If the interpreter cannot run an invocation, only the input's native behaviour counts. If that
/// cannot run either, the result is not checked. Invocations must
/// [end](crate::execute::NativeProgram#trust).
///
/// # Errors
///
/// The first invocation with a difference, and the difference.
pub fn behaves(
    before: &Program,
    inlined: &Inlined,
    invocations: &[Invocation],
) -> Result<(), Broken> {
    let interpreted = interpreted(before, invocations);
    for level in LEVELS {
        compare(before, inlined.program(), invocations, &interpreted, level)?;
    }
    Ok(())
}

/// Like [`behaves`], but natively at one level only.
///
/// # Errors
///
/// See [`behaves`].
pub fn behaves_at(
    before: &Program,
    inlined: &Inlined,
    invocations: &[Invocation],
    level: OptLevel,
) -> Result<(), Broken> {
    let interpreted = interpreted(before, invocations);
    compare(before, inlined.program(), invocations, &interpreted, level)
}

pub(super) fn interpreted(
    program: &Program,
    invocations: &[Invocation],
) -> Vec<Option<Observation>> {
    let invocations = invocations.iter();
    let observations = invocations.map(|invocation| interpret(program, invocation, FUEL).ok());
    observations.collect()
}

pub(super) fn compare(
    before: &Program,
    result: &Program,
    invocations: &[Invocation],
    interpreted: &[Option<Observation>],
    level: OptLevel,
) -> Result<(), Broken> {
    let Some(engine) = engine(level) else {
        return Ok(());
    };
    // An input that cannot run says nothing about the result.
    let Ok(code) = Code::of(engine, before) else {
        return Ok(());
    };
    let Ok(native) = code.link(engine, before) else {
        return Ok(());
    };
    let after = code.after(engine, before, result);
    let after = after.map_err(ExecuteError::from);
    let after = after.and_then(|after| after.link(engine, result));
    let after = after
        .map_err(|error| Broken::new(Property::Behaves, error.to_string()).at(level.to_string()))?;
    for (index, invocation) in invocations.iter().enumerate() {
        let broken = |difference: String, where_: &str| {
            let broken = Broken::new(Property::Behaves, difference);
            let place = format!("invocation {index}, {where_}, {level}");
            Err(broken.in_function(&invocation.function).at(place))
        };
        let reference = native.call(invocation);
        let interpreted = interpreted.get(index).and_then(Option::as_ref);
        if let (Some(interpreted), Ok(reference)) = (interpreted, &reference)
            && let Some(difference) = difference(interpreted, reference)
        {
            return broken(difference, "interpreted and native, before inlining");
        }
        let Some(expected) = interpreted.or(reference.as_ref().ok()) else {
            continue;
        };
        match after.call(invocation) {
            Ok(actual) => {
                if let Some(difference) = difference(expected, &actual) {
                    return broken(difference, "native, before and after inlining");
                }
            }
            Err(error) => return broken(error.to_string(), "native, after inlining"),
        }
    }
    Ok(())
}

/// Describes the difference of `actual` from `expected`.
fn difference(expected: &Observation, actual: &Observation) -> Option<String> {
    let calls = expected.host_calls.iter().zip(&actual.host_calls);
    for (number, (expected, actual)) in calls.enumerate() {
        if expected != actual {
            let (function, arguments) = (&actual.function, &actual.arguments);
            return Some(format!(
                "call {number} of the host is {function}{arguments:?} instead of {}{:?}",
                expected.function, expected.arguments
            ));
        }
    }
    let (count, expected_count) = (actual.host_calls.len(), expected.host_calls.len());
    if count != expected_count {
        return Some(format!(
            "{count} calls of the host instead of {expected_count}"
        ));
    }
    let (ending, expected) = (&actual.outcome, &expected.outcome);
    (ending != expected).then(|| format!("it ends with {ending:?} instead of {expected:?}"))
}
