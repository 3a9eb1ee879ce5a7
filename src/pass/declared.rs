//! Functions that are known before their bodies.

use super::unwanted::has_demands;
use crate::graph::CallGraph;
use crate::program::{Declaration, FunctionName, Program, ProgramError};
use std::collections::BTreeMap;

/// Functions that are declared before their bodies come.
///
/// ```
/// use cranelift_codegen::ir::{Signature, UserFuncName};
/// use cranelift_inliner::pass::DeclaredProgram;
/// use cranelift_inliner::program::Declaration;
///
/// # let signature = Signature::new(cranelift_codegen::isa::CallConv::Fast);
/// let mut program = DeclaredProgram::new();
/// program.declare(Declaration::new("main".parse()?, signature, 10));
/// program.has_handlers = false;
/// # Ok::<(), cranelift_inliner::program::ParseNameError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeclaredProgram {
    pub(super) functions: Vec<Declaration>,
    tables: BTreeMap<FunctionName, Vec<(i64, FunctionName)>>,
    /// Whether any body has calls with handlers; on by default. If off, less has to be looked at.
    /// If on though no body has any, the result is not [exact](super::Streamed::is_exact).
    pub has_handlers: bool,
    /// Whether any body has alias regions; on by default. If off, copies share more stack slots. If
    /// on though no body has any, the result is not exact.
    pub has_alias_regions: bool,
    /// Whether hints may demand to inline a call; off by default. If on, no function is [ruled
    /// out](crate::decide::Inline::rules_out) by its size, and functions wait for all callees.
    pub has_demands: bool,
    /// The number of tasks that may wait for a thread. Threads that hand in more bodies help with
    /// these first, so that a fast front end does not hold the whole program in memory, and the
    /// first function is done early. `None`, the default, is one less than the threads of the
    /// pool: each of the others finds work, and this one translates.
    pub queue_capacity: Option<usize>,
    /// The [size](crate::decide::Limits#sizes) of all bodies together that the stream may hold,
    /// with those that wait for others and those that may still be inlined. Threads that hand in
    /// more bodies do tasks first, until less is held or no task waits for a thread. So it is only
    /// as good as the order of the bodies: see [`Stream::next_wanted`](super::Stream::next_wanted).
    /// `None`, the default, leaves only the bound of [`queue_capacity`](Self::queue_capacity).
    pub body_capacity: Option<usize>,
    /// Whether the result has the bodies; off by default. Then a body is freed as soon as its
    /// function is compiled, no function may inline it any more, and no function that falls back to
    /// its original body may need it. The code and the decisions are the same.
    pub keep_bodies: bool,
}

impl Default for DeclaredProgram {
    fn default() -> Self {
        DeclaredProgram {
            functions: Vec::new(),
            tables: BTreeMap::new(),
            has_handlers: true,
            has_alias_regions: true,
            has_demands: false,
            queue_capacity: None,
            body_capacity: None,
            keep_bodies: false,
        }
    }
}

impl DeclaredProgram {
    /// Creates a program without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a function. Their order is that of the functions in the result.
    pub fn declare(&mut self, function: Declaration) {
        self.functions.push(function);
    }

    /// Declares the function addresses in data that is never written, like [`Program::add_table`].
    pub fn add_table(
        &mut self,
        name: FunctionName,
        functions: impl IntoIterator<Item = (i64, FunctionName)>,
    ) {
        self.tables.insert(name, functions.into_iter().collect());
    }

    /// Returns the declarations that say of `program` all that its bodies do.
    ///
    /// `None` if a function calls one of Cranelift's own routines, which cannot be declared.
    pub fn of(program: &Program) -> Option<Self> {
        let graph = CallGraph::new(program);
        let mut declared = DeclaredProgram {
            has_handlers: false,
            has_alias_regions: false,
            has_demands: has_demands(program),
            ..Self::default()
        };
        for (id, function) in program.iter() {
            declared.declare(graph.declaration(id)?);
            let dfg = &function.body().dfg;
            declared.has_handlers |= !dfg.exception_tables.is_empty();
            declared.has_alias_regions |= dfg.alias_regions.len() > 0;
        }
        for name in program.tables() {
            let functions = program.table(name);
            let functions = functions.map(|(offset, function)| (offset, function.clone()));
            declared.add_table(name.clone(), functions);
        }
        Some(declared)
    }

    pub(super) fn program(&self) -> Result<Program, ProgramError> {
        let mut program = Program::new();
        for declaration in &self.functions {
            program.add_function(declaration.function())?;
        }
        for (name, functions) in &self.tables {
            program.add_table(name.clone(), functions.iter().cloned());
        }
        Ok(program)
    }
}
