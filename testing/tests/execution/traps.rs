//! Traps, and calls that cannot be observed.

use crate::support::{call, everywhere, name, natively};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::TrapCode;
use cranelift_inliner_testing::execute::{ExecuteError, Outcome};

#[test]
fn traps_have_their_codes_however_deep() {
    let clif = "
function %main(i32, i32) -> i32 {
    fn0 = %middle(i32, i32) -> i32 tail
    fn1 = %host(i32)
block0(v0: i32, v1: i32):
    call fn1(v0)
    v2 = call fn0(v0, v1)
    call fn1(v2)
    return v2
}
function %middle(i32, i32) -> i32 tail {
    ss0 = explicit_slot 64
    fn0 = %inner(i32, i32) -> i32 fast
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    store v0, v2
    v3 = call fn0(v0, v1)
    v4 = load.i32 v2
    v5 = iadd v3, v4
    return v5
}
function %inner(i32, i32) -> i32 fast {
block0(v0: i32, v1: i32):
    trapz v0, user7
    v2 = sdiv v0, v1
    return v2
}";
    for (arguments, expected) in [
        ([0, 1], TrapCode::unwrap_user(7)),
        ([1, 0], TrapCode::INTEGER_DIVISION_BY_ZERO),
        ([i32::MIN, -1], TrapCode::INTEGER_OVERFLOW),
    ] {
        let seen = everywhere(clif, &call("main", &arguments.map(DataValue::I32)));
        assert_eq!(seen.outcome, Outcome::Trapped(expected), "{arguments:?}");
        assert_eq!(seen.host_calls.len(), 1);
    }
    let fine = everywhere(clif, &call("main", &[6, 2].map(DataValue::I32)));
    let nine = Outcome::Returned(vec![DataValue::I32(9)]);
    assert_eq!(fine.outcome, nine);
    assert_eq!(fine.host_calls.len(), 2);
}

#[test]
fn a_load_where_nothing_is_traps() {
    let clif = "
function %main(i64) -> i64 {
block0(v0: i64):
    v1 = load.i64 v0
    return v1
}";
    let address = 2_u64 << 62;
    let seen = everywhere(clif, &call("main", &[DataValue::I64(address as i64)]));
    assert_eq!(seen.outcome, Outcome::Trapped(TrapCode::HEAP_OUT_OF_BOUNDS));
}

#[test]
fn a_breakpoint_is_no_trap_and_does_no_harm() {
    let clif = "
function %main(i32) -> i32 {
    fn0 = %inner() system_v
block0(v0: i32):
    brif v0, block1, block2
block1:
    call fn0()
    return v0
block2:
    return v0
}
function %inner() system_v {
block0:
    debugtrap
    return
}";
    let broken = natively(clif, &call("main", &[DataValue::I32(1)]));
    match broken {
        Err(ExecuteError::Fault { function, .. }) => assert_eq!(function, name("inner")),
        other => panic!("{other:?}"),
    }
    let fine = natively(clif, &call("main", &[DataValue::I32(0)])).unwrap();
    assert_eq!(fine.outcome, Outcome::Returned(vec![DataValue::I32(0)]));
}

/// Each of the ways in which code of a constant, a table or a comparison traps.
#[test]
fn conversions_and_conditions_trap() {
    let conversion = "
function %main(f64) -> i32 {
block0(v0: f64):
    v1 = fcvt_to_sint.i32 v0
    return v1
}";
    let conversion = |value: f64| {
        let seen = everywhere(conversion, &call("main", &[DataValue::F64(value.into())]));
        seen.outcome
    };
    let returned = Outcome::Returned(vec![DataValue::I32(-3)]);
    assert_eq!(conversion(-3.75), returned);
    let overflow = Outcome::Trapped(TrapCode::INTEGER_OVERFLOW);
    assert_eq!(conversion(3e10), overflow);
    let bad = Outcome::Trapped(TrapCode::BAD_CONVERSION_TO_INTEGER);
    assert_eq!(conversion(f64::NAN), bad);
    let sum = "
function %main(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = uadd_overflow_trap v0, v1, user3
    trapnz v2, user4
    return v2
}";
    let sum = |values: [i32; 2]| everywhere(sum, &call("main", &values.map(DataValue::I32)));
    let user = |code| Outcome::Trapped(TrapCode::unwrap_user(code));
    assert_eq!(sum([-1, 2]).outcome, user(3));
    assert_eq!(sum([1, 2]).outcome, user(4));
}
