//! The ways in which a program is built, and its object files.

use super::glue;
use super::programs::Subject;
use cranelift_codegen::ir::{Type, ValueLabel};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, ObjectFunction, ObjectLinkage, TargetSettings, build_object,
    compile_function, default_symbol, emit_object, target,
};
use cranelift_inliner::debug_info::{
    DebugFunction, DebugInfo, LabelSchema, LabelVariable, LineIsLocation, value_type,
};
use cranelift_inliner::decide::{Always, CostModel, Inline, Never, Small};
use cranelift_inliner::locations::{LocationMode, LocationTable};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::FunctionName;
use cranelift_inliner_testing::decisions::Decisions;

/// Every value is a variable that has its number.
struct Values;

impl LabelSchema for Values {
    fn variable(&self, _: &FunctionName, label: ValueLabel, ty: Type) -> Option<LabelVariable> {
        let name = format!("v{}", label.as_u32());
        Some(LabelVariable::new(name, value_type(ty)))
    }
}

/// A way to build a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    pub(crate) policy: &'static str,
    pub(crate) optimize: Optimize,
    pub(crate) level: OptLevel,
}

/// The one that the others are compared with.
pub(crate) const REFERENCE: Build = Build {
    policy: "never",
    optimize: Optimize::None,
    level: OptLevel::None,
};

/// The others.
pub(crate) fn builds() -> Vec<Build> {
    let mut builds = Vec::new();
    for level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        for optimize in [Optimize::None, Optimize::Inlined, Optimize::All] {
            for policy in ["always", "chance", "cost", "small", "never"] {
                builds.push(Build {
                    policy,
                    optimize,
                    level,
                });
            }
        }
    }
    builds
}

impl Build {
    fn policy(&self, seed: u64) -> Box<dyn Inline> {
        match self.policy {
            "always" => Box::new(Always),
            "chance" => {
                let word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
                let mut answers = [0; 16];
                answers[..8].copy_from_slice(&word);
                answers[8..].copy_from_slice(&word);
                Box::new(Decisions::new(answers, seed))
            }
            "cost" => Box::new(CostModel::default()),
            "small" => Box::new(Small::new(20, 200)),
            _ => Box::new(Never),
        }
    }

    pub(crate) fn isa(&self, name: &str) -> OwnedTargetIsa {
        let settings = TargetSettings::new()
            .opt_level(self.level)
            .setting("enable_nan_canonicalization=true")
            .setting("preserve_frame_pointers=true")
            .setting("is_pic=true");
        target(name, &settings).unwrap()
    }

    /// Returns the bytes of an object file in which the entries alone are seen from outside, as
    /// `prefixN`.
    pub(crate) fn object(
        &self,
        subject: &Subject,
        seed: u64,
        target: &str,
        prefix: &str,
    ) -> Vec<u8> {
        let isa = self.isa(target);
        let inliner = Inliner::new(self.policy(seed))
            .optimize(self.optimize)
            .locations(LocationMode::InlinedAt);
        let compiled = inliner.run_and_compile(&subject.program, &*isa);
        let (_, compiled) = compiled.unwrap();
        let mut scratch = CompileScratch::new();
        let entries = subject.entries().enumerate().map(|(number, entry)| {
            let (callee, signature) = entry;
            glue::entry(number, callee, signature)
        });
        let hosts = subject.hosts.iter().enumerate();
        let hosts = hosts.map(|(number, (name, signature))| glue::host(number, name, signature));
        let glue: Vec<(CompiledFunction, LocationTable)> = entries
            .chain(hosts)
            .map(|function| {
                let table = LocationTable::own(function.name.clone().into());
                let compiled = compile_function(&*isa, &function, &mut scratch).unwrap();
                (compiled, table)
            })
            .collect();
        let program = compiled.iter().map(|(id, code)| {
            let function = DebugFunction::new(code, compiled.locations(id).unwrap());
            function.with_labels(compiled.labels(id))
        });
        let glue = glue.iter();
        let glue = glue.map(|(compiled, locations)| DebugFunction::new(compiled, locations));
        let debug: Vec<DebugFunction<'_>> = program.chain(glue).collect();
        let functions: Vec<ObjectFunction<'_>> = debug
            .iter()
            .map(|function| {
                let symbol = default_symbol(function.compiled.name());
                let number = symbol.strip_prefix("entry").map(str::to_owned);
                ObjectFunction {
                    linkage: match number {
                        Some(_) => ObjectLinkage::Export,
                        None => ObjectLinkage::Local,
                    },
                    symbol: number.map_or(symbol, |number| format!("{prefix}{number}")),
                    compiled: function.compiled,
                }
            })
            .collect();
        let mut product = build_object(&isa, "program", &functions, default_symbol).unwrap();
        let lines = LineIsLocation::new("program.src", "/project");
        DebugInfo::new(&*isa, &lines)
            .labels(&Values)
            .add_to(&mut product, &debug)
            .unwrap();
        emit_object(product).unwrap()
    }
}
