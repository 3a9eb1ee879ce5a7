//! One run of the pass over one program.

use super::caller::{CallerScratch, InlinedCaller, inline_into};
use super::compile::{CompiledProgram, Compiler, live_functions};
use super::copies::copy_tree;
use super::error::{PassError, Stage};
use super::inlined::Inlined;
use super::known::Known;
use super::preparation::Preparation;
use super::references::References;
use super::report::{FunctionStats, Recorded, SiteRecord, StageTimes};
use super::schedule::{Schedule, Work};
use super::state::{Final, State};
use super::warning::Warning;
use super::{Inliner, budget};
use crate::backend::{ScratchPool, verify_function};
use crate::body::{code_size, frame_bytes, slot_bytes};
use crate::check::{check, check_optimized};
use crate::cleanup::{CleanupStats, OptimizeOptions, clean_up, clean_up_spliced, optimize};
use crate::graph::{CallGraph, ComponentId};
use crate::locations::{LocationBuilder, LocationMode};
use crate::profile::SiteCounts;
use crate::program::{FunctionId, Linkage, Program};
use crate::splice::MemoryPromises;
use cranelift_codegen::ir::{Endianness, Function};
use cranelift_codegen::isa::TargetIsa;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Below so many instructions, the allocations of a clone cost more than its room is worth.
const WORTH_PACKING: usize = 250;

/// While a body is packed it is there twice. So all that are final must be this many times as large,
/// or the most memory would be needed then.
const PACKED_AMONG: usize = 2;

pub(super) fn run(
    inliner: &Inliner<'_>,
    program: &Program,
    isa: Option<&dyn TargetIsa>,
    order: Option<Endianness>,
) -> Result<(Inlined, Option<CompiledProgram>), PassError> {
    let clock = Clock::default();
    let state = clock.graph.time(|| prepare(inliner, program));
    let mut optimize_options = inliner.optimize_options.clone();
    if order.is_some() {
        optimize_options.endianness = order;
    }
    let run = Run {
        inliner,
        optimize_options,
        state: &state,
        compiler: isa.map(|isa| Compiler::new(isa, &state)),
        scratch: ScratchPool::new(),
        clock: &clock,
        final_insts: AtomicUsize::new(0),
        errors: Mutex::new(Vec::new()),
    };
    let schedule = Schedule::new(&state.graph);
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
    Ok((conclude(state, clock.times(), inliner.records), compiled))
}

fn prepare<'a>(inliner: &Inliner<'_>, program: &'a Program) -> State<'a> {
    let graph = CallGraph::new(program);
    let ids: Vec<FunctionId> = program.ids().collect();
    let mut sizes = SecondaryMap::with_capacity(ids.len());
    for &id in &ids {
        sizes[id] = graph.size(id);
    }
    let grows = |id: &FunctionId| program[*id].linkage() != Linkage::AvailableExternally;
    let growing: Vec<FunctionId> = ids.iter().copied().filter(grows).collect();
    let growth_shares = budget::growth_shares(&sizes, &growing, &inliner.limits);
    let finals: PrimaryMap<FunctionId, OnceLock<Final>> =
        ids.iter().map(|_| OnceLock::new()).collect();
    let callers_left = ids.iter().map(|&id| {
        // All sites of one caller follow each other.
        let mut callers: Vec<_> = graph.callers(id).map(|site| site.caller).collect();
        callers.dedup();
        AtomicUsize::new(callers.len())
    });
    let callers_left = callers_left.collect();
    let counts = inliner.profile.as_deref();
    let counts = counts.map(|profile| SiteCounts::new(profile, program, &graph));
    State {
        program,
        splice_options: inliner.splice_options_for(program),
        graph,
        counts,
        sizes,
        growth_shares,
        finals,
        callers_left,
    }
}

struct Run<'a> {
    inliner: &'a Inliner<'a>,
    /// Those of the pass, with the byte order of what it compiles for.
    optimize_options: OptimizeOptions,
    state: &'a State<'a>,
    compiler: Option<Compiler<'a>>,
    scratch: ScratchPool<CallerScratch>,
    clock: &'a Clock,
    /// Instructions in the tables of the bodies that this run has made.
    final_insts: AtomicUsize,
    errors: Mutex<Vec<(FunctionId, PassError)>>,
}

impl<'s, 'a: 's> Work<'s> for Run<'a> {
    fn component(&'s self, component: ComponentId) -> Vec<(FunctionId, u64)> {
        let state = self.state;
        for &id in state.graph.members(component) {
            let done = self.scratch.with(|scratch| self.function(id, scratch));
            // Each function is in one component, so this is the first time.
            let is_first = state.finals[id].set(done).is_ok();
            debug_assert!(is_first, "{id} is in one component");
            if let Some(observer) = &self.inliner.observer {
                observer.inlined(id);
            }
        }
        let mut ready = Vec::new();
        for &id in state.graph.members(component) {
            let mut callers_done = state.callees(id);
            callers_done.retain(|&callee| state.one_caller_less(callee));
            if let Some(compiler) = &self.compiler {
                ready.extend(compiler.ready(state, id, &callers_done));
            }
        }
        let size = |id| u64::try_from(state.size_of(id)).unwrap_or(u64::MAX);
        ready.into_iter().map(|id| (id, size(id))).collect()
    }

    fn compile(&'s self, id: FunctionId) {
        let Some(compiler) = &self.compiler else {
            return;
        };
        self.clock.compile.time(|| compiler.compile(self.state, id));
        if let Some(observer) = &self.inliner.observer {
            observer.compiled(id);
        }
    }
}

