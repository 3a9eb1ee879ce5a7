//! Joins whose branch is decided on some of the ways that lead to them.
//!
//! For example, two ways build an option, as a constant tag and a value, the ways meet, and the tag
//! is tested again. Each way with a known outcome goes straight to the branch's target:
//!
//! ```text
//!  block1: jump block3(1, v5)                 block1: jump block6(1, v5)
//!  block2: jump block3(0, v6)                 block2: jump block7(0, v6)
//!  block3(tag, v): brif tag, block4, block5   block6(tag', v'): jump block4
//!                                             block7(tag'', v''): jump block5
//! ```
//!
//! Such a way gets a copy of the join, with a jump in the place of the branch. A value of the join
//! that is used after it then has several definitions, which are united by parameters of the blocks
//! where ways meet (see [`Reaching`]).
//!
//! The scheme and most of its refusals are those of LLVM's `JumpThreading`: few copied
//! instructions, and no second entry into a loop. So the header of a loop is only passed by if all
//! ways from the loop are decided, as for a flag that is tested in each round, and if one target
//! alone is in the loop, which becomes its header. Then the ways from outside pass by too if all of
//! them are decided.
//!
//! A branch in a block with one way in is decided likewise, without a copy.
//!
//! *Refused:* joins with a call, a tag, a `sequence_point` or another side effect that is more than
//! a load or a store, so that every place at which a debugger may stop exists as often as before;
//! cold joins with a target that is not cold; ways out of a `try_call`.

mod known;
mod repair;

use super::constant::constant;
use super::flow::{Edge, Flow};
use super::movable::moves;
use super::promote::reaching::{Reaching, Touch};
use super::scope::Scope;
use crate::body::{
    HandlerAddresses, branches, branches_mut, copy_labels_within, drop_unreachable_blocks,
    resolve_alias,
};
use crate::panics;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, Opcode, Value, types,
};
use known::{Known, Ways};
use repair::Definition;
use smallvec::SmallVec;

/// A join of more instructions is not copied. Front ends put a comparison or two between a join and
/// its branch, and the loads of values that the sides have in common.
const MOST_COPIED: usize = 8;

/// The number of instructions that may be copied in a function of any size; [`COPIED_SHARE`] adds
/// more for larger ones.
const COPIED_ANYWAY: usize = 64;

/// The number of a function's instructions per additional copied instruction.
const COPIED_SHARE: usize = 4;

/// The limit of values that get a second definition at once. Each may become a parameter of the
/// same block, which can have a few thousand.
const MOST_VALUES: usize = 2000;

/// The header of a loop with more blocks is left alone: whether a block is in the loop would take
/// too long to find out.
const MOST_LOOP_BLOCKS: usize = 64;

/// Scratch memory.
#[derive(Default)]
pub(super) struct DecidedContext {
    ways: Vec<Way>,
    /// Branches that are always decided, and whether their condition holds.
    always: Vec<(Inst, bool)>,
    definitions: Vec<Definition>,
    /// The number of the variable of each value that has several definitions, plus one.
    variables: SecondaryMap<Value, u32>,
    touches: Vec<Touch>,
    reaching: Reaching,
    /// Loads that can move, each with its copy.
    copied_loads: Vec<(Inst, Inst)>,
}

impl DecidedContext {
    /// Forgets the copies in the last function.
    pub(super) fn clear(&mut self) {
        self.copied_loads.clear();
    }

    pub(super) fn copied_loads(&self) -> &[(Inst, Inst)] {
        &self.copied_loads
    }
}

/// A way into a join on which the join's branch is decided.
struct Way {
    join: Block,
    branch: Inst,
    index: usize,
    leads_to: BlockCall,
}

/// Returns the number of instructions that [`thread_decided`] may copy into a function of `insts`
/// instructions.
pub(super) fn budget(insts: usize) -> usize {
    COPIED_ANYWAY + insts / COPIED_SHARE
}

