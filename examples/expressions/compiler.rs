//! From functions to definitions in a module, of whatever kind.

use super::syntax::{Expression, Function, Operator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Value, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, Module, ModuleError};
use std::collections::HashMap;

/// Declares all functions and defines those that have a body. Returns the ids by name.
///
/// # Errors
///
/// What the module says; for a name that means nothing, that it is undeclared.
pub(crate) fn compile<M: Module>(
    functions: &[Function],
    module: &mut M,
) -> Result<HashMap<String, FuncId>, ModuleError> {
    let mut declared = HashMap::new();
    for function in functions {
        let signature = signature(module, function.parameters.len());
        let id = module.declare_function(&function.name, function.linkage, &signature)?;
        declared.insert(function.name.clone(), id);
    }
    let mut context = module.make_context();
    let mut builders = FunctionBuilderContext::new();
    for function in functions {
        let Some(body) = &function.body else { continue };
        context.func.signature = signature(module, function.parameters.len());
        let mut builder = FunctionBuilder::new(&mut context.func, &mut builders);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let arguments = builder.block_params(entry).iter().copied();
        let mut compiler = Compiler {
            variables: function.parameters.iter().cloned().zip(arguments).collect(),
            declared: &declared,
            module,
            builder,
        };
        let result = compiler.value(body)?;
        compiler.builder.ins().return_(&[result]);
        compiler.builder.seal_all_blocks();
        let target = compiler.module.target_config();
        compiler.builder.finalize(target);
        module.define_function(declared[&function.name], &mut context)?;
        module.clear_context(&mut context);
    }
    Ok(declared)
}

fn signature<M: Module>(module: &M, parameters: usize) -> Signature {
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(types::I64); parameters];
    signature.returns = vec![AbiParam::new(types::I64)];
    signature
}

struct Compiler<'a, M> {
    /// The innermost variable of a name comes last.
    variables: Vec<(String, Value)>,
    declared: &'a HashMap<String, FuncId>,
    module: &'a mut M,
    builder: FunctionBuilder<'a>,
}

impl<M: Module> Compiler<'_, M> {
    fn value(&mut self, expression: &Expression) -> Result<Value, ModuleError> {
        Ok(match expression {
            Expression::Number(number) => self.builder.ins().iconst(types::I64, *number),
            Expression::Variable(name) => {
                let mut variables = self.variables.iter().rev();
                let variable = variables.find(|(variable, _)| variable == name);
                variable
                    .ok_or_else(|| ModuleError::Undeclared(name.clone()))?
                    .1
            }
            Expression::Operation(operator, operands) => {
                let [left, right] = &**operands;
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.operation(*operator, left, right)
            }
            Expression::Call(name, arguments) => {
                let arguments = arguments.iter().map(|argument| self.value(argument));
                let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
                let id = self.function(name)?;
                let callee = self.module.declare_func_in_func(id, self.builder.func);
                let call = self.builder.ins().call(callee, &arguments);
                self.builder.inst_results(call)[0]
            }
            Expression::Address(name) => {
                let id = self.function(name)?;
                let function = self.module.declare_func_in_func(id, self.builder.func);
                self.builder.ins().func_addr(types::I64, function)
            }
            Expression::If(parts) => self.choice(parts)?,
            Expression::Let(name, parts) => {
                let [value, body] = &**parts;
                let value = self.value(value)?;
                self.with(name, value, body)?
            }
            Expression::Sum(name, parts) => self.sum(name, parts)?,
        })
    }

    fn function(&self, name: &str) -> Result<FuncId, ModuleError> {
        let id = self.declared.get(name).copied();
        id.ok_or_else(|| ModuleError::Undeclared(name.to_owned()))
    }

    /// The value of `body`, where `name` stands for `value`.
    fn with(&mut self, name: &str, value: Value, body: &Expression) -> Result<Value, ModuleError> {
        self.variables.push((name.to_owned(), value));
        let result = self.value(body);
        self.variables.pop();
        result
    }

    fn operation(&mut self, operator: Operator, left: Value, right: Value) -> Value {
        let ins = self.builder.ins();
        match operator {
            Operator::Add => ins.iadd(left, right),
            Operator::Subtract => ins.isub(left, right),
            Operator::Multiply => ins.imul(left, right),
            Operator::Divide => ins.sdiv(left, right),
            Operator::Remainder => ins.srem(left, right),
            Operator::Compare(condition) => {
                let holds = ins.icmp(condition, left, right);
                self.builder.ins().uextend(types::I64, holds)
            }
        }
    }

    fn choice(&mut self, parts: &[Expression; 3]) -> Result<Value, ModuleError> {
        let [condition, then, otherwise] = parts;
        let condition = self.value(condition)?;
        let [yes, no, join] = [(); 3].map(|()| self.builder.create_block());
        let result = self.builder.append_block_param(join, types::I64);
        self.builder.ins().brif(condition, yes, &[], no, &[]);
        for (block, expression) in [(yes, then), (no, otherwise)] {
            self.builder.switch_to_block(block);
            let value = self.value(expression)?;
            self.builder.ins().jump(join, &[value.into()]);
        }
        self.builder.switch_to_block(join);
        Ok(result)
    }

    fn sum(&mut self, name: &str, parts: &[Expression; 3]) -> Result<Value, ModuleError> {
        let [from, to, body] = parts;
        let (from, to) = (self.value(from)?, self.value(to)?);
        let [head, turn, done] = [(); 3].map(|()| self.builder.create_block());
        let [variable, total] = [(); 2].map(|()| self.builder.append_block_param(head, types::I64));
        let zero = self.builder.ins().iconst(types::I64, 0);
        self.builder.ins().jump(head, &[from.into(), zero.into()]);

        self.builder.switch_to_block(head);
        let less = IntCC::SignedLessThan;
        let goes_on = self.builder.ins().icmp(less, variable, to);
        self.builder.ins().brif(goes_on, turn, &[], done, &[]);

        self.builder.switch_to_block(turn);
        let term = self.with(name, variable, body)?;
        let next_total = self.builder.ins().iadd(total, term);
        let next = self.builder.ins().iadd_imm_s(variable, 1);
        self.builder
            .ins()
            .jump(head, &[next.into(), next_total.into()]);

        self.builder.switch_to_block(done);
        Ok(total)
    }
}
