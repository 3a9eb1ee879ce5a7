//! Executable memory, filled by cranelift-jit.

use super::libcalls;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{CompiledFunction, RelocationTarget};
use cranelift_inliner::program::FunctionName;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{
    FuncId, FuncOrDataId, Linkage, Module, ModuleReloc, ModuleRelocTarget, default_libcall_names,
};

/// The least alignment of a function, in bytes.
const ALIGNMENT: u32 = 16;

/// The largest page whose protection is set, in bytes.
const PAGE: usize = 16 << 10;

/// The most bytes that cranelift-jit adds per relocation: a jump to a far address.
const VENEER: usize = 24;

/// Functions during loading.
pub(super) struct Loader {
    module: JITModule,
    isa: OwnedTargetIsa,
    signature: Signature,
}

impl Loader {
    /// Reserves memory for `functions`, which may refer to `symbols` by name, and to the runtime
    /// routines of Cranelift's code generation. A single range of addresses keeps calls in reach.
    pub(super) fn new<'a>(
        isa: &OwnedTargetIsa,
        functions: impl Iterator<Item = &'a CompiledFunction>,
        symbols: Vec<(String, *const u8)>,
    ) -> Result<Self, String> {
        let size = functions.map(|function| {
            let code = function.code().len() + function.relocations().len() * VENEER;
            code.next_multiple_of(PAGE) + PAGE
        });
        let memory =
            ArenaMemoryProvider::new_with_size(size.sum()).map_err(|error| error.to_string())?;
        let mut builder = JITBuilder::with_isa(isa.clone(), default_libcall_names());
        builder.memory_provider(Box::new(memory));
        builder.symbol_lookup_fn(Box::new(libcalls::address));
        builder.symbols(symbols);
        Ok(Loader {
            module: JITModule::new(builder),
            signature: Signature::new(isa.default_call_conv()),
            isa: isa.clone(),
        })
    }

    /// Declares as many functions as there will be [definitions](Self::define).
    pub(super) fn declare(&mut self, count: usize) -> Result<Vec<FuncId>, String> {
        (0..count)
            .map(|_| {
                let id = self.module.declare_anonymous_function(&self.signature);
                id.map_err(|error| error.to_string())
            })
            .collect()
    }

    /// Declares one of the symbols.
    pub(super) fn import(&mut self, symbol: &str) -> Result<FuncId, String> {
        self.module
            .declare_function(symbol, Linkage::Import, &self.signature)
            .map_err(|error| error.to_string())
    }

    /// Defines `id`. Names that the code refers to are looked up by `resolve`.
    pub(super) fn define(
        &mut self,
        id: FuncId,
        function: &CompiledFunction,
        resolve: impl Fn(&FunctionName) -> Option<FuncId>,
    ) -> Result<(), String> {
        let mut relocations = Vec::with_capacity(function.relocations().len());
        for relocation in function.relocations() {
            let target = match &relocation.target {
                RelocationTarget::Function(name) | RelocationTarget::Data(name) => {
                    let name = FunctionName::from(name.clone());
                    let id = resolve(&name).ok_or_else(|| format!("there is no {name}"))?;
                    ModuleRelocTarget::from(FuncOrDataId::Func(id))
                }
                RelocationTarget::LibCall(routine) => ModuleRelocTarget::LibCall(*routine),
                RelocationTarget::FunctionOffset(offset) => {
                    ModuleRelocTarget::FunctionOffset(id, *offset)
                }
                other => return Err(format!("there is no {other:?}")),
            };
            relocations.push(ModuleReloc {
                offset: relocation.offset,
                kind: relocation.kind,
                name: target,
                addend: relocation.addend,
            });
        }
        let alignment = u64::from(
            function
                .alignment()
                .max(self.isa.function_alignment().minimum)
                .max(ALIGNMENT),
        )
        .max(self.isa.symbol_alignment());
        self.module
            .define_function_bytes(id, alignment, function.code(), &relocations)
            .map_err(|error| error.to_string())
    }

    /// Links the definitions and makes them executable.
    pub(super) fn finish(mut self) -> Result<JITModule, String> {
        self.module
            .finalize_definitions()
            .map_err(|error| error.to_string())?;
        Ok(self.module)
    }
}
