//! Instructions that compute a value.

pub(super) mod constants;
mod conversions;
mod operations;
mod vectors;

use super::body::Body;
use super::features::Feature;
use super::types::CARRIED_FLOATS;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{Inst, InstBuilder, Opcode, TrapCode, Type, Value, types};
use operations::Operation;

impl Body<'_, '_, '_> {
    /// Makes a few instructions for one or two values.
    pub(super) fn instruction(&mut self) {
        let ty = self.some_type();
        match self.choices.below(16) {
            0..=4 => self.operation(operations::BINARY, ty, 2),
            5 | 6 => self.operation(operations::UNARY, ty, 1),
            7 => self.operation(operations::TERNARY, ty, 3),
            8 => self.shift(ty),
            9 => self.comparison(ty),
            10 => self.selection(ty),
            11 => self.division(),
            12 => self.overflow(ty),
            13 if ty.is_vector() => self.vector_instruction(ty),
            13 => self.constant_instruction(ty),
            _ => self.conversion(ty),
        }
    }

    fn constant_instruction(&mut self, ty: Type) {
        let value = constants::constant(self, ty);
        self.define([value]);
    }

    /// Makes one of `operations` with `arity` operands of type `ty`; another instruction if none
    /// takes them.
    fn operation(&mut self, operations: &[Operation], ty: Type, arity: usize) {
        let Some(opcode) = self.opcode_for(operations, ty) else {
            return self.selection(ty);
        };
        let args = self.values_of(&[ty; 3][..arity]);
        let inst = match args[..] {
            [x] => self.at().ins().Unary(opcode, ty, x).0,
            [x, y] => self.at().ins().Binary(opcode, ty, x, y).0,
            [x, y, z] => self.at().ins().Ternary(opcode, ty, x, y, z).0,
            _ => return,
        };
        self.define_results(inst);
    }

    fn opcode_for(&mut self, operations: &[Operation], ty: Type) -> Option<Opcode> {
        let fitting = operations.iter().filter(|operation| operation.takes(ty));
        let opcodes: Vec<Opcode> = fitting.map(|operation| operation.opcode).collect();
        self.choices.one_of(&opcodes)
    }

    fn shift(&mut self, ty: Type) {
        let Some(opcode) = self.opcode_for(operations::SHIFTS, ty) else {
            return self.selection(ty);
        };
        let amount = self.plan.types.int(self.choices);
        let (value, amount) = (self.value(ty), self.value(amount));
        let inst = self.at().ins().Binary(opcode, ty, value, amount).0;
        self.define_results(inst);
    }

    fn comparison(&mut self, ty: Type) {
        if CARRIED_FLOATS.contains(&ty) {
            return self.selection(ty);
        }
        let (x, y) = (self.value(ty), self.value(ty));
        let value = if ty.lane_type().is_float() {
            let condition = self.float_condition(ty);
            self.at().ins().fcmp(condition, x, y)
        } else {
            let all = IntCC::all();
            let condition = self.choices.one_of(all).unwrap_or(IntCC::Equal);
            self.at().ins().icmp(condition, x, y)
        };
        self.define([value]);
    }

    fn float_condition(&mut self, ty: Type) -> FloatCC {
        let of_vectors = [
            FloatCC::Equal,
            FloatCC::NotEqual,
            FloatCC::LessThan,
            FloatCC::LessThanOrEqual,
            FloatCC::GreaterThan,
            FloatCC::GreaterThanOrEqual,
            FloatCC::Ordered,
            FloatCC::Unordered,
        ];
        let all = if ty.is_vector() {
            &of_vectors[..]
        } else {
            FloatCC::all()
        };
        self.choices.one_of(all).unwrap_or(FloatCC::Equal)
    }

    fn selection(&mut self, ty: Type) {
        let condition = self.condition();
        let (x, y) = (self.value(ty), self.value(ty));
        let value = if ty.is_int() && self.choices.chance(64) {
            self.at().ins().select_spectre_guard(condition, x, y)
        } else {
            self.at().ins().select(condition, x, y)
        };
        self.define([value]);
    }

    /// Makes a division, guarded unless the program may trap.
    fn division(&mut self) {
        let ty = self.choices.one_of(super::types::NARROW);
        let ty = ty.unwrap_or(types::I32);
        let Some(opcode) = self.opcode_for(operations::DIVISIONS, ty) else {
            return;
        };
        let (dividend, mut divisor) = (self.value(ty), self.value(ty));
        let guarded = !self.plan.features.has(Feature::Traps) || self.choices.chance(128);
        let never_negative =
            opcode == Opcode::Srem && !self.plan.features.has(Feature::RemainderByMinusOne);
        if never_negative || guarded && opcode == Opcode::Sdiv {
            let positive = constants::integer_constant(self, ty, 0x3f);
            divisor = self.at().ins().band(divisor, positive);
        }
        if guarded {
            let one = self.at().ins().iconst(ty, 1);
            divisor = self.at().ins().bor(divisor, one);
        }
        let inst = self.at().ins().Binary(opcode, ty, dividend, divisor).0;
        self.define_results(inst);
    }

    fn overflow(&mut self, ty: Type) {
        let (x, y) = if ty.is_int() {
            (self.value(ty), self.value(ty))
        } else {
            return self.selection(ty);
        };
        let may_trap = self.plan.features.has(Feature::Traps);
        if may_trap && matches!(ty, types::I32 | types::I64) && self.choices.chance(96) {
            let code = self.trap_code();
            let value = self.at().ins().uadd_overflow_trap(x, y, code);
            return self.define([value]);
        }
        let operations = if self.plan.features.has(Feature::BeyondRiscv64) {
            operations::OVERFLOWING_BEYOND_RISCV64
        } else {
            operations::OVERFLOWING
        };
        if let Some(opcode) = self.opcode_for(operations, ty) {
            let inst = self.at().ins().Binary(opcode, ty, x, y).0;
            self.define_results(inst);
        }
    }

    /// Returns a trap code for the program.
    pub(super) fn trap_code(&mut self) -> TrapCode {
        let code = 1 + self.choices.below(8) as u8;
        TrapCode::user(code).unwrap_or(TrapCode::INTEGER_OVERFLOW)
    }

    /// Makes an integer for a branch, mostly the result of a comparison.
    pub(super) fn condition(&mut self) -> Value {
        let ty = match self.some_type() {
            ty if ty.is_int() => ty,
            _ => self.plan.types.int(self.choices),
        };
        if self.choices.chance(128) {
            return self.value(ty);
        }
        let (x, y) = (self.value(ty), self.value(ty));
        let condition = self.choices.one_of(IntCC::all());
        let condition = condition.unwrap_or(IntCC::Equal);
        self.at().ins().icmp(condition, x, y)
    }

    /// Makes the results of `inst` usable.
    pub(super) fn define_results(&mut self, inst: Inst) {
        let results = self.func.dfg.inst_results(inst).to_vec();
        self.define(results);
    }
}
