//! The shape of generated programs.

use super::Generated;
use super::choices::Choices;
use super::closures::MOST_FUNCTIONS;
use super::features::{Feature, Features};
use super::plan::MAX_BLOCK_RUNS;
use super::program;
use arbitrary::Unstructured;
use std::ops::RangeInclusive;

/// The shape of generated programs: the number of functions, their size, and the call graph.
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
    /// Those among them that each program has.
    pub(super) required: Features,
}

/// The call graph. In each of these the first function is the one from which all calls start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallGraph {
    /// Each function calls any later ones.
    Forward,
    /// Each function calls the next one.
    Chain,
    /// The first function calls all but the last, and these call the last.
    Diamond,
    /// The first function calls all others, which have no calls.
    FanOut,
    /// Each function calls any, itself included, while there is fuel: a parameter that each call
    /// reduces by one.
    Recursive,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            functions: 1..=5,
            statements: 12,
            call_graph: None,
            features: Features::by_default(),
            required: Features::NONE,
        }
    }
}

impl Shape {
    /// Makes a shape of small programs with every feature.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of functions; at least one. Some features add functions of their own.
    pub fn functions(mut self, functions: RangeInclusive<usize>) -> Self {
        self.functions = functions;
        self
    }

    /// Sets the most statements of a function. A statement is a call, a branch or a loop without
    /// its contents, or a few instructions for one value.
    pub fn statements(mut self, statements: usize) -> Self {
        self.statements = statements;
        self
    }

    /// Sets the call graph. Every call of the graph occurs at least once, except that
    /// [`CallGraph::Forward`] and [`CallGraph::Recursive`] only permit calls. By default each
    /// program has its own graph.
    pub fn call_graph(mut self, call_graph: CallGraph) -> Self {
        self.call_graph = Some(call_graph);
        self
    }

    /// Allows programs with `feature`.
    pub fn with(mut self, feature: Feature) -> Self {
        self.features = self.features.with(feature);
        self
    }

    /// Gives `feature` to each program.
    pub fn requiring(mut self, feature: Feature) -> Self {
        self.required = self.required.with(feature);
        self.with(feature)
    }

    /// Excludes `feature`.
    pub fn without(mut self, feature: Feature) -> Self {
        self.features = self.features.without(feature);
        self.required = self.required.without(feature);
        self
    }

    /// Excludes every [`Feature`]: programs have integers of up to 64 bits, branches, loops and
    /// calls.
    pub fn plain(mut self) -> Self {
        self.features = Features::NONE;
        self.required = Features::NONE;
        self
    }

    /// Makes a program from `bytes`. The same bytes give the same program, and any bytes give one;
    /// after their end, the rest of the program is as simple as possible.
    ///
    /// # Errors
    ///
    /// None at present: the result's type is that of [`arbitrary`].
    pub fn generate(&self, bytes: &mut Unstructured<'_>) -> arbitrary::Result<Generated> {
        program::generate(self, &mut Choices::new(bytes))
    }

    /// Returns a bound on the instructions of one invocation, without host functions.
    pub fn max_steps(&self) -> u64 {
        let functions = (*self.functions.end()).max(1) + MOST_FUNCTIONS;
        let functions = functions as u64;
        let statements = self.statements as u64 + 8;
        functions * statements * MAX_BLOCK_RUNS * 16
    }
}
