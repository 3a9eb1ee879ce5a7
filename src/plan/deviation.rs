//! Differences between a run and a plan.

use super::record::{is_decision, location_of, path_of};
use super::{Plan, SitePath};
use crate::pass::{Inlined, Reason, RecordLevel};
use cranelift_codegen::ir::SourceLoc;
use std::collections::BTreeSet;
use std::fmt;

/// A site at which plan and run differ.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Deviation {
    /// The site.
    pub path: SitePath,
    /// The difference.
    pub kind: DeviationKind,
}

/// The kind of a difference between a plan and a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DeviationKind {
    /// The plan does not list the site.
    Unlisted {
        /// Whether it was inlined.
        inlined: bool,
        /// Why.
        reason: Reason,
    },
    /// The site is elsewhere in the source: perhaps another call came in before it, and the plan
    /// meant another one.
    Moved {
        /// The location that the plan has.
        planned: SourceLoc,
        /// The one that the program has.
        found: SourceLoc,
    },
    /// The run did not follow the plan.
    NotFollowed {
        /// Whether the plan says to inline the call, or to keep it.
        inline: bool,
        /// Why something else was done.
        reason: Reason,
    },
    /// The plan says to inline the site, and it stayed a call. The run kept [no
    /// record](crate::pass::RecordLevel) with the reason.
    Unrecorded,
    /// No call with this path was decided in the run: it is not in the program any more, the
    /// optimizer removed it from a copy, or a body that it would have come in with did not. Plans
    /// of shards have such sites, because summaries do not tell which code a copy can reach.
    Missing,
}

/// Says it in a sentence that begins with the site.
impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let became = |inlined: bool| if inlined { "inlined" } else { "kept" };
        let path = &self.path;
        match &self.kind {
            DeviationKind::Unlisted { inlined, reason } => {
                let became = became(*inlined);
                write!(f, "{path} is not in the plan; it was {became}: {reason}")
            }
            DeviationKind::Moved { planned, found } => {
                write!(f, "{path} is at {found} and not at {planned} as planned")
            }
            DeviationKind::NotFollowed { inline, reason } => {
                let (planned, done) = (became(*inline), became(!*inline));
                write!(f, "{path} was to be {planned} and was {done}: {reason}")
            }
            DeviationKind::Unrecorded => write!(f, "{path} was to be inlined and was kept"),
            DeviationKind::Missing => {
                write!(f, "{path} is not in the program, or was optimized away")
            }
        }
    }
}

impl Plan {
    /// Returns where a run did not follow the plan, in the order of sites: the sites that the plan
    /// does not list, the listed sites that moved or are missing, and those with another outcome.
    ///
    /// Locations are compared where both the plan and the program have one; sites are decided by
    /// name alone. For a kept call without a [record](crate::pass::RecordLevel), the only deviation
    /// is that it was to be inlined.
    pub fn deviations(&self, inlined: &Inlined) -> Vec<Deviation> {
        let mut deviations = Vec::new();
        let mut seen = BTreeSet::new();
        for record in inlined.sites() {
            let Some(path) = path_of(inlined, record) else {
                continue;
            };
            let mut deviates = |kind| {
                let path = path.clone();
                deviations.push(Deviation { path, kind });
            };
            let Some(planned) = self.get(&path) else {
                if is_decision(record) {
                    deviates(DeviationKind::Unlisted {
                        inlined: record.inlined,
                        reason: record.reason.clone(),
                    });
                }
                continue;
            };
            let found = location_of(inlined, record);
            let known = !planned.location.is_default() && !found.is_default();
            if known && planned.location != found {
                deviates(DeviationKind::Moved {
                    planned: planned.location,
                    found,
                });
            }
            if planned.inline != record.inlined {
                deviates(DeviationKind::NotFollowed {
                    inline: planned.inline,
                    reason: record.reason.clone(),
                });
            }
            seen.insert(path);
        }
        for (path, planned) in self.iter().filter(|(path, _)| !seen.contains(path)) {
            let kind = match (is_unrecorded(path, inlined), planned.inline) {
                (true, false) => continue,
                (true, true) => DeviationKind::Unrecorded,
                (false, _) => DeviationKind::Missing,
            };
            let path = path.clone();
            deviations.push(Deviation { path, kind });
        }
        // The sort is stable: a move of a site comes before its other deviations.
        deviations.sort_by(|a, b| a.path.cmp(&b.path));
        deviations
    }
}

/// Returns whether a path without a record is that of a kept call; such a call is one of a
/// function's own.
fn is_unrecorded(path: &SitePath, inlined: &Inlined) -> bool {
    let mut names = path.names();
    let own = names.next().filter(|_| names.next().is_none());
    inlined.recorded() == RecordLevel::Changes
        && own.is_some_and(|name| inlined.graph().find_site(&name).is_some())
}
