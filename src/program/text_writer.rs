//! A printer for what Cranelift's own leaves out.
//!
//! Cranelift prints a global value's user-defined name as an index into the
//! function's table of names, which the reader takes for an index into its own
//! table, and it does not print dynamic types at all. Functions that have
//! neither are printed by Cranelift.

use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::SigRef;
use cranelift_codegen::ir::entities::AnyEntity;
use cranelift_codegen::ir::{Block, ExternalName, Function, GlobalValueData, Inst, Value};
use cranelift_codegen::write::{FuncWriter, PlainWriter, decorate_function};
use cranelift_entity::SecondaryMap;
use std::fmt::{self, Write};

/// The text of `func`.
pub(super) fn function_text(func: &Function) -> Result<String, fmt::Error> {
    if !needs_help(func) {
        return Ok(func.display().to_string());
    }
    let mut text = String::new();
    decorate_function(&mut FullWriter, &mut text, func)?;
    Ok(text)
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
    !func.dfg.dynamic_types.is_empty() || func.global_values.values().any(named_by_user)
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
        PlainWriter.write_instruction(w, func, aliases, inst, indent)
    }

    /// Declares everything before it is used, which Cranelift's own order does
    /// not do for dynamic types.
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
