//! Execution counts of calls.
//!
//! A [`Profile`] holds the counts of call sites. It identifies sites by their [names](SiteName), so
//! that it stays valid when the program changes elsewhere. A pass with a profile
//! ([`Inliner::profile`](crate::pass::Inliner::profile)) passes the counts on to policies:
//! [`CallSite::count`] and [`CallSite::heat`]. The [`CostModel`](crate::decide::CostModel) gives
//! hot sites more budget and those that were never executed none.
//!
//! A profile is made by running the program with counters in it ([`Instrumented`]), by hand, or
//! from other knowledge of a compiler. Its file is JSON (feature `profile`); `docs/PROFILE.md`
//! describes it.
//!
//! ```
//! use cranelift_inliner::decide::CostModel;
//! use cranelift_inliner::graph::SiteName;
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::profile::{Heat, Profile};
//! use cranelift_inliner::program::Program;
//!
//! let program = Program::from_clif("
//! function %wrap(i64) -> i64 fast {
//! block0(v0: i64):
//!     v1 = imul v0, v0
//!     return v1
//! }
//! function %main(i64) -> i64 fast {
//!     fn0 = %wrap(i64) -> i64 fast
//! block0(v0: i64):
//!     v1 = call fn0(v0)
//!     v2 = call fn0(v1)
//!     return v2
//! }", "main.clif")?;
//! let site = |ordinal| SiteName {
//!     caller: "%main".parse().unwrap(),
//!     callee: "%wrap".parse().unwrap(),
//!     ordinal,
//!     stage: 0,
//! };
//! let mut profile = Profile::new();
//! profile.insert(site(0), Default::default(), 1_000_000);
//! profile.insert(site(1), Default::default(), 0);
//!
//! // The model, and a closure that looks on.
//! let heats = std::sync::Mutex::new(Vec::new());
//! let policy = |site: &cranelift_inliner::decide::CallSite<'_>| {
//!     heats.lock().unwrap().push(site.heat());
//!     cranelift_inliner::decide::Inline::decide(&CostModel::default(), site)
//! };
//! Inliner::new(policy).profile(&profile).run(&program)?;
//! assert_eq!(heats.into_inner()?, [Heat::Hot, Heat::Never]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Copies
//!
//! A call that came in with a body is executed as often as that body. A profile has only the count
//! of the call in its own function, so the count is divided among the copies: if one site makes a
//! third of all known calls of a function, a third of the calls in the function counts for its
//! copy.
//!
//! # Hot sites
//!
//! The sites of a profile are ordered by their counts. The top sites that together make up 99 % of
//! all calls are hot, as in LLVM's profile summary, and so is every other site with as many calls;
//! but none with less than [`Profile::LEAST_HOT`].

mod counts;
mod instrument;
#[cfg(feature = "profile")]
mod json;
mod mismatch;

pub(crate) use counts::SiteCounts;
pub use instrument::{COUNTERS, InstrumentError, Instrumented, WrongLength};
#[cfg(feature = "profile")]
pub use json::ParseProfileError;
pub use mismatch::{Mismatch, MismatchKind};

#[cfg(doc)]
use crate::decide::CallSite;
use crate::graph::SiteName;
use cranelift_codegen::ir::SourceLoc;
use std::collections::BTreeMap;

/// The execution counts of call sites. See the [module](self) for an example.
///
/// The count of an unlisted site is unknown, which is not the same as a count of 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    sites: BTreeMap<SiteName, SiteCount>,
}

/// A profile's entry for a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SiteCount {
    /// The call's source location, as a check of its name; the default one where nothing is known.
    pub location: SourceLoc,
    /// The number of executions of the call.
    pub count: u64,
}

/// The count of a site, compared with the others of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heat {
    /// Nothing is known.
    Unknown,
    /// It was never executed.
    Never,
    /// It was executed and is not hot.
    Warm,
    /// It is one of those that make up most calls.
    Hot,
}

impl Profile {
    /// No site that was executed less often than this is hot, however little else was.
    pub const LEAST_HOT: u64 = 100;

    /// Creates a profile that lists no site.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the count of a site; an earlier one is replaced.
    pub fn insert(&mut self, site: SiteName, location: SourceLoc, count: u64) {
        self.sites.insert(site, SiteCount { location, count });
    }

    /// Returns the entry of a site; `None` if it is not listed.
    pub fn get(&self, site: &SiteName) -> Option<SiteCount> {
        self.sites.get(site).copied()
    }

    /// Returns all sites, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SiteName, SiteCount)> {
        self.sites.iter().map(|(name, count)| (name, *count))
    }

    /// Returns the number of listed sites.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// Returns whether no site is listed.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// Adds the counts of another profile, of another run of the program. If the two have different
    /// locations for a site, the other's is kept.
    pub fn add(&mut self, other: &Profile) {
        for (name, new) in other.iter() {
            let count = self.get(name).map_or(0, |known| known.count);
            self.insert(name.clone(), new.location, count.saturating_add(new.count));
        }
    }

    /// Returns the least count with which a site is hot.
    pub fn hot_count(&self) -> u64 {
        let mut counts: Vec<u64> = self.sites.values().map(|site| site.count).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        let mut above = 0;
        for count in counts {
            above += u128::from(count);
            if above * 100 >= total * 99 {
                return count.max(Self::LEAST_HOT);
            }
        }
        Self::LEAST_HOT
    }
}
