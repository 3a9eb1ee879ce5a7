//! The pass around `cranelift_module` (feature `module`).
//!
//! A front end written against [`Module`] calls `declare_function`, `define_function` and the rest,
//! and the module compiles each function as it comes. [`InliningModule`] stands between the two. It
//! is a [`Module`] itself and holds the bodies back. At the end it inlines across all of them and
//! defines them in the wrapped module. Only the construction of the module and the end of the
//! compilation change:
//!
//! ```
//! use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, types};
//! use cranelift_codegen::settings::{self, Configurable};
//! use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
//! use cranelift_inliner::{decide::CostModel, module::InliningModule, pass::Inliner};
//! use cranelift_jit::{JITBuilder, JITModule};
//! use cranelift_module::{FuncId, Linkage, Module, ModuleError, default_libcall_names};
//!
//! // A front end that knows of no inlining: `twice(x) = x + x; main(x) = twice(twice(x))`.
//! fn compile(module: &mut impl Module) -> Result<FuncId, ModuleError> {
//!     let mut signature = module.make_signature();
//!     signature.params.push(AbiParam::new(types::I64));
//!     signature.returns.push(AbiParam::new(types::I64));
//!     let twice = module.declare_function("twice", Linkage::Local, &signature)?;
//!     let main = module.declare_function("main", Linkage::Export, &signature)?;
//!     let mut context = module.make_context();
//!     for id in [twice, main] {
//!         context.func.signature = signature.clone();
//!         let callee = module.declare_func_in_func(twice, &mut context.func);
//!         let mut builders = FunctionBuilderContext::new();
//!         let mut builder = FunctionBuilder::new(&mut context.func, &mut builders);
//!         let block = builder.create_block();
//!         builder.append_block_params_for_function_params(block);
//!         builder.switch_to_block(block);
//!         builder.seal_block(block);
//!         let mut value = builder.block_params(block)[0];
//!         if id == main {
//!             for _ in 0..2 {
//!                 let call = builder.ins().call(callee, &[value]);
//!                 value = builder.inst_results(call)[0];
//!             }
//!         } else {
//!             value = builder.ins().iadd(value, value);
//!         }
//!         builder.ins().return_(&[value]);
//!         builder.finalize(module.target_config());
//!         module.define_function(id, &mut context)?;
//!         module.clear_context(&mut context);
//!     }
//!     Ok(main)
//! }
//!
//! let jit = JITModule::new(JITBuilder::new(default_libcall_names())?);
//! // Without inlining: `let mut module = jit;`
//! let mut module = InliningModule::new(jit, Inliner::new(CostModel::default()));
//! let main = compile(&mut module)?;
//! let (mut jit, report) = module.finish()?;
//! jit.finalize_definitions()?;
//!
//! assert!(report.inlined().sites().all(|site| site.inlined));
//! assert_eq!(report.unused().len(), 1, "nothing calls `twice` any more");
//! assert!(!jit.get_finalized_function(main).is_null());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Unchanged behaviour
//!
//! Declarations go to the wrapped module at once, so that ids, names and errors are its own. So do
//! data and functions that are defined by their bytes: they are external to the pass. A second
//! definition, or the definition of an import, is rejected by the same call as without the wrapper.
//! If the target's flags have the verifier on, it checks each body when the body is defined. Errors
//! of compilation come from [`flush`](InliningModule::flush) or [`finish`](InliningModule::finish),
//! as a [`ModuleError`] that names the function.
//!
//! Functions are compiled by the wrapped module's own `define_function`, so that it makes its
//! relocations, unwind information and logs as usual. It sees each body under the name that the
//! front end gave it. Traps, source locations and debug tags come with the code as the pass leaves
//! them.
//!
//! # Linkage
//!
//! | of the module | to the pass |
//! |---|---|
//! | `Import` | external |
//! | `Local`, `Hidden`, `Export` | may be inlined; kept |
//! | `Preemptible` | never inlined; kept |
//!
//! Front ends ask a JIT for the addresses of `Local` functions too, by their ids or their names,
//! and the module does not show which ones. So all are kept, which costs the code of those that
//! were inlined everywhere: [`ModuleReport::unused`]. In an object file, local symbols cannot be
//! looked up: [`for_object_file`](InliningModule::for_object_file) drops local functions without
//! remaining references. A JIT whose entries are exported or [kept](InliningModule::keep) can [do
//! the same](InliningModule::drop_unused).
//!
//! A function is in use if code, data or a function defined by its bytes refers to it, or if `keep`
//! was called for it. The linkage at the time of the flush counts.
//!
//! `Module` cannot remove a declaration, and `ObjectModule` requires that each local function is
//! defined. So a dropped function keeps its name, with a single trap as its code, after all other
//! functions.
//!
//! Data that is not writable, thread-local or preemptible is constant: a call through an address in
//! it is a call of the function there, if the data is defined before the flush. Its declaration at
//! the time of the flush counts.
//!
//! # Names
//!
//! In the program that the pass works on, and so in reports, profiles and plans, a function is
//! named by its symbol, `%main` for `main`; a function without a name gets the name that
//! `cranelift_module` would give it.
//!
//! # Attributes, hints and profiles
//!
//! [`set_attributes`](InliningModule::set_attributes) marks a function as always or never inlined,
//! as cold, or demands inlining everything below it; [`set_hint`](InliningModule::set_hint) does so
//! for one call. Both may come before or after the definition, up to the flush. The
//! [report](ModuleReport) lists the unmet demands, with reasons.
//! [`count_calls`](InliningModule::count_calls) puts counters at calls, which give the profile for
//! the next build ([`Inliner::profile`]).
//!
//! # In the background
//!
//! A front end that knows its functions before it translates them can
//! [`start`](InliningModule::start) the work early. Then a definition hands the body to a stream on
//! other threads as well, and the flush takes the stream's result, which is the same.
//!
//! # Differences
//!
//! After `define_function` the context holds the function as the front end made it, neither
//! legalized nor optimized, and no compiled code: [`Context::compiled_code`] is `None`, even if the
//! context was used before. [`on_define`](InliningModule::on_define) passes each context after its
//! compilation. So if a front end has its own module that reads compiled code as it forwards a
//! definition, wrap that module; do not put it around an [`InliningModule`].
//!
//! The [guide](https://docs.rs/cranelift-inliner/latest/cranelift_inliner/guide/) compares the
//! calls of front ends on a plain module and on a wrapped one.

