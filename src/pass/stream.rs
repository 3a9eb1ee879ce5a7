//! The pass over functions that come one by one.
//!
//! The pass over a whole program waits for the last body before it starts, and a front end that
//! translates in parallel waits with it. Here a front end declares its functions first, and hands
//! in bodies in any order while it translates. A component of the call graph starts as soon as its
//! own bodies are there and its callees are done; from there on everything is as in the whole
//! program.
//!
//! *Determinism.* Decisions depend on the declarations and the bodies, not on the order of arrival
//! or on threads, because a function never sees more than the final bodies of callees that it waits
//! for. If the declared sizes are those of the bodies, the result is that of [`Inliner::run`].

use super::compile::Compiler;
use super::declared::DeclaredProgram;
use super::error::PassError;
use super::lifetimes::Lifetimes;
use super::run::{Clock, Run, conclude, prepare};
use super::schedule::Schedule;
use super::state::State;
use super::unwanted::{Unwanted, demands, reachable};
use super::{CompiledProgram, Inlined, Inliner};
use crate::backend::{CompileError, CompiledFunction};
use crate::graph::{CallGraph, DeclarationMismatch};
use crate::program::{
    FunctionId, FunctionName, Linkage, Program, ProgramError, SiteHint, is_direct_call,
};
use cranelift_codegen::ir::{Function, Inst};
use cranelift_codegen::isa::TargetIsa;
use cranelift_entity::{EntitySet, PrimaryMap};
use rayon::Scope;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use thiserror::Error;

/// Why a stream did not take a body, or did not finish.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The declarations are not a program.
    #[error(transparent)]
    Declarations(#[from] ProgramError),
    /// A body has a name that was not declared.
    #[error("{function} was not declared")]
    Undeclared {
        /// The function.
        function: FunctionName,
    },
    /// A function has its body already, or another thread is just handing one in.
    #[error("{function} has a body already")]
    Twice {
        /// The function.
        function: FunctionName,
    },
    /// A body is not as it was declared. The function is still without one.
    #[error("{function} is not as declared: {mismatch}")]
    NotAsDeclared {
        /// The function.
        function: FunctionName,
        /// The difference.
        mismatch: DeclarationMismatch,
    },
    /// The front end is done, and functions have no body.
    #[error("no body came for {first}{}", others(.count))]
    Missing {
        /// The first one in the order of declarations.
        first: FunctionName,
        /// Their number.
        count: usize,
    },
    /// The stream was [cancelled](Stream::cancel), or a callback panicked in a call of
    /// [`Stream::define`], and the front end caught that.
    #[error("the stream was cancelled")]
    Cancelled,
}

fn others(count: &usize) -> String {
    match count.saturating_sub(1) {
        0 => String::new(),
        1 => " and one other function".to_owned(),
        others => format!(" and {others} other functions"),
    }
}

/// The most bodies that a stream held at a time, original and final ones.
///
/// A body that is both counts once. Tables about bodies are not counted; they live no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBodies {
    /// The number of bodies.
    pub functions: usize,
    /// Their [sizes](crate::decide::Limits#sizes) together.
    pub insts: usize,
}

/// A reason why the result of a stream may not be that of the pass over the whole program: the
/// declarations say more than is so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Inexact {
    /// [`DeclaredProgram::has_handlers`] is on, and no body has a call with handlers.
    #[error("no body has calls with handlers, and `has_handlers` is on")]
    NoHandlers,
    /// [`DeclaredProgram::has_alias_regions`] is on, and no body has alias regions.
    #[error("no body has alias regions, and `has_alias_regions` is on")]
    NoAliasRegions,
    /// [`DeclaredProgram::has_demands`] is on, and no hint demands inlining.
    #[error("no hint demands inlining, and `has_demands` is on")]
    NoDemands,
    /// The body of a function has another size than was declared, or catches more than was
    /// declared. Of several functions it is the first.
    #[error("the body of {0} has another size than was declared, or catches more exceptions")]
    Function(FunctionName),
    /// A call in a function has another location than in the [profile](Inliner::profile). Of
    /// several functions it is the first.
    #[error("a call in {0} has another location than in the profile")]
    Moved(FunctionName),
}

