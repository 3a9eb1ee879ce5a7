//! Inlining into one function.
//!
//! Sites are decided in rounds. The first round looks at the calls that the function has of its
//! own; all of them are decided on the unchanged body, and then the accepted ones are spliced in
//! one sweep. The calls that came in with the bodies make the next round, and so on until a round
//! accepts none. Each call is decided once. Calls that become direct when the result is optimized
//! make a further stage, with rounds of its own. All rounds of a stage share one session, so from
//! the second round on, the body has more blocks than it will have in the end.

use super::Inliner;
use super::chains::Chains;
use super::directives::Directives;
use super::legality::Legality;
use super::report::{Demand, Origin, Outside, Reason, RecordLevel, SiteRecord, record_size};
use super::state::{Final, FinalBody, LAST_STAGE, State};
use crate::body::{handler_copies_size, slot_bytes};
use crate::cleanup::CleanupContext;
use crate::decide::{CallSite, Decision, RoundAnalysis, SiteContext};
use crate::graph::{CallKind, CallNode, PathStep};
use crate::locations::{LocationBuilder, LocationMode};
use crate::profile::Heat;
use crate::program::{FunctionId, Linkage};
use crate::splice::{Checker, DroppedPromises, Refusal, SpliceContext};
use cranelift_codegen::ir::{FuncRef, Function, Inst, InstructionData, Opcode, SourceLoc};
use cranelift_entity::EntityRef;
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// Scratch memory of one thread.
#[derive(Default)]
pub(super) struct CallerScratch {
    pub(super) splice: SpliceContext,
    pub(super) cleanup: CleanupContext,
}

/// A call that is still to be decided.
pub(super) struct Candidate {
    pub(super) call: Inst,
    pub(super) callee: FunctionId,
    pub(super) kind: CallKind,
    /// The bodies around it, outermost first, as an index of [`Chains`].
    pub(super) chain: Option<usize>,
    pub(super) origin: Origin,
    pub(super) depth: u32,
}

/// A call accepted for inlining.
pub(super) struct Accepted {
    /// The growth of the caller.
    pub(super) size: usize,
    /// How much of that counts against its share of growth.
    pub(super) counted: usize,
    pub(super) call: Inst,
    pub(super) callee: FunctionId,
    pub(super) chain: Option<usize>,
    pub(super) depth: u32,
    /// The record of the decision.
    pub(super) record: usize,
}

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

/// Returns the limit for the slots of the function `id`, in bytes.
fn frame_limit(inliner: &Inliner<'_>, state: &State<'_>, id: FunctionId) -> u64 {
    let graph = &state.graph;
    // An address can be called from anywhere, also from within the function's own callees.
    let may_recur = graph.recursion(id).is_recursive()
        || graph.is_address_taken(id)
        || state.in_tables.contains(id);
    match may_recur {
        true => inliner
            .limits
            .recursive_frame_bytes
            .min(inliner.limits.frame_bytes),
        false => inliner.limits.frame_bytes,
    }
}

/// The results of inlining into a function, beside its body.
pub(super) struct InlinedCaller {
    /// The table of the body, if its source locations are entries.
    pub(super) locations: Option<LocationBuilder>,
    /// In the order of stages.
    pub(super) records: Vec<SiteRecord>,
    pub(super) inlined: usize,
    pub(super) depth: u32,
    /// Whether there are remaining calls that only the optimizer may handle, even without inlining:
    /// those of memory functions, and indirect ones.
    pub(super) left_to_optimizer: bool,
    /// The size of the body, as far as it is known.
    pub(super) size: usize,
    /// The growth by copies so far, except those that took the place of their originals.
    pub(super) grown: usize,
    pub(super) promises: DroppedPromises,
}

/// Decides and splices all sites of the function `id`. The body is `None` where nothing was
/// inlined.
pub(super) fn inline_into(
    inliner: &Inliner<'_>,
    state: &State<'_>,
    id: FunctionId,
    original: &Function,
    scratch: &mut SpliceContext,
) -> (InlinedCaller, Option<Function>) {
    let mut result = InlinedCaller {
        locations: None,
        records: Vec::new(),
        inlined: 0,
        depth: 0,
        left_to_optimizer: false,
        size: state.size_at_start(id),
        grown: 0,
        promises: DroppedPromises::default(),
    };
    if !state.is_emitted(id) && !inliner.into_available {
        return (result, None);
    }
    result.left_to_optimizer =
        inliner.optimize_options.resolve_targets && state.may_know_targets(id);
    let mut job = CallerJob::new(inliner, state, id, 0, &mut result);
    if inliner.records == RecordLevel::All {
        let calls = state.graph.direct_calls(id);
        job.result.records.reserve_exact(calls);
    }
    job.record_externals(original);
    let mut callees = own_candidates(state, id).map(|candidate| candidate.callee);
    if callees.all(|callee| callee == id || state.unwanted.reason(callee).is_some()) {
        let accepted = job.decide(own_candidates(state, id), original, &original);
        debug_assert!(accepted.is_empty(), "no callee is wanted");
        return (result, None);
    }
    let body = job.run(original, own_candidates(state, id), scratch);
    (result, body)
}

