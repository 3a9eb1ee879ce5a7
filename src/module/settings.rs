//! Settings of an embedder, before and during the definition of functions.

use super::{InliningModule, ModuleReport};
use crate::backend::CompiledFunction;
use crate::program::{Attributes, SiteHint};
use cranelift_codegen::{Context, ir};
use cranelift_module::FuncId;

impl<'a, M> InliningModule<'a, M> {
    /// Sets whether local functions without remaining references are dropped. Off by default,
    /// except with [`for_object_file`](Self::for_object_file).
    ///
    /// If off, every function is defined, because embedders can ask the wrapped module for its
    /// address by its [`FuncId`] or its name, as with a JIT. That costs the code of each function
    /// that was inlined into all of its callers, and the time to compile it.
    ///
    /// If on, a local function is defined if code, data or a call of [`keep`](Self::keep) needs it.
    /// All others get a [trap](super#linkage): calling one by its address is a crash. Turn it on
    /// for a JIT only if all functions whose addresses are looked up are exported or kept.
    #[must_use]
    pub fn drop_unused(mut self, drop_unused: bool) -> Self {
        self.drop_unused = drop_unused;
        self
    }

    /// Sets whether functions are compiled in parallel with inlining, on the current rayon pool.
    /// Off by default.
    ///
    /// It is faster, but the wrapped module then gets only bytes and relocations. An `ObjectModule`
    /// makes no unwind information for such functions, and a `JITModule` no tables of exceptions
    /// (`lookup_wasmtime_exception_data`). [`on_define`](Self::on_define) is not called, and a
    /// control plane is not used. [`on_compiled`](Self::on_compiled) has the data for such tables.
    #[must_use]
    pub fn compile_in_parallel(mut self, in_parallel: bool) -> Self {
        self.in_parallel = in_parallel;
        self
    }

    /// Sets whether each direct call gets a counter, for a [profile](crate::profile). Off by
    /// default.
    ///
    /// Every flush defines a table of counters, which is data of the wrapped module:
    /// [`ModuleReport::counters`]. After a run of the program, [`ModuleReport::profile`] makes a
    /// profile from the table.
    #[must_use]
    pub fn count_calls(mut self, count_calls: bool) -> Self {
        self.count_calls = count_calls;
        self
    }

    /// Sets whether reports have the [backtraces](crate::backtrace) of the functions that were
    /// defined: [`ModuleReport::backtraces`]. Off by default. The pass must keep locations as
    /// [`InlinedAt`](crate::locations::LocationMode::InlinedAt).
    ///
    /// Calls of `try_call`s have unknown locations, except where functions are [compiled in
    /// parallel](Self::compile_in_parallel).
    #[must_use]
    pub fn keep_backtraces(mut self, keep_backtraces: bool) -> Self {
        self.keep_backtraces = keep_backtraces;
        self
    }

    /// Calls `f` with each function and its context after the wrapped module has compiled it, when
    /// [`Context::compiled_code`] is set: for front ends that make debug information or listings of
    /// it.
    #[must_use]
    pub fn on_define(mut self, f: impl FnMut(FuncId, &Context) + Send + 'a) -> Self {
        self.on_define = Some(Box::new(f));
        self
    }

    /// Calls `f` with the code of each function that the pass has compiled and the wrapped module
    /// got as bytes, [in parallel](Self::compile_in_parallel) or in the
    /// [background](InliningModule::start): for front ends that need its traps or its call sites.
    /// [`on_define`](Self::on_define) has all other functions.
    ///
    /// ```
    /// # use cranelift_inliner::{decide::CostModel, module::InliningModule, pass::Inliner};
    /// # use cranelift_jit::{JITBuilder, JITModule};
    /// # use cranelift_module::default_libcall_names;
    /// # let jit = JITModule::new(JITBuilder::new(default_libcall_names())?);
    /// let mut traps = Vec::new();
    /// let module = InliningModule::new(jit, Inliner::new(CostModel::default()))
    ///     .compile_in_parallel(true)
    ///     .on_compiled(|function, code| traps.push((function, code.traps().to_vec())));
    /// # let _ = module;
    /// # Ok::<(), cranelift_module::ModuleError>(())
    /// ```
    #[must_use]
    pub fn on_compiled(mut self, f: impl FnMut(FuncId, &CompiledFunction) + Send + 'a) -> Self {
        self.on_compiled = Some(Box::new(f));
        self
    }

    /// Calls `f` with the report of each flush, also of flushes that do not return it, for
    /// embedders of a front end that finalizes by itself. A flush that fails after it has defined
    /// some functions has a report about these.
    #[must_use]
    pub fn on_flush(mut self, f: impl FnMut(&ModuleReport) + Send + 'a) -> Self {
        self.on_flush = Some(Box::new(f));
        self
    }

    /// Sets the attributes of a function. They count from the next flush on, whether the function
    /// is defined before or after.
    pub fn set_attributes(&mut self, function: FuncId, attributes: Attributes) {
        self.attributes[function] = attributes;
    }

    /// Sets the hint of one call: the instruction `call` of the body that `function` is or will be
    /// defined with. It counts from the next flush on, and goes with the call where the body is
    /// inlined; an earlier hint is replaced.
    ///
    /// If `call` is not a direct call, flushes return an error until the function is
    /// [discarded](InliningModule::discard). Hints for a function that was flushed already have no
    /// effect.
    pub fn set_hint(&mut self, function: FuncId, call: ir::Inst, hint: SiteHint) {
        if !self.flushed.contains_key(&function) {
            self.hints.entry(function).or_default().insert(call, hint);
        }
    }

    /// Keeps a local function even if unused ones are [dropped](Self::drop_unused), because of a
    /// reference that this module does not see. It must come before the [`finish`](Self::finish)
    /// that would drop the function.
    pub fn keep(&mut self, function: FuncId) {
        self.used_outside.insert(function);
    }
}
