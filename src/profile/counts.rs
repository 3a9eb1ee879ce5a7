//! A profile's counts on the call graph of one program.

use super::mismatch::is_same;
use super::{Heat, Profile, SiteCount};
use crate::graph::{CallGraph, PathStep, SiteId};
use crate::program::FunctionId;
use cranelift_entity::{EntityRef, SecondaryMap};
use std::sync::OnceLock;

/// Counts by site.
pub(crate) struct SiteCounts {
    /// None if the profile is empty.
    counts: Vec<OnceLock<u64>>,
    /// The number of calls of each function from the sites in the profile.
    entries: SecondaryMap<FunctionId, u64>,
    hot_count: u64,
}

impl SiteCounts {
    pub(crate) fn new(profile: &Profile, graph: &CallGraph) -> Self {
        let counts = Self::declared(profile, graph, |site, known| {
            is_same(known.location, graph.site_location(site))
        });
        for id in graph.program().ids() {
            counts.arrive(profile, graph, id);
        }
        counts
    }

    /// Returns the counts for a graph of declared functions, whose bodies
    /// [come later](Self::arrive). Sites have no locations yet, so each one counts for its callee.
    pub(crate) fn of_declared(profile: &Profile, graph: &CallGraph) -> Self {
        Self::declared(profile, graph, |_, _| true)
    }

    fn declared(
        profile: &Profile,
        graph: &CallGraph,
        is_valid: impl Fn(SiteId, SiteCount) -> bool,
    ) -> Self {
        let mut entries: SecondaryMap<FunctionId, u64> = SecondaryMap::new();
        if profile.is_empty() {
            return Self {
                counts: Vec::new(),
                entries,
                hot_count: profile.hot_count(),
            };
        }
        for (site, name) in graph.site_names() {
            let known = profile.get(&name);
            let known = known.filter(|&known| is_valid(site.id, known));
            if let (Some(known), Some(callee)) = (known, site.callee_function()) {
                entries[callee] = entries[callee].saturating_add(known.count);
            }
        }
        Self {
            counts: (0..graph.site_count()).map(|_| OnceLock::new()).collect(),
            entries,
            hot_count: profile.hot_count(),
        }
    }

    /// Takes the counts of the sites of a function when its body is there. Returns whether none of
    /// its calls has another location than in the profile.
    pub(crate) fn arrive(
        &self,
        profile: &Profile,
        graph: &CallGraph,
        function: FunctionId,
    ) -> bool {
        if self.counts.is_empty() {
            return true;
        }
        let mut none_moved = true;
        for site in graph.callees(function) {
            let name = graph.site_name(site.id);
            let Some(known) = name.and_then(|name| profile.get(&name)) else {
                continue;
            };
            if !is_same(known.location, graph.site_location(site.id)) {
                none_moved = false;
            } else if let Some(place) = self.counts.get(site.id.index()) {
                let is_first = place.set(known.count).is_ok();
                debug_assert!(is_first, "a body comes once");
            }
        }
        none_moved
    }

    fn of_site(&self, site: SiteId) -> Option<u64> {
        self.counts.get(site.index())?.get().copied()
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
