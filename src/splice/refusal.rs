//! Reasons for refused splices.

use cranelift_codegen::ir;
use std::fmt;
use thiserror::Error;

/// The reason why a call was left unchanged.
///
/// A refused splice has not touched its caller. Every way in which a splice could change the
/// meaning of a program is one variant here, so that a report can tell them apart;
/// [`Refusal::slug`] is a short stable name of the variant for tables and machine-readable output.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The instruction is not a `call`, `return_call` or `try_call` in the caller's layout.
    #[error("{0} is not a direct call in the caller")]
    NotADirectCall(ir::Inst),

    /// The call or its operands break CLIF's own rules; the verifier would reject the caller.
    #[error("the call is malformed: {0}")]
    MalformedCall(&'static str),

    /// The caller breaks CLIF's own rules; the verifier would reject it. A
    /// [`Session`](super::Session) checks only the parts that a splice relies on, so that not every
    /// such caller is refused.
    #[error("the caller is malformed: {0}")]
    MalformedCaller(String),

    /// The callee breaks CLIF's own rules; the verifier would reject it.
    #[error("the callee is malformed: {0}")]
    MalformedCallee(String),

    /// The call is in unreachable code.
    #[error("the call is unreachable")]
    Unreachable,

    /// The function reference is `patchable`: the call must stay a call so that it can be patched.
    #[error("the call is patchable and must stay a call")]
    Patchable,

    /// The call's signature is not the definition's.
    #[error("the call's signature differs from the definition's: {0}")]
    SignatureMismatch(SignatureMismatch),

    /// The callee asks for its own frame or return address, which an inlined body does not have.
    #[error("the callee uses `{0}`, which sees the physical frame")]
    FrameIntrospection(ir::Opcode),

    /// A `get_exception_handler_address` names the block of the `try_call` that would go away.
    #[error("`get_exception_handler_address` names the call's block {0}")]
    HandlerAddress(ir::Block),

    /// The callee's `stack_limit` is not checked by the caller's prologue.
    #[error("the callee's `stack_limit` is not the caller's")]
    StackLimit,

    /// At a `try_call` site, a call of the callee uses a calling convention through which the
    /// caller's handlers cannot be reached: it does not support exceptions, or has fewer payloads
    /// than the handlers take, or its handlers expect an unwinder that restores registers where the
    /// replaced call's do not (`system_v` in a `tail` callee; see
    /// [`SpliceOptions::unwinder_restores_registers`](super::SpliceOptions::unwinder_restores_registers)).
    #[error("the callee calls through `{0}`, which cannot carry the caller's exception handlers")]
    UncatchableCall(cranelift_codegen::isa::CallConv),

    /// At a `try_call` site, a `patchable` call of the callee would have to become a `try_call`,
    /// which cannot be patched.
    #[error("a patchable call of the callee would need the caller's exception handlers")]
    PatchableUnderHandler,

    /// At a `try_call` site, a `stack_switch` of the callee would be executed in the caller's
    /// frame, and no instruction can give it the caller's handlers: an unwinder that comes to the
    /// frame from the other stack would go past them.
    #[error("the callee switches stacks, where the caller's exception handlers are not found")]
    StackSwitchUnderHandler,

    /// The call has a stack map and the callee a `stack_switch`, for which Cranelift 0.135 emits
    /// none: a collector would not find the caller's references while the stack is suspended.
    #[error(
        "the callee switches stacks, where Cranelift emits no stack map for the call's references"
    )]
    StackSwitchAtSafepoint,

    /// The callee reads a thread-local variable, and
    /// [`SpliceOptions::refuse_thread_locals`](super::SpliceOptions::refuse_thread_locals) is set.
    #[error("the callee reads a thread-local variable")]
    ThreadLocal,

    /// At a `try_call` site, the callee's exception table ends in a dynamic context, and the
    /// caller's tags would wrongly be matched in it.
    #[error("the caller's handlers would be matched in the callee's exception context")]
    ExceptionContext,

    /// The callee addresses memory beyond this stack slot. In its own frame the next slot is there;
    /// in the caller's frame it is another one.
    #[error("the callee reaches beyond its stack slot {0}")]
    SlotOverrun(ir::StackSlot),

    /// The callee takes a structure of this many bytes by value, more than a stack frame can hold.
    #[error("the callee takes a structure of {0} bytes by value")]
    StructTooLarge(u32),

    /// A dynamic vector type of the callee has another scale in the caller.
    #[error("dynamic type {0} has another scale in the caller")]
    DynamicType(ir::DynamicType),

    /// A global value of the callee leads to its `vmctx` parameter in a place where the call's
    /// argument is not possible.
    #[error("global value {0} of the callee depends on its `vmctx` parameter")]
    VmctxGlobal(ir::GlobalValue),

    /// The caller's table of memory flags has no capacity left for the callee's.
    #[error("the caller's set of memory flags is full")]
    MemFlagsFull,

    /// The caller would hold more entities than CLIF can number.
    #[error("the caller would hold more {0} than CLIF can number")]
    TooManyEntities(&'static str),
}

