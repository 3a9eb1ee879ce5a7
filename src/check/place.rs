//! Places in the result, and the terms that values equal there.

use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Inst, Value};
use smallvec::SmallVec;

/// A term that a source value can be equal to.
///
/// A returned value or a payload of an exception exists only on an edge.
pub(super) type Term = BlockArg;

/// The terms that equal a source value on every path seen so far.
pub(super) type Terms = SmallVec<[Term; 2]>;

/// The place where the result goes on.
#[derive(Clone, Copy)]
pub(super) enum Next {
    At(Inst),
    Along(BlockCall),
}

/// The next instruction of the result that is not a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(Inst),
    /// The result loops forever without an effect.
    Spins,
}

/// The end of a stretch of the result without effects, and the crossings on the way there.
pub(super) struct Settled {
    pub(super) place: Place,
    pub(super) crossings: Vec<Crossing>,
    /// Branches that go one way on this path, if such are followed.
    pub(super) branches: Vec<Inst>,
}

/// Entering a block along an edge.
pub(super) struct Crossing {
    pub(super) block: Block,
    pub(super) passed: SmallVec<[(Value, Term); 4]>,
}

impl Crossing {
    pub(super) fn params(&self) -> impl Iterator<Item = Value> + '_ {
        self.passed.iter().map(|&(param, _)| param)
    }

    /// Returns the term of a value before the crossings, if it is defined by then.
    pub(super) fn before(&self, value: Value) -> Term {
        let passed = self.passed.iter().find(|&&(param, _)| param == value);
        passed.map_or(BlockArg::Value(value), |&(_, arg)| arg)
    }
}

/// Returns the terms of a value that is itself in the result.
pub(super) fn one(value: Value) -> Terms {
    [Term::Value(value)].into_iter().collect()
}
