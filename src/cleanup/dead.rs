//! Removal of instructions without an effect and without used results, and of unused parameters.
//!
//! Values with a label stay: a debugger may show them.

use super::OptimizeOptions;
use super::flow::{Flow, remove_params};
use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{ExceptionTableItem, Function, Inst, Value, ValueDef};
use smallvec::SmallVec;

/// Scratch memory.
#[derive(Default)]
pub(super) struct DeadContext {
    used: EntitySet<Value>,
    work: Vec<Value>,
}

/// Removes unused parameters and instructions; returns their numbers. No block may be unreachable.
pub(super) fn drop_dead(
    func: &mut Function,
    flow: &Flow,
    options: &OptimizeOptions,
    context: &mut DeadContext,
) -> (usize, usize) {
    if flow.returns_to_entry() {
        return (0, 0);
    }
    context.find_used(func, flow, options);
    let mut dropped = (0, 0);
    for (number, &block) in (0u32..).zip(flow.blocks()) {
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            let results = func.dfg.inst_results(inst);
            let is_used = results.iter().any(|&value| context.used.contains(value));
            if options.drop_insts && !is_used && has_no_effect(func, inst) {
                func.layout.remove_inst(inst);
                dropped.1 += 1;
            }
        }
        if number > 0 && options.drop_params {
            let params = func.dfg.block_params(block).iter();
            let goes: SmallVec<[bool; 8]> =
                params.map(|&param| !context.used.contains(param)).collect();
            if goes.contains(&true) {
                remove_params(func, flow, number, &goes);
                dropped.0 += goes.iter().filter(|goes| **goes).count();
            }
        }
    }
    dropped
}

impl DeadContext {
    fn find_used(&mut self, func: &Function, flow: &Flow, options: &OptimizeOptions) {
        self.used.clear();
        self.work.clear();
        for (number, &block) in (0u32..).zip(flow.blocks()) {
            if number > 0 && !options.drop_params {
                for &param in func.dfg.block_params(block) {
                    self.note(func, param);
                }
            }
            for inst in func.layout.block_insts(block) {
                if !options.drop_insts || !has_no_effect(func, inst) {
                    self.note_operands(func, inst);
                }
            }
        }
        for &value in func
            .dfg
            .values_labels
            .iter()
            .flat_map(|labels| labels.keys())
        {
            self.note(func, value);
        }
        while let Some(value) = self.work.pop() {
            match func.dfg.value_def(value) {
                ValueDef::Result(inst, _) => {
                    if func.layout.inst_block(inst).is_some() && has_no_effect(func, inst) {
                        self.note_operands(func, inst);
                    }
                }
                ValueDef::Param(block, index) => {
                    if !func.layout.is_block_inserted(block) {
                        continue;
                    }
                    for edge in flow.edges_into(flow.number(block)) {
                        let call = branches(func, edge.inst).get(edge.index as usize);
                        let arg = call.and_then(|call| call.args(&func.dfg.value_lists).nth(index));
                        if let Some(arg) = arg.and_then(|arg| arg.as_value()) {
                            self.note(func, arg);
                        }
                    }
                }
                ValueDef::Union(..) => {}
            }
        }
    }

    fn note(&mut self, func: &Function, value: Value) {
        if let Some(value) = resolve_alias(&func.dfg, value)
            && self.used.insert(value)
        {
            self.work.push(value);
        }
    }

    /// Notes all operands except the arguments of branches.
    fn note_operands(&mut self, func: &Function, inst: Inst) {
        for &arg in func.dfg.inst_args(inst) {
            self.note(func, arg);
        }
        let table = func.dfg.insts[inst].exception_table();
        let table = table.and_then(|table| func.dfg.exception_tables.get(table));
        for item in table.into_iter().flat_map(|table| table.items()) {
            if let ExceptionTableItem::Context(value) = item {
                self.note(func, value);
            }
        }
    }
}

/// Returns whether `inst` only computes its results.
fn has_no_effect(func: &Function, inst: Inst) -> bool {
    let data = &func.dfg.insts[inst];
    let opcode = data.opcode();
    let has_effect = opcode.is_call()
        || opcode.is_branch()
        || opcode.is_terminator()
        || opcode.is_return()
        || opcode.can_trap()
        || opcode.can_store()
        || opcode.other_side_effects();
    if has_effect || func.dfg.inst_results(inst).is_empty() {
        return false;
    }
    // The function may not have been verified, so the flags may not be there.
    let flags = data
        .memflags()
        .filter(|&flags| func.dfg.mem_flags.is_valid(flags));
    !opcode.can_load() || flags.is_some_and(|flags| func.dfg.mem_flags[flags].notrap())
}
