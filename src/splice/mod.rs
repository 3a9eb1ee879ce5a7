//! The splicing engine: one callee body into one call site.

mod callee;
mod copy;
mod drop_in;
mod entities;
mod locations;
mod mapper;
mod refusal;
mod session;
mod site;
mod struct_args;

pub use callee::{Callee, CalleeTables};
pub use drop_in::inline_calls;
pub use locations::{KeepLocations, SpliceLocations};
pub use refusal::{Refusal, SignatureMismatch};
pub use session::{Checker, CopiedCall, Session, SpliceContext};

use cranelift_codegen::ir;

/// What an embedder allows a splice to do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SpliceOptions {
    /// Inline callees that use `get_frame_pointer`, which then gives the
    /// caller's. Off by default.
    pub allow_frame_pointer: bool,
    /// Inline callees that use `get_stack_pointer`, which then gives the
    /// caller's. Off by default. A front end that compares it with a limit to
    /// detect stack overflow can allow it: the caller's frame holds the
    /// callee's.
    pub allow_stack_pointer: bool,
    /// Inline callees that use `get_return_address`, which then gives where
    /// the caller returns to. Off by default.
    pub allow_return_address: bool,
}

impl SpliceOptions {
    fn allows(&self, opcode: ir::Opcode) -> bool {
        match opcode {
            ir::Opcode::GetFramePointer => self.allow_frame_pointer,
            ir::Opcode::GetStackPointer => self.allow_stack_pointer,
            ir::Opcode::GetReturnAddress => self.allow_return_address,
            _ => true,
        }
    }
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
