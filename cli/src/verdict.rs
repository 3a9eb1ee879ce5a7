//! The outcome of a call site, in the four kinds of reports.

use cranelift_inliner::pass::{Reason, SiteRecord};
use std::fmt;

/// The kinds, in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The callee's body replaced the call.
    Inlined,
    /// The policy, an attribute, a hint or a later stage decided against it.
    Kept,
    /// Inlining was not possible, or beyond a limit.
    Refused,
    /// There is no body.
    External,
}

impl Verdict {
    /// All, in the order of reports.
    pub(crate) const ALL: [Self; 4] = [Self::Inlined, Self::Kept, Self::Refused, Self::External];

    pub(crate) fn of(site: &SiteRecord) -> Self {
        match &site.reason {
            _ if site.inlined => Self::Inlined,
            Reason::Policy(_) | Reason::Undecided => Self::Kept,
            Reason::Attribute(_) | Reason::Hint(_) | Reason::MemoryFunction => Self::Kept,
            Reason::External => Self::External,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inlined => "inlined",
            Self::Kept => "kept",
            Self::Refused => "refused",
            Self::External => "external",
        })
    }
}
