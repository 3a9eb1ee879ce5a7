//! Running functions of CLIF text on this machine.

use cranelift_codegen::Context;
use cranelift_codegen::ir::{ExternalName, Function, UserExternalName};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use std::collections::BTreeMap;

/// Functions that call each other by name, compiled.
pub(crate) struct Compiled {
    module: JITModule,
    ids: BTreeMap<String, FuncId>,
}

impl Compiled {
    pub(crate) fn new(functions: &[Function]) -> Self {
        let mut flags = settings::builder();
        flags.enable("preserve_frame_pointers").unwrap();
        let isa = cranelift_native::builder().unwrap();
        let isa = isa.finish(settings::Flags::new(flags)).unwrap();
        let mut module = JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()));
        let mut ids = BTreeMap::new();
        for func in functions {
            let name = func.name.to_string();
            let id = module.declare_function(&name, Linkage::Local, &func.signature);
            ids.insert(name, id.unwrap());
        }
        for func in functions {
            let mut func = func.clone();
            name_by_id(&mut func, &ids);
            let mut context = Context::for_function(func);
            let id = ids[&context.func.name.to_string()];
            module.define_function(id, &mut context).unwrap();
        }
        module.finalize_definitions().unwrap();
        Compiled { module, ids }
    }

    /// Calls `name`, a function from one `i64` to another.
    pub(crate) fn call(&self, name: &str, argument: i64) -> i64 {
        let code = self.module.get_finalized_function(self.ids[name]);
        // SAFETY: the tests call only functions of this type, with `system_v`.
        let function: extern "C" fn(i64) -> i64 = unsafe { std::mem::transmute(code) };
        function(argument)
    }
}

fn name_by_id(func: &mut Function, ids: &BTreeMap<String, FuncId>) {
    for func_ref in func.dfg.ext_funcs.keys().collect::<Vec<_>>() {
        let name = func.dfg.ext_funcs[func_ref].name.clone();
        let name = name.display(Some(&func.params)).to_string();
        if let Some(id) = ids.get(&name) {
            let name = UserExternalName::new(0, id.as_u32());
            let name = func.declare_imported_user_function(name);
            func.dfg.ext_funcs[func_ref].name = ExternalName::User(name);
        }
    }
}
