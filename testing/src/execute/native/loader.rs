//! Executable memory, filled by cranelift-jit.

use super::libcalls;
use crate::execute::tables::TableData;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{CompiledFunction, RelocationTarget};
use cranelift_inliner::program::FunctionName;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{
    DataDescription, DataId, FuncId, FuncOrDataId, Linkage, Module, ModuleReloc, ModuleRelocTarget,
    default_libcall_names,
};

/// The least alignment of a function, in bytes.
const ALIGNMENT: u32 = 16;

/// The largest page whose protection is set, in bytes.
const PAGE: usize = 16 << 10;

/// The most bytes that cranelift-jit adds per relocation: a jump to a far address.
const VENEER: usize = 24;

/// The object to which a name in code refers.
#[derive(Clone, Copy)]
pub(super) struct Target {
    id: FuncOrDataId,
    /// The offset of the name in the object.
    offset: i64,
}

impl Target {
    pub(super) fn function(id: FuncId) -> Self {
        Target {
            id: FuncOrDataId::Func(id),
            offset: 0,
        }
    }
}

/// Functions during loading.
pub(super) struct Loader {
    module: JITModule,
    isa: OwnedTargetIsa,
    signature: Signature,
}

impl Loader {
    /// Reserves memory for `functions` and `tables`. Functions may refer to `symbols` by name, and
    /// to the runtime routines of Cranelift's code generation. A single range of addresses keeps
    /// calls in reach.
    pub(super) fn new<'a>(
        isa: &OwnedTargetIsa,
        functions: impl Iterator<Item = &'a CompiledFunction>,
        tables: impl Iterator<Item = &'a TableData>,
        symbols: Vec<(String, *const u8)>,
    ) -> Result<Self, String> {
        let size = functions.map(|function| {
            let code = function.code().len() + function.relocations().len() * VENEER;
            code.next_multiple_of(PAGE) + PAGE
        });
        let tables = tables.map(|table| table.size.next_multiple_of(PAGE) + PAGE);
        // There may be nothing to load, if no function could be compiled.
        let size = size.chain(tables).sum::<usize>().max(PAGE);
        let memory = ArenaMemoryProvider::new_with_size(size);
        let memory = memory.map_err(|error| error.to_string())?;
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

    /// Defines a table whose functions `resolve` looks up.
    pub(super) fn define_table(
        &mut self,
        table: &TableData,
        resolve: impl Fn(&FunctionName) -> Option<FuncId>,
    ) -> Result<Target, String> {
        let declared = self.module.declare_anonymous_data(false, false);
        let id: DataId = declared.map_err(|error| error.to_string())?;
        let mut data = DataDescription::new();
        data.define(vec![0; table.size].into_boxed_slice());
        data.set_align(u64::from(ALIGNMENT));
        for (offset, name) in &table.entries {
            let function = resolve(name).ok_or_else(|| format!("there is no {name}"))?;
            let function = self.module.declare_func_in_data(function, &mut data);
            data.write_function_addr(*offset, function);
        }
        let defined = self.module.define_data(id, &data);
        defined.map_err(|error| error.to_string())?;
        Ok(Target {
            id: FuncOrDataId::Data(id),
            offset: table.before,
        })
    }

    /// Defines `id`. Names that the code refers to are looked up by `resolve`.
    pub(super) fn define(
        &mut self,
        id: FuncId,
        function: &CompiledFunction,
        resolve: impl Fn(&FunctionName) -> Option<Target>,
    ) -> Result<(), String> {
        let mut relocations = Vec::with_capacity(function.relocations().len());
        for relocation in function.relocations() {
            let mut addend = relocation.addend;
            let target = match &relocation.target {
                RelocationTarget::Function(name) | RelocationTarget::Data(name) => {
                    let name = FunctionName::from(name.clone());
                    let target = resolve(&name).ok_or_else(|| format!("there is no {name}"))?;
                    addend += target.offset;
                    ModuleRelocTarget::from(target.id)
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
                addend,
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
