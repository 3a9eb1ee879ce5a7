//! The facts about a function that are known before its body.

use crate::graph::Recursion;
use crate::program::{Attributes, FunctionName, Linkage};

/// Facts about a function before anything is inlined into it, for
/// [`Inline::rules_out`](super::Inline::rules_out).
///
/// In a [stream](crate::pass::Inliner::stream) they come from the function's
/// [declaration](crate::program::Declaration), otherwise from its body.
#[derive(Clone, Debug)]
pub struct EarlyCallee<'a> {
    pub(crate) name: &'a FunctionName,
    pub(crate) insts: usize,
    pub(crate) linkage: Linkage,
    pub(crate) attributes: Attributes,
    pub(crate) call_sites: usize,
    pub(crate) address_taken: bool,
    pub(crate) recursion: Recursion,
}

impl EarlyCallee<'_> {
    /// Returns its name.
    pub fn name(&self) -> &FunctionName {
        self.name
    }

    /// Returns its size, in instructions; long lists [count](super::Limits#sizes) as several.
    pub fn insts(&self) -> usize {
        self.insts
    }

    /// Returns its linkage.
    pub fn linkage(&self) -> Linkage {
        self.linkage
    }

    /// Returns the embedder's attributes.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Returns the number of call sites that call it.
    pub fn call_sites(&self) -> usize {
        self.call_sites
    }

    /// Returns whether its address is taken anywhere in the program, or a table holds it.
    pub fn is_address_taken(&self) -> bool {
        self.address_taken
    }

    /// Returns whether and how it calls itself.
    pub fn recursion(&self) -> Recursion {
        self.recursion
    }
}
