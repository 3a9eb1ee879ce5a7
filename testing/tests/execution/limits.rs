//! Programs that do not end, or not with a comparable result.

use crate::support::{FUEL, call, engine, name, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner_testing::execute::{ExecuteError, Outcome, interpret};

#[test]
fn the_interpreter_takes_no_more_steps_than_it_may() {
    let clif = "
function %main() -> i32 {
    fn0 = %two() -> i32
block0:
    v0 = call fn0()
    return v0
}
function %two() -> i32 {
block0:
    v0 = iconst.i32 2
    return v0
}";
    let program = program(clif);
    let seen = interpret(&program, &call("main", &[]), 4).unwrap();
    assert_eq!(seen.outcome, Outcome::Returned(vec![DataValue::I32(2)]));
    let expected = ExecuteError::OutOfFuel {
        function: name("main"),
        fuel: 3,
    };
    let three = interpret(&program, &call("main", &[]), 3);
    assert_eq!(three, Err(expected));
}

const ENDLESS: &str = "
function %main(i64) -> i64 tail {
    ss0 = explicit_slot 64
    fn0 = %main(i64) -> i64 tail
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = call fn0(v0)
    v3 = load.i64 v1
    v4 = iadd v2, v3
    return v4
}";

#[test]
fn endless_recursion_ends_in_an_error() {
    let program = program(ENDLESS);
    let main = call("main", &[DataValue::I64(1)]);
    let interpreted = interpret(&program, &main, u64::MAX);
    assert!(
        matches!(&interpreted, Err(ExecuteError::TooDeep { function }) if *function == name("main")),
        "{interpreted:?}"
    );
    let native = engine(OptLevel::None).compile(&program).unwrap();
    for _ in 0..3 {
        let seen = native.call(&main);
        assert!(
            matches!(&seen, Err(ExecuteError::Fault { function, .. }) if *function == name("main")),
            "{seen:?}"
        );
    }
}

#[test]
fn tail_calls_need_no_room() {
    let clif = "
function %main(i64) -> i64 tail {
    fn0 = %main(i64) -> i64 tail
    fn1 = %done(i64) -> i64 tail
block0(v0: i64):
    v1 = iconst.i64 1
    v2 = isub v0, v1
    brif v2, block1, block2
block1:
    return_call fn0(v2)
block2:
    return_call fn1(v0)
}";
    let program = program(clif);
    let main = call("main", &[DataValue::I64(100_000)]);
    let interpreted = interpret(&program, &main, 1_000_000).unwrap();
    assert_eq!(interpreted.host_calls[0].arguments, [DataValue::I64(1)]);
    let native = engine(OptLevel::Speed).compile(&program).unwrap();
    assert_eq!(native.call(&main).unwrap(), interpreted);
}

#[test]
fn functions_that_cannot_be_interpreted_are_named() {
    let clif = "
function %main() -> i64 {
    fn0 = %inner() -> i64
block0:
    v0 = call fn0()
    return v0
}
function %inner() -> i64 {
block0:
    v0 = get_frame_pointer.i64
    return v0
}";
    match interpret(&program(clif), &call("main", &[]), FUEL) {
        Err(ExecuteError::NotInterpretable {
            function,
            instruction,
            ..
        }) => {
            assert_eq!(function, name("inner"));
            assert_eq!(instruction, "v0 = get_frame_pointer.i64 ");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn invocations_must_fit() {
    let clif = "
function %main(i32, i8x16) -> i32 {
block0(v0: i32, v1: i8x16):
    return v0
}";
    let program = program(clif);
    let native = engine(OptLevel::None).compile(&program).unwrap();
    let vector = DataValue::V128([1; 16]);
    let fine = call("main", &[DataValue::I32(1), vector.clone()]);
    assert_eq!(
        native.call(&fine).unwrap(),
        interpret(&program, &fine, FUEL).unwrap()
    );
    let bad = [
        call("main", &[DataValue::I32(1)]),
        call("main", &[DataValue::I64(1), vector.clone()]),
        call("main", &[DataValue::I32(1), DataValue::V64([1; 8])]),
        call("main", &[vector, DataValue::I32(1)]),
    ];
    for invocation in bad {
        let interpreted = interpret(&program, &invocation, FUEL);
        assert!(
            matches!(interpreted, Err(ExecuteError::Arguments { .. })),
            "{interpreted:?}"
        );
        assert_eq!(native.call(&invocation), interpreted);
    }
    let unknown = call("nobody", &[]);
    let expected = Err(ExecuteError::UnknownFunction {
        function: name("nobody"),
    });
    assert_eq!(interpret(&program, &unknown, FUEL), expected);
    assert_eq!(native.call(&unknown), expected);
}
