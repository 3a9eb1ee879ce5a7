//! Checks that no stack check was lost.
//!
//! A body with a `stack_limit` relies on a prologue that compares the stack pointer with it. A copy
//! has only the prologue of the result, whose limit must therefore be the same.

use super::difference::Difference;
use super::entities::special_param;
use super::tables::Walk;
use super::tree::{CopyId, CopyTree};
use cranelift_codegen::ir::{GlobalValue, GlobalValueData};

impl Walk<'_> {
    pub(super) fn check_stack_limits(&self) -> Result<(), Difference> {
        for copy in self.tree.copies.keys() {
            let limit = self.tree.func(copy).stack_limit;
            let (Some(limit), Some(site)) = (limit, self.tree.site(copy)) else {
                continue;
            };
            if !self.entered.contains(copy) {
                continue;
            }
            let checked = self.after.stack_limit;
            if !checked.is_some_and(|checked| self.is_limit(copy, limit, checked)) {
                let message = "the stack limit of its callee is not checked any more";
                return Err(self.at(site.parent, site.call, message));
            }
        }
        Ok(())
    }

    /// Returns whether `theirs`, of a copy, is loaded from the same place as `ours`. The flags of
    /// the loads do not matter.
    fn is_limit(&self, copy: CopyId, theirs: GlobalValue, ours: GlobalValue) -> bool {
        let body = &self.tree.func(copy).global_values;
        let result = &self.after.global_values;
        let (mut theirs, mut ours) = (theirs, ours);
        // A longer chain is a cycle.
        for loads in 0..=result.len() {
            match (body.get(theirs), result.get(ours)) {
                (Some(GlobalValueData::VMContext), Some(GlobalValueData::VMContext)) => {
                    // Without a load the limit is the `vmctx` itself, which the option does not
                    // cover.
                    return self.tree.limits_are_per_thread && loads > 0
                        || self.has_vmctx_of_result(copy);
                }
                (
                    Some(GlobalValueData::Load {
                        base: from,
                        offset: at,
                        global_type: as_type,
                        ..
                    }),
                    Some(GlobalValueData::Load {
                        base,
                        offset,
                        global_type,
                        ..
                    }),
                ) if (at, as_type) == (offset, global_type) => (theirs, ours) = (*from, *base),
                _ => return false,
            }
        }
        false
    }

    fn has_vmctx_of_result(&self, copy: CopyId) -> bool {
        debug_assert_ne!(copy, CopyTree::ROOT);
        let vmctx = special_param(self.tree.func(copy));
        // If a body loops forever without an effect, its parameters were never assigned.
        vmctx.is_some_and(|vmctx| self.terms[copy][vmctx].is_none()) || self.shares_vmctx(copy)
    }
}
