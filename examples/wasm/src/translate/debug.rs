//! Code for a debugger in the process, in Wasmtime's form.
//!
//! Each function has a slot with a key, in which are the context, the locals, and the operand
//! stack, eight bytes each. Before each instruction is a patchable call of [`breakpoint`]. Calls
//! have three tags: the slot, the offset of the instruction in the module, and the shape of the
//! operand stack. The limit of the stack is checked where the function begins, with the stack
//! pointer.

use super::{Declared, Region, STOPPED, Translator};
use crate::error::Result;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, ArgumentPurpose, DebugTag, FuncRef, Function, Inst, InstBuilder, Signature,
    StackSlot, StackSlotData, StackSlotKey, StackSlotKind, TrapCode, Type, UserFuncName, Value,
    types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_inliner_wasm_runtime::{Context, find_host_function};
use cranelift_module::{FuncId, Linkage, Module};
use rustc_hash::FxHashMap;
use std::mem::offset_of;
use wasmparser::Operator;

/// The shape of an empty operand stack.
const EMPTY: u32 = u32::MAX;

/// The state of the slot of a function during its translation.
pub(super) struct Debug {
    slot: StackSlot,
    breakpoint: FuncRef,
    /// The operand stack as it is in the slot.
    stored: Vec<Value>,
    /// The most operands at once.
    most: usize,
    /// By the shape below and the type of the last operand.
    shapes: FxHashMap<(u32, Type), u32>,
    /// The offset and the shape at the current instruction.
    at: (u32, u32),
}

/// Declares and returns the function that stops for a debugger. It keeps all registers.
pub(crate) fn breakpoint(
    target: &mut dyn Module,
    declared: &mut Declared,
) -> Result<(FuncId, Function)> {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params = vec![AbiParam::special(types::I64, ArgumentPurpose::VMContext)];
    let id = target.declare_function("breakpoint", Linkage::Local, &signature)?;
    declared.breakpoint = Some(id);
    let mut func = Function::with_name_signature(UserFuncName::user(0, id.as_u32()), signature);
    let config = target.target_config();
    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut func, &mut scratch);
    let [block, goes_on, stops] = [(); 3].map(|()| builder.create_block());
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let context = builder.block_params(block)[0];
    let frame = builder.ins().get_frame_pointer(types::I64);
    let host = find_host_function("breakpoint").expect("the runtime has it");
    let host = declared.host_function(target, host)?;
    let host = target.declare_func_in_func(host, builder.func);
    let call = builder.ins().call(host, &[context, frame]);
    let answer = builder.inst_results(call)[0];
    builder.ins().brif(answer, goes_on, &[], stops, &[]);
    builder.set_cold_block(stops);
    builder.switch_to_block(stops);
    builder.ins().trap(STOPPED);
    builder.switch_to_block(goes_on);
    builder.ins().return_(&[]);
    builder.seal_all_blocks();
    builder.finalize(config);
    Ok((id, func))
}

impl Translator<'_, '_, '_> {
    /// Begins the body of function `number`. Its locals must be known.
    pub(super) fn begin_debug(&mut self, number: u32) {
        let Some(breakpoint) = self.declared.breakpoint else {
            return;
        };
        let breakpoint = self.reference(breakpoint);
        self.builder.func.dfg.ext_funcs[breakpoint].patchable = true;
        let data = StackSlotData::new_with_key(
            StackSlotKind::ExplicitSlot,
            0,
            3,
            StackSlotKey::new(u64::from(number)),
        );
        let slot = self.builder.create_sized_stack_slot(data);
        self.debug = Some(Debug {
            slot,
            breakpoint,
            stored: Vec::new(),
            most: 0,
            shapes: FxHashMap::default(),
            at: (0, EMPTY),
        });

        let flags = self.flags(Region::Context);
        let offset = offset_of!(Context, stack_limit) as i32;
        let limit = self
            .builder
            .ins()
            .load(types::I64, flags, self.context, offset);
        let stack = self.builder.ins().get_stack_pointer(types::I64);
        let is_over = self
            .builder
            .ins()
            .icmp(IntCC::UnsignedLessThan, stack, limit);
        let (over, body) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(over);
        self.builder.ins().brif(is_over, over, &[], body, &[]);
        self.builder.seal_block(over);
        self.builder.seal_block(body);
        self.builder.switch_to_block(over);
        self.builder.ins().trap(TrapCode::STACK_OVERFLOW);
        self.builder.switch_to_block(body);
        self.keep(0, self.context);
        for local in 0..self.locals.len() as u32 {
            let value = self.builder.use_var(self.locals[local as usize]);
            self.keep_local(local, value);
        }
    }

    /// Stores a word of the slot.
    fn keep(&mut self, word: usize, value: Value) {
        let Some(debug) = &self.debug else { return };
        let slot = debug.slot;
        let address = self
            .builder
            .ins()
            .stack_addr(types::I64, slot, 8 * word as i32);
        let flags = self.flags(Region::State);
        self.builder.ins().store(flags, value, address, 0);
    }

    /// Stores a local that changed.
    pub(super) fn keep_local(&mut self, local: u32, value: Value) {
        self.keep(1 + local as usize, value);
    }

    /// Stores the operands that changed, and stops for a debugger.
    pub(super) fn stop_before(&mut self, operator: &Operator<'_>, offset: u64) {
        let is_stop = !matches!(operator, Operator::Else | Operator::End);
        if !self.reachable || !is_stop || self.debug.is_none() {
            return;
        }
        let stack = self.stack.clone();
        let Some(debug) = &mut self.debug else { return };
        let old = std::mem::replace(&mut debug.stored, stack.clone());
        debug.most = debug.most.max(stack.len());
        let mut shape = EMPTY;
        for &value in &stack {
            let ty = self.builder.func.dfg.value_type(value);
            let next = debug.shapes.len() as u32;
            shape = *debug.shapes.entry((shape, ty)).or_insert(next);
        }
        debug.at = (offset as u32, shape);
        let breakpoint = debug.breakpoint;
        let same = old.iter().zip(&stack).take_while(|(old, new)| old == new);
        let first = same.count();
        for (index, &value) in stack.iter().enumerate().skip(first) {
            self.keep(1 + self.locals.len() + index, value);
        }
        let call = self.builder.ins().call(breakpoint, &[self.context]);
        self.tag(call);
    }

    /// Gives a call the tags of the current instruction.
    pub(super) fn tag(&mut self, call: Inst) {
        if let Some(debug) = &self.debug {
            let (offset, shape) = debug.at;
            let tags = [
                DebugTag::StackSlot(debug.slot),
                DebugTag::User(offset),
                DebugTag::User(shape),
            ];
            self.builder.func.debug_tags.set(call, tags);
        }
    }

    /// Gives the slot its size, since the body is complete.
    pub(super) fn end_debug(&mut self) {
        if let Some(debug) = &self.debug {
            let words = 1 + self.locals.len() + debug.most;
            self.builder.func.sized_stack_slots[debug.slot].size = 8 * words as u32;
        }
    }
}
