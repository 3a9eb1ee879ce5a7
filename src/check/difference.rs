//! The first thing that is wrong.

use super::tree::CopyId;
use cranelift_codegen::ir::Inst;
use std::fmt;
use thiserror::Error;

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
