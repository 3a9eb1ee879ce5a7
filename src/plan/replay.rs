//! The policy that follows a plan.

use super::{Plan, SitePath};
use crate::decide::{CallSite, Decision, Inline};

/// The decision about sites that a plan does not list.
pub enum Fallback<'a> {
    /// Another policy.
    Policy(Box<dyn Inline + 'a>),
    /// They stay calls.
    Keep,
}

/// Decides as a [`Plan`] says.
///
/// A decision's reason is that of the plan after the word `planned`. Which sites the plan did not
/// list, and which it listed in vain, is in [`Plan::deviations`] after the run.
pub struct Replay<'a> {
    plan: &'a Plan,
    fallback: Fallback<'a>,
}

impl<'a> Replay<'a> {
    /// Follows `plan`, and `fallback` where it says nothing.
    pub fn new(plan: &'a Plan, fallback: Fallback<'a>) -> Self {
        Replay { plan, fallback }
    }
}

impl Inline for Replay<'_> {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        let path = SitePath::from_names(&site.path_names());
        if let Some(planned) = path.and_then(|path| self.plan.get(&path)) {
            let reason = planned_reason(&planned.reason);
            return match planned.inline {
                true => Decision::inline(reason),
                false => Decision::keep(reason),
            };
        }
        match &self.fallback {
            Fallback::Policy(policy) => policy.decide(site),
            Fallback::Keep => Decision::keep("not in the plan"),
        }
    }
}

/// A plan that was recorded while another was followed says `planned` once.
fn planned_reason(reason: &str) -> String {
    match reason {
        "" => "planned".to_owned(),
        _ if reason == "planned" || reason.starts_with("planned: ") => reason.to_owned(),
        _ => format!("planned: {reason}"),
    }
}
