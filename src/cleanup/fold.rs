//! Branches on constants, and branches with one possible target.

use super::constant::constant;
use crate::body::resolve_alias;
use cranelift_codegen::ir::{
    BlockArg, BlockCall, DataFlowGraph, Function, Inst, InstructionData, Opcode,
};

/// Turns each branch whose target is known into a jump; returns their number.
pub(super) fn fold_branches(func: &mut Function) -> usize {
    let mut folded = 0;
    let mut next = func.layout.entry_block();
    while let Some(block) = next {
        next = func.layout.next_block(block);
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        if let Some(destination) = known_target(func, last) {
            func.dfg.insts[last] = InstructionData::Jump {
                opcode: Opcode::Jump,
                destination,
            };
            folded += 1;
        }
    }
    folded
}

/// Returns whether both lead to one block with the same arguments, after resolving aliases.
fn is_same(dfg: &DataFlowGraph, taken: BlockCall, not_taken: BlockCall) -> bool {
    let pool = &dfg.value_lists;
    let same_value = |one, other| {
        let one = resolve_alias(dfg, one);
        one.is_some() && one == resolve_alias(dfg, other)
    };
    let same = |(one, other)| match (one, other) {
        (BlockArg::Value(one), BlockArg::Value(other)) => same_value(one, other),
        _ => one == other,
    };
    taken.block(pool) == not_taken.block(pool)
        && taken.len(pool) == not_taken.len(pool)
        && taken.args(pool).zip(not_taken.args(pool)).all(same)
}

fn known_target(func: &Function, inst: Inst) -> Option<BlockCall> {
    let dfg = &func.dfg;
    match dfg.insts[inst] {
        InstructionData::Brif { arg, blocks, .. } => {
            let [taken, not_taken] = blocks;
            if is_same(dfg, taken, not_taken) {
                return Some(taken);
            }
            let condition = constant(dfg, arg)?;
            Some(if condition != 0 { taken } else { not_taken })
        }
        InstructionData::BranchTable { arg, table, .. } => {
            let table = dfg.jump_tables.get(table)?;
            let index = usize::try_from(constant(dfg, arg)?).ok();
            let target = index.and_then(|index| table.as_slice().get(index));
            Some(target.copied().unwrap_or_else(|| table.default_block()))
        }
        _ => None,
    }
}
