//! The functions that the instructions of a body mention.

use cranelift_codegen::ir::{Block, FuncRef, Function, Inst, InstructionData, Opcode};
use cranelift_entity::EntityRef;

/// The mention of a function, known or not, by an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mention {
    /// A direct call of any kind.
    Call(FuncRef),
    /// An indirect call of any kind.
    IndirectCall,
    /// An instruction that takes the function's address.
    Address(FuncRef),
    /// A switch to another stack, which may continue any function.
    StackSwitch,
}

/// Calls `visit` with the instructions that mention functions, in the order of the layout.
pub(crate) fn for_each_mention(func: &Function, mut visit: impl FnMut(Block, Inst, Mention)) {
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            // A layout made by hand may hold instructions that the data-flow graph lacks.
            if inst.index() >= func.dfg.num_insts() {
                continue;
            }
            let mention = match &func.dfg.insts[inst] {
                // The most common formats come first.
                InstructionData::Unary { .. }
                | InstructionData::UnaryImm { .. }
                | InstructionData::Binary { .. }
                | InstructionData::IntCompare { .. }
                | InstructionData::Load { .. }
                | InstructionData::Store { .. } => continue,
                &InstructionData::Call { func_ref, .. }
                | &InstructionData::TryCall { func_ref, .. } => Mention::Call(func_ref),
                InstructionData::CallIndirect { .. } | InstructionData::TryCallIndirect { .. } => {
                    Mention::IndirectCall
                }
                &InstructionData::FuncAddr { func_ref, .. } => Mention::Address(func_ref),
                data if data.opcode() == Opcode::StackSwitch => Mention::StackSwitch,
                _ => continue,
            };
            visit(block, inst, mention);
        }
    }
}
