//! The state that the threads of one run share.

use super::held::Held;
use super::preparation::Preparation;
use super::report::SiteRecord;
use super::unwanted::Unwanted;
use super::{Inliner, LocationTables};
use crate::cleanup::CleanupStats;
use crate::decide::{KnownFacts, Summary};
use crate::graph::{CallGraph, PathStep};
use crate::locations::{LocationBuilder, LocationTable};
use crate::profile::SiteCounts;
use crate::program::{FunctionId, Linkage, Program};
use crate::splice::{DroppedPromises, SpliceOptions};
use cranelift_codegen::ir::{Function, Inst};
use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Calls that become direct after this stage stay calls. Each stage needs a target that the one
/// before revealed; closures in closures in closures are rare.
pub(super) const LAST_STAGE: u8 = 3;

/// The part of a final function that a stream may free.
pub(super) struct FinalBody {
    pub(super) body: Arc<Function>,
    /// The table of the body's source locations, if they are entries.
    pub(super) locations: Option<Arc<LocationTable>>,
    pub(super) preparation: Preparation,
    /// Filled by the first caller that needs it. In a box, because most functions have none.
    summary: OnceLock<Box<Summary>>,
}

impl FinalBody {
    pub(super) fn new(body: Arc<Function>, locations: Option<Arc<LocationTable>>) -> Self {
        FinalBody {
            body,
            locations,
            preparation: Preparation::default(),
            summary: OnceLock::new(),
        }
    }
}

/// A final function.
pub(super) struct Final {
    /// `None` once nothing needs it any more.
    pub(super) held: Mutex<Option<Arc<FinalBody>>>,
    /// Its size; see [`Limits`](crate::decide::Limits#sizes).
    pub(super) size: usize,
    /// The bytes that a copy of it may add to its caller's frame.
    pub(super) frame_bytes: u64,
    /// Calls of every kind.
    pub(super) calls: usize,
    /// The longest chain of bodies inlined into each other in this one.
    pub(super) depth: u32,
    pub(super) inlined: usize,
    pub(super) slot_bytes_before: u64,
    pub(super) slot_bytes_after: u64,
    pub(super) never_throws: bool,
    pub(super) promises: DroppedPromises,
    pub(super) cleanup: CleanupStats,
    pub(super) records: Box<[SiteRecord]>,
    /// Functions of the program that the body refers to, each once; `None` if
    /// they are those of the original body.
    pub(super) references: Option<Box<[FunctionId]>>,
    /// The record of each remaining call; filled by the first caller that needs it.
    pub(super) kept: OnceLock<FxHashMap<Inst, usize>>,
}

impl Final {
    /// Returns whether the body is another than the original, but for the numbers of its source
    /// locations: calls were inlined, or it was optimized without.
    pub(super) fn is_changed(&self) -> bool {
        self.references.is_some()
    }

    /// Returns the body; `None` if it was freed.
    pub(super) fn held(&self) -> Option<Arc<FinalBody>> {
        let held = self.held.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Frees the body; returns whether it was still there.
    pub(super) fn free(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.take().is_some()
    }

    /// Returns the sites of the original program that lead from this function to `call`, a call of
    /// its final body.
    pub(super) fn path_to(&self, call: Inst) -> &[PathStep] {
        let kept = self.kept.get_or_init(|| {
            let records = self.records.iter().enumerate();
            let kept = records.filter(|(_, record)| !record.inlined);
            kept.map(|(index, record)| (record.inst, index)).collect()
        });
        let record = kept.get(&call).and_then(|&index| self.records.get(index));
        record.map_or(&[], SiteRecord::path)
    }
}

pub(super) struct State<'a> {
    pub(super) program: &'a Program,
    pub(super) splice_options: SpliceOptions,
    pub(super) graph: CallGraph,
    /// Sizes before inlining, as far as they are known beforehand.
    pub(super) sizes: SecondaryMap<FunctionId, usize>,
    /// Sizes of bodies that come later; empty otherwise.
    pub(super) late_sizes: PrimaryMap<FunctionId, OnceLock<usize>>,
    /// Bodies that come later, while they are needed; empty otherwise.
    pub(super) late_bodies: PrimaryMap<FunctionId, Mutex<Option<Arc<Function>>>>,
    /// The bodies of a stream.
    pub(super) held: Held,
    pub(super) growth_shares: SecondaryMap<FunctionId, usize>,
    pub(super) counts: Option<SiteCounts>,
    pub(super) finals: PrimaryMap<FunctionId, OnceLock<Final>>,
    /// The functions that take the address of each one.
    pub(super) addressed_by: SecondaryMap<FunctionId, Vec<FunctionId>>,
    /// The functions whose addresses tables hold.
    pub(super) in_tables: EntitySet<FunctionId>,
    /// Those in the tables of [`OptimizeOptions`](crate::cleanup::OptimizeOptions). The graph does
    /// not know where these tables are read.
    pub(super) in_other_tables: EntitySet<FunctionId>,
    /// The functions that never throw as they came in.
    pub(super) never_throwing: EntitySet<FunctionId>,
    /// Whether there is any call with handlers.
    pub(super) has_handlers: bool,
    /// The functions that no call can have inlined.
    pub(super) unwanted: Unwanted,
    /// The local functions that are compiled as soon as they are final, although they may turn out
    /// not to be needed. Only streams have any.
    pub(super) compiled_early: EntitySet<FunctionId>,
    /// The tables of original bodies with locations that are entries already; all others have those
    /// of the front end.
    pub(super) location_tables: LocationTables,
    /// The number of functions that call each one, or take its address, and are not final; and one
    /// more, until it is final itself.
    pub(super) callers_left: PrimaryMap<FunctionId, AtomicUsize>,
}

