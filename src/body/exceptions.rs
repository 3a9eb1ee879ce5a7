//! Handlers of calls.

use cranelift_codegen::ir::{ExceptionTable, ExceptionTableItem, Function, Inst, InstructionData};

/// Returns whether an exception table has a handler for every exception.
pub(crate) fn has_default(func: &Function, exception: ExceptionTable) -> bool {
    let table = func.dfg.exception_tables.get(exception);
    table.is_some_and(|table| {
        let mut items = table.items();
        items.any(|item| matches!(item, ExceptionTableItem::Default(_)))
    })
}

/// Returns whether a call has handlers for every exception. `call` must be an instruction of
/// `func`.
pub(crate) fn catches_all(func: &Function, call: Inst) -> bool {
    match func.dfg.insts[call] {
        InstructionData::TryCall { exception, .. } => has_default(func, exception),
        _ => false,
    }
}
