//! Branches to blocks that only jump on.
//!
//! A block with only a jump can be bypassed if every parameter of the block is used only in that
//! jump: all other arguments of the jump are defined above the block, hence above each of its
//! predecessors. That holds where the block dominates no other, and the numbers of edges show that
//! of nearly all such blocks but those before a loop.
//!
//! Each bypassing branch then passes the jump's arguments. So that many branches to one block do
//! not make code longer, edges get no more arguments than are part of their instruction's
//! [size](crate::body::code_size), unless they had more.
//!
//! The labels of its parameters go away with it. A block with a single jump to it is left for
//! [`merge`](super::merge), which moves the labels to the arguments, and so are the blocks that
//! lead to it.

use super::CleanupContext;
use super::flow::count_edges;
use crate::body::{ENTRIES_IN_ONE, branches, branches_mut, resolve_alias};
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, Inst, InstructionData, Opcode};
use smallvec::SmallVec;

/// Longer chains take another round.
const MAX_HOPS: usize = 16;

/// Lets branches bypass blocks that only jump on; returns their number.
pub(super) fn thread_jumps(func: &mut Function, context: &mut CleanupContext) -> usize {
    if !find_jumps(func, context) {
        return 0;
    }
    if func.dfg.values_labels.is_some() {
        count_edges(func, context);
    }
    let mut threaded = 0;
    let mut next = func.layout.entry_block();
    while let Some(block) = next {
        next = func.layout.next_block(block);
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        let mut room_in_table = None;
        for index in 0..branches(func, last).len() {
            let call = branches(func, last)[index];
            // Nearly all branches end here, so nothing else is read before.
            let target = call.block(&func.dfg.value_lists);
            if !context.jumps.contains(target) || will_be_appended(func, context, last, call) {
                continue;
            }
            let before = call.len(&func.dfg.value_lists);
            let room = match func.dfg.insts[last].opcode() {
                Opcode::Jump | Opcode::Brif => ENTRIES_IN_ONE - before.min(ENTRIES_IN_ONE),
                _ => *room_in_table.get_or_insert_with(|| room_in_table_of(func, last)),
            };
            let most = before + room;
            let Some(call) = follow(func, context, call, most) else {
                continue;
            };
            let after = call.len(&func.dfg.value_lists);
            room_in_table = room_in_table.map(|room| (room + before).saturating_sub(after));
            branches_mut(func, last)[index] = call;
            threaded += 1;
        }
    }
    threaded
}

/// Returns the number of arguments that the edges of the table of `last` may get before they count.
fn room_in_table_of(func: &Function, last: Inst) -> usize {
    let edges = branches(func, last).iter();
    let args = edges.map(|edge| edge.len(&func.dfg.value_lists));
    ENTRIES_IN_ONE.saturating_sub(args.sum())
}

/// Returns whether `last`, which goes to the target of `call`, is the only branch to a block that
/// has labels.
fn will_be_appended(
    func: &Function,
    context: &CleanupContext,
    last: Inst,
    call: BlockCall,
) -> bool {
    let Some(labels) = &func.dfg.values_labels else {
        return false;
    };
    let target = call.block(&func.dfg.value_lists);
    let mut params = func.dfg.block_params(target).iter();
    func.dfg.insts[last].opcode() == Opcode::Jump
        && context.edges[target] == 1
        && params.any(|param| labels.contains_key(param))
}

/// Returns the target to which `call` can go directly, if that is further than now and takes at
/// most `most` arguments.
fn follow(
    func: &mut Function,
    context: &mut CleanupContext,
    call: BlockCall,
    most: usize,
) -> Option<BlockCall> {
    let pool = &func.dfg.value_lists;
    let mut target = call.block(pool);
    let mut args: SmallVec<[BlockArg; 8]> = call.args(pool).collect();
    let mut hops = 0;
    while hops < MAX_HOPS
        && let Some(onward) = forwards_to(func, context, target)
    {
        let pool = &func.dfg.value_lists;
        let onward_args = onward.args(pool).map(|arg| {
            let BlockArg::Value(value) = arg else {
                return Some(arg);
            };
            let value = resolve_alias(&func.dfg, value)?;
            let params = func.dfg.block_params(target);
            match params.iter().position(|&param| param == value) {
                Some(index) => args.get(index).copied(),
                None => Some(BlockArg::Value(value)),
            }
        });
        let Some(onward_args) = onward_args.collect::<Option<_>>() else {
            break;
        };
        target = onward.block(pool);
        args = onward_args;
        hops += 1;
    }
    let pool = &mut func.stencil.dfg.value_lists;
    (hops > 0 && args.len() <= most).then(|| BlockCall::new(target, args, pool))
}

/// Returns the jump of a block that can be gone past.
fn forwards_to(func: &Function, context: &CleanupContext, block: Block) -> Option<BlockCall> {
    if !context.jumps.contains(block) {
        return None;
    }
    let inst = func.layout.first_inst(block)?;
    let InstructionData::Jump { destination, .. } = func.dfg.insts[inst] else {
        debug_assert!(false, "{block} only jumps on");
        return None;
    };
    let target = destination.block(&func.dfg.value_lists);
    // Front ends mark an edge as unlikely by a cold block on the way.
    let loses_cold = func.layout.is_cold(block) && !func.layout.is_cold(target);
    let stays = target == block || loses_cold || will_be_appended(func, context, inst, destination);
    (!stays).then_some(destination)
}

/// Finds the blocks that only jump on, without parameters that may be used outside the block;
/// returns whether there is any.
fn find_jumps(func: &Function, context: &mut CleanupContext) -> bool {
    let CleanupContext {
        forward_edges,
        jumps,
        ..
    } = context;
    jumps.clear();
    let (mut some, mut knows_edges) = (false, false);
    for block in func.layout.blocks().skip(1) {
        let first = func.layout.first_inst(block);
        let Some(InstructionData::Jump { destination, .. }) =
            first.map(|inst| &func.dfg.insts[inst])
        else {
            continue;
        };
        if !func.dfg.block_params(block).is_empty() {
            if !knows_edges {
                forward_edges.compute(func);
                knows_edges = true;
            }
            if forward_edges.may_dominate(block, destination.block(&func.dfg.value_lists)) {
                continue;
            }
        }
        jumps.insert(block);
        some = true;
    }
    some
}
