//! Checks of one call, before the caller is changed.

use super::facts::{CalleeFacts, CalleeView};
use super::refusal::SignatureMismatch;
use super::{Refusal, SpliceOptions};
use crate::body::resolve_alias;
use cranelift_codegen::ir::{
    self, ArgumentPurpose, Block, BlockArg, ExceptionTableItem, GlobalValueData, Inst,
    InstructionData, Opcode, Value, types,
};
use cranelift_codegen::isa::CallConv;
use smallvec::SmallVec;

/// The kind of the replaced call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SiteKind {
    Call,
    TryCall(ir::ExceptionTable),
    ReturnCall,
}

/// A call that the two functions allow to replace.
pub(super) struct LegalSite {
    pub(super) kind: SiteKind,
    pub(super) block: Block,
    /// The arguments, with aliases followed.
    pub(super) args: SmallVec<[Value; 8]>,
    /// Whether the callee's `vmctx` is the caller's own.
    pub(super) shares_vmctx: bool,
}

/// A call that is about to be replaced, with the metadata for the copy.
pub(super) struct Site {
    pub(super) kind: SiteKind,
    pub(super) block: Block,
    pub(super) args: SmallVec<[Value; 8]>,
    pub(super) tags: Vec<ir::DebugTag>,
    pub(super) stack_map: Vec<ir::UserStackMapEntry>,
    pub(super) srcloc: ir::SourceLoc,
    pub(super) shares_vmctx: bool,
}

impl LegalSite {
    /// Reads the metadata of `call` that the copy of the body takes over.
    pub(super) fn with_metadata(self, caller: &ir::Function, call: Inst) -> Site {
        let stack_map = caller.dfg.user_stack_map_entries(call);
        Site {
            kind: self.kind,
            block: self.block,
            args: self.args,
            tags: caller.debug_tags.get(call).to_vec(),
            stack_map: stack_map.unwrap_or_default().to_vec(),
            srcloc: caller.srcloc(call),
            shares_vmctx: self.shares_vmctx,
        }
    }
}

/// A direct call in a place that is valid for its kind.
pub(super) struct NamedCall {
    kind: SiteKind,
    block: Block,
    args: ir::ValueList,
}

/// Checks whether `callee` can take the place of `call`.
///
/// Only reads; the session checks entity tables and other instructions than the call.
pub(super) fn check_site(
    caller: &ir::Function,
    call: Inst,
    callee: CalleeView<'_>,
    options: &SpliceOptions,
) -> Result<LegalSite, Refusal> {
    let dfg = &caller.dfg;
    let NamedCall { kind, block, args } = check_call(caller, call, callee.func)?;
    let args = resolve_args(caller, args, &callee.func.signature)?;
    check_results(caller, call, kind, &callee.func.signature)?;
    if dfg
        .inst_results(call)
        .iter()
        .any(|result| args.contains(result))
    {
        // That is valid CLIF only in unreachable code.
        return Err(Refusal::Unreachable);
    }
    let shares_vmctx = shares_vmctx(caller, &callee.func.signature, &args);
    let introspection = &callee.facts.introspection;
    if let Some(&opcode) = introspection
        .iter()
        .find(|&&opcode| !options.allows(opcode))
    {
        return Err(Refusal::FrameIntrospection(opcode));
    }
    if let Some(slot) = callee.facts.overrun_slot {
        return Err(Refusal::SlotOverrun(slot));
    }
    if callee.facts.reads_thread_locals && options.refuse_thread_locals {
        return Err(Refusal::ThreadLocal);
    }
    let mut references = dfg.user_stack_map_entries(call).unwrap_or_default().iter();
    if callee.facts.switches_stacks && references.next().is_some() {
        return Err(Refusal::StackSwitchAtSafepoint);
    }
    if let Some(limit) = callee.func.stack_limit {
        let covered = caller.stack_limit.is_some_and(|own| {
            match same_loads(caller, own, callee.func, limit) {
                None => false,
                // The limit is the `vmctx` itself.
                Some(0) => shares_vmctx,
                Some(_) => shares_vmctx || options.stack_limit_is_per_thread,
            }
        });
        if !covered {
            return Err(Refusal::StackLimit);
        }
    }
    if let SiteKind::TryCall(exception) = kind {
        check_handlers(caller, exception, callee.facts, options)?;
    }
    Ok(LegalSite {
        kind,
        block,
        args,
        shares_vmctx,
    })
}

