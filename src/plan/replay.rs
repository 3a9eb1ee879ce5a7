//! The policy that follows a plan.

use super::{Plan, SitePath};
use crate::decide::{CallSite, Decision, EarlyCallee, Inline, PolicyReason};
use crate::program::FunctionName;
use rustc_hash::FxHashSet;

/// The decision about sites that a plan does not list.
pub enum Fallback<'a> {
    /// Another policy.
    Policy(Box<dyn Inline + 'a>),
    /// They stay calls.
    Keep,
}

/// Decides by a [`Plan`].
///
/// A function that no listed call calls is [ruled out](Inline::rules_out) if the fallback would keep
/// all calls of it, so that no caller waits for its body.
///
/// A decision's reason is that of the plan after the word `planned`. After the run,
/// [`Plan::deviations`] gives the sites that the plan does not list, and its entries that were not
/// followed.
pub struct Replay<'a> {
    plan: &'a Plan,
    /// The functions that listed calls call.
    listed: FxHashSet<&'a FunctionName>,
    fallback: Fallback<'a>,
}

/// The reason for calls that a plan does not list.
pub(crate) const NOT_LISTED: &str = "not in the plan";

impl<'a> Replay<'a> {
    /// Follows `plan`, and `fallback` for sites that it does not list.
    pub fn new(plan: &'a Plan, fallback: Fallback<'a>) -> Self {
        let listed = plan.iter().map(|(path, _)| path.callee()).collect();
        Replay {
            plan,
            listed,
            fallback,
        }
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
            Fallback::Keep => Decision::keep(NOT_LISTED),
        }
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        if self.listed.contains(callee.name()) {
            return None;
        }
        match &self.fallback {
            Fallback::Policy(policy) => policy.rules_out(callee),
            Fallback::Keep => Some(NOT_LISTED.into()),
        }
    }
}

/// Returns the reason with one `planned`, even if the plan was recorded while another was followed.
fn planned_reason(reason: &str) -> String {
    match reason {
        "" => "planned".to_owned(),
        _ if reason == "planned" || reason.starts_with("planned: ") => reason.to_owned(),
        _ => format!("planned: {reason}"),
    }
}
