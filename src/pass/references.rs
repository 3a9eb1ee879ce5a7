//! The functions of the program that a body refers to.

use crate::body::{Mention, for_each_mention};
use crate::program::{FunctionId, FunctionName, Program};
use cranelift_codegen::ir::{ExternalName, FuncRef, Function, GlobalValueData};
use cranelift_entity::EntitySet;

/// The references of a body to functions, from one walk over it.
pub(crate) struct References {
    /// Its calls of every kind.
    pub(crate) calls: usize,
    /// The functions that its code calls or whose address it takes, each once, in the order of
    /// first reference.
    ///
    /// A declaration that no instruction uses does not count; a global value that is a function's
    /// symbol always does.
    pub(crate) functions: Vec<FunctionId>,
}

impl References {
    pub(crate) fn of(program: &Program, func: &Function) -> Self {
        let mut calls = 0;
        let mut used: EntitySet<FuncRef> = EntitySet::with_capacity(func.dfg.ext_funcs.len());
        let mut seen = EntitySet::new();
        let mut functions = Vec::new();
        let mut add = |id: Option<FunctionId>| {
            if let Some(id) = id
                && seen.insert(id)
            {
                functions.push(id);
            }
        };
        for_each_mention(func, |_, _, mention| {
            let named = match mention {
                Mention::Call(func_ref) => {
                    calls += 1;
                    func_ref
                }
                Mention::IndirectCall => {
                    calls += 1;
                    return;
                }
                Mention::Address(func_ref) => func_ref,
                Mention::StackSwitch => return,
            };
            if used.insert(named) {
                add(program.callee(func, named));
            }
        });
        for data in func.global_values.values() {
            if let GlobalValueData::Symbol { name, .. } = data {
                add(symbol(program, func, name));
            }
        }
        References { calls, functions }
    }
}

fn symbol(program: &Program, func: &Function, name: &ExternalName) -> Option<FunctionId> {
    program.id(&FunctionName::of_external(func, name)?)
}
