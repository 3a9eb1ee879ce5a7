//! The call sites of a function at every depth: its own, those that came in with the bodies that
//! were inlined into it, those that had come into these bodies before, and so on.
//!
//! A body that is inlined is final, so what was inlined into *it* was decided when it was a caller
//! itself. The tree of a function is therefore put together from the records of several: below a
//! site that was inlined stand the sites of its callee, and where one of those stayed a call and
//! was decided again after it came in, the later decision stands in its place.

use crate::verdict::Verdict;
use cranelift_codegen::ir::Inst;
use cranelift_inliner::pass::{Inlined, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program};
use rustc_hash::FxHashMap;

/// The trees of all functions of a program, made of the records of a run.
pub(crate) struct InlineTrees<'a> {
    /// Those of all callers.
    records: Vec<&'a SiteRecord>,
    /// The sites of each function's own, in the order of its layout, and then those that became
    /// direct in it, as indices of `records`.
    own: FxHashMap<FunctionId, Vec<usize>>,
    /// By the site that brought a call in, and by the call in the body that it brought.
    came_in: FxHashMap<(usize, Inst), usize>,
}

/// A site in the tree of a function.
#[derive(Clone)]
pub(crate) struct Site<'a> {
    pub(crate) record: &'a SiteRecord,
    /// Whether the call is no longer there, though nobody inlined it: clean-up found that it
    /// cannot be reached.
    pub(crate) unreachable: bool,
    index: usize,
    /// The inlined sites whose bodies the site is in, innermost first, without those inside
    /// `record.caller`.
    around: Vec<usize>,
}

impl Site<'_> {
    /// `None` for a call that nothing reaches any more.
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
            // What became direct in the function comes last, in the order of stages.
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

    /// The calls that a function had of its own, in the order of its layout, and those that became
    /// direct in it.
    pub(crate) fn own(&self, id: FunctionId) -> impl Iterator<Item = Site<'a>> {
        let own = self.own.get(&id).map_or(&[][..], Vec::as_slice);
        own.iter().filter_map(|&index| self.site(index, &[]))
    }

    /// The calls in the body that took a site's place, in the order of that body's source; none
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

    /// The site of a record, or of the record that was made of the call after it came into the
    /// bodies around it.
    fn site(&self, mut index: usize, mut around: &[usize]) -> Option<Site<'a>> {
        let mut record = *self.records.get(index)?;
        let mut unreachable = false;
        // A call of an external function is recorded once, where it is the function's own.
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
