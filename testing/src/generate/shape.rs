//! What kind of programs to make.

use super::Generated;
use super::choices::Choices;
use super::features::{Feature, Features};
use super::plan::MAX_BLOCK_RUNS;
use super::program;
use arbitrary::Unstructured;
use std::ops::RangeInclusive;

/// What kind of programs to make: how many functions, how large, who calls whom.
///
/// ```
/// use arbitrary::Unstructured;
/// use cranelift_inliner_testing::generate::{CallGraph, Shape};
///
/// let shape = Shape::new().functions(3..=3).call_graph(CallGraph::Chain);
/// let generated = shape.generate(&mut Unstructured::new(&[7; 200]))?;
/// assert_eq!(generated.program.len(), 3);
/// # Ok::<(), arbitrary::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shape {
    pub(super) functions: RangeInclusive<usize>,
    pub(super) statements: usize,
    pub(super) call_graph: Option<CallGraph>,
    pub(super) features: Features,
}

/// Who calls whom. In each of these the first function is the one from which all calls start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallGraph {
    /// Each function calls any that come after it.
    Forward,
    /// Each function calls the next one.
    Chain,
    /// The first function calls all but the last, and these call the last.
    Diamond,
    /// The first function calls all others, which call none.
    FanOut,
    /// Each function calls any, itself included, for as long as there is fuel: a parameter that
    /// each call passes on less one.
    Recursive,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            functions: 1..=5,
            statements: 12,
            call_graph: None,
            features: Features::by_default(),
        }
    }
}

impl Shape {
    /// Programs that are small, and among which there is everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many functions a program has; at least one.
    pub fn functions(mut self, functions: RangeInclusive<usize>) -> Self {
        self.functions = functions;
        self
    }

    /// How many statements a function has at most. A statement is a call, a branch or a loop
    /// without what is in it, or a few instructions for one value.
    pub fn statements(mut self, statements: usize) -> Self {
        self.statements = statements;
        self
    }

    /// Who calls whom. Every call that the graph names is there at least once, save that
    /// [`CallGraph::Forward`] and [`CallGraph::Recursive`] name calls that may be there. Unless
    /// this is called each program has a graph of its own.
    pub fn call_graph(mut self, call_graph: CallGraph) -> Self {
        self.call_graph = Some(call_graph);
        self
    }

    /// Some programs have `feature`.
    pub fn with(mut self, feature: Feature) -> Self {
        self.features = self.features.with(feature);
        self
    }

    /// No program has `feature`.
    pub fn without(mut self, feature: Feature) -> Self {
        self.features = self.features.without(feature);
        self
    }

    /// No program has any [`Feature`]: there are integers of up to 64 bits, branches, loops and
    /// calls.
    pub fn plain(mut self) -> Self {
        self.features = Features::NONE;
        self
    }

    /// The program that `bytes` stand for. The same bytes give the same program, and any bytes
    /// give one; where they end, the rest of the program is as simple as can be.
    ///
    /// # Errors
    ///
    /// None for now: the result's type is that of [`arbitrary`].
    pub fn generate(&self, bytes: &mut Unstructured<'_>) -> arbitrary::Result<Generated> {
        program::generate(self, &mut Choices::new(bytes))
    }

    /// A bound on the instructions that one invocation executes, host functions aside.
    pub fn max_steps(&self) -> u64 {
        let functions = *self.functions.end().max(&1) as u64;
        let statements = self.statements as u64 + 8;
        functions * statements * MAX_BLOCK_RUNS * 16
    }
}
