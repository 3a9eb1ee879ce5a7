//! The result of the pass.

use super::report::{Demand, FunctionStats, SiteRecord, StageTimes};
use crate::graph::{CallGraph, SiteName};
use crate::locations::LocationTable;
use crate::program::{FunctionId, Program};
use cranelift_codegen::ir::Function;
use cranelift_entity::SecondaryMap;
use std::sync::Arc;

/// A program after inlining, and what was done to it.
///
/// Functions are named by their ids in the program that went in.
pub struct Inlined {
    pub(super) program: Program,
    pub(super) graph: CallGraph,
    pub(super) bodies: SecondaryMap<FunctionId, Option<Arc<Function>>>,
    pub(super) locations: SecondaryMap<FunctionId, Option<Arc<LocationTable>>>,
    pub(super) sites: Vec<SiteRecord>,
    pub(super) stats: SecondaryMap<FunctionId, FunctionStats>,
    pub(super) times: StageTimes,
}

impl Inlined {
    /// The program that came out: dropped functions are missing, so ids differ
    /// from those of the input.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The call graph of the program that went in.
    pub fn graph(&self) -> &CallGraph {
        &self.graph
    }

    /// The final body of a function of the input, dropped or not.
    pub fn body(&self, id: FunctionId) -> Option<&Arc<Function>> {
        self.bodies[id].as_ref()
    }

    /// What the source locations in [`Inlined::body`] stand for; `None` if the
    /// pass was to keep them as they are.
    pub fn locations(&self, id: FunctionId) -> Option<&Arc<LocationTable>> {
        self.locations[id].as_ref()
    }

    /// Every decision, by caller in input order. A function's own calls come
    /// first, in layout order; calls that came in with bodies follow.
    pub fn sites(&self) -> &[SiteRecord] {
        &self.sites
    }

    /// The names of the sites that lead from a record's caller to its call, the call's own last;
    /// see [`SiteRecord::path`]. `program` must be the one that went in.
    pub fn path(&self, program: &Program, record: &SiteRecord) -> Vec<SiteName> {
        let path = record.path.iter();
        path.filter_map(|&site| self.graph.site_name(program, site))
            .collect()
    }

    /// The sites that the embedder wants inlined and that stayed calls. Their
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
    /// let flatten = Attributes { flatten: true, ..Attributes::default() };
    /// program.set_attributes(&"f".parse()?, flatten)?;
    /// let inlined = Inliner::new(Never).run(&program)?;
    /// let reasons: Vec<String> = inlined.unmet().map(|site| site.reason.to_string()).collect();
    /// assert_eq!(reasons, ["recursion"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unmet(&self) -> impl Iterator<Item = &SiteRecord> {
        let sites = self.sites.iter();
        sites.filter(|site| site.demand.is_some() && !site.inlined)
    }

    /// In words, what the embedder demanded of a site of [`Inlined::unmet`] or any other: a
    /// sentence without a final period. `None` where nothing was demanded. `program` must be the
    /// one that went in.
    pub fn demand(&self, program: &Program, record: &SiteRecord) -> Option<String> {
        let name = |id| program.get(id).map(|function| function.name());
        Some(match record.demand? {
            Demand::Attribute => format!("{} has the attribute always", record.callee),
            Demand::Hint(hint) => format!("the call has the hint {hint}"),
            Demand::Flatten(function) => format!("{} is to be flattened", name(function)?),
            Demand::FlattenCall(site) => {
                let site = self.graph.site_name(program, site)?;
                format!("the call {site} is to be flattened")
            }
        })
    }

    /// What became of a function of the input.
    pub fn stats(&self, id: FunctionId) -> FunctionStats {
        self.stats[id]
    }

    /// Time spent, added up over all threads.
    pub fn times(&self) -> StageTimes {
        self.times
    }
}
