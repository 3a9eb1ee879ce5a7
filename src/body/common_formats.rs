//! The most common formats of instructions, which hot loops try first.
//!
//! None of them ends a block, is a call, or refers to anything but values and memory flags.
//! Cranelift's own accessors and `InstructionData::map` know every format, and cost several times
//! as many instructions.

use cranelift_codegen::ir::instructions::InstructionFormat;
use cranelift_codegen::ir::{DataFlowGraph, Inst, InstructionData, MemFlags, Opcode, Value};

/// Returns the operands of `inst` but the arguments of its branches.
#[inline]
pub(crate) fn operands(dfg: &DataFlowGraph, inst: Inst) -> &[Value] {
    match &dfg.insts[inst] {
        InstructionData::UnaryImm { .. } => &[],
        InstructionData::Unary { arg, .. } | InstructionData::Load { arg, .. } => {
            std::slice::from_ref(arg)
        }
        InstructionData::Binary { args, .. }
        | InstructionData::IntCompare { args, .. }
        | InstructionData::Store { args, .. } => args,
        _ => dfg.inst_args(inst),
    }
}

/// Maps the values and memory flags of `data` by `value` and `flags`. Returns `None` if either
/// does, or if `data` has another format; with `CHECK` also if its opcode has.
#[inline(always)]
pub(crate) fn map_common<const CHECK: bool>(
    data: &InstructionData,
    value: impl Fn(Value) -> Option<Value>,
    flags: impl Fn(MemFlags) -> Option<MemFlags>,
) -> Option<InstructionData> {
    let has_format = |opcode: Opcode, format| (!CHECK || opcode.format() == format).then_some(());
    let pair = |[first, second]: [Value; 2]| Some([value(first)?, value(second)?]);
    Some(match *data {
        InstructionData::Unary { opcode, arg } => {
            has_format(opcode, InstructionFormat::Unary)?;
            let arg = value(arg)?;
            InstructionData::Unary { opcode, arg }
        }
        InstructionData::UnaryImm { opcode, imm } => {
            has_format(opcode, InstructionFormat::UnaryImm)?;
            InstructionData::UnaryImm { opcode, imm }
        }
        InstructionData::Binary { opcode, args } => {
            has_format(opcode, InstructionFormat::Binary)?;
            let args = pair(args)?;
            InstructionData::Binary { opcode, args }
        }
        InstructionData::IntCompare { opcode, args, cond } => {
            has_format(opcode, InstructionFormat::IntCompare)?;
            let args = pair(args)?;
            InstructionData::IntCompare { opcode, args, cond }
        }
        InstructionData::Load {
            opcode,
            arg,
            flags: access,
            offset,
        } => {
            has_format(opcode, InstructionFormat::Load)?;
            InstructionData::Load {
                opcode,
                arg: value(arg)?,
                flags: flags(access)?,
                offset,
            }
        }
        InstructionData::Store {
            opcode,
            args,
            flags: access,
            offset,
        } => {
            has_format(opcode, InstructionFormat::Store)?;
            InstructionData::Store {
                opcode,
                args: pair(args)?,
                flags: flags(access)?,
                offset,
            }
        }
        _ => return None,
    })
}