/// Returns a function's own calls, in layout order, except those of external functions. They are
/// not collected, because a function may have very many.
fn own_candidates(state: &State<'_>, id: FunctionId) -> impl Iterator<Item = Candidate> {
    let sites = state.graph.callees(id);
    let sites = sites.filter_map(|site| Some((site, site.callee_function()?)));
    sites.map(|(site, callee)| Candidate {
        call: site.edge.inst,
        callee,
        kind: site.edge.kind,
        chain: None,
        origin: Origin::Own(PathStep::Site(site.id)),
        depth: 0,
    })
}

/// One stage of inlining into one function.
pub(super) struct CallerJob<'a> {
    pub(super) inliner: &'a Inliner<'a>,
    pub(super) state: &'a State<'a>,
    pub(super) id: FunctionId,
    pub(super) stage: u8,
    frame_limit: u64,
    /// The most bytes that the caller's slots take after this round.
    pub(super) frame_planned: u64,
    pub(super) chains: Chains,
    targets: Vec<Option<FunctionId>>,
    /// Callees that were wanted at calls which came in with bodies, or became direct.
    pub(super) came_in: Vec<FunctionId>,
    pub(super) result: &'a mut InlinedCaller,
}

impl<'a> CallerJob<'a> {
    pub(super) fn new(
        inliner: &'a Inliner<'a>,
        state: &'a State<'a>,
        id: FunctionId,
        stage: u8,
        result: &'a mut InlinedCaller,
    ) -> Self {
        CallerJob {
            inliner,
            state,
            id,
            stage,
            frame_limit: frame_limit(inliner, state, id),
            frame_planned: 0,
            chains: Chains::default(),
            targets: Vec::new(),
            came_in: Vec::new(),
            result,
        }
    }

    /// Returns whether inlining the callee here would repeat a body around the call.
    fn repeats(&self, candidate: &Candidate) -> bool {
        let callee = candidate.callee;
        callee == self.id || self.chains.walk(candidate.chain).any(|body| body == callee)
    }

    /// Returns the callee, unless inlining it here would repeat a body around the call, it is
    /// wanted nowhere, or it is not final.
    fn final_callee(&self, candidate: &Candidate) -> Option<FinalCallee<'a>> {
        let callee = candidate.callee;
        // One that is not wanted may be final or not, by the progress of other threads.
        if self.repeats(candidate) || self.state.unwanted.reason(callee).is_some() {
            return None;
        }
        // The callee of a call that became direct need not be ordered.
        let is_resolved = matches!(
            candidate.origin.path().last(),
            Some(PathStep::Resolved { .. })
        );
        if is_resolved && !self.state.is_ordered(self.id, callee) {
            return None;
        }
        let done = self.state.finals.get(callee)?.get()?;
        let held = done.held();
        debug_assert!(held.is_some(), "{callee} is freed, and may be inlined");
        Some(FinalCallee { done, held: held? })
    }
}

