//! From all summaries to the plan of each shard.

use super::decisions::Decisions;
use super::error::ThinError;
use super::index::Index;
use super::shard_plan::{Change, Import, Imports, ShardPlan, Visibility};
use super::summary::{Name, ShardLinkage, ShardSummary, site_flags};
use crate::graph::{CallGraph, SiteId};
use crate::pass::Inliner;
use crate::plan::{PlannedSite, SitePath};
use crate::program::{FunctionId, FunctionName, Linkage};
use cranelift_entity::EntitySet;
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;

/// The plans of all shards of a program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Thin {
    /// One for each shard, in the order of their names.
    pub plans: Vec<ShardPlan>,
    /// The number of inlined calls, with those in bodies that several shards import counted once.
    pub inlined: usize,
}

/// Decides about all calls of a program on the summaries of its shards, and writes a plan for each
/// shard. See the [module](super) for an example.
///
/// The policy, the limits and the options are those of `inliner`; a profile is part of the
/// summaries, and that of `inliner` is not read. `exported` are the functions that code outside of
/// the shards refers to: all others count as local, and leave their shard only if another one needs
/// them. `None` leaves all exported functions as they are.
///
/// The result does not depend on the order of the summaries.
///
/// # Errors
///
/// [`ThinError`] for summaries that do not belong to one program.
pub fn thin(
    summaries: &[ShardSummary],
    exported: Option<&FxHashSet<FunctionName>>,
    inliner: &Inliner<'_>,
) -> Result<Thin, ThinError> {
    let mut plans = Vec::with_capacity(summaries.len());
    let inlined = thin_each(summaries, exported, inliner, |plan| plans.push(plan))?;
    Ok(Thin { plans, inlined })
}

/// Like [`thin`], but hands each plan to `each` as soon as it is made, in the order of the shards'
/// names, so that only one is in memory at a time. Returns the number of inlined calls.
///
/// # Errors
///
/// Those of [`thin`], before the first plan.
pub fn thin_each(
    summaries: &[ShardSummary],
    exported: Option<&FxHashSet<FunctionName>>,
    inliner: &Inliner<'_>,
    mut each: impl FnMut(ShardPlan),
) -> Result<usize, ThinError> {
    let index = Index::new(summaries, exported)?;
    if let Some(exported) = exported {
        let mut missing: Vec<_> = exported
            .iter()
            .filter(|name| index.program.id(name).is_none())
            .collect();
        missing.sort();
        if let Some(&name) = missing.first() {
            return Err(ThinError::Undefined(name.clone()));
        }
    }
    let graph = index.graph();
    let decisions = Decisions::new(&index, &graph, inliner).decide();
    let writer = Writer::new(&index, &graph, &decisions);
    let mut inlined = 0;
    for outcome in index.functions().filter_map(|id| decisions.outcome(id)) {
        inlined += outcome.inlined.iter().filter(|step| step.is_new).count();
    }
    for shard in 0..index.shards.len() {
        each(writer.plan(shard));
    }
    Ok(inlined)
}

/// Writes the plans of shards.
struct Writer<'a> {
    index: &'a Index<'a>,
    graph: &'a CallGraph,
    decisions: &'a Decisions<'a>,
    /// The needs of each shard.
    needs: Vec<Needs>,
    /// The functions that are part of the program in the end.
    live: EntitySet<FunctionId>,
    /// The functions to which another shard than their own refers.
    needed: EntitySet<FunctionId>,
}

/// The functions of other shards that one shard needs.
#[derive(Default)]
struct Needs {
    /// The bodies.
    imports: BTreeSet<FunctionId>,
    /// The functions of the shard itself that are live, or inlined into live ones.
    own: BTreeSet<FunctionId>,
    /// The functions that the code of the shard, or an imported body, refers to in the end.
    symbols: BTreeSet<FunctionId>,
}

impl<'a> Writer<'a> {
    fn new(index: &'a Index<'a>, graph: &'a CallGraph, decisions: &'a Decisions<'a>) -> Self {
        let mut writer = Writer {
            index,
            graph,
            decisions,
            needs: Vec::with_capacity(index.shards.len()),
            live: EntitySet::new(),
            needed: EntitySet::new(),
        };
        writer.live = writer.live_functions();
        for shard in 0..index.shards.len() {
            let needs = writer.needs_of(shard);
            let foreign = needs.symbols.iter().copied();
            let foreign = foreign.filter(|&id| index.home(id).shard != shard);
            writer.needed.extend(foreign);
            writer.needs.push(needs);
        }
        writer
    }

