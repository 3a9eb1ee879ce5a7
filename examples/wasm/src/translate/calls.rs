//! Calls, direct and through tables, and returns.

use super::{
    NULL_CALL, Region, TABLE_OUT_OF_BOUNDS, Translator, WRONG_SIGNATURE, clif_type,
    compiled_signature,
};
use crate::parse::{ParsedModule, Signature};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Inst, InstBuilder, Value, types};
use cranelift_frontend::FunctionBuilder;
use cranelift_inliner_wasm_runtime::{Element, REGISTER_RESULTS, result_offset, table_offset};
use std::mem::offset_of;

/// Returns how many results of a function are in the context, and not in registers.
pub(crate) fn further_results(signature: &Signature) -> usize {
    signature.results.len().saturating_sub(REGISTER_RESULTS)
}

/// Returns where in the context these results are: those of all functions in the same place, since
/// each is read right after the call.
fn result_offsets(module: &ParsedModule<'_>, signature: &Signature) -> impl Iterator<Item = i32> {
    let (tables, globals) = (module.tables.len(), module.globals.len());
    let results = 0..further_results(signature);
    results.map(move |result| result_offset(tables, globals, result))
}

/// Returns all results of a call, given those in registers.
pub(crate) fn call_results(
    module: &ParsedModule<'_>,
    signature: &Signature,
    builder: &mut FunctionBuilder<'_>,
    context: Value,
    in_registers: &[Value],
) -> Vec<Value> {
    let mut results = in_registers.to_vec();
    let further = signature.results.iter().skip(REGISTER_RESULTS);
    for (&ty, offset) in further.zip(result_offsets(module, signature)) {
        let flags = Region::Context.flags(builder.func);
        let result = builder.ins().load(clif_type(ty), flags, context, offset);
        results.push(result);
    }
    results
}

impl Translator<'_, '_, '_> {
    pub(super) fn return_values(&mut self, values: &[Value]) {
        let further = values.iter().skip(REGISTER_RESULTS);
        for (&value, offset) in further.zip(result_offsets(self.module, self.signature)) {
            let flags = self.flags(Region::Context);
            self.builder.ins().store(flags, value, self.context, offset);
        }
        let in_registers = &values[..values.len().min(REGISTER_RESULTS)];
        self.builder.ins().return_(in_registers);
    }

    fn push_results(&mut self, signature: &Signature, call: Inst) {
        let in_registers = self.builder.inst_results(call).to_vec();
        let (builder, context) = (&mut self.builder, self.context);
        let results = call_results(self.module, signature, builder, context, &in_registers);
        self.stack.extend(results);
    }

    pub(super) fn call(&mut self, function: u32) {
        let signature = self.module.signature(function);
        let arguments = self.arguments(signature.params.len());
        let reference = self.reference(self.declared.functions[function as usize]);
        let call = self.builder.ins().call(reference, &arguments);
        self.tag(call);
        self.push_results(signature, call);
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
        let module = self.module;
        let signature = &module.types[ty as usize];
        let arguments = self.arguments(signature.params.len());
        let compiled = self.builder.import_signature(compiled_signature(signature));
        let call = self.builder.ins().call_indirect(compiled, code, &arguments);
        self.tag(call);
        self.push_results(signature, call);
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
