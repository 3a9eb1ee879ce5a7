//! One run of the pass over one program.

use super::caller::CallerScratch;
use super::compile::{CompiledProgram, Compiler, live_functions};
use super::error::PassError;
use super::held::Held;
use super::inlined::Inlined;
use super::lifetimes::Lifetimes;
use super::report::{FunctionStats, RecordLevel, SiteRecord, StepTimes};
use super::schedule::{Schedule, Work};
use super::state::{Final, State};
use super::throwing::never_throwing;
use super::unwanted::{Unwanted, has_demands, in_other_tables};
use super::warning::Warning;
use super::{Inliner, LocationTables, budget};
use crate::backend::ScratchPool;
use crate::cleanup::{OptimizeOptions, TableFunction, Tables};
use crate::graph::{CallGraph, ComponentId};
use crate::locations::LocationTable;
use crate::profile::SiteCounts;
use crate::program::{FunctionId, Linkage, Program};
use cranelift_codegen::ir::{Endianness, Function};
use cranelift_codegen::isa::TargetIsa;
use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(super) fn run(
    inliner: &Inliner<'_>,
    program: &Program,
    tables: LocationTables,
    isa: Option<&dyn TargetIsa>,
    order: Option<Endianness>,
) -> Result<(Inlined, Option<CompiledProgram>), PassError> {
    let clock = Clock::default();
    let state = clock.graph.time(|| {
        let mut bodies = program.iter().map(|(_, function)| function.body());
        let has_handlers = bodies.any(|body| !body.dfg.exception_tables.is_empty());
        let graph = CallGraph::new(program);
        let unwanted = Unwanted::new(inliner, program, &graph, has_demands(program));
        let mut state = prepare(inliner, program, graph, unwanted, has_handlers);
        state.location_tables = tables;
        state
    });
    let compiler = isa.map(|isa| Compiler::new(isa, &state, None));
    let run = Run::new(inliner, &state, &clock, compiler, order);
    let schedule = Schedule::new(&state.graph, state.waits(inliner));
    rayon::scope(|scope| schedule.run(scope, &run));
    let Run {
        compiler, errors, ..
    } = run;
    let mut errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    errors.sort_by_key(|(id, _)| *id);
    if let Some((_, error)) = errors.into_iter().next() {
        return Err(error);
    }
    let compiled = match compiler {
        Some(compiler) => Some(clock.compile.time(|| compiler.finish(&state))?),
        None => None,
    };
    let inlined = conclude(state, program, clock.times(), inliner.records);
    Ok((inlined, compiled))
}

pub(super) fn prepare<'a>(
    inliner: &Inliner<'_>,
    program: &'a Program,
    graph: CallGraph,
    unwanted: Unwanted,
    has_handlers: bool,
) -> State<'a> {
    let ids: Vec<FunctionId> = program.ids().collect();
    let mut sizes = SecondaryMap::with_capacity(ids.len());
    for &id in &ids {
        sizes[id] = graph.size(id);
    }
    let grows = |id: &FunctionId| {
        inliner.into_available || program[*id].linkage() != Linkage::AvailableExternally
    };
    let growing: Vec<FunctionId> = ids.iter().copied().filter(grows).collect();
    let growth_shares = budget::growth_shares(&sizes, &growing, &inliner.limits);
    let finals: PrimaryMap<FunctionId, OnceLock<Final>> =
        ids.iter().map(|_| OnceLock::new()).collect();
    let mut addressed_by: SecondaryMap<FunctionId, Vec<FunctionId>> = SecondaryMap::new();
    let in_other_tables = in_other_tables(inliner, program);
    let mut in_tables = in_other_tables.clone();
    in_tables.extend(program.table_functions());
    for &id in &ids {
        for &addressed in graph.addressed(id) {
            addressed_by[addressed].push(id);
        }
    }
    let callers_left = ids.iter().map(|&id| {
        // All sites of one caller follow each other.
        let mut callers: Vec<_> = graph.callers(id).map(|site| site.caller).collect();
        callers.dedup();
        // So do those that take the address, and both are in input order.
        let addressed_by = addressed_by[id].iter();
        let others = addressed_by.filter(|id| callers.binary_search(id).is_err());
        let others = others.count();
        AtomicUsize::new(callers.len() + others + 1)
    });
    let callers_left = callers_left.collect();
    let never_throwing = never_throwing(inliner, program, &graph);
    let counts = inliner.profile.as_deref();
    let counts = counts.map(|profile| match graph.awaits_bodies() {
        true => SiteCounts::of_declared(profile, &graph),
        false => SiteCounts::new(profile, &graph),
    });
    State {
        program,
        splice_options: inliner.splice_options_for(program),
        graph,
        counts,
        sizes,
        late_sizes: PrimaryMap::new(),
        late_bodies: PrimaryMap::new(),
        held: Held::default(),
        growth_shares,
        finals,
        addressed_by,
        in_tables,
        in_other_tables,
        never_throwing,
        has_handlers,
        unwanted,
        compiled_early: EntitySet::new(),
        location_tables: LocationTables::default(),
        callers_left,
    }
}