    /// Returns the functions that a shard defines and keeps.
    fn members(&self, shard: usize) -> impl Iterator<Item = FunctionId> {
        let ids = self.index.ids(shard).iter().enumerate();
        ids.filter(move |&(number, &id)| {
            let home = self.index.home(id);
            home.shard == shard && home.function == number
        })
        .map(|(_, &id)| id)
    }

    /// Follows references from the functions that code outside may call, through bodies as they are in
    /// the end.
    fn live_functions(&self) -> EntitySet<FunctionId> {
        let mut live = EntitySet::with_capacity(self.index.program.len());
        let is_root = |id: &FunctionId| self.index.program[*id].linkage().is_kept();
        let mut work: Vec<FunctionId> = self.index.functions().filter(is_root).collect();
        live.extend(work.iter().copied());
        while let Some(id) = work.pop() {
            self.for_each_reference(id, |callee| {
                if live.insert(callee) {
                    work.push(callee);
                }
            });
        }
        live
    }

    /// Calls `each` with the functions to which a function refers in the end: calls that stay, and all
    /// addresses.
    fn for_each_reference(&self, id: FunctionId, mut each: impl FnMut(FunctionId)) {
        let Some(outcome) = self.decisions.outcome(id) else {
            return;
        };
        let kept = outcome
            .kept
            .iter()
            .filter_map(|step| self.callee(step.site));
        kept.for_each(&mut each);
        self.graph.addressed(id).iter().copied().for_each(&mut each);
        for callee in outcome
            .inlined
            .iter()
            .filter_map(|step| self.callee(step.site))
        {
            self.graph
                .addressed(callee)
                .iter()
                .copied()
                .for_each(&mut each);
        }
    }

    fn needs_of(&self, shard: usize) -> Needs {
        let mut needs = Needs::default();
        let live = self.members(shard).filter(|&id| self.live.contains(id));
        let mut work: Vec<FunctionId> = live.collect();
        needs.own.extend(work.iter().copied());
        for &id in &work {
            self.for_each_reference(id, |reference| {
                needs.symbols.insert(reference);
            });
        }
        while let Some(id) = work.pop() {
            let Some(outcome) = self.decisions.outcome(id) else {
                continue;
            };
            for step in outcome.inlined.iter().filter(|step| step.is_new) {
                let Some(callee) = self.callee(step.site) else {
                    continue;
                };
                let set = match self.index.home(callee).shard == shard {
                    true => &mut needs.own,
                    false => &mut needs.imports,
                };
                if set.insert(callee) {
                    work.push(callee);
                }
            }
        }
        // A body that is here only to be inlined may stay in the end, if a call of it stays against
        // the plan: its references must then be there, as bodies or as symbols.
        for &id in needs.imports.iter().chain(&needs.own) {
            for reference in self.graph.references(id) {
                let home = self.index.home(reference);
                if home.shard != shard && !needs.imports.contains(&reference) {
                    needs.symbols.insert(reference);
                }
            }
        }
        needs
    }

    fn callee(&self, site: SiteId) -> Option<FunctionId> {
        self.graph.site(site)?.callee_function()
    }

    fn plan(&self, shard: usize) -> ShardPlan {
        let summary = self.index.shards[shard];
        let needs = &self.needs[shard];
        let mut plan = ShardPlan {
            shard: summary.shard.clone(),
            ..ShardPlan::default()
        };
        let taken = self.global_names(needs);
        for (number, &id) in self.index.ids(shard).iter().enumerate() {
            let function = &summary.functions[number];
            let Some(original) = summary.name(function.name).map(Name::function_name) else {
                continue;
            };
            let home = self.index.home(id);
            let change = if (home.shard, home.function) != (shard, number) {
                Some(Visibility::Discarded)
            } else {
                self.visibility(id, function.linkage)
            };
            let is_local = function.linkage == ShardLinkage::Local;
            let mut name = None;
            if is_local && (change == Some(Visibility::Hidden) || taken.contains(&original)) {
                name = Some(self.index.program[id].name().clone());
            }
            if let Some(visibility) = change {
                plan.changes.insert(original, Change { visibility, name });
            }
        }
        self.add_imports(needs, &mut plan);
        let all: Vec<FunctionId> = needs.own.iter().chain(&needs.imports).copied().collect();
        let has_handlers = all.iter().any(|&id| {
            let (summary, function) = self.index.function(id);
            let mut sites = summary.sites_of(function).iter();
            sites.any(|site| site.has(site_flags::HANDLERS))
        });
        for id in all {
            self.add_decisions(shard, id, &mut plan);
            if has_handlers {
                self.add_never_throwing(shard, id, &mut plan);
            }
        }
        plan
    }

