//! Numbers for names.
//!
//! The linker (cranelift-jit) takes numbers, not the names that CLIF text has, so every function
//! and every external name gets a number, which is at once its `FuncId` there.

use std::collections::HashMap;

use cranelift_codegen::ir::{
    ExternalName, Function, GlobalValueData, UserExternalName, UserFuncName,
};

/// The numbering of functions and external names: the program's functions first, in their order.
pub(super) struct Numbers {
    of: HashMap<UserFuncName, u32>,
    names: Vec<UserFuncName>,
}

impl Numbers {
    pub(super) fn new(functions: &[&Function]) -> Self {
        let names: Vec<_> = functions.iter().map(|f| f.name.clone()).collect();
        let of = names.iter().cloned().zip(0..).collect();
        Self { of, names }
    }

    /// How many numbers are given.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of `name`, the next one if it has none yet.
    pub(super) fn of(&mut self, name: &UserFuncName) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.of.entry(name.clone()).or_insert_with(|| {
            self.names.push(name.clone());
            next
        })
    }

    /// The name of `number`, for messages.
    pub(super) fn display(&self, number: u32) -> String {
        let name = self.names.get(number as usize);
        name.map_or_else(|| format!("u0:{number}"), ToString::to_string)
    }

    /// The name that a system linker would know a number by; numbered names have none.
    pub(super) fn symbol(&self, number: u32) -> &str {
        match self.names.get(number as usize) {
            Some(UserFuncName::Testcase(name)) => std::str::from_utf8(name.raw()).unwrap_or(""),
            Some(UserFuncName::User(_)) | None => "",
        }
    }

    /// A copy of `function` in which every name that the linker is to resolve is a number. A
    /// reference that leaves the program is no longer taken to be near.
    pub(super) fn rename(&mut self, function: &Function) -> Function {
        let mut copy = function.clone();
        copy.name = UserFuncName::user(0, self.of(&function.name));
        for (reference, data) in &function.dfg.ext_funcs {
            let (name, near) = self.rename_external(function, &data.name, &mut copy);
            if let Some(external) = copy.dfg.ext_funcs.get_mut(reference) {
                external.name = name;
                external.colocated &= near;
            }
        }
        for (global, data) in &function.global_values {
            let GlobalValueData::Symbol { name, .. } = data else {
                continue;
            };
            let (number, near) = self.rename_external(function, name, &mut copy);
            if let Some(GlobalValueData::Symbol {
                name, colocated, ..
            }) = copy.global_values.get_mut(global)
            {
                *name = number;
                *colocated &= near;
            }
        }
        copy
    }

    fn rename_external(
        &mut self,
        original: &Function,
        name: &ExternalName,
        copy: &mut Function,
    ) -> (ExternalName, bool) {
        let name = match name {
            ExternalName::TestCase(name) => UserFuncName::Testcase(name.clone()),
            ExternalName::User(name) => match original.params.user_named_funcs().get(*name) {
                Some(name) => UserFuncName::User(name.clone()),
                None => return (ExternalName::User(*name), false),
            },
            ExternalName::LibCall(_) | ExternalName::KnownSymbol(_) => {
                return (name.clone(), false);
            }
        };
        let known = self.of.contains_key(&name);
        let number = UserExternalName::new(0, self.of(&name));
        let reference = copy.params.ensure_user_func_name(number);
        (ExternalName::User(reference), known)
    }
}
