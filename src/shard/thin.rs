//! From all summaries to the plan of each shard.

use super::decisions::Decisions;
use super::error::ThinError;
use super::index::Index;
use super::needs::AllNeeds;
use super::shard_plan::{PlanText, ShardPlan};
use super::summary::ShardSummary;
use super::write::Writer;
use crate::pass::Inliner;
use crate::program::FunctionName;
use rustc_hash::FxHashSet;
use std::mem;

/// The plans of all shards of a program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Thin {
    /// One for each shard, in the order of their names.
    pub plans: Vec<ShardPlan>,
    /// The number of inlined calls, with those in bodies that several shards import counted once.
    pub inlined: usize,
}

/// Decides about all calls of a program on the summaries of its shards, and makes a plan for each
/// shard. See the [module](super) for an example.
///
/// The policy, the limits and the options are those of `inliner`; a profile is part of the
/// summaries, and that of `inliner` is not read. `exported` are the functions that code outside of
/// the shards refers to: all others count as local, and leave their shard only if another one needs
/// them. `None` leaves all exported functions as they are.
///
/// The result does not depend on the order of the summaries.
///
/// # Errors
///
/// [`ThinError`] for summaries that do not belong to one program.
pub fn thin(
    summaries: &[ShardSummary],
    exported: Option<&FxHashSet<FunctionName>>,
    inliner: &Inliner<'_>,
) -> Result<Thin, ThinError> {
    let mut plans = Vec::with_capacity(summaries.len());
    let mut wrong = None;
    let inlined = thin_each(summaries.to_vec(), exported, inliner, |plan| {
        match plan.text.parse() {
            Ok(plan) => plans.push(plan),
            Err(problem) => {
                debug_assert!(false, "a plan that was written is read: {problem}");
                wrong.get_or_insert(ThinError::Plan {
                    shard: plan.shard.to_owned(),
                    problem,
                });
            }
        }
    })?;
    match wrong {
        None => Ok(Thin { plans, inlined }),
        Some(error) => Err(error),
    }
}

/// Like [`thin`], but hands the text of each plan to `each` as soon as it is made, in the order of
/// the shards' names, so that only one is in memory at a time. The summaries are taken apart, for
/// the same reason. Returns the number of inlined calls.
///
/// # Errors
///
/// Those of [`thin`], before the first plan.
pub fn thin_each(
    summaries: Vec<ShardSummary>,
    exported: Option<&FxHashSet<FunctionName>>,
    inliner: &Inliner<'_>,
    mut each: impl FnMut(PlanText<'_>),
) -> Result<usize, ThinError> {
    let mut index = Index::new(summaries, exported)?;
    if let Some(exported) = exported {
        let mut missing: Vec<_> = exported
            .iter()
            .filter(|name| index.program.id(name).is_none())
            .collect();
        missing.sort();
        if let Some(&name) = missing.first() {
            return Err(ThinError::Undefined(name.clone()));
        }
    }
    let parameters = mem::take(&mut index.parameters);
    let graph = index.graph();
    index.forget_targets();
    let decisions = Decisions::new(&index, &graph, inliner, parameters);
    let needs = AllNeeds::new(&index, &graph, &decisions);
    let inlined = decisions.inlined;
    let mut writer = Writer::new(&index, &graph, &decisions, &needs);
    for shard in 0..index.shards.len() {
        each(writer.plan(shard));
    }
    Ok(inlined)
}
