//! Executes compiled code in this process.
//!
//! An [`Engine`] turns programs, or the compiled results of the pass, into [`NativeProgram`]s: code
//! in executable memory, linked with the recorded host. An [`IsolatedProgram`] is linked with the
//! process instead, and called in child processes.
//!
//! `loader.rs` places code in memory, and `unwind.rs` finds handlers. `link.rs` and
//! `machine.rs` link and call a [`NativeProgram`], `isolated.rs` and `child.rs` an
//! [`IsolatedProgram`].

mod child;
mod isolated;
mod libcalls;
mod link;
mod loader;
mod machine;
#[cfg(all(unix, target_arch = "x86_64"))]
mod unwind;

pub use child::{SharedCounters, process_symbol};
pub use isolated::{IsolatedOutcome, IsolatedProgram};

use super::error::ExecuteError;
use super::host::{Exception, Host, Reply};
use super::values::{check_arguments, write_bits};
use super::{Invocation, Observation, Outcome};
use crate::execute::glue::{self, NATIVE, Number, Slot};
use crate::execute::image::Image;
use cranelift_codegen::ir::{Function, Signature};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, ScratchPool, TargetSettings, compile_function, target,
};
use cranelift_inliner::program::{FunctionName, Program};
use machine::Code;
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Compiles and links programs for this machine. It keeps the compiler's memory and the generated
/// functions for calls from outside and to the host from one program to the next, so use one for
/// many programs. Threads may share it.
///
/// ```
/// use cranelift_codegen::data_value::DataValue;
/// use cranelift_inliner::backend::TargetSettings;
/// use cranelift_inliner::program::{FunctionName, Program};
/// use cranelift_inliner_testing::execute::{Engine, Invocation, Outcome, interpret};
///
/// let program = Program::from_clif("
/// function %quotient(i32, i32) -> i32 {
/// block0(v0: i32, v1: i32):
///     v2 = udiv v0, v1
///     return v2
/// }", "quotient.clif")?;
/// let invocation = |divisor| Invocation {
///     function: FunctionName::testcase("quotient"),
///     arguments: vec![DataValue::I32(6), DataValue::I32(divisor)],
/// };
/// # if !Engine::works_here() { return Ok(()) }
/// let native = Engine::new(&TargetSettings::new())?.compile(&program)?;
/// for divisor in [0, 2] {
///     let seen = native.call(&invocation(divisor))?;
///     assert_eq!(seen, interpret(&program, &invocation(divisor), 100)?);
///     assert_eq!(matches!(seen.outcome, Outcome::Trapped(_)), divisor == 0);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    isa: OwnedTargetIsa,
    /// The same target without optimization.
    glue_isa: OwnedTargetIsa,
    scratch: ScratchPool,
    glue: Mutex<GlueCache>,
}

/// Glue by purpose.
#[derive(Default)]
struct GlueCache {
    entries: FxHashMap<Signature, Arc<CompiledFunction>>,
    shims: FxHashMap<Signature, Arc<CompiledFunction>>,
}

/// The number of signatures whose glue is kept.
const GLUE_LIMIT: usize = 4096;

/// The two kinds of [`glue`].
#[derive(Clone, Copy)]
enum GlueKind {
    Entry,
    Shim,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Engine");
        debug.field("isa", &self.isa.to_string());
        debug.finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes an engine for this machine with these settings, except those that it needs: `is_pic`
    /// is off; `preserve_frame_pointers`, `enable_nan_canonicalization` and
    /// `enable_llvm_abi_extensions` are on, the last so that every convention takes `i128`; and
    /// `stack_switch_model` is `basic`, so that programs can switch stacks.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Target`] if there is no such target, [`ExecuteError::Unsupported`] if code
    /// cannot run here.
    pub fn new(settings: &TargetSettings) -> Result<Self, ExecuteError> {
        let settings = settings
            .clone()
            .setting("is_pic=false")
            .setting("preserve_frame_pointers=true")
            .setting("enable_nan_canonicalization=true")
            .setting("enable_llvm_abi_extensions=true")
            .setting("stack_switch_model=basic");
        Self::for_isa(target("host", &settings)?)
    }

    /// Makes an engine for `isa`.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Unsupported`] if code, or that of `isa`, cannot run here: its architecture
    /// must be this machine's, `is_pic` off and `preserve_frame_pointers` on.
    pub fn for_isa(isa: OwnedTargetIsa) -> Result<Self, ExecuteError> {
        let unsupported = |reason: &str| {
            Err(ExecuteError::Unsupported {
                reason: reason.to_owned(),
            })
        };
        if !Self::works_here() {
            return unsupported("it takes x86-64 with Linux or macOS");
        }
        let host = target_lexicon::Triple::host();
        let triple = isa.triple();
        if (triple.architecture, triple.operating_system)
            != (host.architecture, host.operating_system)
        {
            return unsupported("the target is not this machine");
        }
        if isa.flags().is_pic() || !isa.flags().preserve_frame_pointers() {
            return unsupported("is_pic must be off, and preserve_frame_pointers on");
        }
        let settings = TargetSettings::new()
            .opt_level(OptLevel::None)
            .position_independent(false)
            .setting(&format!(
                "enable_llvm_abi_extensions={}",
                isa.flags().enable_llvm_abi_extensions()
            ))
            .setting(&format!(
                "enable_multi_ret_implicit_sret={}",
                isa.flags().enable_multi_ret_implicit_sret()
            ));
        Ok(Engine {
            isa,
            glue_isa: target("host", &settings)?,
            scratch: ScratchPool::new(),
            glue: Mutex::default(),
        })
    }

