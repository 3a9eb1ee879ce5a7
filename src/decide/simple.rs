//! The two policies without a heuristic.

use super::{CallSite, Decision, EarlyCallee, Inline, PolicyReason, Summary};

const NEVER: &str = "policy never";

/// Inlines everything that is legal and within the pass's limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Always;

impl Inline for Always {
    fn decide(&self, _: &CallSite<'_>) -> Decision {
        Decision::inline("policy always")
    }
}

/// Inlines only the calls that an attribute demands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl Inline for Never {
    fn decide(&self, _: &CallSite<'_>) -> Decision {
        Decision::keep(NEVER)
    }

    fn rules_out(&self, _: &EarlyCallee<'_>) -> Option<PolicyReason> {
        Some(NEVER.into())
    }

    fn keeps_all_calls(&self, _: &Summary) -> bool {
        true
    }
}
