//! The strongly connected components of a call graph, and the order among them.

use super::ids::Span;
use super::{CallEdge, CallNode};
use crate::program::{FunctionId, Program};
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap, entity_impl};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

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
        /// The number of functions in its component.
        size: usize,
    },
    /// It calls itself, and also others that lead back to it.
    DirectAndMutual {
        /// The number of functions in its component.
        size: usize,
    },
}

impl Recursion {
    /// Returns whether a call leads back to the function at all.
    pub fn is_recursive(self) -> bool {
        self != Recursion::None
    }
}

/// A [`Recursion`] in less memory.
#[derive(Clone, Copy, Debug, Default)]
struct Packed {
    /// Whether the function calls itself.
    direct: bool,
    /// The number of functions in its component.
    size: u32,
}

/// All components of a graph in bottom-up order.
#[derive(Clone, Debug, Default)]
pub(super) struct Components {
    /// The functions by component.
    order: Vec<FunctionId>,
    /// Each component's part of `order`.
    parts: PrimaryMap<ComponentId, Span>,
    component_of: PrimaryMap<FunctionId, ComponentId>,
    /// Components that lead to each other over calls and addresses that are taken have one number.
    cycle_of: PrimaryMap<ComponentId, u32>,
    recursion: PrimaryMap<FunctionId, Packed>,
}

/// A component before its place in the order is known.
struct Found {
    /// The height of its cycle, and its own among those of the cycle.
    height: (usize, usize),
    cycle: u32,
    members: Vec<FunctionId>,
}

impl Components {
    pub(super) fn new(
        program: &Program,
        graph: &DiGraph<CallNode, CallEdge>,
        addressed: &PrimaryMap<FunctionId, Box<[FunctionId]>>,
    ) -> Self {
        let rank = ranks_by_name(program);
        let mut found = find(graph, program.len());
        find_cycles(graph, addressed, &mut found);
        for component in &mut found {
            component.members.sort_unstable_by_key(|&id| rank[id]);
        }
        let least = |component: &Found| component.members.first().map(|&id| rank[id]);
        found.sort_by_cached_key(|component| (component.height, least(component)));

        let mut components = Components {
            order: Vec::with_capacity(program.len()),
            parts: PrimaryMap::with_capacity(found.len()),
            component_of: PrimaryMap::with_capacity(program.len()),
            cycle_of: PrimaryMap::with_capacity(found.len()),
            recursion: PrimaryMap::new(),
        };
        let mut component_of: SecondaryMap<FunctionId, Option<ComponentId>> = SecondaryMap::new();
        for component in found {
            let start = components.order.len();
            components.order.extend(component.members);
            let part = start..components.order.len();
            let id = components.parts.push(part.clone().into());
            components.cycle_of.push(component.cycle);
            for &member in components.order.get(part).unwrap_or_default() {
                component_of[member] = Some(id);
            }
        }
        for component in program.ids().filter_map(|id| component_of[id]) {
            components.component_of.push(component);
        }
        components.recursion = program
            .ids()
            .map(|id| components.recursion_in(graph, id))
            .collect();
        components
    }

