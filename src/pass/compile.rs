//! Compiles functions in parallel with inlining into others.
//!
//! An exported function is compiled as soon as its body is final. A local one may turn out to be
//! unused, so it waits until all functions that called it or took its address are final and is then
//! compiled if one of them still does. A function that falls back to its original body can need a
//! local one that was passed over; these are compiled at the end.

use super::state::{Final, FinalBody, State};
use crate::backend::{
    Compilation, CompileError, CompileScratch, CompiledFunction, Fallback, ScratchPool,
    compile_or_original,
};
use crate::locations::{LabelTable, LocationTable};
use crate::program::{FunctionId, Linkage};
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_entity::{EntitySet, PrimaryMap};
use std::sync::{Arc, OnceLock};

/// The machine code of a program.
#[derive(Default)]
pub struct CompiledProgram {
    functions: Vec<(FunctionId, Compilation)>,
    /// The table of source locations for each of `functions`.
    locations: Vec<Option<Arc<LocationTable>>>,
    /// The variables for each of `functions`.
    labels: Vec<LabelTable>,
}

impl CompiledProgram {
    /// Returns the compiled functions in input order, by their ids in the program that went in.
    /// Functions that are no longer needed are missing.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (FunctionId, &CompiledFunction)> + ExactSizeIterator {
        self.functions
            .iter()
            .map(|(id, compilation)| (*id, &compilation.function))
    }

    /// Returns the code of a function of the input; `None` if it was dropped.
    pub fn get(&self, id: FunctionId) -> Option<&CompiledFunction> {
        let (_, compilation) = self.functions.get(self.position(id)?)?;
        Some(&compilation.function)
    }

    /// Returns the table of the source locations in [`CompiledProgram::get`]'s code; `None` if the
    /// pass keeps locations as they are.
    pub fn locations(&self, id: FunctionId) -> Option<&Arc<LocationTable>> {
        self.locations.get(self.position(id)?)?.as_ref()
    }

    /// Returns the variables that the value labels in [`CompiledProgram::get`]'s code stand for;
    /// `None` if it was dropped, or the pass keeps locations as they are. Then labels are too.
    pub fn labels(&self, id: FunctionId) -> Option<&LabelTable> {
        let position = self.position(id)?;
        self.locations.get(position)?.as_ref()?;
        self.labels.get(position)
    }

    fn position(&self, id: FunctionId) -> Option<usize> {
        self.functions.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// Returns the functions that were compiled from their original body, and why.
    pub fn fallbacks(&self) -> impl Iterator<Item = (FunctionId, &Fallback)> {
        self.functions
            .iter()
            .filter_map(|(id, compilation)| Some((*id, compilation.body.fallback()?)))
    }

    /// Returns the bytes of code of all functions.
    pub fn code_bytes(&self) -> usize {
        let functions = self.functions.iter();
        functions
            .map(|(_, compilation)| compilation.function.code().len())
            .sum()
    }
}

/// Called with each function after it was compiled.
pub(super) type OnCompiled<'a> =
    dyn Fn(FunctionId, Result<&CompiledFunction, &CompileError>) + Sync + 'a;

/// A function, the variables of its labels, and the table of its source locations.
struct Labelled {
    compilation: Compilation,
    labels: LabelTable,
    locations: Option<Arc<LocationTable>>,
}

