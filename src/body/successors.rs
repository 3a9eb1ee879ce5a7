//! The branches of a terminator, in unverified functions.

use cranelift_codegen::ir::{BlockCall, Function, Inst, InstructionData};

/// Returns the branches of `inst`; empty if it names a table that does not exist, for which
/// Cranelift's own accessor panics.
pub(crate) fn branches(func: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &func.dfg;
    if has_table(func, inst) {
        dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
    } else {
        &[]
    }
}

/// Like [`branches`], but mutable.
pub(crate) fn branches_mut(func: &mut Function, inst: Inst) -> &mut [BlockCall] {
    if has_table(func, inst) {
        let dfg = &mut func.stencil.dfg;
        dfg.insts[inst].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables)
    } else {
        &mut []
    }
}

fn has_table(func: &Function, inst: Inst) -> bool {
    let dfg = &func.dfg;
    match dfg.insts[inst] {
        InstructionData::BranchTable { table, .. } => dfg.jump_tables.is_valid(table),
        InstructionData::TryCall { exception, .. }
        | InstructionData::TryCallIndirect { exception, .. } => {
            dfg.exception_tables.is_valid(exception)
        }
        _ => true,
    }
}
