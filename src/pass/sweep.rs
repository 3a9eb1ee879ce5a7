//! The splices of one round, and the calls that come in with the bodies.

use super::caller::{Accepted, CallerJob, Candidate, kind_of};
use super::report::{CameInWith, Origin, Reason};
use super::state::Final;
use crate::body::slot_bytes;
use crate::graph::PathStep;
use crate::locations::LocationTable;
use crate::splice::{Callee, CopiedCall, Refusal, Session};
use cranelift_codegen::ir::{Function, InstructionData};
use std::sync::OnceLock;

/// A call that came in with a body.
pub(super) struct CameIn {
    copied: CopiedCall,
    /// The record of the call that the body replaced.
    record: usize,
    chain: usize,
    depth: u32,
}

impl CallerJob<'_> {
    /// Splices the accepted calls; returns the calls that came in.
    pub(super) fn splice(
        &mut self,
        accepted: Vec<Accepted>,
        session: &mut Session<'_>,
    ) -> Vec<CameIn> {
        let state = self.state;
        let mut ready = Vec::with_capacity(accepted.len());
        for site in accepted {
            if site.depth > 0 || self.stage > 0 {
                self.came_in.push(site.callee);
            }
            let Some(callee) = state.finals.get(site.callee).and_then(OnceLock::get) else {
                debug_assert!(false, "an accepted callee is final");
                continue;
            };
            let Some(held) = callee.held() else {
                debug_assert!(false, "an accepted callee is held");
                continue;
            };
            match held.preparation.tables_of(&held.body) {
                Ok(tables) => ready.push((site, callee, held, tables)),
                Err(refusal) => self.refuse(&site, refusal),
            }
        }
        let prepared: Vec<Callee<'_>> = ready
            .iter()
            .map(|(_, _, held, tables)| Callee::from_tables(&held.body, tables))
            .collect();
        let splices: Vec<_> = ready
            .iter()
            .zip(&prepared)
            .map(|((site, ..), prepared)| (site.call, prepared))
            .collect();
        let mut builder = self.result.locations.take();
        let mut came_in = Vec::new();
        let each = |index: usize, spliced: Result<&[CopiedCall], Refusal>| {
            let (site, callee, ..) = &ready[index];
            match spliced {
                Ok(copied) => self.spliced(site, callee, copied, &mut came_in),
                Err(refusal) => self.refuse(site, refusal),
            }
        };
        match &mut builder {
            Some(builder) => {
                let tables = ready
                    .iter()
                    .map(|(_, _, held, _)| held.locations.as_deref());
                let tables: Vec<&LocationTable> = tables.flatten().collect();
                debug_assert_eq!(tables.len(), ready.len(), "each final callee has a table");
                session.splice_all_with(&splices, &mut builder.inlining_all(&tables), each);
            }
            None => session.splice_all(&splices, each),
        }
        self.result.locations = builder;
        debug_assert!(
            slot_bytes(session.caller()) <= self.frame_planned,
            "more slots came in than were counted"
        );
        came_in
    }

    fn refuse(&mut self, site: &Accepted, refusal: Refusal) {
        self.result.records[site.record].reason = Reason::Refused(Box::new(refusal));
    }

    /// Counts a splice, and adds the calls that it brought to `came_in`.
    fn spliced(
        &mut self,
        site: &Accepted,
        callee: &Final,
        copied: &[CopiedCall],
        came_in: &mut Vec<CameIn>,
    ) {
        let result = &mut *self.result;
        result.size = result.size.saturating_add(site.size);
        result.grown = result.grown.saturating_add(site.counted);
        result.records[site.record].inlined = true;
        result.inlined += 1;
        let depth = site.depth + 1;
        result.depth = result.depth.max(depth + callee.depth);
        let chain = self.chains.push(site.chain, site.callee);
        came_in.extend(copied.iter().map(|&copied| CameIn {
            copied,
            record: site.record,
            chain,
            depth,
        }));
    }

    /// Returns the calls among `came_in` that name functions of the program and were not in code
    /// that turned out to be unreachable.
    pub(super) fn find_candidates(
        &mut self,
        body: &Function,
        came_in: Vec<CameIn>,
    ) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for came_in in came_in {
            let call = came_in.copied.inst;
            let data = &body.dfg.insts[call];
            let (InstructionData::Call { func_ref, .. }
            | InstructionData::TryCall { func_ref, .. }) = *data
            else {
                debug_assert!(false, "{call} came in as a direct call");
                continue;
            };
            let Some(callee) = self.target(body, func_ref) else {
                continue;
            };
            let kind = kind_of(data.opcode());
            if body.layout.inst_block(call).is_some() {
                let origin = CameInWith {
                    source_inst: came_in.copied.callee_inst,
                    parent: came_in.record,
                    via: self.chains.list(Some(came_in.chain)).into_boxed_slice(),
                    path: self.path_of(&came_in).into_boxed_slice(),
                    stage: self.stage,
                };
                candidates.push(Candidate {
                    call,
                    callee,
                    kind,
                    chain: Some(came_in.chain),
                    origin: Origin::CameIn(Box::new(origin)),
                    depth: came_in.depth,
                });
            }
        }
        candidates
    }

    /// Returns the path of the call that the body replaced, and from there on the callee's own.
    fn path_of(&self, came_in: &CameIn) -> Vec<PathStep> {
        let Some(around) = self.result.records.get(came_in.record) else {
            debug_assert!(false, "an inlined call has a record");
            return Vec::new();
        };
        let body = around
            .callee_id
            .and_then(|id| self.state.finals.get(id)?.get());
        let call = came_in.copied.callee_inst;
        let within = body.map_or(&[][..], |body| body.path_to(call));
        let mut path = [around.path(), within].concat();
        // Calls of a body that is available externally were not decided, and are its own.
        if within.is_empty() {
            let own = around
                .callee_id
                .and_then(|id| self.state.graph.site_at(id, call));
            path.extend(own.map(|site| PathStep::Site(site.id)));
        }
        path
    }
}