/// Sends the ways on which the branch of a join in `scope` is decided past it; returns their
/// number. Nothing may be unreachable. If there are any, `flow` is of no use afterwards. With
/// `follows_slots`, no access goes from one stack slot to another.
pub(super) fn thread_decided(
    func: &mut Function,
    flow: &mut Flow,
    scope: &Scope,
    follows_slots: bool,
    budget: &mut usize,
    handler_addresses: &mut HandlerAddresses,
    context: &mut DecidedContext,
) -> usize {
    if flow.returns_to_entry() {
        return 0;
    }
    find_ways(func, flow, scope, follows_slots, budget, context);
    let decided = context.always.len();
    for (branch, holds) in context.always.drain(..) {
        let ins = FuncCursor::new(func).at_inst(branch);
        set_condition(ins, holds);
    }
    let threaded = context.ways.len();
    if threaded == 0 {
        return decided;
    }
    context.definitions.clear();
    let mut ways = std::mem::take(&mut context.ways);
    for way in ways.drain(..) {
        copy_join(func, &way, handler_addresses, context);
    }
    context.ways = ways;
    drop_unreachable_blocks(func, handler_addresses);
    flow.compute(func);
    repair::repair(func, flow, context);
    decided + threaded
}

/// Makes the condition of the branch at `cursor` a constant.
pub(super) fn set_condition(mut cursor: FuncCursor<'_>, holds: bool) {
    let known = cursor.ins().iconst(types::I8, i64::from(holds));
    if let Some(branch) = cursor.current_inst()
        && let InstructionData::Brif { arg, .. } = &mut cursor.func.dfg.insts[branch]
    {
        *arg = known;
    }
}

fn find_ways(
    func: &Function,
    flow: &Flow,
    scope: &Scope,
    follows_slots: bool,
    budget: &mut usize,
    context: &mut DecidedContext,
) {
    let DecidedContext {
        ways: found,
        always,
        ..
    } = context;
    found.clear();
    always.clear();
    let mut values_left = MOST_VALUES;
    for (number, &join) in (0u32..).zip(flow.blocks()).skip(1) {
        if !scope.contains(join) {
            continue;
        }
        let Some(branch) = func.layout.last_inst(join) else {
            continue;
        };
        if !decides(func, branch) {
            continue;
        }
        let edges = flow.edges_into(number);
        if let &[edge] = edges {
            let holds = decided_always(func, flow, join, edge, follows_slots);
            always.extend(holds.map(|holds| (branch, holds)));
            continue;
        }
        let Some(size) = copied_size(func, join, branch) else {
            continue;
        };
        let values = func.dfg.block_params(join).len() + size;
        let room = (*budget / size).min(values_left / values);
        if room == 0 {
            continue;
        }
        let ways = Ways::new(func, flow, join, follows_slots);
        let mut passing = passing_ways(func, flow, &ways, join, branch);
        let is_too_much = ways.is_header() && passing.len() > room;
        // Only few joins get as far as the last test.
        if passing.is_empty() || is_too_much || !have_usual_results(func, join) {
            continue;
        }
        passing.truncate(room);
        *budget -= passing.len() * size;
        values_left -= passing.len() * values;
        found.extend(passing);
    }
}

/// Returns the ways into a join on which its branch is decided and that may pass it by.
fn passing_ways(
    func: &Function,
    flow: &Flow,
    ways: &Ways<'_>,
    join: Block,
    branch: Inst,
) -> SmallVec<[Way; 4]> {
    let number = flow.number(join);
    let edges = flow.edges_into(number).iter();
    let decided = |&edge: &Edge| decided_way(func, ways, join, branch, edge);
    if !ways.is_header() {
        return edges.filter_map(decided).collect();
    }
    let is_inside = |edge: &&Edge| edge.from >= number;
    let inside = edges.clone().filter(is_inside).map(decided);
    let inside: Option<SmallVec<[Way; 4]>> = inside.collect();
    let Some(mut passing) = inside.filter(|_| has_one_way_in(func, flow, number, branch)) else {
        return SmallVec::new();
    };
    let outside = edges.filter(|edge| !is_inside(edge)).map(decided);
    let outside: Option<SmallVec<[Way; 4]>> = outside.collect();
    passing.extend(outside.into_iter().flatten());
    passing
}

/// Returns the way into a join by `edge`, if the join's branch is decided on it and it may pass by.
fn decided_way(
    func: &Function,
    ways: &Ways<'_>,
    join: Block,
    branch: Inst,
    edge: Edge,
) -> Option<Way> {
    let passed = branches(func, edge.inst).get(edge.index as usize);
    debug_assert!(passed.is_some(), "{} has the edge", edge.inst);
    let passed = *passed?;
    let leaves_call = func.dfg.insts[edge.inst].exception_table().is_some();
    if leaves_call {
        return None;
    }
    let leads_to = destination(func, branch, |value| ways.known(edge, passed, value))?;
    let target = leads_to.block(&func.dfg.value_lists);
    if func.layout.is_cold(join) && !func.layout.is_cold(target) {
        return None;
    }
    Some(Way {
        join,
        branch: edge.inst,
        index: edge.index as usize,
        leads_to,
    })
}

