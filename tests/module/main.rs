//! The pass around a `cranelift_module::Module`. The front end is the one of the examples, which
//! is written against plain modules.

mod attributes;
mod background;
mod backtraces;
mod errors;
#[path = "../../examples/expressions/mod.rs"]
mod expressions;
mod flush;
#[cfg(all(feature = "jit", feature = "object"))]
mod front_ends;
mod language;
mod linkage;
mod names;
mod plans;
mod profile;
mod regions;
mod same_results;
mod support;
mod unused;