mod background;
mod define;
mod error;
mod flush;
mod held;
#[cfg(feature = "jit")]
mod jit;
#[cfg(feature = "object")]
mod object_file;
mod outside;
mod report;
mod settings;
mod symbols;

pub use error::DefineError;
pub use report::ModuleReport;

use crate::backend::CompiledFunction;
use crate::panics;
use crate::pass::{Inliner, PassError};
use crate::program::{Attributes, SiteHint};
use background::Background;
use cranelift_codegen::{CodegenError, Context, ir, isa};
use cranelift_control::ControlPlane;
use cranelift_entity::{EntitySet, SecondaryMap};
use cranelift_module::{
    DataDescription, DataId, FuncId, FuncOrDataId, Linkage, Module, ModuleDeclarations,
    ModuleError, ModuleReloc, ModuleResult,
};
use held::{Body, Held};
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use symbols::Symbols;

/// A [`Module`] that inlines across its functions before it defines them in another one. See the
/// [module](self) for an example and for its treatment of linkage, names and errors.
pub struct InliningModule<'a, M> {
    module: M,
    inliner: Arc<Inliner<'a>>,
    /// The work on functions that were declared for it, until the first flush.
    background: Option<Background>,
    drop_unused: bool,
    in_parallel: bool,
    count_calls: bool,
    keep_backtraces: bool,
    on_define: Option<Box<OnDefine<'a>>>,
    on_compiled: Option<Box<OnCompiled<'a>>>,
    on_flush: Option<Box<OnFlush<'a>>>,
    symbols: Symbols,
    attributes: SecondaryMap<FuncId, Attributes>,
    hints: FxHashMap<FuncId, BTreeMap<ir::Inst, SiteHint>>,
    /// The defined functions, by any method.
    defined: EntitySet<FuncId>,
    /// Data with addresses of functions: the offset of each, in bytes, and its function.
    tables: BTreeMap<DataId, Vec<(i64, FuncId)>>,
    /// Functions that the wrapped module's code and data refer to beyond the pass's reach.
    used_outside: EntitySet<FuncId>,
    /// Bodies that the wrapped module does not have yet, in the order of their definition.
    held: IndexMap<FuncId, Held>,
    /// Final bodies of functions that it has.
    flushed: FxHashMap<FuncId, Body>,
}

type OnDefine<'a> = dyn FnMut(FuncId, &Context) + Send + 'a;
type OnCompiled<'a> = dyn FnMut(FuncId, &CompiledFunction) + Send + 'a;
type OnFlush<'a> = dyn FnMut(&ModuleReport) + Send + 'a;

