//! Blocks that no path from the entry block reaches.

use super::{HandlerAddresses, branches};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function};

/// The blocks that a path from the entry block reaches, if it goes through none
/// that is passed over.
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
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        for call in branches(func, last) {
            let successor = call.block(&func.dfg.value_lists);
            if !is_passed_over(successor) && reached.insert(successor) {
                work.push(successor);
            }
        }
    }
    reached
}

/// Takes unreachable blocks out of the layout; returns their number.
pub(crate) fn drop_unreachable_blocks(
    func: &mut Function,
    handler_addresses: &mut HandlerAddresses,
) -> usize {
    let reached = reachable_blocks(func, |_| false);
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
