//! The runtime of a compiled WebAssembly program: memory, tables, traps, and the part of WASI
//! preview 1 that command-line programs use.
//!
//! The compiler links it twice: as a library for `wasm run`, and as a static library into the
//! results of `wasm compile`.

mod context;
mod debugger;
mod host;
mod image;
mod instance;
mod memory;
mod program;
mod traps;
mod wasi;

pub use context::{Context, Element, REGISTER_RESULTS, global_offset, result_offset, table_offset};
pub use debugger::Stop;
pub use host::{HOST_FUNCTIONS, HostFunction, find_host_function};
pub use image::*;
pub use instance::{Code, Instance, InstantiateError};
pub use memory::Memory;
pub use program::run_command;
pub use traps::{Outcome, StackFrame, Trap};
pub use wasi::Wasi;
