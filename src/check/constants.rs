//! Conditions of the source that are constant in the result.

use super::comparison::{holds, signed};
use super::place::Terms;
use super::tables::Walk;
use cranelift_codegen::ir::{BlockArg, InstructionData, Opcode, Value, ValueDef};

/// No transform of this crate folds deeper expressions.
const MAX_DEPTH: u32 = 8;

impl Walk<'_> {
    /// Returns the constant that some of `terms` is, as bits of its type.
    pub(super) fn constant_of(&self, terms: &Terms) -> Option<u64> {
        terms.iter().find_map(|term| match *term {
            BlockArg::Value(value) => self.evaluate(value, MAX_DEPTH).map(|(bits, _)| bits),
            BlockArg::TryCallRet(_) | BlockArg::TryCallExn(_) => None,
        })
    }

    /// Returns the value's bits and width, computed with 128-bit arithmetic so that no width needs
    /// care.
    fn evaluate(&self, value: Value, depth: u32) -> Option<(u64, u32)> {
        let depth = depth.checked_sub(1)?;
        let dfg = &self.after.dfg;
        let value = dfg.resolve_aliases(value);
        let ty = dfg.value_type(value);
        let width = ty.bits();
        if !ty.is_int() || width > 64 {
            return None;
        }
        let ValueDef::Result(inst, _) = dfg.value_def(value) else {
            return None;
        };
        let wide: i128 = match dfg.insts[inst] {
            InstructionData::UnaryImm { imm, .. } => imm.bits().into(),
            InstructionData::Unary { opcode, arg } => {
                let (bits, from) = self.evaluate(arg, depth)?;
                match opcode {
                    Opcode::Uextend | Opcode::Ireduce => bits.into(),
                    Opcode::Sextend => signed(bits.into(), from),
                    _ => return None,
                }
            }
            InstructionData::IntCompare { args, cond, .. } => {
                let (x, width) = self.evaluate(args[0], depth)?;
                let (y, _) = self.evaluate(args[1], depth)?;
                i128::from(holds(cond, x.into(), y.into(), width))
            }
            _ => return None,
        };
        let modulus = 1i128 << width;
        u64::try_from(wide.rem_euclid(modulus))
            .ok()
            .map(|bits| (bits, width))
    }
}
