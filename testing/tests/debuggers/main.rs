//! Debuggers that are not part of this repository see the same program, inlined or not.
//!
//! Programs are compiled in several ways to object files with DWARF, and linked with a host in C
//! that runs all of them. A debugger stops at each call of the host and at each trap. Its
//! backtraces must be those of the program without inlining. Where a debugger or a compiler is
//! missing, the tests say so and pass.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "../../../examples/expressions/mod.rs"]
mod expressions;

mod accounting;
mod builds;
mod differences;
mod glue;
mod image;
mod lldb;
mod mutations;
mod programs;
mod session;
mod shipped;
mod tables;
mod tail_calls;
mod trees;
mod verify;
mod wasm;
