//! Inlining and compiling in the background, while functions are still being defined.
//!
//! A [stream](Inliner::stream) on a thread of its own gets each body when the front end defines it.
//! The module holds the bodies as always. At the first flush, the stream's result is taken if the
//! flush would have run the pass on the same functions; otherwise the stream is given up, and the
//! flush does all by itself. So the result never depends on the background.

use super::InliningModule;
use super::error::other;
use super::symbols::DATA;
use crate::pass::{CompiledProgram, DeclaredProgram, Inlined, Inliner, StreamError, Streamed};
use crate::program::{Declaration, FunctionName, Linkage, Program, ProgramFunction, SiteHint};
use cranelift_codegen::ir::{Function, Inst};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_module::{FuncId, Linkage as ModuleLinkage, Module, ModuleError, ModuleResult};
use rayon::Yield;
use std::collections::BTreeMap;
use std::panic;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The bodies that may wait for the stream. It holds more itself, where they wait for callees.
const CAPACITY: usize = 64;

/// The time between two looks of an idle thread of the pool at the stream's thread: short beside
/// the compilation of a function.
const POLLED: Duration = Duration::from_micros(50);

type Outcome = Result<Streamed<Option<StreamError>>, StreamError>;

/// The message to the stream's thread.
enum Message {
    Body(Arc<Function>, BTreeMap<Inst, SiteHint>),
    /// No further body comes. Without it, the stream is given up.
    Finish,
}

/// A stream on a thread of its own.
pub(super) struct Background {
    /// `None` once the thread is to end.
    bodies: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<Outcome>>,
}

impl Background {
    fn new(
        inliner: Arc<Inliner<'static>>,
        declared: DeclaredProgram,
        isa: OwnedTargetIsa,
    ) -> ModuleResult<Self> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let stream = move || {
            inliner.stream(&declared, &*isa, &|_, _| {}, |stream| {
                loop {
                    match receiver.recv() {
                        Ok(Message::Body(body, hints)) => {
                            if let Err(error) = stream.define_with_hints(body, hints) {
                                stream.cancel();
                                return Some(error);
                            }
                        }
                        Ok(Message::Finish) => return None,
                        Err(_) => {
                            stream.cancel();
                            return None;
                        }
                    }
                }
            })
        };
        let builder = std::thread::Builder::new().name("inlining".to_owned());
        Ok(Background {
            bodies: Some(sender),
            thread: Some(builder.spawn(stream).map_err(other)?),
        })
    }

    /// Hands in a body. If the stream has ended early, nothing happens.
    pub(super) fn define(&self, body: Arc<Function>, hints: BTreeMap<Inst, SiteHint>) {
        if let Some(bodies) = &self.bodies {
            send(bodies, Message::Body(body, hints));
        }
    }

    /// Waits for the result; `None` if the stream did not get all bodies as declared, or a function
    /// has an error.
    fn finish(mut self) -> Option<Streamed<Option<StreamError>>> {
        if let Some(bodies) = self.bodies.take() {
            send(&bodies, Message::Finish);
        }
        let streamed = self.join()?.ok()?;
        (streamed.front_end.is_none() && streamed.errors.is_empty()).then_some(streamed)
    }

    fn join(&mut self) -> Option<Outcome> {
        match joined(self.thread.take()?) {
            Ok(outcome) => Some(outcome),
            // A policy panicked, for example.
            Err(panic) if !std::thread::panicking() => panic::resume_unwind(panic),
            Err(_) => None,
        }
    }
}

/// Without [`Background::finish`], the stream is given up.
impl Drop for Background {
    fn drop(&mut self) {
        self.bodies = None;
        if let Some(thread) = self.thread.take() {
            let _ = joined(thread);
        }
    }
}

/// Sends a message when there is room. Nothing happens if the thread is gone, as after an error,
/// which its result has.
fn send(bodies: &SyncSender<Message>, message: Message) {
    let mut unsent = Some(message);
    let is_sent = || {
        let Some(message) = unsent.take() else {
            return true;
        };
        if let Err(TrySendError::Full(message)) = bodies.try_send(message) {
            unsent = Some(message);
        }
        unsent.is_none()
    };
    wait_in_pool(is_sent);
    if let Some(message) = unsent {
        let _ = bodies.send(message);
    }
}

/// Waits for the stream's thread.
fn joined(thread: JoinHandle<Outcome>) -> std::thread::Result<Outcome> {
    wait_in_pool(|| thread.is_finished());
    thread.join()
}

