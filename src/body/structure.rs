//! Checks that a function's parts refer only to existing parts.

use super::{branches, map_common};
use crate::panics;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::instructions::InstructionFormat;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, DebugTag, ExceptionTableItem, Function, Inst, InstructionData,
    Opcode, StackSlot, Value,
};

/// Checks the structure that code relies on to edit `func` in place: each block ends in its only
/// terminator; instructions, operands, tables and target blocks exist; and branches pass the
/// arguments that their targets take. The verifier checks other types and dominance.
///
/// `visit` is called for every instruction that was found sound and may name anything but values.
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
    check_params(func, block)?;
    let dfg = &func.dfg;
    let mut current = func.layout.first_inst(block);
    if current.is_none() {
        return Err(format!("{block} is empty"));
    }
    let (insts, values) = (dfg.num_insts(), dfg.num_values());
    while let Some(inst) = current {
        current = func.layout.next_inst(inst);
        if inst.index() >= insts {
            return Err(format!("{inst} does not exist"));
        }
        let data = &dfg.insts[inst];
        let ends_block = if is_plain(data, values) {
            false
        } else {
            check_inst(func, inst, data)?;
            visit(inst);
            data.opcode().is_terminator()
        };
        if ends_block != current.is_none() {
            return Err(format!("{block} does not end in its only terminator"));
        }
    }
    Ok(())
}

/// Checks that `block` and its parameters exist. Panics if their list lies outside of its pool.
pub(crate) fn check_params(func: &Function, block: Block) -> Result<(), String> {
    let dfg = &func.dfg;
    if !dfg.block_is_valid(block) {
        return Err(format!("{block} does not exist"));
    }
    let mut params = dfg.block_params(block).iter();
    if params.all(|&param| dfg.value_is_valid(param)) {
        Ok(())
    } else {
        Err(format!("{block} has a parameter that does not exist"))
    }
}

/// Returns whether `data` is of one of the most common formats, and names only values that exist.
/// This is for speed: all others are looked at in full.
fn is_plain(data: &InstructionData, values: usize) -> bool {
    let exists = |value: Value| value.index() < values;
    let has_format = |opcode: Opcode, format| opcode.format() == format;
    match *data {
        InstructionData::Ternary { opcode, args } => {
            has_format(opcode, InstructionFormat::Ternary) && args.into_iter().all(exists)
        }
        InstructionData::UnaryIeee64 { opcode, .. } => {
            has_format(opcode, InstructionFormat::UnaryIeee64)
        }
        InstructionData::CondTrap { opcode, arg, .. } => {
            has_format(opcode, InstructionFormat::CondTrap) && exists(arg)
        }
        _ => map_common::<true>(data, |value| exists(value).then_some(value), Some).is_some(),
    }
}

/// Returns a missing stack slot that a tag or a stack map names; Cranelift's verifier does not
/// check these. A slot that is added later would take its number, and its place.
fn missing_slot(func: &Function, inst: Inst, opcode: Opcode) -> Option<StackSlot> {
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

fn check_inst(func: &Function, inst: Inst, data: &InstructionData) -> Result<(), String> {
    let dfg = &func.dfg;
    let opcode = data.opcode();
    if opcode.format() != InstructionFormat::from(data) {
        return Err(format!("{inst} has an opcode of another format"));
    }
    // The most common branches are looked at without their opcode's tables.
    match data {
        InstructionData::Jump { destination, .. } => check_target(func, inst, destination)?,
        InstructionData::Brif { blocks, .. } => {
            for target in blocks {
                check_target(func, inst, target)?;
            }
        }
        _ if opcode.is_branch() => check_branches(func, inst)?,
        _ => {}
    }
    if let Some(slot) = missing_slot(func, inst, opcode) {
        return Err(format!("{inst} names {slot}, which does not exist"));
    }
    let values = dfg.num_values();
    let missing = |value: &&Value| value.index() >= values;
    let contexts = || {
        let tables = data.exception_table().into_iter();
        let mut items = tables.flat_map(|table| dfg.exception_tables[table].items());
        items.find_map(|item| match item {
            ExceptionTableItem::Context(value) if value.index() >= values => Some(value),
            _ => None,
        })
    };
    let operands = match data {
        InstructionData::Jump { .. } => &[],
        InstructionData::Brif { arg, .. } => std::slice::from_ref(arg),
        InstructionData::Call { args, .. } => args.as_slice(&dfg.value_lists),
        _ => dfg.inst_args(inst),
    };
    let operand = operands.iter().find(missing).copied();
    let operand = operand.or_else(|| dfg.inst_results(inst).iter().find(missing).copied());
    match operand.or_else(contexts) {
        Some(value) => Err(format!("{inst} refers to {value}, which does not exist")),
        None => Ok(()),
    }
}

/// Checks the edges alone: for functions of which all else is known to exist.
pub(crate) fn check_edges(func: &Function) -> Result<(), String> {
    panics::catch(|| {
        let blocks = func.layout.blocks();
        let mut ends = blocks.filter_map(|block| func.layout.last_inst(block));
        ends.try_for_each(|last| {
            let mut calls = branches(func, last).iter();
            calls.try_for_each(|call| check_target(func, last, call))
        })
    })
    .unwrap_or_else(Err)
}

fn check_branches(func: &Function, inst: Inst) -> Result<(), String> {
    let branches = branches(func, inst);
    if branches.is_empty() {
        return Err(format!("{inst} refers to a table that does not exist"));
    }
    branches
        .iter()
        .try_for_each(|call| check_target(func, inst, call))
}

fn check_target(func: &Function, inst: Inst, call: &BlockCall) -> Result<(), String> {
    let dfg = &func.dfg;
    let target = call.block(&dfg.value_lists);
    if !dfg.block_is_valid(target) || !func.layout.is_block_inserted(target) {
        return Err(format!(
            "{inst} goes to {target}, which is not in the layout"
        ));
    }
    let params = dfg.block_params(target);
    // An argument that does not exist has no type, which is a panic too.
    let fits = |(arg, &param): (BlockArg, &Value)| {
        arg.as_value()
            .is_none_or(|arg| dfg.value_type(arg) == dfg.value_type(param))
    };
    let passes_all = call.len(&dfg.value_lists) == params.len()
        && (params.is_empty() || call.args(&dfg.value_lists).zip(params).all(fits));
    if passes_all {
        Ok(())
    } else {
        Err(format!("{inst} does not pass the parameters of {target}"))
    }
}
