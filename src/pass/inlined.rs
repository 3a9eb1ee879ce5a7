//! The result of the pass.

use super::copies::copy_tree;
use super::report::{Demand, FunctionStats, RecordLevel, SiteRecord, StepTimes};
use super::warning::Warning;
use crate::check::CopyTree;
use crate::graph::{CallGraph, SiteName};
use crate::locations::LocationTable;
use crate::program::{FunctionId, FunctionName, Program, ProgramError};
use crate::splice::{MemoryPromises, SpliceOptions};
use cranelift_codegen::ir::Function;
use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A program after inlining, with the report.
///
/// Functions are named by their ids in the input program.
pub struct Inlined {
    pub(super) program: Program,
    pub(super) graph: CallGraph,
    pub(super) bodies: SecondaryMap<FunctionId, Option<Arc<Function>>>,
    pub(super) locations: SecondaryMap<FunctionId, Option<Arc<LocationTable>>>,
    /// By caller, so that the threads' records are not copied.
    pub(super) sites: SecondaryMap<FunctionId, Box<[SiteRecord]>>,
    pub(super) recorded: RecordLevel,
    pub(super) splice_options: SpliceOptions,
    pub(super) stats: SecondaryMap<FunctionId, FunctionStats>,
    pub(super) times: StepTimes,
    pub(super) warnings: Vec<Warning>,
}

impl Inlined {
    /// Returns the resulting program. Dropped functions are missing, so ids differ from those of
    /// the input.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the program that went in.
    pub fn input(&self) -> &Program {
        self.graph.program()
    }

    /// Returns the scope that the pass assumed for the promises of memory flags.
    pub fn memory_promises(&self) -> MemoryPromises {
        self.splice_options.memory_promises
    }

    /// Returns the call graph of the input.
    pub fn graph(&self) -> &CallGraph {
        &self.graph
    }

    /// Returns the final body of a function of the input, dropped or not; `None` if a stream has
    /// [freed](super::DeclaredProgram::keep_bodies) it.
    pub fn body(&self, id: FunctionId) -> Option<&Arc<Function>> {
        self.bodies[id].as_ref()
    }

