//! A faster path for instructions of the most common formats.
//!
//! None of these formats ends a block, is a call, or refers to anything but values and memory
//! flags, and most of their instructions are like one that was seen before.

use super::Survey;
use super::instructions::likely_ctrl_type;
use crate::splice::callee::{InstClass, InstPlan, Results};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::instructions::InstructionFormat;
use cranelift_codegen::ir::{self, Inst, InstructionData, Opcode, Value, types};

impl Survey<'_> {
    /// Does the work of [`Survey::survey_inst`] for the common instructions, and returns whether it
    /// did. All others, and malformed ones, are left to that method.
    #[inline]
    pub(super) fn survey_common_inst(&mut self, inst: Inst, original: &InstructionData) -> bool {
        let Some(data) = self.common_operands(original) else {
            return false;
        };
        let opcode = data.opcode();
        let dfg = &self.func.dfg;
        let (results, result_type) = match *dfg.inst_results(inst) {
            [] => (Results::None, types::INVALID),
            [result] if dfg.value_is_valid(result) => {
                (Results::One(result), dfg.value_type(result))
            }
            _ => return false,
        };
        let ctrl_type = likely_ctrl_type(self.func, inst, opcode, result_type);
        if !self.known_types.contains(opcode, ctrl_type, result_type)
            && self
                .learn_types(inst, opcode, ctrl_type, result_type)
                .is_err()
        {
            return false;
        }
        if let Results::One(result) = results {
            if !self.define_first(result) {
                return false;
            }
            self.tables.facts.values_added += 1;
        }
        self.tables.facts.certain_insts += 1;
        self.add_inst(InstPlan {
            inst,
            data,
            ctrl_type,
            class: InstClass::Plain,
            results,
        });
        true
    }

    /// Returns `data` with aliases followed, if it has a common format, which is that of its
    /// opcode, and all its operands exist.
    #[inline]
    fn common_operands(&mut self, data: &InstructionData) -> Option<InstructionData> {
        let has_format = |opcode: Opcode, format| (opcode.format() == format).then_some(());
        Some(match *data {
            InstructionData::Unary { opcode, arg } => {
                has_format(opcode, InstructionFormat::Unary)?;
                let arg = self.known(arg)?;
                InstructionData::Unary { opcode, arg }
            }
            InstructionData::UnaryImm { opcode, imm } => {
                has_format(opcode, InstructionFormat::UnaryImm)?;
                InstructionData::UnaryImm { opcode, imm }
            }
            InstructionData::Binary { opcode, args } => {
                has_format(opcode, InstructionFormat::Binary)?;
                let args = self.known_pair(args)?;
                InstructionData::Binary { opcode, args }
            }
            InstructionData::IntCompare { opcode, args, cond } => {
                has_format(opcode, InstructionFormat::IntCompare)?;
                let args = self.known_pair(args)?;
                InstructionData::IntCompare { opcode, args, cond }
            }
            InstructionData::Load {
                opcode,
                arg,
                flags,
                offset,
            } => {
                has_format(opcode, InstructionFormat::Load)?;
                let arg = self.known(arg)?;
                self.known_flags(flags)?;
                InstructionData::Load {
                    opcode,
                    arg,
                    flags,
                    offset,
                }
            }
            InstructionData::Store {
                opcode,
                args,
                flags,
                offset,
            } => {
                has_format(opcode, InstructionFormat::Store)?;
                let args = self.known_pair(args)?;
                self.known_flags(flags)?;
                InstructionData::Store {
                    opcode,
                    args,
                    flags,
                    offset,
                }
            }
            _ => return None,
        })
    }

    /// Returns the value behind `value`, if it is not an alias or was used before.
    #[inline]
    fn known(&self, value: Value) -> Option<Value> {
        let resolved = *self.tables.resolved.get(value.index())?;
        (!resolved.is_reserved_value()).then_some(resolved)
    }

    #[inline]
    fn known_pair(&self, [first, second]: [Value; 2]) -> Option<[Value; 2]> {
        Some([self.known(first)?, self.known(second)?])
    }

    /// Returns `Some` if the flags were used before.
    #[inline]
    fn known_flags(&self, flags: ir::MemFlags) -> Option<()> {
        self.tables.used.mem_flags.contains(flags).then_some(())
    }
}
