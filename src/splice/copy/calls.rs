//! Copying of calls and returns.

use super::BodyCopier;
use crate::body::move_labels;
use crate::splice::mapper::OuterHandlers;
use crate::splice::site::SiteKind;
use crate::splice::tables::{CopiedCall, InstPlan};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTableData, Inst, InstructionData, Opcode, Value, types,
};
use smallvec::SmallVec;

impl BodyCopier<'_> {
    /// Sets the tags and the stack map of a copied call, and reports it.
    pub(super) fn finish_call(&mut self, inst: Inst, copy: Inst) {
        self.copy_tags(inst, copy);
        if self.caller.dfg.insts[copy].opcode().is_safepoint() {
            let own = self.callee.dfg.user_stack_map_entries(inst);
            let slots = &*self.slots;
            let own = own.unwrap_or_default().iter().map(|entry| {
                let mut entry = entry.clone();
                entry.slot = slots[entry.slot.index()];
                entry
            });
            let entries = self.site.stack_map.iter().cloned().chain(own);
            self.caller.dfg.append_user_stack_map_entries(copy, entries);
        }
        let is_direct = matches!(
            self.caller.dfg.insts[copy],
            InstructionData::Call { .. } | InstructionData::TryCall { .. }
        );
        if is_direct {
            self.copied_calls.push(CopiedCall {
                callee_inst: inst,
                inst: copy,
            });
        }
    }

    /// Returns the block in which the instructions after the call go on.
    pub(super) fn copy_call(&mut self, plan: &InstPlan, at: Block) -> Block {
        if !self.outer.as_ref().is_some_and(OuterHandlers::catches) {
            let copy = self.copy_inst(plan, at);
            self.finish_call(plan.inst, copy);
            return at;
        }
        let mapped = self.map_data(plan);
        let cold = self.caller.layout.is_cold(at);
        let rest = self.new_block_after(at, cold);
        let results = self.callee.dfg.inst_results(plan.inst);
        for &result in results {
            let ty = self.callee.dfg.value_type(result);
            self.values[result.index()] = self.caller.dfg.append_block_param(rest, ty);
        }
        let returned = (0u32..).take(results.len()).map(BlockArg::TryCallRet);
        let normal = BlockCall::new(rest, returned, &mut self.caller.stencil.dfg.value_lists);
        let copy = self.append_try_call(mapped, normal, at, plan.inst);
        self.finish_call(plan.inst, copy);
        rest
    }

    /// Appends `data`, a `call` or `call_indirect` of any kind, as one with the handlers of the
    /// replaced `try_call`.
    fn append_try_call(
        &mut self,
        data: InstructionData,
        normal: BlockCall,
        at: Block,
        srcloc_of: Inst,
    ) -> Inst {
        let dfg = &mut self.caller.stencil.dfg;
        let signature = match data {
            InstructionData::Call { func_ref, .. } => dfg.ext_funcs[func_ref].signature,
            InstructionData::CallIndirect { sig_ref, .. } => sig_ref,
            _ => {
                debug_assert!(false, "{} becomes a try_call", data.opcode());
                return self.append(data, at, srcloc_of);
            }
        };
        let items = self
            .outer
            .as_mut()
            .map(|outer| outer.copy_items(&mut dfg.value_lists))
            .unwrap_or_default();
        let table = ExceptionTableData::new(signature, normal, items);
        let exception = dfg.exception_tables.push(table);
        let data = match data {
            InstructionData::Call { args, func_ref, .. } => InstructionData::TryCall {
                opcode: Opcode::TryCall,
                args,
                func_ref,
                exception,
            },
            InstructionData::CallIndirect { args, .. } => InstructionData::TryCallIndirect {
                opcode: Opcode::TryCallIndirect,
                args,
                exception,
            },
            other => {
                debug_assert!(false, "{} has a signature", other.opcode());
                other
            }
        };
        self.append(data, at, srcloc_of)
    }

    pub(super) fn copy_return(&mut self, plan: &InstPlan, at: Block) {
        if self.site.kind == SiteKind::ReturnCall {
            self.copy_inst(plan, at);
            return;
        }
        let returned: SmallVec<[Value; 4]> = self
            .callee
            .dfg
            .inst_args(plan.inst)
            .iter()
            .map(|value| self.values[self.tables.resolved[value.index()].index()])
            .collect();
        self.leave(&returned, at, plan.inst);
    }

    /// Continues after the call with `returned` as its results.
    fn leave(&mut self, returned: &[Value], at: Block, srcloc_of: Inst) {
        if let Some(outer) = &self.outer {
            self.normal_edge_used = true;
            let pool = &mut self.caller.stencil.dfg.value_lists;
            let destination = outer.normal_with(returned, pool);
            self.append(jump(destination), at, srcloc_of);
            return;
        }
        let args = returned.iter().map(|&value| BlockArg::Value(value));
        if let Some(join) = self.join {
            let pool = &mut self.caller.stencil.dfg.value_lists;
            let destination = BlockCall::new(join, args, pool);
            self.append(jump(destination), at, srcloc_of);
            return;
        }
        let results: SmallVec<[Value; 4]> = self.caller.dfg.inst_results(self.call).into();
        self.caller.dfg.detach_inst_results(self.call);
        for (result, &value) in results.into_iter().zip(returned) {
            self.caller.dfg.change_to_alias(result, value);
            self.aliases.push(result);
            move_labels(self.caller, result, value);
        }
        self.continues_in = Some(at);
    }

    pub(super) fn copy_return_call(&mut self, plan: &InstPlan, at: Block) {
        if self.site.kind == SiteKind::ReturnCall {
            let copy = self.copy_inst(plan, at);
            self.finish_call(plan.inst, copy);
            return;
        }
        let data = match self.map_data(plan) {
            InstructionData::Call { args, func_ref, .. } => InstructionData::Call {
                opcode: Opcode::Call,
                args,
                func_ref,
            },
            InstructionData::CallIndirect { args, sig_ref, .. } => InstructionData::CallIndirect {
                opcode: Opcode::CallIndirect,
                args,
                sig_ref,
            },
            other => {
                debug_assert!(false, "{} is taken for a tail call", other.opcode());
                other
            }
        };
        if let Some(outer) = self.outer.as_ref().filter(|outer| outer.catches()) {
            // The results of the tail callee are those of the `try_call`.
            self.normal_edge_used = true;
            let normal = outer
                .normal
                .deep_clone(&mut self.caller.stencil.dfg.value_lists);
            let copy = self.append_try_call(data, normal, at, plan.inst);
            self.finish_call(plan.inst, copy);
            return;
        }
        let copy = self.append(data, at, plan.inst);
        self.caller.dfg.make_inst_results(copy, types::INVALID);
        self.finish_call(plan.inst, copy);
        let returned: SmallVec<[Value; 4]> = self.caller.dfg.inst_results(copy).into();
        self.leave(&returned, at, plan.inst);
    }
}

fn jump(destination: BlockCall) -> InstructionData {
    InstructionData::Jump {
        opcode: Opcode::Jump,
        destination,
    }
}
