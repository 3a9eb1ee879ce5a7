//! One function of a program: its body, linkage, attributes, hints and origin.

use super::attributes::{Attributes, SiteHint};
use super::header::FileHeader;
use super::name::FunctionName;
use cranelift_codegen::ir;
use cranelift_entity::{EntityRef, entity_impl};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A function of a [`Program`](super::Program): an index in input order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(u32);
entity_impl!(FunctionId, "function");

/// The linkage of a function: the code that may refer to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Linkage {
    /// Code outside the program may call it: it is always kept.
    #[default]
    Exported,
    /// Only this program's functions refer to it: it may be dropped when it is unreferenced.
    Local,
    /// Its definition may be replaced at link time: it is kept, and never inlined.
    Interposable,
    /// It is defined elsewhere, and its body is here only to be inlined: nothing is inlined into
    /// it, and it is not part of the result. A remaining call of it is a call of an external
    /// function. LLVM's `available_externally`.
    AvailableExternally,
}

impl Linkage {
    /// Returns whether the function is part of the result even if nothing in the program refers to
    /// it.
    pub fn is_kept(self) -> bool {
        match self {
            Linkage::Exported | Linkage::Interposable => true,
            Linkage::Local | Linkage::AvailableExternally => false,
        }
    }
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Linkage::Exported => "exported",
            Linkage::Local => "local",
            Linkage::Interposable => "interposable",
            Linkage::AvailableExternally => "available externally",
        })
    }
}

/// The place in the input that a function comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Origin {
    /// The file as it was named, or the embedder's name for the text.
    pub file: Arc<str>,
    /// The line of the word `function`, counted from 1.
    pub line: u32,
}

impl Origin {
    /// Makes the place of a function in `file`, whose word `function` is in the line `line`,
    /// counted from 1.
    pub fn new(file: impl Into<Arc<str>>, line: u32) -> Self {
        Origin {
            file: file.into(),
            line,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A comment in or after a function that asks for its execution, in the form of Cranelift's
/// filetests: `; run: %add(1, 2) == 3` or `; print: %add(1, 2)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct RunDirective {
    /// The line of the comment, counted from 1.
    pub line: u32,
    /// The comment from the word `run` or `print` on, without the `;` before it. It is not checked;
    /// `cranelift_reader::parse_run_command` reads it.
    pub text: String,
}

/// A function of a program: its body, linkage and attributes, and where it comes from.
///
/// The body is shared, so that cloning a `ProgramFunction` is cheap.
///
/// ```
/// use cranelift_codegen::ir::{Function, Signature, UserFuncName};
/// use cranelift_codegen::isa::CallConv;
/// use cranelift_inliner::program::{Linkage, Program, ProgramFunction};
///
/// let body = Function::with_name_signature(
///     UserFuncName::user(0, 7),
///     Signature::new(CallConv::SystemV),
/// );
/// let mut program = Program::new();
/// let id = program.add_function(ProgramFunction::new(body).with_linkage(Linkage::Local))?;
/// assert_eq!(program[id].name().to_string(), "u0:7");
/// assert_eq!(program[id].linkage(), Linkage::Local);
/// # Ok::<(), cranelift_inliner::program::ProgramError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProgramFunction {
    name: FunctionName,
    /// Without instructions if the body comes later.
    body: Arc<ir::Function>,
    /// The hints of a declared function, once its body is there. Clones get them as well.
    late: Option<Arc<OnceLock<Hints>>>,
    pub(super) linkage: Linkage,
    pub(super) attributes: Attributes,
    /// `None` if there are none.
    extras: Option<Box<Extras>>,
}

/// The parts that functions made in memory seldom have, in one allocation.
#[derive(Clone, Debug, Default)]
struct Extras {
    hints: Hints,
    origin: Option<Origin>,
    directives: Vec<RunDirective>,
    header: Option<Arc<FileHeader>>,
}

type Hints = BTreeMap<ir::Inst, SiteHint>;

impl ProgramFunction {
    /// Creates an exported function without attributes, named as its body is.
    pub fn new(body: impl Into<Arc<ir::Function>>) -> Self {
        let body = body.into();
        Self {
            name: FunctionName::from(body.name.clone()),
            body,
            late: None,
            linkage: Linkage::default(),
            attributes: Attributes::default(),
            extras: None,
        }
    }

    /// Creates a function whose body comes later, and has this name and signature. It is not kept
    /// here.
    pub(crate) fn declared(name: FunctionName, signature: ir::Signature) -> Self {
        let empty = ir::Function::with_name_signature(name.into(), signature);
        Self {
            late: Some(Arc::default()),
            ..Self::new(empty)
        }
    }

    /// Creates a function whose body is elsewhere; functions with the same signature may share
    /// `stub`, which has another name.
    #[cfg(feature = "shards")]
    pub(crate) fn elsewhere(name: FunctionName, stub: Arc<ir::Function>) -> Self {
        Self {
            name,
            ..Self::new(stub)
        }
    }

    /// Takes the hints of a declared function, whose body is there; returns whether it is the first
    /// one.
    pub(crate) fn arrive(&self, hints: BTreeMap<ir::Inst, SiteHint>) -> bool {
        let late = self.late.as_ref();
        late.is_some_and(|late| late.set(hints).is_ok())
    }

