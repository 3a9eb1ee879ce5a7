//! Modules of both kinds, and short queries for their results.

use crate::expressions::{compiler::compile, parser::parse};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::Always;
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::Inliner;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module, ModuleError, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::HashMap;

pub(crate) fn isa(pic: bool) -> OwnedTargetIsa {
    let pic = if pic { "is_pic=true" } else { "is_pic=false" };
    target("host", &TargetSettings::new().setting(pic)).unwrap()
}

pub(crate) fn jit() -> JITModule {
    let mut builder = JITBuilder::with_isa(isa(false), default_libcall_names());
    builder.symbol("outside", outside as *const u8);
    JITModule::new(builder)
}

/// Adds to its argument, for programs that import a function.
extern "C" fn outside(x: i64) -> i64 {
    x + 1000
}

pub(crate) fn object_builder() -> ObjectBuilder {
    ObjectBuilder::new(isa(true), "test", default_libcall_names()).unwrap()
}

pub(crate) fn object() -> ObjectModule {
    ObjectModule::new(object_builder())
}

pub(crate) fn inlining<M: Module>(module: M) -> InliningModule<'static, M> {
    InliningModule::new(module, Inliner::new(Always).check(true))
}

pub(crate) fn inlining_object() -> InliningModule<'static, ObjectModule> {
    InliningModule::for_object_file(object(), Inliner::new(Always).check(true))
}

pub(crate) fn front_end<M: Module>(
    text: &str,
    module: &mut M,
) -> Result<HashMap<String, FuncId>, ModuleError> {
    compile(&parse(text).unwrap(), module)
}

/// A finished JIT and the ids of its functions.
pub(crate) struct Code {
    pub(crate) module: JITModule,
    pub(crate) ids: HashMap<String, FuncId>,
}

impl Code {
    pub(crate) fn call(&self, name: &str, arguments: &[i64]) -> i64 {
        let address = self.module.get_finalized_function(self.ids[name]);
        call(address, arguments)
    }
}

/// Calls a function of the expression language.
pub(crate) fn call(address: *const u8, arguments: &[i64]) -> i64 {
    // SAFETY: the function was compiled with this signature and the host's calling convention.
    unsafe {
        match *arguments {
            [] => std::mem::transmute::<*const u8, extern "C" fn() -> i64>(address)(),
            [a] => std::mem::transmute::<*const u8, extern "C" fn(i64) -> i64>(address)(a),
            [a, b] => {
                std::mem::transmute::<*const u8, extern "C" fn(i64, i64) -> i64>(address)(a, b)
            }
            _ => panic!("{} arguments", arguments.len()),
        }
    }
}

pub(crate) fn plain_jit(text: &str) -> Code {
    let mut module = jit();
    let ids = front_end(text, &mut module).unwrap();
    module.finalize_definitions().unwrap();
    Code { module, ids }
}

pub(crate) fn inlined_jit(text: &str, in_parallel: bool) -> (Code, ModuleReport) {
    let mut module = inlining(jit()).compile_in_parallel(in_parallel);
    let ids = front_end(text, &mut module).unwrap();
    let (mut module, report) = module.finish().unwrap();
    module.finalize_definitions().unwrap();
    (Code { module, ids }, report)
}

pub(crate) fn inlined_object(text: &str) -> (ObjectFile, ModuleReport) {
    let mut module = inlining_object();
    front_end(text, &mut module).unwrap();
    let (module, report) = module.finish().unwrap();
    (ObjectFile::of(module), report)
}

/// An object file, read back.
pub(crate) struct ObjectFile(Vec<u8>);

impl ObjectFile {
    pub(crate) fn of(module: ObjectModule) -> Self {
        Self(module.finish().emit().unwrap())
    }

    pub(crate) fn read_back(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn read(&self) -> object::File<'_> {
        object::File::parse(&*self.0).unwrap()
    }

    /// Returns the bytes of a function that the file defines.
    pub(crate) fn code(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.read();
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name))?;
        let section = file.section_by_index(symbol.section_index()?).unwrap();
        let start = usize::try_from(symbol.address() - section.address()).unwrap();
        let size = usize::try_from(symbol.size()).unwrap();
        Some(section.data().unwrap()[start..start + size].to_vec())
    }

    pub(crate) fn symbol<T>(
        &self,
        name: &str,
        ask: impl Fn(&object::Symbol<'_, '_>) -> T,
    ) -> Option<T> {
        let file = self.read();
        let mut symbols = file.symbols();
        symbols
            .find(|symbol| symbol.name() == Ok(name))
            .map(|symbol| ask(&symbol))
    }

    /// Returns the symbols that relocations of a section refer to, in their order.
    pub(crate) fn relocations(&self, section: &str) -> Vec<String> {
        let file = self.read();
        let section = file.section_by_name(section).unwrap();
        section
            .relocations()
            .filter_map(|(_, relocation)| match relocation.target() {
                object::RelocationTarget::Symbol(index) => {
                    let symbol = file.symbol_by_index(index).unwrap();
                    Some(symbol.name().unwrap().to_owned())
                }
                _ => None,
            })
            .collect()
    }

    pub(crate) fn section_size(&self, name: &str) -> u64 {
        let file = self.read();
        file.section_by_name(name)
            .map_or(0, |section| section.size())
    }
}

/// Returns the names of functions of a module.
pub(crate) fn names<M: Module>(module: &M, functions: &[FuncId]) -> Vec<String> {
    let declarations = module.declarations();
    let name = |&id: &FuncId| {
        declarations
            .get_function_decl(id)
            .linkage_name(id)
            .into_owned()
    };
    functions.iter().map(name).collect()
}
