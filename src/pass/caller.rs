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
use super::report::{Demand, Origin, Outside, Reason, RecordLevel, SiteRecord, record_size};
use super::state::State;
use crate::cleanup::CleanupContext;
use crate::graph::{CallKind, CallNode, PathStep};
use crate::locations::{LocationBuilder, LocationMode};
use crate::program::{FunctionId, ProgramFunction};
use crate::splice::{Checker, DroppedPromises, SpliceContext};
use cranelift_codegen::ir::{FuncRef, Function, Inst, Opcode, SourceLoc};
use cranelift_entity::EntityRef;

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

/// Returns the limit for the slots of the function `id`, in bytes.
fn frame_limit(inliner: &Inliner<'_>, state: &State<'_>, id: FunctionId) -> u64 {
    let graph = &state.graph;
    // An address can be called from anywhere, also from within the function's own callees.
    let may_recur = graph.recursion(id).is_recursive() || state.is_address_taken(id);
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

impl InlinedCaller {
    /// Lets the records and the numbers say that the function has its original body, in which no
    /// call was inlined, none came in and none became direct. `function` is that of the program.
    pub(super) fn keep_original(&mut self, inliner: &Inliner<'_>, function: &ProgramFunction) {
        self.records.retain_mut(|record| {
            if !matches!(record.origin, Origin::Own(_)) {
                return false;
            }
            let was_inlined = std::mem::replace(&mut record.inlined, false);
            if was_inlined {
                record.reason = Reason::Rejected;
            }
            !was_inlined
                || inliner.records == RecordLevel::All
                || record.demand().is_some()
                || function.hint(record.inst).is_some()
        });
        self.locations = None;
        self.inlined = 0;
        self.depth = 0;
        self.promises = DroppedPromises::default();
    }
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
    pub(super) frame_limit: u64,
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
            self.result.locations = Some(state.begin_locations(self.id, &mut body));
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
    pub(super) fn record(
        &self,
        candidate: Candidate,
        caller: &Function,
        demand: Option<Demand>,
        reason: Reason,
        size: usize,
    ) -> SiteRecord {
        let count = self.state.count(candidate.origin.path());
        let callee_insts = record_size(self.callee_size(&candidate));
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
            callee_insts,
            caller_insts: record_size(size),
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
