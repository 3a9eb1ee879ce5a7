//! Two size thresholds and nothing else.

use super::{CallSite, Decision, EarlyCallee, Inline, PolicyReason, Summary};

/// A function of more than this many times the largest size is not expected to become small.
const SHRINKS: usize = 4;

/// Inlines small callees into callers that stay within bounds.
///
/// This is the heuristic of Wasmtime's inliner: one threshold for the callee, below which inlining
/// rarely makes code larger, and one for the sum of caller and callee, above which compile time
/// suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Small {
    /// The largest callee that is inlined, in instructions. Wasmtime's value is 50.
    pub callee_insts: usize,
    /// The largest sum of caller and callee, in instructions. Wasmtime's value is 2000.
    pub sum_insts: usize,
}

impl Default for Small {
    fn default() -> Self {
        Small {
            callee_insts: 50,
            sum_insts: 2000,
        }
    }
}

settings!(Small {
    with_callee_insts: callee_insts: usize,
    with_sum_insts: sum_insts: usize,
});

impl Small {
    /// Returns the policy with these thresholds, in instructions.
    pub fn new(callee_insts: usize, sum_insts: usize) -> Self {
        Small {
            callee_insts,
            sum_insts,
        }
    }
}

impl Inline for Small {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        let callee = site.summary().insts();
        let sum = site.caller_insts().saturating_add(callee);
        if callee > self.callee_insts {
            Decision::keep(PolicyReason::large_callee(callee, self.callee_insts))
        } else if sum > self.sum_insts {
            Decision::keep(PolicyReason::large_sum(sum, self.sum_insts))
        } else {
            Decision::inline(PolicyReason::small_callee(callee))
        }
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        let most = self.callee_insts.saturating_mul(SHRINKS);
        let insts = callee.insts();
        (insts > most).then(|| PolicyReason::large_callee(insts, self.callee_insts))
    }

    fn keeps_all_calls(&self, callee: &Summary) -> bool {
        callee.insts() > self.callee_insts
    }
}
