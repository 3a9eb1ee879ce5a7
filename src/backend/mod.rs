//! From final bodies to machine code: targets, verification, compilation and object files.
//!
//! This is the last module before the pass, which orchestrates all of them. It does not depend on
//! programs, graphs or policies: it compiles a [`Function`](cranelift_codegen::ir::Function) for a
//! target and returns Cranelift's result.
//!
//! * [`target`] turns a name or a triple into a Cranelift `TargetIsa`, with [`TargetSettings`] for
//!   the flags.
//! * [`verify_function`] runs Cranelift's verifier over one body.
//! * [`compile_function`] compiles one body into a [`CompiledFunction`]: code, relocations, traps,
//!   call sites with their exception handlers, stack maps, frame layout, debug tags, source
//!   locations, value labels and unwind information, every name resolved, so that the body can be
//!   dropped.
//! * [`compile_with_fallback`] keeps the promise that *inlining never makes a compilable program
//!   uncompilable*: when Cranelift refuses the inlined body for its size, or trips over it, the
//!   original is compiled instead, and a [`Fallback`] gives the reason. The original has the calls
//!   that were inlined. So before a caller drops unused functions, it must take the calls of the
//!   [`BodyUsed::Original`] bodies into account.
//! * [`ScratchPool`] hands out scratch memory to the threads that compile.
//! * `write_object` (feature `object`) writes an object file for a linker.
//!
//! Three decisions shape it. *A body is cloned once*, into the reused Cranelift context of a
//! [`CompileScratch`], because compilation rewrites it; an owned body is moved
//! ([`compile_owned_function`]). *A panic of Cranelift is an error of ours*: the code generator
//! asserts much about its input, so panics of each call into it are caught, the error names the
//! function, and the half-changed context is replaced. *The result depends on the body and the
//! target alone*, never on the thread or on earlier compilations with the scratch.
//!
//! ```
//! use cranelift_inliner::backend::{CompileScratch, TargetSettings, compile_function, target};
//! use cranelift_inliner::backend::{RelocationTarget, verify_function};
//! use cranelift_codegen::ir::UserFuncName;
//!
//! let functions = cranelift_reader::parse_functions(
//!     "function %double_of(i64) -> i64 fast {
//!          fn0 = colocated %get(i64) -> i64 fast
//!      block0(v0: i64):
//!          v1 = call fn0(v0)
//!          v2 = iadd v1, v1
//!          return v2
//!      }",
//! )?;
//! let isa = target("host", &TargetSettings::new())?;
//! verify_function(&functions[0], &*isa)?;
//! let compiled = compile_function(&*isa, &functions[0], &mut CompileScratch::new())?;
//! assert!(!compiled.code().is_empty());
//! assert_eq!(
//!     compiled.relocations()[0].target,
//!     RelocationTarget::Function(UserFuncName::testcase("get")),
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compile;
mod compiled;
mod error;
mod fallback;
#[cfg(feature = "object")]
mod object;
mod relocation;
mod target;
mod try_call_tags;
mod verify;

#[cfg(feature = "module")]
pub(crate) use compile::check_callees;
pub use compile::{CompileScratch, ScratchPool, compile_function, compile_owned_function};
pub use compiled::{CompiledFunction, DebugTagPoint, FrameSlot};
pub use error::{CompileError, TargetError, VerifyError};
pub(crate) use fallback::compile_or_original;
pub use fallback::{BodyUsed, Compilation, Fallback, compile_with_fallback};
#[cfg(feature = "object")]
pub use object::{
    ObjectError, ObjectFunction, ObjectLinkage, build_object, emit_object, write_object,
};
pub use relocation::{Relocation, RelocationTarget, default_symbol};
pub use target::{TargetSettings, target};
pub use verify::verify_function;
