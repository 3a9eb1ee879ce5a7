//! Tests of the likely target of an indirect call.
//!
//! A closure or a method table in a stack slot hands the slot to the very function whose address it
//! holds. So the slot escapes, and its contents in the next round of a loop are not known, although
//! the callee leaves it alone. Such a call becomes direct behind a test of its address:
//!
//! ```text
//!  v1 = load.i64 v0                     v1 = load.i64 v0
//!  v2 = call_indirect sig0, v1(v0)      v3 = func_addr.i64 fn0
//!                                       v4 = icmp eq v1, v3
//!                                       brif v4, block1, block2
//!                                   block1:
//!                                       v5 = call fn0(v0)
//!                                       jump block3(v5)
//!                                   block2:
//!                                       v6 = call_indirect sig0, v1(v0)
//!                                       jump block3(v6)
//!                                   block3(v2):
//! ```
//!
//! Once the callee is inlined, the function [shows](super::held) that the address is always the
//! same, the test and the indirect call go, and the slot becomes values. If it does not, the test
//! stays: this is the guarded devirtualization of compilers with profiles.

use super::decided::{copy_location, set_condition};
use super::flow::Flow;
use super::held::{Contents, Held};
use super::targets::{TargetsContext, direct_call, has_signature};
use crate::body::{HandlerAddresses, copy_labels_within, resolve_alias};
use crate::program::FunctionName;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, FuncRef, Function, Inst, InstBuilder, InstructionData, Opcode, Value, types,
};
use smallvec::SmallVec;

/// The most guards that a function gets at once.
const MOST_GUARDS: usize = 16;

/// Returns whether `func` has a test like those of [`guard_calls`].
pub(super) fn has_tests(func: &Function) -> bool {
    let definition = |value| {
        let value = resolve_alias(&func.dfg, value)?;
        func.dfg.value_def(value).inst()
    };
    let is_address = |value: Value| {
        let inst = definition(value).map(|inst| &func.dfg.insts[inst]);
        matches!(inst, Some(InstructionData::FuncAddr { .. }))
    };
    let is_test = |last: Inst| {
        let InstructionData::Brif { arg, .. } = func.dfg.insts[last] else {
            return false;
        };
        let condition = definition(arg).map(|inst| &func.dfg.insts[inst]);
        matches!(condition, Some(InstructionData::IntCompare { args, .. })
            if args.iter().any(|&arg| is_address(arg)))
    };
    let blocks = func.layout.blocks();
    let mut ends = blocks.filter_map(|block| func.layout.last_inst(block));
    ends.any(is_test)
}

/// Returns whether `func` has an indirect call, without which there is nothing to guard.
pub(super) fn has_indirect_calls(func: &Function) -> bool {
    let insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    let mut opcodes = insts.map(|inst| func.dfg.insts[inst].opcode());
    opcodes.any(|opcode| opcode.is_call() && is_indirect(opcode))
}

fn is_indirect(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::CallIndirect | Opcode::TryCallIndirect | Opcode::ReturnCallIndirect
    )
}

/// Decides the tests of addresses that are known; returns their number. Nothing may be unreachable.
pub(super) fn decide_guards(func: &mut Function, flow: &Flow, contents: &mut Contents) -> usize {
    if flow.returns_to_entry() || !contents.find(func, flow, false) {
        return 0;
    }
    let mut decided = 0;
    for (number, &block) in flow.blocks().iter().enumerate() {
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        let InstructionData::Brif { arg, .. } = func.dfg.insts[last] else {
            continue;
        };
        let Held::Bool(holds) = contents.of(func, arg) else {
            continue;
        };
        if !contents.is_reached(number) {
            continue;
        }
        set_condition(FuncCursor::new(func).at_inst(last), holds);
        decided += 1;
    }
    decided
}

