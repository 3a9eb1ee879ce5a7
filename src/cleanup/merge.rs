//! Straight lines of blocks.

use super::CleanupContext;
use super::flow::count_edges;
use super::thread::passed_on;
use crate::body::{branches, move_labels, resolve_alias};
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Value};
use smallvec::SmallVec;

/// Appends each block to its predecessor if the edge between them is the only one out of the
/// predecessor and into the block; returns their number.
///
/// Each line is followed from its first block, so that no instruction moves twice. No block may be
/// unreachable.
pub(super) fn merge_blocks(func: &mut Function, context: &mut CleanupContext) -> usize {
    find_joins(func, context);
    let mut merged = 0;
    let mut next = func.layout.entry_block();
    while let Some(head) = next {
        if !context.joins.contains(head) {
            while let Some((jump, block)) = joining_jump(func, context, head) {
                append(func, context, head, jump, block);
                merged += 1;
            }
        }
        next = func.layout.next_block(head);
    }
    merged
}

/// Finds the blocks that will be appended to another.
fn find_joins(func: &Function, context: &mut CleanupContext) {
    count_edges(func, context);
    context.joins.clear();
    for block in func.layout.blocks() {
        if let Some((_, target)) = joining_jump(func, context, block) {
            context.joins.insert(target);
        }
    }
}

/// Returns the jump that ends `block`, if its target can be appended to `block`.
fn joining_jump(func: &Function, context: &CleanupContext, block: Block) -> Option<(Inst, Block)> {
    let jump = func.layout.last_inst(block)?;
    let InstructionData::Jump { destination, .. } = func.dfg.insts[jump] else {
        return None;
    };
    let target = destination.block(&func.dfg.value_lists);
    let entry = func.layout.entry_block();
    // The entry block can neither be cold nor be named by an instruction.
    let stays_apart = || func.layout.is_cold(target) || context.handler_addresses.contains(target);
    let stays = target == block
        || Some(target) == entry
        || context.edges[target] != 1
        || (Some(block) == entry && stays_apart());
    (!stays).then_some((jump, target))
}

fn append(
    func: &mut Function,
    context: &mut CleanupContext,
    head: Block,
    jump: Inst,
    block: Block,
) {
    let args: SmallVec<[Option<Value>; 8]> = branches(func, jump)
        .iter()
        .flat_map(|call| call.args(&func.dfg.value_lists))
        .map(|arg| arg.as_value())
        .collect();
    let params: SmallVec<[Value; 8]> = func.dfg.block_params(block).into();
    func.dfg.detach_block_params(block);
    for (param, arg) in params.into_iter().zip(args) {
        let value = arg.and_then(|arg| resolve_alias(&func.dfg, arg));
        if let Some(value) = value
            && value != param
            && func.dfg.value_type(value) == func.dfg.value_type(param)
        {
            func.dfg.change_to_alias(param, value);
            passed_on(context, param, value);
            move_labels(func, param, value);
        }
    }
    func.layout.remove_inst(jump);
    while let Some(inst) = func.layout.first_inst(block) {
        func.layout.remove_inst(inst);
        func.layout.append_inst(inst, head);
    }
    // A block that always leads to a cold block runs as rarely as that one.
    if func.layout.is_cold(block) {
        func.layout.set_cold(head);
    }
    func.layout.remove_block(block);
    context.handler_addresses.rename(func, block, head);
}
