//! Policies made of others.

use super::{CallSite, Decision, EarlyCallee, Inline, PolicyReason, Summary};
use std::sync::{Mutex, PoisonError};

/// Asks policies in turn; the first that decides wins.
///
/// If all leave a site [undecided](Decision::Undecided), so does this.
#[derive(Default)]
pub struct FirstMatch<'a> {
    policies: Vec<Box<dyn Inline + 'a>>,
}

impl<'a> FirstMatch<'a> {
    /// Creates an empty list of policies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `policy` where those before it left a site undecided.
    #[must_use]
    pub fn then(mut self, policy: impl Inline + 'a) -> Self {
        self.policies.push(Box::new(policy));
        self
    }
}

impl Inline for FirstMatch<'_> {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        self.policies
            .iter()
            .map(|policy| policy.decide(site))
            .find(|decision| *decision != Decision::Undecided)
            .unwrap_or(Decision::Undecided)
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        let mut policies = self.policies.iter();
        let first = policies.next()?.rules_out(callee)?;
        let others = policies.all(|policy| policy.rules_out(callee).is_some());
        others.then_some(first)
    }

    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        let mut policies = self.policies.iter();
        policies.all(|policy| policy.keeps_all_calls(callee))
    }
}

/// A policy made of a closure with state; see [`from_fn_mut`].
pub struct FromFnMut<F>(Mutex<F>);

/// Makes a policy of a closure that changes its own state.
///
/// The closure is called by one thread at a time. With several threads, it sees the sites of
/// independent functions in no determined order. A closure that only counts or records is fine; one
/// whose answers depend on earlier calls needs a single thread to be repeatable.
///
/// ```
/// use cranelift_inliner::decide::{Decision, from_fn_mut};
///
/// let mut asked = Vec::new();
/// let policy = from_fn_mut(|site| {
///     asked.push(site.callee_name().clone());
///     Decision::inline("seen")
/// });
/// # let _ = policy;
/// ```
pub fn from_fn_mut<F>(f: F) -> FromFnMut<F>
where
    F: FnMut(&CallSite<'_>) -> Decision + Send,
{
    FromFnMut(Mutex::new(f))
}

impl<F> Inline for FromFnMut<F>
where
    F: FnMut(&CallSite<'_>) -> Decision + Send,
{
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        // A closure that panicked once is called again; the panic itself reached the caller of the
        // pass.
        let mut f = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(site)
    }
}