/// Returns the part of [`check_site`] for which the signatures and the caller's declaration of the
/// callee are enough.
pub(super) fn check_call(
    caller: &ir::Function,
    call: Inst,
    callee: &ir::Function,
) -> Result<NamedCall, Refusal> {
    let dfg = &caller.dfg;
    if !dfg.inst_is_valid(call) {
        return Err(Refusal::NotADirectCall(call));
    }
    let block = caller
        .layout
        .inst_block(call)
        .ok_or(Refusal::NotADirectCall(call))?;
    let (kind, func_ref, args) = match dfg.insts[call] {
        InstructionData::Call {
            opcode: Opcode::Call,
            args,
            func_ref,
        } => (SiteKind::Call, func_ref, args),
        InstructionData::Call {
            opcode: Opcode::ReturnCall,
            args,
            func_ref,
        } => (SiteKind::ReturnCall, func_ref, args),
        InstructionData::TryCall {
            opcode: Opcode::TryCall,
            args,
            func_ref,
            exception,
        } => (SiteKind::TryCall(exception), func_ref, args),
        _ => return Err(Refusal::NotADirectCall(call)),
    };
    let is_last = caller.layout.last_inst(block) == Some(call);
    if is_last != (kind != SiteKind::Call) {
        return Err(Refusal::MalformedCall("it is not where its kind belongs"));
    }
    check_signature(caller, func_ref, kind, callee)?;
    check_structures(&callee.signature)?;
    Ok(NamedCall { kind, block, args })
}

/// Checks a call by itself, without the code of its caller and callee.
pub(crate) fn check_call_alone(
    caller: &ir::Function,
    call: Inst,
    callee: &ir::Function,
) -> Result<(), Refusal> {
    check_call(caller, call, callee).map(|_| ())
}

fn check_signature(
    caller: &ir::Function,
    func_ref: ir::FuncRef,
    kind: SiteKind,
    callee: &ir::Function,
) -> Result<(), Refusal> {
    let dfg = &caller.dfg;
    let data = dfg
        .ext_funcs
        .get(func_ref)
        .ok_or(Refusal::MalformedCall("its function is not declared"))?;
    if data.patchable {
        return Err(Refusal::Patchable);
    }
    let declared = dfg
        .signatures
        .get(data.signature)
        .ok_or(Refusal::MalformedCall("its signature is not declared"))?;
    if let Some(mismatch) = SignatureMismatch::between(declared, &callee.signature) {
        return Err(Refusal::SignatureMismatch(mismatch));
    }
    match kind {
        SiteKind::Call => {}
        SiteKind::TryCall(exception) => {
            let table = dfg
                .exception_tables
                .get(exception)
                .ok_or(Refusal::MalformedCall("its exception table does not exist"))?;
            if dfg.signatures.get(table.signature()) != Some(declared) {
                return Err(Refusal::MalformedCall(
                    "its exception table has another signature",
                ));
            }
        }
        SiteKind::ReturnCall => {
            let own = &caller.signature;
            let same_returns = own.returns.len() == declared.returns.len()
                && own
                    .returns
                    .iter()
                    .zip(&declared.returns)
                    .all(|(a, b)| a.value_type == b.value_type);
            if own.call_conv != declared.call_conv || !same_returns {
                return Err(Refusal::MalformedCall(
                    "a tail call to another kind of function",
                ));
            }
        }
    }
    Ok(())
}

