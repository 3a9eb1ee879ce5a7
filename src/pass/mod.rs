//! The pass: policies and splices over a whole program, bottom-up.
//!
//! [`Inliner`] takes a [`Program`] and gives back an [`Inlined`] one. Functions are taken component
//! by component of the call graph, callees first, so that inlined bodies are final: with their own
//! calls inlined, and cleaned up. A function starts as soon as all its callees are done; there is
//! no barrier between levels of the graph, nor between inlining and compiling.
//!
//! *Termination.* A call is inlined only if its callee is final and is not already among the bodies
//! around the call. Within a component of functions that call each other, members are taken in the
//! order of their names, so the first sees none of the others and the last sees all.
//!
//! *Determinism.* A function's result depends on its own body, on its callees' results and on its
//! share of the program's growth, which is fixed beforehand. It depends neither on the order of
//! threads nor on the order of the input.
//!
//! *Nothing is lost.* A function that Cranelift rejects after inlining is compiled from its
//! original body, and the functions that this body needs are compiled even if every other call of
//! them was inlined.
//!
//! ```
//! use cranelift_inliner::decide::CostModel;
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//!
//! let program = Program::from_clif("
//! function %square(i32) -> i32 system_v {
//! block0(v0: i32):
//!     v1 = imul v0, v0
//!     return v1
//! }
//! function %norm(i32, i32) -> i32 system_v {
//!     fn0 = %square(i32) -> i32 system_v
//! block0(v0: i32, v1: i32):
//!     v2 = call fn0(v0)
//!     v3 = call fn0(v1)
//!     v4 = iadd v2, v3
//!     return v4
//! }", "norm.clif")?;
//! let inlined = Inliner::new(CostModel::default()).run(&program)?;
//! assert_eq!(inlined.sites().filter(|site| site.inlined).count(), 2);
//! assert!(!inlined.program().to_clif()?.contains("call fn"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod caller;
mod chains;
mod compile;
mod copies;
mod decisions;
mod declared;
mod directives;
mod error;
mod held;
mod inlined;
mod known;
mod legality;
mod lifetimes;
mod preparation;
mod references;
mod report;
mod resolved;
mod run;
mod schedule;
mod shared;
mod stages;
mod state;
mod stream;
mod sweep;
mod throwing;
mod unwanted;
mod warning;

#[cfg(feature = "shards")]
pub(crate) use budget::growth_shares;
pub use compile::CompiledProgram;
pub use declared::DeclaredProgram;
pub use error::{PassError, Step};
pub use inlined::Inlined;
#[cfg(feature = "module")]
pub(crate) use references::References;
pub use report::{Demand, FunctionStats, Reason, RecordLevel, SiteRecord, StepTimes};
pub use shared::Shared;
pub use stream::{HeldBodies, Inexact, Stream, StreamError, Streamed};
pub use warning::Warning;

use crate::body::check_definitions;
use crate::cleanup::{
    Before, CleanupContext, OptimizeOptions, Others, clean_up, optimize_in_program, optimize_tidied,
};
use crate::decide::{Inline, Limits};
use crate::locations::{LocationMode, LocationTable};
use crate::profile::Profile;
use crate::program::{FunctionId, FunctionName, Program};
use crate::splice::{MemoryPromises, SpliceOptions};
#[cfg(feature = "module")]
use cranelift_codegen::ir::Endianness;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The pass with its settings.
///
/// It runs on the current rayon pool; to choose the number of threads, call it
/// inside [`rayon::ThreadPool::install`].
///
/// The policy, the profile, the target and the observer can be borrowed or owned. If all are owned,
/// so that none of them limits the lifetime, an `Inliner<'static>` can be kept in any structure.
pub struct Inliner<'a> {
    policy: Box<dyn Inline + 'a>,
    limits: Limits,
    splice_options: SpliceOptions,
    locations: LocationMode,
    clean_up: bool,
    optimize: Optimize,
    optimize_options: OptimizeOptions,
    verify: Option<Shared<'a, dyn TargetIsa + 'a>>,
    check: bool,
    profile: Option<Shared<'a, Profile>>,
    meet_demands: bool,
    records: RecordLevel,
    observer: Option<Box<dyn Observer + 'a>>,
    /// Whether calls are also inlined into functions that are only available to be inlined.
    #[cfg_attr(
        not(feature = "shards"),
        allow(dead_code, reason = "only shards import bodies")
    )]
    into_available: bool,
}

