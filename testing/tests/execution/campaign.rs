//! Generated programs do the same interpreted, compiled, and compiled after inlining and
//! optimization, on all four architectures.
//!
//! `EXECUTION_CASES` is the number of programs for each architecture, and `EXECUTION_SEED` the
//! number of the first.

use crate::emulated::emulator;
use crate::generated::bytes;
use crate::support::{FUEL, compile, engine};
use arbitrary::Unstructured;
use cranelift_codegen::ir::Endianness;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::CompiledFunction;
use cranelift_inliner::decide::{Always, CostModel, Small};
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::execute::{
    EmulatedPrograms, Emulator, Engine, ExecuteError, Invocation, NativeProgram, Observation,
    interpret_in_order,
};
use cranelift_inliner_testing::generate::{CallGraph, Feature, Generated, Shape};
use cranelift_inliner_testing::targets::Architecture;
use std::env;

/// A machine for programs, and the programs on it.
enum Machine {
    Native(Engine),
    Emulated(Emulator),
}

enum Linked {
    Native(Vec<NativeProgram>),
    Emulated(Box<EmulatedPrograms>),
}

impl Machine {
    fn new(architecture: Architecture, level: OptLevel) -> Option<Self> {
        match architecture {
            Architecture::X64 => Some(Machine::Native(engine(level))),
            _ => emulator(architecture, level).map(Machine::Emulated),
        }
    }

    fn isa(&self) -> &dyn TargetIsa {
        match self {
            Machine::Native(engine) => engine.isa(),
            Machine::Emulated(emulator) => emulator.isa(),
        }
    }

    /// Links programs, each with its source.
    fn link(&self, programs: &[(Program, Vec<CompiledFunction>)]) -> Linked {
        match self {
            Machine::Native(engine) => {
                let linked = programs.iter();
                let linked = linked.map(|(source, functions)| engine.link(source, functions));
                Linked::Native(linked.collect::<Result<_, _>>().unwrap())
            }
            Machine::Emulated(emulator) => {
                let mut linker = emulator.linker().unwrap();
                for (source, functions) in programs {
                    linker.add(source, functions).unwrap();
                }
                Linked::Emulated(Box::new(linker.link().unwrap()))
            }
        }
    }
}

impl Linked {
    fn call(&mut self, number: usize, call: &Invocation) -> Result<Observation, ExecuteError> {
        match self {
            Linked::Native(programs) => programs[number].call(call),
            Linked::Emulated(programs) => programs.call(number, call),
        }
    }
}

/// A generated program and how it is treated.
struct Case {
    seed: u64,
    generated: Generated,
    has_vectors: bool,
}

impl Case {
    fn new(seed: u64, architecture: Architecture) -> Self {
        let shape = match seed % 5 {
            0 => Shape::new(),
            1 => Shape::new().functions(2..=6).call_graph(CallGraph::Chain),
            2 => Shape::new()
                .functions(2..=4)
                .call_graph(CallGraph::Recursive),
            3 => Shape::new().functions(1..=3).with(Feature::Aggregates),
            _ => Shape::new()
                .functions(1..=2)
                .statements(20)
                .requiring(Feature::Memory)
                .requiring(Feature::Closures)
                .with(Feature::MethodTables),
        };
        let has_vectors = (seed / 4).is_multiple_of(2);
        let shape = match has_vectors {
            true => shape,
            false => shape.without(Feature::Vectors),
        };
        let more: &[Feature] = match architecture {
            Architecture::X64 => &[Feature::BeyondRiscv64],
            Architecture::Aarch64 => &[Feature::BeyondRiscv64],
            Architecture::Riscv64 => &[],
            Architecture::S390x => &[Feature::BeyondRiscv64, Feature::ByteOrders],
        };
        let more = more.iter().filter(|_| (seed / 8).is_multiple_of(2));
        let shape = more.fold(shape, |shape, &feature| shape.with(feature));
        let generated = shape.generate(&mut Unstructured::new(&bytes(seed)));
        Case {
            seed,
            generated: generated.unwrap(),
            has_vectors,
        }
    }

    fn level(&self) -> OptLevel {
        match (self.seed / 16).is_multiple_of(2) {
            true => OptLevel::None,
            false => OptLevel::Speed,
        }
    }

