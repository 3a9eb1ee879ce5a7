//! Numbers of the nodes and sites of a call graph.

use cranelift_entity::entity_impl;

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