impl<'a, M: Module> InliningModule<'a, M> {
    /// Wraps `module`. `inliner` holds the policy, the limits and all other settings of the pass.
    ///
    /// Functions that `module` has defined already stay as they are and are external to the pass. A
    /// second definition of such a function is only rejected at its flush.
    ///
    /// Every function is defined in the end, even an unused local one;
    /// [`drop_unused`](Self::drop_unused) changes that.
    pub fn new(module: M, inliner: Inliner<'a>) -> Self {
        Self {
            module,
            inliner: Arc::new(inliner),
            background: None,
            drop_unused: false,
            in_parallel: false,
            count_calls: false,
            keep_backtraces: false,
            on_define: None,
            on_compiled: None,
            on_flush: None,
            symbols: Symbols::default(),
            attributes: SecondaryMap::new(),
            hints: FxHashMap::default(),
            defined: EntitySet::new(),
            tables: BTreeMap::new(),
            used_outside: EntitySet::new(),
            held: IndexMap::new(),
            flushed: FxHashMap::default(),
        }
    }

    /// Wraps a module that writes an object file, in which local functions cannot be looked up
    /// afterwards. Unused ones are [dropped](Self::drop_unused).
    ///
    /// Definitions in the finished module come too late to be seen. If one refers to a local
    /// function, or if tables of the front end's own need one, call [`keep`](Self::keep) for it.
    pub fn for_object_file(module: M, inliner: Inliner<'a>) -> Self {
        Self::new(module, inliner).drop_unused(true)
    }

    /// Returns the wrapped module. It lacks the bodies that are held back.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// Returns the wrapped module, for methods of its own. It lacks the held bodies.
    ///
    /// Definitions go through the [`InliningModule`]. A definition made here is not inlined, and
    /// the functions that it refers to do not count as used.
    pub fn module_mut(&mut self) -> &mut M {
        &mut self.module
    }

    /// [Flushes](Self::flush), and returns the wrapped module with all definitions so far, for its
    /// methods beyond the trait, such as a JIT's `finalize_definitions`.
    ///
    /// ```
    /// # use cranelift_inliner::{decide::CostModel, module::InliningModule, pass::Inliner};
    /// # use cranelift_jit::{JITBuilder, JITModule};
    /// # use cranelift_module::default_libcall_names;
    /// # let jit = JITModule::new(JITBuilder::new(default_libcall_names())?);
    /// let mut module = InliningModule::new(jit, Inliner::new(CostModel::default()));
    /// // Definitions, and then in place of `module.finalize_definitions()?`:
    /// module.flushed_module()?.finalize_definitions()?;
    /// # Ok::<(), cranelift_module::ModuleError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush). The report goes to [`on_flush`](Self::on_flush).
    pub fn flushed_module(&mut self) -> ModuleResult<&mut M> {
        if !self.held.is_empty() {
            self.flush()?;
        }
        Ok(&mut self.module)
    }

