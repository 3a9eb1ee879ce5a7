//! Mismatches between a profile and a program.

use super::Profile;
use crate::graph::{CallGraph, SiteName};
use cranelift_codegen::ir::SourceLoc;
use std::fmt;

/// A site of a profile whose count is not used for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The site.
    pub site: SiteName,
    /// The reason.
    pub kind: MismatchKind,
}

/// The reason why a count is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MismatchKind {
    /// The program has no such site.
    Missing,
    /// The call of that name has another source location: most likely it is another call.
    Moved {
        /// The location that the profile has.
        profile: SourceLoc,
        /// The location that the program has.
        program: SourceLoc,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let site = &self.site;
        match self.kind {
            MismatchKind::Missing => write!(f, "{site}: the program has no such call"),
            MismatchKind::Moved { profile, program } => {
                write!(f, "{site}: the call was at {profile} and is at {program}")
            }
        }
    }
}

impl Profile {
    /// Returns the sites whose counts are not used for the program of `graph`, in the order of
    /// their names.
    pub fn mismatches(&self, graph: &CallGraph) -> Vec<Mismatch> {
        let mut unused = self.sites.clone();
        let mut mismatches = Vec::new();
        for (site, name) in graph.site_names() {
            let Some(known) = unused.remove(&name) else {
                continue;
            };
            let location = graph.site_location(site.id);
            if !is_same(known.location, location) {
                mismatches.push(Mismatch {
                    site: name,
                    kind: MismatchKind::Moved {
                        profile: known.location,
                        program: location,
                    },
                });
            }
        }
        let missing = unused.into_keys().map(|site| Mismatch {
            site,
            kind: MismatchKind::Missing,
        });
        mismatches.extend(missing);
        mismatches.sort_by(|a, b| a.site.cmp(&b.site));
        mismatches
    }
}

/// Returns whether two locations can belong to the same site; an unknown one always can.
pub(super) fn is_same(profile: SourceLoc, program: SourceLoc) -> bool {
    profile.is_default() || program.is_default() || profile == program
}