impl State<'_> {
    /// Returns the original body of a function, which must be there.
    pub(super) fn original(&self, id: FunctionId) -> Arc<Function> {
        let original = self.original_if_held(id);
        debug_assert!(
            original.is_some(),
            "the body of {id} is needed, and not there"
        );
        original.unwrap_or_else(|| Arc::clone(self.program[id].body()))
    }

    /// Returns the original body of a function; `None` if it has not come yet, or was freed.
    pub(super) fn original_if_held(&self, id: FunctionId) -> Option<Arc<Function>> {
        match self.late_bodies.get(id) {
            Some(body) => body.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => Some(Arc::clone(self.program[id].body())),
        }
    }

    /// Makes entries of the locations of `body`, a copy of the original body of `id`.
    pub(super) fn begin_locations(&self, id: FunctionId, body: &mut Function) -> LocationBuilder {
        match self.location_tables.get(&id) {
            Some(table) => LocationBuilder::resume(LocationTable::clone(table), body),
            None => LocationBuilder::begin(body),
        }
    }

    /// Keeps a body that came.
    pub(super) fn arrive(&self, id: FunctionId, body: Arc<Function>) {
        if let Some(place) = self.late_bodies.get(id) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }

    /// Takes the original body of a function, if that came later and is still there.
    pub(super) fn take_original(&self, id: FunctionId) -> Option<Arc<Function>> {
        let body = self.late_bodies.get(id)?.lock();
        body.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the functions that `id` calls or may turn out to call: those whose address it takes.
    pub(super) fn callees(&self, id: FunctionId) -> Vec<FunctionId> {
        let mut callees: Vec<_> = self.graph.references(id).collect();
        callees.sort_unstable();
        callees.dedup();
        callees
    }

    /// Returns the functions of the program to which the final body of `id` refers, some perhaps
    /// more than once; `None` if it is not final.
    pub(super) fn references(&self, id: FunctionId) -> Option<Vec<FunctionId>> {
        let done = self.finals.get(id)?.get()?;
        Some(match &done.references {
            Some(references) => references.to_vec(),
            None => self.graph.references(id).collect(),
        })
    }

    /// Notes that `callee` is final, or a function that called it. Returns whether it was the last
    /// one.
    pub(super) fn one_caller_less(&self, callee: FunctionId) -> bool {
        let was_last = self.callers_left[callee].fetch_sub(1, Ordering::AcqRel) == 1;
        if was_last {
            self.release(callee);
        }
        was_last
    }

    /// Frees the preparation of `callee`, unless a function that calls it is still to come.
    pub(super) fn release_if_last(&self, callee: FunctionId) {
        if self.callers_left[callee].load(Ordering::Acquire) == 0 {
            self.release(callee);
        }
    }

    fn release(&self, callee: FunctionId) {
        let done = self.finals.get(callee).and_then(OnceLock::get);
        if let Some(held) = done.and_then(Final::held) {
            held.preparation.release();
        }
    }

    /// Returns whether the function can be part of the result at all.
    pub(super) fn is_emitted(&self, id: FunctionId) -> bool {
        self.program[id].linkage() != Linkage::AvailableExternally
    }

    /// Returns the functions that are part of the result because tables hold their addresses.
    pub(super) fn kept_by_tables(&self) -> impl Iterator<Item = FunctionId> + '_ {
        self.in_tables.iter().filter(|&id| self.is_emitted(id))
    }

    /// Returns whether some function or table holds the address of the function.
    pub(super) fn is_address_taken(&self, id: FunctionId) -> bool {
        self.graph.is_address_taken(id) || self.in_tables.contains(id)
    }

    /// Returns the number of executions of the call at the end of `path`.
    pub(super) fn count(&self, path: &[PathStep]) -> Option<u64> {
        self.counts.as_ref()?.of_path(&self.graph, path)
    }

    /// Returns whether optimizing the body of `id` may find indirect calls with a known target,
    /// even without inlining.
    pub(super) fn may_know_targets(&self, id: FunctionId) -> bool {
        self.graph.indirect_calls(id) > 0 && self.graph.takes_addresses(id)
    }

    /// Returns whether the order of `id` and `callee` is fixed, for any timing of threads: when
    /// `id` is processed and has got the address of `callee`, `callee` is either always final or
    /// never.
    ///
    /// If the two are not in one cycle of calls and addresses, all functions that refer to `callee`
    /// wait for it, unless the address came from a table that the graph does not know. Within a
    /// component, members come in turn. Otherwise `id` waits only for the functions that it calls.
    pub(super) fn is_ordered(&self, id: FunctionId, callee: FunctionId) -> bool {
        if self.in_other_tables.contains(callee) {
            return false;
        }
        let graph = &self.graph;
        let cycle = |id| graph.cycle(graph.component(id)?);
        let component = |id| graph.component(id);
        let calls = |callee| {
            let callees = graph.callees(id).filter_map(|site| site.callee_function());
            callees
                .into_iter()
                .any(|other| component(other) == component(callee))
        };
        cycle(id) != cycle(callee) || component(id) == component(callee) || calls(callee)
    }

    /// Returns whether those that call a function wait for it, or those that take its address.
    pub(super) fn waits(&self, inliner: &Inliner<'_>) -> impl Fn(FunctionId, bool) -> bool {
        // The proof of a body looks at the bodies of its callees.
        let proves = inliner.proves();
        move |id, is_called| proves || self.unwanted.is_wanted(id, is_called)
    }

    /// Returns the size before inlining of a function whose body is there.
    pub(super) fn size_at_start(&self, id: FunctionId) -> usize {
        let late = self.late_sizes.get(id).and_then(OnceLock::get);
        late.copied().unwrap_or_else(|| self.sizes[id])
    }

    /// Returns the size of a callee as far as it is known.
    pub(super) fn size_of(&self, id: FunctionId) -> usize {
        let done = self.finals.get(id).and_then(OnceLock::get);
        // A caller does not wait for a function that is not wanted.
        let done = done.filter(|_| self.unwanted.reason(id).is_none());
        // Not that of a body which is there but not final: that would depend on threads.
        done.map_or(self.sizes[id], |done| done.size)
    }

    /// Returns the size of a callee. Unless it is [ordered](Self::is_ordered), only the size before
    /// inlining is known for any timing of threads.
    pub(super) fn ordered_size(&self, id: FunctionId, is_ordered: bool) -> usize {
        match is_ordered {
            true => self.size_of(id),
            false => self.sizes[id],
        }
    }

    pub(super) fn summary<'f>(
        &self,
        id: FunctionId,
        done: &Final,
        held: &'f FinalBody,
    ) -> &'f Summary {
        held.summary.get_or_init(|| {
            let function = &self.program[id];
            let facts = KnownFacts {
                size: done.size,
                frame_bytes: done.frame_bytes,
                calls: done.calls,
                call_sites: self.graph.call_count(id),
                never_throws: done.never_throws,
                address_taken: self.is_address_taken(id),
                linkage: function.linkage(),
                attributes: function.attributes(),
                recursion: self.graph.recursion(id),
                has_profile: self.counts.is_some(),
            };
            Box::new(Summary::new(Arc::clone(&held.body), facts))
        })
    }
}
