//! Numbers of the nodes and sites of a call graph.

use cranelift_entity::entity_impl;
use std::ops::Range;

/// A call site of a [`CallGraph`](super::CallGraph).
///
/// Sites are numbered from 0, by caller in input order, and then in the order of the caller's
/// layout. A number means the same site in every graph of the same program;
/// [`SiteName`](super::SiteName) identifies it in other programs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(u32);
entity_impl!(SiteId, "site");

/// A node of a [`CallGraph`](super::CallGraph): a function or an external name.
///
/// The functions of the program come first, with the numbers of their
/// [ids](crate::program::FunctionId).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);
entity_impl!(NodeId, "node");

/// A part of a list of sites or functions. Their numbers have 32 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Takes the first number out.
    pub(super) fn take_first(&mut self) -> Option<usize> {
        let first = self.start;
        (first < self.end).then(|| {
            self.start += 1;
            first as usize
        })
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Span {
            start: number(range.start),
            end: number(range.end),
        }
    }
}
