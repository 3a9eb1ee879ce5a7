//! A printer for the parts that Cranelift's own leaves out.
//!
//! Cranelift prints a global value's user-defined name as an index into the function's table of
//! names, which the reader takes for an index into its own table. It does not print declarations of
//! dynamic types, and it prints the type of an instruction that has one as something that is not a
//! type in CLIF. Nor does it print the memory flags of `atomic_rmw` and `atomic_cas`, among them
//! the byte order, nor the stack map of a `stack_switch`. Functions that have none of these are
//! printed by Cranelift.

use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::SigRef;
use cranelift_codegen::ir::entities::AnyEntity;
use cranelift_codegen::ir::{
    Block, DynamicType, ExternalName, Function, GlobalValueData, Inst, InstructionData, Opcode,
    Type, UserStackMapEntry, Value,
};
use cranelift_codegen::write::{FuncWriter, PlainWriter, decorate_function};
use cranelift_entity::SecondaryMap;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Returns the text of `func`.
pub(super) fn function_text(func: &Function) -> Result<String, fmt::Error> {
    let func = &*without_empty_margin(func);
    if !needs_help(func) {
        return Ok(func.display().to_string());
    }
    let mut text = String::new();
    decorate_function(&mut FullWriter, &mut text, func)?;
    Ok(text)
}

/// Returns `func`, without its tables of source locations and tags where these have entries only
/// for removed instructions.
///
/// Cranelift prints a margin for locations and tags if the tables have any. A function read back
/// from the text has none in its tables, and would be printed without the margin.
fn without_empty_margin(func: &Function) -> Cow<'_, Function> {
    let has_margin = !func.srclocs.is_empty() || !func.debug_tags.is_empty();
    let mut insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    if !has_margin || insts.any(|inst| !func.srcloc(inst).is_default() || func.debug_tags.has(inst))
    {
        return Cow::Borrowed(func);
    }
    let mut func = func.clone();
    func.srclocs.clear();
    func.debug_tags.clear();
    Cow::Owned(func)
}

fn needs_help(func: &Function) -> bool {
    let named_by_user = |data: &GlobalValueData| {
        matches!(
            data,
            GlobalValueData::Symbol {
                name: ExternalName::User(_),
                ..
            }
        )
    };
    let mut insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    !func.dfg.dynamic_types.is_empty()
        || func.global_values.values().any(named_by_user)
        || insts.any(|inst| {
            !atomic_flags(func, inst).is_empty() || !left_out_map(func, inst).is_empty()
        })
}

/// Returns the memory flags of an atomic read-modify-write, each with a space before it; empty for
/// other instructions.
fn atomic_flags(func: &Function, inst: Inst) -> String {
    match func.dfg.insts[inst] {
        InstructionData::AtomicRmw { flags, .. } | InstructionData::AtomicCas { flags, .. } => {
            func.dfg.mem_flags[flags].to_string()
        }
        _ => String::new(),
    }
}

/// Returns the declared type that instructions and slots of type `ty` name.
pub(super) fn dynamic_type(func: &Function, ty: Type) -> Option<DynamicType> {
    let types = func.dfg.dynamic_types.keys();
    types
        .into_iter()
        .find(|&declared| func.get_concrete_dynamic_ty(declared) == Some(ty))
}

/// Returns the text of an instruction with the name of its dynamic type, if it has one.
fn with_dynamic_type(func: &Function, inst: Inst, text: String) -> Result<String, fmt::Error> {
    const NO_TYPE: &str = ".types::";
    if !text.contains(NO_TYPE) {
        return Ok(text);
    }
    let ty = func.dfg.ctrl_typevar(inst);
    let declared = dynamic_type(func, ty).ok_or(fmt::Error)?;
    Ok(text.replacen(&format!(".{ty}"), &format!(".{declared}"), 1))
}

/// Returns the entries of a stack map that Cranelift does not print: that of an instruction which
/// is a safepoint and no call by its format.
fn left_out_map(func: &Function, inst: Inst) -> &[UserStackMapEntry] {
    match func.dfg.insts[inst].opcode() {
        Opcode::StackSwitch => func.dfg.user_stack_map_entries(inst).unwrap_or_default(),
        _ => &[],
    }
}

struct FullWriter;

