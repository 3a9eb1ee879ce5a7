//! Loads that may stand wherever their addresses are known: in the optimised function this must
//! not be earlier than before.
//!
//! Both addresses are equal, but may be known by other values: a parameter of the function instead
//! of a load, or of a parameter of a block. So each kind of value that an address was computed from
//! must still be there. A parameter of a block that always has one value counts as that value.

use super::contents::is_pure;
use super::edges;
use super::nodes::Side;
use super::walk::Walk;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, Inst, InstructionData, MemFlagsData, Value, ValueDef,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::OnceCell;

/// The value of each parameter that may have only one, or `None` if it has several.
type Single = FxHashMap<Value, Option<Value>>;

/// A kind of values, by the place where they are known.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Known {
    /// A parameter of the function.
    AtEntry(usize),
    /// A parameter of another block.
    WhereWaysMeet,
    /// The result of an instruction that stays at its place.
    AtInst,
}

/// The findings about the loads of both functions, each made once.
#[derive(Default)]
pub(super) struct Movable {
    single: [OnceCell<Single>; 2],
    known: FxHashMap<(Side, Inst), FxHashSet<Known>>,
}

impl Movable {
    fn known_by(&mut self, side: Side, func: &Function, load: Inst) -> &FxHashSet<Known> {
        let single = match side {
            Side::Before => &self.single[0],
            Side::After => &self.single[1],
        };
        let single = single.get_or_init(|| single_values(func));
        let known = self.known.entry((side, load));
        known.or_insert_with(|| known_by(func, single, load))
    }
}

impl Walk<'_> {
    /// Returns whether a load of the optimised function can move no further than its counterpart.
    pub(super) fn moves_no_further(&mut self, inst: Inst, result: Inst) -> bool {
        let (func, after) = (self.before.func, self.after.func);
        let (Some(flags), Some(now)) = (load_flags(func, inst), load_flags(after, result)) else {
            return true;
        };
        if !now.can_move() {
            return true;
        }
        if !flags.can_move() {
            return false;
        }
        let known = self.movable.known_by(Side::Before, func, inst).clone();
        let known_after = self.movable.known_by(Side::After, after, result);
        known.is_subset(known_after)
    }
}

fn load_flags(func: &Function, inst: Inst) -> Option<MemFlagsData> {
    match func.dfg.insts[inst] {
        InstructionData::Load { flags, .. } => Some(func.dfg.mem_flags[flags]),
        _ => None,
    }
}

/// Returns the kinds of values from which the address of a load is computed.
fn known_by(func: &Function, single: &Single, load: Inst) -> FxHashSet<Known> {
    let dfg = &func.dfg;
    let mut known = FxHashSet::default();
    let mut seen: FxHashSet<Value> = FxHashSet::default();
    let mut pending: Vec<Value> = dfg.inst_args(load).to_vec();
    while let Some(value) = pending.pop() {
        let value = value_of(single, dfg.resolve_aliases(value));
        if !seen.insert(value) {
            continue;
        }
        match dfg.value_def(value) {
            ValueDef::Param(block, index) if func.layout.entry_block() == Some(block) => {
                known.insert(Known::AtEntry(index));
            }
            ValueDef::Param(..) => {
                known.insert(Known::WhereWaysMeet);
            }
            ValueDef::Result(inst, _) if moves(func, inst) => {
                pending.extend(dfg.inst_args(inst));
            }
            ValueDef::Result(..) | ValueDef::Union(..) => {
                known.insert(Known::AtInst);
            }
        }
    }
    known
}

/// Returns whether an instruction is executed wherever its operands are known.
fn moves(func: &Function, inst: Inst) -> bool {
    let is_free = match load_flags(func, inst) {
        Some(flags) => flags.can_move() && flags.readonly() && flags.notrap(),
        None => is_pure(func, inst),
    };
    is_free && func.dfg.inst_results(inst).len() == 1
}

fn value_of(single: &Single, value: Value) -> Value {
    single.get(&value).copied().flatten().unwrap_or(value)
}

/// Finds the parameters that have one value: all are assumed to, until two values meet.
fn single_values(func: &Function) -> Single {
    let dfg = &func.dfg;
    let mut single = Single::default();
    let Some(entry) = func.layout.entry_block() else {
        return single;
    };
    for &param in dfg.block_params(entry) {
        single.insert(param, None);
    }
    let mut passed: Vec<(Value, Option<Value>)> = Vec::new();
    let mut reached: FxHashSet<Block> = FxHashSet::default();
    let mut pending = vec![entry];
    while let Some(block) = pending.pop() {
        if !reached.insert(block) {
            continue;
        }
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        for edge in edges(func, last) {
            let target = edge.block(&dfg.value_lists);
            let args = edge.args(&dfg.value_lists);
            for (&param, arg) in dfg.block_params(target).iter().zip(args) {
                let value = match arg {
                    BlockArg::Value(value) => Some(dfg.resolve_aliases(value)),
                    _ => None,
                };
                passed.push((param, value));
            }
            pending.push(target);
        }
    }
    loop {
        let mut is_settled = true;
        for &(param, value) in &passed {
            let value = match value {
                Some(value) => {
                    let is_param = matches!(dfg.value_def(value), ValueDef::Param(..));
                    if is_param && !single.contains_key(&value) {
                        continue;
                    }
                    Some(value_of(&single, value))
                }
                None => None,
            };
            if value == Some(param) {
                continue;
            }
            let new = match single.get(&param) {
                None => value,
                Some(&known) if known == value => continue,
                Some(None) => continue,
                Some(Some(_)) => None,
            };
            single.insert(param, new);
            is_settled = false;
        }
        if is_settled {
            return single;
        }
    }
}
