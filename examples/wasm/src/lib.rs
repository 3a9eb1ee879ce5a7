//! WebAssembly to native code, through `cranelift-frontend` and the inlining pass.
//!
//! ```
//! use cranelift_inliner_wasm::{Options, jit};
//! use cranelift_inliner_wasm_runtime::{Outcome, Wasi};
//!
//! // (module (func (export "one") (result i32) i32.const 1))
//! let wasm = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\
//!     \x07\x07\x01\x03one\0\0\x0a\x06\x01\x04\0\x41\x01\x0b";
//! let program = jit(wasm, &Options::default())?;
//! let mut instance = program.instantiate(Wasi::captured())?;
//! assert_eq!(instance.call("one", &[]), Some((Outcome::Returned, vec![1])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | subject |
//! |---|---|
//! | `parse.rs` | the sections of a module |
//! | `translate/` | bodies of functions to CLIF |
//! | `entry.rs` | entries from the host, wrappers of host functions, `main` |
//! | `compile.rs` | the pass around a JIT or an object file |
//! | `jit.rs`, `object.rs` | code in this process; programs |
//! | `explain.rs` | the decision for each call, in the module's own names, as text and as a page |
//! | `scan.rs` | facts about functions before they are translated, for a stream |
//! | `image.rs` | where the code may trap |
//! | `runtime/` | a package of its own: memory, traps and WASI while a program runs |

mod compile;
mod entry;
mod error;
mod explain;
mod image;
mod jit;
mod object;
mod parse;
mod scan;
mod translate;

pub use compile::{
    Compiled, Options, Policy, Schedule, Translated, define_plainly, translate, translate_each,
};
pub use error::{Error, Result};
pub use explain::{explain, page};
pub use jit::{JitProgram, Running, jit, jit_isa, jit_module};
pub use object::object;