impl Run<'_> {
    fn function(&self, id: FunctionId, scratch: &mut CallerScratch) -> Final {
        let clock = self.clock;
        let inlined = clock
            .inline
            .time(|| inline_into(self.inliner, self.state, id, &mut scratch.splice));
        let InlinedCaller {
            body,
            mut locations,
            records,
            inlined,
            depth,
            left_memory_calls,
            promises,
        } = inlined;
        let program = self.state.program;
        let original = program[id].body();
        let mut stats = CleanupStats::default();
        let mut table = None;
        let body = match body {
            None => {
                let worth_it = self.inliner.optimizes(usize::from(left_memory_calls));
                let optimized = worth_it
                    .then(|| self.optimize_original(id, scratch))
                    .flatten();
                if let Some((_, done)) = &optimized {
                    stats = *done;
                }
                let mut body = optimized.map(|(body, _)| body);
                if self.inliner.locations == LocationMode::InlinedAt {
                    let body = body.get_or_insert_with(|| (**original).clone());
                    let builder = LocationBuilder::begin(body);
                    table = Some(Arc::new(builder.finish(body)));
                }
                body.map_or_else(|| Arc::clone(original), Arc::new)
            }
            Some(mut body) => {
                let mut sound = self.is_sound(id, &body, &records, Stage::Splice);
                if self.inliner.clean_up && sound {
                    // The session has checked the caller and what it copied.
                    let needs_check = scratch.splice.left_handler_addresses();
                    let context = &mut scratch.cleanup;
                    stats = clock.cleanup.time(|| match needs_check {
                        true => clean_up(&mut body, context),
                        false => clean_up_spliced(&mut body, context),
                    });
                    sound = self.is_sound(id, &body, &records, Stage::Cleanup);
                }
                if self.inliner.optimizes(inlined) && sound {
                    let before = self.inliner.check.then(|| body.clone());
                    let context = &mut scratch.cleanup;
                    let options = &self.optimize_options;
                    let done = clock.cleanup.time(|| optimize(&mut body, options, context));
                    stats += done;
                    sound = self.is_well_optimized(id, before.as_ref(), &body);
                }
                // After an error the run has failed; what is left only has to
                // come to an end.
                if sound {
                    let builder = locations.take();
                    table = builder.map(|builder| Arc::new(builder.finish(&mut body)));
                    Arc::new(self.pack(body))
                } else {
                    Arc::clone(original)
                }
            }
        };
        let changed = inlined > 0 || stats != CleanupStats::default();
        let found = changed.then(|| References::of(program, &body));
        let state = self.state;
        Final {
            size: match changed {
                true => code_size(&body),
                false => state.sizes[id],
            },
            frame_bytes: frame_bytes(&body),
            calls: found
                .as_ref()
                .map_or_else(|| state.graph.calls(id), |found| found.calls),
            references: found.map(|found| found.functions.into_boxed_slice()),
            body,
            locations: table,
            depth,
            inlined,
            promises,
            cleanup: stats,
            records: records.into_boxed_slice(),
            preparation: Preparation::default(),
            summary: OnceLock::new(),
            kept: OnceLock::new(),
        }
    }

    /// The same function in tables without room to grow, if that is worth it.
    ///
    /// A table that was full when the caller was copied has doubled with the first entry that came
    /// in, and a final body stays to the end. A clone is the only way to get rid of the rest.
    fn pack(&self, body: Function) -> Function {
        let insts = body.dfg.num_insts();
        let before = self.final_insts.fetch_add(insts, Ordering::Relaxed);
        if insts < WORTH_PACKING || insts.saturating_mul(PACKED_AMONG) > before {
            return body;
        }
        body.clone()
    }

    /// What optimizing makes of a function into which nothing was inlined; `None` where that is
    /// nothing, so that the body stays shared with the input.
    fn optimize_original(
        &self,
        id: FunctionId,
        scratch: &mut CallerScratch,
    ) -> Option<(Function, CleanupStats)> {
        let mut body = (**self.state.program[id].body()).clone();
        let context = &mut scratch.cleanup;
        let options = &self.optimize_options;
        let stats = self
            .clock
            .cleanup
            .time(|| optimize(&mut body, options, context));
        let changed = stats != CleanupStats::default();
        let before = self.inliner.check.then(|| &**self.state.program[id].body());
        (changed && self.is_well_optimized(id, before, &body)).then_some((body, stats))
    }

    /// Verifies an optimized body and, with the one `before`, proves that it does the same; an error
    /// is kept for the end.
    fn is_well_optimized(
        &self,
        id: FunctionId,
        before: Option<&Function>,
        body: &Function,
    ) -> bool {
        let error = self.verify(id, body, Stage::Optimize).or_else(|| {
            let known = Known {
                state: self.state,
                options: &self.optimize_options,
                keeps_locations: self.inliner.locations != LocationMode::InlinedAt,
            };
            let prove = |before| check_optimized(before, body, &known);
            let proved = before.map(|before| self.clock.verify.time(|| prove(before)))?;
            Some(PassError::CheckOptimized {
                function: self.state.program[id].name().clone(),
                source: proved.err()?,
            })
        });
        self.keep_error(id, error)
    }

    /// Keeps an error for the end; returns whether there is none.
    fn keep_error(&self, id: FunctionId, error: Option<PassError>) -> bool {
        let Some(error) = error else {
            return true;
        };
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.push((id, error));
        false
    }

    /// Verifies and checks as the pass is set; an error is kept for the end.
    fn is_sound(
        &self,
        id: FunctionId,
        body: &Function,
        records: &[SiteRecord],
        stage: Stage,
    ) -> bool {
        let error = self.verify(id, body, stage).or_else(|| {
            let check = || self.check(id, body, records, stage);
            self.inliner.check.then(|| self.clock.verify.time(check))?
        });
        self.keep_error(id, error)
    }

    fn verify(&self, id: FunctionId, body: &Function, stage: Stage) -> Option<PassError> {
        let isa = self.inliner.verify.as_deref()?;
        let result = self.clock.verify.time(|| verify_function(body, isa));
        Some(PassError::Verifier {
            function: self.state.program[id].name().clone(),
            stage,
            source: result.err()?,
        })
    }

    fn check(
        &self,
        id: FunctionId,
        body: &Function,
        records: &[SiteRecord],
        stage: Stage,
    ) -> Option<PassError> {
        let finals = &self.state.finals;
        let body_of = |id| finals.get(id)?.get().map(|done: &Final| &*done.body);
        let mut tree = copy_tree(self.state.program[id].body(), records, body_of);
        if self.inliner.locations == LocationMode::InlinedAt {
            tree.ignore_locations();
        }
        if !self.inliner.splice_options.share_slots {
            tree.forbid_shared_slots();
        }
        if self.inliner.splice_options.stack_limit_is_per_thread {
            tree.stack_limits_are_per_thread();
        }
        if self.inliner.splice_options.memory_promises == MemoryPromises::WholeProgram {
            tree.promise_for_whole_program();
        }
        let error = check(&tree, body).err()?;
        let function = self.state.program[id].name().clone();
        Some(PassError::of_check(error, function, stage))
    }
}

