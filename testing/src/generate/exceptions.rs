//! Throwing and catching.
//!
//! The host's function `%throw` takes a tag and a payload. Every callee of a `try_call` has the
//! convention `tail`: handlers of others expect an unwinder that restores registers.

use super::body::{Body, Target};
use super::calls::Call;
use super::control::End;
use super::features::Feature;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, ExceptionTag, InstBuilder,
    Type, types,
};
use cranelift_codegen::isa::CallConv;

/// The number of tags.
const TAGS: usize = 4;

impl Body<'_, '_, '_> {
    /// Makes a throw. Code after the call is not executed, but the block has to end.
    pub(super) fn throw(&mut self) {
        self.throwing_call();
        let code = self.trap_code();
        self.at().ins().trap(code);
    }

    fn throwing_call(&mut self) {
        if let Some(call) = self.prepare_throw() {
            let inst = self.at().ins().call(call.func_ref, &call.args);
            self.annotate_call(inst);
        }
    }

    fn prepare_throw(&mut self) -> Option<Call> {
        let mut call = self.prepare_call(Target::Throw)?;
        let tag = self.choices.below(TAGS) as i64;
        if let Some(first) = call.args.first_mut() {
            *first = self.at().ins().iconst(types::I64, tag);
        }
        Some(call)
    }

    /// Makes a `try_call` whose handlers all lead to the block of the normal return.
    pub(super) fn try_call(&mut self) -> End {
        let target = match self.some_target() {
            _ if self.choices.chance(48) => Some(Target::Throw),
            target => target,
        };
        let Some(target) = target.filter(|&target| self.is_catchable(target)) else {
            self.call();
            return End::Open;
        };
        let call = match target {
            Target::Throw => self.prepare_throw(),
            _ => self.prepare_call(target),
        };
        match call {
            Some(call) => self.try_prepared_call(&call),
            None => End::Open,
        }
    }

    /// Makes a `try_call` of these parts; the callee has the convention `tail`.
    pub(super) fn try_prepared_call(&mut self, call: &Call) -> End {
        let names_blocks = self.plan.features.has(Feature::HandlerAddresses);
        if names_blocks && self.func.layout.entry_block() == Some(self.block) {
            // No instruction may name the entry block.
            let block = self.block_with(&[]);
            self.at().ins().jump(block, &[]);
            self.start(block);
        }
        self.joined(|body, label| {
            let results = call.signature.returns.iter();
            let results: Vec<Type> = results.map(|param| param.value_type).collect();
            let normal = body.block_with(&results);
            let args = (0..results.len()).map(|index| BlockArg::TryCallRet(index as u32));
            let args: Vec<BlockArg> = args.collect();
            let normal_edge = body.func.dfg.block_call(normal, &args);

            let mut arms: Vec<Block> = vec![normal];
            let mut items = Vec::new();
            if body.plan.features.has(Feature::LongLists) && body.choices.chance(48) {
                // These tags are never thrown.
                for tag in 0..1 + body.choices.below(40) {
                    let tag = ExceptionTag::from_u32((TAGS + tag) as u32);
                    items.push(ExceptionTableItem::Tag(tag, body.handler(&mut arms)));
                }
            }
            for _ in 0..body.choices.below(4) {
                let item = match body.choices.below(8) {
                    6 => {
                        let context = body.value(types::I64);
                        ExceptionTableItem::Context(context)
                    }
                    7 => {
                        items.push(ExceptionTableItem::Default(body.handler(&mut arms)));
                        break;
                    }
                    choice => {
                        let tag = ExceptionTag::from_u32((choice % TAGS) as u32);
                        ExceptionTableItem::Tag(tag, body.handler(&mut arms))
                    }
                };
                items.push(item);
            }
            body.note_handlers(&items);
            let signature = body.func.dfg.ext_funcs[call.func_ref].signature;
            let table = ExceptionTableData::new(signature, normal_edge, items);
            let table = body.func.dfg.exception_tables.push(table);
            let inst = match call.address {
                None => body.at().ins().try_call(call.func_ref, &call.args, table),
                Some(address) => {
                    let mut cursor = body.at();
                    cursor.ins().try_call_indirect(address, &call.args, table)
                }
            };
            body.annotate_call(inst);
            for arm in arms {
                body.arm(arm, label);
            }
        })
    }

    /// Notes the handlers of the call that will end the current block, and sometimes takes the
    /// address of one of them before the call.
    fn note_handlers(&mut self, items: &[ExceptionTableItem]) {
        if !self.plan.features.has(Feature::HandlerAddresses) {
            return;
        }
        let is_handler =
            |item: &&ExceptionTableItem| !matches!(item, ExceptionTableItem::Context(_));
        let handlers = items.iter().filter(is_handler).count();
        if handlers == 0 {
            return;
        }
        self.catching.push((self.block, handlers));
        if self.choices.chance(192) {
            self.address_of_handler(self.block, handlers);
        }
    }

    /// Takes the address of a handler of an earlier call.
    pub(super) fn handler_address(&mut self) {
        match self.choices.one_of(&self.catching) {
            Some((block, handlers)) => self.address_of_handler(block, handlers),
            None => self.instruction(),
        }
    }

    /// Takes the address of a handler. It is different each time, so only a part of it is used that
    /// is not: none of its bits.
    fn address_of_handler(&mut self, block: Block, handlers: usize) {
        let number = self.choices.below(handlers) as i64;
        let mut cursor = self.at();
        let address = cursor
            .ins()
            .get_exception_handler_address(types::I64, block, number);
        let none = self.at().ins().iconst(types::I64, 0);
        let value = self.at().ins().band(address, none);
        self.define([value]);
    }

    /// Makes an edge to a handler: an existing one, or a new one among `arms`.
    fn handler(&mut self, arms: &mut Vec<Block>) -> BlockCall {
        let known = arms.len().saturating_sub(1);
        let chosen = self.choices.below(known + 1);
        let block = match arms.get(1 + chosen) {
            Some(&block) => block,
            None => {
                let block = self.block_with(&[types::I64]);
                arms.push(block);
                block
            }
        };
        let payload = match self.choices.below(4) {
            3 => BlockArg::Value(self.value(types::I64)),
            2 => BlockArg::TryCallExn(1),
            _ => BlockArg::TryCallExn(0),
        };
        self.func.dfg.block_call(block, &[payload])
    }

    fn is_catchable(&self, target: Target) -> bool {
        let signature = self.signature_of(target);
        let is_tail = signature.is_some_and(|signature| signature.call_conv == CallConv::Tail);
        is_tail && !self.is_recursion(target)
    }
}
