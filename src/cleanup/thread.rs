//! Branches to blocks that only jump on.
//!
//! A block that holds nothing but a jump can be gone past where every
//! parameter of the block is used in that jump alone: whatever else the jump
//! passes is defined above the block, hence above each of its predecessors.
//!
//! The labels of its parameters go with it. Where only one jump leads to it,
//! it is left for [`merge`](super::merge), which moves them to what is passed,
//! and so is what leads to it.

use super::CleanupContext;
use super::merge::count_edges;
use crate::body::{branches, branches_mut, resolve_alias};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstructionData, Opcode, Value, ValueDef,
};
use smallvec::SmallVec;

/// Longer chains take another round.
const MAX_HOPS: usize = 16;

/// Lets branches go past blocks that only jump on; returns their number.
pub(super) fn thread_jumps(func: &mut Function, context: &mut CleanupContext) -> usize {
    find_escaping_params(func, context);
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
        for index in 0..branches(func, last).len() {
            let call = branches(func, last)[index];
            if will_be_appended(func, context, last, call) {
                continue;
            }
            let Some(call) = follow(func, context, call) else {
                continue;
            };
            branches_mut(func, last)[index] = call;
            threaded += 1;
        }
    }
    threaded
}

/// Whether `last`, which goes where `call` does, is the only one to lead to a block that has labels.
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

/// Where `call` can go directly, if that is further than where it goes.
fn follow(func: &mut Function, context: &CleanupContext, call: BlockCall) -> Option<BlockCall> {
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
    (hops > 0).then(|| BlockCall::new(target, args, pool))
}

/// The jump of a block that can be gone past.
fn forwards_to(func: &Function, context: &CleanupContext, block: Block) -> Option<BlockCall> {
    let layout = &func.layout;
    let inst = layout.first_inst(block)?;
    let InstructionData::Jump { destination, .. } = func.dfg.insts[inst] else {
        return None;
    };
    let target = destination.block(&func.dfg.value_lists);
    // A cold block on the way is how a front end says that an edge is unlikely.
    let loses_cold = layout.is_cold(block) && !layout.is_cold(target);
    let escapes = |param: &Value| context.escaping_params.contains(*param);
    let stays = target == block
        || loses_cold
        || layout.entry_block() == Some(block)
        || func.dfg.block_params(block).iter().any(escapes)
        || will_be_appended(func, context, inst, destination);
    (!stays).then_some(destination)
}

/// Finds the parameters of jump-only blocks that are used outside their block.
fn find_escaping_params(func: &Function, context: &mut CleanupContext) {
    context.escaping_params.clear();
    let is_jump_only = |block: Block| {
        func.layout
            .first_inst(block)
            .is_some_and(|inst| matches!(func.dfg.insts[inst], InstructionData::Jump { .. }))
    };
    let has_candidates = func
        .layout
        .blocks()
        .any(|block| !func.dfg.block_params(block).is_empty() && is_jump_only(block));
    if !has_candidates {
        return;
    }
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            for value in func.dfg.inst_values(inst) {
                let Some(value) = resolve_alias(&func.dfg, value) else {
                    continue;
                };
                if let ValueDef::Param(of, _) = func.dfg.value_def(value)
                    && of != block
                {
                    context.escaping_params.insert(value);
                }
            }
        }
    }
}