/// The result of a stream.
#[non_exhaustive]
pub struct Streamed<T> {
    /// The program after inlining, with the report. Unless [`DeclaredProgram::keep_bodies`] is on,
    /// bodies are not in it: [`Inlined::body`], [`Inlined::copies`] and [`Inlined::locations`]
    /// return `None`, and the functions of [`Inlined::input`] and [`Inlined::program`] have no
    /// instructions.
    pub inlined: Inlined,
    /// The machine code of all functions that are needed and have no error.
    pub compiled: CompiledProgram,
    /// The errors, in the order of functions; those of compiling went to the callback as well. A
    /// function whose result does not verify, or cannot be proved, is compiled from its original
    /// body, which is also the one that its callers get.
    pub errors: Vec<(FunctionId, PassError)>,
    /// Whether the result is that of the pass over the whole program, because all declarations say
    /// of the bodies no more and no less than is so, and no call has another location than in the
    /// [profile](Inliner::profile).
    pub is_exact: bool,
    /// The first reason why the result is not exact; `None` if it is.
    pub inexact: Option<Inexact>,
    /// The most bodies that were held at a time.
    pub held: HeldBodies,
    /// The result of the front end.
    pub front_end: T,
}

/// Takes bodies while the pass runs; see [`Inliner::stream`]. Threads may share it.
pub struct Stream<'r, 's> {
    scope: &'r Scope<'s>,
    schedule: &'s Schedule,
    run: &'s Run<'s>,
    declared: &'r DeclaredProgram,
    /// The functions with a body, or with one that is being checked.
    claimed: &'r PrimaryMap<FunctionId, AtomicBool>,
    /// All functions, those first for which most work waits.
    by_urgency: &'r [FunctionId],
    /// The number of them that were asked for, or have a body.
    asked: &'r AtomicUsize,
    queue_capacity: usize,
    /// In instructions.
    body_capacity: usize,
    seen: &'r Seen,
}

/// The features of the bodies so far.
#[derive(Default)]
struct Seen {
    handlers: AtomicBool,
    alias_regions: AtomicBool,
    demands: AtomicBool,
    /// The first function with a body that is another one than was declared; `u32::MAX` for none.
    inexact: AtomicU32,
    /// The first function with a call that has moved since the profile was made; likewise.
    moved: AtomicU32,
}

impl Seen {
    fn new() -> Self {
        Self {
            inexact: AtomicU32::new(u32::MAX),
            moved: AtomicU32::new(u32::MAX),
            ..Self::default()
        }
    }

    /// Returns the first thing that was declared and is not so, after the last body.
    fn inexact(&self, declared: &DeclaredProgram, program: &Program) -> Option<Inexact> {
        let is_missing =
            |was_declared: bool, seen: &AtomicBool| was_declared && !seen.load(Ordering::Relaxed);
        if is_missing(declared.has_handlers, &self.handlers) {
            return Some(Inexact::NoHandlers);
        }
        if is_missing(declared.has_alias_regions, &self.alias_regions) {
            return Some(Inexact::NoAliasRegions);
        }
        if is_missing(declared.has_demands, &self.demands) {
            return Some(Inexact::NoDemands);
        }
        let function = |seen: &AtomicU32| {
            let first = Some(seen.load(Ordering::Relaxed)).filter(|&first| first != u32::MAX);
            let function = program.get(FunctionId::from_u32(first?))?;
            Some(function.name().clone())
        };
        let other = function(&self.inexact).map(Inexact::Function);
        other.or_else(|| function(&self.moved).map(Inexact::Moved))
    }
}

