//! Compilation of a program before and after inlining, for execution.

use crate::execute::{Engine, ExecuteError, NativeProgram};
use cranelift_codegen::ir::Function;
use cranelift_entity::EntityRef;
use cranelift_inliner::backend::{
    CompileError, CompileScratch, CompiledFunction, compile_function,
};
use cranelift_inliner::program::{FunctionName, Program};
use std::rc::Rc;
use std::sync::Arc;

/// The functions of a program in their order, compiled for an engine.
pub(super) struct Code {
    functions: Vec<(Arc<Function>, Rc<CompiledFunction>)>,
}

impl Code {
    pub(super) fn of(engine: &Engine, program: &Program) -> Result<Self, CompileError> {
        Self::compile(engine, program, |_, _| None)
    }

    /// Returns the code of `after`; functions equal to those of `before` are not compiled again.
    pub(super) fn after(
        &self,
        engine: &Engine,
        before: &Program,
        after: &Program,
    ) -> Result<Self, CompileError> {
        Self::compile(engine, after, |name, body| {
            let (known, code) = self.functions.get(before.id(name)?.index())?;
            Arc::ptr_eq(known, body).then(|| Rc::clone(code))
        })
    }

    fn compile(
        engine: &Engine,
        program: &Program,
        known: impl Fn(&FunctionName, &Arc<Function>) -> Option<Rc<CompiledFunction>>,
    ) -> Result<Self, CompileError> {
        let mut scratch = CompileScratch::new();
        let functions = program.iter().map(|(_, function)| {
            let body = function.body();
            let code = match known(function.name(), body) {
                Some(code) => code,
                None => Rc::new(compile_function(engine.isa(), body, &mut scratch)?),
            };
            Ok((Arc::clone(body), code))
        });
        let functions = functions.collect::<Result<_, _>>()?;
        Ok(Code { functions })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CompiledFunction> + Clone {
        self.functions.iter().map(|(_, code)| &**code)
    }

    pub(super) fn link(
        &self,
        engine: &Engine,
        source: &Program,
    ) -> Result<NativeProgram, ExecuteError> {
        engine.link(source, self.iter())
    }
}
