//! The inlining pass around a JIT or an object file.
//!
//! The front end takes any `Module`. With a policy that is an `InliningModule` around the one that
//! compiles, and this file has all that it takes.

use crate::entry::{entry, entry_signature, wrapper};
use crate::error::{Error, Result};
use crate::image::{CodeInfo, describe, entries, without_functions};
use crate::parse::ParsedModule;
use crate::scan::declarations;
use crate::translate::{Declared, Scratch, breakpoint, compiled_signature, translate_body};
use cranelift_codegen::Context;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{CompiledFunction, TargetSettings, target};
use cranelift_inliner::backtrace::{BacktraceTable, FunctionBacktraces, LinkError};
use cranelift_inliner::decide::{Always, CostModel, Never, Small};
use cranelift_inliner::locations::{LocationMode, LocationTable};
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::profile::Profile;
use cranelift_inliner::program::FunctionName;
use cranelift_inliner::splice::{MemoryPromises, SpliceOptions};
use cranelift_inliner_wasm_runtime::{Image, symbol};
use cranelift_module::{FuncId, Linkage, Module};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The calls that are inlined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// None: functions go to Cranelift as they are.
    None,
    /// Those of small functions.
    Small(Small),
    /// Those that the cost model finds worth it.
    Cost(CostModel),
    /// All that can be.
    Always,
}

impl Default for Policy {
    fn default() -> Self {
        Policy::Cost(CostModel::default())
    }
}

/// The time at which functions are compiled, and the threads. All but the first are only for code
/// in this process, which nothing unwinds, and that is not to be debugged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// After all are translated, one after the other.
    #[default]
    InTurn,
    /// After all are translated, by the threads of the current rayon pool.
    InParallel,
    /// While others are still translated, by the threads of the global rayon pool.
    InBackground,
}

/// Options of a compilation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'p> {
    /// The calls that are inlined.
    pub policy: Policy,
    /// Whether all functions are optimized by the pass, and not only those into which something
    /// was inlined.
    pub optimize: bool,
    /// The counts of calls in an earlier run.
    pub profile: Option<&'p Profile>,
    /// Whether calls get counters, for [`JitProgram::profile`](crate::JitProgram::profile).
    pub count_calls: bool,
    /// Whether functions stay that nothing refers to any more, as if all were exported.
    pub keep_unused: bool,
    /// The time at which functions are compiled, and the threads.
    pub schedule: Schedule,
    /// Whether code stops before each instruction for `Instance::set_debugger`, and
    /// [`JitProgram::frame_table`](crate::JitProgram::frame_table) has a table for it.
    pub debug: bool,
}

impl Options<'_> {
    /// Returns the pass with these options; `None` if there is nothing for it to do.
    fn inliner(&self) -> Option<Inliner<'static>> {
        let mut inliner = match self.policy {
            Policy::None if self.count_calls || self.debug => Inliner::new(Never),
            Policy::None => return None,
            Policy::Small(small) => Inliner::new(small),
            Policy::Cost(model) => Inliner::new(model),
            Policy::Always => Inliner::new(Always),
        };
        if self.debug {
            // The stack is checked by its pointer.
            let mut options = SpliceOptions::default();
            options.allow_stack_pointer = true;
            inliner = inliner.splice_options(options);
        }
        if self.optimize {
            inliner = inliner.optimize(Optimize::All);
        }
        match self.profile {
            Some(profile) => Some(inliner.profile(profile.clone())),
            None => Some(inliner),
        }
    }
}

/// A module's functions in CLIF, declared in the module that is to define them.
pub struct Translated<'w> {
    module: ParsedModule<'w>,
    /// All functions with their bodies: wrappers of imported ones, those of the module, and
    /// entries.
    pub functions: Vec<(FuncId, Function)>,
    pub(crate) declared: Declared,
    entries: Vec<u32>,
    pub(crate) entry_ids: Vec<FuncId>,
}

