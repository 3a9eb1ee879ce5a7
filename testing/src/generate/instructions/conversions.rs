//! Values of one type from values of another.

use crate::generate::body::Body;
use crate::generate::features::Feature;
use crate::generate::types::{CARRIED_FLOATS, FLOATS, NARROW};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Opcode, Type, types};

impl Body<'_, '_, '_> {
    /// Makes a value of type `to` from one of another type.
    pub(super) fn conversion(&mut self, to: Type) {
        if to.is_vector() {
            self.vector_from_other(to);
        } else if CARRIED_FLOATS.contains(&to) {
            self.bitcast(to.as_int(), to);
        } else if to.is_float() {
            self.float_from_other(to);
        } else {
            self.int_from_other(to);
        }
    }

    fn int_from_other(&mut self, to: Type) {
        let floats = self.plan.types.contain(types::F32);
        match self.choices.below(8) {
            4 if self.plan.types.contain(types::F16) => self.int_from_carried_float(to),
            5 if floats => self.int_from_float(to),
            6 if floats && to == types::I32 => self.bitcast(types::F32, to),
            6 if floats && to == types::I64 => self.bitcast(types::F64, to),
            7 => self.halves(to),
            _ => self.resized(to),
        }
    }

    /// Returns the bits of a float without arithmetic.
    fn int_from_carried_float(&mut self, to: Type) {
        let of_same_size = CARRIED_FLOATS.iter().find(|ty| ty.bits() == to.bits());
        match of_same_size {
            Some(&from) if self.plan.types.contain(from) => self.bitcast(from, to),
            _ => self.resized(to),
        }
    }

    /// Makes an extension, a truncation or a mask.
    fn resized(&mut self, to: Type) {
        let from = self.plan.types.int(self.choices);
        let value = self.value(from);
        let opcode = match self.choices.below(3) {
            2 => Opcode::Bmask,
            _ if from.bits() > to.bits() => Opcode::Ireduce,
            0 if from != to => Opcode::Uextend,
            1 if from != to => Opcode::Sextend,
            _ => Opcode::Bmask,
        };
        let inst = self.at().ins().Unary(opcode, to, value).0;
        self.define_results(inst);
    }

    /// Makes 128 bits from two times 64, or the reverse.
    fn halves(&mut self, to: Type) {
        if to == types::I128 {
            let (low, high) = (self.value(types::I64), self.value(types::I64));
            let value = self.at().ins().iconcat(low, high);
            self.define([value]);
        } else if self.plan.types.contain(types::I128) {
            let value = self.value(types::I128);
            let (low, high) = self.at().ins().isplit(value);
            self.define([low, high]);
        } else {
            self.resized(to);
        }
    }

    /// Makes conversions to integers of 32 and 64 bits: x64 has no others.
    fn int_from_float(&mut self, to: Type) {
        let to = if to == types::I64 {
            types::I64
        } else {
            types::I32
        };
        let from = self.choices.one_of(FLOATS).unwrap_or(types::F64);
        let value = self.value(from);
        let opcodes = [
            Opcode::FcvtToSintSat,
            Opcode::FcvtToUintSat,
            Opcode::FcvtToSint,
            Opcode::FcvtToUint,
        ];
        let among = if self.plan.features.has(Feature::Traps) {
            &opcodes[..]
        } else {
            &opcodes[..2]
        };
        let opcode = self.choices.one_of(among);
        let opcode = opcode.unwrap_or(Opcode::FcvtToSintSat);
        let inst = self.at().ins().Unary(opcode, to, value).0;
        self.define_results(inst);
    }

    fn float_from_other(&mut self, to: Type) {
        let other = if to == types::F32 {
            types::F64
        } else {
            types::F32
        };
        match self.choices.below(4) {
            0 => {
                let from = self.choices.one_of(NARROW).unwrap_or(types::I32);
                let value = self.value(from);
                let signed = self.choices.chance(128);
                let opcode = if signed {
                    Opcode::FcvtFromSint
                } else {
                    Opcode::FcvtFromUint
                };
                let inst = self.at().ins().Unary(opcode, to, value).0;
                self.define_results(inst);
            }
            1 => self.bitcast(to.as_int(), to),
            _ => {
                let value = self.value(other);
                let opcode = if to == types::F64 {
                    Opcode::Fpromote
                } else {
                    Opcode::Fdemote
                };
                let inst = self.at().ins().Unary(opcode, to, value).0;
                self.define_results(inst);
            }
        }
    }

    /// Makes a value of another type of the same size from the bits of a value.
    pub(super) fn bitcast(&mut self, from: Type, to: Type) {
        let value = self.value(from);
        // The order of lanes in memory is required if their number changes.
        let flags = if from.lane_count() == to.lane_count() {
            MemFlagsData::new()
        } else {
            MemFlagsData::new().with_endianness(Endianness::Little)
        };
        let value = self.at().ins().bitcast(to, flags, value);
        self.define([value]);
    }
}
