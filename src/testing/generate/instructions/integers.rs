//! Arithmetic on integers.

use crate::testing::generate::body::Body;
use crate::testing::generate::program::value_type;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Opcode};

impl Body<'_, '_, '_> {
    pub(super) fn integer_instruction(&mut self) {
        let opcodes = [
            Opcode::Iadd,
            Opcode::Isub,
            Opcode::Imul,
            Opcode::Band,
            Opcode::Bor,
            Opcode::Bxor,
        ];
        let ty = value_type(self.choices);
        let (left, right) = (self.value(ty), self.value(ty));
        let value = match self.choices.one_of(&opcodes) {
            Some(opcode) if !self.choices.chance(64) => {
                let inst = self.at().ins().Binary(opcode, ty, left, right).0;
                self.func.dfg.first_result(inst)
            }
            _ => self.at().ins().icmp(IntCC::SignedLessThan, left, right),
        };
        self.define([value]);
    }
}