impl CallerJob<'_> {
    /// Decides the candidates, which are calls of `before`, and the calls that come in with them,
    /// and splices the accepted ones. Returns the resulting body, or `None` if no call was inlined.
    pub(super) fn run(
        &mut self,
        before: &Function,
        candidates: impl IntoIterator<Item = Candidate>,
        scratch: &mut SpliceContext,
    ) -> Option<Function> {
        let state = self.state;
        let checker = Checker::new(before, &state.splice_options);
        let accepted = self.decide(candidates, before, &checker);
        if accepted.is_empty() {
            return None;
        }
        let inlined_before = self.result.inlined;
        // One session for all rounds: it keeps the inherited data of calls that came in, such as
        // debug tags, which their instructions alone do not have.
        let mut body = before.clone();
        let begins = self.result.locations.is_none();
        if begins && self.inliner.locations == LocationMode::InlinedAt {
            self.result.locations = Some(LocationBuilder::begin(&mut body));
        }
        // The copy has the same structure, which need not be checked again.
        let checked = checker.into_checked();
        let mut session = scratch.session_of_checked(&mut body, checked, &state.splice_options);
        let mut came_in = self.splice(accepted, &mut session);
        while !came_in.is_empty() {
            let candidates = self.find_candidates(session.caller(), came_in);
            self.result.records.reserve_exact(candidates.len());
            let accepted = self.decide(candidates, session.caller(), &session);
            came_in = self.splice(accepted, &mut session);
        }
        self.result.promises += session.finish();
        for &callee in &self.came_in {
            state.release_if_last(callee);
        }
        // If all calls were refused, the body is unchanged, and may be shared.
        if self.result.inlined > inlined_before {
            return Some(body);
        }
        if begins {
            self.result.locations = None;
        }
        None
    }

    /// Returns the location of a call in the function whose original body has it.
    pub(super) fn srcloc(&self, caller: &Function, call: Inst) -> SourceLoc {
        let location = caller.srcloc(call);
        match &self.result.locations {
            Some(builder) => builder.own_location(location),
            None => location,
        }
    }

    /// Records the function's own calls of external functions.
    fn record_externals(&mut self, body: &Function) {
        let state = self.state;
        for site in state.graph.callees(self.id) {
            let CallNode::External(name) = site.callee else {
                continue;
            };
            let options = &self.inliner.optimize_options;
            self.result.left_to_optimizer |= site.edge.kind == CallKind::TryCall
                && options.drop_handlers
                && options.function_never_throws(name);
            let path = [PathStep::Site(site.id)];
            let directives = Directives::of_external(self.inliner, state, &path);
            if !self.is_recorded(site.edge.inst, &directives) {
                continue;
            }
            self.result.records.push(SiteRecord {
                caller: self.id,
                callee: name.clone(),
                callee_id: None,
                inst: site.edge.inst,
                kind: site.edge.kind,
                srcloc: body.srcloc(site.edge.inst),
                inlined: false,
                reason: Reason::External,
                origin: Origin::Own(PathStep::Site(site.id)),
                outside: Outside::new(directives.demand, state.count(&path)),
                callee_insts: 0,
                caller_insts: record_size(self.result.size),
            });
        }
    }

    /// Returns whether a call of the function's own gets a record if it stays a call.
    pub(super) fn is_recorded(&self, call: Inst, directives: &Directives) -> bool {
        match self.inliner.records {
            RecordLevel::All => true,
            // The hint is passed on to the call in the result.
            RecordLevel::Changes => {
                directives.demand.is_some() || self.state.program[self.id].hint(call).is_some()
            }
        }
    }

    /// Returns the record of a candidate that was decided when the caller had the size `size`.
    fn record(
        &self,
        candidate: Candidate,
        caller: &Function,
        demand: Option<Demand>,
        reason: Reason,
        size: usize,
    ) -> SiteRecord {
        let count = self.state.count(candidate.origin.path());
        SiteRecord {
            caller: self.id,
            callee: self.state.program[candidate.callee].name().clone(),
            callee_id: Some(candidate.callee),
            inst: candidate.call,
            kind: candidate.kind,
            srcloc: self.srcloc(caller, candidate.call),
            inlined: false,
            reason,
            origin: candidate.origin,
            outside: Outside::new(demand, count),
            callee_insts: record_size(self.state.size_of(candidate.callee)),
            caller_insts: record_size(size),
        }
    }

    /// Returns the size of a copy in place of the candidate: the callee's, and that of the handlers
    /// which its calls get.
    fn copy_size(
        &self,
        candidate: &Candidate,
        callee: Option<&FinalCallee<'_>>,
        caller: &Function,
    ) -> usize {
        let size = self.state.size_of(candidate.callee);
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
    fn decide(
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

    /// Returns whether the copy takes the place of its original, so that the program does not grow: the
    /// call is the only reference to a local function.
    ///
    /// A call that came in with a body has its original elsewhere, so it is never the only one.
    fn moves(&self, candidate: &Candidate) -> bool {
        let graph = &self.state.graph;
        let callee = candidate.callee;
        matches!(candidate.origin, Origin::Own(_))
            && self.state.program[callee].linkage() == Linkage::Local
            && graph.call_count(callee) == 1
            && !graph.is_address_taken(callee)
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

    /// Returns the function of the program that a reference names. Names are looked up once for
    /// each reference, not for each call.
    pub(super) fn target(&mut self, body: &Function, func_ref: FuncRef) -> Option<FunctionId> {
        while self.targets.len() <= func_ref.index() {
            let next = FuncRef::new(self.targets.len());
            self.targets.push(self.state.program.callee(body, next));
        }
        self.targets[func_ref.index()]
    }
}

/// Returns the kind of a direct call.
pub(super) fn kind_of(opcode: Opcode) -> CallKind {
    match opcode {
        Opcode::ReturnCall | Opcode::ReturnCallIndirect => CallKind::ReturnCall,
        Opcode::TryCall | Opcode::TryCallIndirect => CallKind::TryCall,
        _ => CallKind::Call,
    }
}
