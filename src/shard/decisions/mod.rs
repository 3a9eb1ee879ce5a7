//! Decisions on summaries alone, with the same policies, limits and order as in the pass.
//!
//! Functions are visited after those that they call. The own calls of a function are decided, then
//! the calls that came in with the accepted bodies, and so on. Facts about such a call are put
//! together from those of the sites on its path: a parameter that is passed on is followed
//! outwards, loops add up. The effect of clean-up is estimated from the facts about parameters.

mod accept;
mod caller;
mod facts;
mod program_facts;
mod steps;

pub(super) use self::steps::Step;

use self::caller::{Caller, Candidate, own};
use self::program_facts::{counts, never_throwing};
use self::steps::{ROOT, Steps};
use super::index::Index;
use super::summary::number;
use super::tables::Facts;
use crate::decide::{OwnSlots, ParameterUse};
use crate::graph::{CallGraph, Strong};
use crate::pass::{Inliner, growth_shares};
use crate::profile::SiteCounts;
use crate::program::{FunctionId, Linkage};
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap, entity_impl};
use std::mem;

/// The decisions on one function.
#[derive(Debug, Default)]
struct Outcome {
    size: u32,
    calls: u32,
    depth: u32,
    /// The number of its calls that are inlined; `None` before it was visited.
    inlined: PackedOption<Count>,
    frame_bytes: u64,
    /// Those, and behind them the calls of known functions that stay.
    steps: Box<[Step]>,
}

/// A number of calls.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Count(u32);
entity_impl!(Count, "count");

impl Outcome {
    /// Returns the inlined calls, and those that stay.
    fn steps(&self) -> (&[Step], &[Step]) {
        let inlined = self.inlined.expand();
        let inlined = inlined.map_or(0, |count| count.as_u32() as usize);
        self.steps.split_at(inlined.min(self.steps.len()))
    }
}

/// The decisions on a program.
pub(super) struct Decisions<'a> {
    index: &'a Index,
    graph: &'a CallGraph,
    inliner: &'a Inliner<'a>,
    counts: Option<SiteCounts>,
    shares: SecondaryMap<FunctionId, usize>,
    /// The functions that are never inlined because the optimizer knows them by their names.
    memory_functions: EntitySet<FunctionId>,
    pub(super) never_throwing: EntitySet<FunctionId>,
    /// The number of calls that were decided to be inlined.
    pub(super) inlined: usize,
    outcomes: PrimaryMap<FunctionId, Outcome>,
    /// Those of the index, changed where inlined bodies have changed them.
    parameters: Vec<ParameterUse>,
}

impl<'a> Decisions<'a> {
    /// Decides all calls. `parameters` are the uses of all functions' parameters.
    pub(super) fn new(
        index: &'a Index,
        graph: &'a CallGraph,
        inliner: &'a Inliner<'a>,
        parameters: Vec<ParameterUse>,
    ) -> Self {
        let mut sizes = SecondaryMap::with_capacity(index.functions.len());
        for (id, place) in index.places.iter() {
            sizes[id] = place.insts as usize;
        }
        let in_program = |id: &FunctionId| index.functions[*id].in_program;
        let grows = |id: &FunctionId| in_program(id).linkage != Linkage::AvailableExternally;
        let growing: Vec<FunctionId> = index.ids().filter(grows).collect();
        let shares = growth_shares(&sizes, &growing, inliner.hard_limits());
        drop((sizes, growing));
        let mut memory_functions = EntitySet::new();
        for (id, function) in index.program.iter() {
            if inliner.keeps_memory_function(function.name()) {
                memory_functions.insert(id);
            }
        }
        let order = graph.callees_first();
        let mut decisions = Decisions {
            index,
            graph,
            inliner,
            counts: counts(index, graph),
            shares,
            memory_functions,
            never_throwing: never_throwing(index, graph, inliner, &order),
            inlined: 0,
            outcomes: index.ids().map(|_| Outcome::default()).collect(),
            parameters,
        };
        decisions.decide(&order);
        decisions
    }

    fn decide(&mut self, order: &Strong<FunctionId>) {
        let Some((_, first)) = self.index.program.iter().next() else {
            return;
        };
        let mut caller = Caller::new(first.body());
        for members in order.iter() {
            for &id in members {
                let outcome = match self.index.functions[id].in_program.linkage {
                    Linkage::AvailableExternally => self.unchanged(id),
                    _ => self.function(id, &mut caller),
                };
                self.outcomes[id] = outcome;
            }
        }
        // Nothing is inlined any more.
        self.parameters = Vec::new();
    }

