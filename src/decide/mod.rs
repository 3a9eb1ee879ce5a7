//! Which calls to inline: the trait [`Inline`] and the policies that ship.
//!
//! A policy answers one question, for one direct call at a time: should the callee's body replace
//! this call? It sees the call through a [`CallSite`] and answers with a [`Decision`], which always
//! carries a reason for the report. A policy need not deal with legality, the growth of functions
//! or the end of recursion: the pass keeps its own [`Limits`] and asks the splicing engine, so that
//! even [`Always`] terminates and is safe.
//!
//! The pass goes bottom-up: when a site is decided, the callee's body is final, with everything
//! that was inlined into it. It asks from several threads at once, and each site exactly once. A
//! policy whose answers depend only on the site gives the same program for any number of threads.
//!
//! * [`Always`] and [`Never`] are the two ends.
//! * [`Small`] inlines small callees, like Wasmtime.
//! * [`CostModel`] weighs an estimated cost against an estimated benefit; it is the default.
//! * A closure `Fn(&CallSite) -> Decision` is a policy, and [`from_fn_mut`] makes one of a closure
//!   that changes its own state.
//! * [`FirstMatch`] asks several policies in turn until one does not answer
//!   [`Decision::Undecided`].
//!
//! ```
//! use cranelift_inliner::decide::{CallSite, CostModel, Decision, FirstMatch, Inline};
//!
//! // Getters of this front end are always worth it; the rest is weighed.
//! let getters = |site: &CallSite<'_>| {
//!     if site.callee_name().to_string().starts_with("%get_") {
//!         Decision::inline("a getter")
//!     } else {
//!         Decision::Undecided
//!     }
//! };
//! let policy = FirstMatch::new().then(getters).then(CostModel::default());
//! # let _: &dyn Inline = &policy;
//! ```

mod addresses;
mod argument;
mod call_site;
mod compose;
mod cost_model;
mod early_callee;
mod limits;
mod loops;
mod parameters;
#[cfg(feature = "shards")]
mod passed;
mod reason;
mod recorded;
mod results;
mod search_tree;
mod simple;
mod small;
mod summary;

pub use addresses::OwnSlots;
pub use argument::{Argument, SlotArgument};
pub use call_site::CallSite;
pub(crate) use call_site::{RoundAnalysis, SiteContext};
pub use compose::{FirstMatch, FromFnMut, from_fn_mut};
pub use cost_model::CostModel;
pub use early_callee::EarlyCallee;
pub use limits::Limits;
pub use loops::Loops;
pub use parameters::{AddressUse, ParameterUse};
#[cfg(feature = "shards")]
pub(crate) use passed::{PassedValue, passed_values, result_branches};
pub use reason::PolicyReason;
#[cfg(feature = "shards")]
pub(crate) use recorded::RecordedSite;
pub use results::ResultWays;
pub use simple::{Always, Never};
pub use small::Small;
pub(crate) use summary::KnownFacts;
#[cfg(feature = "shards")]
pub(crate) use summary::Shape;
pub use summary::Summary;

/// Decides about call sites.
///
/// A policy is asked by several threads and moves with the pass that it belongs to, so it is `Send`
/// and `Sync`.
pub trait Inline: Send + Sync {
    /// Decides whether to inline the call at `site`.
    ///
    /// The pass calls this once for each direct call of a function that the program defines,
    /// including calls that come into a caller with an inlined body. It visits callees before their
    /// callers, from several threads. For the result to be the same for any number of threads, the
    /// answer must not depend on earlier calls of this method.
    ///
    /// By then the caller is known to be sound, and the callee's signature to match the call. The
    /// callee's code is checked only after an answer to inline.
    fn decide(&self, site: &CallSite<'_>) -> Decision;

    /// Returns why the answer about every call of a function is to keep it, whatever its body
    /// becomes; `None`, the default, if some call of it may be inlined.
    ///
    /// The pass then asks about no call of the function, unless a demand rules that out, and no
    /// caller waits for it. It asks once for each function of the program before it starts. The
    /// answer must depend on `callee` alone.
    ///
    /// ```
    /// use cranelift_inliner::decide::{CallSite, Decision, Inline, EarlyCallee, PolicyReason};
    ///
    /// struct Tiny;
    ///
    /// impl Inline for Tiny {
    ///     fn decide(&self, site: &CallSite<'_>) -> Decision {
    ///         match site.summary().insts() {
    ///             0..4 => Decision::inline("tiny"),
    ///             _ => Decision::keep("not tiny"),
    ///         }
    ///     }
    ///
    ///     fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
    ///         // Inlining into a function may make it smaller, but not by as much.
    ///         (callee.insts() > 100).then(|| "not tiny".into())
    ///     }
    /// }
    /// # let _: &dyn Inline = &Tiny;
    /// ```
    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        let _ = callee;
        None
    }

    /// Returns whether the answer about every call of a function is to keep it, now that its body
    /// is final; `false`, the default, if some call of it may be inlined.
    ///
    /// A [stream](crate::pass::Inliner::stream) asks this, to free the bodies early that could only
    /// have come in with that one. It still asks about each call. The answer must depend on
    /// `callee` alone.
    ///
    /// ```
    /// use cranelift_inliner::decide::{CallSite, Decision, Inline, Summary};
    ///
    /// struct Tiny;
    ///
    /// impl Inline for Tiny {
    ///     fn decide(&self, site: &CallSite<'_>) -> Decision {
    ///         match site.summary().insts() {
    ///             0..4 => Decision::inline("tiny"),
    ///             _ => Decision::keep("not tiny"),
    ///         }
    ///     }
    ///
    ///     fn keeps_all_calls(&self, callee: &Summary) -> bool {
    ///         callee.insts() >= 4
    ///     }
    /// }
    /// # let _: &dyn Inline = &Tiny;
    /// ```
    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        let _ = callee;
        false
    }
}

impl<F> Inline for F
where
    F: Fn(&CallSite<'_>) -> Decision + Send + Sync,
{
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        self(site)
    }
}

impl Inline for &(dyn Inline + '_) {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        (**self).decide(site)
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        (**self).rules_out(callee)
    }

    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        (**self).keeps_all_calls(callee)
    }
}

impl Inline for Box<dyn Inline + '_> {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        (**self).decide(site)
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        (**self).rules_out(callee)
    }

    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        (**self).keeps_all_calls(callee)
    }
}

/// A policy's answer for one call site, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Replace the call by the callee's body.
    Inline {
        /// Why, for the report: a short phrase without a final period.
        reason: PolicyReason,
    },
    /// Leave the call as it is.
    Keep {
        /// Why, for the report: a short phrase without a final period.
        reason: PolicyReason,
    },
    /// Leave the answer to the next policy of a [`FirstMatch`]. Where there is
    /// none, the call is kept.
    Undecided,
}

impl Decision {
    /// Returns a decision to inline, because of `reason`.
    pub fn inline(reason: impl Into<PolicyReason>) -> Self {
        Decision::Inline {
            reason: reason.into(),
        }
    }

    /// Returns a decision to keep the call, because of `reason`.
    pub fn keep(reason: impl Into<PolicyReason>) -> Self {
        Decision::Keep {
            reason: reason.into(),
        }
    }
}
