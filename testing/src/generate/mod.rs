//! Programs made from random bytes: valid, and ending always.
//!
//! One generator serves both ways of testing. [`programs`] is a strategy for proptest, and
//! [`Generated`] implements [`arbitrary::Arbitrary`] for fuzzers; both read the same bytes in the
//! same way, so that a fuzzer's finding can be replayed in a test. Fewer bytes mean a smaller
//! program.
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
//! # What a program does
//!
//! Its results, its calls of the host and its traps depend on the arguments alone: never on an
//! address or on the contents of fresh memory. They may depend on the bits of a NaN that an
//! instruction made. So all NaNs have to be made alike, by Cranelift's setting
//! `enable_nan_canonicalization`; [`execute`](crate::execute) does so.
//!
//! Each program compiles for x64, aarch64 and s390x, and for riscv64 with `has_v`, unless it is
//! asked for a [`Feature`] that says otherwise.
//!
//! # Why it ends
//!
//! Loops count down from a small constant. Functions call only those after them, save where they
//! hand on fuel, which each call lessens. How often each block can be executed is known while it is
//! made, and calls and loops that would exceed the bound are not made.

mod aggregates;
mod body;
mod calls;
mod choices;
mod control;
mod copy_bytes;
mod exceptions;
mod features;
mod instructions;
mod memory;
mod metadata;
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

/// A program and what to run in it. Its `Debug` form is text: the functions, then the calls.
#[derive(Clone)]
pub struct Generated {
    /// The functions. Calls of functions that it does not define are calls of the host.
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
