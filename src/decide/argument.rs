//! The known content of the values that a call passes.

use crate::body::resolve_alias;
use cranelift_codegen::ir::{Function, InstructionData, Opcode, StackSlot, Value, ValueDef};

/// The known content of a value that a call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// An integer constant, as its bits.
    Int(i64),
    /// A floating-point or vector constant.
    OtherConstant,
    /// The address of a function.
    FunctionAddress,
    /// The address of a symbol or of a stack slot of the caller.
    Address,
    /// Nothing is known.
    Unknown,
}

/// A stack slot of the caller whose address a call passes, and nothing but calls, loads and stores
/// at constant offsets has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotArgument {
    /// The slot.
    pub slot: StackSlot,
    /// Further calls of the caller that get its address. Where there are none, and the callee only
    /// [accesses](super::AddressUse::Accessed) it, the slot would become values if this call were
    /// inlined.
    pub other_calls: usize,
    /// Loads and stores of the slot by the caller itself.
    pub accesses: u32,
}

impl Argument {
    /// Returns whether the value is the same whenever the call is executed.
    pub fn is_constant(self) -> bool {
        matches!(
            self,
            Argument::Int(_) | Argument::OtherConstant | Argument::FunctionAddress
        )
    }
}

pub(super) fn describe(func: &Function, value: Value) -> Argument {
    let Some(value) = resolve_alias(&func.dfg, value) else {
        return Argument::Unknown;
    };
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return Argument::Unknown;
    };
    match func.dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => Argument::Int(imm.bits()),
        InstructionData::UnaryIeee16 { .. }
        | InstructionData::UnaryIeee32 { .. }
        | InstructionData::UnaryIeee64 { .. }
        | InstructionData::UnaryConst { .. } => Argument::OtherConstant,
        InstructionData::FuncAddr { .. } => Argument::FunctionAddress,
        InstructionData::StackAddr { .. } | InstructionData::UnaryGlobalValue { .. } => {
            Argument::Address
        }
        _ => Argument::Unknown,
    }
}
