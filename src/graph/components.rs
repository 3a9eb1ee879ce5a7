//! The strongly connected components of a call graph, and the order among them.

use super::{CallEdge, CallNode};
use crate::program::{FunctionId, Program};
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap, entity_impl};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;
use std::ops::Range;

/// A strongly connected component of a call graph: its place in the bottom-up order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(u32);
entity_impl!(ComponentId, "component");

/// Whether and how direct calls lead from a function back to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Recursion {
    /// No direct call leads back.
    #[default]
    None,
    /// The function calls itself, and no other function that it calls leads back to it.
    Direct,
    /// It calls others that lead back to it, but not itself.
    Mutual {
        /// How many functions its component has.
        size: usize,
    },
    /// It calls itself, and also others that lead back to it.
    DirectAndMutual {
        /// How many functions its component has.
        size: usize,
    },
}

impl Recursion {
    /// Whether a call leads back to the function at all.
    pub fn is_recursive(self) -> bool {
        self != Recursion::None
    }

    /// Whether the function calls itself.
    pub fn is_direct(self) -> bool {
        matches!(self, Recursion::Direct | Recursion::DirectAndMutual { .. })
    }
}

/// All components of a graph in bottom-up order.
#[derive(Clone, Debug, Default)]
pub(super) struct Components {
    /// The functions by component.
    order: Vec<FunctionId>,
    /// Each component's part of `order`.
    parts: PrimaryMap<ComponentId, Range<usize>>,
    component_of: PrimaryMap<FunctionId, ComponentId>,
    recursion: PrimaryMap<FunctionId, Recursion>,
}

/// A component before its place in the order is known.
struct Found {
    height: usize,
    members: Vec<FunctionId>,
}

impl Components {
    pub(super) fn new(program: &Program, graph: &DiGraph<CallNode, CallEdge>) -> Self {
        let rank = ranks_by_name(program);
        let mut found = find(graph, program.len());
        for component in &mut found {
            component.members.sort_unstable_by_key(|&id| rank[id]);
        }
        let least = |component: &Found| component.members.first().map(|&id| rank[id]);
        found.sort_by_cached_key(|component| (component.height, least(component)));

        let mut components = Components::default();
        let mut component_of: SecondaryMap<FunctionId, Option<ComponentId>> = SecondaryMap::new();
        for component in found {
            let start = components.order.len();
            components.order.extend(component.members);
            let part = start..components.order.len();
            let id = components.parts.push(part.clone());
            for &member in components.order.get(part).unwrap_or_default() {
                component_of[member] = Some(id);
            }
        }
        components.component_of = program.ids().filter_map(|id| component_of[id]).collect();
        components.recursion = program
            .ids()
            .map(|id| components.recursion_in(graph, id))
            .collect();
        components
    }

    fn recursion_in(&self, graph: &DiGraph<CallNode, CallEdge>, id: FunctionId) -> Recursion {
        let node = petgraph::graph::NodeIndex::new(id.index());
        let direct = graph.neighbors(node).any(|callee| callee == node);
        let size = self.of(id).map_or(1, |own| self.members(own).len());
        match (direct, size > 1) {
            (false, false) => Recursion::None,
            (true, false) => Recursion::Direct,
            (false, true) => Recursion::Mutual { size },
            (true, true) => Recursion::DirectAndMutual { size },
        }
    }

    pub(super) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &[FunctionId]> + ExactSizeIterator {
        self.parts.keys().map(|component| self.members(component))
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn of(&self, id: FunctionId) -> Option<ComponentId> {
        self.component_of.get(id).copied()
    }

    pub(super) fn members(&self, component: ComponentId) -> &[FunctionId] {
        let part = self.parts.get(component).cloned().unwrap_or_default();
        self.order.get(part).unwrap_or_default()
    }

    pub(super) fn recursion(&self, id: FunctionId) -> Recursion {
        self.recursion.get(id).copied().unwrap_or_default()
    }
}

/// Each function's place when all are sorted by name.
fn ranks_by_name(program: &Program) -> SecondaryMap<FunctionId, usize> {
    let mut by_name: Vec<_> = program.iter().collect();
    by_name.sort_unstable_by_key(|(_, function)| function.name());
    let mut rank = SecondaryMap::with_capacity(program.len());
    for (place, (id, _)) in by_name.into_iter().enumerate() {
        rank[id] = place;
    }
    rank
}

/// The components of the first `function_count` nodes, callees first, with their heights.
fn find(graph: &DiGraph<CallNode, CallEdge>, function_count: usize) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    // A node's component in `found`; names that nobody defines have none.
    let mut place = vec![None; graph.node_count()];
    for nodes in kosaraju_scc(graph) {
        let own = Some(found.len());
        let mut members = Vec::new();
        for &node in &nodes {
            if node.index() < function_count {
                members.push(FunctionId::new(node.index()));
                place[node.index()] = own;
            }
        }
        if members.is_empty() {
            continue;
        }
        let callees = nodes.iter().flat_map(|&node| graph.neighbors(node));
        let height = callees
            .filter_map(|callee| place[callee.index()])
            .filter_map(|component| found.get(component))
            .map(|callee: &Found| callee.height + 1)
            .max()
            .unwrap_or(0);
        found.push(Found { height, members });
    }
    found
}