    /// Returns the functions whose bodies are held back, in the order of their definition.
    pub fn held(&self) -> impl ExactSizeIterator<Item = FuncId> + '_ {
        self.held.keys().copied()
    }

    /// Returns the held function that an error of a flush is about; `None` for an error that no
    /// single function causes. [`discard`](Self::discard) shows its use.
    pub fn culprit(&self, error: &ModuleError) -> Option<FuncId> {
        let culprit = match error {
            ModuleError::Backend(error) => {
                let defined = error.downcast_ref::<DefineError>();
                let passed = error.downcast_ref::<PassError>();
                let passed = passed.and_then(|error| self.symbols.id(error.function()));
                defined.map(|error| error.id).or(passed)
            }
            ModuleError::DuplicateDefinition(name)
            | ModuleError::IncompatibleDeclaration(name)
            | ModuleError::IncompatibleSignature(name, ..)
            | ModuleError::InvalidImportDefinition(name) => match self.get_name(name) {
                Some(FuncOrDataId::Func(function)) => Some(function),
                _ => None,
            },
            _ => None,
        };
        culprit.filter(|function| self.held.contains_key(function))
    }

    /// Discards the body of a function that is held back, with its hints, for going on after an
    /// error about it. The function may be defined anew, like in a plain module after such an
    /// error. Returns whether a body was held.
    ///
    /// ```
    /// # use cranelift_inliner::module::InliningModule;
    /// # use cranelift_module::{Module, ModuleError};
    /// /// Flushes, and leaves out the functions that do not compile.
    /// fn flush<M: Module>(module: &mut InliningModule<'_, M>) -> Result<(), ModuleError> {
    ///     loop {
    ///         let error = match module.flush() {
    ///             Ok(_) => return Ok(()),
    ///             Err(error) => error,
    ///         };
    ///         match module.culprit(&error) {
    ///             Some(function) => module.discard(function),
    ///             None => return Err(error),
    ///         };
    ///     }
    /// }
    /// ```
    pub fn discard(&mut self, function: FuncId) -> bool {
        let was_held = self.held.shift_remove(&function).is_some();
        if was_held {
            self.defined.remove(function);
            self.hints.remove(&function);
        }
        was_held
    }

    /// Returns the wrapped module and drops the bodies that are still held back, to give up after
    /// an error. [`finish`](Self::finish) defines them first.
    pub fn into_module(self) -> M {
        self.module
    }

    /// Defines the functions that are needed so far in the wrapped module, for a JIT that must run
    /// some of them before all are defined.
    ///
    /// Inlining goes across all held bodies and those that were flushed before, which no longer
    /// change. Flushed bodies that could not be inlined within the [limits](crate::decide::Limits)
    /// are left out, and so are callees of callees beyond the total growth that the held bodies may
    /// have. So the cost of a flush does not grow with the number of earlier ones. If unused
    /// functions are [dropped](Self::drop_unused), local functions that are not used yet are still
    /// held, because later functions may use them.
    ///
    /// # Errors
    ///
    /// As for [`finish`](Self::finish). Functions that are defined by then stay defined, and the
    /// others are held as before, so that each flush fails until the one with the error is
    /// [discarded](Self::discard). The report about those that are defined goes to
    /// [`on_flush`](Self::on_flush).
    pub fn flush(&mut self) -> ModuleResult<ModuleReport> {
        let report = flush::flush(self)?;
        self.tell(&report);
        Ok(report)
    }

    /// Inlines across all functions and defines them in the wrapped module. Returns the module, to
    /// be finished or finalized in its own way, and the report.
    ///
    /// The report covers the functions that were held until now. Earlier ones are in the report of
    /// their flush.
    ///
    /// # Errors
    ///
    /// The wrapped module's error about a function. An error that does not name the function by
    /// itself is a [`ModuleError::Backend`] with a [`DefineError`] in it. A function that becomes
    /// too large for Cranelift by inlining is not an error: its original body is defined. If the
    /// pass is set to verify or to check and finds a fault, the error is a [`ModuleError::Backend`]
    /// with a [`PassError`] in it. [`culprit`](Self::culprit) returns the function of each of them.
    pub fn finish(mut self) -> ModuleResult<(M, ModuleReport)> {
        let mut report = flush::flush(&mut self)?;
        let defined = self.define_traps(&mut report);
        self.tell(&report);
        defined.map(|()| (self.module, report))
    }

    fn tell(&mut self, report: &ModuleReport) {
        if let Some(on_flush) = &mut self.on_flush {
            on_flush(report);
        }
    }

    /// Returns the error of a plain module for a function that cannot be defined, before the body
    /// is read.
    fn check_definable(&self, function: FuncId) -> ModuleResult<()> {
        let (linkage, name) = self.declared(function)?;
        if !linkage.is_definable() {
            return Err(ModuleError::InvalidImportDefinition(name));
        }
        if self.defined.contains(function) {
            return Err(ModuleError::DuplicateDefinition(name));
        }
        Ok(())
    }

    /// Returns the linkage and the symbol of a function.
    fn declared(&self, function: FuncId) -> ModuleResult<(Linkage, String)> {
        // The module cannot be asked whether an id is one of its own.
        let declared = panics::catch(|| {
            let declaration = self.module.declarations().get_function_decl(function);
            let name = declaration.linkage_name(function).into_owned();
            (declaration.linkage, name)
        });
        declared.map_err(|_| ModuleError::Undeclared(function.to_string()))
    }

    /// Returns whether the definition of data alone determines its content, as it is declared now.
    fn is_constant(&self, data: DataId) -> bool {
        let declared = panics::catch(|| {
            let declaration = self.module.declarations().get_data_decl(data);
            let may_be_replaced = declaration.linkage == Linkage::Preemptible;
            !declaration.writable && !declaration.tls && !may_be_replaced
        });
        declared.unwrap_or(false)
    }

    fn verify(&self, context: &Context) -> ModuleResult<()> {
        let isa = self.module.isa();
        if !isa.flags().enable_verifier() {
            return Ok(());
        }
        match panics::catch(|| context.verify(isa)) {
            Ok(verified) => verified.map_err(|errors| CodegenError::Verifier(errors).into()),
            Err(panic) => Err(error::gave_up("the verifier", &panic)),
        }
    }
}