    /// Returns the tree of copies in a function of the input, for [`check`](crate::check::check).
    /// It has the splices before the first optimization of the function. Returns `None` for a
    /// function that the input does not have.
    ///
    /// The inlined calls must have been [recorded](Self::recorded).
    ///
    /// ```
    /// # use cranelift_inliner::{check::check, decide::Always, pass::Inliner, program::Program};
    /// # let text = "function %a() {\n fn0 = %b()\nblock0:\n call fn0()\n return\n}
    /// # function %b() {\nblock0:\n return\n}";
    /// # let program = Program::from_clif(text, "example")?;
    /// let inlined = Inliner::new(Always).run(&program)?;
    /// for (id, _) in program.iter() {
    ///     let (copies, body) = (inlined.copies(id), inlined.body(id));
    ///     check(&copies.unwrap(), body.unwrap())?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn copies(&self, id: FunctionId) -> Option<CopyTree<'_>> {
        self.bodies[id].as_ref()?;
        let body_of = |id| self.body(id).map(|body| &**body);
        let sites = self.sites_of(id);
        let first_stage = sites.partition_point(|site| site.stage() == 0);
        let sites = sites.get(..first_stage).unwrap_or_default();
        let mut copies = copy_tree(self.input().get(id)?.body(), sites, 0, body_of);
        if self.locations(id).is_some() {
            copies.ignore_locations();
        }
        if !self.splice_options.share_slots {
            copies.forbid_shared_slots();
        }
        if self.splice_options.stack_limit_is_per_thread {
            copies.stack_limits_are_per_thread();
        }
        if self.memory_promises() == MemoryPromises::WholeProgram {
            copies.promise_for_whole_program();
        }
        Some(copies)
    }

    /// Returns the same result with other bodies. For each function of the input, dropped or not,
    /// `body` takes its id and final body, and returns the embedder's later version of it. The
    /// report stays that of the pass.
    ///
    /// ```
    /// # use cranelift_inliner::{cleanup, decide::Always, pass::Inliner, program::Program};
    /// # use std::sync::Arc;
    /// # let text = "function %a() {\nblock0:\n return\n}";
    /// # let program = Program::from_clif(text, "example")?;
    /// let inlined = Inliner::new(Always).clean_up(false).run(&program)?;
    /// let mut context = cleanup::CleanupContext::new();
    /// let tidy = inlined.with_bodies(|_, body| {
    ///     let mut body = (**body).clone();
    ///     cleanup::clean_up(&mut body, &mut context);
    ///     Arc::new(body)
    /// })?;
    /// # assert_eq!(tidy.program().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Program::with_bodies`], if a body has another name than before.
    pub fn with_bodies(
        mut self,
        mut body: impl FnMut(FunctionId, &Arc<Function>) -> Arc<Function>,
    ) -> Result<Inlined, ProgramError> {
        let mut changed: FxHashMap<FunctionName, Arc<Function>> = FxHashMap::default();
        for (id, slot) in self.bodies.iter_mut() {
            if let Some(before) = slot {
                let after = body(id, before);
                changed.insert(before.name.clone().into(), Arc::clone(&after));
                *slot = Some(after);
            }
        }
        self.program = self.program.with_bodies(|_, function| {
            let body = changed.get(function.name());
            Some(Arc::clone(body.unwrap_or_else(|| function.body())))
        })?;
        Ok(self)
    }

    /// Returns the table of the source locations in [`Inlined::body`]; `None` if the pass keeps
    /// locations as they are.
    pub fn locations(&self, id: FunctionId) -> Option<&Arc<LocationTable>> {
        self.locations[id].as_ref()
    }

    /// Returns every decision, by caller in input order, except those that
    /// [`Inliner::records`](super::Inliner::records) leaves out. A function's own calls come first,
    /// in layout order; calls that came in with bodies follow.
    pub fn sites(&self) -> impl Iterator<Item = &SiteRecord> {
        self.sites.values().flatten()
    }

    /// Returns which calls have records, as set by [`Inliner::records`](super::Inliner::records).
    pub fn recorded(&self) -> RecordLevel {
        self.recorded
    }

    /// Returns the options of the splices, as set by
    /// [`Inliner::splice_options`](super::Inliner::splice_options). A [check](crate::check) of the
    /// result depends on them.
    pub fn splice_options(&self) -> &SpliceOptions {
        &self.splice_options
    }

    /// Returns the decisions about the calls of one function of the input, in the order of
    /// [`Inlined::sites`].
    pub fn sites_of(&self, caller: FunctionId) -> &[SiteRecord] {
        &self.sites[caller]
    }

    /// Returns the names of the sites that lead from a record's caller to its call, the call's own
    /// last; see [`SiteRecord::path`].
    pub fn path(&self, record: &SiteRecord) -> Vec<SiteName> {
        let path = record.path().iter();
        path.filter_map(|&step| self.graph.step_name(step))
            .collect()
    }

    /// Returns the sites that the embedder wants inlined and that stayed calls. Their
    /// [reasons](SiteRecord::reason) say why.
    ///
    /// ```
    /// use cranelift_inliner::decide::Never;
    /// use cranelift_inliner::pass::Inliner;
    /// use cranelift_inliner::program::{Attributes, Program};
    ///
    /// let mut program = Program::from_clif("
    /// function %f(i32) -> i32 fast {
    ///     fn0 = %f(i32) -> i32 fast
    /// block0(v0: i32):
    ///     v1 = call fn0(v0)
    ///     return v1
    /// }", "f.clif")?;
    /// let flatten = Attributes::default().with_flatten(true);
    /// program.set_attributes(&"f".parse()?, flatten)?;
    /// let inlined = Inliner::new(Never).run(&program)?;
    /// let reasons: Vec<String> = inlined.unmet().map(|site| site.reason.to_string()).collect();
    /// assert_eq!(reasons, ["recursion"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unmet(&self) -> impl Iterator<Item = &SiteRecord> {
        self.sites()
            .filter(|site| site.demand().is_some() && !site.inlined)
    }

    /// Returns the embedder's demand for a site of [`Inlined::unmet`] or any other, in words: a
    /// sentence without a final period. Returns `None` without a demand.
    pub fn demand(&self, record: &SiteRecord) -> Option<String> {
        let name = |id| self.input().get(id).map(|function| function.name());
        Some(match record.demand()? {
            Demand::Attribute => format!("{} has the attribute always", record.callee),
            Demand::Hint(hint) => format!("the call has the hint {hint}"),
            Demand::Flatten(function) => format!("{} is to be flattened", name(function)?),
            Demand::FlattenCall(site) => {
                let site = self.graph.site_name(site)?;
                format!("the call {site} is to be flattened")
            }
        })
    }

    /// Returns the statistics of a function of the input.
    pub fn stats(&self, id: FunctionId) -> FunctionStats {
        self.stats[id]
    }

    /// Returns warnings about probable mistakes of the embedder.
    ///
    /// ```
    /// use cranelift_inliner::{decide::Always, pass::Inliner, program::Program};
    ///
    /// let mut program = Program::from_clif("function %f() {\nblock0:\n return\n}", "f.clif")?;
    /// program.export_only(&[])?;
    /// let inlined = Inliner::new(Always).run(&program)?;
    /// let warnings: Vec<String> = inlined.warnings().map(ToString::to_string).collect();
    /// assert!(warnings[0].starts_with("no function is exported"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.warnings.iter()
    }

    /// Returns the time spent, added up over all threads.
    pub fn times(&self) -> StepTimes {
        self.times
    }
}
