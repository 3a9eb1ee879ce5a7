//! The meaning of a fuzzer's bytes: a program, decisions, and an optimization level.

use arbitrary::Unstructured;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::decide::Limits;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::splice::SpliceOptions;
use cranelift_inliner_testing::decisions::Decisions;
use cranelift_inliner_testing::generate::{Feature, Generated, Shape};
use std::fmt;

/// A program and its treatment.
pub struct Case {
    pub generated: Generated,
    pub decisions: Decisions,
    /// One level per run: both would take twice as long.
    pub level: OptLevel,
    pub clean_up: bool,
    pub optimize: Optimize,
}

// Each target uses some of these.
#[allow(dead_code)]
impl Case {
    pub fn from_bytes(bytes: &[u8]) -> arbitrary::Result<Self> {
        let mut bytes = Unstructured::new(bytes);
        let flags: u8 = bytes.arbitrary()?;
        Ok(Case {
            decisions: bytes.arbitrary()?,
            level: if flags & 1 == 0 {
                OptLevel::None
            } else {
                OptLevel::Speed
            },
            clean_up: flags & 2 == 0,
            optimize: if flags & 4 == 0 {
                Optimize::Inlined
            } else {
                Optimize::All
            },
            generated: Shape::new()
                .with(Feature::StackSwitches)
                .generate(&mut bytes)?,
        })
    }

    /// Returns the pass with these decisions; every call that may be spliced is.
    pub fn inliner(&self) -> Inliner<'_> {
        Inliner::new(self.decisions)
            .limits(limits())
            .splice_options(options())
            .clean_up(self.clean_up)
            .optimize(self.optimize)
    }

    /// Ends the run if a property does not hold, showing the program.
    pub fn expect<T>(&self, result: Result<T, impl fmt::Display>) -> T {
        result.unwrap_or_else(|error| {
            let Case {
                generated,
                decisions,
                level,
                clean_up,
                optimize,
            } = self;
            panic!(
                "{error}\n{generated:?}\n{decisions:?}, {level}, clean-up: {clean_up}, \
                 optimized: {optimize:?}"
            )
        })
    }
}

/// Assumes that the unwinder restores registers before it continues in a handler, so that no splice
/// is refused for that.
pub fn options() -> SpliceOptions {
    let mut options = SpliceOptions::default();
    options.unwinder_restores_registers = true;
    options
}

/// Returns limits so small that no input takes long.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.function_insts = 4_000;
    limits.program_growth_floor = 4_000;
    limits
}

/// Restricts the pass to one thread, so that libFuzzer sees the same coverage for the same input.
pub fn use_one_thread() {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread();
    pool.build_global().expect("the first pool of the process");
}
