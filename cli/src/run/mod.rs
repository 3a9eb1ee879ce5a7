//! Runs the `; run:` and `; print:` directives of CLIF files natively.
//!
//! The work has four parts, each its own module:
//!
//! 1. [`script`] reads a file's header (`test`, `set`, `target`, `feature` lines) and its
//!    directives, and selects their targets.
//! 2. [`host`] builds, for each target, an instruction set that this machine can execute, or the
//!    reason why it cannot.
//! 3. [`compile`] and [`link`] compile the functions that the directives reach and link them in
//!    memory. If a directive needs something that is missing (an external function, thread-local
//!    storage), it is skipped, and the others run.
//! 4. [`IsolatedProgram`](cranelift_inliner_testing::execute::IsolatedProgram) calls the code, in
//!    a forked child of this process.
//!
//! A trap, a wild store or an endless loop in the compiled code ends only the child. The current
//! directive fails, with the name of the signal, and a new child continues with the next one.
//!
//! [`execute`] takes the functions separately from the file, so that a file's directives can be
//! checked against its functions after inlining.

mod compile;
mod host;
mod link;
mod script;

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use cranelift_codegen::data_value::{DataValue, DisplayDataValues};
use cranelift_codegen::ir;
use cranelift_inliner::panics;
use cranelift_inliner::program::FunctionName;
use cranelift_inliner_testing::execute::{
    ExecuteError, Invocation, IsolatedOutcome, SharedCounters, check_signature,
};
use cranelift_reader::{Comparison, RunCommand};

pub(crate) use script::Script;

use compile::Obstacle;
use host::Host;
use link::Program;
use script::{Directive, Parsed, Plan, Target};

/// The outcome of a file's directives.
///
/// Each directive counts once for each target that its file names.
#[derive(Debug, Default)]
pub(crate) struct RunReport {
    /// The number of directives that held. A `print:` holds if its call returns.
    pub(crate) passed: usize,
    /// The directives that did not hold, in the order of targets, then of lines.
    pub(crate) failed: Vec<Failure>,
    /// The skipped directives, in the same order.
    pub(crate) passed_over: Vec<PassedOver>,
    /// The output of `print:` directives, one text each: `%f(1) -> 42`.
    pub(crate) printed: Vec<String>,
}

impl RunReport {
    /// Appends the outcome of another file.
    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.passed_over.extend(other.passed_over);
        self.printed.extend(other.printed);
    }

    /// Returns the number of skipped directives.
    pub(crate) fn directives_passed_over(&self) -> usize {
        self.passed_over.iter().map(|entry| entry.directives).sum()
    }
}

/// A directive that does not hold. Displayed as `file:line: message (target ...)`.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The file of the directive.
    pub(crate) path: PathBuf,
    /// The directive's line, counted from 1.
    pub(crate) line: usize,
    /// The expected and the actual result.
    pub(crate) message: String,
    /// The target of the run, like in the file's `target` line, or `host`.
    pub(crate) target: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            message,
            target,
        } = self;
        write!(f, "{}:{line}: {message} (target {target})", path.display())
    }
}

/// Skipped directives. Displayed as `file:line: reason`, or `file: reason` if the reason covers all
/// directives of the file or of one target.
#[derive(Debug)]
pub(crate) struct PassedOver {
    /// The file of the directives.
    pub(crate) path: PathBuf,
    /// The line of a single directive, counted from 1, or `None` for all directives of the file.
    pub(crate) line: Option<usize>,
    /// The number of directives that the reason covers.
    pub(crate) directives: usize,
    /// The reason.
    pub(crate) reason: String,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

/// Runs the directives of `script` against `functions`, once for each target of the script that
/// this machine can execute.
///
/// `functions` are all functions of the module, with distinct names; they may come from more files
/// than the script's. A directive calls the function before it in its file, found in `functions` by
/// name. So an earlier pass must keep that function (exported) and its signature; a missing
/// function is a failure.
///
/// If there are `counters`, they are at the symbol
/// [`COUNTERS`](cranelift_inliner::profile::COUNTERS).
pub(crate) fn execute<F: Borrow<ir::Function> + Sync>(
    script: &Script,
    functions: &[F],
    counters: Option<&SharedCounters>,
) -> RunReport {
    let mut report = RunReport::default();
    if script.directives.is_empty() {
        return report;
    }
    let functions: Vec<&ir::Function> = functions.iter().map(Borrow::borrow).collect();
    match &script.plan {
        Plan::PassOver(reason) => pass_over_all(script, reason.clone(), &mut report),
        Plan::Run(targets) => {
            for target in targets {
                match Host::for_target(target) {
                    Ok(host) => {
                        execute_on(&host, target, script, &functions, counters, &mut report)
                    }
                    Err(reason) => {
                        let reason = format!("target {}: {reason}", target.label);
                        pass_over_all(script, reason, &mut report);
                    }
                }
            }
        }
    }
    report
}

fn pass_over_all(script: &Script, reason: String, report: &mut RunReport) {
    report.passed_over.push(PassedOver {
        path: script.path.clone(),
        line: None,
        directives: script.directives.len(),
        reason,
    });
}

/// A directive that can be called.
struct Ready<'a> {
    directive: &'a Directive,
    parsed: Parsed,
    invocation: Invocation,
}

