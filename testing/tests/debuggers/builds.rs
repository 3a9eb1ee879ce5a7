//! The ways in which a program is built, and its object files.

use super::glue;
use super::programs::Subject;
use cranelift_codegen::ir::{Function, Type, ValueLabel};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, ObjectFunction, ObjectLinkage, TargetSettings, build_object,
    compile_function, default_symbol, emit_object, target,
};
use cranelift_inliner::debug_info::{
    DebugFunction, DebugInfo, LabelSchema, LabelVariable, LineIsLocation, value_type,
};
use cranelift_inliner::decide::{Always, CostModel, Inline, Never, Small};
use cranelift_inliner::locations::{LabelTable, LocationMode, LocationTable};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::decisions::Decisions;
use cranelift_inliner_testing::orders::{OneByOne, seeded};
use cranelift_object::ObjectProduct;

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
    pub(crate) order: Order,
}

/// The order of splices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// That of the pass.
    Rounds,
    /// Any, in one session or several.
    Any,
}

/// The one that the others are compared with.
pub(crate) const REFERENCE: Build = Build {
    policy: "never",
    optimize: Optimize::None,
    level: OptLevel::None,
    order: Order::Rounds,
};

/// Returns the other builds.
pub(crate) fn builds() -> Vec<Build> {
    let mut builds = Vec::new();
    for level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        for optimize in [Optimize::None, Optimize::Inlined, Optimize::All] {
            for (policy, order) in [
                ("always", Order::Rounds),
                ("always", Order::Any),
                ("chance", Order::Rounds),
                ("chance", Order::Any),
                ("cost", Order::Rounds),
                ("cost", Order::Any),
                ("small", Order::Rounds),
                ("small", Order::Any),
                ("never", Order::Rounds),
            ] {
                builds.push(Build {
                    policy,
                    optimize,
                    level,
                    order,
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

    /// Returns the functions of `program`, those without a use left out where the pass knows them.
    fn functions(&self, program: &Program, seed: u64, isa: &dyn TargetIsa) -> Vec<Unit> {
        let inliner = Inliner::new(self.policy(seed))
            .optimize(self.optimize)
            .locations(LocationMode::InlinedAt);
        match self.order {
            Order::Rounds => {
                let (_, compiled) = inliner.run_and_compile(program, isa).unwrap();
                let functions = compiled.iter();
                functions
                    .map(|(id, code)| Unit {
                        code: code.clone(),
                        locations: LocationTable::clone(compiled.locations(id).unwrap()),
                        labels: compiled.labels(id).cloned().unwrap_or_default(),
                    })
                    .collect()
            }
            Order::Any => spliced_in_any_order(program, &inliner, seed, isa),
        }
    }

    /// Returns the bytes of an object file in which entries are seen from outside, as `prefixN`,
    /// and functions of WebAssembly, as `prefixwasmN`.
    pub(crate) fn object(
        &self,
        subject: &Subject,
        seed: u64,
        target: &str,
        prefix: &str,
    ) -> Vec<u8> {
        let (product, _) = self.product(subject, seed, target, prefix);
        emit_object(product).unwrap()
    }

    /// Returns the object file of [`Build::object`], and its functions in their order.
    pub(crate) fn product(
        &self,
        subject: &Subject,
        seed: u64,
        target: &str,
        prefix: &str,
    ) -> (ObjectProduct, Vec<Unit>) {
        let isa = self.isa(target);
        let mut units = self.functions(&subject.program, seed, &*isa);
        let entries = subject.entries().enumerate().map(|(number, entry)| {
            let (callee, signature) = entry;
            glue::entry(number, callee, signature)
        });
        let hosts = subject.hosts.iter().enumerate();
        let hosts = hosts.map(|(number, (name, signature))| glue::host(number, name, signature));
        let mut scratch = CompileScratch::new();
        units.extend(entries.chain(hosts).map(|function| {
            let locations = LocationTable::own(function.name.clone().into());
            Unit {
                code: compile_function(&*isa, &function, &mut scratch).unwrap(),
                locations,
                labels: LabelTable::default(),
            }
        }));
        let debug = units.iter().map(|unit| {
            DebugFunction::new(&unit.code, &unit.locations).with_labels(Some(&unit.labels))
        });
        let debug: Vec<DebugFunction<'_>> = debug.collect();
        let functions: Vec<ObjectFunction<'_>> = units
            .iter()
            .map(|unit| {
                let symbol = default_symbol(unit.code.name());
                let exported = match symbol.strip_prefix("entry") {
                    None if symbol.starts_with("wasm") => Some(&*symbol),
                    number => number,
                };
                let exported = exported.map(|name| format!("{prefix}{name}"));
                let linkage = match exported {
                    Some(_) => ObjectLinkage::Export,
                    None => ObjectLinkage::Local,
                };
                ObjectFunction::new(exported.unwrap_or(symbol), linkage, &unit.code)
            })
            .collect();
        let mut product = build_object(&isa, "program", &functions, default_symbol).unwrap();
        let lines = LineIsLocation::new("program.src", "/project");
        DebugInfo::new(&*isa, &lines)
            .labels(&Values)
            .variables(subject)
            .add_to(&mut product, &debug)
            .unwrap();
        (product, units)
    }
}

/// A compiled function with its tables.
pub(crate) struct Unit {
    pub(crate) code: CompiledFunction,
    pub(crate) locations: LocationTable,
    labels: LabelTable,
}

/// Returns all functions of `program`, with the calls that `inliner` inlines spliced one by one.
fn spliced_in_any_order(
    program: &Program,
    inliner: &Inliner<'_>,
    seed: u64,
    isa: &dyn TargetIsa,
) -> Vec<Unit> {
    let inlined = inliner.run(program).unwrap();
    let mut one_by_one = OneByOne::new(program, &inlined, inliner);
    let mut choose = seeded(seed);
    let mut scratch = CompileScratch::new();
    let functions = program.iter().map(|(id, function)| {
        let spliced = one_by_one.splice(id, &mut choose).unwrap();
        let (mut body, locations) = match spliced {
            Some(spliced) => (spliced.body, spliced.locations.unwrap()),
            None => {
                let body = inlined.body(id).unwrap();
                let table = inlined.locations(id).unwrap();
                (Function::clone(body), LocationTable::clone(table))
            }
        };
        let labels = LabelTable::number(&mut body, &locations);
        match compile_function(isa, &body, &mut scratch) {
            Ok(code) => Unit {
                code,
                locations,
                labels,
            },
            // Cranelift gives up on some large bodies.
            Err(_) => {
                let mut body = Function::clone(function.body());
                let locations = LocationTable::own(function.name().clone());
                let labels = LabelTable::number(&mut body, &locations);
                Unit {
                    code: compile_function(isa, &body, &mut scratch).unwrap(),
                    locations,
                    labels,
                }
            }
        }
    });
    functions.collect()
}