/// A module of which functions are declared, and none is translated.
pub(crate) struct Front<'w> {
    pub(crate) module: ParsedModule<'w>,
    pub(crate) declared: Declared,
    /// The functions that the host enters.
    pub(crate) entries: Vec<u32>,
    /// The functions by which it enters them.
    pub(crate) entry_ids: Vec<FuncId>,
    /// The function that stops for a debugger.
    breakpoint: Option<(FuncId, Function)>,
}

impl<'w> Front<'w> {
    /// Reads a module, and declares its functions in `target`.
    fn new(wasm: &'w [u8], target: &mut dyn Module, debug: bool) -> Result<Self> {
        let module = ParsedModule::new(wasm)?;
        let mut declared = Declared::default();
        for number in 0..module.functions.len() as u32 {
            let signature = compiled_signature(module.signature(number));
            let id = target.declare_function(&symbol(number), Linkage::Local, &signature)?;
            declared.functions.push(id);
        }
        let breakpoint = match debug {
            true => Some(breakpoint(target, &mut declared)?),
            false => None,
        };
        let entries = entries(&module);
        let mut entry_ids = Vec::new();
        for number in &entries {
            let (name, signature) = (format!("entry{number}"), entry_signature(target));
            entry_ids.push(target.declare_function(&name, Linkage::Export, &signature)?);
        }
        Ok(Front {
            module,
            declared,
            entries,
            entry_ids,
            breakpoint,
        })
    }

    /// Translates one function after the other, and hands each to `define`. `order` has the
    /// positions of all bodies.
    fn translate<M: Module>(
        mut self,
        target: &mut M,
        order: impl IntoIterator<Item = usize>,
        mut define: impl FnMut(&mut M, FuncId, Function) -> Result<()>,
    ) -> Result<Translated<'w>> {
        let (module, declared) = (&self.module, &mut self.declared);
        if let Some((id, function)) = self.breakpoint {
            define(target, id, function)?;
        }
        for number in 0..module.imports.len() as u32 {
            let (id, function) = wrapper(module, target, declared, number)?;
            define(target, id, function)?;
        }
        let mut scratch = Scratch::default();
        for body in order {
            let body = &module.bodies[body];
            let (id, function) = translate_body(module, target, declared, body, &mut scratch)?;
            define(target, id, function)?;
        }
        for (&number, &id) in self.entries.iter().zip(&self.entry_ids) {
            let function = entry(module, target, declared, number, id);
            define(target, id, function)?;
        }
        Ok(Translated {
            module: self.module,
            functions: Vec::new(),
            declared: self.declared,
            entries: self.entries,
            entry_ids: self.entry_ids,
        })
    }
}

/// Translates a module, with code for a debugger if it is to be debugged. All functions are
/// declared in `target`, and none is defined.
///
/// # Errors
///
/// If the module is invalid or uses unsupported features.
pub fn translate<'w, M: Module>(
    wasm: &'w [u8],
    target: &mut M,
    debug: bool,
) -> Result<Translated<'w>> {
    let mut functions = Vec::new();
    let translated = translate_each(wasm, target, debug, |id, function| {
        functions.push((id, function));
    })?;
    Ok(Translated {
        functions,
        ..translated
    })
}

/// Like [`translate`], but hands each function to `define` as soon as it is translated.
///
/// # Errors
///
/// Those of [`translate`].
pub fn translate_each<'w, M: Module>(
    wasm: &'w [u8],
    target: &mut M,
    debug: bool,
    mut define: impl FnMut(FuncId, Function),
) -> Result<Translated<'w>> {
    let front = Front::new(wasm, target, debug)?;
    let order = 0..front.module.bodies.len();
    front.translate(target, order, |_, id, function| {
        define(id, function);
        Ok(())
    })
}

/// The runtime's data about each compiled function.
type CodeInfos = FxHashMap<FuncId, CodeInfo>;

