//! The functions of all shards as one program, without bodies.

use super::error::ThinError;
use super::hash::unique;
use super::summary::{FunctionSummary, Name, Passed, ShardLinkage, ShardSummary, SiteSummary};
use crate::graph::{CallGraph, CallNode, RecordedFunction, SiteId};
use crate::panics;
use crate::program::{FunctionId, FunctionName, Linkage, Program, ProgramFunction};
use cranelift_codegen::ir::Function;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Where a function is defined: its shard, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) shard: usize,
    pub(super) function: usize,
}

/// All shards, in the order of their names.
pub(super) struct Index<'s> {
    pub(super) shards: Vec<&'s ShardSummary>,
    pub(super) program: Program,
    homes: PrimaryMap<FunctionId, Home>,
    /// The function that each name of each shard means there.
    targets: Vec<Vec<PackedOption<FunctionId>>>,
    /// The function of the program that each function of each shard is, or gives way to.
    ids: Vec<Vec<FunctionId>>,
    /// The number of each shard's signatures in the whole program.
    signatures: Vec<Vec<u32>>,
}

impl<'s> Index<'s> {
    /// Joins the shards. `exported` are the functions that code outside of all shards may refer to;
    /// `None` if that is all exported ones.
    pub(super) fn new(
        summaries: &'s [ShardSummary],
        exported: Option<&FxHashSet<FunctionName>>,
    ) -> Result<Self, ThinError> {
        let mut shards: Vec<&ShardSummary> = summaries.iter().collect();
        shards.sort_by(|a, b| a.shard.cmp(&b.shard));
        for pair in shards.windows(2) {
            if let [a, b] = pair
                && a.shard == b.shard
            {
                return Err(ThinError::DuplicateShard(a.shard.clone()));
            }
        }
        let (stubs, signatures) = stubs(&shards)?;
        let owners = Owners::new(&shards)?;
        let mut index = Index {
            targets: Vec::with_capacity(shards.len()),
            ids: Vec::with_capacity(shards.len()),
            homes: PrimaryMap::new(),
            program: Program::new(),
            signatures,
            shards,
        };
        index.define(&owners, &stubs, exported)?;
        index.resolve(&owners);
        Ok(index)
    }

    /// Adds every function that is kept to the program.
    fn define(
        &mut self,
        owners: &Owners,
        stubs: &[Arc<Function>],
        exported: Option<&FxHashSet<FunctionName>>,
    ) -> Result<(), ThinError> {
        for (shard, summary) in self.shards.iter().enumerate() {
            for (number, function) in summary.functions.iter().enumerate() {
                let home = Home {
                    shard,
                    function: number,
                };
                let Some(original) = summary.name(function.name).map(Name::function_name) else {
                    continue;
                };
                let is_local = function.linkage == ShardLinkage::Local;
                if !is_local && owners.by_name.get(&original) != Some(&home) {
                    continue;
                }
                let name = match is_local {
                    true => local_name(&summary.shard, &original),
                    false => original,
                };
                let is_inner = exported.is_some_and(|exported| !exported.contains(&name));
                let linkage = match function.linkage {
                    ShardLinkage::Local => Linkage::Local,
                    ShardLinkage::Exported | ShardLinkage::Once if is_inner => Linkage::Local,
                    ShardLinkage::Exported | ShardLinkage::Once => Linkage::Exported,
                    ShardLinkage::Interposable => Linkage::Interposable,
                    ShardLinkage::AvailableExternally => Linkage::AvailableExternally,
                };
                let signature = self.signature(shard, function.signature);
                let Some(stub) = stubs.get(signature as usize).cloned() else {
                    debug_assert!(false, "all signatures were parsed");
                    continue;
                };
                let function = ProgramFunction::elsewhere(name.clone(), stub)
                    .with_linkage(linkage)
                    .with_attributes(function.attributes());
                if self.program.id(&name).is_some() {
                    return Err(ThinError::NameTaken {
                        shard: summary.shard.clone(),
                        name,
                    });
                }
                // The names are new, and come from text.
                self.program
                    .add_function(function)
                    .map_err(|_| ThinError::NameTaken {
                        shard: summary.shard.clone(),
                        name,
                    })?;
                self.homes.push(home);
            }
        }
        Ok(())
    }

