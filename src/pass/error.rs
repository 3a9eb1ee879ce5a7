//! Errors of the pass.

use crate::backend::{CompileError, VerifyError};
use crate::check::{CheckError, Difference, Undecided, Unproved};
use crate::program::FunctionName;
use thiserror::Error;

/// Why the pass did not finish.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PassError {
    /// A function does not verify. At [`Stage::Input`] the front end's body has the error. After any
    /// other stage, and if the bodies that it calls are valid, please report it: a stage of this crate
    /// is wrong.
    #[error("{function} does not verify {}: {source}", when(*.stage))]
    Verifier {
        /// The function.
        function: FunctionName,
        /// The stage that ran last.
        stage: Stage,
        /// The error of Cranelift's verifier.
        source: VerifyError,
    },
    /// By the [checker](crate::check), a function is not the correct result of inlining. A stage of
    /// this crate is wrong: please report it.
    #[error("{function} is wrong after {stage}: {source}")]
    Check {
        /// The function.
        function: FunctionName,
        /// The stage that ran last.
        stage: Stage,
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
    #[error("{function} after {stage}: {source}")]
    Undecided {
        /// The function.
        function: FunctionName,
        /// The stage that ran last.
        stage: Stage,
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

    /// Converts an error of the checker about `function` after `stage`.
    pub(super) fn of_check(error: CheckError, function: FunctionName, stage: Stage) -> Self {
        match error {
            CheckError::Difference(source) => PassError::Check {
                function,
                stage,
                source,
            },
            CheckError::Undecided(source) => PassError::Undecided {
                function,
                stage,
                source,
            },
        }
    }
}

fn when(stage: Stage) -> String {
    match stage {
        Stage::Input => "before inlining".to_owned(),
        stage => format!("after {stage}"),
    }
}

/// A stage after which a function can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The front end's work: the body as it came.
    Input,
    /// Splicing.
    Splice,
    /// Clean-up.
    Cleanup,
    /// Optimizing.
    Optimize,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Input => "translation",
            Stage::Splice => "splicing",
            Stage::Cleanup => "clean-up",
            Stage::Optimize => "optimizing",
        })
    }
}