    fn recursion_in(&self, graph: &DiGraph<CallNode, CallEdge>, id: FunctionId) -> Packed {
        let node = petgraph::graph::NodeIndex::new(id.index());
        let size = self.of(id).map_or(1, |own| self.members(own).len());
        Packed {
            direct: graph.neighbors(node).any(|callee| callee == node),
            size: u32::try_from(size).unwrap_or(u32::MAX),
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

    pub(super) fn cycle(&self, component: ComponentId) -> Option<u32> {
        self.cycle_of.get(component).copied()
    }

    pub(super) fn members(&self, component: ComponentId) -> &[FunctionId] {
        let part = self.parts.get(component).copied().unwrap_or_default();
        self.order.get(part.range()).unwrap_or_default()
    }

    pub(super) fn recursion(&self, id: FunctionId) -> Recursion {
        let Packed { direct, size } = self.recursion.get(id).copied().unwrap_or_default();
        let size = size as usize;
        match (direct, size > 1) {
            (false, false) => Recursion::None,
            (true, false) => Recursion::Direct,
            (false, true) => Recursion::Mutual { size },
            (true, true) => Recursion::DirectAndMutual { size },
        }
    }
}

/// Returns each function's place when all are sorted by name.
fn ranks_by_name(program: &Program) -> SecondaryMap<FunctionId, usize> {
    // Nearly all comparisons are of the keys, which lie together.
    let functions = program.iter();
    let mut by_name: Vec<_> = functions
        .map(|(id, function)| (function.name().sort_key(), id))
        .collect();
    by_name.sort_unstable_by(|(key, id), (other_key, other)| {
        let names = || program[*id].name().cmp(program[*other].name());
        key.cmp(other_key).then_with(names)
    });
    let mut rank = SecondaryMap::with_capacity(program.len());
    for (place, (_, id)) in by_name.into_iter().enumerate() {
        rank[id] = place;
    }
    rank
}

/// Returns the components of the first `function_count` nodes, callees first. Their heights and
/// cycles are still to be found.
fn find(graph: &DiGraph<CallNode, CallEdge>, function_count: usize) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for nodes in kosaraju_scc(graph) {
        let functions = nodes.iter().filter(|node| node.index() < function_count);
        let members: Vec<_> = functions
            .map(|node| FunctionId::new(node.index()))
            .collect();
        if !members.is_empty() {
            found.push(Found {
                height: (0, 0),
                cycle: 0,
                members,
            });
        }
    }
    found
}

/// Finds which components are in one cycle of calls and addresses, and the heights.
///
/// `found` must have callees first.
fn find_cycles(
    graph: &DiGraph<CallNode, CallEdge>,
    addressed: &PrimaryMap<FunctionId, Box<[FunctionId]>>,
    found: &mut [Found],
) {
    if addressed.values().all(|addressed| addressed.is_empty()) {
        find_heights(graph, addressed.len(), found);
    } else {
        find_cycles_over_addresses(graph, addressed, found);
    }
}

/// Finds the heights where no address is taken: each component is a cycle of its own.
fn find_heights(graph: &DiGraph<CallNode, CallEdge>, function_count: usize, found: &mut [Found]) {
    let mut heights = vec![0usize; function_count];
    for (number, component) in (0u32..).zip(found) {
        let members = component.members.iter();
        let callees = members.flat_map(|member| {
            let node = petgraph::graph::NodeIndex::new(member.index());
            graph.neighbors(node)
        });
        // Calls within the component find no height yet, and those of external functions none.
        let callees = callees.filter_map(|callee| heights.get(callee.index()));
        let height = callees.copied().max().unwrap_or(0);
        component.height = (height, 0);
        component.cycle = number;
        for &member in &component.members {
            if let Some(place) = heights.get_mut(member.index()) {
                *place = height + 1;
            }
        }
    }
}

fn find_cycles_over_addresses(
    graph: &DiGraph<CallNode, CallEdge>,
    addressed: &PrimaryMap<FunctionId, Box<[FunctionId]>>,
    found: &mut [Found],
) {
    let mut place: SecondaryMap<FunctionId, usize> = SecondaryMap::new();
    for (index, component) in found.iter().enumerate() {
        for &member in &component.members {
            place[member] = index;
        }
    }
    let calls = |component: &Found| {
        let mut called = Vec::new();
        for member in &component.members {
            let callees = graph.neighbors(petgraph::graph::NodeIndex::new(member.index()));
            let callees = callees.filter(|callee| callee.index() < addressed.len());
            called.extend(callees.map(|callee| place[FunctionId::new(callee.index())]));
        }
        called
    };
    let addresses = |component: &Found| {
        let members = component.members.iter();
        let addresses = members.flat_map(|&member| addressed.get(member).into_iter().flatten());
        addresses.map(|&id| place[id]).collect::<Vec<_>>()
    };
    let mut both: DiGraph<(), (), usize> = DiGraph::default();
    for _ in 0..found.len() {
        both.add_node(());
    }
    for (index, component) in found.iter().enumerate() {
        let to = calls(component).into_iter().chain(addresses(component));
        for to in to.filter(|&to| to != index) {
            both.add_edge(index.into(), to.into(), ());
        }
    }
    let cycles = kosaraju_scc(&both);
    for (number, cycle) in (0u32..).zip(&cycles) {
        for node in cycle {
            found[node.index()].cycle = number;
        }
    }
    let mut heights: Vec<usize> = Vec::with_capacity(cycles.len());
    for (number, mut cycle) in (0u32..).zip(cycles) {
        // Callees first, as in `found`.
        cycle.sort_unstable();
        let beyond = cycle.iter().flat_map(|&node| both.neighbors(node));
        let beyond = beyond.filter_map(|to| heights.get(found[to.index()].cycle as usize));
        let height = beyond.map(|height| height + 1).max().unwrap_or(0);
        heights.push(height);
        for node in cycle {
            let component = &found[node.index()];
            let within = calls(component).into_iter().filter_map(|callee| {
                let callee = found.get(callee).filter(|_| callee != node.index())?;
                (callee.cycle == number).then_some(callee.height.1 + 1)
            });
            let within = within.max().unwrap_or(0);
            found[node.index()].height = (height, within);
        }
    }
}
