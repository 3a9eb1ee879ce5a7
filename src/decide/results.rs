//! Results that are constant on some ways, and branches on a call's results.
//!
//! A callee that returns 0 or a value, and a caller that tests for 0, test twice. Once the callee
//! is inlined, the ways with a constant go straight to where the caller's branch leads.

use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, Value, ValueDef};

/// A condition is rarely computed from a result in more steps.
const MOST_STEPS: usize = 6;

/// The ways on which a function returns a result: each `return`, or each way into its block if that
/// passes the result on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResultWays {
    /// The ways on which it is an integer constant.
    pub constant: u32,
    /// All of them.
    pub all: u32,
}

/// Returns the ways of each result of `func`. Results of tail calls are unknown.
pub(super) fn result_ways(func: &Function) -> Vec<ResultWays> {
    let mut ways = vec![ResultWays::default(); func.signature.returns.len()];
    // The parameters that a block only returns, each with the number of its result.
    let mut passed: SecondaryMap<Value, Option<u32>> = SecondaryMap::new();
    let mut note = |result: u32, is_constant: bool| {
        if let Some(ways) = ways.get_mut(result as usize) {
            ways.all += 1;
            ways.constant += u32::from(is_constant);
        }
    };
    for block in func.layout.blocks() {
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        if !func.dfg.insts[last].opcode().is_return() {
            continue;
        }
        let is_call = func.dfg.insts[last].opcode().is_call();
        let args = func.dfg.inst_args(last);
        for (result, _) in (0..).zip(&func.signature.returns) {
            let value = args.get(result as usize);
            let value = value.and_then(|&value| resolve_alias(&func.dfg, value));
            match value.filter(|_| !is_call) {
                Some(value) => match func.dfg.value_def(value) {
                    ValueDef::Param(of, _)
                        if of == block && Some(block) != func.layout.entry_block() =>
                    {
                        passed[value] = Some(result);
                    }
                    _ => note(result, is_constant(func, value)),
                },
                None => note(result, false),
            }
        }
    }
    for block in func.layout.blocks() {
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        for call in branches(func, last) {
            let pool = &func.dfg.value_lists;
            let params = func.dfg.block_params(call.block(pool));
            for (arg, &param) in call.args(pool).zip(params) {
                if let Some(result) = passed[param] {
                    let is_constant = arg.as_value().is_some_and(|arg| is_constant(func, arg));
                    note(result, is_constant);
                }
            }
        }
    }
    ways
}

fn is_constant(func: &Function, value: Value) -> bool {
    definition(func, value).is_some_and(|inst| func.dfg.insts[inst].opcode() == Opcode::Iconst)
}

fn definition(func: &Function, value: Value) -> Option<Inst> {
    match func.dfg.value_def(resolve_alias(&func.dfg, value)?) {
        ValueDef::Result(inst, 0) => Some(inst),
        _ => None,
    }
}

/// The number of branches of a function that each value decides, alone or with constants.
#[derive(Debug, Default)]
pub(super) struct DecidedBranches {
    of: SecondaryMap<Value, u32>,
}

impl DecidedBranches {
    pub(super) fn of(func: &Function) -> Self {
        let mut decided = DecidedBranches::default();
        for block in func.layout.blocks() {
            let condition = func.layout.last_inst(block);
            let condition = condition.and_then(|last| match func.dfg.insts[last] {
                InstructionData::Brif { arg, .. } | InstructionData::BranchTable { arg, .. } => {
                    root(func, arg)
                }
                _ => None,
            });
            if let Some(value) = condition {
                decided.of[value] += 1;
            }
        }
        decided
    }

    pub(super) fn by(&self, func: &Function, value: Value) -> u32 {
        resolve_alias(&func.dfg, value).map_or(0, |value| self.of[value])
    }
}

/// Returns the one value that is not constant of which `value` is computed.
fn root(func: &Function, value: Value) -> Option<Value> {
    let mut value = resolve_alias(&func.dfg, value)?;
    for _ in 0..MOST_STEPS {
        let Some(inst) = definition(func, value) else {
            return Some(value);
        };
        let next = match func.dfg.insts[inst] {
            InstructionData::Unary {
                opcode: Opcode::Uextend | Opcode::Sextend | Opcode::Ireduce,
                arg,
            } => arg,
            InstructionData::IntCompare {
                args: [one, other], ..
            }
            | InstructionData::Binary {
                opcode: Opcode::Band | Opcode::Bor | Opcode::Bxor,
                args: [one, other],
            } => match (is_constant(func, one), is_constant(func, other)) {
                (false, true) => one,
                (true, false) => other,
                _ => return Some(value),
            },
            _ => return Some(value),
        };
        value = resolve_alias(&func.dfg, next)?;
    }
    Some(value)
}
