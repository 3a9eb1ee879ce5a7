//! Makes a plan from the report of a run.

use super::{Plan, PlannedSite, SitePath};
use crate::pass::{Inlined, Reason, SiteRecord};
use crate::splice::Refusal;
use cranelift_codegen::ir::SourceLoc;

impl Plan {
    /// Makes a plan from the decisions of a run.
    ///
    /// The plan lists the calls that were inlined, and those that were kept because of a policy, an
    /// attribute or a limit, because the callee's code forbids inlining, or because the caller's
    /// capacity was exhausted. It does not list a call that the two signatures or the declaration
    /// of the callee forbid to inline, because no policy is asked about it, nor a call of which the
    /// run keeps [no record](crate::pass::RecordLevel).
    pub fn record(inlined: &Inlined) -> Self {
        let mut plan = Self::new();
        for record in inlined.sites().filter(|record| is_decision(record)) {
            if let Some(path) = path_of(inlined, record) {
                let site = PlannedSite {
                    inline: record.inlined,
                    location: location_of(inlined, record),
                    reason: record.reason.to_string(),
                };
                plan.insert(path, site);
            }
        }
        plan
    }
}

pub(super) fn path_of(inlined: &Inlined, record: &SiteRecord) -> Option<SitePath> {
    SitePath::from_names(&inlined.path(record))
}

/// Returns the location of the call in the function whose original body has it, whatever its
/// location is now.
pub(super) fn location_of(inlined: &Inlined, record: &SiteRecord) -> SourceLoc {
    let site = record.path().last().and_then(|step| step.site());
    site.map_or_else(SourceLoc::default, |site| {
        inlined.graph().site_location(site)
    })
}

/// Returns whether the record is a decision. A policy, attribute or hint is not asked about a call
/// that the two signatures or the declaration of the callee forbid to inline; any other refused
/// call was wanted inlined.
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
