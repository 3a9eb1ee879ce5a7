//! Decisions kept in a file: recorded in one run, followed in another.
//!
//! A [`Plan`] lists call sites, each with what became of it. It is made of the report of a run
//! ([`Plan::record`]), written and read as text (its [`Display`](std::fmt::Display) and
//! [`FromStr`](std::str::FromStr); `docs/PLANS.md` describes the form), and followed by the policy
//! [`Replay`]. Whoever wants to know what a change of the compiler or of the program does to the
//! code, all decisions being equal, replays a plan. Whoever looks for the decision that breaks a
//! program bisects one: [`bisect`].
//!
//! # What a plan outlasts
//!
//! Sites are named by [`SitePath`]s, which are made of [names](SiteName) and not of numbers of
//! instructions. So functions may come and go, change their order or their bodies, and callers may
//! get calls of other functions: the decisions on all sites that are still there stay the same.
//! What a name cannot tell is that a call of the same callee came in before it. The source
//! location that stands beside each name gives that away: [`Plan::deviations`] reports it, and
//! whatever else of a plan a run did not follow.
//!
//! # What a plan cannot do
//!
//! It decides where the pass asks a policy. What is refused stays refused, limits hold, and the
//! attributes of functions and the hints of calls come first, unless
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
//! let text = Plan::record(&program, &inlined).to_string();
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
//! // Somebody edits the file.
//! let plan: Plan = text.replace("inline %square #1", "keep %square #1").parse()?;
//! let replay = Replay::new(&plan, Fallback::Policy(Box::new(Never)));
//! let replayed = Inliner::new(replay).run(&program)?;
//! assert_eq!(replayed.sites().filter(|site| site.inlined).count(), 1);
//! assert!(plan.deviations(&program, &replayed).is_empty());
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

/// What a plan says of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSite {
    /// Whether the call shall be replaced by the callee's body.
    pub inline: bool,
    /// The call's source location in the function that had it at first, as a check of the name;
    /// the default one where nothing is known.
    pub location: SourceLoc,
    /// Why it was decided so; may be empty. It is for readers and changes nothing.
    pub reason: String,
}

impl Plan {
    /// A plan that lists no site.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what shall become of a site; returns what was said of it before.
    pub fn insert(&mut self, path: SitePath, site: PlannedSite) -> Option<PlannedSite> {
        self.sites.insert(path, site)
    }

    /// What the plan says of a site; `None` if it does not list it.
    pub fn get(&self, path: &SitePath) -> Option<&PlannedSite> {
        self.sites.get(path)
    }

    /// As [`get`](Self::get), to be changed.
    pub fn get_mut(&mut self, path: &SitePath) -> Option<&mut PlannedSite> {
        self.sites.get_mut(path)
    }

    /// All sites, by caller in the order of names, then by path: a site stands before those in
    /// the body that takes its place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SitePath, &PlannedSite)> {
        self.sites.iter()
    }

    /// How many sites it lists.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// Whether it lists none.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// How many of its sites shall be inlined.
    pub fn inlined(&self) -> usize {
        self.sites.values().filter(|site| site.inline).count()
    }
}
