//! Running code leaves nothing behind in the process.

use crate::support::{call, engine, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::TrapCode;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner_testing::execute::Outcome;
use std::process::Command;

const TRAPS: &str = "
function %main(i32) -> i32 {
    fn0 = %host(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    v2 = iconst.i32 0
    v3 = udiv v1, v2
    return v3
}";

#[test]
fn threads_trap_each_on_their_own() {
    let program = program(TRAPS);
    let engine = engine(OptLevel::Speed);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (program, engine) = (&program, &engine);
            scope.spawn(move || {
                for round in 0..50 {
                    let native = engine.compile(program).unwrap();
                    let argument = DataValue::I32(thread * 1000 + round);
                    let main = call("main", std::slice::from_ref(&argument));
                    let seen = native.call(&main).unwrap();
                    let expected = Outcome::Trapped(TrapCode::INTEGER_DIVISION_BY_ZERO);
                    assert_eq!(seen.outcome, expected);
                    assert_eq!(seen.host_calls[0].arguments, [argument]);
                }
            });
        }
    });
}

/// Returns the number of mappings of this process's memory.
#[cfg(target_os = "linux")]
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

#[cfg(target_os = "linux")]
#[test]
fn dropped_code_is_given_back() {
    let program = program(TRAPS);
    let engine = engine(OptLevel::None);
    let before = mappings();
    for _ in 0..1000 {
        engine.compile(&program).unwrap();
    }
    // Other tests run beside this one.
    assert!(mappings() < before + 500);
    let kept: Vec<_> = (0..1000)
        .map(|_| engine.compile(&program).unwrap())
        .collect();
    assert!(mappings() >= before + kept.len() / 2);
}

/// Set in the process that is to die.
const VARIABLE: &str = "EXECUTE_TEST_OVERFLOWS";

#[expect(unconditional_recursion, reason = "it is to run out of stack")]
fn overflow(depth: u64) -> u64 {
    std::hint::black_box(overflow(std::hint::black_box(depth + 1))) + 1
}

#[test]
fn a_fault_elsewhere_ends_the_process_as_ever() {
    if std::env::var_os(VARIABLE).is_some() {
        let native = engine(OptLevel::None).compile(&program(TRAPS)).unwrap();
        let seen = native.call(&call("main", &[DataValue::I32(1)])).unwrap();
        assert!(matches!(seen.outcome, Outcome::Trapped(_)));
        overflow(0);
    }
    let test = "process::a_fault_elsewhere_ends_the_process_as_ever";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, "1")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    // The standard library's own handler has had its say.
    assert!(errors.contains("has overflowed its stack"), "{errors}");
}