    /// Finds the function behind each name of each shard.
    fn resolve(&mut self, owners: &Owners) {
        let mut by_home: FxHashMap<(usize, usize), FunctionId> = FxHashMap::default();
        for (id, home) in self.homes.iter() {
            by_home.insert((home.shard, home.function), id);
        }
        let global = |name: &FunctionName| {
            let home = owners.by_name.get(name)?;
            by_home.get(&(home.shard, home.function)).copied()
        };
        for (shard, summary) in self.shards.iter().enumerate() {
            let mut targets: Vec<PackedOption<FunctionId>> = summary
                .names
                .iter()
                .map(|name| global(&name.function_name()).into())
                .collect();
            let mut ids = Vec::with_capacity(summary.functions.len());
            for (number, function) in summary.functions.iter().enumerate() {
                let target = targets.get_mut(function.name as usize);
                let own = by_home.get(&(shard, number)).copied();
                if let (Some(target), Some(own)) = (target, own) {
                    *target = own.into();
                }
                let kept = targets.get(function.name as usize);
                let kept = kept.and_then(|target| target.expand());
                debug_assert!(
                    kept.is_some(),
                    "each definition is kept or gives way to another"
                );
                ids.push(kept.unwrap_or(FunctionId::new(0)));
            }
            self.targets.push(targets);
            self.ids.push(ids);
        }
    }

    /// Returns the call graph of all shards. Its sites are those of the summaries, in their order.
    pub(super) fn graph(&self) -> CallGraph {
        let sites = self.shards.iter().map(|summary| summary.sites.len()).sum();
        let functions = self.homes.values().map(|home| {
            let (summary, function) = self.at(*home);
            RecordedFunction {
                sites: summary
                    .sites_of(function)
                    .iter()
                    .map(|site| (site.kind.call_kind(), self.node(home.shard, site.callee)))
                    .collect(),
                addressed: function
                    .addresses
                    .iter()
                    .map(|&name| self.node(home.shard, name))
                    .collect(),
                indirect_calls: function.indirect_calls as usize,
                switches_stacks: function.has(super::summary::function_flags::SWITCHES_STACKS),
                size: function.insts as usize,
            }
        });
        CallGraph::of_recorded(&self.program, sites, functions)
    }

    fn node(&self, shard: usize, name: u32) -> CallNode {
        match self.target(shard, name) {
            Some(id) => CallNode::Function(id),
            None => CallNode::External(self.name_in(shard, name)),
        }
    }

    /// Returns the function that a name of a shard means there; `None` if no shard defines it.
    pub(super) fn target(&self, shard: usize, name: u32) -> Option<FunctionId> {
        let targets = self.targets.get(shard)?;
        targets.get(name as usize)?.expand()
    }

    fn name_in(&self, shard: usize, name: u32) -> FunctionName {
        let summary = self.shards.get(shard);
        let name = summary.and_then(|summary| summary.name(name));
        name.map_or_else(|| FunctionName::testcase(""), Name::function_name)
    }

    /// Returns the number of a signature of a shard in the whole program.
    pub(super) fn signature(&self, shard: usize, signature: u32) -> u32 {
        let numbers = self.signatures.get(shard);
        let number = numbers.and_then(|numbers| numbers.get(signature as usize));
        number.copied().unwrap_or(u32::MAX)
    }

    pub(super) fn home(&self, id: FunctionId) -> Home {
        self.homes.get(id).copied().unwrap_or(Home {
            shard: usize::MAX,
            function: usize::MAX,
        })
    }

    pub(super) fn at(&self, home: Home) -> (&'s ShardSummary, &'s FunctionSummary) {
        let summary: &'s ShardSummary = self.shards[home.shard];
        (summary, &summary.functions[home.function])
    }

    pub(super) fn function(&self, id: FunctionId) -> (&'s ShardSummary, &'s FunctionSummary) {
        self.at(self.homes[id])
    }

    /// Returns the name of a function in the shard that defines it.
    pub(super) fn original_name(&self, id: FunctionId) -> FunctionName {
        let home = self.homes[id];
        let (_, function) = self.at(home);
        self.name_in(home.shard, function.name)
    }

    /// Returns the functions that the functions of a shard are, or give way to, in their order.
    pub(super) fn ids(&self, shard: usize) -> &[FunctionId] {
        self.ids.get(shard).map_or(&[], |ids| ids)
    }

