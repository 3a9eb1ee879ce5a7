//! Calls, direct and through tables.

use super::{
    NULL_CALL, Region, TABLE_OUT_OF_BOUNDS, Translator, WRONG_SIGNATURE, compiled_signature,
};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_inliner_wasm_runtime::{Element, table_offset};
use std::mem::offset_of;

impl Translator<'_, '_, '_> {
    pub(super) fn call(&mut self, function: u32) {
        let params = self.module.signature(function).params.len();
        let arguments = self.arguments(params);
        let reference = self.reference(self.declared.functions[function as usize]);
        let call = self.builder.ins().call(reference, &arguments);
        self.stack.extend(self.builder.inst_results(call));
    }

    /// Returns the context and the operands of a call.
    fn arguments(&mut self, params: usize) -> Vec<Value> {
        let mut arguments = vec![self.context];
        arguments.extend(self.pop_many(params));
        arguments
    }

    pub(super) fn call_indirect(&mut self, ty: u32, table: u32) {
        let index = self.pop();
        let element = self.element(table, index);
        let flags = self.flags(Region::Table);
        let type_id = self.builder.ins().load(
            types::I64,
            flags,
            element,
            offset_of!(Element, type_id) as i32,
        );
        let expected = i64::from(self.module.type_ids[ty as usize]);
        let same = self
            .builder
            .ins()
            .icmp_imm_s(IntCC::Equal, type_id, expected);
        let (right, wrong) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(wrong);
        self.builder.ins().brif(same, right, &[], wrong, &[]);
        self.builder.seal_block(right);
        self.builder.seal_block(wrong);
        self.builder.switch_to_block(wrong);
        self.builder.ins().trapz(type_id, NULL_CALL);
        self.builder.ins().trap(WRONG_SIGNATURE);

        self.builder.switch_to_block(right);
        let code =
            self.builder
                .ins()
                .load(types::I64, flags, element, offset_of!(Element, code) as i32);
        let signature = &self.module.types[ty as usize];
        let params = signature.params.len();
        let signature = self.builder.import_signature(compiled_signature(signature));
        let arguments = self.arguments(params);
        let call = self
            .builder
            .ins()
            .call_indirect(signature, code, &arguments);
        self.stack.extend(self.builder.inst_results(call));
    }

    /// Returns the address of an element, which must be in the table.
    fn element(&mut self, table: u32, index: Value) -> Value {
        let len = i64::from(self.module.tables[table as usize]);
        let outside = self
            .builder
            .ins()
            .icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.builder.ins().trapnz(outside, TABLE_OUT_OF_BOUNDS);
        let flags = self.flags(Region::Context);
        let flags = flags.with_readonly().with_can_move();
        let base = self
            .builder
            .ins()
            .load(types::I64, flags, self.context, table_offset(table));
        let index = self.builder.ins().uextend(types::I64, index);
        let offset = self
            .builder
            .ins()
            .imul_imm_s(index, size_of::<Element>() as i64);
        self.builder.ins().iadd(base, offset)
    }
}