/// The compiling half of one run.
pub(super) struct Compiler<'a> {
    isa: &'a dyn TargetIsa,
    on_compiled: Option<&'a OnCompiled<'a>>,
    scratch: ScratchPool,
    results: PrimaryMap<FunctionId, OnceLock<Result<Labelled, CompileError>>>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        isa: &'a dyn TargetIsa,
        state: &State<'_>,
        on_compiled: Option<&'a OnCompiled<'a>>,
    ) -> Self {
        Compiler {
            isa,
            on_compiled,
            scratch: ScratchPool::new(),
            results: state.program.ids().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Returns the functions that can be compiled now that `id` is final, and with it all functions
    /// that call those of `callers_done`; and those of them that are passed over.
    pub(super) fn ready(
        &self,
        state: &State<'_>,
        id: FunctionId,
        callers_done: &[FunctionId],
    ) -> (Vec<FunctionId>, Vec<FunctionId>) {
        let mut ready = Vec::new();
        let mut passed_over = Vec::new();
        let is_certain = |id: FunctionId| match state.program[id].linkage() {
            Linkage::Local => state.in_tables.contains(id) || state.compiled_early.contains(id),
            linkage => linkage.is_kept(),
        };
        let may_be_needed = |id: FunctionId| state.program[id].linkage() == Linkage::Local;
        if is_certain(id) {
            ready.push(id);
        }
        for &callee in callers_done {
            if may_be_needed(callee) && !is_certain(callee) {
                match is_referenced(state, callee) {
                    true => ready.push(callee),
                    false => passed_over.push(callee),
                }
            }
        }
        (ready, passed_over)
    }

    /// Compiles a function, and returns whether it fell back to its original body; `None` if it was
    /// compiled before.
    pub(super) fn compile(&self, state: &State<'_>, id: FunctionId) -> Option<bool> {
        if self.results[id].get().is_some() {
            return None;
        }
        let done = state.finals.get(id).and_then(OnceLock::get);
        let Some((done, held)) = done.and_then(|done| Some((done, done.held()?))) else {
            debug_assert!(false, "{id} is compiled before it is final, or freed");
            return None;
        };
        let mut is_first = false;
        let result = self.results[id].get_or_init(|| {
            is_first = true;
            self.scratch
                .with(|scratch| self.compile_final(state, id, (done, &held), scratch))
        });
        drop(held);
        if is_first && let Some(on_compiled) = self.on_compiled {
            on_compiled(id, result.as_ref().map(|done| &done.compilation.function));
        }
        is_first.then(|| is_fallback(result))
    }

    fn compile_final(
        &self,
        state: &State<'_>,
        id: FunctionId,
        (done, held): (&Final, &FinalBody),
        scratch: &mut CompileScratch,
    ) -> Result<Labelled, CompileError> {
        let original = || done.is_changed().then(|| state.original(id));
        let Some(table) = &held.locations else {
            let compilation = compile_or_original(self.isa, &held.body, original, scratch)?;
            return Ok(Labelled {
                compilation,
                labels: LabelTable::default(),
                locations: None,
            });
        };
        let own_table = || LocationTable::own(state.program[id].name().clone());
        let (body, mut labels) = with_numbered_labels(&held.body, table);
        let original = || {
            let (body, own) = with_numbered_labels(&original()?, &own_table());
            labels = own;
            Some(body)
        };
        let compilation = compile_or_original(self.isa, &body, original, scratch)?;
        let locations = Some(match compilation.body.fallback() {
            Some(_) => Arc::new(own_table()),
            None => Arc::clone(table),
        });
        Ok(Labelled {
            compilation,
            labels,
            locations,
        })
    }

    /// Compiles the missing functions and returns all live ones.
    pub(super) fn finish(self, state: &State<'_>) -> Result<CompiledProgram, CompileError> {
        let (program, errors) = self.finish_all(state);
        match errors.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(program),
        }
    }

    /// Like [`Compiler::finish`], but goes on after errors.
    pub(super) fn finish_all(
        mut self,
        state: &State<'_>,
    ) -> (CompiledProgram, Vec<(FunctionId, CompileError)>) {
        let live = self.compile_live(state);
        let mut program = CompiledProgram::default();
        let mut errors = Vec::new();
        for id in state.program.ids().filter(|&id| live.contains(id)) {
            match self.results[id].take() {
                Some(Ok(done)) => {
                    program.labels.push(done.labels);
                    program.locations.push(done.locations);
                    program.functions.push((id, done.compilation));
                }
                Some(Err(error)) => errors.push((id, error)),
                None => {}
            }
        }
        (program, errors)
    }

    /// Follows references from exported functions through the bodies that were actually compiled.
    fn compile_live(&self, state: &State<'_>) -> EntitySet<FunctionId> {
        reach(state, |id| {
            self.compile(state, id);
            match self.results[id].get().is_some_and(is_fallback) {
                true => state.graph.references(id).collect(),
                false => state.references(id).unwrap_or_default(),
            }
        })
    }
}

fn with_numbered_labels(
    body: &Arc<Function>,
    locations: &LocationTable,
) -> (Arc<Function>, LabelTable) {
    if body.dfg.values_labels.is_none() {
        return (Arc::clone(body), LabelTable::default());
    }
    let mut body = Function::clone(body);
    let labels = LabelTable::number(&mut body, locations);
    (Arc::new(body), labels)
}

/// Returns whether the original body was compiled in place of the final one.
fn is_fallback(result: &Result<Labelled, CompileError>) -> bool {
    matches!(result, Ok(done) if done.compilation.body.fallback().is_some())
}

fn is_referenced(state: &State<'_>, callee: FunctionId) -> bool {
    let callers = state.graph.callers(callee).map(|site| site.caller);
    let mut users = callers.chain(state.addressed_by[callee].iter().copied());
    users.any(|user| {
        let done = state.finals.get(user).and_then(OnceLock::get);
        let references = done.map(|done| done.references.as_deref());
        // A body that did not change still has the call.
        references
            .flatten()
            .is_none_or(|references| references.contains(&callee))
    })
}

/// Returns the functions that are needed: those that code outside the program may call, and the
/// functions to which their final bodies refer.
pub(super) fn live_functions(state: &State<'_>) -> EntitySet<FunctionId> {
    reach(state, |id| state.references(id).unwrap_or_default())
}

/// Returns the functions that code outside the program may call, and those reached from there by
/// `references` of functions with code.
fn reach(
    state: &State<'_>,
    mut references: impl FnMut(FunctionId) -> Vec<FunctionId>,
) -> EntitySet<FunctionId> {
    let mut live = EntitySet::with_capacity(state.program.len());
    let mut work: Vec<FunctionId> = state
        .program
        .ids()
        .filter(|&id| state.program[id].linkage().is_kept())
        .chain(state.kept_by_tables())
        .collect();
    live.extend(work.iter().copied());
    while let Some(id) = work.pop() {
        let here = references(id).into_iter();
        let here = here.filter(|&id| state.is_emitted(id));
        work.extend(here.filter(|&id| live.insert(id)));
    }
    live
}