    /// Adds the functions to which `id` refers, that are elsewhere, and that never throw.
    fn add_never_throwing(&self, shard: usize, id: FunctionId, plan: &mut ShardPlan) {
        for reference in self.graph.references(id) {
            let function = &self.index.program[reference];
            if self.index.home(reference).shard != shard
                && self.decisions.never_throwing.contains(reference)
                && function.linkage() != Linkage::Interposable
            {
                plan.never_throw.insert(function.name().clone());
            }
        }
    }

    /// Returns the names that imported bodies use for functions of other shards.
    fn global_names(&self, needs: &Needs) -> FxHashSet<FunctionName> {
        let mut names = FxHashSet::default();
        for &id in &needs.imports {
            names.insert(self.index.program[id].name().clone());
            let home = self.index.home(id);
            let (summary, function) = self.index.at(home);
            let sites = summary.sites_of(function).iter().map(|site| site.callee);
            for name in sites.chain(function.addresses.iter().copied()) {
                let name = match self.index.target(home.shard, name) {
                    Some(id) => Some(self.index.program[id].name().clone()),
                    None => summary.name(name).map(Name::function_name),
                };
                names.extend(name);
            }
        }
        names
    }

    /// Returns the new visibility of a function in its shard; `None` if it stays exported.
    fn visibility(&self, id: FunctionId, linkage: ShardLinkage) -> Option<Visibility> {
        let is_needed = self.needed.contains(id);
        match self.index.program[id].linkage() {
            Linkage::Local if is_needed => Some(Visibility::Hidden),
            Linkage::Local => Some(Visibility::Local),
            Linkage::Interposable => Some(Visibility::Interposable),
            Linkage::AvailableExternally => Some(Visibility::Elsewhere),
            Linkage::Exported => {
                debug_assert!(linkage != ShardLinkage::Local);
                None
            }
        }
    }

    fn add_imports(&self, needs: &Needs, plan: &mut ShardPlan) {
        for &id in &needs.imports {
            let home = self.index.home(id);
            let (summary, function) = self.index.at(home);
            let is_local = self.index.program[id].linkage() == Linkage::Local;
            let import = Import {
                name: self.index.program[id].name().clone(),
                hash: function.hash,
                is_copy: is_local && !self.needed.contains(id),
            };
            let original = self.index.original_name(id);
            let from = plan.imports.entry(summary.shard.clone()).or_default();
            from.functions.insert(original, import);
            self.add_names(id, needs, plan);
        }
    }

    /// Adds the names of the local functions to which an imported body refers.
    fn add_names(&self, id: FunctionId, needs: &Needs, plan: &mut ShardPlan) {
        let home = self.index.home(id);
        let (summary, _) = self.index.at(home);
        for reference in self.graph.references(id) {
            let of = self.index.home(reference);
            let (_, function) = self.index.at(of);
            let name = self.index.program[reference].name();
            if of.shard != home.shard || function.linkage != ShardLinkage::Local {
                continue;
            }
            if needs.imports.contains(&reference) {
                continue;
            }
            let from: &mut Imports = plan.imports.entry(summary.shard.clone()).or_default();
            from.names
                .insert(self.index.original_name(reference), name.clone());
        }
    }

    /// Returns the name of a function in the program of a shard with its imports.
    fn name_in(&self, shard: usize, id: FunctionId, plan: &ShardPlan) -> FunctionName {
        let name = self.index.program[id].name();
        let home = self.index.home(id);
        let (_, function) = self.index.at(home);
        if home.shard != shard || function.linkage != ShardLinkage::Local {
            return name.clone();
        }
        let original = self.index.original_name(id);
        match plan.changes.get(&original) {
            Some(Change {
                name: Some(new), ..
            }) => new.clone(),
            _ => original,
        }
    }

    /// Adds the inlined calls of a function.
    fn add_decisions(&self, shard: usize, id: FunctionId, plan: &mut ShardPlan) {
        let Some(outcome) = self.decisions.outcome(id) else {
            return;
        };
        for step in outcome.inlined.iter().filter(|step| step.is_new) {
            let mut sites = outcome.path(*step).into_iter();
            let step_of = |site: SiteId, plan: &ShardPlan| {
                let site = self.graph.site(site)?;
                let callee = self.name_in(shard, site.callee_function()?, plan);
                Some((callee, site.edge.ordinal))
            };
            let Some((callee, ordinal)) = sites.next().and_then(|site| step_of(site, plan)) else {
                continue;
            };
            let mut path = SitePath::new(self.name_in(shard, id, plan), callee, ordinal);
            for site in sites {
                if let Some((callee, ordinal)) = step_of(site, plan) {
                    path = path.then(callee, ordinal);
                }
            }
            plan.plan.insert(path, PlannedSite::new(true));
        }
    }
}
