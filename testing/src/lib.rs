//! Testing policies and pipelines: programs made from random bytes, running them, and what must
//! hold of them.

pub mod canonical;
pub mod decisions;
pub mod execute;
pub mod generate;
pub mod properties;
pub mod targets;
pub mod trace;