/// Returns the tables of the program, beside those that the embedder knows.
fn tables(program: &Program, known: &Tables) -> Tables {
    let mut tables = known.clone();
    for table in program.tables() {
        for (offset, name) in program.table(table) {
            let Some(function) = program.id(name).and_then(|id| program.get(id)) else {
                continue;
            };
            let signature = function.body().signature.clone();
            let function = TableFunction::new(name.clone(), signature);
            tables.insert(table.clone(), offset, function);
        }
    }
    tables
}

pub(super) struct Run<'a> {
    pub(super) inliner: &'a Inliner<'a>,
    /// The options of the pass, with the byte order of the target.
    pub(super) optimize_options: OptimizeOptions,
    pub(super) state: &'a State<'a>,
    pub(super) compiler: Option<Compiler<'a>>,
    /// `None` where all bodies are kept.
    pub(super) lifetimes: Option<Lifetimes>,
    scratch: ScratchPool<CallerScratch>,
    pub(super) clock: &'a Clock,
    /// Instructions in the tables of the bodies that this run has made.
    pub(super) final_insts: AtomicUsize,
    pub(super) errors: Mutex<Vec<(FunctionId, PassError)>>,
    /// Nothing more is to be done.
    pub(super) is_cancelled: AtomicBool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        inliner: &'a Inliner<'a>,
        state: &'a State<'a>,
        clock: &'a Clock,
        compiler: Option<Compiler<'a>>,
        order: Option<Endianness>,
    ) -> Self {
        let program = state.program;
        let mut optimize_options = inliner.optimize_options.clone();
        if order.is_some() {
            optimize_options.endianness = order;
        }
        if program.has_tables() {
            optimize_options.tables = Arc::new(tables(program, &optimize_options.tables));
        }
        Run {
            inliner,
            optimize_options,
            state,
            compiler,
            lifetimes: None,
            scratch: ScratchPool::new(),
            clock,
            final_insts: AtomicUsize::new(0),
            errors: Mutex::new(Vec::new()),
            is_cancelled: AtomicBool::new(false),
        }
    }
}

/// Cancels the run if it is dropped before the end of a task: by a panic, which a callback of a
/// stream may catch.
struct Unfinished<'a>(&'a AtomicBool);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'s, 'a: 's> Work<'s> for Run<'a> {
    fn component(&'s self, component: ComponentId) -> Vec<(FunctionId, u64)> {
        self.task(|| self.do_component(component))
            .unwrap_or_default()
    }

    fn compile(&'s self, id: FunctionId) {
        self.task(|| self.do_compile(id));
    }
}

impl Run<'_> {
    /// Does a task, unless the run is cancelled.
    fn task<T>(&self, task: impl FnOnce() -> T) -> Option<T> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let unfinished = Unfinished(&self.is_cancelled);
        let done = task();
        std::mem::forget(unfinished);
        Some(done)
    }

    fn do_component(&self, component: ComponentId) -> Vec<(FunctionId, u64)> {
        let state = self.state;
        for &id in state.graph.members(component) {
            let done = self.scratch.with(|scratch| self.function(id, scratch));
            // Each function is in one component, so this is the first time.
            let is_first = state.finals[id].set(done).is_ok();
            debug_assert!(is_first, "{id} is in one component");
            if let (Some(lifetimes), Some(done)) = (&self.lifetimes, state.finals[id].get()) {
                lifetimes.is_final(self.inliner, state, id, done);
            }
            if let Some(observer) = &self.inliner.observer {
                observer.inlined(id);
            }
        }
        let mut ready = Vec::new();
        for &id in state.graph.members(component) {
            let references = state.callees(id);
            let callers_done = references.iter().copied().chain([id]);
            let callers_done = callers_done.filter(|&callee| state.one_caller_less(callee));
            let callers_done: Vec<FunctionId> = callers_done.collect();
            if let Some(compiler) = &self.compiler {
                let (now, passed_over) = compiler.ready(state, id, &callers_done);
                ready.extend(now);
                if let Some(lifetimes) = &self.lifetimes {
                    for function in passed_over {
                        lifetimes.is_passed_over(state, function);
                    }
                }
            }
            if let Some(lifetimes) = &self.lifetimes {
                lifetimes.is_past(state, id, &references);
            }
        }
        let size = |id| u64::try_from(state.size_of(id)).unwrap_or(u64::MAX);
        ready.into_iter().map(|id| (id, size(id))).collect()
    }

    fn do_compile(&self, id: FunctionId) {
        let Some(compiler) = &self.compiler else {
            return;
        };
        let compile = || compiler.compile(self.state, id);
        let fell_back = self.clock.compile.time(compile);
        if let (Some(lifetimes), Some(fell_back)) = (&self.lifetimes, fell_back) {
            lifetimes.is_compiled(self.state, id, fell_back);
        }
        if let Some(observer) = &self.inliner.observer {
            observer.compiled(id);
        }
    }
}

