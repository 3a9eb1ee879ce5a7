//! Compilation of a program in each variant.

use crate::expressions::{compiler::compile, parser::parse};
use crate::programs::Program;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use object::{Object, ObjectSection, SectionKind};
use std::path::Path;
use std::{fs, io};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Plain,
    Inlined,
    Optimized,
    ByHand,
}

impl Variant {
    pub(crate) const ALL: [Variant; 4] = [
        Variant::Plain,
        Variant::Inlined,
        Variant::Optimized,
        Variant::ByHand,
    ];

    fn inliner(self) -> Option<Inliner<'static>> {
        let inliner = Inliner::new(CostModel::default());
        match self {
            Variant::Plain | Variant::ByHand => None,
            Variant::Inlined => Some(inliner.optimize(Optimize::None)),
            Variant::Optimized => Some(inliner),
        }
    }

    fn function(self) -> &'static str {
        match self {
            Variant::ByHand => "by_hand",
            _ => "written",
        }
    }

    /// Returns the version of `program` for this variant.
    fn source(self, program: &Program) -> String {
        let source = program.source();
        let version = source.find("export fn written").unwrap_or(source.len());
        let by_hand = source.find("export fn by_hand").unwrap_or(source.len());
        match self {
            Variant::ByHand => source[by_hand..].to_owned(),
            _ if version < by_hand => source[..by_hand].to_owned(),
            _ => source,
        }
    }

    /// Compiles `program` into `module`.
    fn compile<M: Module>(self, program: &Program, mut module: M) -> (M, cranelift_module::FuncId) {
        let program = parse(&self.source(program)).unwrap();
        let function = self.function();
        match self.inliner() {
            None => {
                let id = compile(&program, &mut module).unwrap()[function];
                (module, id)
            }
            Some(inliner) => {
                // The function is exported, so dropping the others is safe for the JIT too.
                let mut module = InliningModule::for_object_file(module, inliner);
                let id = compile(&program, &mut module).unwrap()[function];
                (module.finish().unwrap().0, id)
            }
        }
    }
}

fn isa() -> OwnedTargetIsa {
    let settings = TargetSettings::new().opt_level(OptLevel::Speed);
    // The JIT needs this setting.
    target("host", &settings.setting("is_pic=false")).unwrap()
}

/// Code in memory.
pub(crate) struct Code {
    module: Option<JITModule>,
    address: *const u8,
}

impl Code {
    pub(crate) fn new(program: &Program, variant: Variant) -> Self {
        let module = JITModule::new(JITBuilder::with_isa(isa(), default_libcall_names()));
        let (mut module, id) = variant.compile(program, module);
        module.finalize_definitions().unwrap();
        let address = module.get_finalized_function(id);
        Code {
            module: Some(module),
            address,
        }
    }

    pub(crate) fn run(&self, argument: i64) -> i64 {
        // SAFETY: both versions of a program have one parameter and the host's calling convention,
        // and the code lives as long as `self`.
        let function: extern "C" fn(i64) -> i64 = unsafe { std::mem::transmute(self.address) };
        function(argument)
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: `run` has returned, and the address is not used again.
            unsafe { module.free_memory() }
        }
    }
}

/// Returns the object file of `program`.
fn object_file(program: &Program, variant: Variant) -> Vec<u8> {
    let builder = ObjectBuilder::new(isa(), program.name, default_libcall_names()).unwrap();
    let (module, _) = variant.compile(program, ObjectModule::new(builder));
    module.finish().emit().unwrap()
}

/// Writes each variant of `program` into `folder`: its object file, and the CLIF that Cranelift
/// compiled, if the pass was used.
pub(crate) fn write(program: &Program, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for variant in Variant::ALL {
        let name = |extension| format!("{}-{variant:?}.{extension}", program.name).to_lowercase();
        fs::write(folder.join(name("o")), object_file(program, variant))?;
        let Some(inliner) = variant.inliner() else {
            continue;
        };
        let builder = ObjectBuilder::new(isa(), program.name, default_libcall_names()).unwrap();
        let module = ObjectModule::new(builder);
        let mut module = InliningModule::for_object_file(module, inliner);
        compile(&parse(&variant.source(program)).unwrap(), &mut module).unwrap();
        let (_, report) = module.finish().unwrap();
        let before = report.program().to_clif().unwrap();
        fs::write(folder.join(format!("{}-plain.clif", program.name)), before)?;
        let after = report.inlined().program().to_clif().unwrap();
        fs::write(folder.join(name("clif")), after)?;
    }
    Ok(())
}

/// Returns the size of all code of `program`, in bytes.
pub(crate) fn code_bytes(program: &Program, variant: Variant) -> u64 {
    let bytes = object_file(program, variant);
    let object = object::File::parse(&*bytes).unwrap();
    let sections = object.sections();
    let text = sections.filter(|section| section.kind() == SectionKind::Text);
    text.map(|section| section.size()).sum()
}
