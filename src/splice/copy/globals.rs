//! Global values that start from the callee's `vmctx` parameter.

use super::BodyCopier;
use crate::splice::tables::InstPlan;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{self, Block, GlobalValueData, Inst, InstructionData, Opcode, Value};
use smallvec::SmallVec;

impl BodyCopier<'_> {
    /// Expands a global value that starts from the callee's `vmctx` to its computation, starting
    /// from the argument.
    pub(super) fn copy_vmctx_global(&mut self, plan: &InstPlan, at: Block) {
        let InstructionData::UnaryGlobalValue { global_value, .. } = plan.data else {
            debug_assert!(false, "{} names no global value", plan.inst);
            return;
        };
        if self.site.shares_vmctx {
            self.copy_inst(plan, at);
            return;
        }
        let value = self.expand_global(global_value, at, plan.inst);
        for result in self.callee.dfg.inst_results(plan.inst) {
            self.values[result.index()] = value;
        }
    }

    fn expand_global(&mut self, global: ir::GlobalValue, at: Block, srcloc_of: Inst) -> Value {
        let mut chain: SmallVec<[ir::GlobalValue; 4]> = SmallVec::new();
        let mut current = global;
        while let GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. } =
            &self.callee.global_values[current]
        {
            chain.push(current);
            current = *base;
        }
        let vmctx = self
            .callee
            .signature
            .special_param_index(ir::ArgumentPurpose::VMContext);
        debug_assert!(vmctx.is_some(), "{global} starts from a parameter");
        let mut value = vmctx.map_or(Value::reserved_value(), |index| self.site.args[index]);
        for step in chain.into_iter().rev() {
            let (data, ty) = match self.callee.global_values[step] {
                GlobalValueData::Load {
                    offset,
                    global_type,
                    flags,
                    ..
                } => {
                    let load = InstructionData::Load {
                        opcode: Opcode::Load,
                        arg: value,
                        flags: self.maps.mem_flags[flags.index()],
                        offset,
                    };
                    (load, global_type)
                }
                GlobalValueData::IAddImm {
                    offset,
                    global_type,
                    ..
                } => {
                    let imm = mask(offset.bits(), global_type);
                    let iconst = InstructionData::UnaryImm {
                        opcode: Opcode::Iconst,
                        imm: imm.into(),
                    };
                    let amount = self.append_with_result(iconst, global_type, at, srcloc_of);
                    let add = InstructionData::Binary {
                        opcode: Opcode::Iadd,
                        args: [value, amount],
                    };
                    (add, global_type)
                }
                _ => {
                    debug_assert!(false, "{step} has no base");
                    continue;
                }
            };
            value = self.append_with_result(data, ty, at, srcloc_of);
        }
        value
    }

    fn append_with_result(
        &mut self,
        data: InstructionData,
        ty: ir::Type,
        at: Block,
        srcloc_of: Inst,
    ) -> Value {
        let inst = self.append(data, at, srcloc_of);
        self.caller.dfg.make_inst_results(inst, ty);
        self.caller.dfg.first_result(inst)
    }
}

/// Clears the bits beyond the type, as `iconst` requires of its immediate.
fn mask(bits: i64, ty: ir::Type) -> i64 {
    match ty.bits() {
        0..64 => bits & ((1 << ty.bits()) - 1),
        _ => bits,
    }
}
