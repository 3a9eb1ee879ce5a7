//! Decisions about the calls of one round.
//!
//! All of them are made on the body as it is at the start of the round, in the order of its calls.
//! The sizes of the accepted ones so far count against the limits.

use super::caller::{Accepted, CallerJob, Candidate};
use super::directives::Directives;
use super::legality::Legality;
use super::report::{Origin, Reason};
use super::state::{Final, FinalBody, LAST_STAGE};
use crate::body::{handler_copies_size, slot_bytes};
use crate::decide::{CallSite, Decision, RoundAnalysis, SiteContext};
use crate::graph::{CallKind, PathStep};
use crate::profile::Heat;
use crate::program::{FunctionId, Linkage};
use crate::splice::Refusal;
use cranelift_codegen::ir::{Function, InstructionData};
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// A callee that may be inlined.
struct FinalCallee<'a> {
    done: &'a Final,
    held: Arc<FinalBody>,
}

/// The size of a copy, and those before it.
#[derive(Clone, Copy)]
struct Planned<'a> {
    copy: usize,
    grown: &'a Grown,
}

/// The accepted calls of a round so far, in sizes.
struct Grown {
    code: usize,
    /// The part of the code that counts against the caller's share of growth.
    counted: usize,
    /// The most bytes that the caller's slots can take.
    frame: u64,
    /// The callees, which share their slots with further copies of them in the same round: none of
    /// these is inside another.
    with_frames: FxHashSet<FunctionId>,
}

impl Grown {
    /// Returns the most bytes of the caller's slots after one more copy of `callee`, which has
    /// `bytes` of them.
    fn frame_with(&self, callee: FunctionId, bytes: u64, shares: bool) -> u64 {
        match shares && self.with_frames.contains(&callee) {
            true => self.frame,
            false => self.frame.saturating_add(bytes),
        }
    }
}

impl<'a> CallerJob<'a> {
    /// Returns whether inlining the callee here would repeat a body around the call.
    fn repeats(&self, candidate: &Candidate) -> bool {
        let callee = candidate.callee;
        callee == self.id || self.chains.walk(candidate.chain).any(|body| body == callee)
    }

    /// Returns whether the callee is always final by now, or never, for any timing of threads.
    fn is_ordered(&self, candidate: &Candidate) -> bool {
        // The callee of a call that became direct need not be.
        let last = candidate.origin.path().last();
        let is_resolved = matches!(last, Some(PathStep::Resolved { .. }));
        !is_resolved || self.state.is_ordered(self.id, candidate.callee)
    }

    /// Returns the size of the callee as far as it is known for any timing of threads.
    pub(super) fn callee_size(&self, candidate: &Candidate) -> usize {
        let is_ordered = self.is_ordered(candidate);
        self.state.ordered_size(candidate.callee, is_ordered)
    }

    /// Returns the callee, unless inlining it here would repeat a body around the call, it is
    /// wanted nowhere, or it is not final.
    fn final_callee(&self, candidate: &Candidate) -> Option<FinalCallee<'a>> {
        let callee = candidate.callee;
        // One that is not wanted may be final or not, by the progress of other threads.
        if self.repeats(candidate) || self.state.unwanted.reason(callee).is_some() {
            return None;
        }
        if !self.is_ordered(candidate) {
            return None;
        }
        let done = self.state.finals.get(callee)?.get()?;
        let held = done.held();
        debug_assert!(held.is_some(), "{callee} is freed, and may be inlined");
        Some(FinalCallee { done, held: held? })
    }
}