/// The tables of functions of which the locations are entries already, because an earlier run had
/// them.
pub(crate) type LocationTables = FxHashMap<FunctionId, Arc<LocationTable>>;

/// The functions that are [optimized](crate::cleanup::optimize).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Optimize {
    /// No optimization: functions are only tidied after their splices.
    None,
    /// Functions with inlined calls, and those that call [memory
    /// functions](crate::cleanup::MemoryFunctions) of the program.
    #[default]
    Inlined,
    /// All functions.
    All,
}

/// Observes the progress of the pass, from several threads, in no fixed order.
pub trait Observer: Send + Sync {
    /// Observes that a function's body is final.
    fn inlined(&self, function: FunctionId) {
        let _ = function;
    }

    /// Observes that a function was compiled.
    fn compiled(&self, function: FunctionId) {
        let _ = function;
    }
}

impl<O: Observer + ?Sized> Observer for &O {
    fn inlined(&self, function: FunctionId) {
        (**self).inlined(function);
    }

    fn compiled(&self, function: FunctionId) {
        (**self).compiled(function);
    }
}

impl<'a> Inliner<'a> {
    /// Creates a pass that decides with `policy`, within the default [`Limits`].
    pub fn new(policy: impl Inline + 'a) -> Self {
        Inliner {
            policy: Box::new(policy),
            limits: Limits::default(),
            splice_options: SpliceOptions::default(),
            locations: LocationMode::default(),
            clean_up: true,
            optimize: Optimize::default(),
            optimize_options: OptimizeOptions::default(),
            verify: None,
            check: false,
            profile: None,
            meet_demands: true,
            records: RecordLevel::default(),
            observer: None,
            into_available: false,
        }
    }

    /// Sets the hard limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the options of splices.
    #[must_use]
    pub fn splice_options(mut self, options: SpliceOptions) -> Self {
        self.splice_options = options;
        self
    }

