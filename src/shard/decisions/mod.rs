//! Decisions on summaries alone, with the same policies, limits and order as in the pass.
//!
//! Functions are visited after those that they call. The own calls of a function are decided, then
//! the calls that came in with the accepted bodies, and so on. Facts about such a call are put
//! together from those of the sites on its path: a parameter that is passed on is followed outwards,
//! loops add up. The effect of clean-up is estimated from the facts about parameters.

mod facts;
mod program_facts;
mod steps;

pub(super) use self::steps::Step;

use self::facts::CallFacts;
use self::program_facts::{counts, never_throwing};
use self::steps::{ROOT, Steps};
use super::index::Index;
use super::passed::PackedValue;
use super::summary::{Hint, function_flags, number};
use super::tables::{Facts, Place};
use crate::decide::{
    CallSite, Decision, KnownFacts, Limits, OwnSlots, ParameterUse, RecordedSite, RoundAnalysis,
    Shape, SiteContext, Summary,
};
use crate::graph::{CallGraph, PathStep, Recursion, SiteId, Strong};
use crate::pass::{Inliner, growth_shares};
use crate::profile::{Heat, SiteCounts};
use crate::program::{Attributes, FunctionId, InlineAttribute, Linkage};
use cranelift_codegen::ir::{Block, Function, Inst};
use cranelift_entity::packed_option::{PackedOption, ReservedValue};
use cranelift_entity::{EntityRef, EntitySet, PrimaryMap, SecondaryMap, entity_impl};
use std::mem;
use std::sync::Arc;

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

/// A call to be decided.
#[derive(Clone, Copy)]
struct Candidate {
    step: Step,
    callee: FunctionId,
    /// The innermost body around it that was inlined here, by its number in [`Caller::bodies`], or
    /// [`ROOT`].
    body: u32,
    /// The number of such bodies.
    depth: u32,
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

    /// Returns whether to inline a call, as the pass decides.
    fn accepts(
        &self,
        caller: &mut Caller,
        candidate: &Candidate,
        facts: &CallFacts,
        size: usize,
    ) -> bool {
        let function = &self.index.functions[candidate.callee];
        if function.in_program.linkage == Linkage::Interposable || self.is_kept(candidate.callee) {
            return false;
        }
        let directives = self.directives(function.in_program.attributes, facts);
        let repeats = candidate.callee == caller.id || caller.is_inside(candidate);
        let Some(callee) = self.decided(candidate.callee).filter(|_| !repeats) else {
            return false;
        };
        if directives.is_forbidden || !self.is_legal(caller, candidate, facts) {
            return false;
        }
        if !directives.is_demanded && !self.asks(caller, candidate, facts, callee, size) {
            return false;
        }
        let limits = self.inliner.hard_limits();
        let copy = callee.size as usize;
        let depth = candidate.depth;
        depth.saturating_add(1).saturating_add(callee.depth) <= limits.depth
            && size.saturating_add(copy) <= limits.function_insts
            && (callee.frame_bytes == 0
                || self.frame_with(caller, candidate, callee)
                    <= self.frame_limit(caller.id, limits))
            && (self.moves(candidate)
                || caller.grown.saturating_add(copy) <= self.shares[caller.id])
    }