/// A compiled module, in or out of this process.
pub struct Compiled {
    /// The module without its code.
    pub image: Image,
    /// The report about inlined calls, if there could be any.
    pub report: Option<ModuleReport>,
    /// The bytes of code, entries included.
    pub code_bytes: usize,
    /// The chains of places in each function of the module that has code.
    pub(crate) backtraces: Vec<(FuncId, FunctionBacktraces)>,
    /// The functions with tags in order of their definition, if they are to be debugged.
    pub debugged: Vec<(FuncId, CompiledFunction)>,
}

impl Compiled {
    /// Returns the backtrace table, given where the code of each function begins. Its text begins
    /// at the first one.
    pub(crate) fn link(&self, offsets: &[u64]) -> Result<BacktraceTable> {
        let start = offsets.iter().min().copied().unwrap_or_default();
        let offsets = offsets.iter().map(|offset| offset - start);
        let functions = self.backtraces.iter().map(|(_, function)| function);
        let table = BacktraceTable::link(offsets.zip(functions));
        table.map_err(|error| Error::Target(error.to_string()))
    }
}

/// Defines all functions as they are.
///
/// # Errors
///
/// If Cranelift refuses one.
pub fn define_plainly(
    translated: &mut Translated<'_>,
    target: &mut dyn Module,
) -> Result<Compiled> {
    let mut codes = CodeInfos::default();
    let mut backtraces = FxHashMap::default();
    let mut context = target.make_context();
    for (id, function) in std::mem::take(&mut translated.functions) {
        context.func = function;
        target.define_function(id, &mut context)?;
        codes.extend(CodeInfo::new(&context).map(|code| (id, code)));
        if let Some(number) = translated.number(id)
            && let Some(code) = context.compiled_code()
        {
            let own = LocationTable::own(FunctionName::testcase(symbol(number)));
            let function = FunctionBacktraces::of_cranelift(code, &own);
            let failed = |error: LinkError| Error::Target(error.to_string());
            backtraces.insert(id, function.map_err(failed)?);
        }
        target.clear_context(&mut context);
    }
    Ok(translated.compiled(&codes, None, |id| backtraces.remove(&id)))
}

/// Defines all functions in `target`, after inlining. Without `isa`, in turn.
fn define_inlined<'w, M: Module>(
    wasm: &'w [u8],
    target: M,
    inliner: Inliner<'static>,
    isa: Option<OwnedTargetIsa>,
    options: &Options<'_>,
) -> Result<(Translated<'w>, M, Compiled)> {
    let codes = Arc::new(Mutex::new(CodeInfos::default()));
    let collected = Arc::clone(&codes);
    let streamed = Arc::clone(&codes);
    let debugged = Arc::new(Mutex::new(Vec::new()));
    let collected_debugged = Arc::clone(&debugged);
    let keeps_code = options.debug;
    // Addresses and alias regions are the same in all functions of a module, whose context never
    // changes.
    let inliner = inliner
        .memory_promises(MemoryPromises::WholeProgram)
        .locations(LocationMode::InlinedAt);
    let mut stage = InliningModule::new(target, inliner)
        .drop_unused(!options.keep_unused)
        .count_calls(options.count_calls)
        .keep_backtraces(true)
        .compile_in_parallel(isa.is_some() && options.schedule == Schedule::InParallel)
        .on_compiled(move |id, code| {
            let mut codes = streamed.lock().unwrap_or_else(PoisonError::into_inner);
            codes.insert(id, CodeInfo::of(code));
        })
        .on_define(move |id, context: &Context| {
            let mut codes = codes.lock().unwrap_or_else(PoisonError::into_inner);
            codes.extend(CodeInfo::new(context).map(|code| (id, code)));
            // Entries and wrappers stand for no function of the module.
            if keeps_code && !context.func.debug_tags.is_empty() {
                let code = CompiledFunction::from_context(context);
                let mut debugged = debugged.lock().unwrap_or_else(PoisonError::into_inner);
                debugged.extend(code.transpose().map(|code| (id, code)));
            }
        });
    let front = Front::new(wasm, &mut stage, options.debug)?;
    // Tables are filled at run time, with the addresses of functions.
    for elements in &front.module.elements {
        for &function in elements.functions.iter().flatten() {
            let functions = &front.declared.functions;
            // The validator has seen the numbers.
            stage.keep(functions[function as usize]);
        }
    }
    let mut order: Vec<usize> = (0..front.module.bodies.len()).collect();
    if let Some(isa) = isa
        && options.schedule == Schedule::InBackground
    {
        let (declared, callees_first) = declarations(&front, &mut stage)?;
        stage.start(declared, isa)?;
        order = callees_first;
    }
    let mut context = stage.make_context();
    let translated = front.translate(&mut stage, order, |stage, id, function| {
        context.func = function;
        Ok(stage.define_function(id, &mut context)?)
    })?;
    let (target, report) = stage.finish()?;
    let codes = collected.lock().unwrap_or_else(PoisonError::into_inner);
    let backtraces = translated.declared.with_code();
    let mut backtraces: FxHashMap<FuncId, FunctionBacktraces> = backtraces
        .filter_map(|id| Some((id, report.backtraces(id)?.clone())))
        .collect();
    let mut compiled = translated.compiled(&codes, Some(report), |id| backtraces.remove(&id));
    let mut debugged = collected_debugged
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for (id, code) in debugged.drain(..) {
        let code = code.map_err(|error| Error::Target(error.to_string()))?;
        compiled.debugged.push((id, code));
    }
    Ok((translated, target, compiled))
}

