//! DWARF for compiled functions: lines, inlined frames, variables, unwinding.
//!
//! [`DebugInfo::add_to`] adds sections to an object file that
//! [`build_object`](crate::backend::build_object) made, before it becomes bytes:
//!
//! - `.debug_line`: the source line of each instruction, that of the innermost function it comes
//!   from;
//! - `.debug_info`: a subprogram for each function and, inside it, a tree of inlined subroutines,
//!   made from the chains of the function's [`LocationTable`]; each has the place of its call and
//!   the code that it covers. Variables live in keyed stack slots that a [`VariableSchema`]
//!   describes, or in values whose labels a [`LabelSchema`] describes;
//! - `.eh_frame`: unwind information, on systems that unwind with DWARF.
//!
//! A front end defines the meaning of its locations by a [`SourceMap`]. Two come with the crate:
//! [`LineIsLocation`] for front ends whose `SourceLoc`s are line numbers, and [`ClifLines`], which
//! leads to the CLIF text itself.
//!
//! The tree is built from the code, not from the calls that were inlined: an inlined body without
//! remaining instructions has no frame. Two calls of one function are two inlined subroutines, even
//! if both calls have the same location.
//!
//! ```
//! use cranelift_inliner::backend::{
//!     ObjectFunction, ObjectLinkage, TargetSettings, build_object, default_symbol, target,
//! };
//! use cranelift_inliner::debug_info::{ClifLines, DebugFunction, DebugInfo};
//! use cranelift_inliner::decide::Always;
//! use cranelift_inliner::locations::LocationMode;
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//!
//! let text = "
//! function %check(i32) system_v {
//! block0(v0: i32):
//! @0001   trapz v0, user7
//!         return
//! }
//! function %main(i32) system_v {
//!     fn0 = %check(i32) system_v
//! block0(v0: i32):
//! @0005   call fn0(v0)
//!         return
//! }";
//! let program = Program::from_clif(text, "check.clif")?;
//! let isa = target("x64", &TargetSettings::new())?;
//! let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
//! let (_, compiled) = inliner.run_and_compile(&program, &*isa)?;
//! let mut functions = Vec::new();
//! let mut debug = Vec::new();
//! for (id, code) in compiled.iter() {
//!     let symbol = default_symbol(code.name());
//!     functions.push(ObjectFunction::new(symbol, ObjectLinkage::Export, code));
//!     let locations = compiled.locations(id).ok_or("no table")?;
//!     debug.push(DebugFunction::new(code, locations));
//! }
//! let mut object = build_object(&isa, "check", &functions, default_symbol)?;
//! let lines = ClifLines::new("check.clif", "/src", text);
//! DebugInfo::new(&*isa, &lines).add_to(&mut object, &debug)?;
//! let bytes = object.emit()?;
//! assert!(bytes.windows(11).any(|name| name == b".debug_info"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calls;
mod clif_values;
mod error;
mod frames;
mod jumps;
mod labels;
mod lines;
mod scopes;
mod sections;
mod source;
mod symbols;
mod unit;
mod values;
mod variables;

pub use clif_values::ClifValues;
pub use error::DebugInfoError;
pub use labels::{LabelSchema, LabelVariable, value_type};
pub use source::{ClifLines, LineIsLocation, SourceMap, SourcePosition};
pub use symbols::{SymbolFrame, symbolize};
pub use variables::{Variable, VariableEncoding, VariableSchema, VariableType};

use crate::backend::CompiledFunction;
use crate::locations::{LabelTable, LocationTable};
use cranelift_codegen::isa::TargetIsa;
use cranelift_object::ObjectProduct;

/// A function of an object file, to be described.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DebugFunction<'a> {
    /// Its code.
    pub compiled: &'a CompiledFunction,
    /// The table of the code's source locations.
    pub locations: &'a LocationTable,
    /// The variables that its value labels stand for, if they have been numbered.
    pub labels: Option<&'a LabelTable>,
}

impl<'a> DebugFunction<'a> {
    /// Makes a function without labels.
    pub fn new(compiled: &'a CompiledFunction, locations: &'a LocationTable) -> Self {
        DebugFunction {
            compiled,
            locations,
            labels: None,
        }
    }

    /// Sets the variables of its value labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Option<&'a LabelTable>) -> Self {
        self.labels = labels;
        self
    }
}

/// The debug information of one object file.
pub struct DebugInfo<'a> {
    isa: &'a dyn TargetIsa,
    source: &'a dyn SourceMap,
    variables: Option<&'a dyn VariableSchema>,
    labels: Option<&'a dyn LabelSchema>,
    unwind: bool,
}

impl<'a> DebugInfo<'a> {
    /// Lines and inlined frames by `source`, and unwinding, for code that was compiled for `isa`.
    pub fn new(isa: &'a dyn TargetIsa, source: &'a dyn SourceMap) -> Self {
        DebugInfo {
            isa,
            source,
            variables: None,
            labels: None,
            unwind: true,
        }
    }

    /// Describes variables in stack slots by `schema`.
    #[must_use]
    pub fn variables(mut self, schema: &'a dyn VariableSchema) -> Self {
        self.variables = Some(schema);
        self
    }

    /// Describes the variables of value labels by `schema`, in functions with
    /// [labels](DebugFunction::with_labels).
    ///
    /// A variable is shown where Cranelift knows the place of a value with its label: in registers
    /// and spill slots, not in cold blocks and not in a frame whose registers a call may overwrite.
    /// Elsewhere it is "optimized out".
    #[must_use]
    pub fn labels(mut self, schema: &'a dyn LabelSchema) -> Self {
        self.labels = Some(schema);
        self
    }

    /// Sets whether `.eh_frame` is written; it is by default. Turn it off for functions of which
    /// the object file has it already, by cranelift-object's `unwind_info`.
    #[must_use]
    pub fn unwind(mut self, unwind: bool) -> Self {
        self.unwind = unwind;
        self
    }

    /// Adds the sections to `object`, whose functions are `functions` in the same order.
    ///
    /// # Errors
    ///
    /// See [`DebugInfoError`]. `object` may then have some of the sections and should be dropped.
    pub fn add_to(
        &self,
        object: &mut ObjectProduct,
        functions: &[DebugFunction<'_>],
    ) -> Result<(), DebugInfoError> {
        let placed = sections::place(object, functions)?;
        let mut unit = unit::write(self, &placed)?;
        sections::add(object, &placed, &mut unit)?;
        if self.unwind
            && let Some(frames) = frames::write(self.isa, &placed)?
        {
            sections::add_frames(object, &placed, frames)?;
        }
        Ok(())
    }
}
