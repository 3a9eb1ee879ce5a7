//! The generator as a strategy for proptest.
//!
//! What is shrunk are the bytes: pieces of them are left out, then set to zero, then single bytes
//! are lessened. Pieces become smaller and are tried from the end, where they mean least: what
//! stands before a piece is read as it was.

use super::{Generated, Shape};
use crate::program::Program;
use arbitrary::Unstructured;
use proptest::prelude::Rng;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// How many bytes a program is made from at most.
const MAX_BYTES: usize = 1024;

/// Programs of `shape`, for proptest.
///
/// ```
/// use cranelift_inliner::backend::{TargetSettings, target};
/// use cranelift_inliner::testing::generate::{Shape, programs};
/// use proptest::test_runner::{Config, TestRunner};
///
/// let isa = target("x64", &TargetSettings::new())?;
/// let mut runner = TestRunner::new(Config::with_cases(8));
/// runner.run(&programs(Shape::new()), |generated| {
///     generated.program.verify(&*isa).expect("generated programs verify");
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn programs(shape: Shape) -> impl Strategy<Value = Generated> {
    Programs { shape }
}

#[derive(Clone, Debug)]
struct Programs {
    shape: Shape,
}

impl Strategy for Programs {
    type Tree = Shrinking;
    type Value = Generated;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let rng = runner.rng();
        let length = rng.next_u64() % (MAX_BYTES as u64 + 1);
        let mut bytes = vec![0; length as usize];
        rng.fill_bytes(&mut bytes);
        Ok(Shrinking::new(self.shape.clone(), bytes))
    }
}

/// What is done with a piece of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    LeaveOut,
    Clear,
    Halve,
    Decrement,
}

/// A program that fails, and a simpler one that is tried.
#[derive(Clone, Debug)]
struct Shrinking {
    shape: Shape,
    /// The simplest bytes that are known to fail.
    failing: Vec<u8>,
    tried: Option<Vec<u8>>,
    change: Change,
    /// The length of the piece that is changed next, and where it ends.
    length: usize,
    end: usize,
}

impl Shrinking {
    fn new(shape: Shape, failing: Vec<u8>) -> Self {
        let length = failing.len().div_ceil(2);
        let end = failing.len();
        Shrinking {
            shape,
            failing,
            tried: None,
            change: Change::LeaveOut,
            length,
            end,
        }
    }

    /// Tries the next change that changes anything; false if there is none.
    fn try_next(&mut self) -> bool {
        loop {
            if self.length == 0 || self.failing.is_empty() {
                return false;
            }
            if self.end == 0 {
                self.next_length();
                continue;
            }
            let start = self.end.saturating_sub(self.length);
            let tried = self.changed(start..self.end);
            // The pieces overlap, for what belongs together may begin anywhere.
            self.end -= (self.length / 4).clamp(1, self.end);
            if tried != self.failing {
                self.tried = Some(tried);
                return true;
            }
        }
    }

    fn next_length(&mut self) {
        self.end = self.failing.len();
        self.length /= 2;
        if self.length > 0 {
            return;
        }
        (self.change, self.length) = match self.change {
            Change::LeaveOut => (Change::Clear, self.failing.len().div_ceil(2)),
            Change::Clear => (Change::Halve, 1),
            Change::Halve => (Change::Decrement, 1),
            Change::Decrement => (Change::Decrement, 0),
        };
    }

    fn changed(&self, piece: std::ops::Range<usize>) -> Vec<u8> {
        let mut bytes = self.failing.clone();
        if self.change == Change::LeaveOut {
            bytes.drain(piece);
            return bytes;
        }
        for byte in bytes.get_mut(piece).into_iter().flatten() {
            *byte = match self.change {
                Change::LeaveOut | Change::Clear => 0,
                Change::Halve => *byte / 2,
                Change::Decrement => byte.saturating_sub(1),
            };
        }
        bytes
    }
}

impl ValueTree for Shrinking {
    type Value = Generated;

    fn current(&self) -> Generated {
        let bytes = self.tried.as_ref().unwrap_or(&self.failing);
        let generated = self.shape.generate(&mut Unstructured::new(bytes));
        // Any bytes stand for a program.
        generated.unwrap_or_else(|_| Generated {
            program: Program::new(),
            invocations: Vec::new(),
        })
    }

    fn simplify(&mut self) -> bool {
        if let Some(tried) = self.tried.take() {
            self.failing = tried;
            match self.change {
                // It may be lessened again.
                Change::Halve => self.end += 1,
                Change::LeaveOut | Change::Clear | Change::Decrement => {}
            }
            self.end = self.end.min(self.failing.len());
        }
        self.try_next()
    }

    fn complicate(&mut self) -> bool {
        self.tried = None;
        self.try_next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shrinks `bytes` as far as `fails` still holds.
    fn shrink(bytes: Vec<u8>, fails: impl Fn(&Generated) -> bool) -> (Generated, usize) {
        let mut tree = Shrinking::new(Shape::new(), bytes);
        assert!(fails(&tree.current()));
        let mut tries = 0;
        let mut more = tree.simplify();
        while more {
            tries += 1;
            more = if fails(&tree.current()) {
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        (tree.current(), tries)
    }

    fn noise(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..700).map(next).collect()
    }

    fn insts(generated: &Generated) -> usize {
        let functions = generated.program.iter();
        let insts = functions.map(|(_, function)| {
            let layout = &function.body().layout;
            let blocks = layout.blocks();
            blocks
                .map(|block| layout.block_insts(block).count())
                .sum::<usize>()
        });
        insts.sum()
    }

    #[test]
    fn what_fails_shrinks_to_little_else() {
        for (needle, most) in [("br_table", 10), ("popcnt", 6), ("call fn", 6), ("f64", 6)] {
            let fails = |generated: &Generated| format!("{generated:?}").contains(needle);
            let seed = (0..).find(|&seed| {
                let bytes = noise(seed);
                let generated = Shape::new().generate(&mut Unstructured::new(&bytes));
                generated.is_ok_and(|generated| fails(&generated) && insts(&generated) > 60)
            });
            let (generated, tries) = shrink(noise(seed.unwrap_or_default()), fails);
            assert!(insts(&generated) <= most, "{needle}:\n{generated:?}");
            assert!(tries < 4000, "{needle}: {tries}");
        }
    }

    #[test]
    fn a_program_that_always_fails_shrinks_to_the_smallest() {
        let (generated, tries) = shrink(noise(3), |_| true);
        assert_eq!((generated.program.len(), insts(&generated)), (1, 1));
        assert!(tries < 20);
    }
}