fn conclude(state: State<'_>, times: StageTimes, recorded: Recorded) -> Inlined {
    let live = live_functions(&state);
    let State {
        program,
        graph,
        sizes,
        finals,
        splice_options,
        ..
    } = state;
    let mut sites = SecondaryMap::with_capacity(program.len());
    let mut stats = SecondaryMap::with_capacity(program.len());
    let mut bodies = SecondaryMap::with_capacity(program.len());
    let mut locations = SecondaryMap::with_capacity(program.len());
    for (id, done) in finals {
        let Some(done) = done.into_inner() else {
            debug_assert!(false, "{id} was not done");
            continue;
        };
        let before = program[id].body();
        stats[id] = FunctionStats {
            insts_before: sizes[id],
            insts_after: done.size,
            slot_bytes_before: slot_bytes(before),
            slot_bytes_after: slot_bytes(&done.body),
            inlined: done.inlined,
            depth: done.depth,
            promises: done.promises,
            cleanup: done.cleanup,
            dropped: !live[id],
        };
        sites[id] = done.records;
        bodies[id] = Some(done.body);
        locations[id] = done.locations;
    }
    let kept = program.with_bodies(|id, _| {
        let body: &Option<Arc<Function>> = &bodies[id];
        body.as_ref().filter(|_| live[id]).map(Arc::clone)
    });
    // The names are those of a program that exists already.
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

/// Gives the calls that are left the hints of the calls that they come from.
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
        let origin = record.path().last().and_then(|&site| graph.site(site));
        let hint = origin.and_then(|site| program.get(site.caller)?.hint(site.edge.inst));
        if let (Some(hint), Some(caller)) = (hint, program.get(record.caller)) {
            // Clean-up may have removed the call, and the caller may be dropped.
            let _ = kept.set_hint(caller.name(), record.inst, hint);
        }
    }
}

/// Time spent in the stages, added up over threads.
#[derive(Default)]
struct Clock {
    graph: Stopwatch,
    inline: Stopwatch,
    cleanup: Stopwatch,
    verify: Stopwatch,
    compile: Stopwatch,
}

#[derive(Default)]
struct Stopwatch(AtomicU64);

impl Stopwatch {
    fn time<T>(&self, f: impl FnOnce() -> T) -> T {
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
    fn times(&self) -> StageTimes {
        StageTimes {
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
