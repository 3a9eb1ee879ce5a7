//! Errors of the steps.

use super::parse::ParseShardPlanError;
use crate::program::{FunctionName, ProgramError};
use thiserror::Error;

/// Why no plans can be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ThinError {
    /// Two summaries are of one shard.
    #[error("two summaries are of the shard {0}")]
    DuplicateShard(String),
    /// Two shards define a function that only one may define.
    #[error("{name} is defined in {first} and again in {second}")]
    DuplicateDefinition {
        /// The function.
        name: FunctionName,
        /// The shard with the first definition.
        first: String,
        /// The shard with the other one.
        second: String,
    },
    /// A name that a local function would get is taken.
    #[error("{shard}: the name {name} is taken")]
    NameTaken {
        /// The shard of the local function.
        shard: String,
        /// The name.
        name: FunctionName,
    },
    /// A summary has a signature that is not CLIF.
    #[error("{shard}: `{signature}` is not a signature")]
    Signature {
        /// The shard of the summary.
        shard: String,
        /// The text.
        signature: String,
    },
    /// The plan of a shard was written so that it cannot be read. That is an error of this crate.
    #[error("{shard}: the plan that was made cannot be read: {problem}")]
    Plan {
        /// The shard.
        shard: String,
        /// The error in the plan.
        problem: ParseShardPlanError,
    },
    /// No shard defines a function that is to be exported.
    #[error("no shard defines {0}")]
    Undefined(FunctionName),
}

/// Why a shard cannot be put together with its imports.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The plan is about a function that the shard does not define.
    #[error(
        "{shard}: the plan is about {name}, which is not there; it was made for another version"
    )]
    Undefined {
        /// The shard.
        shard: String,
        /// The function.
        name: FunctionName,
    },
    /// Two functions would get the same name.
    #[error(transparent)]
    Program(#[from] ProgramError),
}
