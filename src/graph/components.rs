//! The strongly connected components of a call graph, and the order among them.

use super::edges::Edges;
use super::ids::Span;
use super::strong::{Strong, strong_components};
use crate::program::{FunctionId, Program};
use cranelift_entity::{EntityRef, PrimaryMap, entity_impl};

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
#[derive(Clone, Copy, Default)]
struct Found {
    /// The height of its cycle, and its own among those of the cycle.
    height: (u32, u32),
    cycle: u32,
}

impl Components {
    pub(super) fn new(
        program: &Program,
        edges: &Edges,
        addressed: &PrimaryMap<FunctionId, Box<[FunctionId]>>,
    ) -> Self {
        let count = program.len();
        let mut strong = edges.strong_components();
        // The component of each function, by its number in the order in which they were found.
        let mut found_in = vec![0u32; count];
        for (number, members) in (0u32..).zip(strong.iter()) {
            for member in members {
                if let Some(place) = found_in.get_mut(member.index()) {
                    *place = number;
                }
            }
        }
        let found = match addressed.values().all(|addressed| addressed.is_empty()) {
            true => heights(edges, &strong, &found_in),
            false => heights_over_addresses(edges, addressed, &strong, &found_in),
        };
        let order = in_order(program, &mut strong, &found, &found_in);
        drop(found_in);

        let mut components = Components {
            order: Vec::with_capacity(count),
            parts: PrimaryMap::with_capacity(order.len()),
            component_of: std::iter::repeat_n(ComponentId(0), count).collect(),
            cycle_of: PrimaryMap::with_capacity(order.len()),
            recursion: std::iter::repeat_n(Packed::default(), count).collect(),
        };
        for number in order {
            let number = number as usize;
            let members = strong.members(number);
            let start = components.order.len();
            components.order.extend_from_slice(members);
            let part = start..components.order.len();
            let id = components.parts.push(part.into());
            let cycle = found.get(number).map_or(0, |found| found.cycle);
            components.cycle_of.push(cycle);
            for &member in members {
                components.component_of[member] = id;
                components.recursion[member] = Packed {
                    direct: edges
                        .callees_of(member)
                        .iter()
                        .any(|callee| callee.index() == member.index()),
                    size: u32::try_from(members.len()).unwrap_or(u32::MAX),
                };
            }
        }
        components
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

/// Sorts the members of each component by name, and returns the components' numbers in the
/// bottom-up order: by height, and among equal heights by the least name.
fn in_order(
    program: &Program,
    strong: &mut Strong<FunctionId>,
    found: &[Found],
    found_in: &[u32],
) -> Vec<u32> {
    let by_name = by_name(program);
    // Each component takes its members as they come, so that the first one is the least.
    let mut next: Vec<u32> = vec![0; strong.len()];
    let mut order: Vec<u32> = Vec::with_capacity(strong.len());
    for id in by_name {
        let Some(&number) = found_in.get(id.index()) else {
            continue;
        };
        let Some(next) = next.get_mut(number as usize) else {
            continue;
        };
        if *next == 0 {
            order.push(number);
        }
        let members = strong.members_mut(number as usize);
        if let Some(place) = members.get_mut(*next as usize) {
            *place = id;
        }
        *next += 1;
    }
    let height = |number: u32| {
        found
            .get(number as usize)
            .map_or((0, 0), |found| found.height)
    };
    if found.iter().any(|found| found.height.1 > 0) {
        order = sorted_by(&order, |number| height(number).1);
    }
    sorted_by(&order, |number| height(number).0)
}

/// Returns numbers by keys that are no more than they are. Those with the same key stay in order.
fn sorted_by(numbers: &[u32], key: impl Fn(u32) -> u32) -> Vec<u32> {
    let keys = numbers.iter().map(|&number| key(number) as usize);
    let mut ends = vec![0usize; keys.clone().max().map_or(0, |max| max + 1)];
    keys.clone().for_each(|key| ends[key] += 1);
    let mut end = 0;
    for place in &mut ends {
        end += *place;
        *place = end;
    }
    let mut sorted = vec![0; numbers.len()];
    for (&number, key) in numbers.iter().zip(keys).rev() {
        ends[key] -= 1;
        sorted[ends[key]] = number;
    }
    sorted
}

/// Returns the functions in the order of their names.
fn by_name(program: &Program) -> impl Iterator<Item = FunctionId> {
    // Nearly all comparisons are of the keys, which lie together.
    let functions = program.iter();
    let mut by_name: Vec<_> = functions
        .map(|(id, function)| (function.name().sort_key(), id))
        .collect();
    by_name.sort_unstable_by(|(key, id), (other_key, other)| {
        let names = || program[*id].name().cmp(program[*other].name());
        key.cmp(other_key).then_with(names)
    });
    by_name.into_iter().map(|(_, id)| id)
}

/// Finds the heights where no address is taken: each component is a cycle of its own.
fn heights(edges: &Edges, strong: &Strong<FunctionId>, found_in: &[u32]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::with_capacity(strong.len());
    for (number, members) in (0u32..).zip(strong.iter()) {
        let callees = members.iter().flat_map(|&member| edges.callees_of(member));
        // Calls within the component find none yet, and those of external functions neither.
        let below = callees.filter_map(|callee| found.get(*found_in.get(callee.index())? as usize));
        let height = below.map(|below| below.height.0 + 1).max().unwrap_or(0);
        found.push(Found {
            height: (height, 0),
            cycle: number,
        });
    }
    found
}

/// Finds which components are in one cycle of calls and addresses, and the heights.
fn heights_over_addresses(
    edges: &Edges,
    addressed: &PrimaryMap<FunctionId, Box<[FunctionId]>>,
    strong: &Strong<FunctionId>,
    found_in: &[u32],
) -> Vec<Found> {
    let calls = |number: usize| {
        let callees = strong
            .members(number)
            .iter()
            .flat_map(|&id| edges.callees_of(id));
        callees.filter_map(|callee| found_in.get(callee.index()).copied())
    };
    let addresses = |number: usize| {
        let addressed = strong
            .members(number)
            .iter()
            .flat_map(|&id| addressed.get(id));
        let addressed = addressed.flat_map(|addressed| addressed.iter());
        addressed.filter_map(|id| found_in.get(id.index()).copied())
    };
    // The components to which each leads.
    let mut heads: Vec<ComponentId> = Vec::new();
    let mut of: Vec<Span> = Vec::with_capacity(strong.len());
    for number in 0..strong.len() {
        let start = heads.len();
        let to = calls(number).chain(addresses(number));
        heads.extend(to.filter(|&to| to as usize != number).map(ComponentId));
        of.push((start..heads.len()).into());
    }
    let span = |id: ComponentId| of.get(id.index()).copied().unwrap_or_default();
    let cycles: Strong<ComponentId> = strong_components(of.len(), &heads, span);
    let mut found = vec![Found::default(); of.len()];
    for (number, cycle) in (0u32..).zip(cycles.iter()) {
        for id in cycle {
            found[id.index()].cycle = number;
        }
    }
    let mut heights: Vec<u32> = Vec::with_capacity(cycles.len());
    let mut cycle: Vec<ComponentId> = Vec::new();
    for (number, members) in (0u32..).zip(cycles.iter()) {
        cycle.clear();
        cycle.extend(members);
        // Callees first, as they were found.
        cycle.sort_unstable();
        let beyond = cycle.iter().flat_map(|&id| heads.get(span(id).range()));
        let beyond = beyond
            .flatten()
            .filter_map(|to| heights.get(found[to.index()].cycle as usize));
        let height = beyond.map(|height| height + 1).max().unwrap_or(0);
        heights.push(height);
        for id in &cycle {
            let within = calls(id.index()).filter_map(|callee| {
                let callee = found
                    .get(callee as usize)
                    .filter(|_| callee as usize != id.index())?;
                (callee.cycle == number).then_some(callee.height.1 + 1)
            });
            let within = within.max().unwrap_or(0);
            found[id.index()].height = (height, within);
        }
    }
    found
}
