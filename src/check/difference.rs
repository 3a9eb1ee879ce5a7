//! The first thing that is wrong.

use super::tree::CopyId;
use cranelift_codegen::ir::Inst;
use std::fmt;
use thiserror::Error;

/// Why [`check`](super::check) does not accept a function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The function is not what inlining should have made of it.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// The function may be right or not.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl CheckError {
    /// What is wrong; `None` where the checker cannot tell whether anything is.
    pub fn difference(&self) -> Option<&Difference> {
        match self {
            CheckError::Difference(difference) => Some(difference),
            CheckError::Undecided(_) => None,
        }
    }
}

/// The checker cannot tell whether a function is what inlining should have made of it: the work
/// that it allows itself did not suffice.
///
/// Of code that no bounded effort of this kind decides, see the head of the [module](super).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the checker cannot tell whether it is right; it stopped at: {suspicion}")]
pub struct Undecided {
    suspicion: Difference,
}

impl Undecided {
    pub(super) fn because_of(suspicion: Difference) -> Self {
        Undecided { suspicion }
    }

    /// Where the checker stopped, and what would be wrong if more work did not explain it.
    pub fn suspicion(&self) -> &Difference {
        &self.suspicion
    }
}

/// How a function differs from what inlining should have made of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Difference {
    place: Option<(CopyId, String, Inst)>,
    result: Option<Inst>,
    message: String,
}

impl Difference {
    pub(super) fn at(
        copy: CopyId,
        function: String,
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

    /// Whether the other was noticed at the same instruction, of the source or of the result.
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

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The source instruction at which it was noticed, and the copy that holds
    /// it.
    pub fn source_inst(&self) -> Option<(CopyId, Inst)> {
        self.place.as_ref().map(|(copy, _, inst)| (*copy, *inst))
    }

    /// The instruction of the result at which it was noticed.
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
