//! Instructions that name a block without branching to it.

use cranelift_codegen::ir::{Function, Inst, InstructionData};

/// The `get_exception_handler_address` instructions of `func`, in layout order.
pub(crate) fn handler_addresses(func: &Function) -> impl Iterator<Item = Inst> + '_ {
    let insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    insts.filter(|&inst| {
        matches!(
            func.dfg.insts[inst],
            InstructionData::ExceptionHandlerAddress { .. }
        )
    })
}
