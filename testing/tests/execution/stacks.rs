//! Programs that switch between stacks, natively: Cranelift's interpreter cannot.

use crate::support::{call, natively};
use cranelift_codegen::data_value::DataValue;
use cranelift_inliner_testing::execute::Outcome;

/// Returns a coroutine that adds up the sent values, on a stack that is a slot of `%main`.
/// Everything that switches is a function of its own, which is inlined into both sides.
fn coroutine(between: &str) -> String {
    format!(
        "
function %resume(i64, i64, i64) -> i64 fast {{
    ss0 = explicit_slot 16, align = 8
    fn0 = %ask(i64) -> i64
block0(v0: i64, v1: i64, v2: i64):
    v3 = stack_addr.i64 ss0
    store notrap aligned v2, v3
    {between}
    v4 = stack_switch v0, v1, v2
    v5 = load.i64 notrap aligned v3
    v6 = isub v4, v5
    v7 = iadd v6, v5
    return v7
}}
function %adder(i64) system_v {{
    fn0 = %resume(i64, i64, i64) -> i64 fast
block0(v0: i64):
    v1 = load.i64 notrap aligned v0
    v2 = load.i64 notrap aligned v0+8
    v3 = iconst.i64 0
    jump block1(v3)
block1(v4: i64):
    v5 = call fn0(v1, v2, v4)
    v6 = iadd v4, v5
    jump block1(v6)
}}
function %prepare(i64, i64, i64) -> i64 fast {{
    fn0 = %adder(i64) system_v
    fn1 = %resume(i64, i64, i64) -> i64 fast
block0(v0: i64, v1: i64, v2: i64):
    ; As if it had been called: the stack below a return address.
    v3 = iconst.i64 0
    store notrap aligned v3, v0
    v4 = iconst.i64 8
    v5 = isub v0, v4
    store notrap aligned v3, v5
    store notrap aligned v5, v1
    store notrap aligned v3, v1+8
    v6 = func_addr.i64 fn0
    store notrap aligned v6, v1+16
    store notrap aligned v1, v2
    v9 = iconst.i64 24
    v7 = iadd v1, v9
    store notrap aligned v7, v2+8
    v8 = call fn1(v7, v1, v2)
    return v8
}}
function %main(i64) -> i64 {{
    ss0 = explicit_slot 16384, align = 16
    ss1 = explicit_slot 48, align = 8
    ss2 = explicit_slot 16, align = 8
    fn0 = %prepare(i64, i64, i64) -> i64 fast
    fn1 = %resume(i64, i64, i64) -> i64 fast
    fn2 = %ask(i64) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0+16368
    v2 = stack_addr.i64 ss1
    v3 = stack_addr.i64 ss2
    v4 = call fn0(v1, v2, v3)
    v12 = iconst.i64 24
    v5 = iadd v2, v12
    jump block1(v0, v4)
block1(v6: i64, v7: i64):
    v8 = call fn1(v5, v2, v6)
    v9 = call fn2(v8)
    v13 = iconst.i64 -1
    v10 = iadd v6, v13
    brif v10, block1(v10, v8), block2
block2:
    v11 = iadd v7, v8
    return v11
}}"
    )
}

#[test]
fn inlined_switches_keep_both_activations() {
    for between in ["", "v100 = iconst.i64 7\n    v101 = call fn0(v100)"] {
        let seen = natively(&coroutine(between), &call("main", &[DataValue::I64(5)])).unwrap();
        // 5, 9, 12, 14, 15: the last two.
        assert_eq!(seen.outcome, Outcome::Returned(vec![DataValue::I64(29)]));
        assert!(seen.host_calls.len() >= 5);
    }
}