/// Does work of the pool until `is_done`, if on one of its threads. The stream's thread waits for
/// threads of the pool, and all of them could wait for it.
fn wait_in_pool(mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        match rayon::yield_now() {
            Some(Yield::Executed) => {}
            Some(Yield::Idle) => std::thread::sleep(POLLED),
            None => return,
        }
    }
}

impl<M: Module> InliningModule<'static, M> {
    /// Starts to inline and compile in the background: each declared function as soon as it and the
    /// functions that it may inline are defined. The front end goes on as before, and the next
    /// flush finds most of the work done.
    ///
    /// It is for a front end that knows its functions before it translates them. The declarations
    /// come from [`declaration`](Self::declaration), and `isa` must be that of the wrapped module.
    /// The result has the bytes of [`compile_in_parallel`](Self::compile_in_parallel), whose limits
    /// it has as well, if the declarations are [exact](Streamed::is_exact); it never depends on
    /// threads or on the order of definitions.
    ///
    /// Linkage, uses outside, attributes and hints must be as at the next flush. If they are not,
    /// or a function is missing, is not as declared, or was not declared, the flush does all the
    /// work itself. The work runs on the global rayon pool. Definitions and flushes wait for it,
    /// and may be made on threads of that pool. Dropping the module ends the work.
    ///
    /// ```
    /// use cranelift_codegen::ir::{AbiParam, InstBuilder, types::I64};
    /// use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
    /// use cranelift_inliner::backend::{TargetSettings, target};
    /// use cranelift_inliner::pass::{DeclaredProgram, Inliner};
    /// use cranelift_inliner::{decide::CostModel, module::InliningModule};
    /// use cranelift_jit::{JITBuilder, JITModule};
    /// use cranelift_module::{Linkage, Module, default_libcall_names};
    ///
    /// let isa = target("host", &TargetSettings::new().setting("is_pic=false"))?;
    /// let jit = JITModule::new(JITBuilder::with_isa(isa.clone(), default_libcall_names()));
    /// let mut module = InliningModule::new(jit, Inliner::new(CostModel::default()));
    /// let mut signature = module.make_signature();
    /// signature.params.push(AbiParam::new(I64));
    /// signature.returns.push(AbiParam::new(I64));
    /// let double = module.declare_function("double", Linkage::Local, &signature)?;
    /// let main = module.declare_function("main", Linkage::Export, &signature)?;
    ///
    /// let mut declared = DeclaredProgram::new();
    /// declared.has_handlers = false;
    /// declared.has_alias_regions = false;
    /// declared.declare(module.declaration(double, 2)?);
    /// let calls = vec![(module.symbol(double)?, 1)];
    /// declared.declare(module.declaration(main, 2)?.with_calls(calls));
    /// module.start(declared, isa)?;
    ///
    /// let mut context = module.make_context();
    /// let mut builders = FunctionBuilderContext::new();
    /// for id in [main, double] {
    ///     context.func.signature = signature.clone();
    ///     let callee = module.declare_func_in_func(double, &mut context.func);
    ///     let mut builder = FunctionBuilder::new(&mut context.func, &mut builders);
    ///     let block = builder.create_block();
    ///     builder.append_block_params_for_function_params(block);
    ///     builder.switch_to_block(block);
    ///     builder.seal_block(block);
    ///     let value = builder.block_params(block)[0];
    ///     let result = if id == main {
    ///         let call = builder.ins().call(callee, &[value]);
    ///         builder.inst_results(call)[0]
    ///     } else {
    ///         builder.ins().iadd(value, value)
    ///     };
    ///     builder.ins().return_(&[result]);
    ///     builder.finalize(module.target_config());
    ///     module.define_function(id, &mut context)?;
    ///     module.clear_context(&mut context);
    /// }
    /// let (jit, report) = module.finish()?;
    /// assert!(report.is_from_background());
    /// assert!(report.inlined().sites().all(|site| site.inlined));
    /// # drop(jit);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`ModuleError::Backend`] if `isa` has another target or other settings than the wrapped
    /// module's, or if there can be no further thread. Nothing was started then. A
    /// module that [counts calls](Self::count_calls), that has held or flushed functions, or that
    /// has started already goes on without a start.
    pub fn start(
        &mut self,
        mut declared: DeclaredProgram,
        isa: OwnedTargetIsa,
    ) -> ModuleResult<()> {
        let is_new = self.held.is_empty() && self.flushed.is_empty();
        if self.count_calls || !is_new || self.background.is_some() {
            return Ok(());
        }
        if !is_same_target(&*isa, self.module.isa()) {
            let error = anyhow::anyhow!("the background's target is not that of the module");
            return Err(ModuleError::Backend(error));
        }
        // A later flush may inline them.
        declared.keep_bodies = true;
        for (table, functions) in self.constant_tables() {
            declared.add_table(table, functions);
        }
        let inliner = Arc::clone(&self.inliner);
        self.background = Some(Background::new(inliner, declared, isa)?);
        Ok(())
    }
}

