//! Decisions on summaries alone, with the same policies, limits and order as in the pass.
//!
//! Functions are visited bottom-up. The own calls of a function are decided, then the calls that
//! came in with the accepted bodies, and so on. Facts about such a call are put together from those
//! of the sites on its path: a parameter that is passed on is followed outwards, loops add up. The
//! effect of clean-up is estimated from the facts about parameters.

mod facts;
mod program_facts;

use self::program_facts::{counts, never_throwing};
use super::index::Index;
use super::summary::{Hint, Passed, SiteSummary, function_flags, site_flags};
use crate::decide::{
    CallSite, Decision, KnownFacts, Limits, ParameterUse, RecordedSite, RoundAnalysis, Shape,
    SiteContext, Summary,
};
use crate::graph::{CallGraph, CallKind, PathStep, SiteId};
use crate::pass::{Inliner, growth_shares};
use crate::profile::{Heat, SiteCounts};
use crate::program::{FunctionId, InlineAttribute, Linkage};
use cranelift_codegen::ir::{Block, Inst, Opcode, SourceLoc};
use cranelift_entity::packed_option::ReservedValue;
use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use smallvec::{SmallVec, smallvec};

/// No call: the body of the function itself.
const ROOT: u32 = u32::MAX;

/// A call in a function as it is in the end: a site of the program, and the inlined call whose body
/// has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The inlined call around it, by its number in [`Outcome::inlined`], or [`ROOT`].
    pub(super) around: u32,
    pub(super) site: SiteId,
    /// Whether it was decided in this function, not in a callee before that was inlined.
    pub(super) is_new: bool,
}

/// The decisions on one function.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    size: u32,
    calls: u32,
    frame_bytes: u64,
    depth: u32,
    /// The inlined calls; each comes after the one around it.
    pub(super) inlined: Box<[Step]>,
    /// The calls of known functions that stay.
    pub(super) kept: Box<[Step]>,
    /// The uses of the parameters, where inlined bodies have changed them.
    parameters: Option<Box<[ParameterUse]>>,
}

impl Outcome {
    /// Returns the sites on the path to a step, the function's own first.
    pub(super) fn path(&self, step: Step) -> SmallVec<[SiteId; 8]> {
        path(&self.inlined, step)
    }
}

fn path(inlined: &[Step], mut step: Step) -> SmallVec<[SiteId; 8]> {
    let mut path = smallvec![step.site];
    while let Some(around) = inlined.get(step.around as usize) {
        path.push(around.site);
        step = *around;
    }
    path.reverse();
    path
}

