//! One run of the pass over one program.

use super::caller::{CallerScratch, InlinedCaller, inline_into};
use super::compile::{CompiledProgram, Compiler, live_functions};
use super::copies::copy_tree;
use super::error::{PassError, Stage};
use super::inlined::Inlined;
use super::references::references;
use super::report::{FunctionStats, SiteRecord, StageTimes};
use super::schedule::{Schedule, Work};
use super::state::{Final, State};
use super::{Inliner, budget};
use crate::backend::{ScratchPool, verify_function};
use crate::check::check;
use crate::cleanup::{CleanupStats, clean_up};
use crate::graph::{CallGraph, ComponentId};
use crate::locations::{LocationBuilder, LocationMode};
use crate::profile::SiteCounts;
use crate::program::{FunctionId, Linkage, Program};
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(super) fn run(
    inliner: &Inliner<'_>,
    program: &Program,
    isa: Option<&dyn TargetIsa>,
) -> Result<(Inlined, Option<CompiledProgram>), PassError> {
    let clock = Clock::default();
    let state = clock.graph.time(|| prepare(inliner, program));
    let run = Run {
        inliner,
        state: &state,
        compiler: isa.map(|isa| Compiler::new(isa, &state)),
        scratch: ScratchPool::new(),
        clock: &clock,
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
    Ok((conclude(state, clock.times()), compiled))
}

fn prepare<'a>(inliner: &Inliner<'_>, program: &'a Program) -> State<'a> {
    let graph = CallGraph::new(program);
    let ids: Vec<FunctionId> = program.ids().collect();
    let sizes: Vec<usize> = ids
        .par_iter()
        .map(|&id| count_insts(program[id].body()))
        .collect();
    let mut insts = SecondaryMap::with_capacity(ids.len());
    for (&id, size) in ids.iter().zip(sizes) {
        insts[id] = size;
    }
    let grows = |id: &FunctionId| program[*id].linkage() != Linkage::AvailableExternally;
    let growing: Vec<FunctionId> = ids.iter().copied().filter(grows).collect();
    let growth_shares = budget::growth_shares(&insts, &growing, &inliner.limits);
    let finals: PrimaryMap<FunctionId, OnceLock<Final>> =
        ids.iter().map(|_| OnceLock::new()).collect();
    let counts = inliner.profile;
    let counts = counts.map(|profile| SiteCounts::new(profile, program, &graph));
    State {
        program,
        splice_options: inliner.splice_options_for(program),
        graph,
        counts,
        insts,
        growth_shares,
        finals,
    }
}

struct Run<'a> {
    inliner: &'a Inliner<'a>,
    state: &'a State<'a>,
    compiler: Option<Compiler<'a>>,
    scratch: ScratchPool<CallerScratch>,
    clock: &'a Clock,
    errors: Mutex<Vec<(FunctionId, PassError)>>,
}

impl<'s, 'a: 's> Work<'s> for Run<'a> {
    fn component(&'s self, scope: &rayon::Scope<'s>, component: ComponentId) {
        let state = self.state;
        for &id in state.graph.members(component) {
            let done = self.scratch.with(|scratch| self.function(id, scratch));
            // Each function is in one component, so this is the first time.
            let _ = state.finals[id].set(done);
            if let Some(observer) = self.inliner.observer {
                observer.inlined(id);
            }
        }
        let Some(compiler) = &self.compiler else {
            return;
        };
        for &id in state.graph.members(component) {
            for ready in compiler.ready(state, id) {
                scope.spawn(move |_| self.compile(compiler, ready));
            }
        }
    }
}

