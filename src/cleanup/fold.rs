//! Branches on constants, and branches with one possible target.

use super::constant::constant;
use cranelift_codegen::ir::{BlockCall, Function, Inst, InstructionData, Opcode};

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

fn known_target(func: &Function, inst: Inst) -> Option<BlockCall> {
    let dfg = &func.dfg;
    match dfg.insts[inst] {
        InstructionData::Brif { arg, blocks, .. } => {
            let [taken, not_taken] = blocks;
            let pool = &dfg.value_lists;
            let is_same = taken.block(pool) == not_taken.block(pool)
                && taken.args(pool).eq(not_taken.args(pool));
            if is_same {
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