    /// Returns whether code can run on this machine: on x86-64 with Linux or macOS.
    pub fn works_here() -> bool {
        cfg!(all(
            any(target_os = "linux", target_os = "macos"),
            target_arch = "x86_64"
        ))
    }

    /// Returns the target of the code. [`link`](Self::link) takes code for this target.
    pub fn isa(&self) -> &dyn TargetIsa {
        &*self.isa
    }

    /// Compiles the functions of `program` without inlining, and links them.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Compile`], and those of [`link`](Self::link).
    pub fn compile(&self, program: &Program) -> Result<NativeProgram, ExecuteError> {
        let compiled = self.scratch.with(|scratch| {
            let functions = program.iter();
            let compiled = functions
                .map(|(_, function)| compile_function(self.isa(), function.body(), scratch));
            compiled.collect::<Result<Vec<_>, _>>()
        })?;
        self.link(program, &compiled)
    }

    /// Links `functions`, which must be compiled for [`isa`](Self::isa) from `source`: the
    /// signatures of callable functions, and the functions of the host, come from there. For a
    /// [`CompiledProgram`](cranelift_inliner::pass::CompiledProgram) pass
    /// `compiled.iter().map(|(_, function)| function)`.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Link`] if a function refers to data other than a
    /// [table](Program::add_table) of `source`, or to a function without code, and
    /// [`ExecuteError::Signature`] if a function of the host has two declared signatures or cannot
    /// be called through [`DataValue`](cranelift_codegen::data_value::DataValue)s, for example
    /// because of by-value struct arguments.
    pub fn link<'a>(
        &self,
        source: &Program,
        functions: impl IntoIterator<Item = &'a CompiledFunction>,
    ) -> Result<NativeProgram, ExecuteError> {
        link::link(self, source, functions.into_iter().collect())
    }

    /// Returns the glue for functions of `signature`; `name` is one of them.
    fn glue(
        &self,
        kind: GlueKind,
        name: &FunctionName,
        signature: &Signature,
    ) -> Result<Arc<CompiledFunction>, ExecuteError> {
        let cached = self.with_glue(kind, |glue| glue.get(signature).cloned());
        if let Some(glue) = cached {
            return Ok(glue);
        }
        let bad = |reason| ExecuteError::Signature {
            function: name.clone(),
            reason,
        };
        glue::check_signature(signature).map_err(bad)?;
        let isa = &*self.glue_isa;
        let function = match kind {
            GlueKind::Entry => glue::entry(signature, isa),
            GlueKind::Shim => glue::shim(signature, isa, Number::Linked),
        };
        let compile = |scratch: &mut CompileScratch| compile_glue(isa, &function, scratch);
        let compiled = Arc::new(self.scratch.with(compile).map_err(bad)?);
        self.with_glue(kind, |glue| {
            if glue.len() >= GLUE_LIMIT {
                glue.clear();
            }
            glue.insert(signature.clone(), Arc::clone(&compiled));
        });
        Ok(compiled)
    }

    fn with_glue<R>(
        &self,
        kind: GlueKind,
        f: impl FnOnce(&mut FxHashMap<Signature, Arc<CompiledFunction>>) -> R,
    ) -> R {
        let mut glue = self.glue.lock().unwrap_or_else(PoisonError::into_inner);
        f(match kind {
            GlueKind::Entry => &mut glue.entries,
            GlueKind::Shim => &mut glue.shims,
        })
    }
}

fn compile_glue(
    isa: &dyn TargetIsa,
    function: &Function,
    scratch: &mut CompileScratch,
) -> Result<CompiledFunction, String> {
    compile_function(isa, function, scratch).map_err(|error| error.to_string())
}

/// A linked program. Its code is freed when this value is dropped.
///
/// # Trust
///
/// Code runs in this process without supervision except by the processor. A program must end, since
/// a call cannot be interrupted, and it must read and write only its own stack slots. A trap, or an
/// access to unmapped memory, ends only the call: from the first call on, the signals SIGSEGV,
/// SIGBUS, SIGFPE, SIGILL and SIGTRAP are handled if they come from the program's code; others go
/// to the previous handlers.
pub struct NativeProgram {
    code: Code,
    image: Image,
    /// By name, the callable functions, or the reason why a function is not callable.
    callable: FxHashMap<FunctionName, Result<Callable, ExecuteError>>,
    /// The program's functions, in link order.
    functions: Vec<(FunctionName, u64)>,
}

/// A callable function.
struct Callable {
    signature: Signature,
    /// Addresses of the glue and of the function.
    entry: u64,
    callee: u64,
}

