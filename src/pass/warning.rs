//! Warnings about probable mistakes of the embedder.

use crate::program::{Linkage, Program};
use std::fmt;

/// A property of a valid program that makes its result of little use.
/// [`Inlined::warnings`](super::Inlined::warnings) lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// All functions are local, so nothing can call them and all are dropped.
    NothingExported {
        /// The number of functions.
        functions: usize,
    },
}

impl Warning {
    pub(super) fn of(program: &Program) -> Vec<Self> {
        let linkages = || program.iter().map(|(_, function)| function.linkage());
        let functions = linkages()
            .filter(|linkage| *linkage == Linkage::Local)
            .count();
        if functions == 0 || linkages().any(Linkage::is_kept) {
            return Vec::new();
        }
        vec![Self::NothingExported { functions }]
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingExported { functions } => write!(
                f,
                "no function is exported, so nothing can call them and all {functions} are dropped"
            ),
        }
    }
}
