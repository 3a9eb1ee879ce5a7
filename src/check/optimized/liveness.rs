//! Liveness of values.

use super::contents::is_pure;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, ExceptionTableItem, Function, Inst, Value, ValueDef};
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;

/// Live values of one function, without those of instructions without operands, which are the same
/// everywhere, and without those that are only passed to parameters that nothing uses.
pub(super) struct Liveness {
    needed: EntitySet<Value>,
    live_in: SecondaryMap<Block, Vec<Value>>,
    at: FxHashMap<Inst, Rc<[Value]>>,
}

impl Liveness {
    /// Computes liveness; `None` if the lists would have more than `limit` entries.
    pub(super) fn new(func: &Function, cfg: &ControlFlowGraph, limit: usize) -> Option<Self> {
        let needed = needed_values(func);
        let mut uses: SecondaryMap<Value, Vec<Block>> = SecondaryMap::new();
        let mut used = Vec::new();
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                for value in func.dfg.inst_values(inst) {
                    let value = func.dfg.resolve_aliases(value);
                    if !needed.contains(value) || is_everywhere(func, value) {
                        continue;
                    }
                    let blocks = &mut uses[value];
                    if blocks.is_empty() {
                        used.push(value);
                    }
                    if blocks.last() != Some(&block) {
                        blocks.push(block);
                    }
                }
            }
        }
        used.sort_unstable();
        let mut live_in: SecondaryMap<Block, Vec<Value>> = SecondaryMap::new();
        let mut entries = 0;
        // Values come in order, so a value in the list is its last entry.
        for value in used {
            let home = home_of(func, value);
            let mut work = std::mem::take(&mut uses[value]);
            while let Some(block) = work.pop() {
                if Some(block) == home || live_in[block].last() == Some(&value) {
                    continue;
                }
                live_in[block].push(value);
                entries += 1;
                if entries > limit {
                    return None;
                }
                work.extend(cfg.pred_iter(block).map(|pred| pred.block));
            }
        }
        Some(Liveness {
            needed,
            live_in,
            at: FxHashMap::default(),
        })
    }

    /// Returns values from outside that are used in a block or after it, without its parameters.
    pub(super) fn live_in(&self, block: Block) -> &[Value] {
        &self.live_in[block]
    }

    /// Returns values that are needed from an instruction on, including parameters of its block.
    pub(super) fn live_at(&mut self, func: &Function, inst: Inst) -> Rc<[Value]> {
        if let Some(live) = self.at.get(&inst) {
            return Rc::clone(live);
        }
        let mut live: FxHashSet<Value> = FxHashSet::default();
        let mut defined: FxHashSet<Value> = FxHashSet::default();
        // Parameters that are needed for their labels have no uses.
        let block = func.layout.inst_block(inst);
        if let Some(block) = block.filter(|&block| func.layout.first_inst(block) == Some(inst)) {
            let params = func.dfg.block_params(block).iter();
            live.extend(params.filter(|&&param| self.needed.contains(param)));
        }
        let mut next = Some(inst);
        while let Some(inst) = next {
            for value in func.dfg.inst_values(inst) {
                let value = func.dfg.resolve_aliases(value);
                if self.needed.contains(value) && !is_everywhere(func, value) {
                    live.insert(value);
                }
            }
            defined.extend(func.dfg.inst_results(inst));
            for edge in super::edges(func, inst) {
                let target = edge.block(&func.dfg.value_lists);
                live.extend(&self.live_in[target]);
            }
            next = func.layout.next_inst(inst);
        }
        let mut live: Vec<Value> = live.difference(&defined).copied().collect();
        live.sort_unstable();
        let live: Rc<[Value]> = live.into();
        self.at.insert(inst, Rc::clone(&live));
        live
    }
}

/// Returns the values that are operands of instructions, and not only arguments of branches, and
/// those that branches pass on to such values. Labels need all parameters.
fn needed_values(func: &Function) -> EntitySet<Value> {
    let dfg = &func.dfg;
    let mut passed: FxHashMap<Value, Vec<Value>> = FxHashMap::default();
    let mut work = Vec::new();
    for block in func.layout.blocks() {
        if dfg.values_labels.is_some() {
            work.extend(dfg.block_params(block));
        }
        for inst in func.layout.block_insts(block) {
            work.extend(dfg.inst_args(inst));
            work.extend(contexts(func, inst));
            for edge in super::edges(func, inst) {
                let params = dfg.block_params(edge.block(&dfg.value_lists));
                for (arg, &param) in edge.args(&dfg.value_lists).zip(params) {
                    if let Some(arg) = arg.as_value() {
                        passed.entry(param).or_default().push(arg);
                    }
                }
            }
        }
    }
    let mut needed = EntitySet::new();
    while let Some(value) = work.pop() {
        let value = dfg.resolve_aliases(value);
        if needed.insert(value) {
            work.extend(passed.remove(&value).into_iter().flatten());
        }
    }
    needed
}

/// Returns the operands of an instruction that its exception table has.
fn contexts(func: &Function, inst: Inst) -> impl Iterator<Item = Value> {
    let table = func.dfg.insts[inst].exception_table();
    let items = table.map(|table| func.dfg.exception_tables[table].items());
    items.into_iter().flatten().filter_map(|item| match item {
        ExceptionTableItem::Context(value) => Some(value),
        ExceptionTableItem::Tag(..) | ExceptionTableItem::Default(_) => None,
    })
}

fn home_of(func: &Function, value: Value) -> Option<Block> {
    match func.dfg.value_def(value) {
        ValueDef::Result(inst, _) => func.layout.inst_block(inst),
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Union(..) => None,
    }
}

/// Returns whether a value can be computed anywhere without operands.
pub(super) fn is_everywhere(func: &Function, value: Value) -> bool {
    match func.dfg.value_def(value) {
        ValueDef::Result(inst, _) => func.dfg.inst_args(inst).is_empty() && is_pure(func, inst),
        _ => false,
    }
}

/// Returns whether anything but the computation of other values may depend on the results of
/// `inst`. Costs a walk over the function, and more where loops pass them on.
pub(super) fn is_used(func: &Function, inst: Inst) -> bool {
    let dfg = &func.dfg;
    let results = dfg.inst_results(inst).iter().copied();
    let mut derived: FxHashSet<Value> = results.collect();
    loop {
        let known = derived.len();
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                let is_derived = |value: Value| derived.contains(&dfg.resolve_aliases(value));
                let is_operand = dfg.inst_args(inst).iter().copied().any(is_derived);
                if is_pure(func, inst) {
                    if is_operand {
                        derived.extend(dfg.inst_results(inst));
                    }
                    continue;
                }
                if is_operand || contexts(func, inst).any(is_derived) {
                    return true;
                }
                let pool = &dfg.value_lists;
                let edges =
                    dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
                let passed = edges.iter().flat_map(|edge| {
                    let params = dfg.block_params(edge.block(pool)).iter();
                    edge.args(pool).zip(params.copied())
                });
                let params = passed.filter(|(arg, _)| arg.as_value().is_some_and(is_derived));
                let params: Vec<Value> = params.map(|(_, param)| param).collect();
                derived.extend(params);
            }
        }
        if derived.len() == known {
            return false;
        }
    }
}
