//! Exceptions, through frames of any number.

use crate::support::{call, everywhere};
use cranelift_codegen::data_value::DataValue;
use cranelift_inliner_testing::execute::Outcome;

pub(crate) const CLIF: &str = "
function %main(i64, i64) -> i64 tail {
    sig0 = (i64, i64) -> i64 tail
    fn0 = %outer sig0
block0(v0: i64, v1: i64):
    try_call fn0(v0, v1), sig0, block1(ret0), [ tag1: block2(exn0, exn1), tag2: block3(v1) ]
block1(v2: i64):
    return v2
block2(v3: i64, v4: i64):
    v5 = iconst.i64 1000
    v6 = iadd v3, v5
    v7 = iadd v6, v4
    return v7
block3(v8: i64):
    return v8
}
function %outer(i64, i64) -> i64 tail {
    ss0 = explicit_slot 128
    fn0 = %inner(i64, i64) -> i64 fast
block0(v0: i64, v1: i64):
    v2 = call fn0(v0, v1)
    v3 = stack_addr.i64 ss0
    store v2, v3
    return v2
}
function %inner(i64, i64) -> i64 fast {
    sig0 = (i64, i64) tail
    fn0 = %throw sig0
block0(v0: i64, v1: i64):
    try_call fn0(v0, v1), sig0, block1, [ tag3: block2(exn0) ]
block1:
    trap user1
block2(v2: i64):
    return v2
}";

#[test]
fn an_exception_goes_on_at_the_innermost_handler_of_its_tag() {
    let main = |tag| everywhere(CLIF, &call("main", &[tag, 7].map(DataValue::I64)));
    for (tag, expected) in [(1, 1007), (2, 7), (3, 7)] {
        let seen = main(tag);
        let expected = Outcome::Returned(vec![DataValue::I64(expected)]);
        assert_eq!(seen.outcome, expected, "{tag}");
        let thrown = &seen.host_calls[0].arguments;
        assert_eq!(*thrown, [DataValue::I64(tag), DataValue::I64(7)]);
    }
    let threw = Outcome::Threw { tag: 4, payload: 7 };
    assert_eq!(main(4).outcome, threw);
}

#[test]
fn any_handler_takes_the_exceptions_of_a_default_and_contexts_are_passed_over() {
    let clif = "
function %main(i64) -> i64, i64 tail {
    sig0 = (i64, i64) tail
    fn0 = %throw sig0
block0(v0: i64):
    v1 = iconst.i64 11
    v2 = func_addr.i64 fn0
    try_call_indirect v2(v0, v1), sig0, block1, [ context v0, tag9: block2(exn0), default: block3(exn0, exn1) ]
block1:
    trap user1
block2(v3: i64):
    return v3, v0
block3(v4: i64, v5: i64):
    v6 = ineg v4
    return v6, v5
}";
    let main = |tag| everywhere(clif, &call("main", &[DataValue::I64(tag)]));
    let returned = |values: [i64; 2]| Outcome::Returned(values.map(DataValue::I64).to_vec());
    assert_eq!(main(9).outcome, returned([11, 9]));
    assert_eq!(main(10).outcome, returned([-11, 0]));
}

/// Values that callers keep in registers across a call survive an exception, in the program and in
/// its own caller.
#[test]
fn an_exception_passes_frames_that_keep_registers() {
    let clif = "
function %main(i64, i64) -> i64 tail {
    sig0 = (i64, i64) -> i64 tail
    fn0 = %busy sig0
block0(v0: i64, v1: i64):
    v2 = imul v0, v1
    v3 = iadd v0, v1
    v4 = bxor v2, v3
    try_call fn0(v0, v1), sig0, block1(ret0), [ tag1: block2(exn0) ]
block1(v5: i64):
    return v5
block2(v6: i64):
    v7 = iadd v6, v2
    v8 = iadd v7, v3
    v9 = iadd v8, v4
    return v9
}
function %busy(i64, i64) -> i64 tail {
    fn0 = %keeps(i64, i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = call fn0(v0, v1)
    return v2
}
function %keeps(i64, i64) -> i64 system_v {
    fn0 = %throw(i64, i64) tail
    fn1 = %host(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = call fn1(v0)
    v3 = call fn1(v1)
    v4 = call fn1(v2)
    v5 = call fn1(v3)
    call fn0(v0, v1)
    v6 = iadd v2, v3
    v7 = iadd v4, v5
    v8 = iadd v6, v7
    return v8
}";
    let seen = everywhere(clif, &call("main", &[1, 6].map(DataValue::I64)));
    let expected = 6 + 6 + 7 + (6 ^ 7);
    assert_eq!(
        seen.outcome,
        Outcome::Returned(vec![DataValue::I64(expected)])
    );
    assert_eq!(seen.host_calls.len(), 5);
    let uncaught = everywhere(clif, &call("main", &[2, 6].map(DataValue::I64)));
    assert_eq!(uncaught.outcome, Outcome::Threw { tag: 2, payload: 6 });
}

#[test]
fn a_tail_call_of_throw_throws_from_the_caller() {
    let clif = "
function %main(i64) -> i64 tail {
    sig0 = (i64) -> i64 tail
    fn0 = %inner sig0
block0(v0: i64):
    try_call fn0(v0), sig0, block1(ret0), [ tag1: block1(exn0) ]
block1(v1: i64):
    return v1
}
function %inner(i64) -> i64 tail {
    fn0 = %throw(i64) -> i64 tail
block0(v0: i64):
    return_call fn0(v0)
}";
    let caught = everywhere(clif, &call("main", &[DataValue::I64(1)]));
    assert_eq!(caught.outcome, Outcome::Returned(vec![DataValue::I64(0)]));
    let uncaught = everywhere(clif, &call("main", &[DataValue::I64(3)]));
    assert_eq!(uncaught.outcome, Outcome::Threw { tag: 3, payload: 0 });
}