impl Translated<'_> {
    /// Returns the number of a function of the module.
    fn number(&self, id: FuncId) -> Option<u32> {
        // They were declared first, in order.
        let functions = &self.declared.functions;
        let position = functions.binary_search_by_key(&id.as_u32(), |id| id.as_u32());
        position.ok().map(|number| number as u32)
    }

    fn compiled(
        &self,
        codes: &CodeInfos,
        report: Option<ModuleReport>,
        mut backtraces: impl FnMut(FuncId) -> Option<FunctionBacktraces>,
    ) -> Compiled {
        let mut image = without_functions(&self.module, &self.entries);
        let none = CodeInfo::default();
        let mut kept = Vec::new();
        for (number, &id) in (0..).zip(&self.declared.functions) {
            let code = codes.get(&id).unwrap_or(&none);
            image.functions.push(describe(&self.module, number, code));
            kept.extend(backtraces(id).map(|function| (id, function)));
        }
        if let Some(id) = self.declared.breakpoint {
            let code = codes.get(&id).unwrap_or(&none);
            image
                .functions
                .push(code.describe("breakpoint".to_owned(), 0));
            kept.extend(backtraces(id).map(|function| (id, function)));
        }
        Compiled {
            image,
            report,
            code_bytes: codes.values().map(|code| code.size as usize).sum(),
            backtraces: kept,
            debugged: Vec::new(),
        }
    }
}

/// Defines with or without inlining. With `isa`, `target` needs no more than bytes.
pub(crate) fn define<'w, M: Module>(
    wasm: &'w [u8],
    mut target: M,
    isa: Option<OwnedTargetIsa>,
    options: &Options<'_>,
) -> Result<(Translated<'w>, M, Compiled)> {
    match options.inliner() {
        Some(inliner) => {
            let isa = isa.filter(|_| !options.debug);
            define_inlined(wasm, target, inliner, isa, options)
        }
        None => {
            let mut translated = translate(wasm, &mut target, options.debug)?;
            let compiled = define_plainly(&mut translated, &mut target)?;
            Ok((translated, target, compiled))
        }
    }
}

pub(crate) fn isa(is_pic: bool) -> Result<OwnedTargetIsa> {
    let verify = if cfg!(debug_assertions) {
        "true"
    } else {
        "false"
    };
    let settings = TargetSettings::new()
        .opt_level(OptLevel::Speed)
        .position_independent(is_pic)
        // For the frames of a trap.
        .setting("preserve_frame_pointers=true")
        .setting(&format!("enable_verifier={verify}"));
    target("host", &settings).map_err(|error| Error::Target(error.to_string()))
}
