//! Which instructions an operator becomes.

use super::Translator;
use crate::error::{Result, unsupported};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Opcode, Type, Value, types};
use types::{F32, F64, I8, I16, I32, I64};
use wasmparser::Operator as Op;

/// Returns the name of the host function that does an operator's work.
pub(crate) fn host_function(operator: &Op<'_>) -> Option<&'static str> {
    Some(match operator {
        Op::MemoryGrow { .. } => "memory_grow",
        Op::MemoryCopy { .. } => "memory_copy",
        Op::MemoryFill { .. } => "memory_fill",
        Op::MemoryInit { .. } => "memory_init",
        Op::DataDrop { .. } => "data_drop",
        Op::TableInit { .. } => "table_init",
        Op::TableCopy { .. } => "table_copy",
        Op::ElemDrop { .. } => "elements_drop",
        _ => return None,
    })
}

impl Translator<'_, '_, '_> {
    pub(super) fn operator(&mut self, operator: &Op<'_>, offset: u64) -> Result<()> {
        match operator {
            Op::Else => self.begin_else(),
            Op::End => self.end(),
            Op::Block { .. } | Op::Loop { .. } | Op::If { .. } if !self.reachable => {
                self.begin_dead();
            }
            _ if !self.reachable => {}
            Op::Block { blockty } => self.begin_block(*blockty, offset)?,
            Op::Loop { blockty } => self.begin_loop(*blockty, offset)?,
            Op::If { blockty } => self.begin_if(*blockty, offset)?,
            Op::Br { relative_depth } => self.br(*relative_depth),
            Op::BrIf { relative_depth } => self.br_if(*relative_depth),
            Op::BrTable { targets } => self.br_table(targets)?,
            Op::Return => self.return_(),
            Op::Unreachable => self.unreachable(),
            Op::Nop => {}
            Op::Call { function_index } => self.call(*function_index),
            Op::CallIndirect {
                type_index,
                table_index,
            } => self.call_indirect(*type_index, *table_index),
            Op::Drop => {
                self.pop();
            }
            Op::Select | Op::TypedSelect { .. } => {
                let (condition, other, value) = (self.pop(), self.pop(), self.pop());
                let selected = self.builder.ins().select(condition, value, other);
                self.push(selected);
            }
            Op::LocalGet { local_index } => {
                let value = self.builder.use_var(self.locals[*local_index as usize]);
                self.push(value);
            }
            Op::LocalSet { local_index } => {
                let value = self.pop();
                self.builder
                    .def_var(self.locals[*local_index as usize], value);
                self.keep_local(*local_index, value);
            }
            Op::LocalTee { local_index } => {
                let value = self.pop();
                self.builder
                    .def_var(self.locals[*local_index as usize], value);
                self.keep_local(*local_index, value);
                self.push(value);
            }
            Op::GlobalGet { global_index } => self.global_get(*global_index),
            Op::GlobalSet { global_index } => self.global_set(*global_index),
            Op::I32Const { value } => self.constant(I32, (*value as u32).into()),
            Op::I64Const { value } => self.constant(I64, *value),
            Op::F32Const { value } => {
                let value = f32::from_bits(value.bits());
                let value = self.builder.ins().f32const(value);
                self.push(value);
            }
            Op::F64Const { value } => {
                let value = f64::from_bits(value.bits());
                let value = self.builder.ins().f64const(value);
                self.push(value);
            }
            _ => {
                let done = self.memory_operator(operator)?
                    || self.comparison(operator)
                    || self.arithmetic(operator)
                    || self.conversion(operator);
                if !done {
                    let name = format!("{operator:?}");
                    let name = name.split_whitespace().next().unwrap_or_default();
                    return unsupported(format!("instructions like `{name}`"), offset);
                }
            }
        }
        Ok(())
    }

    fn constant(&mut self, ty: Type, number: i64) {
        let value = self.builder.ins().iconst(ty, number);
        self.push(value);
    }

    fn memory_operator(&mut self, operator: &Op<'_>) -> Result<bool> {
        let host = host_function(operator).unwrap_or_default();
        match operator {
            Op::I32Load { memarg } => self.load(Opcode::Load, I32, memarg),
            Op::I64Load { memarg } => self.load(Opcode::Load, I64, memarg),
            Op::F32Load { memarg } => self.load(Opcode::Load, F32, memarg),
            Op::F64Load { memarg } => self.load(Opcode::Load, F64, memarg),
            Op::I32Load8S { memarg } => self.load(Opcode::Sload8, I32, memarg),
            Op::I32Load8U { memarg } => self.load(Opcode::Uload8, I32, memarg),
            Op::I32Load16S { memarg } => self.load(Opcode::Sload16, I32, memarg),
            Op::I32Load16U { memarg } => self.load(Opcode::Uload16, I32, memarg),
            Op::I64Load8S { memarg } => self.load(Opcode::Sload8, I64, memarg),
            Op::I64Load8U { memarg } => self.load(Opcode::Uload8, I64, memarg),
            Op::I64Load16S { memarg } => self.load(Opcode::Sload16, I64, memarg),
            Op::I64Load16U { memarg } => self.load(Opcode::Uload16, I64, memarg),
            Op::I64Load32S { memarg } => self.load(Opcode::Sload32, I64, memarg),
            Op::I64Load32U { memarg } => self.load(Opcode::Uload32, I64, memarg),
            Op::I32Store { memarg }
            | Op::I64Store { memarg }
            | Op::F32Store { memarg }
            | Op::F64Store { memarg } => self.store(Opcode::Store, memarg),
            Op::I32Store8 { memarg } | Op::I64Store8 { memarg } => {
                self.store(Opcode::Istore8, memarg);
            }
            Op::I32Store16 { memarg } | Op::I64Store16 { memarg } => {
                self.store(Opcode::Istore16, memarg);
            }
            Op::I64Store32 { memarg } => self.store(Opcode::Istore32, memarg),
            Op::MemorySize { .. } => self.memory_size(),
            Op::MemoryGrow { .. } => self.memory_grow(host)?,
            Op::MemoryCopy { .. } | Op::MemoryFill { .. } => self.memory_range(host, &[])?,
            Op::MemoryInit { data_index, .. } => self.memory_range(host, &[*data_index])?,
            Op::DataDrop { data_index } => self.drop_segment(host, *data_index)?,
            Op::TableInit { elem_index, table } => {
                self.table_range(host, &[*table, *elem_index])?;
            }
            Op::TableCopy {
                dst_table,
                src_table,
            } => self.table_range(host, &[*dst_table, *src_table])?,
            Op::ElemDrop { elem_index } => self.drop_segment(host, *elem_index)?,
            Op::TableSize { table } => {
                self.constant(I32, self.module.tables[*table as usize].into());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn comparison(&mut self, operator: &Op<'_>) -> bool {
        use FloatCC as F;
        use IntCC as C;
        match operator {
            Op::I32Eqz | Op::I64Eqz => {
                let value = self.pop();
                let result = self.builder.ins().icmp_imm_s(C::Equal, value, 0);
                self.push_condition(result);
            }
            Op::I32Eq | Op::I64Eq => self.compare(C::Equal),
            Op::I32Ne | Op::I64Ne => self.compare(C::NotEqual),
            Op::I32LtS | Op::I64LtS => self.compare(C::SignedLessThan),
            Op::I32LtU | Op::I64LtU => self.compare(C::UnsignedLessThan),
            Op::I32GtS | Op::I64GtS => self.compare(C::SignedGreaterThan),
            Op::I32GtU | Op::I64GtU => self.compare(C::UnsignedGreaterThan),
            Op::I32LeS | Op::I64LeS => self.compare(C::SignedLessThanOrEqual),
            Op::I32LeU | Op::I64LeU => self.compare(C::UnsignedLessThanOrEqual),
            Op::I32GeS | Op::I64GeS => self.compare(C::SignedGreaterThanOrEqual),
            Op::I32GeU | Op::I64GeU => self.compare(C::UnsignedGreaterThanOrEqual),
            Op::F32Eq | Op::F64Eq => self.compare_floats(F::Equal),
            Op::F32Ne | Op::F64Ne => self.compare_floats(F::NotEqual),
            Op::F32Lt | Op::F64Lt => self.compare_floats(F::LessThan),
            Op::F32Gt | Op::F64Gt => self.compare_floats(F::GreaterThan),
            Op::F32Le | Op::F64Le => self.compare_floats(F::LessThanOrEqual),
            Op::F32Ge | Op::F64Ge => self.compare_floats(F::GreaterThanOrEqual),
            _ => return false,
        }
        true
    }

    fn compare(&mut self, condition: IntCC) {
        let (b, a) = (self.pop(), self.pop());
        let result = self.builder.ins().icmp(condition, a, b);
        self.push_condition(result);
    }

    fn compare_floats(&mut self, condition: FloatCC) {
        let (b, a) = (self.pop(), self.pop());
        let result = self.builder.ins().fcmp(condition, a, b);
        self.push_condition(result);
    }

    fn push_condition(&mut self, condition: Value) {
        let value = self.builder.ins().uextend(I32, condition);
        self.push(value);
    }

    fn arithmetic(&mut self, operator: &Op<'_>) -> bool {
        use Opcode as O;
        let opcode = match operator {
            Op::I32Add | Op::I64Add => O::Iadd,
            Op::I32Sub | Op::I64Sub => O::Isub,
            Op::I32Mul | Op::I64Mul => O::Imul,
            Op::I32DivS | Op::I64DivS => O::Sdiv,
            Op::I32DivU | Op::I64DivU => O::Udiv,
            Op::I32RemS | Op::I64RemS => O::Srem,
            Op::I32RemU | Op::I64RemU => O::Urem,
            Op::I32And | Op::I64And => O::Band,
            Op::I32Or | Op::I64Or => O::Bor,
            Op::I32Xor | Op::I64Xor => O::Bxor,
            Op::I32Shl | Op::I64Shl => O::Ishl,
            Op::I32ShrS | Op::I64ShrS => O::Sshr,
            Op::I32ShrU | Op::I64ShrU => O::Ushr,
            Op::I32Rotl | Op::I64Rotl => O::Rotl,
            Op::I32Rotr | Op::I64Rotr => O::Rotr,
            Op::F32Add | Op::F64Add => O::Fadd,
            Op::F32Sub | Op::F64Sub => O::Fsub,
            Op::F32Mul | Op::F64Mul => O::Fmul,
            Op::F32Div | Op::F64Div => O::Fdiv,
            Op::F32Min | Op::F64Min => O::Fmin,
            Op::F32Max | Op::F64Max => O::Fmax,
            Op::F32Copysign | Op::F64Copysign => O::Fcopysign,
            Op::I32Clz | Op::I64Clz => O::Clz,
            Op::I32Ctz | Op::I64Ctz => O::Ctz,
            Op::I32Popcnt | Op::I64Popcnt => O::Popcnt,
            Op::F32Abs | Op::F64Abs => O::Fabs,
            Op::F32Neg | Op::F64Neg => O::Fneg,
            Op::F32Sqrt | Op::F64Sqrt => O::Sqrt,
            Op::F32Ceil | Op::F64Ceil => O::Ceil,
            Op::F32Floor | Op::F64Floor => O::Floor,
            Op::F32Trunc | Op::F64Trunc => O::Trunc,
            Op::F32Nearest | Op::F64Nearest => O::Nearest,
            _ => return false,
        };
        let unary = matches!(
            opcode,
            O::Clz | O::Ctz | O::Popcnt | O::Fabs | O::Fneg | O::Sqrt
        ) || matches!(opcode, O::Ceil | O::Floor | O::Trunc | O::Nearest);
        let last = self.pop();
        let ty = self.builder.func.dfg.value_type(last);
        let (inst, dfg) = if unary {
            self.builder.ins().Unary(opcode, ty, last)
        } else {
            let first = self.pop();
            self.builder.ins().Binary(opcode, ty, first, last)
        };
        let result = dfg.first_result(inst);
        self.push(result);
        true
    }

    fn conversion(&mut self, operator: &Op<'_>) -> bool {
        use Opcode as O;
        let (opcode, ty) = match operator {
            Op::I32WrapI64 => (O::Ireduce, I32),
            Op::I64ExtendI32S => (O::Sextend, I64),
            Op::I64ExtendI32U => (O::Uextend, I64),
            Op::I32TruncF32S | Op::I32TruncF64S => (O::FcvtToSint, I32),
            Op::I32TruncF32U | Op::I32TruncF64U => (O::FcvtToUint, I32),
            Op::I64TruncF32S | Op::I64TruncF64S => (O::FcvtToSint, I64),
            Op::I64TruncF32U | Op::I64TruncF64U => (O::FcvtToUint, I64),
            Op::I32TruncSatF32S | Op::I32TruncSatF64S => (O::FcvtToSintSat, I32),
            Op::I32TruncSatF32U | Op::I32TruncSatF64U => (O::FcvtToUintSat, I32),
            Op::I64TruncSatF32S | Op::I64TruncSatF64S => (O::FcvtToSintSat, I64),
            Op::I64TruncSatF32U | Op::I64TruncSatF64U => (O::FcvtToUintSat, I64),
            Op::F32ConvertI32S | Op::F32ConvertI64S => (O::FcvtFromSint, F32),
            Op::F32ConvertI32U | Op::F32ConvertI64U => (O::FcvtFromUint, F32),
            Op::F64ConvertI32S | Op::F64ConvertI64S => (O::FcvtFromSint, F64),
            Op::F64ConvertI32U | Op::F64ConvertI64U => (O::FcvtFromUint, F64),
            Op::F32DemoteF64 => (O::Fdemote, F32),
            Op::F64PromoteF32 => (O::Fpromote, F64),
            Op::I32Extend8S => return self.extend(I8, I32),
            Op::I32Extend16S => return self.extend(I16, I32),
            Op::I64Extend8S => return self.extend(I8, I64),
            Op::I64Extend16S => return self.extend(I16, I64),
            Op::I64Extend32S => return self.extend(I32, I64),
            Op::I32ReinterpretF32 => return self.reinterpret(I32),
            Op::I64ReinterpretF64 => return self.reinterpret(I64),
            Op::F32ReinterpretI32 => return self.reinterpret(F32),
            Op::F64ReinterpretI64 => return self.reinterpret(F64),
            _ => return false,
        };
        let value = self.pop();
        let (inst, dfg) = self.builder.ins().Unary(opcode, ty, value);
        let result = dfg.first_result(inst);
        self.push(result);
        true
    }

    fn extend(&mut self, from: Type, to: Type) -> bool {
        let value = self.pop();
        let value = self.builder.ins().ireduce(from, value);
        let value = self.builder.ins().sextend(to, value);
        self.push(value);
        true
    }

    fn reinterpret(&mut self, ty: Type) -> bool {
        let value = self.pop();
        let value = self.builder.ins().bitcast(ty, MemFlagsData::new(), value);
        self.push(value);
        true
    }
}
