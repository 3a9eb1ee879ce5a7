//! The functions that each shard needs, by the decisions on all calls.

use super::decisions::Decisions;
use super::index::Index;
use crate::graph::CallGraph;
use crate::program::FunctionId;
use cranelift_entity::{EntityRef, EntitySet};

/// The functions that one shard needs. Each list is in the order of the program.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The functions of the shard itself that are live, or inlined into live ones.
    pub(super) own: Box<[FunctionId]>,
    /// The functions of other shards whose bodies it needs.
    pub(super) imports: Box<[FunctionId]>,
}

impl Needs {
    pub(super) fn is_imported(&self, id: FunctionId) -> bool {
        self.imports.binary_search(&id).is_ok()
    }

    /// Returns all functions with a body in the shard.
    pub(super) fn bodies(&self) -> impl Iterator<Item = FunctionId> {
        self.own.iter().chain(&self.imports).copied()
    }
}

/// The needs of all shards.
pub(super) struct AllNeeds {
    pub(super) of: Vec<Needs>,
    /// The functions to which another shard than their own refers.
    pub(super) needed: EntitySet<FunctionId>,
}

impl AllNeeds {
    pub(super) fn new(index: &Index, graph: &CallGraph, decisions: &Decisions<'_>) -> Self {
        let mut finder = Finder {
            index,
            graph,
            decisions,
            live: EntitySet::with_capacity(index.functions.len()),
            needed: EntitySet::with_capacity(index.functions.len()),
            marks: vec![Mark::None; index.functions.len()],
        };
        finder.find_live();
        let shards = 0..index.shards.len();
        let of = shards.map(|shard| finder.of(shard)).collect();
        AllNeeds {
            of,
            needed: finder.needed,
        }
    }
}

/// The list of a shard's needs that has a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Own,
    Import,
}

struct Finder<'a> {
    index: &'a Index,
    graph: &'a CallGraph,
    decisions: &'a Decisions<'a>,
    /// The functions that are part of the program in the end.
    live: EntitySet<FunctionId>,
    needed: EntitySet<FunctionId>,
    /// Of the present shard, by function.
    marks: Vec<Mark>,
}

impl Finder<'_> {
    /// Follows references from the functions that code outside may call, through bodies as they are
    /// in the end.
    fn find_live(&mut self) {
        let is_root = |id: &FunctionId| self.index.functions[*id].in_program.linkage.is_kept();
        let mut work: Vec<FunctionId> = self.index.ids().filter(is_root).collect();
        self.live.extend(work.iter().copied());
        let mut live = std::mem::take(&mut self.live);
        while let Some(id) = work.pop() {
            self.for_each_reference(id, |callee| {
                if live.insert(callee) {
                    work.push(callee);
                }
            });
        }
        self.live = live;
    }

    /// Calls `each` with the functions to which a function refers in the end: calls that stay, and
    /// all addresses.
    fn for_each_reference(&self, id: FunctionId, mut each: impl FnMut(FunctionId)) {
        let kept = self.decisions.kept(id).iter();
        let kept = kept.filter_map(|step| self.index.target(step.site()));
        kept.for_each(&mut each);
        self.graph.addressed(id).iter().copied().for_each(&mut each);
        if !self.index.takes_addresses() {
            return;
        }
        let inlined = self.decisions.inlined(id).iter();
        for callee in inlined.filter_map(|step| self.index.target(step.site())) {
            let addressed = self.graph.addressed(callee).iter();
            addressed.copied().for_each(&mut each);
        }
    }

    fn of(&mut self, shard: usize) -> Needs {
        let members = self.index.shards.get(shard).map(|shard| &shard.members[..]);
        let members = members.unwrap_or_default().iter().enumerate();
        let is_kept = |number, id| self.index.is_kept(shard, number, id);
        let mut own: Vec<FunctionId> = members
            .filter(|&(number, member)| is_kept(number, member.id))
            .map(|(_, member)| member.id)
            .filter(|&id| self.live.contains(id))
            .collect();
        let mut imports = Vec::new();
        let mut needed = std::mem::take(&mut self.needed);
        for &id in &own {
            self.marks[id.index()] = Mark::Own;
            self.for_each_reference(id, |reference| {
                if self.index.shard_of(reference) != shard {
                    needed.insert(reference);
                }
            });
        }
        let mut work = own.clone();
        while let Some(id) = work.pop() {
            for step in self.decisions.inlined(id).new_ones() {
                let Some(callee) = self.index.target(step.site()) else {
                    continue;
                };
                if self.marks[callee.index()] != Mark::None {
                    continue;
                }
                work.push(callee);
                self.marks[callee.index()] = match self.index.shard_of(callee) == shard {
                    true => {
                        own.push(callee);
                        Mark::Own
                    }
                    false => {
                        imports.push(callee);
                        Mark::Import
                    }
                };
            }
        }
        // A body that is here only to be inlined may stay in the end, if a call of it stays against
        // the plan: its references must then be there, as bodies or as symbols.
        for &id in own.iter().chain(&imports) {
            for reference in self.index.references(self.graph, id) {
                if self.index.shard_of(reference) != shard
                    && self.marks[reference.index()] != Mark::Import
                {
                    needed.insert(reference);
                }
            }
        }
        self.needed = needed;
        for &id in own.iter().chain(&imports) {
            self.marks[id.index()] = Mark::None;
        }
        own.sort_unstable();
        imports.sort_unstable();
        Needs {
            own: own.into_boxed_slice(),
            imports: imports.into_boxed_slice(),
        }
    }
}