impl<M: Module> Module for InliningModule<'_, M> {
    fn isa(&self) -> &dyn isa::TargetIsa {
        self.module.isa()
    }

    fn declarations(&self) -> &ModuleDeclarations {
        self.module.declarations()
    }

    fn get_name(&self, name: &str) -> Option<FuncOrDataId> {
        self.module.get_name(name)
    }

    fn target_config(&self) -> isa::TargetFrontendConfig {
        self.module.target_config()
    }

    fn make_context(&self) -> Context {
        self.module.make_context()
    }

    fn clear_context(&self, context: &mut Context) {
        self.module.clear_context(context);
    }

    fn make_signature(&self) -> ir::Signature {
        self.module.make_signature()
    }

    fn clear_signature(&self, signature: &mut ir::Signature) {
        self.module.clear_signature(signature);
    }

    fn declare_function(
        &mut self,
        name: &str,
        linkage: Linkage,
        signature: &ir::Signature,
    ) -> ModuleResult<FuncId> {
        self.module.declare_function(name, linkage, signature)
    }

    fn declare_anonymous_function(&mut self, signature: &ir::Signature) -> ModuleResult<FuncId> {
        self.module.declare_anonymous_function(signature)
    }

    fn declare_data(
        &mut self,
        name: &str,
        linkage: Linkage,
        writable: bool,
        tls: bool,
    ) -> ModuleResult<DataId> {
        self.module.declare_data(name, linkage, writable, tls)
    }

    fn declare_anonymous_data(&mut self, writable: bool, tls: bool) -> ModuleResult<DataId> {
        self.module.declare_anonymous_data(writable, tls)
    }

    fn declare_func_in_func(&mut self, func_id: FuncId, func: &mut ir::Function) -> ir::FuncRef {
        self.module.declare_func_in_func(func_id, func)
    }

    fn declare_data_in_func(&self, data: DataId, func: &mut ir::Function) -> ir::GlobalValue {
        self.module.declare_data_in_func(data, func)
    }

    fn declare_func_in_data(&self, func_id: FuncId, data: &mut DataDescription) -> ir::FuncRef {
        self.module.declare_func_in_data(func_id, data)
    }

    fn declare_data_in_data(&self, data_id: DataId, data: &mut DataDescription) -> ir::GlobalValue {
        self.module.declare_data_in_data(data_id, data)
    }

    /// Holds the function back. The context keeps the function as the front end made it, and has no
    /// compiled code: [`Context::compiled_code`] is `None`.
    fn define_function_with_control_plane(
        &mut self,
        func: FuncId,
        ctx: &mut Context,
        ctrl_plane: &mut ControlPlane,
    ) -> ModuleResult<()> {
        self.check_definable(func)?;
        self.verify(ctx)?;
        let declarations = self.module.declarations();
        let body = Arc::new(self.symbols.with_symbols(declarations, func, &ctx.func));
        if let Some(background) = &self.background {
            let hints = self.hints.get(&func).cloned().unwrap_or_default();
            background.define(Arc::clone(&body), hints);
        }
        self.held.insert(
            func,
            Held {
                body: Body::new(body, ctx.func.name.clone()),
                want_disasm: ctx.want_disasm,
                control_plane: ctrl_plane.clone(),
            },
        );
        self.defined.insert(func);
        // Code of an earlier compilation is not that of this definition.
        ctx.take_compiled_code();
        Ok(())
    }

    fn define_function_bytes(
        &mut self,
        func_id: FuncId,
        alignment: u64,
        bytes: &[u8],
        relocs: &[ModuleReloc],
    ) -> ModuleResult<()> {
        self.check_definable(func_id)?;
        self.module
            .define_function_bytes(func_id, alignment, bytes, relocs)?;
        self.defined.insert(func_id);
        self.used_outside.extend(outside::used_by_code(relocs));
        Ok(())
    }

    fn define_data(&mut self, data_id: DataId, data: &DataDescription) -> ModuleResult<()> {
        self.module.define_data(data_id, data)?;
        self.used_outside.extend(outside::used_by_data(data));
        let functions = outside::table(data);
        if !functions.is_empty() {
            self.tables.insert(data_id, functions);
        }
        Ok(())
    }
}