impl<'s> Stream<'_, 's> {
    /// Hands in a body, under its own name, and returns the function.
    ///
    /// The work that becomes possible is done by the threads of the current rayon pool. Where more
    /// tasks wait for a thread than [`DeclaredProgram::queue_capacity`], or the bodies that are
    /// held are larger than [`DeclaredProgram::body_capacity`], this call does some of the tasks
    /// before it returns.
    ///
    /// # Errors
    ///
    /// [`StreamError::Undeclared`], [`StreamError::Twice`], [`StreamError::NotAsDeclared`] and
    /// [`StreamError::Cancelled`]. The stream goes on.
    pub fn define(&self, body: impl Into<Arc<Function>>) -> Result<FunctionId, StreamError> {
        self.define_with_hints(body, [])
    }

    /// Like [`define`](Self::define), with the embedder's hints for direct calls of the body.
    ///
    /// # Errors
    ///
    /// Those of [`define`](Self::define). A hint for another instruction is a
    /// [`StreamError::NotAsDeclared`], and so is one that demands inlining without
    /// [`DeclaredProgram::has_demands`].
    pub fn define_with_hints(
        &self,
        body: impl Into<Arc<Function>>,
        hints: impl IntoIterator<Item = (Inst, SiteHint)>,
    ) -> Result<FunctionId, StreamError> {
        let body = body.into();
        let hints: BTreeMap<Inst, SiteHint> = hints.into_iter().collect();
        if self.is_cancelled() {
            return Err(StreamError::Cancelled);
        }
        let name = FunctionName::from(body.name.clone());
        let state = self.run.state;
        let Some(id) = state.program.id(&name) else {
            return Err(StreamError::Undeclared { function: name });
        };
        let claim = &self.claimed[id];
        if claim.swap(true, Ordering::AcqRel) {
            return Err(StreamError::Twice { function: name });
        }
        let size = self.check(id, &body, &hints).map_err(|mismatch| {
            claim.store(false, Ordering::Release);
            let function = name.clone();
            StreamError::NotAsDeclared { function, mismatch }
        })?;
        state.held.add(size);
        state.arrive(id, body);
        // From here on, the function counts as one whose body is there.
        let is_first = state.late_sizes[id].set(size).is_ok() & state.program[id].arrive(hints);
        debug_assert!(is_first, "{name} was claimed once");
        if let (Some(counts), Some(profile)) = (&state.counts, &self.run.inliner.profile) {
            let none_moved = counts.arrive(profile, &state.graph, id);
            if !none_moved {
                self.seen.moved.fetch_min(id.as_u32(), Ordering::Relaxed);
            }
        }
        self.schedule.arrived(self.scope, self.run, id);
        let held = self.run.state.held.insts();
        let is_full = |tasks| tasks > self.queue_capacity || held.now() > self.body_capacity;
        self.schedule.help(self.scope, self.run, is_full);
        Ok(id)
    }

    /// Returns the function whose body is needed most urgently: most work waits for it. Each
    /// function is returned once, and none that has a body already; `None` after the last one.
    ///
    /// A front end that can translate in any order translates in this one, so that no function
    /// waits for long, and those that are inlined come before those that they are inlined into.
    pub fn next_wanted(&self) -> Option<FunctionId> {
        loop {
            let next = self.asked.fetch_add(1, Ordering::Relaxed);
            let Some(&id) = self.by_urgency.get(next) else {
                // Far from any overflow.
                self.asked.store(self.by_urgency.len(), Ordering::Relaxed);
                return None;
            };
            if !self.claimed[id].load(Ordering::Relaxed) {
                return Some(id);
            }
        }
    }

    /// Ends the stream early: tasks that have not begun are left out, and bodies are refused.
    pub fn cancel(&self) {
        self.run.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns whether the stream was [cancelled](Self::cancel).
    pub fn is_cancelled(&self) -> bool {
        self.run.is_cancelled.load(Ordering::Relaxed)
    }

    /// Returns the function of a name; `None` if it was not declared.
    pub fn id(&self, name: &FunctionName) -> Option<FunctionId> {
        self.run.state.program.id(name)
    }

    fn check(
        &self,
        id: FunctionId,
        body: &Function,
        hints: &BTreeMap<Inst, SiteHint>,
    ) -> Result<usize, DeclarationMismatch> {
        let state = self.run.state;
        if state.program[id].body().signature != body.signature {
            return Err(DeclarationMismatch::Signature);
        }
        let has_handlers = !body.dfg.exception_tables.is_empty();
        if !self.declared.has_handlers && has_handlers {
            return Err(DeclarationMismatch::Excluded("calls with handlers"));
        }
        let has_alias_regions = body.dfg.alias_regions.len() > 0;
        if !self.declared.has_alias_regions && has_alias_regions {
            return Err(DeclarationMismatch::Excluded("alias regions"));
        }
        for (&inst, &hint) in hints {
            if !is_direct_call(body, inst) {
                return Err(DeclarationMismatch::Hint { inst });
            }
            if !self.declared.has_demands && demands(hint) {
                return Err(DeclarationMismatch::Excluded("hints that demand inlining"));
            }
        }
        let size = state.graph.arrive(id, body)?;
        let seen = |place: &AtomicBool, is: bool| {
            if is {
                place.store(true, Ordering::Relaxed);
            }
        };
        seen(&self.seen.handlers, has_handlers);
        seen(&self.seen.alias_regions, has_alias_regions);
        seen(&self.seen.demands, hints.values().copied().any(demands));
        let is_exact = size == state.sizes[id] && state.graph.catches_as_declared(id, body);
        if !is_exact {
            self.seen.inexact.fetch_min(id.as_u32(), Ordering::Relaxed);
        }
        Ok(size)
    }
}