/// Puts guards before indirect calls whose likely target is worth it; returns their number. A call
/// with a handler whose address is taken stays: there would be two, each with its own address.
/// Nothing may be unreachable. `flow` is of no use afterwards.
pub(super) fn guard_calls(
    func: &mut Function,
    flow: &Flow,
    handler_addresses: &mut HandlerAddresses,
    is_worth_it: &dyn Fn(&FunctionName) -> bool,
    contents: &mut Contents,
    targets: &mut TargetsContext,
) -> usize {
    if flow.returns_to_entry() || !contents.find(func, flow, true) {
        return 0;
    }
    let mut found: Vec<(Inst, FuncRef)> = Vec::new();
    for (number, &block) in flow.blocks().iter().enumerate() {
        if !contents.is_reached(number) || func.layout.is_cold(block) {
            continue;
        }
        for inst in func.layout.block_insts(block) {
            let opcode = func.dfg.insts[inst].opcode();
            let Some(&callee) = func.dfg.inst_args(inst).first() else {
                continue;
            };
            let is_named = opcode == Opcode::TryCallIndirect && handler_addresses.contains(block);
            if found.len() < MOST_GUARDS
                && is_indirect(opcode)
                && !is_named
                && let Held::Function(func_ref) = contents.of(func, callee)
                && has_signature(func, inst, func_ref)
                && FunctionName::of_callee(func, func_ref).is_some_and(|name| is_worth_it(&name))
            {
                found.push((inst, func_ref));
            }
        }
    }
    for &(call, func_ref) in &found {
        let guarded = guard(func, handler_addresses, call, func_ref);
        targets.resolved.extend(guarded);
    }
    found.len()
}

/// Puts a guard before `call`; returns the direct call.
fn guard(
    func: &mut Function,
    handler_addresses: &mut HandlerAddresses,
    call: Inst,
    func_ref: FuncRef,
) -> Option<Inst> {
    let block = func.layout.inst_block(call)?;
    let callee = *func.dfg.inst_args(call).first()?;
    let pointer = func.dfg.value_type(callee);
    let data = direct_call(func, call, func_ref)?;
    let direct = func.dfg.make_inst(data);
    func.dfg.make_inst_results(direct, types::INVALID);
    copy_location(func, call, direct);
    let tags = func.debug_tags.get(call).to_vec();
    if !tags.is_empty() {
        func.debug_tags.set(direct, tags);
    }
    if let Some(entries) = func.dfg.user_stack_map_entries(call) {
        let entries = entries.to_vec();
        func.dfg.append_user_stack_map_entries(direct, entries);
    }

    let known = func.dfg.make_block();
    let other = func.dfg.make_block();
    let mut blocks: SmallVec<[Block; 3]> = SmallVec::from_slice(&[known, other]);
    let next = func.layout.next_inst(call);
    let join = next.map(|next| {
        let join = func.dfg.make_block();
        func.layout.split_block(join, next);
        handler_addresses.rename(func, block, join);
        blocks.push(join);
        join
    });
    func.layout.insert_block_after(known, block);
    func.layout.insert_block_after(other, known);
    if func.layout.is_cold(block) {
        for &block in &blocks {
            func.layout.set_cold(block);
        }
    }
    func.layout.remove_inst(call);
    func.layout.append_inst(call, other);
    func.layout.append_inst(direct, known);

    let mut cursor = FuncCursor::new(func).at_bottom(block);
    let target = cursor.ins().func_addr(pointer, func_ref);
    let is_known = cursor.ins().icmp(IntCC::Equal, callee, target);
    cursor.ins().brif(is_known, known, &[], other, &[]);
    let mut inst = func.layout.last_inst(block);
    for _ in 0..3 {
        if let Some(added) = inst {
            copy_location(func, call, added);
            inst = func.layout.prev_inst(added);
        }
    }

    if let Some(join) = join {
        let results: SmallVec<[Value; 4]> = func.dfg.inst_results(call).into();
        func.dfg.detach_inst_results(call);
        func.dfg.make_inst_results(call, types::INVALID);
        for &result in &results {
            func.dfg.attach_block_param(join, result);
        }
        for (block, call) in [(known, direct), (other, call)] {
            let made: SmallVec<[Value; 4]> = func.dfg.inst_results(call).into();
            let pairs: SmallVec<[(Value, Value); 4]> =
                results.iter().copied().zip(made.iter().copied()).collect();
            copy_labels_within(func, &pairs);
            let args: SmallVec<[BlockArg; 4]> = made.into_iter().map(BlockArg::Value).collect();
            let jump = FuncCursor::new(func)
                .at_bottom(block)
                .ins()
                .jump(join, &args);
            copy_location(func, call, jump);
        }
    }
    Some(direct)
}
