//! The interprocedural inlining stage for Cranelift: a set of CLIF functions goes in, and comes out
//! with calls replaced by the bodies that they call, verified and compiled.
//!
//! ```
//! use cranelift_inliner::{backend, decide::CostModel, pass::Inliner, program::Program};
//!
//! let mut program = Program::from_clif("
//! function %square(i32) -> i32 fast {
//! block0(v0: i32):
//!     v1 = imul v0, v0
//!     return v1
//! }
//! function %norm(i32, i32) -> i32 fast {
//!     fn0 = %square(i32) -> i32 fast
//! block0(v0: i32, v1: i32):
//!     v2 = call fn0(v0)
//!     v3 = call fn0(v1)
//!     v4 = iadd v2, v3
//!     return v4
//! }", "norm.clif")?;
//! program.export_only(&["norm".parse()?])?;
//!
//! let isa = backend::target("host", &backend::TargetSettings::new())?;
//! let inliner = Inliner::new(CostModel::default()).verify_with(&*isa);
//! let (inlined, compiled) = inliner.run_and_compile(&program, &*isa)?;
//!
//! assert!(inlined.sites().all(|site| site.inlined));
//! assert_eq!(compiled.iter().len(), 1, "%square is gone");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A front end that is written against `cranelift_module::Module` stays as it is: `InliningModule`
//! (feature `module`) wraps its module, and inlines across all bodies at the end.
#![cfg_attr(
    all(feature = "module", feature = "dwarf"),
    doc = "The [guide](guide) leads from a compiler without inlining to one with it, either way, and on \
           to policies of one's own, debug information, reports, and every refusal with its reason."
)]
//!
//! # The modules, in the order of the flow
//!
//! * [`program`]: functions that call each other by name, with linkage and attributes.
//! * [`graph`]: who calls whom, and in which order to go.
//! * [`profile`]: how often calls were executed, and counters to find it out.
//! * [`decide`]: which calls to inline: the trait [`Inline`](decide::Inline), the policies that
//!   ship, and limits that none of them can lift.
//! * [`splice`]: one callee body into one call site. It stands alone, and
//!   [`inline_calls`](splice::inline_calls) takes the place of Cranelift's own `Context::inline`.
//! * [`cleanup`]: tidying a function after its splices.
//! * [`check`]: proving that a function is what inlining should have made of it.
//! * [`locations`]: source locations with their inlining history.
//! * [`backend`]: machine code, with everything that is known about places in it, and object files.
//! * `debug_info` (feature `dwarf`): DWARF for compiled functions.
//! * [`pass`]: all of these over a whole program, in parallel, with a report.
//! * [`plan`]: the decisions of a run, kept in a file, followed again, and bisected.
//! * [`frames`]: from the tags and keys of compiled functions to the source program's stack.
//! * `module` (feature `module`): the pass around a `cranelift_module::Module`, for front ends that
//!   are written against it.
//! * [`panics`]: turning panics of Cranelift into values.
//!
//! # Features
//!
//! There are no default features: the library alone has Cranelift's backend for the host.
//! `all-arch` adds the backends for x64, aarch64, riscv64 and s390x, `native` finds out what the
//! host's processor can do, `module` adds the adapter for `cranelift-module`, `jit` the methods of a
//! wrapped `JITModule`, `profile` the files of profiles, `object` object files, and `dwarf` their
//! debug information. `trace-log` logs decisions, refusals, splices and steps of clean-up through the
//! crate `log`, at the level `trace`.
//!
//! # Panics of Cranelift
//!
//! Cranelift asserts what it expects of its input, so strange input can make it panic. The library
//! catches these panics and returns typed errors. To keep them from being printed it installs a
//! panic hook for the process on first use, which calls the hook from before for all other panics;
//! [`panics::leave_hook`] declines that.
//!
//! # Other packages
//!
//! `clif-inline` is the command-line tool. `cranelift-inliner-testing` has programs made from
//! random bytes, runs them, and checks what must hold of a policy or a pipeline.
//!
//! # Versions
//!
//! Version 0.*N*.*x* is for Cranelift 0.*N*, whose types are in the interface; only a new *N*
//! breaks anything, or raises the oldest Rust compiler.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// First, for the macro.
#[macro_use]
mod trace;

pub mod backend;
mod body;
pub mod check;
pub mod cleanup;
#[cfg(feature = "dwarf")]
pub mod debug_info;
pub mod decide;
pub mod frames;
pub mod graph;
#[cfg(all(feature = "module", feature = "dwarf"))]
pub mod guide;
pub mod locations;
#[cfg(feature = "module")]
pub mod module;
pub mod panics;
pub mod pass;
pub mod plan;
pub mod profile;
pub mod program;
pub mod splice;

/// The README's examples, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
