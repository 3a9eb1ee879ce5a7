//! Comparisons of the results of comparisons.
//!
//! A predicate returns 0 or 1 as a number, and its caller tests the number. After inlining, one
//! comparison is enough:
//!
//! ```text
//!  v2 = icmp slt v0, v1
//!  v3 = uextend.i64 v2
//!  v4 = icmp sgt v3, 0     is v2
//!  v5 = icmp eq v3, 0      v5 = icmp sge v0, v1
//! ```
//!
//! Cranelift's optimizer knows only some of these forms.

use super::constant::{compare, constant};
use super::scope::Scope;
use crate::body::{move_labels, resolve_alias};
use cranelift_codegen::ir::condcodes::CondCode;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, Value, ValueDef, types};

/// A number is extended once or twice.
const MOST_EXTENSIONS: usize = 4;

/// Simplifies comparisons with constants in `scope`; returns their number.
pub(super) fn simplify_comparisons(func: &mut Function, scope: &Scope) -> usize {
    let mut simplified = 0;
    let mut cursor = func.layout.entry_block();
    while let Some(block) = cursor {
        cursor = func.layout.next_block(block);
        if !scope.contains(block) {
            continue;
        }
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            if simplify(func, inst).is_some() {
                simplified += 1;
            }
        }
    }
    simplified
}

fn simplify(func: &mut Function, inst: Inst) -> Option<()> {
    let dfg = &func.dfg;
    let InstructionData::IntCompare {
        opcode: Opcode::Icmp,
        args: [x, y],
        cond,
    } = dfg.insts[inst]
    else {
        return None;
    };
    let (tested, cond, bits) = match (constant(dfg, x), constant(dfg, y)) {
        (None, Some(bits)) => (x, cond, bits),
        (Some(bits), None) => (y, cond.swap_args(), bits),
        _ => return None,
    };
    let &[result] = dfg.inst_results(inst) else {
        return None;
    };
    let (truth, compares) = comparison(func, tested)?;
    // In a function that was not verified, it may take its own result.
    if compares == inst {
        return None;
    }
    if dfg.value_type(result) != types::I8 || dfg.value_type(truth) != types::I8 {
        return None;
    }
    let ty = dfg.value_type(tested);
    let holds = [0, 1].map(|truth| compare(cond, truth, bits, ty));
    match (holds, dfg.insts[compares]) {
        ([false, true], _) => {
            func.dfg.detach_inst_results(inst);
            func.layout.remove_inst(inst);
            func.dfg.change_to_alias(result, truth);
            move_labels(func, result, truth);
        }
        (
            [true, false],
            InstructionData::IntCompare {
                opcode: Opcode::Icmp,
                args,
                cond,
            },
        ) => {
            func.dfg.insts[inst] = InstructionData::IntCompare {
                opcode: Opcode::Icmp,
                args,
                cond: cond.complement(),
            };
        }
        _ => return None,
    }
    Some(())
}

/// Returns the result of a comparison, and the comparison, where `value` is 1 or 0 as that tells.
fn comparison(func: &Function, value: Value) -> Option<(Value, Inst)> {
    let mut value = resolve_alias(&func.dfg, value)?;
    for _ in 0..MOST_EXTENSIONS {
        let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
            return None;
        };
        match func.dfg.insts[inst] {
            InstructionData::Unary {
                opcode: Opcode::Uextend,
                arg,
            } => value = resolve_alias(&func.dfg, arg)?,
            InstructionData::IntCompare { .. } | InstructionData::FloatCompare { .. } => {
                return Some((value, inst));
            }
            _ => return None,
        }
    }
    None
}