impl<M: Module> InliningModule<'_, M> {
    /// Returns the declaration of a function for [`start`](InliningModule::start), of about `insts`
    /// [instructions](crate::decide::Limits#sizes), that calls nothing. Its linkage and attributes
    /// are those of now.
    ///
    /// # Errors
    ///
    /// [`ModuleError::Undeclared`].
    pub fn declaration(&mut self, function: FuncId, insts: usize) -> ModuleResult<Declaration> {
        let (linkage, _) = self.declared(function)?;
        let linkage = self.linkage_in_pass(function, linkage);
        let name = self.symbol(function)?;
        let declarations = self.module.declarations();
        let signature = declarations.get_function_decl(function).signature.clone();
        Ok(Declaration::new(name, signature, insts)
            .with_linkage(linkage)
            .with_attributes(self.attributes[function]))
    }

    /// Returns the name of a function in the pass: its [symbol](crate::module#names).
    ///
    /// # Errors
    ///
    /// [`ModuleError::Undeclared`].
    pub fn symbol(&mut self, function: FuncId) -> ModuleResult<FunctionName> {
        let (_, symbol) = self.declared(function)?;
        let declarations = self.module.declarations();
        let name = self.symbols.name(declarations, function);
        Ok(name.unwrap_or_else(|| FunctionName::testcase(symbol)))
    }

    /// Returns the linkage in the pass of a function that is held.
    pub(super) fn linkage_in_pass(&self, function: FuncId, declared: ModuleLinkage) -> Linkage {
        match declared {
            ModuleLinkage::Preemptible => Linkage::Interposable,
            ModuleLinkage::Local if self.drop_unused && !self.used_outside.contains(function) => {
                Linkage::Local
            }
            _ => Linkage::Exported,
        }
    }

    /// Returns the tables of functions in constant data, by their names in the pass.
    pub(super) fn constant_tables(&self) -> Vec<(FunctionName, Vec<(i64, FunctionName)>)> {
        let tables = self.tables.iter();
        let tables = tables.filter(|&(&table, _)| self.is_constant(table));
        let tables = tables.map(|(table, functions)| {
            let functions = functions.iter();
            let functions = functions
                .filter_map(|&(offset, id)| Some((offset, self.symbols.known(id)?.clone())));
            (
                FunctionName::user(DATA, table.as_u32()),
                functions.collect(),
            )
        });
        tables.collect()
    }

    /// Returns the background's result, if it is the one for `program`.
    pub(super) fn take_background(
        &mut self,
        program: &Program,
    ) -> Option<(Inlined, CompiledProgram)> {
        let streamed = self.background.take()?.finish()?;
        let is_same = is_same(program, streamed.inlined.input());
        is_same.then_some((streamed.inlined, streamed.compiled))
    }
}

fn is_same_target(one: &dyn TargetIsa, other: &dyn TargetIsa) -> bool {
    let settings = |isa: &dyn TargetIsa| -> Vec<String> {
        isa.isa_flags().iter().map(ToString::to_string).collect()
    };
    one.triple() == other.triple()
        && one.flags().to_string() == other.flags().to_string()
        && settings(one) == settings(other)
}

/// Returns whether two programs have the same functions, in any order, and the same tables.
fn is_same(program: &Program, other: &Program) -> bool {
    let is_same_function = |function: &ProgramFunction| {
        let other = other.id(function.name()).and_then(|id| other.get(id));
        other.is_some_and(|other| {
            Arc::ptr_eq(function.body(), other.body())
                && function.linkage() == other.linkage()
                && function.attributes() == other.attributes()
                && function.hints().eq(other.hints())
        })
    };
    let is_same_table = |name: &FunctionName| program.table(name).eq(other.table(name));
    program.len() == other.len()
        && program
            .iter()
            .all(|(_, function)| is_same_function(function))
        && program.tables().eq(other.tables())
        && program.tables().all(is_same_table)
}
