//! The transforms that run, and the facts that they may rely on.

use super::Tables;
use crate::program::FunctionName;
use cranelift_codegen::ir::{Endianness, ExternalName, FuncRef, Function, LibCall};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The transforms of [`optimize`](super::optimize), each with its switch, and facts about the
/// target and the program. By default all are on, without any facts.
///
/// ```
/// use cranelift_inliner::cleanup::OptimizeOptions;
///
/// let options = OptimizeOptions::default().with_drop_stores(false);
/// assert!(options.promote_slots);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OptimizeOptions {
    /// Promote stack slots to values.
    pub promote_slots: bool,
    /// Remove stores to private stack slots that are never read.
    pub drop_stores: bool,
    /// Let ways into a join with a decided branch go straight to its target.
    pub thread_branches: bool,
    /// Replace comparisons of the results of comparisons.
    pub simplify_comparisons: bool,
    /// Remove block parameters that have one value or equal constants on all ways, or no uses.
    pub drop_params: bool,
    /// Remove instructions without an effect and without used results.
    pub drop_insts: bool,
    /// Make indirect calls of a known function direct.
    pub resolve_targets: bool,
    /// Test for the likely target of an indirect call, whose address a stack slot holds, so that it
    /// can be inlined. Only the pass does so, which inlines afterwards, and only together with
    /// [`resolve_targets`](Self::resolve_targets).
    pub guard_calls: bool,
    /// Make calls with handlers plain calls if the callee never throws.
    pub drop_handlers: bool,
    /// The byte order of the target. If unknown, accesses of several sizes at one place stay in
    /// memory.
    pub endianness: Option<Endianness>,
    /// The functions that copy and fill memory, besides Cranelift's library calls.
    pub memory_functions: MemoryFunctions,
    /// Functions of which the embedder promises that they never throw. The pass finds those of the
    /// program by itself. All others are assumed to throw, except Cranelift's library calls and
    /// [`memory_functions`](Self::memory_functions).
    pub never_throws: Arc<BTreeSet<FunctionName>>,
    /// Data that is never written and holds addresses of functions, which stay in the program. The
    /// pass does not know where it is read, so calls that become direct by it are not inlined:
    /// those by [`Program::add_table`](crate::program::Program::add_table) are.
    pub tables: Arc<Tables>,
}

impl Default for OptimizeOptions {
    fn default() -> Self {
        OptimizeOptions {
            promote_slots: true,
            drop_stores: true,
            thread_branches: true,
            simplify_comparisons: true,
            drop_params: true,
            drop_insts: true,
            resolve_targets: true,
            guard_calls: true,
            drop_handlers: true,
            endianness: None,
            memory_functions: MemoryFunctions::default(),
            never_throws: Arc::default(),
            tables: Arc::default(),
        }
    }
}

settings!(OptimizeOptions {
    with_promote_slots: promote_slots: bool,
    with_drop_stores: drop_stores: bool,
    with_thread_branches: thread_branches: bool,
    with_simplify_comparisons: simplify_comparisons: bool,
    with_drop_params: drop_params: bool,
    with_drop_insts: drop_insts: bool,
    with_resolve_targets: resolve_targets: bool,
    with_guard_calls: guard_calls: bool,
    with_drop_handlers: drop_handlers: bool,
    with_endianness: endianness: Option<Endianness>,
    with_memory_functions: memory_functions: MemoryFunctions,
    with_never_throws: never_throws: Arc<BTreeSet<FunctionName>>,
    with_tables: tables: Arc<Tables>,
});

impl OptimizeOptions {
    /// Returns whether the embedder promises that the function never throws.
    pub(crate) fn function_never_throws(&self, name: &FunctionName) -> bool {
        self.never_throws.contains(name) || self.memory_functions.contains(name)
    }
}

/// The functions that behave like C's `memcpy`, `memmove` and `memset`. None by default: a name
/// alone does not determine a function's behaviour, so the embedder has to promise it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemoryFunctions {
    /// `memcpy(to, from, bytes)` and `memmove(to, from, bytes)`.
    pub copy: Vec<FunctionName>,
    /// `memset(to, byte, bytes)`.
    pub set: Vec<FunctionName>,
}

settings!(MemoryFunctions {
    with_copy: copy: Vec<FunctionName>,
    with_set: set: Vec<FunctionName>,
});

impl MemoryFunctions {
    /// Returns the functions with the names that C has for them.
    ///
    /// ```
    /// use cranelift_inliner::cleanup::MemoryFunctions;
    ///
    /// let functions = MemoryFunctions::of_c();
    /// assert!(functions.contains(&"memset".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_c() -> Self {
        MemoryFunctions {
            copy: ["memcpy", "memmove"].map(FunctionName::testcase).into(),
            set: vec![FunctionName::testcase("memset")],
        }
    }

    /// Returns whether `name` is one of them.
    pub fn contains(&self, name: &FunctionName) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &FunctionName) -> Option<MemoryFunction> {
        [
            (&self.copy, MemoryFunction::Copy),
            (&self.set, MemoryFunction::Set),
        ]
        .into_iter()
        .find_map(|(names, function)| names.contains(name).then_some(function))
    }

    /// Returns the kind of the function to which `func_ref` of `func` refers, if it is one of
    /// these.
    pub(super) fn of_callee(&self, func: &Function, func_ref: FuncRef) -> Option<MemoryFunction> {
        match &func.dfg.ext_funcs.get(func_ref)?.name {
            ExternalName::LibCall(LibCall::Memcpy | LibCall::Memmove) => Some(MemoryFunction::Copy),
            ExternalName::LibCall(LibCall::Memset) => Some(MemoryFunction::Set),
            name => self.find(&FunctionName::of_external(func, name)?),
        }
    }
}

/// The effect of a memory function. Copies are made as if all bytes were read before the first is
/// written, which is right for `memcpy` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryFunction {
    Copy,
    Set,
}
