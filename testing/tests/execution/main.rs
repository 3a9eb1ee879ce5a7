//! Running programs: interpreter and native code agree on every program.
#![cfg(all(unix, target_arch = "x86_64"))]

mod calls;
#[cfg(feature = "emulation")]
mod campaign;
#[cfg(feature = "emulation")]
mod emulated;
mod exceptions;
mod generated;
mod isolated;
mod limits;
mod linking;
mod process;
mod promises;
mod slots;
mod snapshots;
mod stacks;
mod support;
mod tables;
mod traps;
