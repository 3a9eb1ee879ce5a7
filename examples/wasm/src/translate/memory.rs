//! Loads and stores, globals, and instructions on whole ranges.

use super::{Region, TABLE_OUT_OF_BOUNDS, Translator, clif_type};
use crate::error::Result;
use cranelift_codegen::ir::{InstBuilder, Opcode, TrapCode, Type, Value, types};
use cranelift_inliner_wasm_runtime::{Context, global_offset};
use std::mem::offset_of;
use wasmparser::MemArg;

impl Translator<'_, '_, '_> {
    /// Returns the address of an access and the offset to add to it. Guard pages are the bounds
    /// check.
    fn address(&mut self, access: &MemArg) -> (Value, i32) {
        let index = self.pop();
        // Cranelift loads it once in a function.
        let flags = self.flags(Region::Context).with_readonly().with_can_move();
        let field = offset_of!(Context, memory) as i32;
        let base = self
            .builder
            .ins()
            .load(types::I64, flags, self.context, field);
        let index = self.builder.ins().uextend(types::I64, index);
        let address = self.builder.ins().iadd(base, index);
        match i32::try_from(access.offset) {
            Ok(offset) => (address, offset),
            Err(_) => {
                let offset = access.offset as i64;
                (self.builder.ins().iadd_imm_s(address, offset), 0)
            }
        }
    }

    pub(super) fn load(&mut self, opcode: Opcode, ty: Type, access: &MemArg) {
        let (address, offset) = self.address(access);
        let flags = self.flags(Region::Memory);
        let flags = self.builder.func.dfg.mem_flags.insert_unchecked(flags);
        let (inst, dfg) = self
            .builder
            .ins()
            .Load(opcode, ty, flags, offset.into(), address);
        let result = dfg.first_result(inst);
        self.push(result);
    }

    pub(super) fn store(&mut self, opcode: Opcode, access: &MemArg) {
        let value = self.pop();
        let ty = self.builder.func.dfg.value_type(value);
        let (address, offset) = self.address(access);
        let flags = self.flags(Region::Memory);
        let flags = self.builder.func.dfg.mem_flags.insert_unchecked(flags);
        self.builder
            .ins()
            .Store(opcode, ty, flags, offset.into(), value, address);
    }

    pub(super) fn global_get(&mut self, index: u32) {
        let global = &self.module.globals[index as usize];
        let ty = clif_type(global.ty);
        let value = if global.mutable {
            let flags = self.flags(Region::Globals);
            let offset = global_offset(self.module.tables.len(), index);
            self.builder.ins().load(ty, flags, self.context, offset)
        } else {
            let bits = global.bits;
            match ty {
                types::F32 => self.builder.ins().f32const(f32::from_bits(bits as u32)),
                types::F64 => self.builder.ins().f64const(f64::from_bits(bits)),
                types::I32 => self.builder.ins().iconst(ty, i64::from(bits as u32)),
                _ => self.builder.ins().iconst(ty, bits as i64),
            }
        };
        self.push(value);
    }

    pub(super) fn global_set(&mut self, index: u32) {
        let value = self.pop();
        let flags = self.flags(Region::Globals);
        let offset = global_offset(self.module.tables.len(), index);
        self.builder.ins().store(flags, value, self.context, offset);
    }

    pub(super) fn memory_size(&mut self) {
        let flags = self.flags(Region::Context);
        let offset = offset_of!(Context, memory_pages) as i32;
        let pages = self
            .builder
            .ins()
            .load(types::I32, flags, self.context, offset);
        self.push(pages);
    }

    pub(super) fn memory_grow(&mut self, name: &str) -> Result<()> {
        let pages = self.pop();
        let before = self.call_host(name, &[pages])?;
        self.push(before);
        Ok(())
    }

    /// Returns an instruction on a range of memory, done by the host: `immediates` come before its
    /// three operands.
    pub(super) fn memory_range(&mut self, name: &str, immediates: &[u32]) -> Result<()> {
        self.range(name, immediates, TrapCode::HEAP_OUT_OF_BOUNDS)
    }

    /// Like [`Self::memory_range`], but for tables.
    pub(super) fn table_range(&mut self, name: &str, immediates: &[u32]) -> Result<()> {
        self.range(name, immediates, TABLE_OUT_OF_BOUNDS)
    }

    fn range(&mut self, name: &str, immediates: &[u32], code: TrapCode) -> Result<()> {
        let operands = self.pop_many(3);
        let mut arguments = self.constants(immediates);
        arguments.extend(operands);
        let done = self.call_host(name, &arguments)?;
        self.builder.ins().trapz(done, code);
        Ok(())
    }

    /// Drops a segment.
    pub(super) fn drop_segment(&mut self, name: &str, segment: u32) -> Result<()> {
        let arguments = self.constants(&[segment]);
        self.call_host(name, &arguments)?;
        Ok(())
    }

    fn constants(&mut self, numbers: &[u32]) -> Vec<Value> {
        let numbers = numbers.iter().map(|&number| i64::from(number));
        numbers
            .map(|number| self.builder.ins().iconst(types::I32, number))
            .collect()
    }
}
