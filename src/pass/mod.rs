//! The pass: policies and splices over a whole program, bottom-up.
//!
//! [`Inliner`] takes a [`Program`] and gives back an [`Inlined`] one. Functions
//! are taken component by component of the call graph, callees first, so that
//! what is inlined is final: it was inlined into and cleaned up itself. A
//! function starts as soon as everything that it calls is done; there is no
//! barrier between levels of the graph, nor between inlining and compiling.
//!
//! *Termination.* A call is inlined only if its callee is final and is not
//! already among the bodies around the call. Within a component of functions
//! that call each other, members are taken in the order of their names, so the
//! first sees none of the others and the last sees all.
//!
//! *Determinism.* A function's result depends on its own body, on its callees'
//! results and on its share of the program's growth, which is fixed
//! beforehand. No order of threads enters, and none of the input either.
//!
//! *Nothing is lost.* A function that Cranelift refuses after inlining is
//! compiled from its original body, and functions that this needs are compiled
//! even where every other call to them was inlined.
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
mod error;
mod inlined;
mod legality;
mod preparation;
mod references;
mod report;
mod run;
mod schedule;
mod state;
mod steering;

pub use compile::CompiledProgram;
#[cfg(feature = "testing")]
pub(crate) use copies::copy_tree;
pub use error::{PassError, Stage};
pub use inlined::Inlined;
#[cfg(feature = "module")]
pub(crate) use references::References;
pub use report::{Demand, FunctionStats, Reason, Recorded, SiteRecord, StageTimes};

use crate::decide::{Inline, Limits};
use crate::locations::LocationMode;
use crate::profile::Profile;
use crate::program::{FunctionId, Program};
use crate::splice::SpliceOptions;
use cranelift_codegen::isa::TargetIsa;

/// The pass with its settings.
///
/// It runs on the current rayon pool; to choose the number of threads, call it
/// inside [`rayon::ThreadPool::install`].
pub struct Inliner<'a> {
    policy: Box<dyn Inline + 'a>,
    pub(crate) limits: Limits,
    pub(crate) splice_options: SpliceOptions,
    locations: LocationMode,
    pub(crate) clean_up: bool,
    verify: Option<&'a dyn TargetIsa>,
    check: bool,
    profile: Option<&'a Profile>,
    meet_demands: bool,
    records: Recorded,
    observer: Option<&'a dyn Observer>,
}

/// Is told what the pass has done, from several threads, in no fixed order.
pub trait Observer: Sync {
    /// A function's body is final.
    fn inlined(&self, function: FunctionId) {
        let _ = function;
    }

    /// A function was compiled.
    fn compiled(&self, function: FunctionId) {
        let _ = function;
    }
}

impl<'a> Inliner<'a> {
    /// A pass that decides with `policy`, within the default [`Limits`].
    pub fn new(policy: impl Inline + 'a) -> Self {
        Inliner {
            policy: Box::new(policy),
            limits: Limits::default(),
            splice_options: SpliceOptions::default(),
            locations: LocationMode::default(),
            clean_up: true,
            verify: None,
            check: false,
            profile: None,
            meet_demands: true,
            records: Recorded::default(),
            observer: None,
        }
    }

    /// Sets the hard limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what splices may do.
    #[must_use]
    pub fn splice_options(mut self, options: SpliceOptions) -> Self {
        self.splice_options = options;
        self
    }

    /// Whether callees that read thread-local variables stay calls; off by default.
    ///
    /// Needed where a call may return on another thread than it was made on, as with fibers that
    /// move between threads; see
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

    /// The options for splices into functions of `program`.
    pub(crate) fn splice_options_for(&self, program: &Program) -> SpliceOptions {
        let mut options = self.splice_options.clone();
        let mut bodies = program.iter().map(|(_, function)| function.body());
        options.no_alias_regions = bodies.all(|body| body.dfg.alias_regions.len() == 0);
        options
    }

    /// Sets what the source locations of inlined instructions are; those of
    /// the callee by default.
    #[must_use]
    pub fn locations(mut self, mode: LocationMode) -> Self {
        self.locations = mode;
        self
    }

    /// Whether functions are cleaned up after their splices; on by default.
    #[must_use]
    pub fn clean_up(mut self, clean_up: bool) -> Self {
        self.clean_up = clean_up;
        self
    }

    /// Runs Cranelift's verifier with `isa` after the splices into each
    /// function and again after its clean-up. Off by default.
    #[must_use]
    pub fn verify_with(mut self, isa: &'a dyn TargetIsa) -> Self {
        self.verify = Some(isa);
        self
    }

    /// Proves with the independent [checker](crate::check) that each function
    /// is what its splices, and then its clean-up, should have made of it. Off
    /// by default. Where locations are [entries of
    /// tables](LocationMode::InlinedAt), they are not compared.
    #[must_use]
    pub fn check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Tells policies how often sites were executed. What does not fit the program is not used;
    /// [`Profile::mismatches`] says what that is.
    #[must_use]
    pub fn profile(mut self, profile: &'a Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Whether attributes and hints that demand inlining come before the policy; they do by
    /// default. Without, the policy is asked about these calls as about all others. What must
    /// *never* be inlined stays a call either way.
    ///
    /// [Bisecting](crate::plan::bisect) a plan needs this: a call that a demand inlines all the
    /// same cannot be left out.
    #[must_use]
    pub fn meet_demands(mut self, meet_demands: bool) -> Self {
        self.meet_demands = meet_demands;
        self
    }

    /// Of which calls the result has a record; of all of them by default. What is inlined does not
    /// depend on it.
    ///
    /// A [plan](crate::plan::Plan::record) that is made of the result does not list what has no
    /// record.
    ///
    /// ```
    /// use cranelift_inliner::decide::CostModel;
    /// use cranelift_inliner::pass::{Inliner, Recorded};
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
    /// let inlined = inliner.records(Recorded::Changes).run(&program)?;
    /// let recorded: Vec<String> = inlined.sites().map(|site| site.callee.to_string()).collect();
    /// assert_eq!(recorded, ["%one"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn records(mut self, records: Recorded) -> Self {
        self.records = records;
        self
    }

    /// Tells `observer` of each function that is done.
    #[must_use]
    pub fn observe(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = Some(observer);
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
    /// set and a result is wrong.
    pub fn run(&self, program: &Program) -> Result<Inlined, PassError> {
        run::run(self, program, None).map(|(inlined, _)| inlined)
    }

    /// Inlines across `program` and compiles the result for `isa`, each
    /// function as soon as its body is final.
    ///
    /// # Errors
    ///
    /// As [`Inliner::run`], and [`PassError::Compile`] for a function that
    /// does not compile even as it was.
    pub fn run_and_compile(
        &self,
        program: &Program,
        isa: &dyn TargetIsa,
    ) -> Result<(Inlined, CompiledProgram), PassError> {
        run::run(self, program, Some(isa))
            .map(|(inlined, compiled)| (inlined, compiled.unwrap_or_default()))
    }
}
