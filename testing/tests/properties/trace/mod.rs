//! A debugger sees the same program, inlined or not.
//!
//! Programs run, on this machine or in an emulator of aarch64. At each call of the host function
//! `%probe` the stack is copied; the physical frames in the copy are walked, the virtual frames in
//! them decoded, and the tagged slots read. The result, the trace, must be the same without
//! inlining, with each policy, for each order of splices, and at each level of optimization.
//! `programs.rs` says how programs have to be tagged for that.

mod aarch64;
mod builds;
mod guest;
#[cfg(all(unix, target_arch = "x86_64"))]
mod mutations;
mod programs;
mod recording;
#[cfg(all(unix, target_arch = "x86_64"))]
mod same_trace;
