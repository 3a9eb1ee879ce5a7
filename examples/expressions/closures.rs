//! Closures: a slot with the address of the code, then the captured variables.

use super::compiler::{Compiler, Typed, signature};
use super::syntax::{Expression, Type};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_module::{FuncId, Linkage, Module, ModuleError};

/// The code of a closure that is not compiled yet.
pub(super) struct Closure {
    id: FuncId,
    name: String,
    parameters: Vec<String>,
    captured: Vec<(String, Type)>,
    body: Expression,
}

impl Closure {
    pub(super) fn id(&self) -> FuncId {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of parameters of the code. The first is the closure itself.
    pub(super) fn parameters(&self) -> usize {
        self.parameters.len() + 1
    }
}

impl<M: Module> Compiler<'_, M> {
    pub(super) fn closure(
        &mut self,
        parameters: &[String],
        body: &Expression,
    ) -> Result<Typed, ModuleError> {
        let mut names = Vec::new();
        uses(body, &mut |name| {
            if !names.contains(&name) {
                names.push(name);
            }
        });
        // A name bound by the body may be captured without need.
        let captured = names
            .into_iter()
            .filter(|&name| !parameters.iter().any(|own| own == name));
        let captured: Vec<(String, Typed)> = captured
            .filter_map(|name| Some((name.to_owned(), self.find(name)?.clone())))
            .collect();

        let name = format!("{}_closure{}", self.name, self.closures.len());
        let signature = signature(self.module, parameters.len() + 1, &Type::Integer);
        let id = self
            .module
            .declare_function(&name, Linkage::Local, &signature)?;
        let size = u32::try_from(captured.len() + 1);
        let slot = self.slot(size.map_err(|_| ModuleError::Undeclared(name.clone()))?);
        let code = self.module.declare_func_in_func(id, self.builder.func);
        let code = self.builder.ins().func_addr(types::I64, code);
        self.set_word(slot, 0, code);
        for (index, (_, variable)) in (1..).zip(&captured) {
            self.set_word(slot, index, variable.value);
        }
        let captured = captured.into_iter();
        self.closures.push(Closure {
            id,
            name,
            parameters: parameters.to_vec(),
            captured: captured
                .map(|(name, variable)| (name, variable.ty))
                .collect(),
            body: body.clone(),
        });
        Ok(Typed {
            value: slot,
            ty: Type::Closure,
        })
    }

    pub(super) fn define_closure(&mut self, closure: &Closure) -> Result<(), ModuleError> {
        let arguments = self.arguments.clone();
        for (index, (name, ty)) in (1..).zip(&closure.captured) {
            let value = self.word(arguments[0], index);
            let ty = ty.clone();
            self.variables.push((name.clone(), Typed { value, ty }));
        }
        for (name, &value) in closure.parameters.iter().zip(&arguments[1..]) {
            self.variables.push((name.clone(), Typed::integer(value)));
        }
        let result = self.integer(&closure.body)?;
        self.builder.ins().return_(&[result]);
        Ok(())
    }

    pub(super) fn call_closure(&mut self, closure: Value, arguments: &[Value]) -> Value {
        let code = self.word(closure, 0);
        let mut all = vec![closure];
        all.extend_from_slice(arguments);
        self.call_address(code, &all)
    }
}

/// Calls `found` with each name that `expression` uses as a variable.
fn uses<'e>(expression: &'e Expression, found: &mut dyn FnMut(&'e str)) {
    let mut each = |parts: &'e [Expression]| {
        for part in parts {
            uses(part, found);
        }
    };
    match expression {
        Expression::Number(_) | Expression::Address(_) | Expression::None => {}
        Expression::Variable(name) => found(name),
        Expression::Call(name, arguments) => {
            each(arguments);
            found(name);
        }
        Expression::TableCall(_, index, arguments) => {
            uses(index, found);
            arguments.iter().for_each(|part| uses(part, found));
        }
        Expression::Operation(_, parts) | Expression::Let(_, parts) => each(&**parts),
        Expression::If(parts)
        | Expression::Sum(_, parts)
        | Expression::Set(_, parts)
        | Expression::Match(_, parts) => each(&**parts),
        Expression::Field(part, _)
        | Expression::Some(part)
        | Expression::Closure(_, part)
        | Expression::At(_, part) => uses(part, found),
        Expression::Record(_, fields) => {
            fields.iter().for_each(|(_, value)| uses(value, found));
        }
        Expression::Loop(repetition) => {
            let starts = repetition.variables.iter();
            starts.for_each(|(_, start)| uses(start, found));
            uses(&repetition.condition, found);
            repetition.next.iter().for_each(|part| uses(part, found));
            uses(&repetition.result, found);
        }
        Expression::Fold(fold) => {
            let parts = [&fold.start, &fold.iterator, &fold.body];
            parts.into_iter().for_each(|part| uses(part, found));
        }
    }
}
