//! Summaries taken apart into tables.

use super::{Index, local_name};
use crate::decide::ResultWays;
use crate::graph::SiteId;
use crate::program::{FunctionId, FunctionName, Linkage, Program, ProgramFunction};
use crate::shard::error::ThinError;
use crate::shard::names::Names;
use crate::shard::owners::Owners;
use crate::shard::passed::PackedValue;
use crate::shard::stubs::stubs;
use crate::shard::summary::{FunctionSummary, Parameter, ShardLinkage, ShardSummary, number};
use crate::shard::tables::{Facts, InProgram, Member, Place, Shard, Site};
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap};
use rustc_hash::{FxHashMap, FxHashSet};

impl Index {
    /// Joins the shards. `exported` are the functions that code outside of all shards may refer to;
    /// `None` if that is all exported ones.
    pub(in crate::shard) fn new(
        mut summaries: Vec<ShardSummary>,
        exported: Option<&FxHashSet<FunctionName>>,
    ) -> Result<Self, ThinError> {
        summaries.sort_by(|a, b| a.shard.cmp(&b.shard));
        for pair in summaries.windows(2) {
            if let [a, b] = pair
                && a.shard == b.shard
            {
                return Err(ThinError::DuplicateShard(a.shard.clone()));
            }
        }
        let (stubs, signatures) = stubs(&summaries)?;
        let mut index = Index {
            shards: Vec::with_capacity(summaries.len()),
            program: Program::new(),
            names: Names::default(),
            functions: PrimaryMap::new(),
            places: PrimaryMap::new(),
            hashes: PrimaryMap::new(),
            addresses: FxHashMap::default(),
            parameters: Vec::new(),
            results: Vec::new(),
            sites: Vec::new(),
            targets: Vec::new(),
            external: FxHashMap::default(),
            stubs,
            passed: Vec::new(),
            wide: Vec::new(),
            branches: Vec::new(),
            counts: Vec::new(),
        };
        index.define(&summaries, &signatures, exported)?;
        index.add_sites(summaries, &signatures);
        Ok(index)
    }

