//! Plans of shards as text, from the decisions on all calls.

use super::decisions::Decisions;
use super::index::Index;
use super::lines;
use super::names::NameRef;
use super::needs::{AllNeeds, Needs};
use super::shard_plan::{PlanText, Visibility};
use super::summary::{ShardLinkage, site_flags};
use super::tables::{Member, Shard};
use crate::graph::{CallGraph, PathStep};
use crate::plan;
use crate::program::{FunctionId, Linkage};
use cranelift_entity::EntityRef;
use rustc_hash::FxHashSet;
use std::fmt::Write as _;
use std::ops::Range;

/// Writes the plans of shards, one after the other in the same memory. The text is that of
/// [`ShardPlan`](super::ShardPlan)'s `Display`.
pub(super) struct Writer<'a> {
    index: &'a Index,
    graph: &'a CallGraph,
    decisions: &'a Decisions<'a>,
    needs: &'a AllNeeds,
    text: String,
    imports: Vec<&'a str>,
    /// The functions of the present shard that get another name than in its file, by their number.
    renamed: Vec<bool>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        index: &'a Index,
        graph: &'a CallGraph,
        decisions: &'a Decisions<'a>,
        needs: &'a AllNeeds,
    ) -> Self {
        Writer {
            index,
            graph,
            decisions,
            needs,
            text: String::new(),
            imports: Vec::new(),
            renamed: Vec::new(),
        }
    }

    /// Writes the plan of a shard.
    pub(super) fn plan(&mut self, number: usize) -> PlanText<'_> {
        self.text.clear();
        self.imports.clear();
        let index = self.index;
        let (Some(shard), Some(needs)) = (index.shards.get(number), self.needs.of.get(number))
        else {
            debug_assert!(false, "plans are written of shards");
            return PlanText {
                shard: "",
                text: "",
                imports: &[],
            };
        };
        lines::begin(&mut self.text, &shard.name);
        self.changes(number, shard, needs);
        self.never_throwing(number, needs);
        self.imports(needs);
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "\n{} {}", plan::MAGIC, plan::VERSION);
        self.decisions(number, needs);
        self.text.push_str("\nend\n");
        PlanText {
            shard: &shard.name,
            text: &self.text,
            imports: &self.imports,
        }
    }

    /// Writes the changes of the shard's own functions.
    fn changes(&mut self, number: usize, shard: &'a Shard, needs: &Needs) {
        let taken = self.taken(shard, needs);
        self.renamed.clear();
        let mut changes = Vec::with_capacity(shard.members.len());
        for (place, member) in shard.members.iter().enumerate() {
            let visibility = match self.index.is_kept(number, place, member.id) {
                false => Some(Visibility::Discarded),
                true => self.visibility(member.id),
            };
            let original = shard.member_name(member);
            let is_renamed = member.linkage == ShardLinkage::Local
                && (visibility == Some(Visibility::Hidden) || taken.contains(&original));
            self.renamed.push(is_renamed);
            if let Some(visibility) = visibility {
                changes.push((original, visibility, is_renamed.then_some(member.id)));
            }
        }
        changes.sort_unstable_by_key(|&(original, ..)| original);
        for (original, visibility, new) in changes {
            let new = new.map(|id| self.name(id));
            lines::change(&mut self.text, visibility, original, new);
        }
    }

    /// Returns the names of local functions of a shard that imported bodies use for others.
    fn taken(&self, shard: &'a Shard, needs: &Needs) -> FxHashSet<NameRef<'a>> {
        let is_local = |member: &&Member| member.linkage == ShardLinkage::Local;
        let local = shard.members.iter().filter(is_local);
        let local: FxHashSet<NameRef<'a>> = local.map(|member| shard.member_name(member)).collect();
        let mut taken = FxHashSet::default();
        if local.is_empty() {
            return taken;
        }
        for &id in &needs.imports {
            let references = self.index.references(self.graph, id);
            let functions = references.chain([id]).map(|id| self.name(id));
            let names = functions.chain(self.index.external_names(id));
            taken.extend(names.filter_map(|name| local.get(&name).copied()));
        }
        taken
    }

    /// Returns the new visibility of a function in its shard; `None` if it stays exported.
    fn visibility(&self, id: FunctionId) -> Option<Visibility> {
        let is_needed = self.needs.needed.contains(id);
        match self.index.functions[id].in_program.linkage {
            Linkage::Local if is_needed => Some(Visibility::Hidden),
            Linkage::Local => Some(Visibility::Local),
            Linkage::Interposable => Some(Visibility::Interposable),
            Linkage::AvailableExternally => Some(Visibility::Elsewhere),
            Linkage::Exported => None,
        }
    }

    /// Writes the functions to which the shard refers, that are elsewhere, and that never throw, if
    /// that makes a difference.
    fn never_throwing(&mut self, number: usize, needs: &Needs) {
        let index = self.index;
        let has_handlers = |id: FunctionId| {
            let mut sites = index.functions[id].sites();
            sites.any(|site| index.site(EntityRef::new(site)).has(site_flags::HANDLERS))
        };
        if !needs.bodies().any(has_handlers) {
            return;
        }
        let references = needs
            .bodies()
            .flat_map(|id| index.references(self.graph, id));
        let elsewhere = references.filter(|&id| {
            index.shard_of(id) != number
                && self.decisions.never_throwing.contains(id)
                && index.functions[id].in_program.linkage != Linkage::Interposable
        });
        let mut names: Vec<NameRef<'a>> = elsewhere.map(|id| self.name(id)).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            lines::never_throws(&mut self.text, name);
        }
    }

    fn imports(&mut self, needs: &Needs) {
        let index = self.index;
        let by_shard = |a: &FunctionId, b: &FunctionId| index.shard_of(*a) == index.shard_of(*b);
        for imports in needs.imports.chunk_by(by_shard) {
            let shard = imports.first().map(|&id| index.shard_of(id));
            let Some((number, shard)) =
                shard.and_then(|number| Some((number, index.shards.get(number)?)))
            else {
                continue;
            };
            self.imports.push(&shard.name);
            lines::from(&mut self.text, &shard.name);
            let named = imports.iter().map(|&id| (index.original_name(id), id));
            let mut named: Vec<(NameRef<'a>, FunctionId)> = named.collect();
            named.sort_unstable_by_key(|&(name, _)| name);
            for &(original, id) in &named {
                let is_local = index.functions[id].in_program.linkage == Linkage::Local;
                let is_copy = is_local && !self.needs.needed.contains(id);
                let (new, hash) = (self.name(id), index.hash(id));
                lines::import(&mut self.text, is_copy, original, new, hash);
            }
            // Local functions there to which the imported bodies refer.
            let references = imports
                .iter()
                .flat_map(|&id| index.references(self.graph, id));
            let local = references.filter(|&id| {
                index.shard_of(id) == number
                    && index.places[id].linkage == ShardLinkage::Local
                    && !needs.is_imported(id)
            });
            named.clear();
            named.extend(local.map(|id| (index.original_name(id), id)));
            named.sort_unstable_by_key(|&(name, _)| name);
            named.dedup();
            for &(original, id) in &named {
                let new = self.name(id);
                lines::name(&mut self.text, original, new);
            }
        }
    }

    /// Writes the inlined calls of all bodies in the shard.
    fn decisions(&mut self, number: usize, needs: &Needs) {
        let decisions = self.decisions;
        let has_any = |id: &FunctionId| decisions.inlined(*id).new_ones().next().is_some();
        let callers = needs.bodies().filter(has_any);
        let mut callers: Vec<_> = callers.map(|id| (self.name_in(number, id), id)).collect();
        callers.sort_unstable_by_key(|&(name, _)| name);
        let mut path = Vec::new();
        let mut steps: Vec<(NameRef<'a>, u32)> = Vec::new();
        let mut paths: Vec<Range<usize>> = Vec::new();
        for (name, id) in callers {
            self.text.push_str("\nfunction ");
            lines::push_name(&mut self.text, name);
            self.text.push('\n');
            let inlined = decisions.inlined(id);
            steps.clear();
            paths.clear();
            for step in inlined.new_ones() {
                inlined.path(step, &mut path);
                let first = steps.len();
                steps.extend(path.iter().filter_map(|step| self.step(number, *step)));
                paths.push(first..steps.len());
            }
            let of = |range: &Range<usize>| steps.get(range.clone()).unwrap_or_default();
            paths.sort_unstable_by(|a, b| of(a).cmp(of(b)));
            for path in &paths {
                self.text.push_str("  inline");
                for (place, &(callee, ordinal)) in of(path).iter().enumerate() {
                    self.text.push_str(if place == 0 { " " } else { " > " });
                    lines::push_name(&mut self.text, callee);
                    self.text.push_str(" #");
                    push_number(&mut self.text, ordinal);
                }
                self.text.push('\n');
            }
        }
    }

    /// Returns the callee and the ordinal of a step of a path.
    fn step(&self, number: usize, step: PathStep) -> Option<(NameRef<'a>, u32)> {
        let site = step.site()?;
        let callee = self.index.target(site)?;
        Some((self.name_in(number, callee), self.graph.ordinal(site)?))
    }

    /// Returns the name of a function in the whole program.
    fn name(&self, id: FunctionId) -> NameRef<'a> {
        self.index.name(id)
    }

    /// Returns the name of a function in the program of a shard with its imports.
    fn name_in(&self, shard: usize, id: FunctionId) -> NameRef<'a> {
        let place = &self.index.places[id];
        let is_original = place.shard as usize == shard
            && place.linkage == ShardLinkage::Local
            && self.renamed.get(place.number as usize) == Some(&false);
        match is_original {
            true => self.index.original_name(id),
            false => self.name(id),
        }
    }
}

fn push_number(text: &mut String, number: u32) {
    match u8::try_from(number) {
        Ok(digit @ 0..10) => text.push(char::from(b'0' + digit)),
        _ => {
            let _ = write!(text, "{number}");
        }
    }
}
