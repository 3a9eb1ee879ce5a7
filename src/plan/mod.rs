//! Decisions in a file: recorded in one run, replayed in another.
//!
//! A [`Plan`] lists call sites with their outcomes. It is made from the report of a run
//! ([`Plan::record`]), written and read as text (its [`Display`](std::fmt::Display) and
//! [`FromStr`](std::str::FromStr); `docs/PLANS.md` describes the form), and followed by the policy
//! [`Replay`]. Replay a plan to see the effect of a change of the compiler or of the program on the
//! code with the same decisions. Bisect a plan, with [`bisect`], to find the decision that breaks a
//! program.
//!
//! # Changes of the program
//!
//! Sites are identified by [`SitePath`]s, which consist of [names](SiteName) instead of instruction
//! numbers. So functions may be added, removed, reordered or changed, and callers may get calls of
//! other functions: the decisions on all remaining sites stay the same. A name alone does not show
//! a new call of the same callee before the site. The source location beside each name does:
//! [`Plan::deviations`] reports it, with all other differences between plan and run.
//!
//! # Limits of a plan
//!
//! It decides where the pass asks a policy. Refusals and limits hold, and the attributes of
//! functions and the hints of calls take precedence, unless
//! [`Inliner::meet_demands`](crate::pass::Inliner::meet_demands) is switched off.
//!
//! ```
//! use cranelift_inliner::decide::{CostModel, Never};
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::plan::{Fallback, Plan, Replay};
//! use cranelift_inliner::program::Program;
//!
//! let norm = "
//! function %square(i32) -> i32 fast {
//! block0(v0: i32):
//!     v1 = imul v0, v0
//!     return v1
//! }
//! function %norm(i32, i32) -> i32 fast {
//!     fn0 = %square(i32) -> i32 fast
//! block0(v0: i32, v1: i32):
//!     v2 = call fn0(v0)
//!     v3 = call fn0(v1)
//!     v4 = iadd v2, v3
//!     return v4
//! }";
//! let program = Program::from_clif(norm, "norm.clif")?;
//! let inlined = Inliner::new(CostModel::default()).run(&program)?;
//! let text = Plan::record(&inlined).to_string();
//! assert_eq!(text, "\
//! clif-inline plan 2
//!
//! function %norm
//!   inline %square #0 ; cost 2, benefit 10
//!   inline %square #1 ; cost 2, benefit 10
//!
//! end
//! ");
//!
//! // An edit of the file.
//! let plan: Plan = text.replace("inline %square #1", "keep %square #1").parse()?;
//! let replay = Replay::new(&plan, Fallback::Policy(Box::new(Never)));
//! let replayed = Inliner::new(replay).run(&program)?;
//! assert_eq!(replayed.sites().filter(|site| site.inlined).count(), 1);
//! assert!(plan.deviations(&replayed).is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bisect;
mod deviation;
mod parse;
mod print;
mod record;
mod replay;
mod site_path;

pub use bisect::{Bisection, Outcome, Step, bisect};
pub use deviation::{Deviation, DeviationKind};
pub use parse::{ParsePlanError, PlanProblem};
#[cfg(feature = "shards")]
pub(crate) use parse::{Word, Words};
#[cfg(feature = "shards")]
pub(crate) use print::{MAGIC, VERSION, name as plan_name, push_name_of};
#[cfg(feature = "shards")]
pub(crate) use replay::NOT_LISTED;
pub use replay::{Fallback, Replay};
pub use site_path::{SitePath, SiteStep};

#[cfg(doc)]
use crate::graph::SiteName;
use cranelift_codegen::ir::SourceLoc;
use std::collections::BTreeMap;

/// Decisions on call sites. See the [module](self) for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    sites: BTreeMap<SitePath, PlannedSite>,
}

/// A plan's entry for a site.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedSite {
    /// Whether to replace the call by the callee's body.
    pub inline: bool,
    /// The call's source location in the function whose original body has it, as a check of the
    /// name; the default one if unknown.
    pub location: SourceLoc,
    /// The reason for readers; may be empty.
    pub reason: String,
}

impl PlannedSite {
    /// Creates an entry without a location and a reason.
    pub fn new(inline: bool) -> Self {
        PlannedSite {
            inline,
            location: SourceLoc::default(),
            reason: String::new(),
        }
    }
}

impl Plan {
    /// Creates a plan that lists no site.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the entry of a site; returns the earlier one.
    pub fn insert(&mut self, path: SitePath, site: PlannedSite) -> Option<PlannedSite> {
        self.sites.insert(path, site)
    }

    /// Returns the entry of a site; `None` if the plan does not list it.
    pub fn get(&self, path: &SitePath) -> Option<&PlannedSite> {
        self.sites.get(path)
    }

    /// Like [`get`](Self::get), but for changing the entry.
    pub fn get_mut(&mut self, path: &SitePath) -> Option<&mut PlannedSite> {
        self.sites.get_mut(path)
    }

    /// Returns all sites, by caller in the order of names, then by path: a site comes before those
    /// in the body that takes its place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SitePath, &PlannedSite)> {
        self.sites.iter()
    }

    /// Returns the number of listed sites.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// Returns whether it lists no site.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// Returns the number of sites to inline.
    pub fn inlined(&self) -> usize {
        self.sites.values().filter(|site| site.inline).count()
    }
}
