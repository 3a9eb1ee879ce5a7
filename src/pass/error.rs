//! Errors of the pass.

use crate::backend::{CompileError, VerifyError};
use crate::check::{CheckError, Difference, Undecided, Unproved};
use crate::program::FunctionName;
use thiserror::Error;

/// Why the pass did not finish.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PassError {
    /// A function does not verify. At [`Step::Input`] the front end's body has the error. After any
    /// other step, and if the bodies that it calls are valid, please report it: this crate is
    /// wrong.
    #[error("{function} does not verify {}: {source}", when(*.step))]
    Verifier {
        /// The function.
        function: FunctionName,
        /// The step that ran last.
        step: Step,
        /// The error of Cranelift's verifier.
        source: VerifyError,
    },
    /// By the [checker](crate::check), a function is not the correct result of inlining. This crate
    /// is wrong: please report it.
    #[error("{function} is wrong after {step}: {source}")]
    Check {
        /// The function.
        function: FunctionName,
        /// The step that ran last.
        step: Step,
        /// The first difference.
        source: Difference,
    },
    /// By the [checker](crate::check), a function behaves differently after optimizing, or in a way
    /// that the checker cannot follow. In either case, please report it.
    #[error("{function} is not proved after optimizing: {source}")]
    CheckOptimized {
        /// The function.
        function: FunctionName,
        /// The difference, or the place that the checker cannot follow.
        source: Unproved,
    },
    /// The [checker](crate::check) cannot tell whether a function is the correct result of
    /// inlining. It may well be correct: without the checker the pass returns it.
    #[error("{function} after {step}: {source}")]
    Undecided {
        /// The function.
        function: FunctionName,
        /// The step that ran last.
        step: Step,
        /// Where the checker stopped.
        source: Undecided,
    },
    /// A function does not compile, not even as it was before inlining.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl PassError {
    /// Returns whether the [checker](crate::check) cannot tell if a function is correct, without
    /// having found a difference.
    pub fn is_undecided(&self) -> bool {
        match self {
            PassError::Undecided { .. } => true,
            PassError::CheckOptimized { source, .. } => matches!(source, Unproved::CannotTell(_)),
            _ => false,
        }
    }

    /// Returns the function that the error is about.
    pub fn function(&self) -> &FunctionName {
        match self {
            PassError::Verifier { function, .. }
            | PassError::Check { function, .. }
            | PassError::CheckOptimized { function, .. }
            | PassError::Undecided { function, .. } => function,
            PassError::Compile(error) => error.function(),
        }
    }

    /// Converts an error of the checker about `function` after `step`.
    pub(super) fn of_check(error: CheckError, function: FunctionName, step: Step) -> Self {
        match error {
            CheckError::Difference(source) => PassError::Check {
                function,
                step,
                source,
            },
            CheckError::Undecided(source) => PassError::Undecided {
                function,
                step,
                source,
            },
        }
    }
}

fn when(step: Step) -> String {
    match step {
        Step::Input => "before inlining".to_owned(),
        step => format!("after {step}"),
    }
}

/// A step on a function, after which it can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The front end's work: the body as it came.
    Input,
    /// Splicing.
    Splice,
    /// Clean-up.
    Cleanup,
    /// Optimizing.
    Optimize,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Input => "translation",
            Step::Splice => "splicing",
            Step::Cleanup => "clean-up",
            Step::Optimize => "optimizing",
        })
    }
}