    /// Adds every function that is kept to the program, and finds the function behind each name of
    /// each shard.
    fn define(
        &mut self,
        summaries: &[ShardSummary],
        signatures: &[Vec<u32>],
        exported: Option<&FxHashSet<FunctionName>>,
    ) -> Result<(), ThinError> {
        let mut owners = Owners::new(summaries)?;
        let count = summaries.iter().map(|summary| summary.functions.len());
        let count: usize = count.sum();
        self.functions.reserve(count);
        self.places.reserve(count);
        self.hashes.reserve(count);
        let mut functions = Vec::with_capacity(count);
        for (shard, (summary, signatures)) in summaries.iter().zip(signatures).enumerate() {
            for (number, function) in summary.functions.iter().enumerate() {
                let Some(original) = summary.name(function.name) else {
                    continue;
                };
                let is_local = function.linkage == ShardLinkage::Local;
                let id = FunctionId::new(self.functions.len());
                if !owners.take(shard, number, id) {
                    continue;
                }
                let name = match is_local {
                    true => local_name(&summary.shard, &original.function_name()),
                    false => original.function_name(),
                };
                let is_inner = exported.is_some_and(|exported| !exported.contains(&name));
                let linkage = match function.linkage {
                    ShardLinkage::Local => Linkage::Local,
                    ShardLinkage::Exported | ShardLinkage::Once if is_inner => Linkage::Local,
                    ShardLinkage::Exported | ShardLinkage::Once => Linkage::Exported,
                    ShardLinkage::Interposable => Linkage::Interposable,
                    ShardLinkage::AvailableExternally => Linkage::AvailableExternally,
                };
                let signature = signatures.get(function.signature as usize).copied();
                let signature = signature.unwrap_or(u32::MAX);
                let Some(stub) = self.stubs.get(signature as usize).cloned() else {
                    debug_assert!(false, "all signatures were parsed");
                    continue;
                };
                let attributes = function.attributes();
                functions.push(
                    ProgramFunction::elsewhere(name, stub)
                        .with_linkage(linkage)
                        .with_attributes(attributes),
                );
                let in_program = InProgram {
                    linkage,
                    attributes,
                };
                self.add_facts((shard, number), signature, function, in_program);
            }
        }
        // The names come from text.
        self.program = Program::of_functions(functions).map_err(|(index, name)| {
            let place = self.places.get(FunctionId::new(index));
            let shard = place.and_then(|place| summaries.get(place.shard as usize));
            ThinError::NameTaken {
                shard: shard.map_or_else(String::new, |summary| summary.shard.clone()),
                name,
            }
        })?;
        self.names = Names::of(&self.program);
        for (shard, summary) in summaries.iter().enumerate() {
            let mut targets: Vec<PackedOption<FunctionId>> = vec![None.into(); summary.names.len()];
            let mut is_own = vec![false; summary.names.len()];
            let mut members = Vec::with_capacity(summary.functions.len());
            for (number, function) in summary.functions.iter().enumerate() {
                let given_way = || owners.id(summary.name(function.name)?);
                let id = owners.defined(shard, number).or_else(given_way);
                debug_assert!(
                    id.is_some(),
                    "each definition is kept or gives way to another"
                );
                let name = function.name as usize;
                if let Some((target, is_own)) = targets.get_mut(name).zip(is_own.get_mut(name)) {
                    (*target, *is_own) = (id.into(), true);
                }
                members.push(Member {
                    name: function.name,
                    linkage: function.linkage,
                    id: id.unwrap_or(FunctionId::new(0)),
                });
            }
            for ((name, target), is_own) in (0..).zip(&mut targets).zip(is_own) {
                if !is_own {
                    *target = summary.name(name).and_then(|name| owners.id(name)).into();
                }
            }
            self.shards.push(Shard {
                name: summary.shard.clone(),
                names: Names::default(),
                targets,
                members,
            });
        }
        Ok(())
    }

    fn add_facts(
        &mut self,
        (shard, place): (usize, usize),
        signature: u32,
        function: &FunctionSummary,
        in_program: InProgram,
    ) {
        self.hashes.push(function.hash);
        self.places.push(Place {
            shard: number(shard),
            number: number(place),
            name: function.name,
            insts: function.insts,
            calls: function.calls,
            indirect_calls: function.indirect_calls,
            linkage: function.linkage,
        });
        self.functions.push(Facts {
            slot_bytes: bytes(function.slot_bytes),
            frame_bytes: bytes(function.frame_bytes),
            own_slot_insts: function.own_slot_insts,
            own_slot_bytes: bytes(function.own_slot_bytes),
            signature,
            blocks: function.blocks,
            returns: function.returns,
            loops: function.loops,
            // Added with the sites.
            first_parameter: 0,
            parameters: 0,
            first_result: 0,
            results: 0,
            first_site: 0,
            sites: 0,
            flags: function.flags,
            in_program,
        });
    }

