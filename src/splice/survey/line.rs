//! Callees whose blocks are one straight line.
//!
//! Front ends that return from one place make small functions of two blocks: one that computes and
//! jumps to one that returns. Such a callee is treated like a single block without the jumps, so
//! that its copies need no blocks, and [short ones](crate::splice::in_place) do not split the block
//! of their call. The parameters of its blocks become the arguments of the jumps.

use super::Survey;
use crate::splice::tables::BlockPlan;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, InstructionData};

/// Returns whether `order`, the reachable blocks in reverse postorder, is one line of several
/// blocks.
///
/// Returns false where joining would lose information: labels of parameters, a cold block, or the
/// order of calls.
pub(super) fn is_line(func: &Function, order: &[Block]) -> bool {
    order.len() > 1
        && func.dfg.values_labels.is_none()
        && order
            .windows(2)
            .all(|pair| leads_on(func, pair[0], pair[1]))
        && order.iter().all(|&block| !func.layout.is_cold(block))
        && order.last().is_some_and(|&block| ends(func, block))
}

/// Returns whether `block` can be joined with `next`.
fn leads_on(func: &Function, block: Block, next: Block) -> bool {
    let dfg = &func.dfg;
    let last = func.layout.last_inst(block);
    let Some(InstructionData::Jump { destination, .. }) = last.map(|last| dfg.insts[last]) else {
        return false;
    };
    let pool = &dfg.value_lists;
    let params = dfg.block_params(next);
    let fits = |(arg, &param)| match arg {
        BlockArg::Value(arg) => {
            dfg.value_is_valid(arg)
                && dfg.value_is_valid(param)
                && dfg.value_type(arg) == dfg.value_type(param)
        }
        _ => false,
    };
    func.layout.next_block(block) == Some(next)
        && destination.block(pool) == next
        && destination.len(pool) == params.len()
        && destination.args(pool).zip(params).all(fits)
}

/// Returns whether nothing follows `block`.
fn ends(func: &Function, block: Block) -> bool {
    let dfg = &func.dfg;
    let last = func.layout.last_inst(block);
    last.is_some_and(|last| {
        let data = &dfg.insts[last];
        let branches = data.branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        branches.is_empty()
    })
}

impl Survey<'_> {
    /// Leaves `jump`, the current instruction, which leads on in the line, out of the copy.
    pub(super) fn bind_next(&mut self, jump: Inst) -> Result<(), String> {
        if self.keeps_insts {
            self.tables.insts.pop();
        }
        self.tables.facts.certain_insts -= 1;
        let dfg = &self.func.dfg;
        let InstructionData::Jump { destination, .. } = dfg.insts[jump] else {
            debug_assert!(false, "{jump} leads on in a line");
            return Ok(());
        };
        let pool = &dfg.value_lists;
        let params = dfg.block_params(destination.block(pool));
        for (arg, &param) in destination.args(pool).zip(params) {
            self.define(param)?;
            let target = arg.as_value().and_then(|arg| self.resolve(arg));
            self.tables.resolved[param.index()] =
                target.ok_or_else(|| format!("{jump} passes a value that is not defined"))?;
        }
        Ok(())
    }

    /// Makes one block of all copied instructions.
    pub(super) fn join_line(&mut self, entry: Block) -> Result<(), String> {
        let insts = u32::try_from(self.tables.insts.len());
        let insts = insts.map_err(|_| "it has too many instructions")?;
        self.tables.blocks.push(BlockPlan {
            block: entry,
            insts: 0..insts,
            cold: false,
        });
        let indices = self.tables.block_index.iter_mut();
        for index in indices.filter(|index| **index != u32::MAX) {
            *index = 0;
        }
        Ok(())
    }
}
