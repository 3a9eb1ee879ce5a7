//! The interprocedural inlining pass for Cranelift: a set of CLIF functions goes in, and comes out
//! with calls replaced by the bodies of their callees, verified and compiled.
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
//! A front end written against `cranelift_module::Module` needs no change: `InliningModule`
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
//! * [`graph`]: the call graph, and the order in which to visit it.
//! * [`profile`]: execution counts of calls, and counters that measure them.
//! * [`decide`]: which calls to inline: the trait [`Inline`](decide::Inline), the policies that
//!   ship, and limits that no policy can lift.
//! * [`splice`]: copies one callee body into one call site. It is usable on its own, and
//!   [`inline_calls`](splice::inline_calls) replaces Cranelift's own `Context::inline`.
//! * [`cleanup`]: tidies a function after its splices, and optimizes the code that they opened.
//! * [`check`]: proves that a function is the correct result of inlining.
//! * [`locations`]: source locations with their inlining history.
//! * [`backend`]: machine code, with its tables of locations, and object files.
//! * `debug_info` (feature `dwarf`): DWARF for compiled functions.
//! * [`pass`]: all of these over a whole program, in parallel, with a report.
//! * [`plan`]: the decisions of a run: kept in a file, replayed, and bisected.
//! * `shard` (feature `shards`): programs that are compiled in parts: summaries, plans made from
//!   them, and parts with imports.
//! * [`backtrace`]: the source places of return addresses and traps, for backtraces at run time.
//! * [`frames`]: from the tags and keys of compiled functions to the source program's stack.
//! * `module` (feature `module`): the pass around a `cranelift_module::Module`, for front ends
//!   written against it.
//! * [`panics`]: turns panics of Cranelift into values.
//!
//! # Features
//!
//! There are no default features: the library alone has Cranelift's backend for the host.
//! `all-arch` adds the backends for x64, aarch64, riscv64 and s390x, `native` detects the features
//! of the host's processor, `module` adds the adapter for `cranelift-module`, `jit` the methods of
//! a wrapped `JITModule`, `profile` profile files, `object` object files, and `dwarf` their debug
//! information. `shards` adds programs in parts. `trace-log` logs decisions, refusals, splices and
//! steps of clean-up through the crate `log`, at the level `trace`.
//!
//! # Panics of Cranelift
//!
//! Cranelift asserts its expectations of the input, so invalid input can make it panic. The library
//! catches these panics and returns typed errors. To keep them from being printed, it installs a
//! panic hook for the process on first use. That hook passes all other panics on to the previous
//! hook; [`panics::leave_hook`] declines it.
//!
//! # Other packages
//!
//! `clif-inline` is the command-line tool. `cranelift-inliner-testing` makes programs from random
//! bytes, runs them, and checks the properties that a policy or a pipeline must have.
//!
//! # Versions
//!
//! Version 0.*N*.*x* is for Cranelift 0.*N*, whose types are in the interface; only a new *N*
//! breaks anything, or raises the oldest Rust compiler.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// First, for their macros.
#[macro_use]
mod settings;
#[macro_use]
mod trace;

pub mod backend;
pub mod backtrace;
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
#[cfg(feature = "shards")]
pub mod shard;
pub mod splice;

/// The README's examples, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
