//! A replacement of `Context::inline` for embedders of Cranelift's own trait.

use super::{Callee, MemoryPromises, SpliceContext, SpliceOptions};
use cranelift_codegen::CodegenResult;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{self, Inst, InstructionData};

/// Visits the direct calls of `func` and inlines those that `inliner` chooses.
///
/// This takes the place of [`cranelift_codegen::Context::inline`] for embedders that implement
/// [`cranelift_codegen::inline::Inline`]: calls are visited in layout order, `visit_callee` decides
/// whether calls that came in with a body are visited too, right after their body, and the result
/// is whether anything was inlined. Patchable and indirect calls are not offered.
///
/// Where Cranelift would panic or fail — a signature that differs, a full set of memory flags, a
/// callee that does not verify — the call is kept.
///
/// Memory flags are copied like in Cranelift, by its contract: alias regions are numbered once for
/// the whole compilation, and `readonly` and `can_move` hold in every function that the body is
/// inlined into ([`MemoryPromises::WholeProgram`]).
///
/// As with Cranelift's own function, an inliner that answers a recursive call with `visit_callee`
/// every time does not terminate.
///
/// ```
/// use cranelift_codegen::inline::{Inline, InlineCommand};
/// use cranelift_codegen::ir;
/// use cranelift_inliner::splice::inline_calls;
/// use std::borrow::Cow;
///
/// struct Always(ir::Function);
///
/// impl Inline for Always {
///     fn inline(
///         &mut self,
///         _: &ir::Function,
///         _: ir::Inst,
///         _: ir::Opcode,
///         _: ir::FuncRef,
///         _: &[ir::Value],
///     ) -> InlineCommand<'_> {
///         InlineCommand::Inline {
///             callee: Cow::Borrowed(&self.0),
///             visit_callee: false,
///         }
///     }
/// }
///
/// let mut functions = cranelift_reader::parse_functions("
/// function %callee(i32) -> i32 system_v {
/// block0(v0: i32):
///     v1 = iadd v0, v0
///     return v1
/// }
/// function %caller(i32) -> i32 system_v {
///     fn0 = %callee(i32) -> i32 system_v
/// block0(v0: i32):
///     v1 = call fn0(v0)
///     return v1
/// }")?;
/// let mut caller = functions.pop().unwrap();
/// // Before: `context.inline(Always(..))`, with `caller` as `context.func`.
/// assert!(inline_calls(&mut caller, Always(functions.remove(0)))?);
/// assert_eq!(caller.layout.blocks().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// None at present; the type is that of `Context::inline`.
pub fn inline_calls(func: &mut ir::Function, inliner: impl Inline) -> CodegenResult<bool> {
    let options = SpliceOptions {
        memory_promises: MemoryPromises::WholeProgram,
        ..SpliceOptions::default()
    };
    inline_calls_with(func, inliner, &options)
}

/// Like [`inline_calls`], but with the embedder's options.
///
/// The scope of memory flags is [`SpliceOptions::memory_promises`]: each function by itself, by
/// default, while [`inline_calls`] takes them for the whole program.
///
/// Cranelift's own function does not refuse such callees. To avoid a refusal, set the option that
/// allows the callee, after reading the promise that goes with it: for functions that begin with a
/// check of the stack pointer, [`SpliceOptions::allow_stack_pointer`]; for calls that pass another
/// `vmctx` between functions with a `stack_limit`, [`SpliceOptions::stack_limit_is_per_thread`].
///
/// Embedders that need more, such as the [refusals](super::Refusal) or locations of their own, can
/// write the same loop with [`Session`](super::Session).
///
/// ```
/// # use cranelift_codegen::inline::{Inline, InlineCommand};
/// # use cranelift_codegen::ir;
/// use cranelift_inliner::splice::{SpliceOptions, inline_calls_with};
/// # use std::borrow::Cow;
/// # struct Always(ir::Function);
/// # impl Inline for Always {
/// #     fn inline(
/// #         &mut self,
/// #         _: &ir::Function,
/// #         _: ir::Inst,
/// #         _: ir::Opcode,
/// #         _: ir::FuncRef,
/// #         _: &[ir::Value],
/// #     ) -> InlineCommand<'_> {
/// #         InlineCommand::Inline { callee: Cow::Borrowed(&self.0), visit_callee: false }
/// #     }
/// # }
///
/// let mut functions = cranelift_reader::parse_functions("
/// function %callee(i64) system_v {
/// block0(v0: i64):
///     v1 = get_stack_pointer.i64
///     v2 = icmp ult v1, v0
///     trapnz v2, stk_ovf
///     return
/// }
/// function %caller(i64) system_v {
///     fn0 = %callee(i64) system_v
/// block0(v0: i64):
///     call fn0(v0)
///     return
/// }")?;
/// let mut caller = functions.pop().unwrap();
/// let inliner = Always(functions.remove(0));
/// let options = SpliceOptions::default().with_allow_stack_pointer(true);
/// assert!(inline_calls_with(&mut caller, inliner, &options)?);
/// assert!(!caller.to_string().contains("call fn0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// None at present; the type is that of `Context::inline`.
pub fn inline_calls_with(
    func: &mut ir::Function,
    mut inliner: impl Inline,
    options: &SpliceOptions,
) -> CodegenResult<bool> {
    let mut calls: Vec<Inst> = Vec::new();
    for block in func.layout.blocks() {
        let in_block = func.layout.block_insts(block);
        calls.extend(in_block.filter(|&inst| is_candidate(func, inst)));
    }
    calls.reverse();
    let mut context = SpliceContext::new();
    let mut session = context.session(func, options);
    let mut inlined_any = false;
    while let Some(call) = calls.pop() {
        let caller = session.caller();
        if !is_candidate(caller, call) {
            continue;
        }
        let data = &caller.dfg.insts[call];
        let (InstructionData::Call { func_ref, .. } | InstructionData::TryCall { func_ref, .. }) =
            *data
        else {
            debug_assert!(false, "{call} is a direct call");
            continue;
        };
        let args = caller.dfg.inst_args(call);
        let command = inliner.inline(caller, call, data.opcode(), func_ref, args);
        let InlineCommand::Inline {
            callee,
            visit_callee,
        } = command
        else {
            continue;
        };
        let Ok(callee) = Callee::new(&callee) else {
            continue;
        };
        if let Ok(copied) = session.splice(call, &callee) {
            inlined_any = true;
            if visit_callee {
                calls.extend(copied.iter().rev().map(|copied| copied.inst));
            }
        }
        session.forget(&callee);
    }
    session.finish();
    Ok(inlined_any)
}

/// Returns whether `inst` is a direct call whose kind may be inlined.
fn is_candidate(func: &ir::Function, inst: Inst) -> bool {
    match func.dfg.insts[inst] {
        InstructionData::Call { func_ref, .. } | InstructionData::TryCall { func_ref, .. } => {
            let function = func.dfg.ext_funcs.get(func_ref);
            function.is_some_and(|function| !function.patchable)
        }
        _ => false,
    }
}