fn execute_on(
    host: &Host,
    target: &Target,
    script: &Script,
    functions: &[&ir::Function],
    counters: Option<&SharedCounters>,
    report: &mut RunReport,
) {
    let by_name: HashMap<FunctionName, &ir::Function> = functions
        .iter()
        .map(|function| (FunctionName::from(function.name.clone()), *function))
        .collect();
    let mut verdicts = Vec::new();
    let mut ready = Vec::new();
    for directive in &script.directives {
        match prepare(directive, &by_name) {
            Ok(call) => ready.push(call),
            Err(obstacle) => verdicts.push((directive.line, Verdict::from(obstacle))),
        }
    }

    let wanted = ready.iter().map(|call| call.invocation.function.clone());
    match caught(|| Program::link(host, &by_name, &script.tables, wanted, counters))
        .and_then(|linked| linked)
    {
        Err(message) => {
            for call in &ready {
                let verdict = Verdict::Failed(format!("linking: {message}"));
                verdicts.push((call.directive.line, verdict));
            }
        }
        Ok(program) => {
            ready.retain(|call| match program.obstacle(&call.invocation.function) {
                None => true,
                Some(obstacle) => {
                    verdicts.push((call.directive.line, obstacle.clone().into()));
                    false
                }
            });
            let invocations = ready.iter().map(|call| &call.invocation);
            let outcomes = program.code.call_all(invocations);
            for (call, outcome) in ready.iter().zip(outcomes) {
                verdicts.push((call.directive.line, judge(&call.parsed, outcome)));
            }
        }
    }

    verdicts.sort_by_key(|(line, _)| *line);
    for (line, verdict) in verdicts {
        match verdict {
            Verdict::Held => report.passed += 1,
            Verdict::Printed(text) => {
                report.passed += 1;
                report.printed.push(text);
            }
            Verdict::Failed(message) => report.failed.push(Failure {
                path: script.path.clone(),
                line,
                message,
                target: target.label.clone(),
            }),
            Verdict::PassedOver(reason) => report.passed_over.push(PassedOver {
                path: script.path.clone(),
                line: Some(line),
                directives: 1,
                reason: format!("target {}: {reason}", target.label),
            }),
        }
    }
}

fn prepare<'a>(
    directive: &'a Directive,
    by_name: &HashMap<FunctionName, &ir::Function>,
) -> Result<Ready<'a>, Obstacle> {
    let function = FunctionName::from(directive.function.clone());
    let callee = by_name.get(&function).ok_or_else(|| {
        Obstacle::Fails(format!(
            "{function} is not among the functions of the program"
        ))
    })?;
    let signature = &callee.signature;
    check_signature(signature)
        .map_err(|reason| Obstacle::PassOver(format!("a directive cannot call it: {reason}")))?;
    let parsed = caught(|| directive.parse(signature))
        .and_then(|parsed| parsed)
        .map_err(Obstacle::Fails)?;
    let arguments = parsed.arguments().to_vec();
    Ok(Ready {
        directive,
        parsed,
        invocation: Invocation {
            function,
            arguments,
        },
    })
}

enum Verdict {
    Held,
    Printed(String),
    Failed(String),
    PassedOver(String),
}

impl From<Obstacle> for Verdict {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Fails(message) => Self::Failed(message),
            Obstacle::PassOver(reason) => Self::PassedOver(reason),
        }
    }
}

fn judge(parsed: &Parsed, outcome: Result<IsolatedOutcome, ExecuteError>) -> Verdict {
    let actual = match outcome {
        Ok(IsolatedOutcome::Returned(values)) => values,
        Ok(IsolatedOutcome::Ended(how)) => return Verdict::Failed(format!("{parsed}: {how}")),
        Ok(other) => return Verdict::Failed(format!("{parsed}: {other:?}")),
        Err(ExecuteError::Unsupported { reason }) => return Verdict::PassedOver(reason),
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    let holds = match parsed {
        Parsed::Truthy(_) => any_bit_set(&actual),
        Parsed::Command(RunCommand::Print(invocation)) => {
            let printed = format!("{invocation} -> {}", DisplayDataValues(&actual));
            return Verdict::Printed(printed);
        }
        Parsed::Command(RunCommand::Run(_, comparison, expected)) => {
            // Bits are compared, not values: a NaN with another payload is another result.
            let equal = actual.len() == expected.len()
                && actual.iter().zip(expected).all(|(a, b)| a.bitwise_eq(b));
            match comparison {
                Comparison::Equals => equal,
                Comparison::NotEquals => !equal,
            }
        }
    };
    if holds {
        Verdict::Held
    } else {
        let actual = DisplayDataValues(&actual);
        Verdict::Failed(format!("{}, but it returned {actual}", parsed))
    }
}

fn any_bit_set(values: &[DataValue]) -> bool {
    values.iter().any(|value| {
        let mut bytes = [0; 16];
        value.write_to_slice_ne(&mut bytes);
        bytes.iter().any(|&byte| byte != 0)
    })
}

/// Calls into Cranelift, which may panic on malformed input, and returns the panic's message.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panics::catch(work).map_err(|message| format!("Cranelift panicked: {message}"))
}
