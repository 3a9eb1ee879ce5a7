//! Proves that an optimised body does what the body before optimisation did.

mod bits;
mod contents;
mod effects;
mod entities;
mod evaluate;
mod facts;
mod fork;
mod labels;
mod liveness;
mod machine;
mod memory;
mod memory_calls;
mod nodes;
mod state;
mod surroundings;
mod tracking;
mod walk;

pub use surroundings::{Alone, MemoryCall, Surroundings};

use super::Difference;
use crate::panics;
use cranelift_codegen::ir::{BlockCall, Function, Inst};
use thiserror::Error;

/// Why an optimised body was not proved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unproved {
    /// It does something else than the body before.
    #[error("{0}")]
    Wrong(Difference),
    /// It may do the same, but the checker does not see it.
    #[error("cannot tell: {0}")]
    CannotTell(Difference),
}

impl Unproved {
    /// What differs, or what is not seen.
    pub fn difference(&self) -> &Difference {
        match self {
            Unproved::Wrong(difference) | Unproved::CannotTell(difference) => difference,
        }
    }

    fn wrong(message: impl Into<String>) -> Box<Self> {
        Box::new(Unproved::Wrong(Difference::general(message)))
    }

    fn cannot_tell(message: impl Into<String>) -> Box<Self> {
        Box::new(Unproved::CannotTell(Difference::general(message)))
    }
}

/// Proves that `after` does what `before` does.
///
/// # Errors
///
/// See [`Unproved`].
pub fn check_optimized(
    before: &Function,
    after: &Function,
    surroundings: &dyn Surroundings,
) -> Result<(), Unproved> {
    // The functions may be anything; Cranelift's accessors may panic on them.
    match panics::catch(|| walk::prove(before, after, surroundings)) {
        Ok(outcome) => outcome.map_err(|unproved| *unproved),
        Err(message) => Err(Unproved::Wrong(Difference::malformed(message))),
    }
}

/// Where an instruction branches to.
fn edges(func: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &func.dfg;
    dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
}
