//! The functions of all shards as one program, without bodies.
//!
//! The summaries are taken apart, one after the other: their sites and facts lie in the order of
//! the program's functions, so that decisions need no look-up of a shard.

mod build;

use super::hash::unique;
use super::names::{NameRef, Names};
use super::passed::PackedValue;
use super::summary::{Passed, function_flags, number, part};
use super::tables::{Facts, Place, Shard, Site};
use crate::decide::{ParameterUse, ResultWays};
use crate::graph::{CallGraph, CallNode, RecordedFunction, SiteId};
use crate::program::{FunctionId, FunctionName, Program};
use cranelift_codegen::ir::Function;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// All shards, in the order of their names.
pub(super) struct Index {
    pub(super) shards: Vec<Shard>,
    pub(super) program: Program,
    /// The names of the program's functions.
    names: Names,
    pub(super) functions: PrimaryMap<FunctionId, Facts>,
    pub(super) places: PrimaryMap<FunctionId, Place>,
    hashes: PrimaryMap<FunctionId, u128>,
    /// The number of the shard's name for each address that a function takes, by function.
    addresses: FxHashMap<FunctionId, Box<[u32]>>,
    /// The uses of parameters; those of each function follow each other.
    pub(super) parameters: Vec<ParameterUse>,
    results: Vec<ResultWays>,
    /// By their number in the graph.
    sites: Vec<Site>,
    /// The functions that they call, if a shard defines them.
    targets: Vec<PackedOption<FunctionId>>,
    /// The names of external callees in the shards of their callers.
    external: FxHashMap<u32, u32>,
    /// A function without instructions for each signature.
    stubs: Vec<Arc<Function>>,
    passed: Vec<PackedValue>,
    /// The integers among them that do not fit into 32 bits.
    wide: Vec<i64>,
    /// More branches are as good as 65,535.
    branches: Vec<u16>,
    /// The executions of sites.
    pub(super) counts: Vec<(SiteId, u64)>,
}

impl Index {
    /// Returns the call graph of all shards. Its sites have the same numbers.
    pub(super) fn graph(&self) -> CallGraph {
        let functions = self.functions.iter().map(|(id, facts)| {
            let place = &self.places[id];
            let shard = place.shard as usize;
            let sites = facts.sites().map(move |number| {
                let site = &self.sites[number];
                let callee = match self.targets[number].expand() {
                    Some(id) => CallNode::Function(id),
                    None => CallNode::External(self.external_name(shard, number)),
                };
                (site.kind.call_kind(), callee)
            });
            let addresses = self.addresses.get(&id).into_iter().flatten();
            RecordedFunction {
                sites,
                addressed: addresses.map(move |&name| self.node(shard, name)),
                indirect_calls: place.indirect_calls as usize,
                switches_stacks: facts.has(function_flags::SWITCHES_STACKS),
                size: place.insts as usize,
            }
        });
        CallGraph::of_recorded(&self.program, self.sites.len(), functions)
    }

    fn node(&self, shard: usize, name: u32) -> CallNode {
        let shard = self.shards.get(shard);
        let target = shard.and_then(|shard| shard.targets.get(name as usize)?.expand());
        match target {
            Some(id) => CallNode::Function(id),
            None => CallNode::External(
                shard
                    .and_then(|shard| shard.names.get(name))
                    .map_or_else(|| FunctionName::testcase(""), NameRef::function_name),
            ),
        }
    }

    fn external_name(&self, shard: usize, site: usize) -> FunctionName {
        let name = self.external.get(&number(site));
        let shard = self.shards.get(shard);
        let name = name.and_then(|&name| shard?.names.get(name));
        name.map_or_else(|| FunctionName::testcase(""), NameRef::function_name)
    }

    /// Frees the tables that only the graph needs.
    pub(super) fn forget_targets(&mut self) {
        if self.addresses.is_empty() {
            self.shards
                .iter_mut()
                .for_each(|shard| shard.targets = Vec::new());
        }
    }

