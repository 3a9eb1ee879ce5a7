//! The lifetime of bodies in a stream.
//!
//! Two tasks need the bodies of a function.
//!
//! *Inlining* needs its final body while a function that may inline it is not final. A function may
//! inline those that it refers to, and then those to which the inlined bodies refer. So a body is
//! held by the functions that refer to it and are not final, and by the final bodies that refer to
//! it and are held themselves. These are counted by cycles of the call graph, because the members
//! of a cycle would hold each other for ever.
//!
//! *Compiling* needs its final body, and its original one in case Cranelift refuses the final one.
//! A local function to which no final body refers is passed over. It is needed all the same if a
//! function that referred to it falls back to its original body, so it waits until these functions
//! are compiled.
//!
//! A body is freed when neither needs it. The facts about it that a report has are kept.

use super::Inliner;
use super::state::{Final, FinalBody, State};
use crate::decide::Limits;
use crate::graph::CallGraph;
use crate::program::{FunctionId, FunctionName, Linkage, Program};
use cranelift_codegen::ir::{Function, GlobalValueData};
use cranelift_entity::PrimaryMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// No function inlines the final body any more.
const NOT_INLINED: u8 = 1;
/// The function is compiled, or never will be.
const NOT_COMPILED: u8 = 2;

#[derive(Default)]
struct Life {
    /// The functions that refer to it in their original bodies and for which it is not known yet
    /// whether they fall back to these; and one more until it is passed over.
    users: AtomicUsize,
    /// The tasks that do not need it any more.
    done: AtomicU8,
    /// The cycles that its final body holds.
    holds: OnceLock<Box<[usize]>>,
}

/// The holders of each function's bodies.
pub(super) struct Lifetimes {
    functions: PrimaryMap<FunctionId, Life>,
    cycle_of: PrimaryMap<FunctionId, usize>,
    cycles: Vec<Cycle>,
    limits: Limits,
    /// The most that any function may grow.
    largest_share: usize,
    /// The checker looks at all bodies to which one refers, wanted or not.
    proves: bool,
}

#[derive(Default)]
struct Cycle {
    members: Vec<FunctionId>,
    /// Its members, the functions that refer to one of them, and are not final; and the final
    /// bodies beyond it that hold it.
    holders: AtomicUsize,
}

impl Lifetimes {
    /// Counts the holders of each body, in time linear in functions plus sites.
    pub(super) fn new(inliner: &Inliner<'_>, state: &State<'_>) -> Self {
        let (program, graph) = (state.program, &state.graph);
        let mut lifetimes = Lifetimes {
            functions: program.ids().map(|_| Life::default()).collect(),
            cycle_of: program.ids().map(|id| cycle_of(graph, id)).collect(),
            cycles: Vec::new(),
            limits: inliner.limits,
            largest_share: state.growth_shares.values().copied().max().unwrap_or(0),
            proves: inliner.proves(),
        };
        let most = lifetimes.cycle_of.values().max();
        let count = most.map_or(0, |&most| most + 1);
        lifetimes.cycles.resize_with(count, Cycle::default);
        for id in program.ids() {
            let own = lifetimes.cycle_of[id];
            lifetimes.cycles[own].members.push(id);
            lifetimes.hold(own);
            let references = state.callees(id);
            for cycle in lifetimes.wanted_cycles(state, id, &references) {
                lifetimes.hold(cycle);
            }
            lifetimes.use_of(id);
            for reference in references.into_iter().filter(|&other| other != id) {
                lifetimes.use_of(reference);
            }
        }
        // Calls of them may turn up anywhere.
        for id in state.in_other_tables.iter() {
            lifetimes.hold(lifetimes.cycle_of[id]);
            lifetimes.use_of(id);
        }
        lifetimes
    }