impl Inliner<'_> {
    /// Inlines and compiles functions while a front end is still translating others.
    ///
    /// `front_end` runs on the calling thread and hands in a body for each declared function, in
    /// any order, from as many threads as it likes. `on_compiled` is called with the code of each
    /// function as soon as that is there, on some thread of the pool, in no fixed order; a local
    /// function is compiled when it is known that it is still needed. One whose calls all stay
    /// calls, by its declaration, is compiled at once, and is left out of the result if none of
    /// the calls is left in the end. All threads are done when
    /// this returns.
    ///
    /// ```
    /// use cranelift_inliner::backend::{TargetSettings, target};
    /// use cranelift_inliner::decide::CostModel;
    /// use cranelift_inliner::pass::{DeclaredProgram, Inliner};
    /// use cranelift_inliner::program::Program;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// # let program = Program::from_clif("
    /// # function %square(i32) -> i32 fast {
    /// # block0(v0: i32):
    /// #     v1 = imul v0, v0
    /// #     return v1
    /// # }
    /// # function %norm(i32) -> i32 fast {
    /// #     fn0 = %square(i32) -> i32 fast
    /// # block0(v0: i32):
    /// #     v2 = call fn0(v0)
    /// #     return v2
    /// # }", "norm.clif")?;
    /// // A front end scans its source for this.
    /// let declared = DeclaredProgram::of(&program).ok_or("a library call")?;
    /// let isa = target("host", &TargetSettings::new())?;
    /// let compiled = AtomicUsize::new(0);
    /// let streamed = Inliner::new(CostModel::default()).stream(
    ///     &declared,
    ///     &*isa,
    ///     &|_, _| { compiled.fetch_add(1, Ordering::Relaxed); },
    ///     |stream| {
    ///         // The bodies may come in any order.
    ///         for (_, function) in program.iter().rev() {
    ///             stream.define(function.body().clone())?;
    ///         }
    ///         Ok::<(), cranelift_inliner::pass::StreamError>(())
    ///     },
    /// )?;
    /// streamed.front_end?;
    /// assert!(streamed.errors.is_empty());
    /// assert!(streamed.inlined.sites().all(|site| site.inlined));
    /// assert_eq!(compiled.into_inner(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StreamError::Declarations`], [`StreamError::Missing`] and
    /// [`StreamError::Cancelled`]. Errors of single functions are in the result.
    pub fn stream<T>(
        &self,
        declared: &DeclaredProgram,
        isa: &dyn TargetIsa,
        on_compiled: &(dyn Fn(FunctionId, Result<&CompiledFunction, &CompileError>) + Sync),
        front_end: impl FnOnce(&Stream<'_, '_>) -> T,
    ) -> Result<Streamed<T>, StreamError> {
        let program = declared.program()?;
        let clock = Clock::default();
        let state = clock.graph.time(|| {
            let graph = CallGraph::of_declared(&program, &declared.functions);
            let unwanted = Unwanted::new(self, &program, &graph, declared.has_demands);
            let mut state = prepare(self, &program, graph, unwanted, declared.has_handlers);
            state.splice_options.no_alias_regions = !declared.has_alias_regions;
            state.late_sizes = program.ids().map(|_| OnceLock::new()).collect();
            state.late_bodies = program.ids().map(|_| Mutex::default()).collect();
            state.compiled_early = compiled_early(&state);
            state
        });
        let compiler = Compiler::new(isa, &state, Some(on_compiled));
        let order = Some(isa.endianness());
        let mut run = Run::new(self, &state, &clock, Some(compiler), order);
        if !declared.keep_bodies {
            run.lifetimes = Some(Lifetimes::new(self, &state));
        }
        let schedule = Schedule::new(&state.graph, state.waits(self));
        schedule.await_bodies();
        let by_urgency = schedule.by_urgency(&state.graph);
        let claimed = program.ids().map(|_| AtomicBool::new(false)).collect();
        let seen = Seen::new();
        let others = rayon::current_num_threads().saturating_sub(1);
        let front_end = rayon::in_place_scope(|scope| {
            front_end(&Stream {
                scope,
                schedule: &schedule,
                run: &run,
                declared,
                claimed: &claimed,
                by_urgency: &by_urgency,
                asked: &AtomicUsize::new(0),
                queue_capacity: declared.queue_capacity.unwrap_or(others),
                body_capacity: declared.body_capacity.unwrap_or(usize::MAX),
                seen: &seen,
            })
        });
        let Run {
            compiler,
            errors,
            is_cancelled,
            ..
        } = run;
        if is_cancelled.into_inner() {
            return Err(StreamError::Cancelled);
        }
        missing(&state)?;
        let mut errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (compiled, not_compiled) = match compiler {
            Some(compiler) => clock.compile.time(|| compiler.finish_all(&state)),
            None => Default::default(),
        };
        let not_compiled = not_compiled.into_iter();
        errors.extend(not_compiled.map(|(id, error)| (id, PassError::Compile(error))));
        errors.sort_by_key(|(id, _)| *id);
        let held = HeldBodies {
            functions: state.held.functions().most(),
            insts: state.held.insts().most(),
        };
        let inexact = seen.inexact(declared, &program);
        let input = program.with_late_bodies(|id| state.take_original(id));
        Ok(Streamed {
            inlined: conclude(state, &input, clock.times(), self.records),
            compiled,
            errors,
            is_exact: inexact.is_none(),
            inexact,
            held,
            front_end,
        })
    }
}

/// Returns the local functions that are compiled without waiting for their callers: no call can
/// have them inlined, and the result needs them unless all references turn out to be unreachable.
fn compiled_early(state: &State<'_>) -> EntitySet<FunctionId> {
    let program = state.program;
    let is_early = |&id: &FunctionId| {
        program[id].linkage() == Linkage::Local && state.unwanted.reason(id).is_some()
    };
    let mut early = EntitySet::new();
    if program.ids().any(|id| is_early(&id)) {
        let reached = reachable(program, &state.graph, &state.in_tables);
        early.extend(reached.iter().filter(is_early));
    }
    early
}

fn missing(state: &State<'_>) -> Result<(), StreamError> {
    let functions = state.program.iter();
    let mut missing = functions.filter(|(_, function)| function.is_awaited());
    match missing.next() {
        None => Ok(()),
        Some((_, first)) => Err(StreamError::Missing {
            first: first.name().clone(),
            count: missing.count() + 1,
        }),
    }
}
