//! Consistency of parameters and results with their values.

use crate::panics;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, Value, ValueDef};

/// Returns whether each parameter and each result in the layout is not an alias, and is recorded as
/// defined there. Code that replaces values relies on it. Cranelift's reader and builders ensure
/// it, but the function may be unverified.
pub(crate) fn check_definitions(func: &Function) -> bool {
    check_definitions_before(func, usize::MAX, usize::MAX)
}

/// Like [`check_definitions`], but only for instructions and blocks below these numbers.
pub(crate) fn check_definitions_before(func: &Function, insts: usize, blocks: usize) -> bool {
    // Cranelift's accessors panic where a list lies outside of its pool.
    panics::catch(|| are_defined(func, insts, blocks)).unwrap_or(false)
}

fn are_defined(func: &Function, insts: usize, blocks: usize) -> bool {
    let dfg = &func.dfg;
    let is_defined = |value: Value, def: ValueDef| {
        dfg.value_is_valid(value)
            && dfg.value_alias_dest_for_serialization(value).is_none()
            && dfg.value_def(value) == def
    };
    func.layout.blocks().all(|block| {
        let params = dfg.block_params(block).iter().enumerate();
        let mut params = params.map(|(index, &param)| (param, ValueDef::Param(block, index)));
        let in_block = func.layout.block_insts(block);
        let mut in_block = in_block.filter(|inst| inst.index() < insts);
        (block.index() >= blocks || params.all(|(param, def)| is_defined(param, def)))
            && in_block.all(|inst| {
                let results = dfg.inst_results(inst).iter().enumerate();
                let mut results = results.map(|(index, &value)| (value, index));
                results.all(|(value, index)| is_defined(value, ValueDef::Result(inst, index)))
            })
    })
}