    /// Takes the sites, and the lists of facts, out of the summaries: one list after the other, so
    /// that no more than one is in memory twice.
    fn add_sites(&mut self, mut summaries: Vec<ShardSummary>, signatures: &[Vec<u32>]) {
        let all = &mut summaries;
        self.parameters
            .reserve_exact(sum(all, |summary| summary.parameters.len()));
        self.for_each_function(all, |index, summary, function, id| {
            index.functions[id].first_parameter = number(index.parameters.len());
            index.functions[id].parameters = function.parameters;
            let parameters = summary.parameters_of(function).iter();
            index.parameters.extend(parameters.map(Parameter::uses));
        });
        all.iter_mut()
            .for_each(|summary| summary.parameters = Vec::new());
        self.results
            .reserve_exact(sum(all, |summary| summary.results.len()));
        self.for_each_function(all, |index, summary, function, id| {
            index.functions[id].first_result = number(index.results.len());
            index.functions[id].results = function.results;
            let results = summary.results_of(function).iter();
            index.results.extend(results.map(|&(constant, all)| {
                let mut ways = ResultWays::default();
                (ways.constant, ways.all) = (constant, all);
                ways
            }));
            let addresses = summary.addresses_of(function);
            if !addresses.is_empty() {
                index.addresses.insert(id, addresses.into());
            }
        });
        all.iter_mut().for_each(|summary| {
            summary.results = Vec::new();
            summary.addresses = Vec::new();
        });
        self.passed
            .reserve_exact(sum(all, |summary| summary.passed.len()));
        self.branches
            .reserve_exact(sum(all, |summary| summary.branches.len()));
        self.for_each_function(all, |index, summary, function, _| {
            for site in summary.sites_of(function) {
                for value in summary.passed_by(site) {
                    let value = PackedValue::of(*value, &mut index.wide);
                    index.passed.push(value);
                }
                let branches = summary.branches_of(site).iter();
                index
                    .branches
                    .extend(branches.map(|&count| u16::try_from(count).unwrap_or(u16::MAX)));
            }
        });
        all.iter_mut().for_each(|summary| {
            summary.passed = Vec::new();
            summary.branches = Vec::new();
        });
        let sites = sum(all, |summary| summary.sites.len());
        self.sites.reserve_exact(sites);
        self.targets.reserve_exact(sites);
        let (mut first_passed, mut first_branch) = (0u32, 0u32);
        self.for_each_function(all, |index, summary, function, id| {
            let shard = index.places[id].shard as usize;
            index.functions[id].first_site = number(index.sites.len());
            index.functions[id].sites = function.sites;
            let targets = index.shards.get(shard).map(|shard| &shard.targets[..]);
            let targets = targets.unwrap_or_default();
            let signatures = signatures.get(shard).map(|numbers| &numbers[..]);
            let signatures = signatures.unwrap_or_default();
            for (place, site) in (function.first_site..).zip(summary.sites_of(function)) {
                let here = number(index.sites.len());
                let target = targets.get(site.callee as usize).copied();
                let target = target.unwrap_or_default();
                if target.is_none() {
                    index.external.insert(here, site.callee);
                }
                let count = summary
                    .counts
                    .binary_search_by_key(&place, |&(site, _)| site);
                if let Some(&(_, count)) = count.ok().and_then(|at| summary.counts.get(at)) {
                    index.counts.push((SiteId::new(here as usize), count));
                }
                let signature = signatures.get(site.signature as usize).copied();
                index.targets.push(target);
                index.sites.push(Site {
                    signature: signature.unwrap_or(u32::MAX),
                    location: site.location,
                    first_passed,
                    first_branch,
                    passed: site.passed,
                    branches: site.results,
                    kind: site.kind,
                    flags: site.flags,
                    loop_depth: site.loop_depth,
                    hint: site.hint,
                });
                first_passed = first_passed.saturating_add(site.passed.into());
                first_branch = first_branch.saturating_add(site.results.into());
            }
        });
        for (shard, summary) in self.shards.iter_mut().zip(summaries) {
            shard.names = summary.names;
        }
    }

    /// Calls `each` with the summary of each function of the program, in their order.
    fn for_each_function(
        &mut self,
        summaries: &[ShardSummary],
        mut each: impl FnMut(&mut Self, &ShardSummary, &FunctionSummary, FunctionId),
    ) {
        for id in self.ids() {
            let place = &self.places[id];
            let (shard, function) = (place.shard as usize, place.number as usize);
            let summary = summaries.get(shard);
            let found =
                summary.and_then(|summary| Some((summary, summary.functions.get(function)?)));
            let Some((summary, function)) = found else {
                debug_assert!(false, "the facts are those of a function");
                continue;
            };
            each(self, summary, function, id);
        }
    }
}

fn sum(summaries: &[ShardSummary], count: fn(&ShardSummary) -> usize) -> usize {
    summaries.iter().map(count).sum()
}

/// Returns a size of a stack. One of more than 4 GiB exceeds all limits anyway.
fn bytes(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
