//! Object files, which are programs together with the runtime.

use crate::compile::{Compiled, Options, define, isa};
use crate::entry::define_main;
use crate::error::{Error, Result};
use cranelift_inliner::backtrace::add_backtrace_section;
use cranelift_inliner::frames::text_offsets;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, default_libcall_names};
use cranelift_object::object::write::{Symbol, SymbolSection};
use cranelift_object::object::{SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use cranelift_object::{ObjectBuilder, ObjectModule, ObjectProduct};

/// Compiles a module to an object file, which is a program together with the runtime.
///
/// # Errors
///
/// As for [`jit`](crate::jit).
pub fn object(wasm: &[u8], options: &Options<'_>) -> Result<(Vec<u8>, Compiled)> {
    let builder = ObjectBuilder::new(isa(true)?, "wasm", default_libcall_names())?;
    let plain = ObjectModule::new(builder);
    let (translated, mut object, compiled) = define(wasm, plain, None, options)?;
    let failed = |error: &dyn std::fmt::Display| Error::Target(error.to_string());
    let image = postcard::to_allocvec(&compiled.image).map_err(|error| failed(&error))?;
    let image_len = image.len();
    let mut data = DataDescription::new();
    data.define(image.into_boxed_slice());
    let image = define_data(&mut object, "wasm_image", &data)?;
    let functions: Vec<FuncId> = translated.declared.with_code().collect();
    let functions = addresses(&mut object, "wasm_functions", &functions)?;
    let entries = addresses(&mut object, "wasm_entries", &translated.entry_ids)?;
    let backtraces = object.declare_data(BACKTRACES, Linkage::Import, false, false)?;
    let backtraces_len = object.declare_data(BACKTRACES_LEN, Linkage::Import, false, false)?;
    let data = [image, functions, entries, backtraces, backtraces_len];
    define_main(&mut object, data, image_len)?;

    // Only the finished file has the places of functions.
    let mut product = object.finish();
    let offsets = text_offsets(&product, compiled.backtraces.iter().map(|&(id, _)| id));
    let table = compiled.link(&offsets.map_err(|error| failed(&error))?)?;
    let added = add_backtrace_section(&mut product, &table, Some(BACKTRACES));
    added.map_err(|error| failed(&error))?;
    add_number(&mut product, BACKTRACES_LEN, table.bytes().len() as u64);
    let bytes = product.emit().map_err(|error| failed(&error))?;
    Ok((bytes, compiled))
}

/// The symbol of the backtrace table.
const BACKTRACES: &str = "wasm_backtraces";
/// The symbol of the number of its bytes.
const BACKTRACES_LEN: &str = "wasm_backtraces_len";

/// Adds a number as data with a symbol to a finished object file.
fn add_number(product: &mut ObjectProduct, symbol: &str, number: u64) {
    let object = &mut product.object;
    let name = b".rodata.wasm_numbers".to_vec();
    let section = object.add_section(Vec::new(), name, SectionKind::ReadOnlyData);
    let value = object.append_section_data(section, &number.to_ne_bytes(), 8);
    object.add_symbol(Symbol {
        name: symbol.as_bytes().to_vec(),
        value,
        size: 8,
        kind: SymbolKind::Data,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
}

/// Defines a table of addresses of functions.
fn addresses(object: &mut ObjectModule, name: &str, functions: &[FuncId]) -> Result<DataId> {
    let mut data = DataDescription::new();
    data.define(vec![0; 8 * functions.len().max(1)].into());
    for (index, &id) in functions.iter().enumerate() {
        let function = object.declare_func_in_data(id, &mut data);
        data.write_function_addr(8 * index as u32, function);
    }
    data.set_align(8);
    define_data(object, name, &data)
}

fn define_data(object: &mut ObjectModule, name: &str, data: &DataDescription) -> Result<DataId> {
    let id = object.declare_data(name, Linkage::Local, false, false)?;
    object.define_data(id, data)?;
    Ok(id)
}
