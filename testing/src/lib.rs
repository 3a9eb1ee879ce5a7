//! Tests of policies and pipelines: programs made from random bytes, their execution, and
//! properties of results.
//!
//! The [README](https://docs.rs/crate/cranelift-inliner-testing/latest) shows how a compiler's
//! tests use it.
//!
//! # The modules
//!
//! * [`generate`]: programs made from random bytes, for fuzzers and as strategies of `proptest`.
//! * [`execute`]: execution of programs, in Cranelift's interpreter and natively.
//! * [`properties`]: properties of a pass's result.
//! * [`orders`]: the calls that a pass has inlined, spliced one by one in any order.
//! * [`decisions`]: a policy whose decisions are made from bytes.
//! * [`canonical`]: a text that is equal for functions that differ only in numbers.
//! * [`targets`]: the architectures and levels for which properties are checked.
//! * [`trace`]: a debugger's view of a running program.
//!
//! # Features
//!
//! The default feature `properties` contains everything except native execution. Without it the
//! crate is only [`execute`], without the interpreter, proptest and arbitrary. `emulation` adds the
//! execution of code for other architectures.
// Running compiled code needs `unsafe`, which three files of `execute/native` allow.
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "properties")]
pub mod canonical;
#[cfg(feature = "properties")]
pub mod decisions;
pub mod execute;
#[cfg(feature = "properties")]
pub mod generate;
#[cfg(feature = "properties")]
pub mod orders;
#[cfg(feature = "properties")]
pub mod properties;
#[cfg(feature = "properties")]
pub mod targets;
#[cfg(feature = "properties")]
pub mod trace;

/// The examples of the README, tested with the documentation.
#[cfg(all(doctest, feature = "properties"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
