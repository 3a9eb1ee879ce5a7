//! Finds the decision that makes a program fail.
//!
//! The inlined sites of a plan are ordered so that each comes after the sites that it depends on.
//! For every `k`, the first `k` of them, with all others kept, are then a plan that the pass can
//! follow exactly. So if the whole plan fails, there is a smallest `k` that fails, and the last of
//! its sites is the wanted decision.

use super::{Plan, SitePath};
use crate::graph::CallGraph;
use crate::program::{FunctionName, Program};
use std::collections::BTreeMap;

/// The result of [`bisect`], and the number of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bisection {
    /// The outcome.
    pub outcome: Outcome,
    /// The number of calls of the test.
    pub runs: usize,
}

/// The outcome of bisecting a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole plan does not fail.
    Passes,
    /// It fails even where nothing is inlined.
    FailsWithoutInlining,
    /// Inlining this site makes the difference.
    Found {
        /// The site.
        path: SitePath,
        /// A plan that fails, with as few inlined sites as was found.
        failing: Plan,
        /// The same with this one site kept, which passes.
        passing: Plan,
    },
}

/// The next question of [`bisect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which run this is, from 1.
    pub run: usize,
    /// The number of sites that it inlines.
    pub inlined: usize,
    /// The number of sites that may still hold the decision.
    pub candidates: usize,
}

/// Finds the decision of `plan` that makes `fails` return true.
///
/// `fails` inlines `program` by a plan, with [`Fallback::Keep`](super::Fallback::Keep) for sites
/// that the plan does not list, and returns whether the result is wrong. It must always give the
/// same answer for the same plan. Attributes and hints that demand inlining take precedence over a
/// plan. So `fails` should switch them off with
/// [`Inliner::meet_demands`](crate::pass::Inliner::meet_demands); otherwise sites that a plan
/// leaves out are inlined nevertheless.
///
/// `fails` is called at most log₂(n) + 2 times, where n is the number of sites that `plan` inlines.
/// If several decisions are each wrong on their own, one of them is found; the failing plan may
/// hold others that are needed for it.
///
/// # Errors
///
/// The first error of `fails` ends the search.
///
/// ```
/// use cranelift_inliner::plan::{Outcome, Plan, bisect};
/// use cranelift_inliner::program::Program;
///
/// let plan: Plan = "clif-inline plan 2
/// function %main
///   inline %f #0
///   inline %g #0
///   inline %g #0 > %h #0
///   inline %h #0
/// end
/// ".parse()?;
/// let found = bisect(&plan, &Program::new(), |plan, _| -> Result<bool, ()> {
///     // As if the code of %h were wrong where it comes in with %g.
///     let wrong = plan.iter().any(|(path, site)| site.inline && path.steps().len() == 2);
///     Ok(wrong)
/// });
/// let found = found.unwrap();
/// let Outcome::Found { path, .. } = found.outcome else { panic!() };
/// assert_eq!(path.to_string(), "%main -> %g #0 > %h #0");
/// assert!(found.runs <= 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bisect<E>(
    plan: &Plan,
    program: &Program,
    mut fails: impl FnMut(&Plan, Step) -> Result<bool, E>,
) -> Result<Bisection, E> {
    let order = dependable_order(plan, program);
    let mut runs = 0;
    let mut ask = |inlined: usize, candidates: usize| {
        runs += 1;
        let step = Step {
            run: runs,
            inlined,
            candidates,
        };
        fails(&first(plan, &order, inlined), step)
    };
    // The first `passing` decisions pass, if there is such a number; the first `failing` fail.
    let mut passing = None;
    let mut failing = order.len();
    let outcome = if !ask(failing, order.len())? {
        Outcome::Passes
    } else {
        loop {
            let lowest = passing.map_or(0, |passing| passing + 1);
            if lowest == failing {
                break;
            }
            let middle = lowest + (failing - lowest) / 2;
            if ask(middle, failing - passing.unwrap_or(0))? {
                failing = middle;
            } else {
                passing = Some(middle);
            }
        }
        match (passing, order.get(failing.wrapping_sub(1))) {
            (Some(passing), Some(&path)) => Outcome::Found {
                path: path.clone(),
                failing: first(plan, &order, failing),
                passing: first(plan, &order, passing),
            },
            _ => Outcome::FailsWithoutInlining,
        }
    };
    Ok(Bisection { outcome, runs })
}

/// Returns the sites that `plan` inlines, each after those that it depends on: callers after their
/// callees, as the pass takes them, and within a caller a call after the one that brings it in, and
/// one that became direct after all that was spliced before.
fn dependable_order<'a>(plan: &'a Plan, program: &Program) -> Vec<&'a SitePath> {
    let graph = CallGraph::new(program);
    let functions = graph.bottom_up().flatten();
    let names = functions.filter_map(|&id| Some(program.get(id)?.name()));
    let rank: BTreeMap<&FunctionName, usize> =
        names.enumerate().map(|(rank, name)| (name, rank)).collect();
    let inlined = plan.iter().filter(|(_, site)| site.inline);
    let mut order: Vec<_> = inlined.map(|(path, _)| path).collect();
    // The sort is stable, and a plan has a path before those that go on from it.
    order.sort_by_key(|path| {
        let rank = rank.get(path.caller()).copied().unwrap_or(usize::MAX);
        (rank, path.stage())
    });
    order
}

/// Returns `plan` with the first `count` sites of `order` inlined and all others kept.
fn first(plan: &Plan, order: &[&SitePath], count: usize) -> Plan {
    let mut first = plan.clone();
    for path in order.iter().skip(count) {
        if let Some(site) = first.get_mut(path) {
            site.inline = false;
        }
    }
    first
}