/// Returns whether one target at most of `branch`, the end of a loop's header, is in the loop, and
/// is not the header. The loop must not have other entries.
fn has_one_way_in(func: &Function, flow: &Flow, header: u32, branch: Inst) -> bool {
    let mut loop_blocks: SmallVec<[u32; 16]> = SmallVec::new();
    let mut work: SmallVec<[u32; 16]> = SmallVec::new();
    let edges = flow.edges_into(header).iter();
    let sources = edges.map(|edge| edge.from).filter(|&from| from >= header);
    work.extend(sources);
    while let Some(number) = work.pop() {
        if number < header || loop_blocks.len() > MOST_LOOP_BLOCKS {
            return false;
        }
        if number == header || loop_blocks.contains(&number) {
            continue;
        }
        loop_blocks.push(number);
        work.extend(flow.edges_into(number).iter().map(|edge| edge.from));
    }
    let targets = branches(func, branch).iter();
    let targets = targets.map(|call| flow.number(call.block(&func.dfg.value_lists)));
    let mut inside: SmallVec<[u32; 4]> = SmallVec::new();
    for target in targets {
        let is_inside = target == header || loop_blocks.contains(&target);
        if is_inside && !inside.contains(&target) {
            inside.push(target);
        }
    }
    inside.len() <= 1 && !inside.contains(&header)
}

/// Returns whether the condition of the branch holds at the end of a block with one way in, if that
/// follows from earlier branches.
fn decided_always(
    func: &Function,
    flow: &Flow,
    block: Block,
    edge: Edge,
    follows_slots: bool,
) -> Option<bool> {
    let branch = func.layout.last_inst(block)?;
    let InstructionData::Brif { arg, .. } = func.dfg.insts[branch] else {
        return None;
    };
    let passed = *branches(func, edge.inst).get(edge.index as usize)?;
    if constant(&func.dfg, arg).is_some() {
        return None;
    }
    match Ways::new(func, flow, block, follows_slots).known(edge, passed, arg) {
        Known::Bits(bits) => Some(bits != 0),
        Known::NotZero => Some(true),
        Known::Nothing => None,
    }
}

fn decides(func: &Function, branch: Inst) -> bool {
    matches!(
        func.dfg.insts[branch],
        InstructionData::Brif { .. } | InstructionData::BranchTable { .. }
    )
}

/// Returns the number of instructions of a join but its branch, if it may be copied.
fn copied_size(func: &Function, join: Block, branch: Inst) -> Option<usize> {
    // The branch becomes a jump, which is mostly removed.
    let mut size = 1;
    for inst in func
        .layout
        .block_insts(join)
        .take_while(|&inst| inst != branch)
    {
        let opcode = func.dfg.insts[inst].opcode();
        let stays = opcode.is_call()
            || opcode.other_side_effects()
            || opcode.is_safepoint()
            || !func.debug_tags.get(inst).is_empty();
        size += 1;
        if stays || size > MOST_COPIED + 1 {
            return None;
        }
    }
    func.debug_tags.get(branch).is_empty().then_some(size)
}

/// Returns whether the results of all instructions of `join` are those that clones would get, which
/// may not hold in an unverified function.
fn have_usual_results(func: &Function, join: Block) -> bool {
    let dfg = &func.dfg;
    let usual = |inst| {
        let types = dfg.inst_result_types(inst, dfg.ctrl_typevar(inst));
        types.eq(dfg
            .inst_results(inst)
            .iter()
            .map(|&value| dfg.value_type(value)))
    };
    panics::catch(|| func.layout.block_insts(join).all(usual)).is_ok_and(|is_usual| is_usual)
}

/// Returns the target of `branch`, by the facts about its condition.
fn destination(func: &Function, branch: Inst, known: impl Fn(Value) -> Known) -> Option<BlockCall> {
    match func.dfg.insts[branch] {
        InstructionData::Brif { arg, blocks, .. } => {
            let [taken, not_taken] = blocks;
            Some(match known(arg) {
                Known::Bits(0) => not_taken,
                Known::Bits(_) | Known::NotZero => taken,
                Known::Nothing => return None,
            })
        }
        InstructionData::BranchTable { arg, table, .. } => {
            let Known::Bits(index) = known(arg) else {
                return None;
            };
            let table = func.dfg.jump_tables.get(table)?;
            let entry = usize::try_from(index).ok();
            let entry = entry.and_then(|entry| table.as_slice().get(entry));
            Some(entry.copied().unwrap_or_else(|| table.default_block()))
        }
        _ => None,
    }
}

