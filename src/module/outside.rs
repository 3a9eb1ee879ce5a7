//! Which functions data and ready-made code refer to.

use cranelift_module::{DataDescription, FuncId, ModuleReloc, ModuleRelocTarget};

/// The function that a relocation of the wrapped module is about.
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

/// A declaration whose address is written nowhere does not count.
pub(super) fn used_by_data(data: &DataDescription) -> impl Iterator<Item = FuncId> {
    let functions = data.function_relocs.iter();
    let functions = functions.filter_map(|(_, target)| data.function_decls.get(*target));
    let objects = data.data_relocs.iter();
    let objects = objects.filter_map(|(_, target, _)| data.data_decls.get(*target));
    functions.chain(objects).filter_map(function)
}
