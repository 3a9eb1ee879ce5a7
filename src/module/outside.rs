//! Functions used from outside the pass: by data, ready-made code, and bodies that the wrapped
//! module has.

use super::symbols::Symbols;
use crate::program::FunctionName;
use cranelift_codegen::ir::{Function, GlobalValueData};
use cranelift_module::{DataDescription, FuncId, ModuleReloc, ModuleRelocTarget};

/// Returns the function that a relocation of the wrapped module is about.
fn function(target: &ModuleRelocTarget) -> Option<FuncId> {
    match *target {
        ModuleRelocTarget::User {
            namespace: super::symbols::FUNCTIONS,
            index,
        } => Some(FuncId::from_u32(index)),
        ModuleRelocTarget::FunctionOffset(function, _) => Some(function),
        ModuleRelocTarget::User { .. }
        | ModuleRelocTarget::LibCall(_)
        | ModuleRelocTarget::KnownSymbol(_) => None,
    }
}

pub(super) fn used_by_code(relocations: &[ModuleReloc]) -> impl Iterator<Item = FuncId> {
    relocations
        .iter()
        .filter_map(|relocation| function(&relocation.name))
}

/// Returns the functions that data uses. A declaration without an address in the data does not
/// count.
pub(super) fn used_by_data(data: &DataDescription) -> impl Iterator<Item = FuncId> {
    let functions = data.function_relocs.iter();
    let functions = functions.filter_map(|(_, target)| data.function_decls.get(*target));
    let objects = data.data_relocs.iter();
    let objects = objects.filter_map(|(_, target, _)| data.data_decls.get(*target));
    functions.chain(objects).filter_map(function)
}

/// Returns the functions whose addresses are in the data, with their offsets in bytes.
pub(super) fn table(data: &DataDescription) -> Vec<(i64, FuncId)> {
    let functions = data.function_relocs.iter();
    let functions = functions.filter_map(|&(offset, target)| {
        let target = data.function_decls.get(target)?;
        Some((offset.into(), function(target)?))
    });
    functions.collect()
}

/// Returns the functions that a body uses. All its declarations count: calls of functions without a
/// body yet cannot have been inlined.
pub(super) fn used_by_body(symbols: &Symbols, body: &Function) -> Vec<FuncId> {
    let functions = body.dfg.ext_funcs.values().map(|function| &function.name);
    let globals = body.global_values.values();
    let globals = globals.filter_map(|global| match global {
        GlobalValueData::Symbol { name, .. } => Some(name),
        _ => None,
    });
    let names = functions.chain(globals);
    names
        .filter_map(|name| symbols.id(&FunctionName::of_external(body, name)?))
        .collect()
}