/// A call to be decided.
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
    index: &'a Index<'a>,
    pub(super) graph: &'a CallGraph,
    inliner: &'a Inliner<'a>,
    counts: Option<SiteCounts>,
    shares: SecondaryMap<FunctionId, usize>,
    pub(super) never_throwing: EntitySet<FunctionId>,
    outcomes: PrimaryMap<FunctionId, Option<Outcome>>,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(
        index: &'a Index<'a>,
        graph: &'a CallGraph,
        inliner: &'a Inliner<'a>,
    ) -> Self {
        let ids: Vec<FunctionId> = index.functions().collect();
        let mut sizes = SecondaryMap::with_capacity(ids.len());
        for &id in &ids {
            sizes[id] = index.function(id).1.insts as usize;
        }
        let grows = |id: &FunctionId| index.program[*id].linkage() != Linkage::AvailableExternally;
        let growing: Vec<FunctionId> = ids.iter().copied().filter(grows).collect();
        Decisions {
            index,
            graph,
            inliner,
            counts: counts(index, graph),
            shares: growth_shares(&sizes, &growing, inliner.hard_limits()),
            never_throwing: never_throwing(index, graph, inliner),
            outcomes: ids.iter().map(|_| None).collect(),
        }
    }

    /// Decides all calls.
    pub(super) fn decide(mut self) -> Self {
        let graph = self.graph;
        for members in graph.bottom_up() {
            for &id in members {
                let outcome = match self.index.program[id].linkage() {
                    Linkage::AvailableExternally => self.unchanged(id),
                    _ => self.function(id),
                };
                self.outcomes[id] = Some(outcome);
            }
        }
        self
    }

    pub(super) fn outcome(&self, id: FunctionId) -> Option<&Outcome> {
        self.outcomes.get(id)?.as_ref()
    }

    fn unchanged(&self, id: FunctionId) -> Outcome {
        let (_, function) = self.index.function(id);
        let own = self.own(id).map(|candidate| candidate.step);
        Outcome {
            size: function.insts,
            calls: function.calls,
            frame_bytes: function.frame_bytes,
            kept: own.collect(),
            ..Outcome::default()
        }
    }

    fn own(&self, id: FunctionId) -> impl Iterator<Item = Candidate> {
        let sites = self.graph.callees(id);
        sites.filter_map(|site| {
            Some(Candidate {
                step: Step {
                    around: ROOT,
                    site: site.id,
                    is_new: true,
                },
                callee: site.callee_function()?,
                body: ROOT,
                depth: 0,
            })
        })
    }

    fn function(&self, id: FunctionId) -> Outcome {
        let (_, function) = self.index.function(id);
        let mut caller = Caller {
            id,
            inlined: Vec::new(),
            kept: Vec::new(),
            size: function.insts as usize,
            saved: 0,
            grown: 0,
            frame_bytes: function.frame_bytes,
            calls: function.calls,
            depth: 0,
            with_frames: Vec::new(),
            bodies: Vec::new(),
        };
        let mut candidates: Vec<Candidate> = self.own(id).collect();
        while !candidates.is_empty() {
            candidates = self.round(&mut caller, candidates);
        }
        let parameters = self.parameters_after(id, function, &caller);
        Outcome {
            size: number(caller.size.saturating_sub(caller.saved)),
            calls: caller.calls,
            frame_bytes: caller.frame_bytes,
            depth: caller.depth,
            inlined: caller.inlined.into_boxed_slice(),
            kept: caller.kept.into_boxed_slice(),
            parameters,
        }
    }

    /// Decides the calls of a round; returns those that come in with the accepted bodies.
    fn round(&self, caller: &mut Caller, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let mut came_in = Vec::new();
        let mut accepted_size = 0;
        for candidate in candidates {
            let facts = self.facts(caller, &candidate);
            let size = caller.size.saturating_add(accepted_size);
            if !self.accepts(caller, &candidate, &facts, size) {
                caller.kept.push(candidate.step);
                continue;
            }
            let Some(callee) = self.outcome(candidate.callee) else {
                debug_assert!(false, "an accepted callee was decided before");
                continue;
            };
            accepted_size += callee.size as usize;
            if !self.moves(&candidate) {
                caller.grown += callee.size as usize;
            }
            caller.saved += self.saved(&candidate, callee, &facts);
            caller.frame_bytes = self.frame_with(caller, &candidate, callee);
            if callee.frame_bytes > 0 && !caller.with_frames.contains(&candidate.callee) {
                caller.with_frames.push(candidate.callee);
            }
            caller.calls = caller.calls.saturating_sub(1).saturating_add(callee.calls);
            let depth = candidate.depth + 1;
            caller.depth = caller.depth.max(depth + callee.depth);
            let here = number(caller.inlined.len());
            caller.inlined.push(candidate.step);
            // The bodies that are in the callee already come along.
            let mut copies = Vec::with_capacity(callee.inlined.len());
            for step in &callee.inlined {
                let around = copies.get(step.around as usize).copied().unwrap_or(here);
                copies.push(number(caller.inlined.len()));
                caller.inlined.push(Step {
                    around,
                    site: step.site,
                    is_new: false,
                });
            }
            let body = number(caller.bodies.len());
            caller.bodies.push((candidate.body, candidate.callee));
            for step in &callee.kept {
                let around = copies.get(step.around as usize).copied().unwrap_or(here);
                let site = self.graph.site(step.site);
                let Some(callee) = site.and_then(|site| site.callee_function()) else {
                    debug_assert!(false, "kept calls are of known functions");
                    continue;
                };
                came_in.push(Candidate {
                    step: Step {
                        around,
                        site: step.site,
                        is_new: true,
                    },
                    callee,
                    body,
                    depth,
                });
            }
        }
        caller.size = caller.size.saturating_add(accepted_size);
        came_in
    }

    /// Returns whether to inline a call, as the pass decides.
    fn accepts(&self, caller: &Caller, candidate: &Candidate, facts: &Facts, size: usize) -> bool {
        let program = &self.index.program;
        let function = &program[candidate.callee];
        if function.linkage() == Linkage::Interposable
            || self.inliner.keeps_memory_function(function.name())
        {
            return false;
        }
        let directives = self.directives(candidate, facts);
        let repeats = candidate.callee == caller.id || caller.is_inside(candidate);
        let Some(callee) = self.outcome(candidate.callee).filter(|_| !repeats) else {
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
        caller: &Caller,
        candidate: &Candidate,
        facts: &Facts,
        callee: &Outcome,
        size: usize,
    ) -> bool {
        let (index, graph) = (self.index, self.graph);
        let (program, id) = (&index.program, candidate.callee);
        let (_, summary) = index.function(id);
        let stub = program[id].body();
        let known = KnownFacts {
            size: callee.size as usize,
            frame_bytes: callee.frame_bytes,
            calls: callee.calls as usize,
            call_sites: graph.call_count(id),
            address_taken: graph.is_address_taken(id),
            never_throws: self.never_throwing.contains(id),
            linkage: program[id].linkage(),
            attributes: program[id].attributes(),
            recursion: graph.recursion(id),
        };
        let shape = Shape {
            blocks: summary.blocks as usize,
            returns: summary.returns as usize,
            back_edges: summary.loops as usize,
            slot_bytes: summary.slot_bytes,
        };
        let parameters = self.parameters(id).into_owned();
        let summary = Summary::recorded(stub.clone(), known, shape, parameters, summary.ways());
        let recorded = RecordedSite {
            arguments: facts.passed.iter().map(|value| value.argument()).collect(),
            slots: facts.passed.iter().map(|value| value.slot()).collect(),
            result_branches: facts.branches.iter().copied().collect(),
            loop_depth: facts.loop_depth,
            in_cold_block: facts.in_cold_block,
            in_first_block: facts.in_first_block,
            callee: Some(stub.clone()),
            opcode: Some(facts.opcode),
            ..RecordedSite::default()
        };
        let caller_stub = program[caller.id].body();
        let analysis = RoundAnalysis::new(caller_stub);
        let count = self.count(&facts.path);
        let heat = self.counts.as_ref();
        let site = CallSite {
            context: SiteContext {
                caller_name: program[caller.id].name(),
                callee_name: program[id].name(),
                graph,
                path: &facts.path,
                callee: stub,
                summary: &summary,
                call: Inst::reserved_value(),
                block: Block::reserved_value(),
                srcloc: facts.location,
                kind: facts.kind,
                caller_insts: size,
                caller_insts_at_start: index.function(caller.id).1.insts as usize,
                caller_call_sites: graph.call_count(caller.id),
                depth: candidate.depth,
                cold: facts.is_cold,
                count,
                heat: heat.map_or(Heat::Unknown, |counts| counts.heat(count)),
                promotes_slots: self.inliner.optimizes(1)
                    && self.inliner.optimization().promote_slots,
            },
            analysis: &analysis,
            recorded: Some(&recorded),
        };
        matches!(self.inliner.policy().decide(&site), Decision::Inline { .. })
    }

    fn count(&self, path: &[PathStep]) -> Option<u64> {
        self.counts.as_ref()?.of_path(self.graph, path)
    }

    fn directives(&self, candidate: &Candidate, facts: &Facts) -> Directives {
        let meets = self.inliner.meets_demands();
        let hint = facts.own.map_or(Hint::None, |site| site.hint);
        let attribute = self.index.program[candidate.callee].attributes().inline;
        let (is_demanded, is_forbidden) = match (hint, attribute) {
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
    fn is_legal(&self, caller: &Caller, candidate: &Candidate, facts: &Facts) -> bool {
        let home = self.index.home(candidate.callee);
        let (_, callee) = self.index.at(home);
        let (_, own) = self.index.function(caller.id);
        let patchable = facts
            .own
            .is_some_and(|site| site.has(site_flags::PATCHABLE));
        let ruled_out = patchable
            || callee.has(function_flags::NO_COPIES)
            || (facts.has_handlers && callee.has(function_flags::NOT_WITH_HANDLERS))
            || (facts.is_safepoint && callee.has(function_flags::NOT_AT_SAFEPOINTS))
            || (callee.has(function_flags::HAS_STACK_LIMIT)
                && !own.has(function_flags::HAS_STACK_LIMIT));
        !ruled_out && self.index.signature(home.shard, callee.signature) == facts.declared
    }

    fn frame_limit(&self, id: FunctionId, limits: &Limits) -> u64 {
        let may_recur = self.graph.recursion(id).is_recursive() || self.graph.is_address_taken(id);
        match may_recur {
            true => limits.recursive_frame_bytes.min(limits.frame_bytes),
            false => limits.frame_bytes,
        }
    }

    fn frame_with(&self, caller: &Caller, candidate: &Candidate, callee: &Outcome) -> u64 {
        match caller.with_frames.contains(&candidate.callee) {
            true => caller.frame_bytes,
            false => caller.frame_bytes.saturating_add(callee.frame_bytes),
        }
    }

    /// Returns whether the copy takes the place of its original.
    fn moves(&self, candidate: &Candidate) -> bool {
        candidate.step.around == ROOT
            && self.index.program[candidate.callee].linkage() == Linkage::Local
            && self.graph.call_count(candidate.callee) == 1
            && !self.graph.is_address_taken(candidate.callee)
    }
}

/// A function under decision.
struct Caller {
    id: FunctionId,
    inlined: Vec<Step>,
    kept: Vec<Step>,
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
}

impl Caller {
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

/// The facts about one call in its present place.
struct Facts {
    path: SmallVec<[PathStep; 8]>,
    passed: SmallVec<[Passed; 8]>,
    branches: SmallVec<[u32; 4]>,
    loop_depth: u32,
    in_cold_block: bool,
    in_first_block: bool,
    is_cold: bool,
    has_handlers: bool,
    is_safepoint: bool,
    flatten: bool,
    own: Option<SiteSummary>,
    kind: CallKind,
    opcode: Opcode,
    location: SourceLoc,
    /// The number of the signature that the call declares.
    declared: u32,
}

struct Directives {
    is_demanded: bool,
    is_forbidden: bool,
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
