//! A faster path for instructions of the most common formats.
//!
//! Most instructions of [these formats](crate::body::map_common) are like one
//! that was seen before.

use super::Survey;
use super::instructions::likely_ctrl_type;
use crate::body::map_common;
use crate::splice::tables::{InstClass, InstPlan, Results};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{self, Inst, InstructionData, Value, types};

impl Survey<'_> {
    /// Does the work of [`Survey::survey_inst`] for the common instructions, and returns whether it
    /// did. All others, and malformed ones, are left to that method.
    #[inline]
    pub(super) fn survey_common_inst(&mut self, inst: Inst, original: &InstructionData) -> bool {
        // Aliases are followed, and all that is referred to is there.
        let known = |value| self.known(value);
        let known_flags = |flags| self.known_flags(flags);
        let Some(data) = map_common::<true>(original, known, known_flags) else {
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

    /// Returns the value behind `value`, if it is not an alias or was used before.
    #[inline]
    fn known(&self, value: Value) -> Option<Value> {
        let resolved = *self.tables.resolved.get(value.index())?;
        (!resolved.is_reserved_value()).then_some(resolved)
    }

    /// Returns the flags, if they were used before.
    #[inline]
    fn known_flags(&self, flags: ir::MemFlags) -> Option<ir::MemFlags> {
        self.tables.used.mem_flags.contains(flags).then_some(flags)
    }
}
