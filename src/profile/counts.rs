//! A profile's counts on the call graph of one program.

use super::mismatch::is_same;
use super::{Heat, Profile};
use crate::graph::{CallGraph, PathStep, SiteId};
use crate::program::FunctionId;
use cranelift_entity::{EntityRef, SecondaryMap};

/// Counts by site.
pub(crate) struct SiteCounts {
    counts: Vec<Option<u64>>,
    /// The number of calls of each function from the sites in the profile.
    entries: SecondaryMap<FunctionId, u64>,
    hot_count: u64,
}

impl SiteCounts {
    pub(crate) fn new(profile: &Profile, graph: &CallGraph) -> Self {
        let mut counts = vec![None; graph.site_count()];
        let mut entries: SecondaryMap<FunctionId, u64> = SecondaryMap::new();
        for (site, name) in graph.site_names() {
            let Some(known) = profile.get(&name) else {
                continue;
            };
            if !is_same(known.location, graph.site_location(site.id)) {
                continue;
            }
            if let Some(count) = counts.get_mut(site.id.index()) {
                *count = Some(known.count);
            }
            if let Some(callee) = site.callee_function() {
                entries[callee] = entries[callee].saturating_add(known.count);
            }
        }
        Self {
            counts,
            entries,
            hot_count: profile.hot_count(),
        }
    }

    fn of_site(&self, site: SiteId) -> Option<u64> {
        self.counts.get(site.index()).copied().flatten()
    }

    /// Returns the number of executions of the call at the end of `path`, in the function into
    /// which the sites before it are inlined. Returns `None` if one of them was an indirect call,
    /// because these are not counted.
    pub(crate) fn of_path(&self, graph: &CallGraph, path: &[PathStep]) -> Option<u64> {
        let (first, rest) = path.split_first()?;
        let mut executed = self.of_site(first.site()?)?;
        for step in rest {
            let site = step.site()?;
            let caller = graph.site(site)?.caller;
            let count = self.of_site(site)?;
            let entries = u128::from(self.entries[caller]).max(1);
            let part = u128::from(count) * u128::from(executed) / entries;
            // There may be calls from outside that were not counted.
            executed = u64::try_from(part).map_or(count, |part| part.min(count));
        }
        Some(executed)
    }

    pub(crate) fn heat(&self, count: Option<u64>) -> Heat {
        match count {
            None => Heat::Unknown,
            Some(0) => Heat::Never,
            Some(count) if count >= self.hot_count => Heat::Hot,
            Some(_) => Heat::Warm,
        }
    }
}
