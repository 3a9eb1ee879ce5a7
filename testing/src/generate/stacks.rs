//! Switching to another stack and back.
//!
//! The other stack is a slot of the function that switches to it. A function of the program runs on
//! it: it gets a value, switches back with three times that, and is not resumed. Cranelift's
//! documentation of the model `basic` describes the native code of x64: a context is a stack
//! pointer, a frame pointer and an instruction pointer, and the payload is the first argument of
//! the started function.

use super::body::{Body, Target};
use super::features::Feature;
use super::plan::Plan;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, Function, InstBuilder, MemFlagsData, Signature, StackSlot,
    StackSlotData, StackSlotKind, TrapCode, UserFuncName, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::FunctionName;

/// Enough for two small frames with all registers saved.
const STACK_BYTES: u32 = 2048;

/// Offsets in the slot that both sides know: the context of the function that switches, that of the
/// other stack, and a value.
const OTHER_CONTEXT: i32 = 24;
const VALUE: i32 = 48;
const SHARED_BYTES: u32 = 56;

/// The slots of a function that switches stacks.
#[derive(Clone, Copy)]
pub(super) struct OtherStack {
    stack: StackSlot,
    shared: StackSlot,
}

impl Body<'_, '_, '_> {
    /// Makes a switch to a function on another stack, which returns a value.
    pub(super) fn switch_stacks(&mut self) {
        let OtherStack { stack, shared } = self.other_stack();
        let value = self.value(types::I64);
        let Some((started, _)) = self.declare(Target::Started) else {
            return;
        };
        let flags = MemFlagsData::trusted();
        // Like after a call, the stack pointer is eight bytes below a multiple of 16.
        let top = STACK_BYTES as i32 - 24;
        let top = self.at().ins().stack_addr(types::I64, stack, top);
        let zero = self.at().ins().iconst(types::I64, 0);
        let started = self.at().ins().func_addr(types::I64, started);
        let own = self.at().ins().stack_addr(types::I64, shared, 0);
        let other = self
            .at()
            .ins()
            .stack_addr(types::I64, shared, OTHER_CONTEXT);
        self.at().ins().store(flags, zero, top, 0);
        for (index, part) in (0i32..).zip([top, zero, started]) {
            self.at().ins().store(flags, part, other, 8 * index);
        }
        self.at().ins().store(flags, value, own, VALUE);
        let args = [own, other, own];
        let inst = if self.choices.chance(96) {
            let switched = self.at().ins().stack_switch(own, other, own);
            self.func.dfg.value_def(switched).unwrap_inst()
        } else {
            let Some((switch, _)) = self.declare(Target::Switch) else {
                return;
            };
            self.at().ins().call(switch, &args)
        };
        self.annotate_switch(inst);
        self.define_results(inst);
    }

    fn other_stack(&mut self) -> OtherStack {
        if let Some(slots) = self.other_stack {
            return slots;
        }
        let kind = StackSlotKind::ExplicitSlot;
        let data = StackSlotData::new(kind, STACK_BYTES, 4);
        let stack = self.func.create_sized_stack_slot(data);
        let data = StackSlotData::new(kind, SHARED_BYTES, 3);
        let shared = self.func.create_sized_stack_slot(data);
        *self.other_stack.insert(OtherStack { stack, shared })
    }
}

/// Makes the functions for switching stacks: one that only switches, and one that starts on another
/// stack.
pub(super) fn functions(plan: &Plan) -> Vec<Function> {
    if !plan.features.has(Feature::StackSwitches) {
        return Vec::new();
    }
    vec![switch(), started()]
}

pub(super) fn name(target: Target) -> Option<FunctionName> {
    match target {
        Target::Switch => Some(FunctionName::testcase("switch")),
        Target::Started => Some(FunctionName::testcase("started")),
        Target::Function(_)
        | Target::Host(_)
        | Target::Throw
        | Target::CopyBytes
        | Target::Helper(_) => None,
    }
}

pub(super) fn signature(target: Target) -> Signature {
    let (call_conv, params, returns) = match target {
        Target::Switch => (CallConv::Fast, 3, 1),
        // The payload comes in the register of its first argument.
        _ => (CallConv::SystemV, 1, 0),
    };
    let mut signature = Signature::new(call_conv);
    signature.params = vec![AbiParam::new(types::I64); params];
    signature.returns = vec![AbiParam::new(types::I64); returns];
    signature
}

fn with_entry(target: Target) -> (Function, Vec<Value>) {
    let mut func = Function::new();
    if let Some(name) = name(target) {
        func.name = name.as_user_func_name().clone();
    }
    func.signature = signature(target);
    let entry = func.dfg.make_block();
    func.layout.append_block(entry);
    let params = func.signature.params.len();
    let params = (0..params).map(|_| func.dfg.append_block_param(entry, types::I64));
    let params = params.collect();
    (func, params)
}

/// Returns a position at the end of the only block.
fn at(func: &mut Function) -> FuncCursor<'_> {
    let last = func.layout.last_block();
    let cursor = FuncCursor::new(func);
    match last {
        Some(block) => cursor.at_bottom(block),
        None => cursor,
    }
}

fn switch() -> Function {
    let (mut func, params) = with_entry(Target::Switch);
    if let [own, other, payload] = params[..] {
        let switched = at(&mut func).ins().stack_switch(own, other, payload);
        at(&mut func).ins().return_(&[switched]);
    }
    func
}

fn started() -> Function {
    let (mut func, params) = with_entry(Target::Started);
    let sig_ref = func.import_signature(signature(Target::Switch));
    let name = name(Target::Switch);
    let name = name.as_ref().map(FunctionName::as_user_func_name);
    let Some(UserFuncName::Testcase(name)) = name else {
        return func;
    };
    let switch = func.import_function(ExtFuncData {
        name: ExternalName::TestCase(name.clone()),
        signature: sig_ref,
        colocated: false,
        patchable: false,
    });
    for shared in params {
        let flags = MemFlagsData::trusted();
        let value = at(&mut func).ins().load(types::I64, flags, shared, VALUE);
        let three = at(&mut func).ins().iconst(types::I64, 3);
        let value = at(&mut func).ins().imul(value, three);
        let offset = at(&mut func)
            .ins()
            .iconst(types::I64, i64::from(OTHER_CONTEXT));
        let own = at(&mut func).ins().iadd(shared, offset);
        at(&mut func).ins().call(switch, &[own, shared, value]);
    }
    at(&mut func).ins().trap(TrapCode::unwrap_user(1));
    func
}
