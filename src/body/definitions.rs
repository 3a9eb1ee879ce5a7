//! Consistency of parameters and results with their values.

use super::branches;
use cranelift_codegen::ir::{Function, Value, ValueDef};

/// Returns whether each parameter and each result in the layout is not an alias, and is recorded as
/// defined there. Code that replaces values relies on it. Cranelift's reader and builders ensure
/// it, but the function may be unverified.
pub(crate) fn check_definitions(func: &Function) -> bool {
    let dfg = &func.dfg;
    let is_defined = |value: Value, def: ValueDef| {
        dfg.value_alias_dest_for_serialization(value).is_none() && dfg.value_def(value) == def
    };
    func.layout.blocks().all(|block| {
        let params = dfg.block_params(block).iter().enumerate();
        let mut params = params.map(|(index, &param)| (param, ValueDef::Param(block, index)));
        let mut insts = func.layout.block_insts(block);
        params.all(|(param, def)| is_defined(param, def))
            && insts.all(|inst| {
                let results = dfg.inst_results(inst).iter().enumerate();
                let mut results = results.map(|(index, &value)| (value, index));
                results.all(|(value, index)| is_defined(value, ValueDef::Result(inst, index)))
            })
    })
}

/// Returns whether each branch passes as many arguments as its targets have parameters. The
/// verifier checks it, and [`check_structure`](super::check_structure) as well.
pub(crate) fn check_argument_counts(func: &Function) -> bool {
    let pool = &func.dfg.value_lists;
    let mut ends = func
        .layout
        .blocks()
        .filter_map(|block| func.layout.last_inst(block));
    ends.all(|last| {
        let mut calls = branches(func, last).iter();
        calls.all(|call| call.len(pool) == func.dfg.block_params(call.block(pool)).len())
    })
}
