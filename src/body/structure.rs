//! Whether a function's parts refer to parts that exist.

use super::branches;
use crate::panics;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::instructions::InstructionFormat;
use cranelift_codegen::ir::{
    Block, BlockArg, DebugTag, Function, Inst, InstructionData, Opcode, StackSlot, Value,
};

/// Checks what code that edits `func` in place relies on: that each block ends
/// in its only terminator, that instructions, values, tables and target blocks
/// exist, and that branches pass what their targets take. Other types and
/// dominance are the verifier's business.
///
/// `visit` is called for every instruction that was found sound.
pub(crate) fn check_structure(func: &Function, mut visit: impl FnMut(Inst)) -> Result<(), String> {
    // Cranelift's accessors panic where a list lies outside of its pool.
    panics::catch(|| {
        func.layout
            .blocks()
            .try_for_each(|block| check_block(func, block, &mut visit))
    })
    .unwrap_or_else(Err)
}

fn check_block(func: &Function, block: Block, visit: &mut impl FnMut(Inst)) -> Result<(), String> {
    if !func.dfg.block_is_valid(block) {
        return Err(format!("{block} does not exist"));
    }
    let Some(last) = func.layout.last_inst(block) else {
        return Err(format!("{block} is empty"));
    };
    let mut params = func.dfg.block_params(block).iter();
    if !params.all(|&param| func.dfg.value_is_valid(param)) {
        return Err(format!("{block} has a parameter that does not exist"));
    }
    let values = func.dfg.num_values();
    for inst in func.layout.block_insts(block) {
        if !is_plain_and_sound(func, inst, values) {
            check_inst(func, inst)?;
            if func.dfg.insts[inst].opcode().is_terminator() != (inst == last) {
                return Err(format!("{block} does not end in its only terminator"));
            }
        } else if inst == last {
            return Err(format!("{block} does not end in its only terminator"));
        }
        visit(inst);
    }
    Ok(())
}

/// Whether `inst` is of one of the most common formats, none of which ends a
/// block or names anything but values, and nothing is wrong with it. This is
/// for speed: what is not sound here is looked at in full.
fn is_plain_and_sound(func: &Function, inst: Inst, values: usize) -> bool {
    let dfg = &func.dfg;
    if !dfg.inst_is_valid(inst) {
        return false;
    }
    let data = &dfg.insts[inst];
    let exists = |value: Value| value.index() < values;
    let operands_exist = match *data {
        InstructionData::Unary { arg, .. } | InstructionData::Load { arg, .. } => exists(arg),
        InstructionData::Binary { args, .. }
        | InstructionData::IntCompare { args, .. }
        | InstructionData::Store { args, .. } => args.into_iter().all(exists),
        InstructionData::Ternary { args, .. } => args.into_iter().all(exists),
        InstructionData::UnaryImm { .. } => true,
        _ => false,
    };
    operands_exist
        && data.opcode().format() == InstructionFormat::from(data)
        && dfg.inst_results(inst).iter().all(|&result| exists(result))
}

/// A stack slot that a tag or a stack map names and that is not there, which
/// Cranelift's verifier does not look at. A slot that is added later would take
/// its number, and its place.
fn missing_slot(func: &Function, inst: Inst) -> Option<StackSlot> {
    let opcode = func.dfg.insts[inst].opcode();
    if !opcode.is_call() && opcode != Opcode::SequencePoint {
        return None;
    }
    let tags = func.debug_tags.get(inst).iter();
    let in_tags = tags.filter_map(|tag| match tag {
        DebugTag::StackSlot(slot) => Some(*slot),
        DebugTag::User(_) => None,
    });
    let stack_map = func.dfg.user_stack_map_entries(inst).unwrap_or_default();
    in_tags
        .chain(stack_map.iter().map(|entry| entry.slot))
        .find(|&slot| !func.sized_stack_slots.is_valid(slot))
}

fn check_inst(func: &Function, inst: Inst) -> Result<(), String> {
    let dfg = &func.dfg;
    if !dfg.inst_is_valid(inst) {
        return Err(format!("{inst} does not exist"));
    }
    let data = &dfg.insts[inst];
    if data.opcode().format() != InstructionFormat::from(data) {
        return Err(format!("{inst} has an opcode of another format"));
    }
    if data.opcode().is_branch() && branches(func, inst).is_empty() {
        return Err(format!("{inst} refers to a table that does not exist"));
    }
    for call in branches(func, inst) {
        let target = call.block(&dfg.value_lists);
        if !dfg.block_is_valid(target) || !func.layout.is_block_inserted(target) {
            return Err(format!(
                "{inst} goes to {target}, which is not in the layout"
            ));
        }
        let params = dfg.block_params(target);
        let fits = |(arg, &param): (BlockArg, &Value)| {
            arg.as_value()
                .is_none_or(|arg| dfg.value_type(arg) == dfg.value_type(param))
        };
        if call.len(&dfg.value_lists) != params.len()
            || !call.args(&dfg.value_lists).zip(params).all(fits)
        {
            return Err(format!("{inst} does not pass the parameters of {target}"));
        }
    }
    if let Some(slot) = missing_slot(func, inst) {
        return Err(format!("{inst} names {slot}, which does not exist"));
    }
    let results = dfg.inst_results(inst).iter().copied();
    match dfg
        .inst_values(inst)
        .chain(results)
        .find(|&value| !dfg.value_is_valid(value))
    {
        Some(value) => Err(format!("{inst} refers to {value}, which does not exist")),
        None => Ok(()),
    }
}