    /// Sets whether callees that read thread-local variables stay calls; off by default.
    ///
    /// Needed if a call may return on another thread, as with fibers that move between threads; see
    /// [`SpliceOptions::refuse_thread_locals`].
    ///
    /// ```
    /// use cranelift_inliner::decide::Always;
    /// use cranelift_inliner::pass::Inliner;
    /// use cranelift_inliner::program::Program;
    ///
    /// let program = Program::from_clif("
    /// function %current() -> i64 system_v {
    ///     gv0 = symbol tls %current_task
    /// block0:
    ///     v0 = tls_value.i64 gv0
    ///     v1 = load.i64 v0
    ///     return v1
    /// }
    /// function %main() -> i64 system_v {
    ///     fn0 = %current() -> i64 system_v
    /// block0:
    ///     v0 = call fn0()
    ///     return v0
    /// }", "fibers.clif")?;
    /// let inlined = Inliner::new(Always).refuse_thread_locals(true).run(&program)?;
    /// let site = inlined.sites().next().expect("there is one call");
    /// assert_eq!(site.reason.to_string(), "the callee reads a thread-local variable");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn refuse_thread_locals(mut self, refuse: bool) -> Self {
        self.splice_options.refuse_thread_locals = refuse;
        self
    }

    /// Sets the scope of the promises of memory flags, one of the [splice
    /// options](Self::splice_options); by default each function by itself.
    ///
    /// ```
    /// use cranelift_inliner::decide::CostModel;
    /// use cranelift_inliner::pass::Inliner;
    /// use cranelift_inliner::splice::MemoryPromises;
    ///
    /// // The front end numbers its alias regions once for all functions.
    /// let inliner = Inliner::new(CostModel::default())
    ///     .memory_promises(MemoryPromises::WholeProgram);
    /// # let _ = inliner;
    /// ```
    #[must_use]
    pub fn memory_promises(mut self, promises: MemoryPromises) -> Self {
        self.splice_options.memory_promises = promises;
        self
    }

    /// Returns the hard limits.
    pub fn hard_limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the options of splices into functions of `program`: those that were set, with a note
    /// if no function has alias regions.
    pub fn splice_options_for(&self, program: &Program) -> SpliceOptions {
        let mut options = self.splice_options.clone();
        let mut bodies = program.iter().map(|(_, function)| function.body());
        options.no_alias_regions = bodies.all(|body| body.dfg.alias_regions.len() == 0);
        options
    }

    /// Sets the source locations of inlined instructions; those of the callee by default.
    #[must_use]
    pub fn locations(mut self, mode: LocationMode) -> Self {
        self.locations = mode;
        self
    }

    /// Sets whether functions are cleaned up after their splices; on by default.
    #[must_use]
    pub fn clean_up(mut self, clean_up: bool) -> Self {
        self.clean_up = clean_up;
        self
    }

    /// Sets which functions are optimized after their clean-up; by default, those with inlined
    /// calls. If less than an eighth of such a function came in, only that part is searched for
    /// decided branches and for parameters with one value, and the blocks to which it leads; with
    /// [`Optimize::All`], all of it. Without [clean-up](Inliner::clean_up) none are.
    ///
    /// A build for debugging sets [`Optimize::None`].
    #[must_use]
    pub fn optimize(mut self, level: Optimize) -> Self {
        self.optimize = level;
        self
    }

    /// Sets the transforms of [`Inliner::optimize`], and the facts that they may rely on.
    ///
    /// Calls of the functions that [`OptimizeOptions::memory_functions`] names are not inlined
    /// where slots are promoted, because a promoted slot has no address to copy from or to.
    #[must_use]
    pub fn optimize_options(mut self, options: OptimizeOptions) -> Self {
        self.optimize_options = options;
        self
    }

    /// Returns whether a function with `inlined` inlined calls is optimized.
    pub(crate) fn optimizes(&self, inlined: usize) -> bool {
        self.clean_up
            && match self.optimize {
                Optimize::None => false,
                Optimize::Inlined => inlined > 0,
                Optimize::All => true,
            }
    }

    /// Returns whether only that part of a function is optimized which its splices have changed.
    pub(crate) fn optimizes_part(&self) -> bool {
        self.optimize == Optimize::Inlined
    }

    /// Tidies and optimizes `body` by the settings, like the pass does after its splices into the
    /// body `before`. For embedders that splice on their own, and compare.
    /// The other functions of the program are unknown here, such as whether they throw.
    ///
    /// ```
    /// use cranelift_inliner::cleanup::CleanupContext;
    /// use cranelift_inliner::decide::Always;
    /// use cranelift_inliner::pass::Inliner;
    ///
    /// let text = "function %f() {\nblock0:\n jump block1\nblock1:\n return\n}";
    /// let mut func = cranelift_reader::parse_functions(text)?.remove(0);
    /// let before = func.clone();
    /// Inliner::new(Always).finish(&before, &mut func, &mut CleanupContext::new());
    /// assert_eq!(func.layout.blocks().count(), 1);
    /// # Ok::<(), cranelift_reader::ParseError>(())
    /// ```
    pub fn finish(&self, before: &Function, body: &mut Function, context: &mut CleanupContext) {
        if self.clean_up {
            clean_up(body, context);
        }
        if self.optimizes(1) {
            let options = &self.optimize_options;
            let others = Others {
                never_throws: &|name| options.function_never_throws(name),
                may_inline: &|_| false,
            };
            let before = self.optimizes_part().then(|| Before::of(before));
            // Optimizing implies clean-up.
            if context.has_handler_addresses() {
                optimize_in_program(body, options, others, before, context);
            } else if check_definitions(body) {
                // Not only a session may have made the body.
                optimize_tidied(body, options, others, before, context);
            }
        }
    }

    /// Returns the same pass without optimization and without an observer, for questions about
    /// splices and tidying alone.
    #[must_use]
    pub fn without_optimization(&self) -> Inliner<'_> {
        Inliner {
            policy: Box::new(&*self.policy),
            limits: self.limits,
            splice_options: self.splice_options.clone(),
            locations: self.locations,
            clean_up: self.clean_up,
            optimize: Optimize::None,
            optimize_options: self.optimize_options.clone(),
            verify: self.verify.as_deref().map(Shared::Borrowed),
            check: self.check,
            profile: self.profile.as_deref().map(Shared::Borrowed),
            meet_demands: self.meet_demands,
            records: self.records,
            observer: None,
            into_available: self.into_available,
        }
    }

    /// Returns the same pass with another policy, without a profile and an observer, for the part
    /// of a program in which decisions were made before. Calls are also inlined into functions that
    /// are only available to be inlined, and the growth of functions is not limited again.
    #[cfg(feature = "shards")]
    pub(crate) fn following<'s>(&'s self, policy: impl Inline + 's) -> Inliner<'s> {
        let mut limits = self.limits;
        limits.function_growth = f64::INFINITY;
        limits.program_growth = f64::INFINITY;
        Inliner {
            policy: Box::new(policy),
            limits,
            optimize: self.optimize,
            profile: None,
            meet_demands: false,
            into_available: true,
            ..self.without_optimization()
        }
    }

    /// Returns the policy.
    #[cfg(feature = "shards")]
    pub(crate) fn policy(&self) -> &dyn Inline {
        &*self.policy
    }

    /// Returns the settings of optimization.
    #[cfg(feature = "shards")]
    pub(crate) fn optimization(&self) -> &OptimizeOptions {
        &self.optimize_options
    }

    /// Returns whether demands of attributes and hints take precedence over the policy.
    #[cfg(feature = "shards")]
    pub(crate) fn meets_demands(&self) -> bool {
        self.meet_demands
    }

    /// Returns whether results are proved by the checker.
    pub(super) fn proves(&self) -> bool {
        self.check
    }

    /// Returns whether calls of `name` stay calls, for the optimizer to see.
    pub(crate) fn keeps_memory_function(&self, name: &FunctionName) -> bool {
        let options = &self.optimize_options;
        self.optimizes(1) && options.promote_slots && options.memory_functions.contains(name)
    }

    /// Runs Cranelift's verifier with `isa` on the final body of each changed function. If it finds
    /// an error, the function is done once more, with the verifier after each step, so that the
    /// error names the step. Off by default.
    ///
    /// `isa` is a `&dyn TargetIsa` or an
    /// [`OwnedTargetIsa`](cranelift_codegen::isa::OwnedTargetIsa).
    #[must_use]
    pub fn verify_with(mut self, isa: impl Into<Shared<'a, dyn TargetIsa + 'a>>) -> Self {
        self.verify = Some(isa.into());
        self
    }

    /// Proves with the independent [checker](crate::check) that each function is the correct result
    /// of its splices and of tidying, and that [optimizing](Inliner::optimize) [preserves its
    /// behaviour](crate::check::check_optimized). Off by default. If locations are [entries of
    /// tables](LocationMode::InlinedAt), they are not compared.
    #[must_use]
    pub fn check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Gives policies the execution counts of sites. Counts that do not match the program are
    /// ignored; [`Profile::mismatches`] lists them.
    ///
    /// `profile` is a `&Profile`, a `Profile` or an `Arc<Profile>`.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<Shared<'a, Profile>>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// Sets whether attributes and hints that demand inlining take precedence over the policy; on
    /// by default. If off, the policy decides about these calls like about all others. Calls that
    /// must *never* be inlined stay calls either way.
    ///
    /// [Bisecting](crate::plan::bisect) a plan needs this off: otherwise a call that a demand
    /// inlines cannot be left out.
    #[must_use]
    pub fn meet_demands(mut self, meet_demands: bool) -> Self {
        self.meet_demands = meet_demands;
        self
    }

    /// Sets which calls are recorded; all by default. Decisions do not depend on it.
    ///
    /// A [plan](crate::plan::Plan::record) made from the result does not list calls without a
    /// record.
    ///
    /// ```
    /// use cranelift_inliner::decide::CostModel;
    /// use cranelift_inliner::pass::{Inliner, RecordLevel};
    /// use cranelift_inliner::program::Program;
    ///
    /// let program = Program::from_clif("
    /// function %one() -> i32 fast {
    /// block0:
    ///     v0 = iconst.i32 1
    ///     return v0
    /// }
    /// function %main() -> i32 fast {
    ///     fn0 = %one() -> i32 fast
    ///     fn1 = %elsewhere() fast
    /// block0:
    ///     call fn1()
    ///     v0 = call fn0()
    ///     return v0
    /// }", "main.clif")?;
    /// let inliner = Inliner::new(CostModel::default());
    /// assert_eq!(inliner.run(&program)?.sites().count(), 2);
    /// let inlined = inliner.records(RecordLevel::Changes).run(&program)?;
    /// let recorded: Vec<String> = inlined.sites().map(|site| site.callee.to_string()).collect();
    /// assert_eq!(recorded, ["%one"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn records(mut self, records: RecordLevel) -> Self {
        self.records = records;
        self
    }

    /// Sets an observer of the finished functions, which may be a reference.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer + 'a) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Inlines across `program`.
    ///
    /// `program` is not changed; functions into which nothing was inlined are
    /// shared with the result.
    ///
    /// # Errors
    ///
    /// [`PassError::Verifier`], if [`Inliner::verify_with`] is set and a
    /// result does not verify; [`PassError::Check`], if [`Inliner::check`] is
    /// set and a result is wrong, and [`PassError::Undecided`], if the checker
    /// cannot tell.
    pub fn run(&self, program: &Program) -> Result<Inlined, PassError> {
        let tables = LocationTables::default();
        run::run(self, program, tables, None, None).map(|(inlined, _)| inlined)
    }

    /// Like [`Inliner::run`], but for a target of this byte order. The locations of the functions
    /// in `tables` are entries of their tables.
    #[cfg(feature = "module")]
    pub(crate) fn run_in_order(
        &self,
        program: &Program,
        tables: LocationTables,
        order: Endianness,
    ) -> Result<Inlined, PassError> {
        run::run(self, program, tables, None, Some(order)).map(|(inlined, _)| inlined)
    }

    /// Inlines across `program` and compiles the result for `isa`, each function as soon as its
    /// body is final.
    ///
    /// # Errors
    ///
    /// Those of [`Inliner::run`], and [`PassError::Compile`] for a function with an original body
    /// that does not compile.
    pub fn run_and_compile(
        &self,
        program: &Program,
        isa: &dyn TargetIsa,
    ) -> Result<(Inlined, CompiledProgram), PassError> {
        self.run_and_compile_with(program, LocationTables::default(), isa)
    }

    /// Like [`Inliner::run_and_compile`]. The locations of the functions in `tables` are entries of
    /// their tables.
    pub(crate) fn run_and_compile_with(
        &self,
        program: &Program,
        tables: LocationTables,
        isa: &dyn TargetIsa,
    ) -> Result<(Inlined, CompiledProgram), PassError> {
        let order = Some(isa.endianness());
        run::run(self, program, tables, Some(isa), order).map(|(inlined, compiled)| {
            debug_assert!(compiled.is_some(), "a target was given");
            (inlined, compiled.unwrap_or_default())
        })
    }
}
