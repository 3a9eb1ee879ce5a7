//! The methods of a JIT that are not in the trait (feature `jit`).

use super::InliningModule;
use cranelift_jit::JITModule;
use cranelift_module::{DataId, FuncId, ModuleRelocTarget, ModuleResult};

/// The methods of [`JITModule`] that are not in `Module`, so that a front end which calls them
/// takes an `InliningModule<JITModule>` for its `JITModule` (feature `jit`).
///
/// `free_memory` is not among them: call it on [`InliningModule::into_module`].
///
/// ```
/// use cranelift_codegen::cursor::{Cursor, FuncCursor};
/// use cranelift_codegen::ir::{AbiParam, InstBuilder, types};
/// use cranelift_inliner::{decide::CostModel, module::InliningModule, pass::Inliner};
/// use cranelift_jit::{JITBuilder, JITModule};
/// use cranelift_module::{Linkage, Module, ModuleError, default_libcall_names};
///
/// /// A front end that keeps its module, and finalizes whenever something is to run.
/// struct Compiler {
///     // Before: `module: JITModule`.
///     module: InliningModule<'static, JITModule>,
/// }
///
/// impl Compiler {
///     fn constant(&mut self, number: i64) -> Result<*const u8, ModuleError> {
///         let mut context = self.module.make_context();
///         context.func.signature.returns.push(AbiParam::new(types::I64));
///         let block = context.func.dfg.make_block();
///         context.func.layout.append_block(block);
///         let mut cursor = FuncCursor::new(&mut context.func).at_bottom(block);
///         let value = cursor.ins().iconst(types::I64, number);
///         cursor.ins().return_(&[value]);
///         let signature = context.func.signature.clone();
///         let id = self.module.declare_function("constant", Linkage::Local, &signature)?;
///         self.module.define_function(id, &mut context)?;
///         self.module.finalize_definitions()?;
///         Ok(self.module.get_finalized_function(id))
///     }
/// }
///
/// let jit = JITModule::new(JITBuilder::new(default_libcall_names())?);
/// let module = InliningModule::new(jit, Inliner::new(CostModel::default()));
/// let mut compiler = Compiler { module };
/// assert!(!compiler.constant(7)?.is_null());
/// # Ok::<(), ModuleError>(())
/// ```
impl InliningModule<'_, JITModule> {
    /// [Flushes](InliningModule::flush) the held functions, and finalizes them with
    /// [`JITModule::finalize_definitions`].
    ///
    /// # Errors
    ///
    /// Those of both. The report goes to [`on_flush`](InliningModule::on_flush).
    pub fn finalize_definitions(&mut self) -> ModuleResult<()> {
        self.flushed_module()?.finalize_definitions()
    }

    /// Returns the address of a function: [`JITModule::get_finalized_function`].
    ///
    /// # Panics
    ///
    /// Panics like the JIT for a function that was not finalized after its definition. A function
    /// that is held back as [unused](InliningModule::drop_unused) was not finalized.
    pub fn get_finalized_function(&self, function: FuncId) -> *const u8 {
        self.module().get_finalized_function(function)
    }

    /// Returns the address and the size of a data object: [`JITModule::get_finalized_data`].
    ///
    /// # Panics
    ///
    /// Panics like the JIT for data that was not finalized after its definition.
    pub fn get_finalized_data(&self, data: DataId) -> (*const u8, usize) {
        self.module().get_finalized_data(data)
    }

    /// Returns the address that a relocation resolves to: [`JITModule::get_address`].
    ///
    /// # Panics
    ///
    /// Panics like the JIT for a name that it cannot resolve. A held function has no address yet:
    /// call [`finalize_definitions`](Self::finalize_definitions) first.
    pub fn get_address(&self, name: &ModuleRelocTarget) -> *const u8 {
        self.module().get_address(name)
    }
}
