//! The embedder's directives for a call: from the callee's attributes, the hints on the call and on
//! the inlined calls around it, and the attributes of the callers.

use super::Inliner;
use super::report::{Demand, Reason};
use super::state::State;
use crate::graph::PathStep;
use crate::program::{FunctionId, InlineAttribute, SiteHint};

/// The directives for one call.
pub(super) struct Directives {
    /// Why it must stay a call.
    pub(super) forbidden: Option<Reason>,
    /// Why it should be inlined, regardless of the policy.
    pub(super) demand: Option<Demand>,
    /// It is seldom executed.
    pub(super) cold: bool,
}

impl Directives {
    /// Returns the directives for a call of `callee` at the end of `path`; the last site is the
    /// call's own.
    pub(super) fn of(
        inliner: &Inliner<'_>,
        state: &State<'_>,
        path: &[PathStep],
        callee: Option<FunctionId>,
    ) -> Self {
        let mut directives = Self::said(state, path, callee);
        if !inliner.meet_demands {
            directives.demand = None;
        }
        directives
    }

    fn said(state: &State<'_>, path: &[PathStep], callee: Option<FunctionId>) -> Self {
        let attribute = callee
            .and_then(|id| state.program.get(id))
            .map_or(InlineAttribute::None, |callee| callee.attributes().inline);
        let mut directives = Directives {
            forbidden: None,
            demand: None,
            cold: false,
        };
        let mut own_hint = None;
        for (index, &site) in path.iter().enumerate() {
            let is_own = index + 1 == path.len();
            let (caller_id, site) = match site {
                PathStep::Site(site) => match state.graph.site(site) {
                    Some(site) => (site.caller, Some(site)),
                    None => {
                        debug_assert!(false, "a path leads along sites of the graph");
                        continue;
                    }
                },
                PathStep::Resolved { caller, .. } => (caller, None),
            };
            let caller = &state.program[caller_id];
            if caller.attributes().flatten {
                let flatten = || Demand::Flatten(caller_id);
                directives.demand.get_or_insert_with(flatten);
            }
            directives.cold |= caller.attributes().cold;
            let hint = site.and_then(|site| caller.hint(site.edge.inst));
            directives.cold |= hint == Some(SiteHint::Cold);
            match hint {
                hint if is_own => own_hint = hint,
                Some(SiteHint::Flatten) => {
                    if let Some(site) = site {
                        let flatten = || Demand::FlattenCall(site.id);
                        directives.demand.get_or_insert_with(flatten);
                    }
                }
                _ => {}
            }
        }
        match own_hint {
            Some(hint @ (SiteHint::Always | SiteHint::Flatten)) => {
                directives.demand = Some(Demand::Hint(hint));
                return directives;
            }
            Some(SiteHint::Never) => {
                directives.forbidden = Some(Reason::Hint(SiteHint::Never));
                return directives;
            }
            Some(SiteHint::Cold) | None => {}
        }
        match attribute {
            InlineAttribute::Always => directives.demand = Some(Demand::Attribute),
            InlineAttribute::Never => directives.forbidden = Some(Reason::Attribute(attribute)),
            InlineAttribute::None => {}
        }
        directives
    }

    /// Returns the directives for a call of an external function. Flattening inlines functions with
    /// a body, so only a hint on the call itself counts.
    pub(super) fn of_external(inliner: &Inliner<'_>, state: &State<'_>, path: &[PathStep]) -> Self {
        let mut directives = Self::of(inliner, state, path, None);
        let is_hint = |demand: &Demand| matches!(demand, Demand::Hint(_));
        directives.demand = directives.demand.filter(is_hint);
        directives
    }
}

impl Demand {
    /// Returns the reason for a call that is inlined because of it.
    pub(super) fn reason(self) -> Reason {
        match self {
            Demand::Attribute => Reason::Attribute(InlineAttribute::Always),
            Demand::Hint(hint) => Reason::Hint(hint),
            Demand::Flatten(_) | Demand::FlattenCall(_) => Reason::Flatten,
        }
    }
}