impl FuncWriter for FullWriter {
    fn write_block_header(
        &mut self,
        w: &mut dyn Write,
        func: &Function,
        block: Block,
        indent: usize,
    ) -> fmt::Result {
        PlainWriter.write_block_header(w, func, block, indent)
    }

    fn write_instruction(
        &mut self,
        w: &mut dyn Write,
        func: &Function,
        aliases: &SecondaryMap<Value, Vec<Value>>,
        inst: Inst,
        indent: usize,
    ) -> fmt::Result {
        let entries = left_out_map(func, inst);
        if !entries.is_empty() {
            let mut text = String::new();
            PlainWriter.write_instruction(&mut text, func, aliases, inst, indent)?;
            return write_with_map(w, &text, entries);
        }
        let mut text = String::new();
        PlainWriter.write_instruction(&mut text, func, aliases, inst, indent)?;
        let text = with_dynamic_type(func, inst, text)?;
        let flags = atomic_flags(func, inst);
        if flags.is_empty() {
            return w.write_str(&text);
        }
        // The flags stand behind the opcode and its type.
        let opcode = func.dfg.insts[inst].opcode().to_string();
        let start = text.find(&opcode).ok_or(fmt::Error)?;
        let operands = text[start..].find(' ').ok_or(fmt::Error)? + start;
        w.write_str(&text[..operands])?;
        w.write_str(&flags)?;
        w.write_str(&text[operands..])
    }

    /// Declares everything before it is used, which Cranelift's own order does not do for dynamic
    /// types.
    fn write_preamble(&mut self, w: &mut dyn Write, func: &Function) -> Result<bool, fmt::Error> {
        for (region, data) in func.dfg.alias_regions.iter() {
            writeln!(
                w,
                "    {region} = {} \"{}\"",
                data.user_id, data.description
            )?;
        }
        for (global, data) in func.global_values.iter() {
            write!(w, "    {global} = ")?;
            write_global(w, func, data)?;
            writeln!(w)?;
        }
        for (ty, data) in func.dfg.dynamic_types.iter() {
            writeln!(
                w,
                "    {ty} = {}*{}",
                data.base_vector_ty, data.dynamic_scale
            )?;
        }
        for (slot, data) in func.dynamic_stack_slots.iter() {
            writeln!(w, "    {slot} = {data}")?;
        }
        for (slot, data) in func.sized_stack_slots.iter() {
            writeln!(w, "    {slot} = {data}")?;
        }
        for (sig, data) in func.dfg.signatures.iter() {
            writeln!(w, "    {sig} = {data}")?;
        }
        for (func_ref, data) in func.dfg.ext_funcs.iter() {
            if data.signature != SigRef::reserved_value() {
                writeln!(w, "    {func_ref} = {}", data.display(Some(&func.params)))?;
            }
        }
        for (constant, data) in func.dfg.constants.iter() {
            writeln!(w, "    {constant} = {data}")?;
        }
        if let Some(limit) = func.stack_limit {
            writeln!(w, "    {} = {limit}", AnyEntity::StackLimit)?;
        }
        Ok(true)
    }
}

/// Writes an instruction with its stack map, which stands after the operands and before Cranelift's
/// comment about these. Aliases of the results follow on lines of their own.
fn write_with_map(w: &mut dyn Write, text: &str, entries: &[UserStackMapEntry]) -> fmt::Result {
    let line = text.find('\n').unwrap_or(text.len());
    let operands = text[..line].find("  ; ").unwrap_or(line);
    w.write_str(&text[..operands])?;
    w.write_str(", stack_map=[")?;
    for (index, entry) in entries.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(w, "{comma}{} @ {}+{}", entry.ty, entry.slot, entry.offset)?;
    }
    w.write_str("]")?;
    w.write_str(&text[operands..])
}

fn write_global(w: &mut dyn Write, func: &Function, data: &GlobalValueData) -> fmt::Result {
    let GlobalValueData::Symbol {
        name,
        offset,
        colocated,
        tls,
    } = data
    else {
        return write!(w, "{}", data.display(&func.dfg.mem_flags));
    };
    let colocated = if *colocated { "colocated " } else { "" };
    let tls = if *tls { "tls " } else { "" };
    write!(
        w,
        "symbol {colocated}{tls}{}",
        name.display(Some(&func.params))
    )?;
    match offset.bits() {
        0 => Ok(()),
        bits if bits > 0 => write!(w, "+{offset}"),
        _ => write!(w, "{offset}"),
    }
}
