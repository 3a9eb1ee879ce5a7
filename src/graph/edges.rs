//! The nodes and edges of a call graph, in lists in the order of the edges' sources.

use super::ids::Span;
use super::strong::{Strong, strong_components};
use super::{CallEdge, CallKind, CallNode, NodeId, SiteId};
use crate::program::FunctionId;
use cranelift_codegen::ir::{Block, Inst};
use cranelift_entity::packed_option::ReservedValue;
use cranelift_entity::{EntityRef, PrimaryMap};

/// Nodes and edges. The edges of a function follow each other, in the order of its layout.
#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    pub(super) nodes: Vec<CallNode>,
    /// The edges of each function.
    pub(super) of: PrimaryMap<FunctionId, Span>,
    callers: Vec<FunctionId>,
    pub(super) callees: Vec<NodeId>,
    kinds: Vec<CallKind>,
    ordinals: Vec<u32>,
    /// The instructions of edges; there may be none for the last ones.
    places: Vec<(Inst, Block)>,
    /// The edges that lead to functions, sorted by callee.
    incoming: Vec<SiteId>,
    /// The begin of each function's part of them, and at last their end.
    incoming_from: Vec<u32>,
}

impl Edges {
    /// Creates the nodes of functions, without edges.
    pub(super) fn new(functions: usize, sites: usize) -> Self {
        Edges {
            nodes: (0..functions)
                .map(|index| CallNode::Function(FunctionId::new(index)))
                .collect(),
            of: PrimaryMap::with_capacity(functions),
            callers: Vec::with_capacity(sites),
            callees: Vec::with_capacity(sites),
            kinds: Vec::with_capacity(sites),
            ordinals: Vec::with_capacity(sites),
            places: Vec::new(),
            incoming: Vec::new(),
            incoming_from: Vec::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.callees.len()
    }

    /// Adds an edge of the caller that has the last ones.
    pub(super) fn push(&mut self, caller: FunctionId, callee: NodeId, edge: CallEdge) {
        if !edge.inst.is_reserved_value() {
            let none = (Inst::reserved_value(), Block::reserved_value());
            self.places.resize(self.callees.len(), none);
            self.places.push((edge.inst, edge.block));
        }
        self.callers.push(caller);
        self.callees.push(callee);
        self.kinds.push(edge.kind);
        self.ordinals.push(edge.ordinal);
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&CallNode> {
        self.nodes.get(id.index())
    }

    pub(super) fn caller(&self, id: SiteId) -> Option<FunctionId> {
        self.callers.get(id.index()).copied()
    }

    pub(super) fn callee(&self, id: SiteId) -> Option<NodeId> {
        self.callees.get(id.index()).copied()
    }

    pub(super) fn edge(&self, id: SiteId) -> Option<CallEdge> {
        let index = id.index();
        let none = || (Inst::reserved_value(), Block::reserved_value());
        let (inst, block) = self.places.get(index).copied().unwrap_or_else(none);
        Some(CallEdge {
            inst,
            block,
            kind: *self.kinds.get(index)?,
            ordinal: *self.ordinals.get(index)?,
        })
    }

    #[cfg(feature = "shards")]
    pub(super) fn ordinal(&self, id: SiteId) -> Option<u32> {
        self.ordinals.get(id.index()).copied()
    }

    /// Returns the strongly connected components of functions.
    pub(super) fn strong_components(&self) -> Strong<FunctionId> {
        strong_components(self.of.len(), &self.callees, |id| {
            self.of.get(id).copied().unwrap_or_default()
        })
    }

    /// Returns the callees of a function, in the order of its edges.
    pub(super) fn callees_of(&self, id: FunctionId) -> &[NodeId] {
        let span = self.of.get(id).copied().unwrap_or_default();
        self.callees.get(span.range()).unwrap_or_default()
    }

    /// Returns the edges that lead to a function.
    pub(super) fn incoming(&self, id: FunctionId) -> &[SiteId] {
        let begin = self.incoming_from.get(id.index());
        let end = self.incoming_from.get(id.index() + 1);
        let range = begin
            .zip(end)
            .map(|(&begin, &end)| begin as usize..end as usize);
        range
            .and_then(|range| self.incoming.get(range))
            .unwrap_or_default()
    }

    /// Returns the number of edges that lead to a function.
    pub(super) fn incoming_count(&self, id: FunctionId) -> usize {
        let begin = self.incoming_from.get(id.index());
        let end = self.incoming_from.get(id.index() + 1);
        begin
            .zip(end)
            .map_or(0, |(&begin, &end)| end.saturating_sub(begin) as usize)
    }

    /// Finds the edges that lead to each function, after all edges were added.
    pub(super) fn find_incoming(&mut self) {
        let functions = self.of.len();
        // First the ends of the parts, then, as edges are added from the last to the first, their
        // begins.
        let mut places = vec![0u32; functions + 1];
        for callee in &self.callees {
            if callee.index() < functions
                && let Some(count) = places.get_mut(callee.index())
            {
                *count += 1;
            }
        }
        let mut end = 0u32;
        for place in &mut places {
            end += *place;
            *place = end;
        }
        let mut incoming = vec![SiteId::reserved_value(); end as usize];
        for (index, callee) in self.callees.iter().enumerate().rev() {
            if callee.index() < functions
                && let Some(place) = places.get_mut(callee.index())
            {
                *place -= 1;
                if let Some(entry) = incoming.get_mut(*place as usize) {
                    *entry = SiteId::new(index);
                }
            }
        }
        (self.incoming, self.incoming_from) = (incoming, places);
    }
}
