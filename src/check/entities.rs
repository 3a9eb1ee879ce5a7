//! Comparison of the entities that instructions refer to, by content.

use super::difference::Difference;
use super::tables::Walk;
use super::tree::{CopyId, CopyTree};
use crate::program::FunctionName;
use cranelift_codegen::ir::{self, ArgumentPurpose, ExternalName, Function, GlobalValueData};

impl Walk<'_> {
    pub(super) fn check_header(&self) -> Result<(), Difference> {
        let before = self.tree.func(CopyTree::ROOT);
        let after = self.after;
        if before.name != after.name || before.signature != after.signature {
            return Err(Difference::general(
                "the function has another name or signature",
            ));
        }
        let same_limit = match (before.stack_limit, after.stack_limit) {
            (None, None) => true,
            (Some(a), Some(b)) => self.same_global(CopyTree::ROOT, a, b),
            _ => false,
        };
        if !same_limit {
            return Err(Difference::general("the function has another stack limit"));
        }
        Ok(())
    }

    pub(super) fn same_function(&self, copy: CopyId, a: ir::FuncRef, b: ir::FuncRef) -> bool {
        let func = self.tree.func(copy);
        let (Some(a), Some(b)) = (func.dfg.ext_funcs.get(a), self.after.dfg.ext_funcs.get(b))
        else {
            return false;
        };
        self.same_name(func, &a.name, &b.name)
            && func.dfg.signatures.get(a.signature) == self.after.dfg.signatures.get(b.signature)
            && a.colocated == b.colocated
            && a.patchable == b.patchable
    }

    fn same_name(&self, func: &Function, a: &ExternalName, b: &ExternalName) -> bool {
        match (
            FunctionName::of_external(func, a),
            FunctionName::of_external(self.after, b),
        ) {
            (Some(a), Some(b)) => a == b,
            (None, None) => a == b,
            _ => false,
        }
    }

    pub(super) fn same_global(&self, copy: CopyId, a: ir::GlobalValue, b: ir::GlobalValue) -> bool {
        // No chain is longer, unless it is a cycle.
        let longest = self.after.global_values.len();
        self.same_global_chain(copy, a, b, longest)
    }

    fn same_global_chain(
        &self,
        copy: CopyId,
        a: ir::GlobalValue,
        b: ir::GlobalValue,
        longest: usize,
    ) -> bool {
        let Some(longest) = longest.checked_sub(1) else {
            return false;
        };
        let func = self.tree.func(copy);
        match (func.global_values.get(a), self.after.global_values.get(b)) {
            (Some(GlobalValueData::VMContext), Some(GlobalValueData::VMContext)) => {
                self.shares_vmctx(copy)
            }
            (
                Some(GlobalValueData::Load {
                    base: a,
                    offset: a_offset,
                    global_type: a_type,
                    flags: a_flags,
                }),
                Some(
                    loaded @ GlobalValueData::Load {
                        base: b,
                        offset: b_offset,
                        global_type: b_type,
                        flags: b_flags,
                    },
                ),
            ) => {
                a_offset == b_offset
                    && a_type == b_type
                    && self.same_global_flags(copy, *a_flags, (loaded, *b_flags))
                    && self.same_global_chain(copy, *a, *b, longest)
            }
            (
                Some(GlobalValueData::IAddImm {
                    base: a,
                    offset: a_offset,
                    global_type: a_type,
                }),
                Some(GlobalValueData::IAddImm {
                    base: b,
                    offset: b_offset,
                    global_type: b_type,
                }),
            ) => {
                a_offset == b_offset
                    && a_type == b_type
                    && self.same_global_chain(copy, *a, *b, longest)
            }
            (
                Some(GlobalValueData::Symbol {
                    name: a,
                    offset: a_offset,
                    colocated: a_colocated,
                    tls: a_tls,
                }),
                Some(GlobalValueData::Symbol {
                    name: b,
                    offset: b_offset,
                    colocated: b_colocated,
                    tls: b_tls,
                }),
            ) => {
                a_offset == b_offset
                    && a_colocated == b_colocated
                    && a_tls == b_tls
                    && self.same_name(func, a, b)
            }
            (
                Some(GlobalValueData::DynScaleTargetConst { vector_type: a }),
                Some(GlobalValueData::DynScaleTargetConst { vector_type: b }),
            ) => a == b,
            _ => false,
        }
    }

    /// Returns whether the `vmctx` of a copy is that of the result.
    pub(super) fn shares_vmctx(&self, copy: CopyId) -> bool {
        if copy == CopyTree::ROOT {
            return true;
        }
        let ours = special_param(self.after);
        let theirs = special_param(self.tree.func(copy));
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.equals(copy, theirs, ours),
            _ => false,
        }
    }
}

/// Returns the value of a function's `vmctx` parameter.
pub(super) fn special_param(func: &Function) -> Option<ir::Value> {
    let index = func
        .signature
        .special_param_index(ArgumentPurpose::VMContext)?;
    let entry = func.layout.entry_block()?;
    func.dfg.block_params(entry).get(index).copied()
}
