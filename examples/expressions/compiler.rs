//! Compiles functions to definitions in a module of any kind.

use super::closures::Closure;
use super::syntax::{Expression, Function, Operator, Program, Type};
use cranelift_codegen::ir::{
    AbiParam, Function as Body, InstBuilder, Signature, SourceLoc, Value, types,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use std::collections::HashMap;

/// Declares all functions and defines those that have a body. Returns the ids by name.
///
/// # Errors
///
/// Errors of the module, and [`ModuleError::Undeclared`] for a name, a field or an operation that
/// does not exist.
pub(crate) fn compile<M: Module>(
    program: &Program,
    module: &mut M,
) -> Result<HashMap<String, FuncId>, ModuleError> {
    let mut declared = Declared {
        functions: HashMap::new(),
        tables: HashMap::new(),
        program,
    };
    for function in &program.functions {
        let count = function.parameters.len();
        let signature = signature(module, count, &function.result);
        let id = module.declare_function(&function.name, function.linkage, &signature)?;
        declared
            .functions
            .insert(function.name.clone(), (id, function));
    }
    for table in &program.tables {
        let id = module.declare_data(&table.name, Linkage::Local, false, false)?;
        let mut data = DataDescription::new();
        data.define_zeroinit(8 * table.functions.len());
        data.set_align(8);
        for (offset, name) in (0..).step_by(8).zip(&table.functions) {
            let function = module.declare_func_in_data(declared.function(name)?.0, &mut data);
            data.write_function_addr(offset, function);
        }
        module.define_data(id, &data)?;
        declared.tables.insert(table.name.clone(), id);
    }

    let mut context = module.make_context();
    let mut builders = FunctionBuilderContext::new();
    let mut closures = Vec::new();
    for function in &program.functions {
        let Some(body) = &function.body else { continue };
        context.func.signature = signature(module, function.parameters.len(), &function.result);
        let (func, builders) = (&mut context.func, &mut builders);
        let mut compiler = Compiler::new(&function.name, &declared, module, func, builders);
        compiler.define_function(function, body)?;
        closures.append(&mut compiler.closures);
        compiler.finish();
        module.define_function(declared.function(&function.name)?.0, &mut context)?;
        module.clear_context(&mut context);
    }
    while let Some(closure) = closures.pop() {
        context.func.signature = signature(module, closure.parameters(), &Type::Integer);
        let (func, builders) = (&mut context.func, &mut builders);
        let mut compiler = Compiler::new(closure.name(), &declared, module, func, builders);
        compiler.define_closure(&closure)?;
        closures.append(&mut compiler.closures);
        compiler.finish();
        module.define_function(closure.id(), &mut context)?;
        module.clear_context(&mut context);
    }
    let functions = declared.functions.into_iter();
    Ok(functions.map(|(name, (id, _))| (name, id)).collect())
}

/// Returns the signature of a function. One that returns an aggregate gets its address as the last
/// parameter.
pub(super) fn signature<M: Module>(module: &M, parameters: usize, result: &Type) -> Signature {
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(types::I64); parameters];
    match is_aggregate(result) {
        true => signature.params.push(AbiParam::new(types::I64)),
        false => signature.returns = vec![AbiParam::new(types::I64)],
    }
    signature
}

pub(super) fn is_aggregate(ty: &Type) -> bool {
    matches!(ty, Type::Option | Type::Record(_))
}

pub(super) struct Declared<'a> {
    pub(super) functions: HashMap<String, (FuncId, &'a Function)>,
    pub(super) tables: HashMap<String, DataId>,
    pub(super) program: &'a Program,
}

impl<'a> Declared<'a> {
    pub(super) fn function(&self, name: &str) -> Result<(FuncId, &'a Function), ModuleError> {
        let function = self.functions.get(name).copied();
        function.ok_or_else(|| ModuleError::Undeclared(name.to_owned()))
    }
}

/// A value, or the address of one, with its type.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) value: Value,
    pub(super) ty: Type,
}

impl Typed {
    pub(super) fn integer(value: Value) -> Self {
        let ty = Type::Integer;
        Typed { value, ty }
    }
}

