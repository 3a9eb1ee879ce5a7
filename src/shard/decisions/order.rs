//! The order of decisions.

use crate::graph::{CallGraph, ComponentId};
use crate::program::FunctionId;
use cranelift_entity::PrimaryMap;
use cranelift_entity::packed_option::PackedOption;
use std::collections::BTreeSet;

/// All functions by component, callees before their callers.
///
/// One shard comes after the other, as far as the calls allow, and again from the first on until all
/// functions have come: most functions call those of their own shard, and the facts about a shard
/// are then in the processor's caches.
#[derive(Default)]
pub(super) struct Order {
    functions: Vec<FunctionId>,
    /// The end of each component's part of them.
    ends: Vec<u32>,
}

impl Order {
    pub(super) fn new(graph: &CallGraph, shard_of: impl Fn(FunctionId) -> usize) -> Self {
        let mut ready = Ready::new(graph, shard_of);
        let mut order = Order {
            functions: Vec::with_capacity(graph.function_count()),
            ends: Vec::with_capacity(graph.component_count()),
        };
        let mut shard = 0;
        while let Some(next) = ready.shard_from(shard) {
            shard = next;
            while let Some(component) = ready.pop(shard) {
                let members = graph.members(component);
                order.functions.extend_from_slice(members);
                let end = u32::try_from(order.functions.len()).unwrap_or(u32::MAX);
                order.ends.push(end);
                ready.done(component);
            }
        }
        order
    }

    /// Returns the functions of each component.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[FunctionId]> {
        let mut begin = 0;
        self.ends.iter().map(move |&end| {
            let range = begin..end as usize;
            begin = end as usize;
            self.functions.get(range).unwrap_or_default()
        })
    }
}

/// The components whose callees have all come, by shard.
struct Ready<'g, F> {
    graph: &'g CallGraph,
    shard_of: F,
    /// The calls of each component that lead to others which have not come yet.
    waits: PrimaryMap<ComponentId, u32>,
    /// The last one of each shard, and the one before each.
    last: Vec<PackedOption<ComponentId>>,
    before: PrimaryMap<ComponentId, PackedOption<ComponentId>>,
    /// The shards that have any.
    shards: BTreeSet<usize>,
}

impl<'g, F: Fn(FunctionId) -> usize> Ready<'g, F> {
    fn new(graph: &'g CallGraph, shard_of: F) -> Self {
        let components = graph.component_count();
        let mut ready = Ready {
            graph,
            shard_of,
            waits: std::iter::repeat_n(0, components).collect(),
            last: Vec::new(),
            before: std::iter::repeat_n(None.into(), components).collect(),
            shards: BTreeSet::new(),
        };
        for id in graph.program().ids() {
            let Some(own) = graph.component(id) else {
                continue;
            };
            let callees = graph.called_functions(id);
            let others = callees.filter(|&callee| graph.component(callee) != Some(own));
            let others = u32::try_from(others.count()).unwrap_or(u32::MAX);
            ready.waits[own] = ready.waits[own].saturating_add(others);
        }
        for id in graph.program().ids().rev() {
            if let Some(component) = graph.component(id)
                && ready.waits[component] == 0
                && graph.members(component).first() == Some(&id)
            {
                ready.push(component);
            }
        }
        ready
    }

    fn push(&mut self, component: ComponentId) {
        let first = self.graph.members(component).first();
        let shard = first.map_or(0, |&id| (self.shard_of)(id));
        if shard >= self.last.len() {
            self.last.resize(shard + 1, None.into());
        }
        let before = std::mem::replace(&mut self.last[shard], component.into());
        if before.is_none() {
            self.shards.insert(shard);
        }
        self.before[component] = before;
    }

    /// Returns the next shard that has any, from one on and then from the first on.
    fn shard_from(&self, shard: usize) -> Option<usize> {
        let next = self.shards.range(shard..).next();
        next.or_else(|| self.shards.first()).copied()
    }

    fn pop(&mut self, shard: usize) -> Option<ComponentId> {
        let last = self.last.get_mut(shard)?;
        let component = last.expand()?;
        *last = self.before[component];
        if last.is_none() {
            self.shards.remove(&shard);
        }
        Some(component)
    }

    /// Notes that a component has come.
    fn done(&mut self, component: ComponentId) {
        let graph = self.graph;
        for &member in graph.members(component) {
            for caller in graph.calling_functions(member) {
                let Some(around) = graph.component(caller).filter(|&other| other != component)
                else {
                    continue;
                };
                let waits = &mut self.waits[around];
                *waits = waits.saturating_sub(1);
                if *waits == 0 {
                    self.push(around);
                }
            }
        }
    }
}
