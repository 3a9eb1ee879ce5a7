//! The policy that follows a plan.

use super::{Plan, SitePath};
use crate::decide::{CallSite, Decision, Inline};

/// The decision about sites that a plan does not list.
#[non_exhaustive]
pub enum Fallback<'a> {
    /// Another policy.
    Policy(Box<dyn Inline + 'a>),
    /// They stay calls.
    Keep,
}

/// Decides by a [`Plan`].
///
/// It [rules out](Inline::rules_out) no function: a call that the engine refuses is not in a plan,
/// and would count as a deviation from it.
///
/// A decision's reason is that of the plan after the word `planned`. After the run,
/// [`Plan::deviations`] gives the sites that the plan does not list, and its entries that were not
/// followed.
pub struct Replay<'a> {
    plan: &'a Plan,
    fallback: Fallback<'a>,
}

/// The reason for calls that a plan does not list.
pub(crate) const NOT_LISTED: &str = "not in the plan";

impl<'a> Replay<'a> {
    /// Follows `plan`, and `fallback` for sites that it does not list.
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
            Fallback::Keep => Decision::keep(NOT_LISTED),
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
