//! Calls that became direct when a body was optimized.
//!
//! Their targets became known only after other calls were inlined and slots promoted, so they are
//! decided in a further stage, on the body as it is then: some programs need inline, promote,
//! inline, promote. The bodies around such a call are no longer known, so the number of stages and
//! the limits, which hold over all of them, end the process.

use super::Inliner;
use super::caller::{CallerJob, Candidate, InlinedCaller, kind_of};
use super::report::{Origin, Outside, Reason, RecordLevel, ResolvedAt, SiteRecord, record_size};
use super::state::State;
use crate::cleanup::CleanupContext;
use crate::graph::PathStep;
use crate::program::{FunctionId, FunctionName};
use crate::splice::SpliceContext;
use cranelift_codegen::ir::{Function, Inst, InstructionData};
use cranelift_entity::EntitySet;
use rustc_hash::FxHashMap;

/// The findings of the optimizer.
pub(super) struct FoundTargets {
    /// The stage for these calls.
    stage: u8,
    resolved: EntitySet<Inst>,
    mismatched: Vec<(Inst, FunctionName)>,
}

impl FoundTargets {
    /// Returns the findings in `context` about the last optimized function; `None` if there are
    /// none.
    pub(super) fn take(context: &CleanupContext, stage: u8) -> Option<Self> {
        let resolved = context.resolved_calls();
        let mismatched = context.mismatched_calls();
        if resolved.is_empty() && mismatched.is_empty() {
            return None;
        }
        let mut found = FoundTargets {
            stage,
            resolved: EntitySet::new(),
            mismatched: mismatched.to_vec(),
        };
        found.resolved.extend(resolved.iter().copied());
        Some(found)
    }
}

/// Decides the calls of `body` that became direct, and splices them. Returns the
/// new body, or `None` where nothing was inlined.
pub(super) fn inline_resolved(
    inliner: &Inliner<'_>,
    state: &State<'_>,
    id: FunctionId,
    body: &Function,
    mut found: FoundTargets,
    result: &mut InlinedCaller,
    scratch: &mut SpliceContext,
) -> Option<Function> {
    let mut job = CallerJob::new(inliner, state, id, found.stage, result);
    job.record_mismatched(body, &mut found.mismatched);
    let candidates = job.candidates(body, &found.resolved);
    if candidates.is_empty() {
        return None;
    }
    job.run(body, candidates, scratch)
}

impl CallerJob<'_> {
    /// Returns the calls of `resolved` that still exist, in the order of the layout, except those
    /// of external functions, which are recorded.
    fn candidates(&mut self, body: &Function, resolved: &EntitySet<Inst>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut ordinals: FxHashMap<FunctionId, u32> = FxHashMap::default();
        let blocks = body.layout.blocks();
        let insts = blocks.flat_map(|block| body.layout.block_insts(block));
        for call in insts.filter(|&inst| resolved.contains(inst)) {
            let (InstructionData::Call { func_ref, .. }
            | InstructionData::TryCall { func_ref, .. }) = body.dfg.insts[call]
            else {
                continue;
            };
            let Some(callee) = self.target(body, func_ref) else {
                if let Some(callee) = FunctionName::of_callee(body, func_ref) {
                    self.record_kept(body, call, callee, Reason::External);
                }
                continue;
            };
            let next = ordinals.entry(callee).or_default();
            let ordinal = *next;
            *next += 1;
            candidates.push(Candidate {
                call,
                callee,
                kind: kind_of(body.dfg.insts[call].opcode()),
                chain: None,
                origin: Origin::Resolved(Box::new(ResolvedAt {
                    stage: self.stage,
                    path: Some(PathStep::Resolved {
                        stage: self.stage,
                        caller: self.id,
                        callee,
                        ordinal,
                    }),
                })),
                depth: self.result.depth,
            });
        }
        candidates
    }

    /// Records the calls that stay indirect because of their signature, each once.
    fn record_mismatched(&mut self, body: &Function, mismatched: &mut Vec<(Inst, FunctionName)>) {
        mismatched.sort_unstable_by_key(|(call, _)| *call);
        mismatched.dedup_by_key(|(call, _)| *call);
        let records = self.result.records.iter();
        let records = records.filter(|record| record.reason == Reason::OtherSignature);
        let mut known: EntitySet<Inst> = EntitySet::new();
        known.extend(records.map(|record| record.inst));
        for (call, callee) in mismatched.drain(..) {
            if body.layout.inst_block(call).is_some() && !known.contains(call) {
                self.record_kept(body, call, callee, Reason::OtherSignature);
            }
        }
    }

    fn record_kept(&mut self, body: &Function, call: Inst, callee: FunctionName, reason: Reason) {
        if self.inliner.records != RecordLevel::All {
            return;
        }
        let callee_id = match reason {
            Reason::External => None,
            _ => self.state.program.id(&callee),
        };
        let record = SiteRecord {
            caller: self.id,
            callee,
            callee_id,
            inst: call,
            kind: kind_of(body.dfg.insts[call].opcode()),
            srcloc: self.srcloc(body, call),
            inlined: false,
            reason,
            origin: Origin::Resolved(Box::new(ResolvedAt {
                stage: self.stage,
                path: None,
            })),
            outside: Outside::new(None, None),
            callee_insts: record_size(callee_id.map_or(0, |id| {
                let is_ordered = self.state.is_ordered(self.id, id);
                self.state.ordered_size(id, is_ordered)
            })),
            caller_insts: record_size(self.result.size),
        };
        self.result.records.push(record);
    }
}
