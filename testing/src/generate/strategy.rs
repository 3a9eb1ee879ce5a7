//! The generator as a strategy for proptest.
//!
//! Shrinking works on the bytes: pieces of them are left out, then set to zero, then single bytes
//! are reduced, then a byte is reduced and a piece after it left out; all of it repeats while it
//! helps. Pieces get smaller and are tried from the end, where they matter least: bytes before a
//! piece keep their meaning.

use super::{Generated, Shape};
use arbitrary::Unstructured;
use cranelift_inliner::program::Program;
use proptest::prelude::Rng;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// The most bytes of a program.
const MAX_BYTES: usize = 1024;

/// Returns a strategy for programs of `shape`.
///
/// ```
/// use cranelift_inliner::backend::{TargetSettings, target};
/// use cranelift_inliner_testing::generate::{Shape, programs};
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

/// A change of a piece of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    LeaveOut,
    Clear,
    Halve,
    Decrement,
    /// The byte before the piece is halved, and the piece left out: a smaller choice is followed by
    /// fewer choices, and the others keep their meaning only if they move up.
    HalveAndLeaveOut,
}

/// Few choices own more bytes than this.
const LONGEST_CONSEQUENCE: usize = 16;

/// A failing program, and a simpler candidate.
#[derive(Clone, Debug)]
struct Shrinking {
    shape: Shape,
    /// The simplest bytes known to fail.
    failing: Vec<u8>,
    tried: Option<Vec<u8>>,
    change: Change,
    /// The length and the end of the next piece to change.
    length: usize,
    end: usize,
    /// Whether a change succeeded in this round.
    is_simpler: bool,
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
            is_simpler: false,
        }
    }

    /// Tries the next effective change; false if there is none.
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
            // The pieces overlap, since related bytes may begin anywhere.
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
            Change::Decrement => (Change::HalveAndLeaveOut, LONGEST_CONSEQUENCE),
            // A success may enable changes that failed before.
            Change::HalveAndLeaveOut if std::mem::take(&mut self.is_simpler) => {
                (Change::LeaveOut, self.failing.len().div_ceil(2))
            }
            Change::HalveAndLeaveOut => (Change::HalveAndLeaveOut, 0),
        };
    }

    fn changed(&self, piece: std::ops::Range<usize>) -> Vec<u8> {
        let mut bytes = self.failing.clone();
        if self.change == Change::HalveAndLeaveOut {
            let before = piece.start.checked_sub(1);
            let Some(byte) = before.and_then(|before| bytes.get_mut(before)) else {
                return bytes;
            };
            // A choice of zero has no consequences.
            if *byte == 0 {
                return bytes;
            }
            *byte /= 2;
        }
        if matches!(self.change, Change::LeaveOut | Change::HalveAndLeaveOut) {
            bytes.drain(piece);
            return bytes;
        }
        for byte in bytes.get_mut(piece).into_iter().flatten() {
            *byte = match self.change {
                Change::LeaveOut | Change::Clear | Change::HalveAndLeaveOut => 0,
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
            self.is_simpler = true;
            match self.change {
                // It may be reduced again.
                Change::Halve => self.end += 1,
                Change::LeaveOut | Change::Clear | Change::Decrement | Change::HalveAndLeaveOut => {
                }
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
    fn failures_shrink_to_little_else() {
        for (needle, most) in [("br_table", 5), ("popcnt", 11), ("call fn", 4), ("f64", 2)] {
            let fails = |generated: &Generated| format!("{generated:?}").contains(needle);
            let seeds = (0..).filter(|&seed| {
                let bytes = noise(seed);
                let generated = Shape::new().generate(&mut Unstructured::new(&bytes));
                generated.is_ok_and(|generated| fails(&generated) && insts(&generated) > 60)
            });
            let mut sizes: Vec<usize> = Vec::new();
            for seed in seeds.take(5) {
                let (generated, tries) = shrink(noise(seed), fails);
                assert!(insts(&generated) <= 20, "{needle}:\n{generated:?}");
                assert!(tries < 30_000, "{needle}: {tries}");
                sizes.push(insts(&generated));
            }
            sizes.sort_unstable();
            assert!(sizes[2] <= most, "{needle}: {sizes:?}");
        }
    }

    #[test]
    fn a_program_that_always_fails_shrinks_to_the_smallest() {
        let (generated, tries) = shrink(noise(3), |_| true);
        assert_eq!((generated.program.len(), insts(&generated)), (1, 1));
        assert!(tries < 20);
    }
}
