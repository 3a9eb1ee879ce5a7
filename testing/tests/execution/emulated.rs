//! Code of other architectures, in an emulator, behaves like in the interpreter.
//!
use crate::exceptions;
use crate::support::{FUEL, call, compile};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::Endianness;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::TargetSettings;
use cranelift_inliner::cleanup::OptimizeOptions;
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::execute::{
    EmulatedPrograms, Emulator, ExecuteError, Invocation, Outcome, interpret_in_order,
};
use cranelift_inliner_testing::targets::Architecture;

pub(crate) const EMULATED: [Architecture; 3] = [
    Architecture::Aarch64,
    Architecture::Riscv64,
    Architecture::S390x,
];

/// Returns the emulator, or `None` where a program for it is missing.
pub(crate) fn emulator(architecture: Architecture, level: OptLevel) -> Option<Emulator> {
    match Emulator::new(architecture, &TargetSettings::new().opt_level(level)) {
        Err(ExecuteError::Unsupported { reason }) => {
            eprintln!("passed over: {architecture:?}: {reason}");
            None
        }
        emulator => Some(emulator.unwrap()),
    }
}

const FUNCTIONS: &str = "
function %values(i8, i16, i32, i64, f32, f64, i32x4) -> i64, f64 {
    fn0 = %host(i8, i16, i32, i64, f32, f64, i32x4) -> i32, f32
block0(v0: i8, v1: i16, v2: i32, v3: i64, v4: f32, v5: f64, v6: i32x4):
    v7, v8 = call fn0(v0, v1, v2, v3, v4, v5, v6)
    v9 = sextend.i64 v7
    v10 = fpromote.f64 v8
    return v9, v10
}
function %traps(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = udiv v0, v1
    trapz v0, user7
    return v2
}
function %parts(i64) -> i8, i32 {
    ss0 = explicit_slot 8
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = load.i8 v1
    v3 = load.i32 v1+4
    return v2, v3
}";

/// Returns these functions, and `%main`, which catches exceptions.
fn functions() -> Program {
    Program::from_clif(&format!("{FUNCTIONS}{}", exceptions::CLIF), "emulated.clif").unwrap()
}

/// Calls a program as it is and with everything inlined, and returns the outcome.
fn in_emulator(emulated: &mut EmulatedPrograms, program: &Program, call: &Invocation) -> Outcome {
    let seen: Vec<_> = (0..2).map(|number| emulated.call(number, call)).collect();
    let (before, after) = (seen[0].as_ref().unwrap(), seen[1].as_ref().unwrap());
    assert_eq!(before, after, "{call:?}");
    let parts = call.function.to_string() == "%parts";
    if !parts {
        let interpreted = interpret_in_order(program, call, FUEL, Endianness::Little);
        assert_eq!(before, &interpreted.unwrap(), "{call:?}");
    }
    before.outcome.clone()
}

#[test]
fn values_traps_and_exceptions_are_the_interpreters() {
    let program = functions();
    for architecture in EMULATED {
        for level in [OptLevel::None, OptLevel::Speed] {
            let Some(emulator) = emulator(architecture, level) else {
                continue;
            };
            let isa = emulator.isa();
            let (_, inlined) = Inliner::new(Always).run_and_compile(&program, isa).unwrap();
            let mut linker = emulator.linker().unwrap();
            let compiled = compile(&program, isa).unwrap();
            linker.add(&program, &compiled).unwrap();
            let functions = inlined.iter().map(|(_, function)| function);
            linker.add(&program, functions).unwrap();
            let mut emulated = linker.link().unwrap();
            let mut run = |function: &str, arguments: &[DataValue]| {
                in_emulator(&mut emulated, &program, &call(function, arguments))
            };

            let vector = DataValue::V128((0..16).collect::<Vec<u8>>().try_into().unwrap());
            run(
                "%values",
                &[
                    DataValue::I8(-1),
                    DataValue::I16(300),
                    DataValue::I32(i32::MIN),
                    DataValue::I64(1 << 40),
                    DataValue::F32(1.5_f32.into()),
                    DataValue::F64((-2.5_f64).into()),
                    vector,
                ],
            );
            let word = |bits: i32| DataValue::I32(bits);
            let traps = |outcome: &Outcome| matches!(outcome, Outcome::Trapped(_));
            assert!(!traps(&run("%traps", &[word(7), word(2)])));
            assert!(traps(&run("%traps", &[word(7), word(0)])));
            assert!(traps(&run("%traps", &[word(0), word(2)])));

            let long = |bits: i64| DataValue::I64(bits);
            let parts = run("%parts", &[long(0x0102_0304_0506_0708)]);
            let little = [DataValue::I8(8), word(0x102_0304)];
            let big = [DataValue::I8(1), word(0x506_0708)];
            let expected = match isa.endianness() {
                Endianness::Little => little,
                Endianness::Big => big,
            };
            assert_eq!(parts, Outcome::Returned(expected.to_vec()));

            for (tag, value) in [(1, Some(1007)), (2, Some(7)), (3, Some(7)), (4, None)] {
                let outcome = run("%main", &[long(tag), long(7)]);
                assert_eq!(
                    outcome,
                    match value {
                        Some(value) => Outcome::Returned(vec![long(value)]),
                        None => Outcome::Threw { tag: 4, payload: 7 },
                    }
                );
            }
        }
    }
}

/// The pass that knows the machine's byte order makes values of parts of numbers. With the other
/// order it makes others, so the order matters here.
#[test]
fn parts_of_numbers_are_those_of_the_machines_byte_order() {
    let program = functions();
    let argument = DataValue::I64(0x0102_0304_0506_0708);
    let call = call("%parts", &[argument]);
    for architecture in EMULATED {
        let Some(emulator) = emulator(architecture, OptLevel::None) else {
            continue;
        };
        let mut linker = emulator.linker().unwrap();
        for order in [Endianness::Little, Endianness::Big] {
            let mut options = OptimizeOptions::default();
            options.endianness = Some(order);
            let inliner = Inliner::new(Always).optimize(Optimize::All);
            let inliner = inliner.optimize_options(options);
            let inlined = inliner.run(&program).unwrap();
            let functions = compile(inlined.program(), emulator.isa()).unwrap();
            linker.add(&program, &functions).unwrap();
        }
        let compiled = compile(&program, emulator.isa()).unwrap();
        let as_it_is = linker.add(&program, &compiled).unwrap();
        let mut emulated = linker.link().unwrap();
        let seen = [0, 1].map(|number| emulated.call(number, &call).unwrap());
        let expected = emulated.call(as_it_is, &call).unwrap();
        let right = usize::from(emulator.isa().endianness() == Endianness::Big);
        assert_eq!(seen[right], expected);
        assert_ne!(seen[1 - right], expected);
    }
}
