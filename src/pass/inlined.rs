//! The result of the pass.

use super::report::{FunctionStats, SiteRecord, StageTimes};
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

    /// What became of a function of the input.
    pub fn stats(&self, id: FunctionId) -> FunctionStats {
        self.stats[id]
    }

    /// Time spent, added up over all threads.
    pub fn times(&self) -> StageTimes {
        self.times
    }
}
