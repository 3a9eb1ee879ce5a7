//! Removal of instructions without an effect and without used results, and of unused parameters.
//!
//! Values with a label stay: a debugger may show them.

use super::OptimizeOptions;
use super::flow::{Flow, remove_params};
use crate::body::{branches, operands, resolve_alias};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    Block, ExceptionTableItem, Function, Inst, InstructionData, Opcode, Value, ValueDef,
};
use smallvec::SmallVec;
use std::sync::LazyLock;

/// Scratch memory.
#[derive(Default)]
pub(super) struct DeadContext {
    /// By value.
    uses: Vec<Use>,
    /// Used values whose operands are to be noted.
    work: Vec<Value>,
    /// Instructions that had no used results when they were visited.
    unused: Vec<Inst>,
}

/// The known uses of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// None so far, and its definition was not visited.
    None,
    /// None so far, and its definition was visited.
    Late,
    Used,
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
    let DeadContext { uses, unused, .. } = context;
    let is_used = |value: &Value| uses.get(value.index()) == Some(&Use::Used);
    let mut dropped = (0, 0);
    for inst in unused.drain(..) {
        if !func.dfg.inst_results(inst).iter().any(is_used) {
            func.layout.remove_inst(inst);
            dropped.1 += 1;
        }
    }
    if !options.drop_params {
        return dropped;
    }
    for (number, &block) in (0u32..).zip(flow.blocks()).skip(1) {
        let params = func.dfg.block_params(block).iter();
        let goes: SmallVec<[bool; 8]> = params.map(|param| !is_used(param)).collect();
        if goes.contains(&true) {
            remove_params(func, flow, number, &goes);
            dropped.0 += goes.iter().filter(|goes| **goes).count();
        }
    }
    dropped
}

impl DeadContext {
    /// Finds the used values. The walk goes from the last block to the first, so that most uses
    /// come before their definition. The operands of that are noted when it is visited.
    fn find_used(&mut self, func: &Function, flow: &Flow, options: &OptimizeOptions) {
        self.uses.clear();
        self.uses.resize(func.dfg.num_values(), Use::None);
        self.work.clear();
        self.unused.clear();
        let labels = func.dfg.values_labels.iter();
        for &value in labels.flat_map(|labels| labels.keys()) {
            self.note(func, value);
        }
        for &block in flow.blocks().iter().rev() {
            let mut next = func.layout.last_inst(block);
            while let Some(inst) = next {
                next = func.layout.prev_inst(inst);
                if options.drop_insts
                    && let Some(results) = only_results(func, inst)
                    && !self.visit(results)
                {
                    self.unused.push(inst);
                    continue;
                }
                self.note_operands(func, inst);
                self.follow(func, flow);
            }
            let params = func.dfg.block_params(block);
            if !params.is_empty() {
                // Those of the entry block are as good as used.
                self.visit_params(func, flow, block, !options.drop_params);
                self.follow(func, flow);
            }
        }
    }

    /// Notes that the definition of `values` was visited; returns whether any of them is used.
    fn visit(&mut self, values: &[Value]) -> bool {
        let mut is_used = false;
        for value in values {
            match self.uses.get_mut(value.index()) {
                Some(Use::Used) => is_used = true,
                Some(known) => *known = Use::Late,
                None => {}
            }
        }
        is_used
    }

    /// Notes the arguments for the used parameters of a block, or for all.
    fn visit_params(&mut self, func: &Function, flow: &Flow, block: Block, all: bool) {
        let params = func.dfg.block_params(block);
        if !self.visit(params) && !all {
            return;
        }
        for edge in flow.edges_into(flow.number(block)) {
            let call = branches(func, edge.inst).get(edge.index as usize);
            let args = call.map(|call| call.args(&func.dfg.value_lists));
            for (arg, param) in args.into_iter().flatten().zip(params) {
                let is_used = all || self.uses.get(param.index()) == Some(&Use::Used);
                if let (true, Some(arg)) = (is_used, arg.as_value()) {
                    self.note(func, arg);
                }
            }
        }
    }

    /// Notes the operands of values that are used after their definition was visited.
    fn follow(&mut self, func: &Function, flow: &Flow) {
        while let Some(value) = self.work.pop() {
            match func.dfg.value_def(value) {
                ValueDef::Result(inst, _) => self.note_operands(func, inst),
                ValueDef::Param(block, index) => {
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
        match self.uses.get_mut(value.index()) {
            Some(Use::Used) | None => return,
            Some(Use::Late) => self.work.push(value),
            Some(Use::None) => {}
        }
        self.uses[value.index()] = Use::Used;
        if !func.dfg.value_is_real(value)
            && let Some(value) = resolve_alias(&func.dfg, value)
        {
            self.note(func, value);
        }
    }

    /// Notes all operands except the arguments of branches.
    fn note_operands(&mut self, func: &Function, inst: Inst) {
        for &arg in operands(&func.dfg, inst) {
            self.note(func, arg);
        }
        let (InstructionData::TryCall { exception, .. }
        | InstructionData::TryCallIndirect { exception, .. }) = func.dfg.insts[inst]
        else {
            return;
        };
        let table = func.dfg.exception_tables.get(exception);
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

/// Returns the results of `inst`, if it does nothing but compute them.
fn only_results(func: &Function, inst: Inst) -> Option<&[Value]> {
    let data = &func.dfg.insts[inst];
    let effect = EFFECTS[data.opcode() as usize];
    // The function may not have been verified, so the flags may not be there.
    let flags = || {
        data.memflags()
            .filter(|&flags| func.dfg.mem_flags.is_valid(flags))
    };
    let has_none = match effect {
        Effect::None => true,
        Effect::Load => flags().is_some_and(|flags| func.dfg.mem_flags[flags].notrap()),
        Effect::Some => false,
    };
    let results = has_none.then(|| func.dfg.inst_results(inst));
    results.filter(|results| !results.is_empty())
}