/// Sends `way` through a copy of its join, which goes where the join's branch leads.
fn copy_join(
    func: &mut Function,
    way: &Way,
    handler_addresses: &mut HandlerAddresses,
    context: &mut DecidedContext,
) {
    let copy = func.dfg.make_block();
    func.layout.insert_block_after(copy, way.join);
    if func.layout.is_cold(way.join) {
        func.layout.set_cold(copy);
    }
    let mut values: SmallVec<[(Value, Value); 8]> = SmallVec::new();
    let params: SmallVec<[Value; 8]> = func.dfg.block_params(way.join).into();
    for param in params {
        let ty = func.dfg.value_type(param);
        values.push((param, func.dfg.append_block_param(copy, ty)));
    }
    let mut next = func.layout.first_inst(way.join);
    while let Some(inst) = next {
        next = func.layout.next_inst(inst);
        if next.is_none() {
            break;
        }
        let copied = func.dfg.clone_inst(inst);
        map_values(func, copied, &values);
        if moves(func, copied).is_some() {
            context.copied_loads.push((inst, copied));
        }
        func.layout.append_inst(copied, copy);
        copy_location(func, inst, copied);
        handler_addresses.add(func, copied);
        let results = func.dfg.inst_results(inst).iter().copied();
        let copies = func.dfg.inst_results(copied).iter().copied();
        values.extend(results.zip(copies));
    }
    copy_labels_within(func, &values);

    let pool = &func.dfg.value_lists;
    let target = way.leads_to.block(pool);
    let args: SmallVec<[BlockArg; 8]> = way.leads_to.args(pool).collect();
    let args = args.into_iter().map(|arg| match arg {
        BlockArg::Value(value) => BlockArg::Value(translate(func, value, &values)),
        other => other,
    });
    let args: SmallVec<[BlockArg; 8]> = args.collect();
    let destination = BlockCall::new(target, args, &mut func.stencil.dfg.value_lists);
    let jump = func.dfg.make_inst(InstructionData::Jump {
        opcode: Opcode::Jump,
        destination,
    });
    func.layout.append_inst(jump, copy);
    if let Some(branch) = func.layout.last_inst(way.join) {
        copy_location(func, branch, jump);
    }

    redirect(func, way, copy);
    let join = way.join;
    let values = values.into_iter();
    context
        .definitions
        .extend(values.map(|(value, copied)| Definition {
            value,
            join,
            copied,
            copy,
        }));
}

/// Gives `to` the location of `from`.
pub(super) fn copy_location(func: &mut Function, from: Inst, to: Inst) {
    let location = func.stencil.srclocs[from];
    // A function without any locations is printed in another way.
    if !location.is_default() {
        func.stencil.srclocs[to] = location;
    }
}

/// Lets the branch of `way` lead to `copy`, with its arguments.
fn redirect(func: &mut Function, way: &Way, copy: Block) {
    let Some(passed) = branches(func, way.branch).get(way.index) else {
        debug_assert!(false, "{} has the edge", way.branch);
        return;
    };
    let args: SmallVec<[BlockArg; 8]> = passed.args(&func.dfg.value_lists).collect();
    let call = BlockCall::new(copy, args, &mut func.stencil.dfg.value_lists);
    if let Some(passed) = branches_mut(func, way.branch).get_mut(way.index) {
        *passed = call;
    }
}

fn translate(func: &Function, value: Value, values: &[(Value, Value)]) -> Value {
    let resolved = resolve_alias(&func.dfg, value).unwrap_or(value);
    let copied = values.iter().find(|(of, _)| *of == resolved);
    copied.map_or(value, |(_, copied)| *copied)
}

fn map_values(func: &mut Function, inst: Inst, values: &[(Value, Value)]) {
    let operands: SmallVec<[Value; 8]> = func.dfg.inst_values(inst).collect();
    let pairs = operands.into_iter();
    let pairs = pairs.map(|operand| (operand, translate(func, operand, values)));
    let pairs: SmallVec<[(Value, Value); 8]> = pairs.collect();
    replace_operands(func, inst, &pairs);
}

/// Replaces operands of `inst`, whose lists must be its own.
fn replace_operands(func: &mut Function, inst: Inst, pairs: &[(Value, Value)]) {
    func.dfg.map_inst_values(inst, |operand| {
        let pair = pairs.iter().find(|(old, _)| *old == operand);
        pair.map_or(operand, |(_, new)| *new)
    });
}
