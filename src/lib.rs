//! The interprocedural inlining stage for Cranelift.
#![forbid(unsafe_code)]

mod body;
pub mod cleanup;
mod panics;
pub mod splice;
