//! Running programs of CLIF text in every way.

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{
    CompileError, CompileScratch, CompiledFunction, TargetSettings, compile_function,
};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner_testing::execute::{
    Engine, ExecuteError, Invocation, Observation, interpret,
};

pub(crate) const FUEL: u64 = 100_000;

pub(crate) fn program(clif: &str) -> Program {
    let program = Program::from_clif(clif, "test.clif").unwrap();
    program.verify(engine(OptLevel::None).isa()).unwrap();
    program
}

pub(crate) fn engine(level: OptLevel) -> Engine {
    Engine::new(&TargetSettings::new().opt_level(level)).unwrap()
}

/// Compiles the functions of `program` as they are.
pub(crate) fn compile(
    program: &Program,
    isa: &dyn TargetIsa,
) -> Result<Vec<CompiledFunction>, CompileError> {
    let mut scratch = CompileScratch::new();
    let compiled = program
        .iter()
        .map(|(_, function)| compile_function(isa, function.body(), &mut scratch));
    compiled.collect()
}

pub(crate) fn call(function: &str, arguments: &[DataValue]) -> Invocation {
    Invocation {
        function: function.parse().unwrap(),
        arguments: arguments.to_vec(),
    }
}

pub(crate) fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

/// Returns the native observation of the call, if it is the same at every level, inlined or not.
pub(crate) fn natively(clif: &str, invocation: &Invocation) -> Result<Observation, ExecuteError> {
    let program = program(clif);
    let mut seen = Vec::new();
    for level in [OptLevel::None, OptLevel::Speed] {
        let engine = engine(level);
        seen.push(engine.compile(&program)?.call(invocation));
        let inliner = Inliner::new(Always).verify_with(engine.isa());
        let (_, compiled) = inliner.run_and_compile(&program, engine.isa()).unwrap();
        let functions = compiled.iter().map(|(_, function)| function);
        seen.push(engine.link(&program, functions)?.call(invocation));
    }
    let first = seen.remove(0);
    for other in seen {
        // Faults are at other places in other code.
        if first.is_ok() || other.is_ok() {
            assert_eq!(first, other, "{clif}");
        }
    }
    first
}

/// Returns the observation of the call, if interpreter and native code agree.
pub(crate) fn everywhere(clif: &str, invocation: &Invocation) -> Observation {
    let interpreted = interpret(&program(clif), invocation, FUEL).unwrap();
    let native = natively(clif, invocation).unwrap();
    assert_eq!(interpreted, native, "{clif}");
    native
}
