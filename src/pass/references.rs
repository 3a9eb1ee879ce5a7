//! Which functions of the program a body refers to.

use crate::program::{FunctionId, FunctionName, Program};
use cranelift_codegen::ir::{ExternalName, FuncRef, Function, GlobalValueData, InstructionData};
use cranelift_entity::EntitySet;

/// How many instructions `func` has in its layout, and the functions that its
/// code calls or whose address it takes, each once, in the order of first
/// reference.
///
/// A declaration that no instruction uses does not count; a global value that
/// is a function's symbol always does.
pub(crate) fn references(program: &Program, func: &Function) -> (usize, Vec<FunctionId>) {
    let mut insts = 0;
    let mut used: EntitySet<FuncRef> = EntitySet::with_capacity(func.dfg.ext_funcs.len());
    let mut seen = EntitySet::new();
    let mut found = Vec::new();
    let mut add = |id: Option<FunctionId>| {
        if let Some(id) = id
            && seen.insert(id)
        {
            found.push(id);
        }
    };
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            insts += 1;
            if let InstructionData::Call { func_ref, .. }
            | InstructionData::TryCall { func_ref, .. }
            | InstructionData::FuncAddr { func_ref, .. } = func.dfg.insts[inst]
                && used.insert(func_ref)
            {
                add(program.callee(func, func_ref));
            }
        }
    }
    for data in func.global_values.values() {
        if let GlobalValueData::Symbol { name, .. } = data {
            add(symbol(program, func, name));
        }
    }
    (insts, found)
}

fn symbol(program: &Program, func: &Function, name: &ExternalName) -> Option<FunctionId> {
    program.id(&FunctionName::of_external(func, name)?)
}
