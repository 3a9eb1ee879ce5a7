//! From the report of a run to a plan.

use super::{Plan, PlannedSite, SitePath};
use crate::pass::{Inlined, Reason, SiteRecord};
use crate::program::Program;
use crate::splice::Refusal;
use cranelift_codegen::ir::SourceLoc;

impl Plan {
    /// The decisions of a run. `program` must be the one that went in.
    ///
    /// Listed is what was inlined, and what was left a call because a policy, an attribute or a
    /// limit wanted it so, or because the callee's code forbids what they wanted, or there was no
    /// room for it any more. What the two signatures or the declaration of the callee forbid is not:
    /// nobody is asked about that. Nor is a call of which the run keeps
    /// [no record](crate::pass::Recorded).
    pub fn record(program: &Program, inlined: &Inlined) -> Self {
        let mut plan = Self::new();
        for record in inlined.sites().filter(|record| is_decision(record)) {
            if let Some(path) = path_of(program, inlined, record) {
                let site = PlannedSite {
                    inline: record.inlined,
                    location: location_of(program, inlined, record),
                    reason: record.reason.to_string(),
                };
                plan.insert(path, site);
            }
        }
        plan
    }
}

pub(super) fn path_of(
    program: &Program,
    inlined: &Inlined,
    record: &SiteRecord,
) -> Option<SitePath> {
    SitePath::from_names(&inlined.path(program, record))
}

/// Where the call was in the function that had it at first, whatever became of its location since.
pub(super) fn location_of(program: &Program, inlined: &Inlined, record: &SiteRecord) -> SourceLoc {
    let site = record.path().last().and_then(|step| step.site());
    site.map_or_else(SourceLoc::default, |site| {
        inlined.graph().site_location(program, site)
    })
}

/// Whether somebody was asked. Of what Cranelift's types and rules forbid, nobody is where the two
/// signatures or the declaration of the callee tell; what else is refused, somebody wanted inlined.
pub(super) fn is_decision(record: &SiteRecord) -> bool {
    match &record.reason {
        _ if record.inlined => true,
        Reason::External
        | Reason::Interposable
        | Reason::Recursion
        | Reason::OtherSignature
        | Reason::Stages => false,
        Reason::Refused(refusal) => !matches!(
            **refusal,
            Refusal::NotADirectCall(_)
                | Refusal::MalformedCall(_)
                | Refusal::MalformedCaller(_)
                | Refusal::Patchable
                | Refusal::SignatureMismatch(_)
                | Refusal::StructTooLarge(_)
        ),
        _ => true,
    }
}