/// Returns the result. `program` is the one that came in, with the bodies that are there.
pub(super) fn conclude(
    state: State<'_>,
    program: &Program,
    times: StepTimes,
    recorded: RecordLevel,
) -> Inlined {
    let live = live_functions(&state);
    let start: SecondaryMap<FunctionId, usize> = state
        .program
        .ids()
        .map(|id| (id, state.size_at_start(id)))
        .collect();
    let State {
        mut graph,
        finals,
        splice_options,
        ..
    } = state;
    if graph.awaits_bodies() {
        graph.settle(program.clone());
    }
    let mut sites = SecondaryMap::with_capacity(program.len());
    let mut stats = SecondaryMap::with_capacity(program.len());
    let mut bodies = SecondaryMap::with_capacity(program.len());
    let mut locations: SecondaryMap<FunctionId, Option<Arc<LocationTable>>> =
        SecondaryMap::with_capacity(program.len());
    for (id, done) in finals {
        let Some(done) = done.into_inner() else {
            debug_assert!(false, "{id} was not done");
            continue;
        };
        stats[id] = FunctionStats {
            insts_before: start[id],
            insts_after: done.size,
            slot_bytes_before: done.slot_bytes_before,
            slot_bytes_after: done.slot_bytes_after,
            inlined: done.inlined,
            depth: done.depth,
            promises: done.promises,
            cleanup: done.cleanup,
            dropped: !live.contains(id),
        };
        sites[id] = done.records;
        if let Some(held) = done
            .held
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            bodies[id] = Some(Arc::clone(&held.body));
            locations[id].clone_from(&held.locations);
        }
    }
    let kept = program.with_bodies(|id, function| {
        let body: Option<&Arc<Function>> = bodies[id].as_ref();
        // Freed bodies leave the declarations.
        live.contains(id)
            .then(|| Arc::clone(body.unwrap_or_else(|| function.body())))
    });
    // The names are those of an existing program.
    debug_assert!(kept.is_ok(), "names that were good are not any more");
    let mut kept = kept.unwrap_or_default();
    pass_on_hints(program, &graph, sites.values().flatten(), &mut kept);
    Inlined {
        program: kept,
        graph,
        bodies,
        locations,
        sites,
        recorded,
        splice_options,
        stats,
        times,
        warnings: Warning::of(program),
    }
}

/// Gives the remaining calls the hints of their original calls.
fn pass_on_hints<'r>(
    program: &Program,
    graph: &CallGraph,
    sites: impl Iterator<Item = &'r SiteRecord>,
    kept: &mut Program,
) {
    if program
        .iter()
        .all(|(_, function)| function.hints().len() == 0)
    {
        return;
    }
    for record in sites.filter(|record| !record.inlined) {
        let site = record.path().last().and_then(|step| step.site());
        let origin = site.and_then(|site| graph.site(site));
        let hint = origin.and_then(|site| program.get(site.caller)?.hint(site.edge.inst));
        if let (Some(hint), Some(caller)) = (hint, program.get(record.caller)) {
            // Clean-up may have removed the call, and the caller may be dropped.
            let _ = kept.set_hint(caller.name(), record.inst, hint);
        }
    }
}

/// Time spent in the steps, added up over threads.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) graph: Stopwatch,
    pub(super) inline: Stopwatch,
    pub(super) cleanup: Stopwatch,
    pub(super) verify: Stopwatch,
    pub(super) compile: Stopwatch,
}

#[derive(Default)]
pub(super) struct Stopwatch(AtomicU64);

impl Stopwatch {
    pub(super) fn time<T>(&self, f: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = f();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
        result
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Clock {
    pub(super) fn times(&self) -> StepTimes {
        StepTimes {
            graph: self.graph.total(),
            inline: self.inline.total(),
            cleanup: self.cleanup.total(),
            verify: self.verify.total(),
            compile: self.compile.total(),
        }
    }
}

#[cfg(test)]
mod tests;