pub(super) struct Compiler<'a, M> {
    pub(super) name: &'a str,
    /// The innermost variable of a name comes last.
    pub(super) variables: Vec<(String, Typed)>,
    pub(super) declared: &'a Declared<'a>,
    pub(super) module: &'a mut M,
    pub(super) builder: FunctionBuilder<'a>,
    pub(super) arguments: Vec<Value>,
    /// The closures whose code is not compiled yet.
    pub(super) closures: Vec<Closure>,
}

impl<'a, M: Module> Compiler<'a, M> {
    fn new(
        name: &'a str,
        declared: &'a Declared<'a>,
        module: &'a mut M,
        body: &'a mut Body,
        builders: &'a mut FunctionBuilderContext,
    ) -> Self {
        let mut builder = FunctionBuilder::new(body, builders);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let arguments = builder.block_params(entry).to_vec();
        Compiler {
            name,
            variables: Vec::new(),
            declared,
            module,
            builder,
            arguments,
            closures: Vec::new(),
        }
    }

    fn define_function(
        &mut self,
        function: &Function,
        body: &Expression,
    ) -> Result<(), ModuleError> {
        let arguments = self.arguments.clone();
        for ((name, ty), &value) in function.parameters.iter().zip(&arguments) {
            let ty = ty.clone();
            self.variables.push((name.clone(), Typed { value, ty }));
        }
        let result = self.value(body)?;
        self.expect(&result, &function.result)?;
        match arguments.get(function.parameters.len()) {
            Some(&destination) => {
                self.copy(&result, destination)?;
                self.builder.ins().return_(&[]);
            }
            None => {
                self.builder.ins().return_(&[result.value]);
            }
        }
        Ok(())
    }

    fn finish(mut self) {
        self.builder.seal_all_blocks();
        let target = self.module.target_config();
        self.builder.finalize(target);
    }

    pub(super) fn expect(&self, found: &Typed, expected: &Type) -> Result<(), ModuleError> {
        match found.ty == *expected {
            true => Ok(()),
            false => Err(ModuleError::Undeclared(format!(
                "a way from {:?} to {expected:?} in {}",
                found.ty, self.name
            ))),
        }
    }

    pub(super) fn integer(&mut self, expression: &Expression) -> Result<Value, ModuleError> {
        let value = self.value(expression)?;
        self.expect(&value, &Type::Integer)?;
        Ok(value.value)
    }

    fn integers(&mut self, expressions: &[Expression]) -> Result<Vec<Value>, ModuleError> {
        let expressions = expressions.iter();
        expressions
            .map(|expression| self.integer(expression))
            .collect()
    }

