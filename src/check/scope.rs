//! The scope in which a value of the source equals a block parameter of the result.
//!
//! On the way into a loop of the result both may be the same, and differ in the next iteration. So
//! when a block is entered, its parameters are new values, and an earlier value of the source
//! equals only the parameters whose arguments it equals. Facts about a value that is recomputed
//! before each later use are kept.

use super::assigned::Assigned;
use super::entities::special_param;
use super::liveness::Liveness;
use super::place::{Crossing, Term};
use super::tables::Walk;
use super::tree::{CopyId, Site, SiteKind};
use cranelift_codegen::ir::{BlockArg, BlockCall, ExceptionTableItem, Inst, Value};
use std::ptr;

impl Walk<'_> {
    /// Forgets that values equal the parameters of the entered blocks, except values that the gap,
    /// which leads to `end`, assigns.
    pub(super) fn forget_params(
        &mut self,
        crossings: &[Crossing],
        assigned: &Assigned,
        end: (CopyId, Inst),
    ) {
        for param in crossings.iter().flat_map(Crossing::params) {
            let mut equal = std::mem::take(&mut self.equal_to_params[param]);
            equal.retain(|&(copy, value)| {
                if assigned.get(copy, value).is_some() {
                    return true;
                }
                let known = self.terms[copy][value].clone().unwrap_or_default();
                if !known.contains(&Term::Value(param)) {
                    return false;
                }
                if self.carry(&known, crossings).contains(&Term::Value(param))
                    || !self.is_live(copy, value, end, true)
                {
                    return true;
                }
                if let Some(known) = &mut self.terms[copy][value] {
                    known.retain(|term| *term != Term::Value(param));
                    self.shrunk = true;
                }
                false
            });
            self.equal_to_params[param] = equal;
        }
    }

    /// Returns whether the present value may be used after `end`, or in `end` itself if that is
    /// next.
    pub(super) fn is_live(
        &self,
        copy: CopyId,
        value: Value,
        end: (CopyId, Inst),
        is_next: bool,
    ) -> bool {
        let (mut inner, mut inst) = end;
        // Copies come after those around them.
        while inner > copy {
            let Some(site) = self.tree.site(inner) else {
                return false;
            };
            (inner, inst) = (site.parent, site.call);
            if inner == copy && self.leaves_with(site, value) {
                return true;
            }
        }
        if inner != copy {
            return false;
        }
        let func = self.tree.func(copy);
        // Global values start from it without naming it.
        if special_param(func) == Some(value) {
            return true;
        }
        let mut liveness = self.liveness.borrow_mut();
        let liveness = liveness.entry(ptr::from_ref(func));
        let liveness = liveness.or_insert_with(|| Liveness::new(func));
        // The arguments of a replaced call were looked up when its copy was entered.
        liveness.is_live(func, value, inst, is_next && end.0 == copy)
    }

    /// Returns whether a replaced `try_call` passes a value on where its copy ends, or has it as a
    /// context of the calls in its copy.
    fn leaves_with(&self, site: Site, value: Value) -> bool {
        let SiteKind::TryCall(table) = site.kind else {
            return false;
        };
        let dfg = &self.tree.func(site.parent).dfg;
        let Some(table) = dfg.exception_tables.get(table) else {
            return true;
        };
        let is_it = |used: Value| dfg.resolve_aliases(used) == value;
        let passes = |edge: &BlockCall| {
            let mut args = edge.args(&dfg.value_lists);
            args.any(|arg| matches!(arg, BlockArg::Value(arg) if is_it(arg)))
        };
        passes(table.normal_return())
            || table.items().any(|item| match item {
                ExceptionTableItem::Tag(_, edge) | ExceptionTableItem::Default(edge) => {
                    passes(&edge)
                }
                ExceptionTableItem::Context(context) => is_it(context),
            })
    }
}