    /// Returns the inlined calls of a function; each comes after the one around it.
    pub(super) fn inlined(&self, id: FunctionId) -> Steps<'_> {
        let outcome = self.outcomes.get(id);
        Steps(outcome.map_or(&[], |outcome| outcome.steps().0))
    }

    /// Returns the calls of known functions that stay.
    pub(super) fn kept(&self, id: FunctionId) -> &[Step] {
        let outcome = self.outcomes.get(id);
        outcome.map_or(&[], |outcome| outcome.steps().1)
    }

    /// Returns the decisions on a function that was visited before.
    fn decided(&self, id: FunctionId) -> Option<&Outcome> {
        self.outcomes
            .get(id)
            .filter(|outcome| outcome.inlined.is_some())
    }

    /// Returns whether slots of a function become values after something was inlined into it.
    fn promotes_slots(&self) -> bool {
        self.inliner.optimizes(1) && self.inliner.optimization().promote_slots
    }

    /// Returns the slots of a visited function that become values in any copy. A function into
    /// which something was inlined has none left.
    fn own_slots(&self, facts: &Facts, outcome: &Outcome) -> OwnSlots {
        match outcome.steps().0.is_empty() || !self.promotes_slots() {
            true => facts.own_slots(),
            false => OwnSlots::default(),
        }
    }

    fn unchanged(&self, id: FunctionId) -> Outcome {
        let (facts, place) = (&self.index.functions[id], &self.index.places[id]);
        Outcome {
            size: place.insts,
            calls: place.calls,
            frame_bytes: facts.frame_bytes.into(),
            inlined: Count::from_u32(0).into(),
            steps: own(self.index, facts)
                .map(|candidate| candidate.step)
                .collect(),
            ..Outcome::default()
        }
    }

    fn function(&mut self, id: FunctionId, caller: &mut Caller) -> Outcome {
        let facts = &self.index.functions[id];
        caller.begin(id, facts, &self.index.places[id]);
        let mut candidates = mem::take(&mut caller.candidates);
        let mut came_in = mem::take(&mut caller.came_in);
        candidates.extend(own(self.index, facts));
        while !candidates.is_empty() {
            self.round(caller, &candidates, &mut came_in);
            mem::swap(&mut candidates, &mut came_in);
            came_in.clear();
        }
        (caller.candidates, caller.came_in) = (candidates, came_in);
        self.change_parameters(facts, caller);
        self.inlined += caller.bodies.len();
        // One less than a number that is taken for none.
        let inlined = number(caller.inlined.len()).min(u32::MAX - 1);
        if inlined > 0 && self.promotes_slots() {
            caller.saved += facts.own_slots().insts;
        }
        caller.inlined.extend_from_slice(&caller.kept);
        Outcome {
            size: number(caller.size.saturating_sub(caller.saved)),
            calls: caller.calls,
            frame_bytes: caller.frame_bytes,
            depth: caller.depth,
            inlined: Count::from_u32(inlined).into(),
            steps: caller.inlined.as_slice().into(),
        }
    }

    /// Decides the calls of a round; adds those that come in with the accepted bodies to `came_in`.
    fn round(&self, caller: &mut Caller, candidates: &[Candidate], came_in: &mut Vec<Candidate>) {
        let mut accepted_size = 0;
        for candidate in candidates {
            let facts = self.facts(caller, candidate);
            let size = caller.size.saturating_add(accepted_size);
            if !self.accepts(caller, candidate, &facts, size) {
                caller.kept.push(candidate.step);
                continue;
            }
            let Some(callee) = self.decided(candidate.callee) else {
                debug_assert!(false, "an accepted callee was decided before");
                continue;
            };
            accepted_size += callee.size as usize;
            if !self.moves(candidate) {
                caller.grown += callee.size as usize;
            }
            caller.saved += self.saved(caller, candidate, callee);
            if self.promotes_slots() {
                let own = self.own_slots(&self.index.functions[candidate.callee], callee);
                caller.saved += own.insts;
            }
            caller.frame_bytes = self.frame_with(caller, candidate, callee);
            if callee.frame_bytes > 0 && !caller.with_frames.contains(&candidate.callee) {
                caller.with_frames.push(candidate.callee);
            }
            caller.calls = caller.calls.saturating_sub(1).saturating_add(callee.calls);
            let depth = candidate.depth + 1;
            caller.depth = caller.depth.max(depth + callee.depth);
            // The bodies that are in the callee already come along, in their order.
            let here = number(caller.inlined.len());
            caller.inlined.push(candidate.step);
            let (copies, kept) = callee.steps();
            let around = |step: &Step| match step.around() {
                ROOT => here,
                around => here.saturating_add(1).saturating_add(around),
            };
            let copied = copies.iter().map(|step| step.copied(around(step)));
            caller.inlined.extend(copied);
            let body = number(caller.bodies.len());
            caller.bodies.push((candidate.body, candidate.callee));
            for step in kept {
                let Some(callee) = self.index.target(step.site()) else {
                    debug_assert!(false, "kept calls are of known functions");
                    continue;
                };
                came_in.push(Candidate {
                    step: Step::new(around(step), step.site()),
                    callee,
                    body,
                    depth,
                });
            }
        }
        caller.size = caller.size.saturating_add(accepted_size);
    }
}