    /// Returns the names that the body of a function has for functions that no shard defines.
    pub(super) fn external_names(&self, id: FunctionId) -> impl Iterator<Item = NameRef<'_>> {
        let facts = &self.functions[id];
        let shard = self.shards.get(self.places[id].shard as usize);
        let called = facts.sites().filter_map(|site| {
            let is_external = self.targets.get(site)?.is_none();
            is_external.then(|| self.external.get(&number(site)).copied())?
        });
        let addressed = self.addresses.get(&id).into_iter().flatten().copied();
        let addressed = addressed.filter(move |&name| {
            let target = shard.and_then(|shard| shard.targets.get(name as usize));
            target.is_none_or(|target| target.is_none())
        });
        let names = called.chain(addressed);
        names.filter_map(move |name| shard?.names.get(name))
    }

    /// Returns the name of a function in the whole program.
    pub(super) fn name(&self, id: FunctionId) -> NameRef<'_> {
        self.names.get(id.as_u32()).unwrap_or(NameRef::Text(""))
    }

    /// Returns the name of a function in the shard that defines it.
    pub(super) fn original_name(&self, id: FunctionId) -> NameRef<'_> {
        let place = &self.places[id];
        let shard = self.shards.get(place.shard as usize);
        let name = shard.and_then(|shard| shard.names.get(place.name));
        name.unwrap_or(NameRef::Text(""))
    }

    /// Returns the functions that a function calls or takes the address of. A function with several
    /// calls comes several times.
    pub(super) fn references<'i>(
        &'i self,
        graph: &'i CallGraph,
        id: FunctionId,
    ) -> impl Iterator<Item = FunctionId> + 'i {
        let called = self.functions[id].sites();
        let called = called.filter_map(|site| self.targets.get(site)?.expand());
        called.chain(graph.addressed(id).iter().copied())
    }

    /// Returns whether any function takes an address.
    pub(super) fn takes_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Returns whether a shard's function is the one that is kept.
    pub(super) fn is_kept(&self, shard: usize, number: usize, id: FunctionId) -> bool {
        self.places
            .get(id)
            .is_some_and(|place| (place.shard as usize, place.number as usize) == (shard, number))
    }

    pub(super) fn hash(&self, id: FunctionId) -> u128 {
        self.hashes.get(id).copied().unwrap_or_default()
    }

    pub(super) fn shard_of(&self, id: FunctionId) -> usize {
        self.places
            .get(id)
            .map_or(usize::MAX, |place| place.shard as usize)
    }

    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = FunctionId> + use<> {
        self.functions.keys()
    }

    pub(super) fn site(&self, id: SiteId) -> &Site {
        &self.sites[id.index()]
    }

    /// Returns the function that a site calls, if a shard defines it.
    pub(super) fn target(&self, id: SiteId) -> Option<FunctionId> {
        self.targets.get(id.index())?.expand()
    }

    /// Returns a function without instructions that has the signature of another.
    pub(super) fn stub(&self, facts: &Facts) -> Option<&Arc<Function>> {
        self.stubs.get(facts.signature as usize)
    }

    pub(super) fn value(&self, value: PackedValue) -> Passed {
        value.value(&self.wide)
    }

    pub(super) fn passed(&self, site: &Site) -> &[PackedValue] {
        part(&self.passed, site.first_passed, site.passed.into())
    }

    pub(super) fn branches(&self, site: &Site) -> &[u16] {
        part(&self.branches, site.first_branch, site.branches.into())
    }

    pub(super) fn results(&self, facts: &Facts) -> &[ResultWays] {
        part(&self.results, facts.first_result, facts.results)
    }
}

/// Returns the name of a local function of a shard that no other shard has: `%helper` becomes
/// `%helper_in_0123456789abcdef`.
pub(super) fn local_name(shard: &str, name: &FunctionName) -> FunctionName {
    let symbol: String = name
        .symbol()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    FunctionName::testcase(format!("{symbol}_in_{:016x}", unique(shard, name)))
}
