//! Programs made from random bytes: valid, and ending always.

use crate::program::Program;
use crate::testing::execute::Invocation;

/// A program and what to run in it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The functions. Calls of functions that it does not define are calls of the host.
    pub program: Program,
    /// Calls from outside to exported functions, with arguments of the right types.
    pub invocations: Vec<Invocation>,
}