    pub(super) fn value(&mut self, expression: &Expression) -> Result<Typed, ModuleError> {
        let value = match expression {
            Expression::Number(number) => self.builder.ins().iconst(types::I64, *number),
            Expression::Operation(operator, operands) => {
                let [left, right] = &**operands;
                let (left, right) = (self.integer(left)?, self.integer(right)?);
                self.operation(*operator, left, right)
            }
            Expression::Address(name) => {
                let (id, _) = self.declared.function(name)?;
                let function = self.module.declare_func_in_func(id, self.builder.func);
                self.builder.ins().func_addr(types::I64, function)
            }
            Expression::Sum(name, parts) => self.sum(name, parts)?,
            Expression::Loop(repetition) => self.repetition(repetition)?,
            Expression::Fold(fold) => self.fold(fold)?,
            Expression::TableCall(table, index, arguments) => {
                let index = self.integer(index)?;
                let arguments = self.integers(arguments)?;
                self.call_in_table(table, index, &arguments)?
            }
            Expression::Variable(name) => return self.variable(name),
            Expression::Call(name, arguments) => return self.call(name, arguments),
            Expression::If(parts) => return self.choice(parts),
            Expression::Let(name, parts) => {
                let [value, body] = &**parts;
                let value = self.value(value)?;
                return self.with(name, value, body);
            }
            Expression::Record(name, fields) => return self.record(name, fields),
            Expression::Field(record, field) => return self.field(record, field),
            Expression::Set(field, parts) => return self.set(field, parts),
            Expression::Some(value) => return self.option(Some(value)),
            Expression::None => return self.option(None),
            Expression::Match(name, parts) => return self.match_option(name, parts),
            Expression::Closure(parameters, body) => return self.closure(parameters, body),
            Expression::At(line, inner) => {
                let outer = self.builder.srcloc();
                self.builder.set_srcloc(SourceLoc::new(*line));
                let value = self.value(inner);
                self.builder.set_srcloc(outer);
                return value;
            }
        };
        Ok(Typed::integer(value))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Typed> {
        let mut variables = self.variables.iter().rev();
        variables
            .find(|(variable, _)| variable == name)
            .map(|(_, value)| value)
    }

    fn variable(&self, name: &str) -> Result<Typed, ModuleError> {
        let variable = self.find(name).cloned();
        variable.ok_or_else(|| ModuleError::Undeclared(name.to_owned()))
    }

    fn call(&mut self, name: &str, arguments: &[Expression]) -> Result<Typed, ModuleError> {
        if let Some(closure) = self.find(name).cloned() {
            self.expect(&closure, &Type::Closure)?;
            let arguments = self.integers(arguments)?;
            let result = self.call_closure(closure.value, &arguments);
            return Ok(Typed::integer(result));
        }
        let (_, function) = self.declared.function(name)?;
        let mut values = Vec::new();
        for (argument, (_, ty)) in arguments.iter().zip(&function.parameters) {
            let argument = self.value(argument)?;
            self.expect(&argument, ty)?;
            values.push(argument.value);
        }
        if arguments.len() != function.parameters.len() {
            let count = arguments.len();
            return Err(ModuleError::Undeclared(format!("{name} of {count}")));
        }
        self.call_function(name, values)
    }

    /// Calls a function with arguments of the right number and types.
    pub(super) fn call_function(
        &mut self,
        name: &str,
        mut arguments: Vec<Value>,
    ) -> Result<Typed, ModuleError> {
        let (id, function) = self.declared.function(name)?;
        let ty = function.result.clone();
        let callee = self.module.declare_func_in_func(id, self.builder.func);
        if is_aggregate(&ty) {
            let value = self.slot(self.words(&ty)?);
            arguments.push(value);
            self.builder.ins().call(callee, &arguments);
            return Ok(Typed { value, ty });
        }
        let call = self.builder.ins().call(callee, &arguments);
        let value = self.builder.inst_results(call)[0];
        Ok(Typed { value, ty })
    }

    /// Returns the value of `body` with `name` bound to `value`.
    pub(super) fn with(
        &mut self,
        name: &str,
        value: Typed,
        body: &Expression,
    ) -> Result<Typed, ModuleError> {
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

    fn choice(&mut self, parts: &[Expression; 3]) -> Result<Typed, ModuleError> {
        let [condition, then, otherwise] = parts;
        let condition = self.integer(condition)?;
        self.branch(
            condition,
            |this| this.value(then),
            |this| this.value(otherwise),
        )
    }

    /// Returns one of two values, which must have the same type.
    pub(super) fn branch(
        &mut self,
        condition: Value,
        then: impl FnOnce(&mut Self) -> Result<Typed, ModuleError>,
        otherwise: impl FnOnce(&mut Self) -> Result<Typed, ModuleError>,
    ) -> Result<Typed, ModuleError> {
        let [yes, no, join] = [(); 3].map(|()| self.builder.create_block());
        let value = self.builder.append_block_param(join, types::I64);
        self.builder.ins().brif(condition, yes, &[], no, &[]);
        self.builder.switch_to_block(yes);
        let then = then(self)?;
        self.builder.ins().jump(join, &[then.value.into()]);
        self.builder.switch_to_block(no);
        let otherwise = otherwise(self)?;
        self.expect(&otherwise, &then.ty)?;
        self.builder.ins().jump(join, &[otherwise.value.into()]);
        self.builder.switch_to_block(join);
        Ok(Typed { value, ty: then.ty })
    }
}
