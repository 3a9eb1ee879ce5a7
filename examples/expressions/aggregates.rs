//! Records, options and tables: words in memory.

use super::compiler::{Compiler, Typed};
use super::syntax::{Expression, Record, Type};
use cranelift_codegen::ir::{
    AbiParam, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value, types,
};
use cranelift_module::{Module, ModuleError};

const WORD: i32 = 8;

impl<M: Module> Compiler<'_, M> {
    /// Returns the address of a new slot.
    pub(super) fn slot(&mut self, words: u32) -> Value {
        let size = words * WORD.unsigned_abs();
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3);
        let slot = self.builder.create_sized_stack_slot(slot);
        self.builder.ins().stack_addr(types::I64, slot, 0)
    }

    pub(super) fn word(&mut self, address: Value, index: i32) -> Value {
        let flags = MemFlagsData::trusted();
        self.builder
            .ins()
            .load(types::I64, flags, address, index * WORD)
    }

    pub(super) fn set_word(&mut self, address: Value, index: i32, value: Value) {
        let flags = MemFlagsData::trusted();
        self.builder
            .ins()
            .store(flags, value, address, index * WORD);
    }

    /// Returns the size of an aggregate.
    pub(super) fn words(&self, ty: &Type) -> Result<u32, ModuleError> {
        match ty {
            Type::Record(name) => {
                let fields = self.declared_record(name)?.fields.len();
                u32::try_from(fields).map_err(|_| ModuleError::Undeclared(name.clone()))
            }
            Type::Option => Ok(2),
            Type::Integer | Type::Closure => Ok(1),
        }
    }

    /// Copies an aggregate word by word.
    pub(super) fn copy(&mut self, from: &Typed, to: Value) -> Result<(), ModuleError> {
        for index in 0..self.words(&from.ty)?.cast_signed() {
            let word = self.word(from.value, index);
            self.set_word(to, index, word);
        }
        Ok(())
    }

    fn declared_record(&self, name: &str) -> Result<&Record, ModuleError> {
        let mut records = self.declared.program.records.iter();
        let record = records.find(|record| record.name == name);
        record.ok_or_else(|| ModuleError::Undeclared(name.to_owned()))
    }

    fn place(&self, record: &Type, field: &str) -> Result<(i32, Type), ModuleError> {
        let undeclared = || ModuleError::Undeclared(format!("{field} of {record:?}"));
        let Type::Record(name) = record else {
            return Err(undeclared());
        };
        let fields = (0..).zip(&self.declared_record(name)?.fields);
        let mut places = fields.filter(|(_, (name, _))| name == field);
        let (index, (_, ty)) = places.next().ok_or_else(undeclared)?;
        Ok((index, ty.clone()))
    }

    pub(super) fn record(
        &mut self,
        name: &str,
        fields: &[(String, Expression)],
    ) -> Result<Typed, ModuleError> {
        let ty = Type::Record(name.to_owned());
        let value = self.slot(self.words(&ty)?);
        for (field, expression) in fields {
            let (index, field_type) = self.place(&ty, field)?;
            let field = self.value(expression)?;
            self.expect(&field, &field_type)?;
            self.set_word(value, index, field.value);
        }
        Ok(Typed { value, ty })
    }

    pub(super) fn field(&mut self, record: &Expression, field: &str) -> Result<Typed, ModuleError> {
        let record = self.value(record)?;
        let (index, ty) = self.place(&record.ty, field)?;
        let value = self.word(record.value, index);
        Ok(Typed { value, ty })
    }

    pub(super) fn set(
        &mut self,
        field: &str,
        parts: &[Expression; 3],
    ) -> Result<Typed, ModuleError> {
        let [record, value, rest] = parts;
        let record = self.value(record)?;
        let (index, ty) = self.place(&record.ty, field)?;
        let value = self.value(value)?;
        self.expect(&value, &ty)?;
        self.set_word(record.value, index, value.value);
        self.value(rest)
    }

    pub(super) fn option(&mut self, some: Option<&Expression>) -> Result<Typed, ModuleError> {
        let content = some.map(|some| self.integer(some)).transpose()?;
        let option = self.slot(2);
        let tag = i64::from(content.is_some());
        let tag = self.builder.ins().iconst(types::I64, tag);
        self.set_word(option, 0, tag);
        if let Some(content) = content {
            self.set_word(option, 1, content);
        }
        Ok(Typed {
            value: option,
            ty: Type::Option,
        })
    }

    pub(super) fn match_option(
        &mut self,
        name: &str,
        parts: &[Expression; 3],
    ) -> Result<Typed, ModuleError> {
        let [option, some, none] = parts;
        let option = self.value(option)?;
        self.expect(&option, &Type::Option)?;
        let is_some = self.word(option.value, 0);
        self.branch(
            is_some,
            |this| {
                let content = Typed::integer(this.word(option.value, 1));
                this.with(name, content, some)
            },
            |this| this.value(none),
        )
    }

    pub(super) fn call_in_table(
        &mut self,
        table: &str,
        index: Value,
        arguments: &[Value],
    ) -> Result<Value, ModuleError> {
        let undeclared = || ModuleError::Undeclared(table.to_owned());
        let id = self.declared.tables.get(table).ok_or_else(undeclared)?;
        let data = self.module.declare_data_in_func(*id, self.builder.func);
        let table = self.builder.ins().symbol_value(types::I64, data);
        let offset = self.builder.ins().imul_imm_s(index, i64::from(WORD));
        let entry = self.builder.ins().iadd(table, offset);
        let flags = MemFlagsData::trusted().with_readonly();
        let code = self.builder.ins().load(types::I64, flags, entry, 0);
        Ok(self.call_address(code, arguments))
    }

    pub(super) fn call_address(&mut self, code: Value, arguments: &[Value]) -> Value {
        let mut signature = self.module.make_signature();
        signature.params = vec![AbiParam::new(types::I64); arguments.len()];
        signature.returns = vec![AbiParam::new(types::I64)];
        let signature = self.builder.import_signature(signature);
        let call = self.builder.ins().call_indirect(signature, code, arguments);
        self.builder.inst_results(call)[0]
    }
}
