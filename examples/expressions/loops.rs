//! Loops over ranges, over variables and over iterators.

use super::compiler::{Compiler, Typed};
use super::syntax::{Expression, Fold, Loop, Type};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use cranelift_module::{Module, ModuleError};

impl<M: Module> Compiler<'_, M> {
    pub(super) fn sum(
        &mut self,
        name: &str,
        parts: &[Expression; 3],
    ) -> Result<Value, ModuleError> {
        let [from, to, body] = parts;
        let (from, to) = (self.integer(from)?, self.integer(to)?);
        let [head, turn, done] = [(); 3].map(|()| self.builder.create_block());
        let [variable, total] = [(); 2].map(|()| self.builder.append_block_param(head, types::I64));
        let zero = self.builder.ins().iconst(types::I64, 0);
        self.builder.ins().jump(head, &[from.into(), zero.into()]);

        self.builder.switch_to_block(head);
        let less = IntCC::SignedLessThan;
        let goes_on = self.builder.ins().icmp(less, variable, to);
        self.builder.ins().brif(goes_on, turn, &[], done, &[]);

        self.builder.switch_to_block(turn);
        let term = self.with(name, Typed::integer(variable), body)?;
        self.expect(&term, &Type::Integer)?;
        let next_total = self.builder.ins().iadd(total, term.value);
        let next = self.builder.ins().iadd_imm_s(variable, 1);
        self.builder
            .ins()
            .jump(head, &[next.into(), next_total.into()]);

        self.builder.switch_to_block(done);
        Ok(total)
    }

    pub(super) fn repetition(&mut self, repetition: &Loop) -> Result<Value, ModuleError> {
        let [head, turn, done] = [(); 3].map(|()| self.builder.create_block());
        let mut starts: Vec<BlockArg> = Vec::new();
        for (_, start) in &repetition.variables {
            starts.push(self.integer(start)?.into());
        }
        self.builder.ins().jump(head, &starts);

        self.builder.switch_to_block(head);
        let outside = self.variables.len();
        for (name, _) in &repetition.variables {
            let variable = self.builder.append_block_param(head, types::I64);
            self.variables
                .push((name.clone(), Typed::integer(variable)));
        }
        let condition = self.integer(&repetition.condition)?;
        self.builder.ins().brif(condition, turn, &[], done, &[]);

        self.builder.switch_to_block(turn);
        let mut next: Vec<BlockArg> = Vec::new();
        for value in &repetition.next {
            next.push(self.integer(value)?.into());
        }
        self.builder.ins().jump(head, &next);

        self.builder.switch_to_block(done);
        let result = self.integer(&repetition.result);
        self.variables.truncate(outside);
        result
    }

    /// Calls the iterator's `next` until it returns nothing.
    pub(super) fn fold(&mut self, fold: &Fold) -> Result<Value, ModuleError> {
        let iterator = self.value(&fold.iterator)?;
        let Type::Record(record) = &iterator.ty else {
            return Err(ModuleError::Undeclared(format!(
                "next of {:?}",
                iterator.ty
            )));
        };
        let next = format!("{record}_next");
        let start = self.integer(&fold.start)?;
        let [head, turn, done] = [(); 3].map(|()| self.builder.create_block());
        let total = self.builder.append_block_param(head, types::I64);
        self.builder.ins().jump(head, &[start.into()]);

        self.builder.switch_to_block(head);
        let option = self.call_function(&next, vec![iterator.value])?;
        self.expect(&option, &Type::Option)?;
        let is_some = self.word(option.value, 0);
        self.builder.ins().brif(is_some, turn, &[], done, &[]);

        self.builder.switch_to_block(turn);
        let item = Typed::integer(self.word(option.value, 1));
        self.variables
            .push((fold.total.clone(), Typed::integer(total)));
        let next_total = self.with(&fold.item, item, &fold.body);
        self.variables.pop();
        let next_total = next_total?;
        self.expect(&next_total, &Type::Integer)?;
        self.builder.ins().jump(head, &[next_total.value.into()]);

        self.builder.switch_to_block(done);
        Ok(total)
    }
}
