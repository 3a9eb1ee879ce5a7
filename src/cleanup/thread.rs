//! Branches to blocks that only jump on.
//!
//! A block with only a jump can be bypassed if every parameter of the block is used only in that
//! jump: all other arguments of the jump are defined above the block, hence above each of its
//! predecessors.
//!
//! Each bypassing branch then passes the jump's arguments. So that many branches to one block do
//! not make code longer, edges get no more arguments than are part of their instruction's
//! [size](crate::body::code_size), unless they had more.
//!
//! The labels of its parameters go away with it. A block with a single jump to it is left for
//! [`merge`](super::merge), which moves the labels to the arguments, and so are the blocks that
//! lead to it.
//!
//! Finding the parameters that are used elsewhere takes a walk over all operands: at the first
//! branch to such a block, and not again in later rounds. In between, clean-up adds uses only where
//! it joins blocks: an argument is then used in the place of its parameter, which [`passed_on`]
//! notes.

use super::CleanupContext;
use super::flow::count_edges;
use crate::body::{ENTRIES_IN_ONE, branches, branches_mut, operands, resolve_alias};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstructionData, Opcode, Value, ValueDef,
};
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
    let mut target = call.block(&func.dfg.value_lists);
    let mut onward = forwards_to(func, context, target)?;
    let pool = &func.dfg.value_lists;
    let mut args: SmallVec<[BlockArg; 8]> = call.args(pool).collect();
    let mut hops = 0;
    loop {
        let pool = &func.dfg.value_lists;
        let params = func.dfg.block_params(target);
        let onward_args = onward.args(pool).enumerate().map(|(number, arg)| {
            let BlockArg::Value(value) = arg else {
                return Some(arg);
            };
            let value = resolve_alias(&func.dfg, value)?;
            // Most pass on their parameters as they are.
            let index = match params.get(number) == Some(&value) {
                true => Some(number),
                false => params.iter().position(|&param| param == value),
            };
            match index {
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
        match forwards_to(func, context, target) {
            Some(next) if hops < MAX_HOPS => onward = next,
            _ => break,
        }
    }
    let pool = &mut func.stencil.dfg.value_lists;
    (hops > 0 && args.len() <= most).then(|| BlockCall::new(target, args, pool))
}

/// Returns the jump of a block that can be gone past.
fn forwards_to(func: &Function, context: &mut CleanupContext, block: Block) -> Option<BlockCall> {
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
    if target == block || loses_cold {
        return None;
    }
    let params = func.dfg.block_params(block);
    if !params.is_empty() && !context.knows_escaping_params {
        find_escaping_params(func, context);
        context.knows_escaping_params = true;
    }
    let escapes = |param: &Value| context.escaping_params.contains(*param);
    let stays = params.iter().any(escapes) || will_be_appended(func, context, inst, destination);
    (!stays).then_some(destination)
}

/// Finds the blocks that only jump on; returns whether there is any.
fn find_jumps(func: &Function, context: &mut CleanupContext) -> bool {
    context.jumps.clear();
    let mut some = false;
    for block in func.layout.blocks().skip(1) {
        let first = func.layout.first_inst(block);
        let first = first.map(|inst| &func.dfg.insts[inst]);
        if matches!(first, Some(InstructionData::Jump { .. })) {
            context.jumps.insert(block);
            some = true;
        }
    }
    some
}

/// Finds, among the parameters of blocks that only branch on, those that are used outside their
/// block. Such a branch may become a jump later.
///
/// Few blocks have such parameters, so these are marked first, with all their aliases: then an
/// operand takes only one look-up.
fn find_escaping_params(func: &Function, context: &mut CleanupContext) {
    let CleanupContext {
        forwarded_params: forwarded,
        escaping_params: escaping,
        ..
    } = context;
    let dfg = &func.dfg;
    forwarded.clear();
    forwarded.resize(dfg.num_values());
    escaping.clear();
    for block in func.layout.blocks() {
        let first = func.layout.first_inst(block);
        let branches_on = |inst| {
            matches!(
                dfg.insts[inst],
                InstructionData::Jump { .. }
                    | InstructionData::Brif { .. }
                    | InstructionData::BranchTable { .. }
            )
        };
        if first.is_some_and(branches_on) {
            for &param in dfg.block_params(block) {
                forwarded[param] = true;
            }
        }
    }
    for value in (0..dfg.num_values()).map(Value::new) {
        if dfg.value_alias_dest_for_serialization(value).is_some()
            && resolve_alias(dfg, value).is_some_and(|value| forwarded[value])
        {
            forwarded[value] = true;
        }
    }
    for block in func.layout.blocks() {
        let last = func.layout.last_inst(block);
        let mut note_use = |value: Value| {
            if forwarded[value]
                && let Some(value) = resolve_alias(dfg, value)
                && let ValueDef::Param(of, _) = dfg.value_def(value)
                && of != block
            {
                escaping.insert(value);
            }
        };
        for inst in func.layout.block_insts(block) {
            match last == Some(inst) {
                // The arguments of branches, and the contexts of exceptions.
                true => dfg.inst_values(inst).for_each(&mut note_use),
                false => operands(dfg, inst).iter().copied().for_each(&mut note_use),
            }
        }
    }
}

/// Notes that `param` has become an alias of `value`.
pub(super) fn passed_on(context: &mut CleanupContext, param: Value, value: Value) {
    if context.knows_escaping_params && context.escaping_params.contains(param) {
        context.escaping_params.insert(value);
    }
}
