//! Whether a call can be spliced: asked of the caller as it was, or of the session that has begun to
//! change it.

use crate::splice::{Checker, Outline, Refusal, Session};
use cranelift_codegen::ir::{Function, Inst};

/// Whether a call can be spliced.
///
/// What signatures and declarations tell is looked at before the policy is
/// asked, the callee's code after: most calls are not wanted.
pub(super) trait Legality {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal>;

    fn check_outline(&self, call: Inst, callee: Outline<'_>) -> Result<(), Refusal>;
}

impl Legality for Checker<'_> {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal> {
        Checker::check_call(self, call, callee)
    }

    fn check_outline(&self, call: Inst, callee: Outline<'_>) -> Result<(), Refusal> {
        Checker::check_outline(self, call, callee)
    }
}

impl Legality for Session<'_> {
    fn check_call(&self, call: Inst, callee: &Function) -> Result<(), Refusal> {
        Session::check_call(self, call, callee)
    }

    fn check_outline(&self, call: Inst, callee: Outline<'_>) -> Result<(), Refusal> {
        Session::check_outline(self, call, callee)
    }
}