impl CallerJob<'_> {
    /// Returns the size of a copy in place of the candidate: the callee's, and that of the handlers
    /// which its calls get.
    fn copy_size(
        &self,
        candidate: &Candidate,
        callee: Option<&FinalCallee<'_>>,
        caller: &Function,
    ) -> usize {
        let size = self.callee_size(candidate);
        if candidate.kind != CallKind::TryCall {
            return size;
        }
        let InstructionData::TryCall { exception, .. } = caller.dfg.insts[candidate.call] else {
            debug_assert!(false, "{} was a try_call in the graph", candidate.call);
            return size;
        };
        let calls = callee.map_or(0, |callee| callee.done.calls);
        size.saturating_add(handler_copies_size(caller, exception, calls))
    }

    /// Decides each candidate on the body as it is; returns those to be
    /// inlined.
    pub(super) fn decide(
        &mut self,
        candidates: impl IntoIterator<Item = Candidate>,
        caller: &Function,
        legality: &impl Legality,
    ) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        let analysis = RoundAnalysis::new(caller);
        let mut grown = Grown {
            code: 0,
            counted: 0,
            frame: slot_bytes(caller),
            with_frames: FxHashSet::default(),
        };
        for candidate in candidates {
            let path = candidate.origin.path();
            let directives = Directives::of(self.inliner, self.state, path, Some(candidate.callee));
            let size = self.result.size.saturating_add(grown.code);
            let callee = self.final_callee(&candidate);
            let copy = self.copy_size(&candidate, callee.as_ref(), caller);
            let planned = Planned {
                copy,
                grown: &grown,
            };
            let callee = callee.as_ref();
            let decision = self.decide_one(
                &candidate,
                callee,
                &directives,
                legality,
                &analysis,
                planned,
            );
            let inline = decision.is_ok();
            trace!(
                "{}: {} of {} {}: {}",
                self.state.program[self.id].name(),
                candidate.call,
                self.state.program[candidate.callee].name(),
                if inline { "is to be inlined" } else { "stays" },
                decision.as_ref().unwrap_or_else(|reason| reason)
            );
            self.result.left_to_optimizer |= decision == Err(Reason::MemoryFunction)
                || !inline && self.may_drop_handlers(&candidate);
            let (Ok(reason) | Err(reason)) = decision;
            if inline {
                let counted = if self.moves(&candidate) { 0 } else { copy };
                grown.code = grown.code.saturating_add(copy);
                grown.counted = grown.counted.saturating_add(counted);
                if let Some(callee) = callee {
                    let shares = self.state.splice_options.share_slots;
                    let bytes = callee.done.frame_bytes;
                    grown.frame = grown.frame_with(candidate.callee, bytes, shares);
                    if bytes > 0 {
                        grown.with_frames.insert(candidate.callee);
                    }
                    callee.held.preparation.want();
                }
                accepted.push(Accepted {
                    size: copy,
                    counted,
                    call: candidate.call,
                    callee: candidate.callee,
                    chain: candidate.chain,
                    depth: candidate.depth,
                    record: self.result.records.len(),
                });
            } else {
                callee.inspect(|callee| callee.held.preparation.release_unless_wanted());
                let is_own = matches!(candidate.origin, Origin::Own(_));
                if is_own && !self.is_recorded(candidate.call, &directives) {
                    continue;
                }
            }
            let record = self.record(candidate, caller, directives.demand, reason, size);
            self.result.records.push(record);
        }
        self.frame_planned = grown.frame;
        accepted
    }

    /// Returns whether the call has handlers, and an exception of its callee never comes to them.
    fn may_drop_handlers(&self, candidate: &Candidate) -> bool {
        let options = &self.inliner.optimize_options;
        let name = self.state.program[candidate.callee].name();
        candidate.kind == CallKind::TryCall
            && options.drop_handlers
            && self.state.call_never_throws(options, self.id, name)
    }

    /// Decides one candidate: `Ok` to inline, `Err` to keep.
    fn decide_one(
        &self,
        candidate: &Candidate,
        callee: Option<&FinalCallee<'_>>,
        directives: &Directives,
        legality: &impl Legality,
        analysis: &RoundAnalysis<'_>,
        planned: Planned<'_>,
    ) -> Result<Reason, Reason> {
        let state = self.state;
        let Planned { copy, grown } = planned;
        let size = self.result.size.saturating_add(grown.code);
        let function = &state.program[candidate.callee];
        if function.linkage() == Linkage::Interposable {
            return Err(Reason::Interposable);
        }
        if self.inliner.keeps_memory_function(function.name()) {
            return Err(Reason::MemoryFunction);
        }
        if let Some(reason) = &directives.forbidden {
            return Err(reason.clone());
        }
        if self.stage > LAST_STAGE {
            return Err(Reason::Stages);
        }
        let refused = |refusal| Reason::Refused(Box::new(refusal));
        if let Some(reason) = state.unwanted.reason(candidate.callee)
            && !self.repeats(candidate)
        {
            // The signature is known before the body.
            legality
                .check_call(candidate.call, function.body())
                .map_err(refused)?;
            return Err(reason.clone());
        }
        let callee = callee.ok_or(Reason::Recursion)?;
        let FinalCallee { done, held } = callee;
        legality
            .check_call(candidate.call, &held.body)
            .map_err(refused)?;
        let wanted = self.ask(candidate, directives, callee, analysis, size)?;
        let view = held.preparation.view(&held.body);
        let legal = view.map_err(Clone::clone);
        legal
            .and_then(|view| legality.check_view(candidate.call, view))
            .map_err(refused)?;
        let limits = &self.inliner.limits;
        let nested = candidate.depth.saturating_add(1).saturating_add(done.depth);
        if nested > limits.depth {
            return Err(Reason::Depth);
        }
        if size.saturating_add(copy) > limits.function_insts {
            return Err(Reason::FunctionSize);
        }
        let shares = state.splice_options.share_slots;
        let frame = grown.frame_with(candidate.callee, done.frame_bytes, shares);
        if done.frame_bytes > 0 && frame > self.frame_limit {
            return Err(Reason::FrameSize);
        }
        let growth = self.result.grown.saturating_add(grown.counted);
        if !self.moves(candidate) && growth.saturating_add(copy) > state.growth_shares[self.id] {
            return Err(Reason::ProgramGrowth);
        }
        Ok(wanted)
    }

    /// Returns whether the copy takes the place of its original, so that the program does not grow:
    /// the call is the only reference to a local function.
    ///
    /// A call that came in with a body has its original elsewhere, so it is never the only one.
    fn moves(&self, candidate: &Candidate) -> bool {
        let state = self.state;
        let callee = candidate.callee;
        matches!(candidate.origin, Origin::Own(_))
            && state.program[callee].linkage() == Linkage::Local
            && state.graph.call_count(callee) == 1
            && !state.is_address_taken(callee)
    }

    /// Asks the embedder's directives and the policy; returns `Ok` to inline.
    fn ask(
        &self,
        candidate: &Candidate,
        directives: &Directives,
        callee: &FinalCallee<'_>,
        analysis: &RoundAnalysis<'_>,
        size: usize,
    ) -> Result<Reason, Reason> {
        let state = self.state;
        let function = &state.program[candidate.callee];
        if let Some(demand) = directives.demand {
            return Ok(demand.reason());
        }
        let Some(block) = analysis.caller.layout.inst_block(candidate.call) else {
            debug_assert!(false, "{} is in the layout", candidate.call);
            return Err(Reason::Refused(Box::new(Refusal::Unreachable)));
        };
        let count = state.count(candidate.origin.path());
        let site = CallSite {
            context: SiteContext {
                caller_name: state.program[self.id].name(),
                callee_name: function.name(),
                graph: &state.graph,
                path: candidate.origin.path(),
                callee: &callee.held.body,
                summary: state.summary(candidate.callee, callee.done, &callee.held),
                call: candidate.call,
                block,
                srcloc: self.srcloc(analysis.caller, candidate.call),
                kind: candidate.kind,
                caller_insts: size,
                caller_insts_at_start: state.sizes[self.id],
                caller_call_sites: state.graph.call_count(self.id),
                depth: candidate.depth,
                cold: directives.cold,
                count,
                heat: state
                    .counts
                    .as_ref()
                    .map_or(Heat::Unknown, |counts| counts.heat(count)),
                promotes_slots: self.inliner.optimizes(1)
                    && self.inliner.optimize_options.promote_slots,
            },
            analysis,
            recorded: None,
        };
        match self.inliner.policy.decide(&site) {
            Decision::Inline { reason } => Ok(Reason::Policy(reason)),
            Decision::Keep { reason } => Err(Reason::Policy(reason)),
            Decision::Undecided => Err(Reason::Undecided),
        }
    }
}