/// A copy of the stack at a call of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The return address of the call of the host.
    pub pc: u64,
    /// Its frame pointer.
    pub fp: u64,
    /// The address of the first byte of [`stack`](Self::stack).
    pub base: u64,
    /// The stack from there to the call from outside.
    pub stack: Vec<u8>,
}

impl fmt::Debug for NativeProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("NativeProgram");
        debug.field("functions", &self.functions);
        debug.finish_non_exhaustive()
    }
}

impl NativeProgram {
    /// Calls an exported function of the program.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::UnknownFunction`], [`ExecuteError::Arguments`], [`ExecuteError::Signature`]
    /// if the function cannot be called through values, and [`ExecuteError::Fault`] if the
    /// processor stopped the program at an unexpected place.
    pub fn call(&self, invocation: &Invocation) -> Result<Observation, ExecuteError> {
        let mut host = HostSide::default();
        let outcome = self.run(invocation, &mut host)?;
        Ok(Observation {
            host_calls: host.host.into_calls(),
            outcome,
        })
    }

    /// Like [`call`](Self::call), but also copies the stack at each call of the host. There are as
    /// many snapshots as [`Observation::host_calls`].
    ///
    /// # Errors
    ///
    /// See [`call`](Self::call).
    pub fn call_with_snapshots(
        &self,
        invocation: &Invocation,
    ) -> Result<(Observation, Vec<Snapshot>), ExecuteError> {
        let mut host = HostSide {
            host: Host::default(),
            snapshots: Some(Vec::new()),
        };
        let outcome = self.run(invocation, &mut host)?;
        let observation = Observation {
            host_calls: host.host.into_calls(),
            outcome,
        };
        Ok((observation, host.snapshots.unwrap_or_default()))
    }

    /// Returns the lowest address of a function of the program, from which [`offset`](Self::offset)
    /// counts.
    pub fn text(&self) -> u64 {
        let addresses = self.functions.iter().map(|(_, address)| *address);
        addresses.min().unwrap_or(0)
    }

    /// Returns the bytes from [`text`](Self::text) to the function's code.
    pub fn offset(&self, function: &FunctionName) -> Option<u64> {
        let mut functions = self.functions.iter();
        let (_, address) = functions.find(|(name, _)| name == function)?;
        Some(address - self.text())
    }

    fn run(&self, invocation: &Invocation, host: &mut HostSide) -> Result<Outcome, ExecuteError> {
        let name = &invocation.function;
        let callable = self.callable.get(name);
        let callable = callable.ok_or_else(|| ExecuteError::UnknownFunction {
            function: name.clone(),
        })?;
        let callable = callable.as_ref().map_err(Clone::clone)?;
        let signature = &callable.signature;
        check_arguments(&invocation.arguments, signature).map_err(|reason| {
            ExecuteError::Arguments {
                function: name.clone(),
                reason,
            }
        })?;
        let mut slots = glue::fill(&invocation.arguments, signature, NATIVE);
        let call = machine::Call {
            entry: callable.entry,
            callee: callable.callee,
            slots: &mut slots,
        };
        let ending = machine::execute(&self.code, &self.image, call, host);
        match ending.map_err(|reason| ExecuteError::Unsupported { reason })? {
            Ending::Returned => {
                let values = glue::read(&slots, &signature.returns, NATIVE);
                Ok(Outcome::returned(values, signature))
            }
            Ending::Threw(exception) => Ok(Outcome::threw(exception)),
            Ending::Stopped { pc, signal } => match self.image.trap_at(pc) {
                Some(code) => Ok(Outcome::Trapped(code)),
                None => {
                    let (function, offset) = self.image.function_at(pc).unwrap_or((name, 0));
                    Err(ExecuteError::Fault {
                        function: function.clone(),
                        offset,
                        signal,
                    })
                }
            },
        }
    }
}

/// The end of a call of compiled code.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Returned,
    Threw(Exception),
    /// The processor stopped it.
    Stopped {
        pc: u64,
        signal: i32,
    },
}

/// The calls of the host while compiled code runs.
#[derive(Default)]
struct HostSide {
    host: Host,
    /// `None` if snapshots were not requested.
    snapshots: Option<Vec<Snapshot>>,
}

/// The result of a call of the host.
enum HostAnswer {
    /// The results are in the slots.
    Returned,
    Threw(Exception),
}

impl HostSide {
    /// Records and answers a call whose arguments are in `slots`.
    fn call(
        &mut self,
        function: &FunctionName,
        signature: &Signature,
        slots: &mut [Slot],
    ) -> HostAnswer {
        let arguments = glue::read(slots, &signature.params, NATIVE);
        match self.host.call(function, arguments, signature) {
            Reply::Return(results) => {
                for (slot, result) in slots.iter_mut().zip(&results) {
                    write_bits(result, &mut slot.0);
                }
                HostAnswer::Returned
            }
            Reply::Throw(exception) => HostAnswer::Threw(exception),
        }
    }

    fn keeps_snapshots(&self) -> bool {
        self.snapshots.is_some()
    }

    fn keep(&mut self, snapshot: Snapshot) {
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.push(snapshot);
        }
    }
}
