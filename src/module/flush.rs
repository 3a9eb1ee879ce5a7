//! Makes a program from the held bodies, and definitions from the result of the pass.

use super::error::{naming, other};
use super::held::Body;
use super::report::{Counters, ModuleReport};
use super::symbols::DATA;
use super::{InliningModule, define, outside};
use crate::backtrace::{FunctionBacktraces, LinkError};
use crate::locations::LocationTable;
use crate::pass::{CompiledProgram, Inlined, LocationTables, References};
use crate::profile::Instrumented;
use crate::program::{FunctionId, FunctionName, Linkage, Program, ProgramFunction};
use cranelift_codegen::ir::Function;
use cranelift_entity::EntitySet;
use cranelift_module::{DataDescription, FuncId, Linkage as ModuleLinkage, Module, ModuleResult};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) fn flush<M: Module>(module: &mut InliningModule<'_, M>) -> ModuleResult<ModuleReport> {
    let (mut program, tables) = module.program()?;
    let counters = module.add_counters(&mut program)?;
    let (mut report, defined) = if let Some((inlined, compiled)) = module.take_background(&program)
    {
        let mut report = ModuleReport::new(inlined);
        report.set_from_background();
        let defined = module.define_compiled(&compiled, &mut report);
        (report, defined)
    } else if module.in_parallel {
        let isa = module.module.isa();
        let done = module.inliner.run_and_compile_with(&program, tables, isa);
        let (inlined, compiled) = done.map_err(other)?;
        let mut report = ModuleReport::new(inlined);
        let defined = module.define_compiled(&compiled, &mut report);
        (report, defined)
    } else {
        let order = module.module.isa().endianness();
        let inlined = module.inliner.run_in_order(&program, tables, order);
        let mut report = ModuleReport::new(inlined.map_err(other)?);
        let defined = module.define_in_turn(&mut report);
        (report, defined)
    };
    report.set_counters(counters);
    let unused = module.unused(&report);
    report.set_unused(unused);
    // After an error too: some functions may be defined.
    let InliningModule {
        held, flushed: has, ..
    } = module;
    held.retain(|function, _| !has.contains_key(function));
    if defined.is_err() && !report.defined().is_empty() {
        module.tell(&report);
    }
    defined.map(|()| report)
}

