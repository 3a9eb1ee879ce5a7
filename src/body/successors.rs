//! The branches of a terminator, in functions that nobody verified.

use cranelift_codegen::ir::{BlockCall, Function, Inst, InstructionData};

/// Where `inst` branches to; empty where it names a table that does not exist,
/// on which Cranelift's own accessor panics.
pub(crate) fn branches(func: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &func.dfg;
    if has_table(func, inst) {
        dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
    } else {
        &[]
    }
}

/// As [`branches`], to be changed.
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
