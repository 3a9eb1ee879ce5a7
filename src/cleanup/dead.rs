//! Removal of instructions without an effect and without used results, and of unused parameters.
//!
//! Values with a label stay: a debugger may show them.

use super::OptimizeOptions;
use super::flow::{Flow, remove_params};
use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{ExceptionTableItem, Function, Inst, Opcode, Value, ValueDef};
use smallvec::SmallVec;
use std::sync::LazyLock;

/// Scratch memory.
#[derive(Default)]
pub(super) struct DeadContext {
    used: EntitySet<Value>,
    /// Used values whose operands are to be noted.
    work: Vec<Value>,
    /// Instructions that had no used results when they were visited.
    unused: Vec<Inst>,
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
    let DeadContext { used, unused, .. } = context;
    let mut dropped = (0, 0);
    for inst in unused.drain(..) {
        if !has_used_result(func, used, inst) {
            func.layout.remove_inst(inst);
            dropped.1 += 1;
        }
    }
    if !options.drop_params {
        return dropped;
    }
    for (number, &block) in (0u32..).zip(flow.blocks()).skip(1) {
        let params = func.dfg.block_params(block).iter();
        let goes: SmallVec<[bool; 8]> = params.map(|&param| !used.contains(param)).collect();
        if goes.contains(&true) {
            remove_params(func, flow, number, &goes);
            dropped.0 += goes.iter().filter(|goes| **goes).count();
        }
    }
    dropped
}

fn has_used_result(func: &Function, used: &EntitySet<Value>, inst: Inst) -> bool {
    let mut results = func.dfg.inst_results(inst).iter();
    results.any(|&value| used.contains(value))
}

impl DeadContext {
    /// Finds the used values. The walk goes from the last block to the first, so that most uses
    /// come before their definition, and few instructions are noted as unused in vain.
    fn find_used(&mut self, func: &Function, flow: &Flow, options: &OptimizeOptions) {
        self.used.clear();
        self.work.clear();
        self.unused.clear();
        let labels = func.dfg.values_labels.iter();
        for &value in labels.flat_map(|labels| labels.keys()) {
            self.note(func, value);
        }
        self.follow(func, flow);
        for &block in flow.blocks().iter().rev() {
            // Those of the entry block are as good as used.
            if !options.drop_params {
                for &param in func.dfg.block_params(block) {
                    self.note(func, param);
                }
            }
            let mut next = func.layout.last_inst(block);
            while let Some(inst) = next {
                next = func.layout.prev_inst(inst);
                if options.drop_insts && has_no_effect(func, inst) {
                    // Its operands are noted as soon as a result is used.
                    if !has_used_result(func, &self.used, inst) {
                        self.unused.push(inst);
                    }
                    continue;
                }
                self.note_operands(func, inst);
                self.follow(func, flow);
            }
        }
    }

    /// Notes the operands that the values in `work` are made of.
    fn follow(&mut self, func: &Function, flow: &Flow) {
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

/// The effects that an opcode may have besides computing results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    /// It may trap, unless its flags promise otherwise.
    Load,
    Some,
}

/// By opcode: Cranelift's predicates are a table each.
static EFFECTS: LazyLock<[Effect; 256]> = LazyLock::new(|| {
    let mut effects = [Effect::Some; 256];
    for &opcode in Opcode::all() {
        let has_effect = opcode.is_call()
            || opcode.is_branch()
            || opcode.is_terminator()
            || opcode.is_return()
            || opcode.can_trap()
            || opcode.can_store()
            || opcode.other_side_effects();
        effects[opcode as usize] = match (has_effect, opcode.can_load()) {
            (true, _) => Effect::Some,
            (false, true) => Effect::Load,
            (false, false) => Effect::None,
        };
    }
    effects
});

/// Returns whether `inst` only computes its results.
fn has_no_effect(func: &Function, inst: Inst) -> bool {
    let data = &func.dfg.insts[inst];
    let effect = EFFECTS[data.opcode() as usize];
    if effect == Effect::Some || func.dfg.inst_results(inst).is_empty() {
        return false;
    }
    // The function may not have been verified, so the flags may not be there.
    let flags = || {
        data.memflags()
            .filter(|&flags| func.dfg.mem_flags.is_valid(flags))
    };
    effect == Effect::None || flags().is_some_and(|flags| func.dfg.mem_flags[flags].notrap())
}