/// Checks the sizes of structures passed by value. They go into slots of the caller's frame, with
/// signed 32-bit offsets.
fn check_structures(signature: &ir::Signature) -> Result<(), Refusal> {
    for param in &signature.params {
        match param.purpose {
            ArgumentPurpose::StructArgument(size) if i32::try_from(size).is_err() => {
                return Err(Refusal::StructTooLarge(size));
            }
            ArgumentPurpose::StructArgument(_)
                if param.value_type != types::I64 && param.value_type != types::I32 =>
            {
                return Err(Refusal::MalformedCallee(format!(
                    "a structure's address cannot be of type {}",
                    param.value_type
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn resolve_args(
    caller: &ir::Function,
    args: ir::ValueList,
    signature: &ir::Signature,
) -> Result<SmallVec<[Value; 8]>, Refusal> {
    let dfg = &caller.dfg;
    if !args.is_valid(&dfg.value_lists) {
        return Err(Refusal::MalformedCall("its argument list does not exist"));
    }
    let args = args.as_slice(&dfg.value_lists);
    if args.len() != signature.params.len() {
        return Err(Refusal::MalformedCall(
            "it has another number of arguments than its signature",
        ));
    }
    let mut resolved = SmallVec::with_capacity(args.len());
    for (&arg, param) in args.iter().zip(&signature.params) {
        let value = resolve_alias(dfg, arg);
        let value = value.filter(|&value| dfg.value_type(value) == param.value_type);
        resolved.push(value.ok_or(Refusal::MalformedCall("an argument has another type"))?);
    }
    Ok(resolved)
}

fn check_results(
    caller: &ir::Function,
    call: Inst,
    kind: SiteKind,
    signature: &ir::Signature,
) -> Result<(), Refusal> {
    let dfg = &caller.dfg;
    let results = dfg.inst_results(call);
    let expected: &[ir::AbiParam] = match kind {
        SiteKind::Call => &signature.returns,
        SiteKind::TryCall(_) | SiteKind::ReturnCall => &[],
    };
    let matches = results.len() == expected.len()
        && results.iter().zip(expected).all(|(&value, returned)| {
            dfg.value_is_valid(value) && dfg.value_type(value) == returned.value_type
        });
    if matches {
        Ok(())
    } else {
        Err(Refusal::MalformedCall(
            "its results are not its signature's",
        ))
    }
}

fn shares_vmctx(caller: &ir::Function, callee: &ir::Signature, args: &[Value]) -> bool {
    let theirs = callee.special_param_index(ArgumentPurpose::VMContext);
    let ours = caller
        .signature
        .special_param_index(ArgumentPurpose::VMContext);
    let (Some(theirs), Some(ours), Some(entry)) = (theirs, ours, caller.layout.entry_block())
    else {
        return false;
    };
    let params = caller.dfg.block_params(entry);
    params.get(ours).is_some() && params.get(ours) == args.get(theirs)
}

/// Returns the number of loads from the `vmctx` to two global values, each of its own function;
/// `None` if they are not the same loads.
fn same_loads(
    caller: &ir::Function,
    mut ours: ir::GlobalValue,
    callee: &ir::Function,
    mut theirs: ir::GlobalValue,
) -> Option<usize> {
    // Bounded, because an unverified caller's chain may not end.
    for loads in 0..=caller.global_values.len() {
        let pair = (
            caller.global_values.get(ours),
            callee.global_values.get(theirs),
        );
        match pair {
            (Some(GlobalValueData::VMContext), Some(GlobalValueData::VMContext)) => {
                return Some(loads);
            }
            (
                Some(GlobalValueData::Load {
                    base,
                    offset,
                    global_type,
                    ..
                }),
                Some(GlobalValueData::Load {
                    base: their_base,
                    offset: their_offset,
                    global_type: their_type,
                    ..
                }),
            ) if offset == their_offset && global_type == their_type => {
                (ours, theirs) = (*base, *their_base);
            }
            _ => return None,
        }
    }
    None
}

/// Exceptions that leave the inlined body must find the caller's handlers.
fn check_handlers(
    caller: &ir::Function,
    exception: ir::ExceptionTable,
    callee: &CalleeFacts,
    options: &SpliceOptions,
) -> Result<(), Refusal> {
    let dfg = &caller.dfg;
    let table = &dfg.exception_tables[exception];
    let restores = restores_registers(dfg.signatures[table.signature()].call_conv)
        || options.unwinder_restores_registers;
    let mut payloads = 0;
    let mut has_handlers = false;
    let mut tag_before_context = false;
    let mut seen_context = false;
    for item in table.items() {
        let target = match item {
            ExceptionTableItem::Context(_) => {
                seen_context = true;
                continue;
            }
            ExceptionTableItem::Tag(_, target) => {
                tag_before_context |= !seen_context;
                target
            }
            ExceptionTableItem::Default(target) => target,
        };
        has_handlers = true;
        for arg in target.args(&dfg.value_lists) {
            if let BlockArg::TryCallExn(index) = arg {
                payloads = payloads.max(index as usize + 1);
            }
        }
    }
    if !has_handlers {
        return Ok(());
    }
    for &call_conv in &callee.inner_call_convs {
        // The pointer type changes the types of the payloads, not their number.
        let available = call_conv.exception_payload_types(types::I64).len();
        let is_catchable = call_conv.supports_exceptions()
            && available >= payloads
            && (restores || !restores_registers(call_conv));
        if !is_catchable {
            return Err(Refusal::UncatchableCall(call_conv));
        }
    }
    if callee.has_patchable_call {
        return Err(Refusal::PatchableUnderHandler);
    }
    if callee.switches_stacks {
        return Err(Refusal::StackSwitchUnderHandler);
    }
    if callee.has_exception_context && tag_before_context {
        return Err(Refusal::ExceptionContext);
    }
    Ok(())
}

/// The calls of a function that its code rules out, whatever the caller does.
#[cfg(feature = "shards")]
#[derive(Clone, Debug, Default)]
pub(crate) struct RuledOut {
    /// All calls, for this reason.
    pub(crate) all: Option<Refusal>,
    /// Calls with handlers.
    pub(crate) with_handlers: bool,
    /// Calls that keep references alive.
    pub(crate) at_safepoints: bool,
}

#[cfg(feature = "shards")]
impl RuledOut {
    /// Reads the body of `func`; the facts of callers that refusals also depend on are left out.
    pub(crate) fn of(func: &ir::Function, options: &SpliceOptions) -> Self {
        let facts = match CalleeFacts::of(func) {
            Ok(facts) => facts,
            Err(refusal) => {
                return RuledOut {
                    all: Some(refusal),
                    ..RuledOut::default()
                };
            }
        };
        let introspection = facts.introspection.iter();
        let mut introspection = introspection.filter(|&&opcode| !options.allows(opcode));
        let all = match (introspection.next(), facts.overrun_slot) {
            (Some(&opcode), _) => Some(Refusal::FrameIntrospection(opcode)),
            (None, Some(slot)) => Some(Refusal::SlotOverrun(slot)),
            (None, None) if facts.reads_thread_locals && options.refuse_thread_locals => {
                Some(Refusal::ThreadLocal)
            }
            (None, None) => check_structures(&func.signature).err(),
        };
        // The call declares the signature of the callee.
        let restores =
            restores_registers(func.signature.call_conv) || options.unwinder_restores_registers;
        let uncatchable = |&conv: &CallConv| {
            !conv.supports_exceptions() || (!restores && restores_registers(conv))
        };
        RuledOut {
            all,
            with_handlers: facts.inner_call_convs.iter().any(uncatchable)
                || facts.has_patchable_call
                || facts.switches_stacks
                || facts.has_exception_context,
            at_safepoints: facts.switches_stacks,
        }
    }
}

/// Returns whether Cranelift assumes, for calls of this convention, that an unwinder restores the
/// callee-saved registers before it resumes in a handler. For other conventions it keeps nothing in
/// registers across such a call.
fn restores_registers(call_conv: CallConv) -> bool {
    !matches!(
        call_conv,
        CallConv::Tail | CallConv::Winch | CallConv::PreserveAll
    )
}