    /// Sets the body of a declared function, which keeps its hints.
    pub(crate) fn with_late_body(mut self, body: Arc<ir::Function>) -> Self {
        debug_assert!(self.has_name_of(&body), "the body was found by its name");
        let hints = self.late.take().and_then(|late| late.get().cloned());
        if let Some(hints) = hints
            && !hints.is_empty()
        {
            self.extras.get_or_insert_default().hints = hints;
        }
        self.body = body;
        self
    }

    /// Returns whether it is named like `body`.
    pub(crate) fn has_name_of(&self, body: &ir::Function) -> bool {
        self.name.is_that_of(body)
    }

    /// Returns whether it has this body from the start.
    pub(crate) fn has_body(&self, body: &Arc<ir::Function>) -> bool {
        self.late.is_none() && Arc::ptr_eq(&self.body, body)
    }

    /// Returns whether the body is still to come.
    pub(crate) fn is_awaited(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.get().is_none())
    }

    /// Sets the linkage.
    pub fn with_linkage(mut self, linkage: Linkage) -> Self {
        self.linkage = linkage;
        self
    }

    /// Sets the attributes.
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets a hint on `call`, which must be a direct call in the layout; other instructions get
    /// none.
    pub fn with_hint(mut self, call: ir::Inst, hint: SiteHint) -> Self {
        if self.is_direct_call(call) {
            self.set_hint(call, hint);
        }
        self
    }

    /// Sets a hint on a direct call.
    pub(super) fn set_hint(&mut self, call: ir::Inst, hint: SiteHint) {
        let extras = self.extras.get_or_insert_default();
        extras.hints.insert(call, hint);
    }

    /// Sets the origin, which errors then name.
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.extras.get_or_insert_default().origin = Some(origin);
        self
    }

    /// Sets the same function with another body, and with that body's name. Hints are about the
    /// calls of the old one and are gone.
    pub fn with_body(mut self, body: impl Into<Arc<ir::Function>>) -> Self {
        let body = body.into();
        if !Arc::ptr_eq(&body, &self.body)
            && let Some(extras) = &mut self.extras
        {
            extras.hints.clear();
        }
        self.late = None;
        self.body = body;
        self.name = FunctionName::from(self.body.name.clone());
        self
    }

    pub(super) fn with_text(
        mut self,
        directives: Vec<RunDirective>,
        header: Arc<FileHeader>,
    ) -> Self {
        let extras = self.extras.get_or_insert_default();
        extras.directives = directives;
        extras.header = Some(header);
        self
    }

    /// Returns the name that calls refer to.
    pub fn name(&self) -> &FunctionName {
        &self.name
    }

    /// Returns the body.
    pub fn body(&self) -> &Arc<ir::Function> {
        &self.body
    }

    /// Returns the linkage.
    pub fn linkage(&self) -> Linkage {
        self.linkage
    }

    /// Returns the embedder's attributes.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Returns the embedder's hint for the call `call` of the body.
    pub fn hint(&self, call: ir::Inst) -> Option<SiteHint> {
        self.hint_map()?.get(&call).copied()
    }

    /// Returns all hints, in the order of the instructions' numbers.
    pub fn hints(&self) -> impl ExactSizeIterator<Item = (ir::Inst, SiteHint)> + '_ {
        static NONE: BTreeMap<ir::Inst, SiteHint> = BTreeMap::new();
        let hints = self.hint_map().unwrap_or(&NONE);
        hints.iter().map(|(call, hint)| (*call, *hint))
    }

    fn hint_map(&self) -> Option<&BTreeMap<ir::Inst, SiteHint>> {
        let late = self.late.as_ref().and_then(|late| late.get());
        late.or_else(|| self.extras.as_ref().map(|extras| &extras.hints))
    }

    pub(super) fn is_direct_call(&self, call: ir::Inst) -> bool {
        is_direct_call(self.body(), call)
    }

    /// Returns where it comes from; `None` if it was built in memory without an origin.
    pub fn origin(&self) -> Option<&Origin> {
        self.extras.as_ref()?.origin.as_ref()
    }

    /// Returns the `run` and `print` directives in and after the function, in the order of the
    /// text.
    pub fn run_directives(&self) -> &[RunDirective] {
        let extras = self.extras.as_ref();
        extras.map_or(&[], |extras| &extras.directives)
    }

    /// Returns the header of the text that the function was read from; `None` where it was built in
    /// memory.
    pub fn header(&self) -> Option<&FileHeader> {
        self.extras.as_ref()?.header.as_deref()
    }
}

/// Returns whether `call` is a direct call in the layout of `body`.
pub(crate) fn is_direct_call(body: &ir::Function, call: ir::Inst) -> bool {
    // Cranelift's accessors panic for an instruction that the body does not have.
    call.index() < body.dfg.num_insts()
        && body.layout.inst_block(call).is_some()
        && matches!(
            body.dfg.insts[call],
            ir::InstructionData::Call { .. } | ir::InstructionData::TryCall { .. }
        )
}
