//! Traps, and what cannot be observed.

use crate::support::{call, everywhere};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::TrapCode;
use cranelift_inliner::testing::execute::Outcome;

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