impl Refusal {
    /// Returns a short, stable, lower-case name of the variant, such as `signature-mismatch`.
    pub fn slug(&self) -> &'static str {
        match self {
            Refusal::NotADirectCall(_) => "not-a-direct-call",
            Refusal::MalformedCall(_) => "malformed-call",
            Refusal::MalformedCaller(_) => "malformed-caller",
            Refusal::MalformedCallee(_) => "malformed-callee",
            Refusal::Unreachable => "unreachable",
            Refusal::Patchable => "patchable",
            Refusal::SignatureMismatch(_) => "signature-mismatch",
            Refusal::FrameIntrospection(_) => "frame-introspection",
            Refusal::HandlerAddress(_) => "handler-address",
            Refusal::StackLimit => "stack-limit",
            Refusal::UncatchableCall(_) => "uncatchable-call",
            Refusal::PatchableUnderHandler => "patchable-under-handler",
            Refusal::StackSwitchUnderHandler => "stack-switch-under-handler",
            Refusal::StackSwitchAtSafepoint => "stack-switch-at-safepoint",
            Refusal::ThreadLocal => "thread-local",
            Refusal::ExceptionContext => "exception-context",
            Refusal::SlotOverrun(_) => "slot-overrun",
            Refusal::StructTooLarge(_) => "struct-too-large",
            Refusal::DynamicType(_) => "dynamic-type",
            Refusal::VmctxGlobal(_) => "vmctx-global",
            Refusal::MemFlagsFull => "mem-flags-full",
            Refusal::TooManyEntities(_) => "too-many-entities",
        }
    }
}

/// The first difference between the signature at a call and the definition's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureMismatch {
    /// The calling conventions differ: the call's, then the definition's.
    CallConv(
        cranelift_codegen::isa::CallConv,
        cranelift_codegen::isa::CallConv,
    ),
    /// The numbers of parameters differ: the call's, then the definition's.
    ParamCount(usize, usize),
    /// The parameter at this index differs: the call's, then the definition's.
    Param(usize, ir::AbiParam, ir::AbiParam),
    /// The numbers of returned values differ: the call's, then the definition's.
    ReturnCount(usize, usize),
    /// The return at this index differs: the call's, then the definition's.
    Return(usize, ir::AbiParam, ir::AbiParam),
}

impl SignatureMismatch {
    /// Returns the first difference between `call` and `definition`, or `None` where they are
    /// equal.
    pub fn between(call: &ir::Signature, definition: &ir::Signature) -> Option<Self> {
        if call.call_conv != definition.call_conv {
            return Some(Self::CallConv(call.call_conv, definition.call_conv));
        }
        if call.params.len() != definition.params.len() {
            return Some(Self::ParamCount(call.params.len(), definition.params.len()));
        }
        if call.returns.len() != definition.returns.len() {
            return Some(Self::ReturnCount(
                call.returns.len(),
                definition.returns.len(),
            ));
        }
        let differing = |a: &[ir::AbiParam], b: &[ir::AbiParam]| {
            a.iter()
                .zip(b)
                .enumerate()
                .find(|(_, (a, b))| a != b)
                .map(|(index, (a, b))| (index, *a, *b))
        };
        if let Some((index, a, b)) = differing(&call.params, &definition.params) {
            return Some(Self::Param(index, a, b));
        }
        differing(&call.returns, &definition.returns).map(|(index, a, b)| Self::Return(index, a, b))
    }
}

impl fmt::Display for SignatureMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallConv(a, b) => write!(f, "calling convention `{a}` against `{b}`"),
            Self::ParamCount(a, b) => write!(f, "{a} parameters against {b}"),
            Self::Param(i, a, b) => write!(f, "parameter {i} is `{a}` against `{b}`"),
            Self::ReturnCount(a, b) => write!(f, "{a} returns against {b}"),
            Self::Return(i, a, b) => write!(f, "return {i} is `{a}` against `{b}`"),
        }
    }
}