impl<M: Module> InliningModule<'_, M> {
    /// Makes a program of the held bodies, and of the flushed ones that may be inlined into them.
    ///
    /// A front end that flushes after each function must not pay for all earlier ones each time. So
    /// flushed bodies are searched from the nearest on. Bodies that could not be inlined are left
    /// out: those larger than the allowed growth of any held function, and those deeper than copies
    /// may nest. Callees of flushed bodies are taken as long as their total size is within the
    /// growth of all held functions together.
    ///
    /// Flushed bodies come with the tables of their source locations.
    fn program(&mut self) -> ModuleResult<(Program, LocationTables)> {
        let mut program = Program::new();
        let mut tables = LocationTables::default();
        let limits = *self.inliner.hard_limits();
        let (mut room, mut largest) = (0usize, 0);
        let mut work: VecDeque<(Arc<Function>, u32)> = VecDeque::with_capacity(self.held.len());
        for (&id, held) in &self.held {
            self.add(&mut program, id, &held.body.function, false)?;
            let growth = limits.growth_of_function(held.body.insts);
            room = room.saturating_add(growth);
            largest = largest.max(growth);
            work.push_back((Arc::clone(&held.body.function), 0));
        }
        for (table, functions) in self.constant_tables() {
            program.add_table(table, functions);
        }
        let mut reached = EntitySet::new();
        while let Some((body, depth)) = work.pop_front() {
            if depth >= limits.depth {
                break;
            }
            for reference in body.dfg.ext_funcs.keys() {
                let name = FunctionName::of_callee(&body, reference);
                let Some(id) = name.and_then(|name| self.symbols.id(&name)) else {
                    continue;
                };
                let Some(flushed) = self.flushed.get(&id) else {
                    continue;
                };
                let limit = if depth == 0 {
                    largest
                } else {
                    largest.min(room)
                };
                if flushed.insts > limit || !reached.insert(id) {
                    continue;
                }
                if depth > 0 {
                    room -= flushed.insts;
                }
                self.add(&mut program, id, &flushed.function, true)?;
                let added = program.id(&FunctionName::from(flushed.function.name.clone()));
                tables.extend(added.zip(flushed.locations.clone()));
                work.push_back((Arc::clone(&flushed.function), depth + 1));
            }
        }
        Ok((program, tables))
    }

    /// Adds a held body, or one that was flushed before and may be inlined.
    fn add(
        &self,
        program: &mut Program,
        id: FuncId,
        body: &Arc<Function>,
        is_flushed: bool,
    ) -> ModuleResult<()> {
        let (declared, symbol) = self.declared(id)?;
        let linkage = match (declared, is_flushed) {
            (ModuleLinkage::Preemptible, true) => return Ok(()),
            (_, true) => Linkage::AvailableExternally,
            (declared, false) => self.linkage_in_pass(id, declared),
        };
        let function = ProgramFunction::new(Arc::clone(body))
            .with_linkage(linkage)
            .with_attributes(self.attributes[id]);
        let name = function.name().clone();
        let mut added = program.add_function(function).map(|_| ());
        for (&call, &hint) in self.hints.get(&id).into_iter().flatten() {
            added = added.and_then(|()| program.set_hint(&name, call, hint));
        }
        added.map_err(|error| naming(id, &symbol, other(error)))
    }

    /// Gives the calls of the program counters, if counting is on, in a table of the wrapped
    /// module.
    fn add_counters(&mut self, program: &mut Program) -> ModuleResult<Option<Counters>> {
        if !self.count_calls {
            return Ok(None);
        }
        let table = self.module.declare_anonymous_data(true, false)?;
        let name = FunctionName::user(DATA, table.as_u32());
        let instrumented = Instrumented::new(program, &name).map_err(other)?;
        let mut data = DataDescription::new();
        data.define_zeroinit(instrumented.table_bytes());
        data.set_align(8);
        self.module.define_data(table, &data)?;
        *program = instrumented.program().clone();
        Ok(Some(Counters {
            table,
            instrumented,
        }))
    }

    /// Lets the wrapped module compile one function after the other.
    fn define_in_turn(&mut self, report: &mut ModuleReport) -> ModuleResult<()> {
        let program = report.program().clone();
        let mut needed = EntitySet::with_capacity(program.len());
        let mut queue: VecDeque<FunctionId> = program.ids().collect();
        queue.retain(|&id| !report.inlined().stats(id).dropped);
        needed.extend(queue.iter().copied());
        let mut context = self.module.make_context();
        while let Some(id) = queue.pop_front() {
            let body = report.inlined().body(id).map(Arc::clone);
            let (Some(function), Some(body)) = (self.symbols.id(program[id].name()), body) else {
                continue;
            };
            let Some(held) = self.held.get(&function) else {
                continue;
            };
            let name = held.body.name.clone();
            // With counters, if calls are counted.
            let original = program[id].body();
            let bodies = define::Bodies {
                last: &body,
                original,
                locations: report.inlined().locations(id).map(|table| &**table),
            };
            let defined = self.define_or_fall_back(function, bodies, &mut context)?;
            let define::Defined { fallback, labels } = defined;
            let used = match fallback {
                None => body,
                Some(_) => Arc::clone(original),
            };
            // Functions that were inlined into all others may be needed again: by an original body,
            // and by the functions that come back with that.
            if fallback.is_some() || report.inlined().stats(id).dropped {
                for reference in References::of(&program, &used).functions {
                    let here = program[reference].linkage() != Linkage::AvailableExternally;
                    if here && needed.insert(reference) {
                        queue.push_back(reference);
                    }
                }
            }
            let body = Body::new(used, name);
            self.set_flushed(function, body, fallback.is_some(), report.inlined());
            report.add_defined(function, id, fallback);
            report.set_labels(function, labels);
            if let Some(code) = context.compiled_code() {
                self.add_backtraces(report, function, |locations| {
                    FunctionBacktraces::of_cranelift(code, locations)
                })?;
            }
        }
        Ok(())
    }

    /// Defines functions that the pass has compiled; the wrapped module gets bytes.
    fn define_compiled(
        &mut self,
        compiled: &CompiledProgram,
        report: &mut ModuleReport,
    ) -> ModuleResult<()> {
        let minimum = self.module.isa().function_alignment().minimum;
        let fallbacks: FxHashMap<_, _> = compiled.fallbacks().collect();
        // A background has the functions in the order of their declaration.
        let held = self.held.iter();
        let held = held.map(|(&id, held)| (id, held.body.name.clone()));
        let held: Vec<_> = held.collect();
        for (function, front_end_name) in held {
            let name = self.symbols.known(function);
            let Some(id) = name.and_then(|name| report.program().id(name)) else {
                continue;
            };
            let Some(code) = compiled.get(id) else {
                continue;
            };
            let relocations = define::relocations(&self.symbols, function, code);
            let relocations = relocations.map_err(|error| self.in_body_of(function, error))?;
            let alignment = u64::from(code.alignment().max(minimum));
            self.define_bytes(function, alignment, code.code(), &relocations)?;
            if let Some(on_compiled) = &mut self.on_compiled {
                on_compiled(function, code);
            }
            let fallback = fallbacks.get(&id).map(|why| why.reason.to_string());
            let last = report.inlined().body(id);
            let last = last.filter(|_| fallback.is_none());
            let used = last.unwrap_or(report.program()[id].body());
            let body = Body::new(Arc::clone(used), front_end_name);
            self.set_flushed(function, body, fallback.is_some(), report.inlined());
            report.add_defined(function, id, fallback);
            if let Some(labels) = compiled.labels(id) {
                report.set_labels(function, labels.clone());
            }
            self.add_backtraces(report, function, |locations| {
                FunctionBacktraces::of(code, locations)
            })?;
        }
        Ok(())
    }

    /// Keeps the backtraces of a function that was just defined, if they are wanted.
    fn add_backtraces(
        &self,
        report: &mut ModuleReport,
        function: FuncId,
        of: impl FnOnce(&LocationTable) -> Result<FunctionBacktraces, LinkError>,
    ) -> ModuleResult<()> {
        if self.keep_backtraces
            && let Some(locations) = report.locations(function)
        {
            let backtraces = of(&locations);
            let backtraces = backtraces.map_err(|error| self.in_body_of(function, other(error)))?;
            report.set_backtraces(function, backtraces);
        }
        Ok(())
    }

    /// Returns the local functions among those that were defined now to which nothing refers.
    fn unused(&self, report: &ModuleReport) -> Vec<FuncId> {
        let program = report.program();
        let is_root = |&function: &FuncId| {
            let is_local = matches!(self.declared(function), Ok((ModuleLinkage::Local, _)));
            !is_local || self.used_outside.contains(function)
        };
        let mut used: EntitySet<FuncId> = EntitySet::new();
        let mut work: Vec<FuncId> = report.defined().iter().copied().filter(is_root).collect();
        used.extend(work.iter().copied());
        while let Some(function) = work.pop() {
            let Some(body) = self.flushed.get(&function) else {
                continue;
            };
            for reference in References::of(program, &body.function).functions {
                let function = self.symbols.id(program[reference].name());
                if let Some(function) = function
                    && report.function(function).is_some()
                    && used.insert(function)
                {
                    work.push(function);
                }
            }
        }
        let defined = report.defined().iter().copied();
        defined
            .filter(|&function| !used.contains(function))
            .collect()
    }

    /// Keeps a defined body, with hints for its present calls. Undefined functions that it refers
    /// to are in use from now on.
    fn set_flushed(
        &mut self,
        function: FuncId,
        mut body: Body,
        fell_back: bool,
        inlined: &Inlined,
    ) {
        if !fell_back {
            let name = FunctionName::from(body.function.name.clone());
            let id = inlined.input().id(&name);
            body.locations = id.and_then(|id| inlined.locations(id)).map(Arc::clone);
            let result = inlined.program();
            let hints = result.id(&name).and_then(|id| result.get(id));
            let hints = hints.into_iter().flat_map(|function| function.hints());
            self.hints.insert(function, hints.collect());
        }
        for used in outside::used_by_body(&self.symbols, &body.function) {
            if !self.defined.contains(used) {
                self.used_outside.insert(used);
            }
        }
        self.flushed.insert(function, body);
    }
}