    pub(super) fn functions(&self) -> impl Iterator<Item = FunctionId> {
        self.homes.keys()
    }

    /// Returns the summary of a site of the graph, with the place and the shard of its caller.
    pub(super) fn site(
        &self,
        graph: &CallGraph,
        id: SiteId,
    ) -> Option<(Home, &'s ShardSummary, &'s SiteSummary)> {
        let site = graph.site(id)?;
        let home = *self.homes.get(site.caller)?;
        let (summary, function) = self.at(home);
        // The sites of a caller are consecutive, in the graph as in the summary.
        let first = graph.first_site(site.caller)?;
        let number = id.index().checked_sub(first.index())?;
        let site = summary.sites_of(function).get(number)?;
        Some((home, summary, site))
    }

    /// Returns the values that a site passes.
    pub(super) fn passed(&self, graph: &CallGraph, id: SiteId) -> &'s [Passed] {
        let found = self.site(graph, id);
        found.map_or(&[], |(_, summary, site)| summary.passed_by(site))
    }
}

/// The definitions that names mean in shards without an own local one.
struct Owners {
    by_name: FxHashMap<FunctionName, Home>,
}

impl Owners {
    fn new(shards: &[&ShardSummary]) -> Result<Self, ThinError> {
        let mut by_name: FxHashMap<FunctionName, (Home, ShardLinkage)> = FxHashMap::default();
        for (shard, summary) in shards.iter().enumerate() {
            for (number, function) in summary.functions.iter().enumerate() {
                let home = Home {
                    shard,
                    function: number,
                };
                let Some(name) = summary.name(function.name).map(Name::function_name) else {
                    continue;
                };
                if function.linkage == ShardLinkage::Local {
                    continue;
                }
                let known = by_name.entry(name);
                let known = known.or_insert((home, function.linkage));
                if known.0 == home {
                    continue;
                }
                let strength = |linkage| match linkage {
                    ShardLinkage::AvailableExternally | ShardLinkage::Local => 0,
                    ShardLinkage::Once => 1,
                    ShardLinkage::Exported | ShardLinkage::Interposable => 2,
                };
                let (old, new) = (strength(known.1), strength(function.linkage));
                if old == 2 && new == 2 {
                    let first = shards.get(known.0.shard);
                    return Err(ThinError::DuplicateDefinition {
                        name: summary
                            .name(function.name)
                            .map_or_else(|| FunctionName::testcase(""), Name::function_name),
                        first: first.map_or_else(String::new, |first| first.shard.clone()),
                        second: summary.shard.clone(),
                    });
                }
                if new > old {
                    *known = (home, function.linkage);
                }
            }
        }
        let by_name = by_name.into_iter().map(|(name, (home, _))| (name, home));
        Ok(Owners {
            by_name: by_name.collect(),
        })
    }
}

/// A function without instructions for each different signature, and the numbers of each shard's
/// signatures.
type Stubs = (Vec<Arc<Function>>, Vec<Vec<u32>>);

fn stubs(shards: &[&ShardSummary]) -> Result<Stubs, ThinError> {
    let mut known: FxHashMap<&str, u32> = FxHashMap::default();
    let mut stubs = Vec::new();
    let mut numbers = Vec::with_capacity(shards.len());
    for summary in shards {
        let mut own = Vec::with_capacity(summary.signatures.len());
        for text in &summary.signatures {
            let number = match known.get(text.as_str()) {
                Some(&number) => number,
                None => {
                    let stub = parse_signature(text).ok_or_else(|| ThinError::Signature {
                        shard: summary.shard.clone(),
                        signature: text.clone(),
                    })?;
                    stubs.push(Arc::new(stub));
                    let number = u32::try_from(stubs.len() - 1).unwrap_or(u32::MAX);
                    known.insert(text, number);
                    number
                }
            };
            own.push(number);
        }
        numbers.push(own);
    }
    Ok((stubs, numbers))
}

fn parse_signature(text: &str) -> Option<Function> {
    // A signature has none of these, and text of a summary is not to become more than one.
    if text.contains(['{', '}', '\n', ';', '%']) {
        return None;
    }
    let text = format!("function %s{text} {{\n}}");
    let parsed = panics::catch(|| cranelift_reader::parse_functions(&text)).ok()?;
    let mut functions = parsed.ok()?.into_iter();
    let function = functions.next()?;
    functions.next().is_none().then_some(function)
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