    fn hold(&self, cycle: usize) {
        if let Some(cycle) = self.cycles.get(cycle) {
            cycle.holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn use_of(&self, function: FunctionId) {
        let users = &self.functions[function].users;
        users.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the cycles, except that of `id`, with functions of `references` that may be inlined,
    /// each once.
    fn wanted_cycles(
        &self,
        state: &State<'_>,
        id: FunctionId,
        references: &[FunctionId],
    ) -> Vec<usize> {
        let references = references.iter().copied();
        let wanted = references.filter(|&id| self.is_wanted(state, id));
        let mut cycles: Vec<usize> = wanted.map(|id| self.cycle_of[id]).collect();
        cycles.sort_unstable();
        cycles.dedup();
        cycles.retain(|&cycle| cycle != self.cycle_of[id]);
        cycles
    }

    fn is_wanted(&self, state: &State<'_>, id: FunctionId) -> bool {
        self.proves || state.unwanted.reason(id).is_none()
    }

    /// Returns whether some call of a final function may be inlined.
    fn may_be_inlined(
        &self,
        inliner: &Inliner<'_>,
        state: &State<'_>,
        id: FunctionId,
        (done, held): (&Final, &FinalBody),
    ) -> bool {
        let may_move = state.program[id].linkage() == Linkage::Local
            && state.graph.call_count(id) == 1
            && !state.is_address_taken(id);
        self.proves
            || (done.depth < self.limits.depth
                && done.size <= self.limits.function_insts
                && (may_move || done.size <= self.largest_share)
                && !(state.unwanted.is_decided_by_policy(id)
                    && inliner
                        .policy
                        .keeps_all_calls(state.summary(id, done, held))))
    }

    /// Notes the final body of `id`.
    pub(super) fn is_final(
        &self,
        inliner: &Inliner<'_>,
        state: &State<'_>,
        id: FunctionId,
        done: &Final,
    ) {
        let Some(held) = done.held() else {
            debug_assert!(false, "{id} is final only now");
            return;
        };
        let may_be_inlined = || self.may_be_inlined(inliner, state, id, (done, &held));
        let holds = if self.is_wanted(state, id) && may_be_inlined() {
            let mut references = state.references(id).unwrap_or_default();
            references.extend(in_tables(state.program, &held.body));
            self.wanted_cycles(state, id, &references)
        } else {
            Vec::new()
        };
        for &cycle in &holds {
            self.hold(cycle);
        }
        let is_first = self.functions[id].holds.set(holds.into()).is_ok();
        debug_assert!(is_first, "{id} is final once");
        // A function that did not change never falls back.
        let original = match done.is_changed() {
            false => state.take_original(id),
            true => None,
        };
        let is_same = original.is_some_and(|original| {
            let is_same = Arc::ptr_eq(&original, &held.body);
            if !is_same {
                state.held.sub(state.size_at_start(id));
            }
            is_same
        });
        if !is_same {
            state.held.add(done.size);
        }
    }

    /// Notes that `id` and all other members of its component are final, after
    /// [`is_final`](Self::is_final) of all of them. `references` are the functions to which its
    /// original body refers, each once.
    pub(super) fn is_past(&self, state: &State<'_>, id: FunctionId, references: &[FunctionId]) {
        for cycle in self.wanted_cycles(state, id, references) {
            self.release(state, cycle);
        }
        self.release(state, self.cycle_of[id]);
        if !state.is_emitted(id) {
            self.settle(state, id, true);
        }
    }

    /// Notes that no final body refers to the local function `id`.
    pub(super) fn is_passed_over(&self, state: &State<'_>, id: FunctionId) {
        if self.loses_user(id) {
            self.settle(state, id, true);
        }
    }

    /// Notes that a function is compiled, perhaps from its original body.
    pub(super) fn is_compiled(&self, state: &State<'_>, id: FunctionId, fell_back: bool) {
        self.settle(state, id, !fell_back);
    }

    /// Gives up one holder of a cycle.
    fn release(&self, state: &State<'_>, cycle: usize) {
        let mut work = vec![cycle];
        while let Some(cycle) = work.pop() {
            let Some(cycle) = self.cycles.get(cycle) else {
                debug_assert!(false, "cycles have consecutive numbers");
                continue;
            };
            let before = cycle.holders.fetch_sub(1, Ordering::AcqRel);
            debug_assert!(before > 0, "a holder gives up once");
            if before == 1 {
                for &member in &cycle.members {
                    let holds = self.functions[member].holds.get();
                    work.extend(holds.into_iter().flatten());
                    self.is_done(state, member, NOT_INLINED);
                }
            }
        }
    }

    /// Frees the original body of `id`, and its final one as far as compiling needs it; and if
    /// nothing needs the functions to which its original body refers any more, for that reason or
    /// others, those of them as well.
    fn settle(&self, state: &State<'_>, id: FunctionId, leaves_original: bool) {
        let mut work = vec![(id, leaves_original)];
        while let Some((id, leaves_original)) = work.pop() {
            if state.take_original(id).is_some() {
                state.held.sub(state.size_at_start(id));
            }
            self.is_done(state, id, NOT_COMPILED);
            if leaves_original {
                let others = state.callees(id).into_iter();
                let others = others.filter(|&other| other != id && self.loses_user(other));
                work.extend(others.map(|other| (other, true)));
            }
        }
    }

    /// Returns whether that was the last one.
    fn loses_user(&self, id: FunctionId) -> bool {
        let before = self.functions[id].users.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a user of {id} is settled once");
        before == 1
    }

    fn is_done(&self, state: &State<'_>, id: FunctionId, task: u8) {
        let before = self.functions[id].done.fetch_or(task, Ordering::AcqRel);
        debug_assert!(before & task == 0, "{id} is done once");
        if before | task == NOT_INLINED | NOT_COMPILED
            && let Some(done) = state.finals.get(id).and_then(OnceLock::get)
            && done.free()
        {
            state.held.sub(done.size);
        }
    }
}

fn cycle_of(graph: &CallGraph, id: FunctionId) -> usize {
    let component = graph.component(id);
    let cycle = component.and_then(|component| graph.cycle(component));
    debug_assert!(cycle.is_some(), "{id} is in a cycle, if alone");
    cycle.unwrap_or_default() as usize
}

/// Returns the functions in tables that a body names.
fn in_tables(program: &Program, body: &Function) -> Vec<FunctionId> {
    if !program.has_tables() {
        return Vec::new();
    }
    let tables = body.global_values.values().filter_map(|data| match data {
        GlobalValueData::Symbol { name, .. } => FunctionName::of_external(body, name),
        _ => None,
    });
    let mut functions = Vec::new();
    for table in tables {
        let entries = program.table(&table);
        functions.extend(entries.filter_map(|(_, function)| program.id(function)));
    }
    functions
}
