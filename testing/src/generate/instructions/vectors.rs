//! Vectors of 128 bits.

use crate::generate::body::Body;
use crate::generate::types::{FLOAT_VECTORS, INT_VECTORS};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, types};

impl Body<'_, '_, '_> {
    /// Makes an instruction on single lanes of a value of type `ty`.
    pub(super) fn vector_instruction(&mut self, ty: Type) {
        let lane = self.choices.below(ty.lane_count() as usize) as u8;
        let vector = self.value(ty);
        match self.choices.below(4) {
            0 => {
                let value = self.at().ins().extractlane(vector, lane);
                self.define([value]);
            }
            1 => {
                let scalar = self.value(ty.lane_type());
                let value = self.at().ins().insertlane(vector, scalar, lane);
                self.define([value]);
            }
            2 if ty.lane_type().is_int() => {
                let value = self.at().ins().vhigh_bits(types::I32, vector);
                self.define([value]);
            }
            _ => {
                let scalar = self.value(ty.lane_type());
                let value = self.at().ins().splat(ty, scalar);
                self.define([value]);
            }
        }
    }

    /// Makes a vector of type `to` from one of another type.
    pub(super) fn vector_from_other(&mut self, to: Type) {
        let has_floats = self.plan.types.contain(types::F32X4);
        match (self.choices.below(3), to) {
            (1, types::F32X4) => self.convert_lanes(types::I32X4, to),
            (1, types::F64X2) => self.convert_lanes(types::I64X2, to),
            (1, types::I32X4) if has_floats => {
                let value = self.value(types::F32X4);
                let opcode = if self.choices.chance(128) {
                    Opcode::FcvtToSintSat
                } else {
                    Opcode::FcvtToUintSat
                };
                let inst = self.at().ins().Unary(opcode, to, value).0;
                self.define_results(inst);
            }
            (2, types::F32X4) => {
                let value = self.value(types::F64X2);
                let value = self.at().ins().fvdemote(value);
                self.define([value]);
            }
            (2, types::F64X2) => {
                let value = self.value(types::F32X4);
                let value = self.at().ins().fvpromote_low(value);
                self.define([value]);
            }
            _ => {
                let all = if has_floats && self.choices.chance(128) {
                    FLOAT_VECTORS
                } else {
                    INT_VECTORS
                };
                let from = self.choices.one_of(all).unwrap_or(types::I32X4);
                self.bitcast(from, to);
            }
        }
    }

    fn convert_lanes(&mut self, from: Type, to: Type) {
        let value = self.value(from);
        let opcode = if self.choices.chance(128) {
            Opcode::FcvtFromSint
        } else {
            Opcode::FcvtFromUint
        };
        let inst = self.at().ins().Unary(opcode, to, value).0;
        self.define_results(inst);
    }
}
