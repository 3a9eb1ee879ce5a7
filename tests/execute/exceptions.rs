//! Exceptions, through frames of any number.

use crate::support::{call, everywhere};
use cranelift_codegen::data_value::DataValue;
use cranelift_inliner::testing::execute::Outcome;

const CLIF: &str = "
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