    /// Asks the policy.
    fn asks(
        &self,
        caller: &mut Caller,
        candidate: &Candidate,
        facts: &CallFacts,
        callee: &Outcome,
        size: usize,
    ) -> bool {
        let (index, graph) = (self.index, self.graph);
        let (program, id) = (&index.program, candidate.callee);
        let summary = &index.functions[id];
        let Some(stub) = index.stub(summary) else {
            debug_assert!(false, "each function has a signature");
            return false;
        };
        let known = KnownFacts {
            size: callee.size as usize,
            frame_bytes: callee.frame_bytes,
            calls: callee.calls as usize,
            call_sites: graph.call_count(id),
            address_taken: graph.is_address_taken(id),
            never_throws: self.never_throwing.contains(id),
            linkage: summary.in_program.linkage,
            attributes: summary.in_program.attributes,
            recursion: graph.recursion(id),
            has_profile: self.counts.is_some(),
        };
        let shape = Shape {
            blocks: summary.blocks as usize,
            returns: summary.returns as usize,
            back_edges: summary.loops as usize,
            slot_bytes: summary.slot_bytes.into(),
        };
        let parameters = self.parameters(summary);
        let results = index.results(summary);
        let described = &mut caller.summary;
        let own_slots = self.own_slots(summary, callee);
        described.describe(stub, known, shape, parameters, results, own_slots);
        let recorded = &mut caller.recorded;
        recorded.arguments.clear();
        recorded.slots.clear();
        for value in caller.passed.iter().map(|value| index.value(*value)) {
            recorded.arguments.push(value.argument());
            recorded.slots.push(value.slot());
        }
        recorded.result_branches.clear();
        let branches = index.branches(index.site(candidate.step.site())).iter();
        recorded
            .result_branches
            .extend(branches.copied().map(u32::from));
        recorded.loop_depth = facts.loop_depth;
        recorded.in_cold_block = facts.in_cold_block;
        recorded.in_first_block = facts.in_first_block;
        match &mut recorded.callee {
            Some(known) if Arc::ptr_eq(known, stub) => {}
            known => *known = Some(Arc::clone(stub)),
        }
        recorded.opcode = Some(facts.opcode);
        recorded.skeleton.take();
        let caller_stub = program[caller.id].body();
        let analysis = RoundAnalysis::new(caller_stub);
        let count = self.count(&caller.path);
        let heat = self.counts.as_ref();
        let site = CallSite {
            context: SiteContext {
                caller_name: program[caller.id].name(),
                callee_name: program[id].name(),
                graph,
                path: &caller.path,
                callee: stub,
                summary: &caller.summary,
                call: Inst::reserved_value(),
                block: Block::reserved_value(),
                srcloc: facts.location,
                kind: facts.kind,
                caller_insts: size,
                caller_insts_at_start: caller.insts,
                caller_call_sites: graph.call_count(caller.id),
                depth: candidate.depth,
                cold: facts.is_cold,
                count,
                heat: heat.map_or(Heat::Unknown, |counts| counts.heat(count)),
                promotes_slots: self.promotes_slots(),
            },
            analysis: &analysis,
            recorded: Some(&caller.recorded),
        };
        matches!(self.inliner.policy().decide(&site), Decision::Inline { .. })
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

    /// Returns whether it is a function like `memcpy` that the optimizer knows.
    fn is_kept(&self, id: FunctionId) -> bool {
        self.memory_functions.contains(id)
    }

    fn count(&self, path: &[PathStep]) -> Option<u64> {
        self.counts.as_ref()?.of_path(self.graph, path)
    }

    fn directives(&self, attributes: Attributes, facts: &CallFacts) -> Directives {
        let meets = self.inliner.meets_demands();
        let (is_demanded, is_forbidden) = match (facts.hint, attributes.inline) {
            (Hint::Always | Hint::Flatten, _) => (true, false),
            (Hint::Never, _) | (_, InlineAttribute::Never) => (false, true),
            (_, InlineAttribute::Always) => (true, false),
            (_, InlineAttribute::None) => (facts.flatten, false),
        };
        Directives {
            is_demanded: is_demanded && meets,
            is_forbidden,
        }
    }

    /// Returns whether the engine would accept the call, as far as summaries say.
    fn is_legal(&self, caller: &Caller, candidate: &Candidate, facts: &CallFacts) -> bool {
        let callee = &self.index.functions[candidate.callee];
        let own = &self.index.functions[caller.id];
        let ruled_out = facts.is_patchable
            || callee.has(function_flags::NO_COPIES)
            || (facts.has_handlers && callee.has(function_flags::NOT_WITH_HANDLERS))
            || (facts.is_safepoint && callee.has(function_flags::NOT_AT_SAFEPOINTS))
            || (callee.has(function_flags::HAS_STACK_LIMIT)
                && !own.has(function_flags::HAS_STACK_LIMIT));
        !ruled_out && callee.signature == facts.declared
    }

    fn frame_limit(&self, id: FunctionId, limits: &Limits) -> u64 {
        let may_recur = self.graph.recursion(id).is_recursive() || self.graph.is_address_taken(id);
        match may_recur {
            true => limits.recursive_frame_bytes.min(limits.frame_bytes),
            false => limits.frame_bytes,
        }
    }

    fn frame_with(&self, caller: &Caller, candidate: &Candidate, callee: &Outcome) -> u64 {
        if callee.frame_bytes == 0 || caller.with_frames.contains(&candidate.callee) {
            return caller.frame_bytes;
        }
        caller.frame_bytes.saturating_add(callee.frame_bytes)
    }

    /// Returns whether the copy takes the place of its original.
    fn moves(&self, candidate: &Candidate) -> bool {
        candidate.step.around() == ROOT
            && self.index.functions[candidate.callee].in_program.linkage == Linkage::Local
            && self.graph.call_count(candidate.callee) == 1
            && !self.graph.is_address_taken(candidate.callee)
    }
}

/// Returns the calls of a function's own body, of known functions.
fn own(index: &Index, facts: &Facts) -> impl Iterator<Item = Candidate> {
    facts.sites().filter_map(|number| {
        let site = SiteId::new(number);
        Some(Candidate {
            step: Step::new(ROOT, site),
            callee: index.target(site)?,
            body: ROOT,
            depth: 0,
        })
    })
}

/// A function under decision. One follows the other in the same memory.
struct Caller {
    id: FunctionId,
    inlined: Vec<Step>,
    kept: Vec<Step>,
    /// Its own.
    insts: usize,
    /// With all copies, before clean-up.
    size: usize,
    /// The instructions that clean-up takes away.
    saved: usize,
    /// The growth that counts against the function's share.
    grown: usize,
    frame_bytes: u64,
    calls: u32,
    depth: u32,
    with_frames: Vec<FunctionId>,
    /// The inlined bodies, each with the one around it.
    bodies: Vec<(u32, FunctionId)>,
    candidates: Vec<Candidate>,
    came_in: Vec<Candidate>,
    /// The path of the call that is decided, the function's own site first.
    path: Vec<PathStep>,
    /// The values that it passes.
    passed: Vec<PackedValue>,
    recorded: RecordedSite,
    summary: Summary,
    /// The calls that pass each parameter on.
    passed_on: Vec<usize>,
}

impl Caller {
    fn new(stub: &Arc<Function>) -> Self {
        let facts = KnownFacts {
            size: 0,
            frame_bytes: 0,
            calls: 0,
            call_sites: 0,
            address_taken: false,
            never_throws: false,
            linkage: Linkage::default(),
            attributes: Attributes::default(),
            recursion: Recursion::None,
            has_profile: false,
        };
        Caller {
            id: FunctionId::new(0),
            inlined: Vec::new(),
            kept: Vec::new(),
            insts: 0,
            size: 0,
            saved: 0,
            grown: 0,
            frame_bytes: 0,
            calls: 0,
            depth: 0,
            with_frames: Vec::new(),
            bodies: Vec::new(),
            candidates: Vec::new(),
            came_in: Vec::new(),
            path: Vec::new(),
            passed: Vec::new(),
            recorded: RecordedSite::default(),
            summary: Summary::recorded(Arc::clone(stub), facts),
            passed_on: Vec::new(),
        }
    }

    /// Begins with a function.
    fn begin(&mut self, id: FunctionId, facts: &Facts, place: &Place) {
        self.id = id;
        self.insts = place.insts as usize;
        self.size = self.insts;
        (self.saved, self.grown, self.depth) = (0, 0, 0);
        self.frame_bytes = facts.frame_bytes.into();
        self.calls = place.calls;
        self.inlined.clear();
        self.kept.clear();
        self.with_frames.clear();
        self.bodies.clear();
        self.candidates.clear();
    }

    /// Returns whether the callee is one of the bodies around the call.
    fn is_inside(&self, candidate: &Candidate) -> bool {
        let mut body = candidate.body;
        while let Some(&(around, callee)) = self.bodies.get(body as usize) {
            if callee == candidate.callee {
                return true;
            }
            body = around;
        }
        false
    }
}

struct Directives {
    is_demanded: bool,
    is_forbidden: bool,
}
