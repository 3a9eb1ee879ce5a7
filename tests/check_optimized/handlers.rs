//! Handlers that went: which callees the checker takes for ones that never throw.

use crate::support::prove;
use cranelift_inliner::check::Unproved;

/// Returns whether a call of `%callee` may lose a handler for all, in a program with these
/// functions.
fn may_lose_handlers(program: &str) -> Result<(), Unproved> {
    let before = "
function %main(i64) -> i64 system_v {
    sig0 = (i64) -> i64 system_v
    fn0 = %callee sig0
block0(v0: i64):
    try_call fn0(v0), sig0, block1(ret0), [ default: block2(exn0) ]
block1(v1: i64):
    return v1
block2(v2: i64):
    return v2
}";
    let after = "
function %main(i64) -> i64 system_v {
    fn0 = %callee(i64) -> i64 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    return v1
}";
    prove(before, after, program)
}

/// Returns a `%callee` with this body.
fn callee(body: &str) -> String {
    format!(
        "function %callee(i64) -> i64 system_v {{
            sig0 = (i64) -> i64 system_v
            fn0 = %other sig0
            fn1 = %unknown sig0
            fn2 = %quiet sig0
        block0(v0: i64):
            {body}
        }}\n"
    )
}

fn refuses(program: &str) {
    let unproved = may_lose_handlers(program).unwrap_err();
    let told = unproved.to_string();
    assert!(told.contains("though it may throw"), "{told}");
}

const QUIET_OTHER: &str = "function %other(i64) -> i64 system_v {
block0(v0: i64):
    return v0
}\n";

#[test]
fn callees_that_call_only_functions_that_never_throw() {
    let body = callee("v1 = call fn0(v0)\n v2 = call fn2(v1)\n return v2");
    may_lose_handlers(&(body + QUIET_OTHER)).unwrap();
    let library = "function %callee(i64) -> i64 system_v {
        fn0 = %FloorF64(f64) -> f64 system_v
    block0(v0: i64):
        v1 = fcvt_from_sint.f64 v0
        v2 = call fn0(v1)
        v3 = bitcast.i64 v2
        return v3
    }";
    may_lose_handlers(library).unwrap();
    let caught =
        "try_call fn1(v0), sig0, block1(ret0), [ tag1: block1(exn0), default: block1(exn0) ]
        block1(v1: i64):
            return v1";
    may_lose_handlers(&callee(caught)).unwrap();
    let in_a_cycle = callee("v1 = call fn0(v0)\n return v1")
        + &QUIET_OTHER
            .replace("block0", "fn0 = %callee(i64) -> i64 system_v\nblock0")
            .replace("return v0", "v1 = call fn0(v0)\n    return v1");
    may_lose_handlers(&in_a_cycle).unwrap();
}

#[test]
fn callees_that_may_throw() {
    refuses("");
    refuses(&callee("v1 = call fn1(v0)\n return v1"));
    refuses(&callee("v1 = call_indirect sig0, v0(v0)\n return v1"));
    refuses(&callee("v1 = stack_switch v0, v0, v0\n return v1"));
    let caught_in_part = "try_call fn1(v0), sig0, block1(ret0), [ tag1: block1(exn0) ]
        block1(v1: i64):
            return v1";
    refuses(&callee(caught_in_part));
    let further_in = callee("v1 = call fn0(v0)\n return v1")
        + &QUIET_OTHER
            .replace("block0", "fn0 = %unknown(i64) -> i64 system_v\nblock0")
            .replace("return v0", "v1 = call fn0(v0)\n    return v1");
    refuses(&further_in);
    let by_tail = callee("return_call fn1(v0)").replace("system_v", "tail");
    let by_tail = by_tail.replacen("-> i64 tail {", "-> i64 system_v {", 1);
    refuses(&by_tail);
}
