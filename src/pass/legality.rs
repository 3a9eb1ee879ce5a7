//! Legality of a splice, by the original caller, or by the session that has begun to change it.

use crate::splice::{CalleeView, Checker, Refusal, Session, check_call};
use cranelift_codegen::ir::{Function, Inst};

/// Decides whether a call can be spliced.
///
/// Signatures and declarations are checked before the policy decides, and the callee's code after:
/// most calls are not wanted.
pub(super) trait Legality {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal>;

    fn check_view(&self, call: Inst, callee: CalleeView<'_>) -> Result<(), Refusal>;
}

/// For a caller into which nothing is inlined: only the facts that need neither the callees' bodies
/// nor a walk over the caller.
impl Legality for &Function {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal> {
        check_call(self, call, callee)
    }

    fn check_view(&self, call: Inst, _: CalleeView<'_>) -> Result<(), Refusal> {
        debug_assert!(false, "{call} is not wanted");
        Err(Refusal::NotADirectCall(call))
    }
}

impl Legality for Checker<'_> {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal> {
        Checker::check_call(self, call, callee)
    }

    fn check_view(&self, call: Inst, callee: CalleeView<'_>) -> Result<(), Refusal> {
        Checker::check_view(self, call, callee)
    }
}

impl Legality for Session<'_> {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal> {
        Session::check_call(self, call, callee)
    }

    fn check_view(&self, call: Inst, callee: CalleeView<'_>) -> Result<(), Refusal> {
        Session::check_view(self, call, callee)
    }
}