    fn inliner(&self) -> Inliner<'static> {
        let inliner = match self.seed / 32 % 3 {
            0 => Inliner::new(Always),
            1 => Inliner::new(CostModel::default()),
            _ => Inliner::new(Small::default()),
        };
        match self.seed / 96 % 3 {
            0 => inliner.optimize(Optimize::Inlined),
            _ => inliner.optimize(Optimize::All),
        }
    }

    /// Returns the inlined program and its code. Half of the time the pass knows the byte order.
    fn inlined(&self, isa: &dyn TargetIsa) -> (Program, Vec<CompiledFunction>) {
        let program = &self.generated.program;
        let inliner = self.inliner();
        if (self.seed / 288).is_multiple_of(2) {
            let inlined = inliner.run(program).unwrap();
            // A function that the backend lacks an instruction for gets its original body below.
            if let Ok(compiled) = compile(inlined.program(), isa) {
                return (inlined.program().clone(), compiled);
            }
        }
        let (inlined, compiled) = inliner.run_and_compile(program, isa).unwrap();
        let functions = compiled.iter().map(|(_, function)| function.clone());
        (inlined.program().clone(), functions.collect())
    }

    /// Calls the programs with the numbers `before` and `before + 1`, which are this one as it is
    /// and inlined, and interprets it.
    fn compare(&self, linked: &mut Linked, before: usize, order: Endianness, counts: &mut Counts) {
        let program = &self.generated.program;
        for invocation in &self.generated.invocations {
            let what = || format!("seed {}, {invocation:?}\n{:?}", self.seed, self.generated);
            let compiled = linked.call(before, invocation).ok();
            // The interpreter's vectors in the big-endian order are not those of machines.
            let interprets = order == Endianness::Little || !self.has_vectors;
            let interpreted =
                interprets.then(|| interpret_in_order(program, invocation, FUEL * 10, order));
            let interpreted = interpreted.and_then(Result::ok);
            if let (Some(compiled), Some(interpreted)) = (&compiled, &interpreted) {
                assert_eq!(compiled, interpreted, "before inlining: {}", what());
            }
            counts.executions +=
                usize::from(compiled.is_some()) + usize::from(interpreted.is_some());
            let Some(expected) = interpreted.or(compiled) else {
                continue;
            };
            let inlined = linked.call(before + 1, invocation);
            if let Err(ExecuteError::Emulated { reason }) = &inlined
                && reason.contains("SIGABRT")
            {
                // QEMU's own translator gives up, which it does for very few programs.
                counts.passed_over += 1;
                continue;
            }
            assert_eq!(inlined, Ok(expected), "after inlining: {}", what());
            counts.executions += 1;
        }
    }
}

#[derive(Default)]
struct Counts {
    executions: usize,
    /// Programs that do not compile, and calls that the emulator gives up.
    passed_over: usize,
}

fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(number) => number.parse().unwrap(),
        Err(_) => default,
    }
}

/// The most programs in one executable.
const BATCH: u64 = 200;

fn generated_programs_on(architecture: Architecture) {
    let first = number("EXECUTION_SEED", 0);
    let last = first + number("EXECUTION_CASES", 100);
    let mut counts = Counts::default();
    for start in (first..last).step_by(BATCH as usize) {
        for level in [OptLevel::None, OptLevel::Speed] {
            let Some(machine) = Machine::new(architecture, level) else {
                return;
            };
            let isa = machine.isa();
            let order = isa.endianness();
            let mut cases = Vec::new();
            let mut programs = Vec::new();
            for seed in start..last.min(start + BATCH) {
                let case = Case::new(seed, architecture);
                if case.level() != level {
                    continue;
                }
                let program = &case.generated.program;
                let Ok(compiled) = compile(program, isa) else {
                    counts.passed_over += 1;
                    continue;
                };
                programs.push((program.clone(), compiled));
                programs.push(case.inlined(isa));
                cases.push(case);
            }
            let mut linked = machine.link(&programs);
            for (index, case) in cases.iter().enumerate() {
                case.compare(&mut linked, 2 * index, order, &mut counts);
            }
        }
    }
    let Counts {
        executions,
        passed_over,
    } = counts;
    let programs = last - first;
    println!(
        "{architecture:?}: {programs} programs, {executions} executions, {passed_over} passed over"
    );
    assert!(executions > 0 && passed_over as u64 <= programs / 50);
}

#[test]
fn generated_programs_on_x64() {
    generated_programs_on(Architecture::X64);
}

#[test]
fn generated_programs_on_aarch64() {
    generated_programs_on(Architecture::Aarch64);
}

#[test]
fn generated_programs_on_riscv64() {
    generated_programs_on(Architecture::Riscv64);
}

#[test]
fn generated_programs_on_s390x() {
    generated_programs_on(Architecture::S390x);
}
