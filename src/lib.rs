//! The interprocedural inlining stage for Cranelift.
#![forbid(unsafe_code)]

pub mod backend;
mod body;
pub mod check;
pub mod cleanup;
#[cfg(feature = "dwarf")]
pub mod debug_info;
pub mod decide;
pub mod graph;
pub mod locations;
mod panics;
pub mod pass;
pub mod program;
pub mod splice;
