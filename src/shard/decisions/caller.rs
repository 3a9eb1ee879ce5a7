//! A function under decision, and its calls.

use super::steps::{ROOT, Step};
use crate::decide::{KnownFacts, RecordedSite, Summary};
use crate::graph::{PathStep, Recursion, SiteId};
use crate::program::{Attributes, FunctionId, Linkage};
use crate::shard::index::Index;
use crate::shard::passed::PackedValue;
use crate::shard::tables::{Facts, Place};
use cranelift_codegen::ir::Function;
use cranelift_entity::EntityRef;
use std::sync::Arc;

/// A call to be decided.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) step: Step,
    pub(super) callee: FunctionId,
    /// The innermost body around it that was inlined here, by its number in [`Caller::bodies`], or
    /// [`ROOT`].
    pub(super) body: u32,
    /// The number of such bodies.
    pub(super) depth: u32,
}

/// Returns the calls of a function's own body, of known functions.
pub(super) fn own(index: &Index, facts: &Facts) -> impl Iterator<Item = Candidate> {
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
pub(super) struct Caller {
    pub(super) id: FunctionId,
    pub(super) inlined: Vec<Step>,
    pub(super) kept: Vec<Step>,
    /// Its own.
    pub(super) insts: usize,
    /// With all copies, before clean-up.
    pub(super) size: usize,
    /// The instructions that clean-up takes away.
    pub(super) saved: usize,
    /// The growth that counts against the function's share.
    pub(super) grown: usize,
    pub(super) frame_bytes: u64,
    pub(super) calls: u32,
    pub(super) depth: u32,
    pub(super) with_frames: Vec<FunctionId>,
    /// The inlined bodies, each with the one around it.
    pub(super) bodies: Vec<(u32, FunctionId)>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) came_in: Vec<Candidate>,
    /// The path of the call that is decided, the function's own site first.
    pub(super) path: Vec<PathStep>,
    /// The values that it passes.
    pub(super) passed: Vec<PackedValue>,
    pub(super) recorded: RecordedSite,
    pub(super) summary: Summary,
    /// The calls that pass each parameter on.
    pub(super) passed_on: Vec<usize>,
}

impl Caller {
    pub(super) fn new(stub: &Arc<Function>) -> Self {
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
    pub(super) fn begin(&mut self, id: FunctionId, facts: &Facts, place: &Place) {
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
    pub(super) fn is_inside(&self, candidate: &Candidate) -> bool {
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
