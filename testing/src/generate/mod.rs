//! Programs made from random bytes: they are valid and always end.
//!
//! One generator serves proptest and fuzzers. [`programs`] is a strategy for proptest, and
//! [`Generated`] implements [`arbitrary::Arbitrary`] for fuzzers; both read bytes in the same way,
//! so a fuzzer's finding can be replayed in a test. Fewer bytes mean a smaller program.
//!
//! ```
//! use arbitrary::Unstructured;
//! use cranelift_inliner::backend::{TargetSettings, target};
//! use cranelift_inliner_testing::generate::Shape;
//!
//! let bytes: Vec<u8> = (0..=255).collect();
//! let generated = Shape::new().generate(&mut Unstructured::new(&bytes))?;
//! generated.program.verify(&*target("x64", &TargetSettings::new())?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Behaviour
//!
//! The results of a program, its calls of the host and its traps depend only on the arguments,
//! never on an address or on fresh memory. They may depend on the bits of a NaN from an
//! instruction. So all NaNs must be canonical, by Cranelift's setting
//! `enable_nan_canonicalization`; [`execute`](crate::execute) sets it.
//!
//! Each program compiles for x64, aarch64 and s390x, and for riscv64 with `has_v`, unless it has a
//! [`Feature`] that says otherwise.
//!
//! # Termination
//!
//! Loops count down from a small constant. Functions call only later ones, except those that pass
//! on fuel, which each call reduces. The executions of each block are known during construction,
//! and calls and loops beyond the bound are not made.

mod aggregates;
mod body;
mod calls;
mod choices;
mod closures;
mod control;
mod copy_bytes;
mod exceptions;
mod features;
mod helpers;
mod instructions;
mod memory;
mod metadata;
mod methods;
mod plan;
mod program;
mod shape;
mod stacks;
mod strategy;
mod types;

pub use features::Feature;
pub use shape::{CallGraph, Shape};
pub use strategy::programs;

use crate::execute::Invocation;
use arbitrary::{Arbitrary, Unstructured};
use cranelift_inliner::program::Program;
use std::fmt;

/// A program and its invocations. Its `Debug` form is text: the functions, then the calls.
#[derive(Clone)]
pub struct Generated {
    /// The functions. Calls of undefined functions are calls of the host.
    pub program: Program,
    /// Calls from outside to exported functions, with arguments of the right types.
    pub invocations: Vec<Invocation>,
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program.to_clif() {
            Ok(text) => writeln!(f, "{text}")?,
            Err(error) => writeln!(f, "; {error}")?,
        }
        for invocation in &self.invocations {
            write!(f, "; run: {}(", invocation.function)?;
            for (index, argument) in invocation.arguments.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{argument}")?;
            }
            writeln!(f, ")")?;
        }
        Ok(())
    }
}

impl<'a> Arbitrary<'a> for Generated {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Shape::default().generate(bytes)
    }
}