impl Run<'_> {
    fn compile(&self, compiler: &Compiler<'_>, id: FunctionId) {
        self.clock.compile.time(|| compiler.compile(self.state, id));
        if let Some(observer) = self.inliner.observer {
            observer.compiled(id);
        }
    }

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
        } = inlined;
        let program = self.state.program;
        let original = program[id].body();
        let mut stats = CleanupStats::default();
        let mut table = None;
        let body = match body {
            None if self.inliner.locations == LocationMode::InlinedAt => {
                let mut body = (**original).clone();
                let builder = LocationBuilder::begin(&mut body);
                table = Some(Arc::new(builder.finish(&mut body)));
                Arc::new(body)
            }
            None => Arc::clone(original),
            Some(mut body) => {
                let mut sound = self.is_sound(id, &body, &records, Stage::Splice);
                if self.inliner.clean_up && sound {
                    stats = clock
                        .cleanup
                        .time(|| clean_up(&mut body, &mut scratch.cleanup));
                    sound = self.is_sound(id, &body, &records, Stage::Cleanup);
                }
                // After an error the run has failed; what is left only has to
                // come to an end.
                if sound {
                    let builder = locations.take();
                    table = builder.map(|builder| Arc::new(builder.finish(&mut body)));
                    Arc::new(body)
                } else {
                    Arc::clone(original)
                }
            }
        };
        Final {
            insts: count_insts(&body),
            references: references(program, &body),
            body,
            locations: table,
            depth,
            inlined,
            cleanup: stats,
            records,
            tables: OnceLock::new(),
            summary: OnceLock::new(),
            kept: OnceLock::new(),
        }
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
        let Some(error) = error else {
            return true;
        };
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.push((id, error));
        false
    }

    fn verify(&self, id: FunctionId, body: &Function, stage: Stage) -> Option<PassError> {
        let isa = self.inliner.verify?;
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
        Some(PassError::Check {
            function: self.state.program[id].name().clone(),
            stage,
            source: check(&tree, body).err()?,
        })
    }
}

fn conclude(state: State<'_>, times: StageTimes) -> Inlined {
    let live = live_functions(&state);
    let State {
        program,
        graph,
        insts,
        finals,
        ..
    } = state;
    let mut sites = Vec::new();
    let mut stats = SecondaryMap::with_capacity(program.len());
    let mut bodies = SecondaryMap::with_capacity(program.len());
    let mut locations = SecondaryMap::with_capacity(program.len());
    for (id, done) in finals {
        let Some(done) = done.into_inner() else {
            continue;
        };
        let before = program[id].body();
        stats[id] = FunctionStats {
            insts_before: insts[id],
            insts_after: done.insts,
            slot_bytes_before: slot_bytes(before),
            slot_bytes_after: slot_bytes(&done.body),
            inlined: done.inlined,
            depth: done.depth,
            cleanup: done.cleanup,
            dropped: !live[id],
        };
        sites.extend(done.records);
        bodies[id] = Some(done.body);
        locations[id] = done.locations;
    }
    let kept = program.with_bodies(|id, _| {
        let body: &Option<Arc<Function>> = &bodies[id];
        body.as_ref().filter(|_| live[id]).map(Arc::clone)
    });
    // The names are those of a program that exists already.
    let mut kept = kept.unwrap_or_default();
    pass_on_hints(program, &graph, &sites, &mut kept);
    Inlined {
        program: kept,
        graph,
        bodies,
        locations,
        sites,
        stats,
        times,
    }
}

/// Gives the calls that are left the hints of the calls that they come from.
fn pass_on_hints(program: &Program, graph: &CallGraph, sites: &[SiteRecord], kept: &mut Program) {
    if program
        .iter()
        .all(|(_, function)| function.hints().len() == 0)
    {
        return;
    }
    for record in sites.iter().filter(|record| !record.inlined) {
        let origin = record.path.last().and_then(|&site| graph.site(site));
        let hint = origin.and_then(|site| program.get(site.caller)?.hint(site.edge.inst));
        if let (Some(hint), Some(caller)) = (hint, program.get(record.caller)) {
            // Clean-up may have removed the call, and the caller may be dropped.
            let _ = kept.set_hint(caller.name(), record.inst, hint);
        }
    }
}

fn count_insts(func: &Function) -> usize {
    let blocks = func.layout.blocks();
    blocks
        .map(|block| func.layout.block_insts(block).count())
        .sum()
}

fn slot_bytes(func: &Function) -> u64 {
    let slots = func.sized_stack_slots.values();
    slots.map(|slot| u64::from(slot.size)).sum()
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
