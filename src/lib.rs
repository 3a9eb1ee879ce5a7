//! The interprocedural inlining stage for Cranelift.
#![forbid(unsafe_code)]

pub mod backend;
mod body;
pub mod cleanup;
pub mod decide;
pub mod frames;
pub mod graph;
mod panics;
pub mod pass;
pub mod program;
pub mod splice;
