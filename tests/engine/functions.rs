//! Functions from text, and their calls.

use cranelift_codegen::ir::{Function, Inst};

pub(crate) fn parse(text: &str) -> Vec<Function> {
    cranelift_reader::parse_functions(text).unwrap()
}

/// Returns the calls of every kind, as they stand.
pub(crate) fn calls_of(func: &Function) -> Vec<Inst> {
    func.layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block))
        .filter(|&inst| func.dfg.insts[inst].opcode().is_call())
        .collect()
}
