//! Which instructions are calls by their format, not only by their opcode's properties.

use cranelift_codegen::ir::Opcode;
use cranelift_codegen::ir::instructions::InstructionFormat;

/// Returns whether an instruction of this opcode calls through a signature, which types its
/// results.
///
/// `Opcode::is_call` holds for `stack_switch` as well: it has the clobbers of a call and is a
/// safepoint, but its operands and its result are those of an ordinary instruction.
pub(crate) fn has_signature(opcode: Opcode) -> bool {
    matches!(
        opcode.format(),
        InstructionFormat::Call
            | InstructionFormat::CallIndirect
            | InstructionFormat::TryCall
            | InstructionFormat::TryCallIndirect
    )
}
