//! Names of functions: symbols during the pass, and ids before and after it.
//!
//! In the bodies of a front end a callee is `u0:3`, the function with the id 3. Reports for people,
//! and names that the next build looks up, must say `%main`.

use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::ir::{
    ExternalName, Function, GlobalValueData, UserExternalName, UserFuncName,
};
use cranelift_module::{FuncId, ModuleDeclarations};
use rustc_hash::FxHashMap;

/// The namespace in which `cranelift_module` refers to functions.
pub(super) const FUNCTIONS: u32 = 0;

/// The one in which it refers to data.
pub(super) const DATA: u32 = 1;

/// The names that were given so far.
#[derive(Default)]
pub(super) struct Symbols {
    names: FxHashMap<FuncId, FunctionName>,
    ids: FxHashMap<FunctionName, FuncId>,
}

impl Symbols {
    /// Returns the id of the function of this name; `None` if the module has no such function.
    pub(super) fn id(&self, name: &FunctionName) -> Option<FuncId> {
        self.ids.get(name).copied()
    }

    /// Returns the name that a function was given; `None` if no body has named it yet.
    pub(super) fn known(&self, id: FuncId) -> Option<&FunctionName> {
        self.names.get(&id)
    }

    /// Returns the name of a function; `None` if there is none with this id.
    pub(super) fn name(
        &mut self,
        declarations: &ModuleDeclarations,
        id: FuncId,
    ) -> Option<FunctionName> {
        if let Some(name) = self.names.get(&id) {
            return Some(name.clone());
        }
        let symbol = panics::catch(|| {
            let declaration = declarations.get_function_decl(id);
            declaration.linkage_name(id).into_owned()
        });
        let mut name = FunctionName::testcase(symbol.ok()?);
        if self.ids.contains_key(&name) {
            // A function without a name, and another one that has the name made up for it.
            name = FunctionName::user(FUNCTIONS, id.as_u32());
        }
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name.clone());
        Some(name)
    }

    /// Returns a copy of `func`, the body of `id`, in which functions have their symbols.
    pub(super) fn with_symbols(
        &mut self,
        declarations: &ModuleDeclarations,
        id: FuncId,
        func: &Function,
    ) -> Function {
        let mut func = func.clone();
        if let Some(name) = self.name(declarations, id) {
            func.name = name.into();
        }
        self.rename(&mut func, |symbols, func, name| {
            let ExternalName::User(reference) = name else {
                return None;
            };
            let user = func.params.user_named_funcs().get(*reference)?;
            if user.namespace != FUNCTIONS {
                return None;
            }
            let callee = FuncId::from_u32(user.index);
            match symbols.name(declarations, callee)?.into() {
                UserFuncName::Testcase(symbol) => Some(ExternalName::TestCase(symbol)),
                UserFuncName::User(_) => None,
            }
        });
        func
    }

    /// Gives functions their ids again.
    pub(super) fn restore_ids(&mut self, func: &mut Function) {
        self.rename(func, |symbols, func, name| {
            let ExternalName::TestCase(symbol) = name else {
                return None;
            };
            let id = symbols.id(&FunctionName::testcase(symbol.raw()))?;
            let user = UserExternalName::new(FUNCTIONS, id.as_u32());
            Some(ExternalName::user(
                func.declare_imported_user_function(user),
            ))
        });
    }

    /// Renames the declarations of `func` by `rename`.
    fn rename(
        &mut self,
        func: &mut Function,
        mut rename: impl FnMut(&mut Self, &mut Function, &ExternalName) -> Option<ExternalName>,
    ) {
        let functions: Vec<_> = func.dfg.ext_funcs.keys().collect();
        for function in functions {
            let name = func.dfg.ext_funcs[function].name.clone();
            if let Some(name) = rename(self, func, &name) {
                func.dfg.ext_funcs[function].name = name;
            }
        }
        let globals: Vec<_> = func.global_values.keys().collect();
        for global in globals {
            let GlobalValueData::Symbol { name, .. } = func.global_values[global].clone() else {
                continue;
            };
            if let Some(new) = rename(self, func, &name)
                && let GlobalValueData::Symbol { name, .. } = &mut func.global_values[global]
            {
                *name = new;
            }
        }
    }
}
