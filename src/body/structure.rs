//! Whether a function's parts refer to parts that exist.

use super::branches;
use crate::panics;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::instructions::InstructionFormat;
use cranelift_codegen::ir::{
    Block, BlockArg, DebugTag, ExceptionTableItem, Function, Inst, InstructionData, Opcode,
    StackSlot, Value,
};

/// Checks what code that edits `func` in place relies on: that each block ends
/// in its only terminator, that instructions, operands, tables and target
/// blocks exist, and that branches pass what their targets take. Other types and
/// dominance are the verifier's business.
///
/// `visit` is called for every instruction that was found sound and may name
/// anything but values.
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
    let dfg = &func.dfg;
    if !dfg.block_is_valid(block) {
        return Err(format!("{block} does not exist"));
    }
    let Some(last) = func.layout.last_inst(block) else {
        return Err(format!("{block} is empty"));
    };
    let mut params = dfg.block_params(block).iter();
    if !params.all(|&param| dfg.value_is_valid(param)) {
        return Err(format!("{block} has a parameter that does not exist"));
    }
    let (insts, values) = (dfg.num_insts(), dfg.num_values());
    for inst in func.layout.block_insts(block) {
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
        if ends_block != (inst == last) {
            return Err(format!("{block} does not end in its only terminator"));
        }
    }
    Ok(())
}

/// Whether `data` is of one of the most common formats, none of which ends a
/// block or names anything but values, and names only values that exist. This
/// is for speed: all others are looked at in full.
fn is_plain(data: &InstructionData, values: usize) -> bool {
    let exists = |value: Value| value.index() < values;
    let has_format = |opcode: Opcode, format| opcode.format() == format;
    match *data {
        InstructionData::Unary { opcode, arg } => {
            has_format(opcode, InstructionFormat::Unary) && exists(arg)
        }
        InstructionData::UnaryImm { opcode, .. } => has_format(opcode, InstructionFormat::UnaryImm),
        InstructionData::Binary { opcode, args } => {
            has_format(opcode, InstructionFormat::Binary) && args.into_iter().all(exists)
        }
        InstructionData::IntCompare { opcode, args, .. } => {
            has_format(opcode, InstructionFormat::IntCompare) && args.into_iter().all(exists)
        }
        InstructionData::Load { opcode, arg, .. } => {
            has_format(opcode, InstructionFormat::Load) && exists(arg)
        }
        InstructionData::Store { opcode, args, .. } => {
            has_format(opcode, InstructionFormat::Store) && args.into_iter().all(exists)
        }
        _ => false,
    }
}

/// A stack slot that a tag or a stack map names and that is not there, which
/// Cranelift's verifier does not look at. A slot that is added later would take
/// its number, and its place.
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
    if opcode.is_branch() {
        check_branches(func, inst)?;
    }
    if let Some(slot) = missing_slot(func, inst, opcode) {
        return Err(format!("{inst} names {slot}, which does not exist"));
    }
    let tables = data.exception_table().into_iter();
    let items = tables.flat_map(|table| dfg.exception_tables[table].items());
    let contexts = items.filter_map(|item| match item {
        ExceptionTableItem::Context(value) => Some(value),
        ExceptionTableItem::Tag(..) | ExceptionTableItem::Default(_) => None,
    });
    let operands = dfg.inst_args(inst).iter().copied();
    let results = dfg.inst_results(inst).iter().copied();
    match operands
        .chain(results)
        .chain(contexts)
        .find(|&value| !dfg.value_is_valid(value))
    {
        Some(value) => Err(format!("{inst} refers to {value}, which does not exist")),
        None => Ok(()),
    }
}

fn check_branches(func: &Function, inst: Inst) -> Result<(), String> {
    let dfg = &func.dfg;
    let branches = branches(func, inst);
    if branches.is_empty() {
        return Err(format!("{inst} refers to a table that does not exist"));
    }
    for call in branches {
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
        if !passes_all {
            return Err(format!("{inst} does not pass the parameters of {target}"));
        }
    }
    Ok(())
}
