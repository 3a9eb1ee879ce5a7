//! The first difference.

use super::tree::CopyId;
use crate::program::FunctionName;
use cranelift_codegen::ir::Inst;
use std::fmt;
use thiserror::Error;

/// The reason why [`check`](super::check) does not accept a function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The function is not the correct result of inlining.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// The function may be correct or not.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl CheckError {
    /// Returns the difference; `None` if the checker cannot tell.
    pub fn difference(&self) -> Option<&Difference> {
        match self {
            CheckError::Difference(difference) => Some(difference),
            CheckError::Undecided(_) => None,
        }
    }
}

/// The checker cannot tell whether a function is the correct result of inlining: its bound on work
/// was reached.
///
/// The head of the [module](super) describes the code for which this happens.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the checker cannot tell whether it is right; it stopped at: {suspicion}")]
pub struct Undecided {
    suspicion: Difference,
}

impl Undecided {
    pub(super) fn because_of(suspicion: Difference) -> Self {
        Undecided { suspicion }
    }

    /// Returns where the checker stopped, and the difference unless more work would explain it.
    pub fn suspicion(&self) -> &Difference {
        &self.suspicion
    }
}

/// A difference between a function and the correct result of inlining.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Difference {
    place: Option<(CopyId, FunctionName, Inst)>,
    result: Option<Inst>,
    message: String,
}

impl Difference {
    pub(super) fn at(
        copy: CopyId,
        function: FunctionName,
        inst: Inst,
        message: impl Into<String>,
    ) -> Self {
        Difference {
            place: Some((copy, function, inst)),
            result: None,
            message: message.into(),
        }
    }

    pub(super) fn in_result(inst: Inst, message: impl Into<String>) -> Self {
        Difference {
            place: None,
            result: Some(inst),
            message: message.into(),
        }
    }

    pub(super) fn with_result(mut self, inst: Inst) -> Self {
        self.result = Some(inst);
        self
    }

    /// Returns whether both were noticed at the same instruction, of the source or of the result.
    pub(super) fn is_at(&self, other: &Difference) -> bool {
        self.source_inst() == other.source_inst() || self.result == other.result
    }

    pub(super) fn general(message: impl Into<String>) -> Self {
        Difference {
            place: None,
            result: None,
            message: message.into(),
        }
    }

    pub(super) fn malformed(message: String) -> Self {
        Self::general(format!("a function is malformed: {message}"))
    }

    /// Returns the message, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the source instruction at which it was noticed, and the copy that holds it.
    pub fn source_inst(&self) -> Option<(CopyId, Inst)> {
        self.place.as_ref().map(|(copy, _, inst)| (*copy, *inst))
    }

    /// Returns the instruction of the result at which it was noticed.
    pub fn result_inst(&self) -> Option<Inst> {
        self.result
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((copy, function, inst)) = &self.place {
            write!(f, "{inst} of {function}")?;
            if *copy != super::CopyTree::ROOT {
                write!(f, " ({copy})")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        match self.result {
            Some(inst) => write!(f, " (at {inst} of the result)"),
            None => Ok(()),
        }
    }
}
