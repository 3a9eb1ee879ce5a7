//! Calls with handlers become plain calls if the callee never throws.
//!
//! A jump along the normal edge follows the call. Handlers that no other call reaches are left to
//! [`tidy`](super::tidy). A call stays if an instruction takes the address of one of its handlers,
//! because that names the call's block.

use crate::body::HandlerAddresses;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTable, FuncRef, Function, Inst, InstructionData, Opcode,
    Value,
};
use smallvec::SmallVec;

/// Replaces the calls with handlers that `never_throws` accepts by plain calls; returns their
/// number.
pub(super) fn drop_handlers(
    func: &mut Function,
    handler_addresses: &HandlerAddresses,
    never_throws: impl Fn(&Function, FuncRef) -> bool,
) -> usize {
    let mut replaced = 0;
    let mut next = func.layout.entry_block();
    while let Some(block) = next {
        next = func.layout.next_block(block);
        let Some(call) = func.layout.last_inst(block) else {
            continue;
        };
        let InstructionData::TryCall {
            func_ref,
            exception,
            ..
        } = func.dfg.insts[call]
        else {
            continue;
        };
        if !handler_addresses.contains(block)
            && can_be_plain(func, func_ref, exception)
            && never_throws(func, func_ref)
        {
            replaced += usize::from(make_plain(func, block, call));
        }
    }
    replaced
}

/// Returns whether a plain call of the function has the signature of the call with handlers.
fn can_be_plain(func: &Function, func_ref: FuncRef, exception: ExceptionTable) -> bool {
    let dfg = &func.dfg;
    let (Some(callee), Some(table)) = (
        dfg.ext_funcs.get(func_ref),
        dfg.exception_tables.get(exception),
    ) else {
        return false;
    };
    let (Some(declared), Some(called)) = (
        dfg.signatures.get(callee.signature),
        dfg.signatures.get(table.signature()),
    ) else {
        return false;
    };
    // The normal edge names results by their number.
    let returns = declared.returns.len();
    let pool = &dfg.value_lists;
    let has_results = table.normal_return().args(pool).all(|arg| match arg {
        BlockArg::Value(_) => true,
        BlockArg::TryCallRet(index) => (index as usize) < returns,
        BlockArg::TryCallExn(_) => false,
    });
    !callee.patchable && declared == called && has_results
}

/// Replaces a call with handlers by a plain one; returns whether it could.
fn make_plain(func: &mut Function, block: Block, call: Inst) -> bool {
    let InstructionData::TryCall {
        args,
        func_ref,
        exception,
        ..
    } = func.dfg.insts[call]
    else {
        return false;
    };
    let Some(table) = func.dfg.exception_tables.get(exception) else {
        return false;
    };
    let normal = *table.normal_return();
    func.dfg.insts[call] = InstructionData::Call {
        opcode: Opcode::Call,
        args,
        func_ref,
    };
    func.dfg
        .make_inst_results(call, cranelift_codegen::ir::types::INVALID);
    let results: SmallVec<[Value; 4]> = func.dfg.inst_results(call).into();
    let pool = &mut func.stencil.dfg.value_lists;
    let target = normal.block(pool);
    let passed: SmallVec<[BlockArg; 4]> = normal
        .args(pool)
        .map(|arg| match arg {
            BlockArg::TryCallRet(index) => match results.get(index as usize) {
                Some(&result) => BlockArg::Value(result),
                None => arg,
            },
            other => other,
        })
        .collect();
    let destination = BlockCall::new(target, passed, pool);
    let jump = func.dfg.make_inst(InstructionData::Jump {
        opcode: Opcode::Jump,
        destination,
    });
    func.layout.append_inst(jump, block);
    let location = func.srcloc(call);
    if !location.is_default() {
        func.set_srcloc(jump, location);
    }
    true
}
