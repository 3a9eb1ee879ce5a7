//! Testing policies and pipelines: programs made from random bytes, running them, and what must
//! hold of them.
//!
//! The [README](https://docs.rs/crate/cranelift-inliner-testing/latest) shows how a compiler's
//! tests use it.
//!
//! # The modules
//!
//! * [`generate`]: programs made from random bytes, for fuzzers and as strategies of `proptest`.
//! * [`execute`]: running programs, in Cranelift's interpreter and natively.
//! * [`properties`]: what must hold of a pass's result.
//! * [`decisions`]: a policy whose decisions are made from bytes.
//! * [`canonical`]: a text of a function that is the same for functions that differ in names only.
//! * [`targets`]: the architectures and levels that properties are checked for.
//! * [`trace`]: what a debugger sees of a program that runs.
//!
//! # Features
//!
//! The default feature `properties` is all but native execution. Without it the crate is
//! [`execute`] alone, with none of the interpreter, proptest and arbitrary.
// Running compiled code cannot be safe; three files of `execute/native` say so.
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
pub mod properties;
#[cfg(feature = "properties")]
pub mod targets;
#[cfg(feature = "properties")]
pub mod trace;

/// The examples of the README, which are tested with the documentation.
#[cfg(all(doctest, feature = "properties"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
