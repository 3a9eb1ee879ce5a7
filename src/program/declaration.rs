//! Facts about a function before its body.

use super::attributes::Attributes;
use super::function::{Linkage, ProgramFunction};
use super::name::FunctionName;
use cranelift_codegen::ir::Signature;

/// A front end's statements about a function whose body comes later, to a
/// [`Stream`](crate::pass::Stream).
///
/// The numbers decide what is inlined, so the result depends on them and not on the order in which
/// bodies come. A scan of the source finds them: of WebAssembly, for example, without translating
/// any function.
///
/// ```
/// use cranelift_codegen::{ir::Signature, isa::CallConv};
/// use cranelift_inliner::program::{Declaration, Linkage};
///
/// let declaration = Declaration::new("main".parse()?, Signature::new(CallConv::Fast), 12)
///     .with_calls(vec![("helper".parse()?, 2), ("puts".parse()?, 1)]);
/// assert_eq!(declaration.linkage, Linkage::Exported);
/// assert_eq!(declaration.call_count(), 3);
/// # Ok::<(), cranelift_inliner::program::ParseNameError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Declaration {
    /// The name that calls refer to.
    pub name: FunctionName,
    /// The signature of the body.
    pub signature: Signature,
    /// The size of the body, in [instructions](crate::decide::Limits#sizes), or a bound or an
    /// estimate. It sets the function's share of the program's growth. With exact numbers, the
    /// result is the same as that of the pass over the whole program.
    pub insts: usize,
    /// The linkage; exported by default.
    pub linkage: Linkage,
    /// The embedder's attributes.
    pub attributes: Attributes,
    /// The functions that it calls directly, each once, with the number of call sites.
    pub calls: Vec<(FunctionName, usize)>,
    /// Those of them whose calls all have handlers for every exception, so that none that they
    /// throw leaves the function.
    pub caught_calls: Vec<FunctionName>,
    /// The number of indirect calls.
    pub indirect_calls: usize,
    /// The functions and symbols whose addresses it takes by `func_addr` or as global values, and
    /// the functions in the tables that it names.
    pub addresses: Vec<FunctionName>,
    /// Whether it has a `stack_switch`.
    pub switches_stacks: bool,
}

settings!(Declaration {
    with_linkage: linkage: Linkage,
    with_attributes: attributes: Attributes,
    with_calls: calls: Vec<(FunctionName, usize)>,
    with_caught_calls: caught_calls: Vec<FunctionName>,
    with_indirect_calls: indirect_calls: usize,
    with_addresses: addresses: Vec<FunctionName>,
    with_switches_stacks: switches_stacks: bool,
} [name, signature, insts]);

impl Declaration {
    /// Declares an exported function of about `insts` instructions that calls nothing.
    pub fn new(name: FunctionName, signature: Signature, insts: usize) -> Self {
        Declaration {
            name,
            signature,
            insts,
            linkage: Linkage::default(),
            attributes: Attributes::default(),
            calls: Vec::new(),
            caught_calls: Vec::new(),
            indirect_calls: 0,
            addresses: Vec::new(),
            switches_stacks: false,
        }
    }

    /// Returns the number of direct call sites.
    pub fn call_count(&self) -> usize {
        self.calls.iter().map(|(_, count)| count).sum()
    }

    /// Returns the function, whose body is still to come.
    pub(crate) fn function(&self) -> ProgramFunction {
        ProgramFunction::declared(self.name.clone(), self.signature.clone())
            .with_linkage(self.linkage)
            .with_attributes(self.attributes)
    }
}
