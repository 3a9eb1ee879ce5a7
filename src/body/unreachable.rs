//! Blocks that no path from the entry block reaches.

use super::{HandlerAddresses, branches};
use crate::panics;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function};

/// Returns the blocks on paths from the entry block that avoid the skipped blocks.
///
/// A branch to a block outside the layout is ignored, because the function may be unchecked. Panics
/// if the list of a branch lies outside of the pool.
pub(super) fn reachable_blocks(
    func: &Function,
    is_passed_over: impl Fn(Block) -> bool,
) -> EntitySet<Block> {
    let mut reached = EntitySet::with_capacity(func.dfg.num_blocks());
    let mut work = Vec::new();
    if let Some(entry) = func.layout.entry_block() {
        reached.insert(entry);
        work.push(entry);
    }
    while let Some(block) = work.pop() {
        let last = func.layout.last_inst(block);
        let Some(last) = last.filter(|&last| func.dfg.inst_is_valid(last)) else {
            continue;
        };
        for call in branches(func, last) {
            let successor = call.block(&func.dfg.value_lists);
            let is_there = func.layout.is_block_inserted(successor);
            if is_there && !is_passed_over(successor) && reached.insert(successor) {
                work.push(successor);
            }
        }
    }
    reached
}

/// Takes unreachable blocks out of the layout; returns their number. Where branches cannot be read,
/// all blocks stay.
pub(crate) fn drop_unreachable_blocks(
    func: &mut Function,
    handler_addresses: &mut HandlerAddresses,
) -> usize {
    let Ok(reached) = panics::catch(|| reachable_blocks(func, |_| false)) else {
        return 0;
    };
    let dead: Vec<Block> = func
        .layout
        .blocks()
        .filter(|&block| !reached.contains(block))
        .collect();
    for &block in &dead {
        func.layout.remove_block_and_insts(block);
        handler_addresses.drop_block(func, block);
    }
    dead.len()
}
