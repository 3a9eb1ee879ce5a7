//! The call sites of a function at every depth: its own sites, those of the bodies inlined into it,
//! those of the bodies inlined into these before, and so on.
//!
//! A body is final when it is inlined, so the calls inlined into *it* were decided when it was the
//! caller. The tree of a function therefore combines the records of several functions. Below an
//! inlined site are the sites of its callee. If such a site stayed a call and was decided again in
//! a copy, the later decision replaces the earlier one.

use crate::verdict::Verdict;
use cranelift_codegen::ir::Inst;
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};
use rustc_hash::FxHashMap;

/// The trees of all functions of a program, from the records of a run.
pub(crate) struct InlineTrees<'a> {
    /// The records of all callers.
    records: Vec<&'a SiteRecord>,
    /// The original sites of each function, in the order of its layout, and then those that became
    /// direct in it, as indices of `records`.
    own: FxHashMap<FunctionId, Vec<usize>>,
    /// The records of copied calls, by the inlined site whose body contains the call and by the
    /// call in that body.
    came_in: FxHashMap<(usize, Inst), usize>,
}

/// A site in the tree of a function.
#[derive(Clone)]
pub(crate) struct Site<'a> {
    pub(crate) record: &'a SiteRecord,
    /// Whether clean-up removed the call as unreachable, without inlining it.
    pub(crate) unreachable: bool,
    index: usize,
    /// The inlined sites whose bodies contain the site, innermost first, without those inside
    /// `record.caller`.
    around: Vec<usize>,
}

impl Site<'_> {
    /// Returns the verdict; `None` for an unreachable call.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        (!self.unreachable).then(|| Verdict::of(self.record))
    }
}

impl<'a> InlineTrees<'a> {
    pub(crate) fn new(program: &Program, inlined: &'a Inlined) -> Self {
        let records: Vec<_> = inlined.sites().collect();
        let mut first_of_caller: FxHashMap<FunctionId, usize> = FxHashMap::default();
        for (index, record) in records.iter().enumerate() {
            first_of_caller.entry(record.caller).or_insert(index);
        }
        let mut own_calls = FxHashMap::default();
        let mut came_in = FxHashMap::default();
        for (index, record) in records.iter().enumerate() {
            match record.parent() {
                None => own_calls.insert((record.caller, record.inst), index),
                Some(parent) => {
                    let first = first_of_caller.get(&record.caller).copied().unwrap_or(0);
                    came_in.insert((first + parent, record.source_inst()), index)
                }
            };
        }
        let own = program.ids().map(|id| {
            let calls = inlined.graph().callees(id);
            let indices = calls.filter_map(|site| own_calls.get(&(id, site.edge.inst)).copied());
            let mut indices: Vec<usize> = indices.collect();
            // Sites that became direct come last, in the order of stages.
            let first = first_of_caller.get(&id).copied().unwrap_or(0);
            let sites = (first..).zip(inlined.sites_of(id));
            let resolved = sites.filter(|(_, site)| site.parent().is_none() && site.is_resolved());
            indices.extend(resolved.map(|(index, _)| index));
            (id, indices)
        });
        Self {
            own: own.collect(),
            records,
            came_in,
        }
    }

    /// Returns the original calls of a function, in the order of its layout, and those that became
    /// direct in it.
    pub(crate) fn own(&self, id: FunctionId) -> impl Iterator<Item = Site<'a>> {
        let own = self.own.get(&id).map_or(&[][..], Vec::as_slice);
        own.iter().filter_map(|&index| self.site(index, &[]))
    }

    /// Returns the calls in the body that replaced a site, in the order of that body's source; none
    /// for a site that stayed a call.
    pub(crate) fn below(&self, site: &Site<'a>) -> Vec<Site<'a>> {
        let callee = site.record.callee_id.filter(|_| site.record.inlined);
        let mut around = vec![site.index];
        around.extend(&site.around);
        let own = callee.and_then(|callee| self.own.get(&callee));
        let own = own.map_or(&[][..], Vec::as_slice);
        own.iter()
            .filter_map(|&index| self.site(index, &around))
            .collect()
    }

    /// Returns the site of a record, or of the record of the same call in the bodies around it.
    fn site(&self, mut index: usize, mut around: &[usize]) -> Option<Site<'a>> {
        let mut record = *self.records.get(index)?;
        let mut unreachable = false;
        // A call of an external function has a single record, in its original function.
        while let [parent, outer @ ..] = around
            && !record.inlined
            && record.callee_id.is_some()
        {
            let Some(&later) = self.came_in.get(&(*parent, record.inst)) else {
                unreachable = true;
                break;
            };
            index = later;
            record = *self.records.get(later)?;
            around = outer;
        }
        Some(Site {
            record,
            unreachable,
            index,
            around: around.to_vec(),
        })
    }
}
