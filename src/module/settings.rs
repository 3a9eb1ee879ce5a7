//! What an embedder says before and while functions are defined.

use super::{InliningModule, ModuleReport};
use crate::program::{Attributes, SiteHint};
use cranelift_codegen::{Context, ir};
use cranelift_module::FuncId;

impl<'a, M> InliningModule<'a, M> {
    /// Whether local functions that nothing refers to any more are dropped. Off by default, but for
    /// [`for_object_file`](Self::for_object_file).
    ///
    /// Off, every function is defined, since its address can be asked of the wrapped module by its
    /// [`FuncId`] or its name, as of a JIT. That costs the code of each function that was inlined
    /// into all of its callers, and the time to compile it.
    ///
    /// On, a local function is defined if code, data or a call of [`keep`](Self::keep) needs it.
    /// All others get a [trap](super#linkage): calling one by its address is a crash. Turn it on
    /// for a JIT only if the functions that are asked for are exported or kept.
    #[must_use]
    pub fn drop_unused(mut self, drop_unused: bool) -> Self {
        self.drop_unused = drop_unused;
        self
    }

    /// Whether functions are compiled in parallel, on the current rayon pool, while others are
    /// still inlined into. Off by default.
    ///
    /// It is faster, but the wrapped module then gets bytes and relocations and nothing else. A
    /// `JITModule` needs no more; an `ObjectModule` makes no unwind information for such
    /// functions, [`on_define`](Self::on_define) is not called, and a control plane is not used.
    #[must_use]
    pub fn compile_in_parallel(mut self, in_parallel: bool) -> Self {
        self.in_parallel = in_parallel;
        self
    }

    /// Whether each direct call gets a counter, for a [profile](crate::profile). Off by default.
    ///
    /// Every flush defines a table of counters, which is data of the wrapped module:
    /// [`ModuleReport::counters`]. When the program has run, [`ModuleReport::profile`] makes a
    /// profile of what is in the table.
    #[must_use]
    pub fn count_calls(mut self, count_calls: bool) -> Self {
        self.count_calls = count_calls;
        self
    }

    /// Calls `f` with each function and its context when the wrapped module has compiled it, which
    /// is when [`Context::compiled_code`] is there: for front ends that make debug information or
    /// listings of it.
    #[must_use]
    pub fn on_define(mut self, f: impl FnMut(FuncId, &Context) + Send + 'a) -> Self {
        self.on_define = Some(Box::new(f));
        self
    }

    /// Calls `f` with the report of each flush, also of those whose report nothing returns: for
    /// embedders of a front end that finalizes by itself.
    #[must_use]
    pub fn on_flush(mut self, f: impl FnMut(&ModuleReport) + Send + 'a) -> Self {
        self.on_flush = Some(Box::new(f));
        self
    }

    /// Says of a function whether to inline it, and how often it runs. It counts from the next
    /// flush on, whether the function is defined before or after.
    pub fn set_attributes(&mut self, function: FuncId, attributes: Attributes) {
        self.attributes[function] = attributes;
    }

    /// Says something of one call: the instruction `call` of the body that `function` is or will be
    /// defined with. It counts from the next flush on, and goes with the call where the body is
    /// inlined; a hint that was there before is replaced.
    ///
    /// That the instruction is no direct call, the next flush says. For a function that was flushed
    /// already, hints come too late.
    pub fn set_hint(&mut self, function: FuncId, call: ir::Inst, hint: SiteHint) {
        if !self.flushed.contains_key(&function) {
            self.hints.entry(function).or_default().insert(call, hint);
        }
    }

    /// Keeps a local function although unused ones are [dropped](Self::drop_unused): something that
    /// this module does not see refers to it. It must come before the [`finish`](Self::finish) that
    /// would drop the function.
    pub fn keep(&mut self, function: FuncId) {
        self.used_outside.insert(function);
    }
}
