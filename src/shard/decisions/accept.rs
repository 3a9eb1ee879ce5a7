//! The decision on one call: its attributes and hints, the engine's refusals as far as summaries
//! have them, the policy, and the limits.

use super::caller::{Caller, Candidate};
use super::facts::CallFacts;
use super::steps::ROOT;
use super::{Decisions, Outcome};
use crate::decide::{CallSite, Decision, KnownFacts, Limits, RoundAnalysis, Shape, SiteContext};
use crate::graph::PathStep;
use crate::profile::Heat;
use crate::program::{Attributes, FunctionId, InlineAttribute, Linkage};
use crate::shard::summary::{Hint, function_flags};
use cranelift_codegen::ir::{Block, Inst};
use cranelift_entity::packed_option::ReservedValue;
use std::sync::Arc;

impl Decisions<'_> {
    /// Returns whether to inline a call, as the pass decides.
    pub(super) fn accepts(
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

    pub(super) fn frame_with(
        &self,
        caller: &Caller,
        candidate: &Candidate,
        callee: &Outcome,
    ) -> u64 {
        if callee.frame_bytes == 0 || caller.with_frames.contains(&candidate.callee) {
            return caller.frame_bytes;
        }
        caller.frame_bytes.saturating_add(callee.frame_bytes)
    }

    /// Returns whether the copy takes the place of its original.
    pub(super) fn moves(&self, candidate: &Candidate) -> bool {
        candidate.step.around() == ROOT
            && self.index.functions[candidate.callee].in_program.linkage == Linkage::Local
            && self.graph.call_count(candidate.callee) == 1
            && !self.graph.is_address_taken(candidate.callee)
    }
}

/// The wishes of the embedder for one call.
struct Directives {
    is_demanded: bool,
    is_forbidden: bool,
}
