//! The splicing engine: one callee body into one call site.

mod callee;
mod copy;
mod drop_in;
mod entities;
mod inherited_tags;
mod mapper;
mod refusal;
mod segments;
mod session;
mod site;
mod struct_args;
mod survey;

pub use callee::{Callee, CalleeTables};
pub use drop_in::inline_calls;
pub use refusal::{Refusal, SignatureMismatch};
pub use session::{CopiedCall, Session, SpliceContext};

use cranelift_codegen::ir;

/// What an embedder allows a splice to do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SpliceOptions {
    /// Inline callees that use `get_frame_pointer`, `get_stack_pointer` or
    /// `get_return_address`. After inlining these tell of the caller's frame.
    /// Off by default.
    pub allow_frame_introspection: bool,
}

/// Replaces the call `call` of `caller` by a copy of `callee`'s body.
///
/// # Errors
///
/// A [`Refusal`], with `caller` untouched.
pub fn splice(
    caller: &mut ir::Function,
    call: ir::Inst,
    callee: &ir::Function,
    options: &SpliceOptions,
) -> Result<(), Refusal> {
    let callee = Callee::new(callee)?;
    let mut context = SpliceContext::new();
    let mut session = context.session(caller, options);
    session.splice(call, &callee)?;
    session.finish();
    Ok(())
}
