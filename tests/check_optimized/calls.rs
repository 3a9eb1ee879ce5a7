//! Indirect calls that became direct, and handlers that went.

use crate::support::{Base, Fault, before, fault};

const PROGRAM: &str = "
function %one(i32) -> i32 system_v {
block0(v0: i32):
    return v0
}
function %two(i32) -> i32 system_v {
block0(v0: i32):
    return v0
}
function %three(i64) -> i32 system_v {
block0(v0: i64):
    v1 = ireduce.i32 v0
    return v1
}
function %throws(i32) -> i32 system_v {
    fn0 = %unknown(i32) -> i32 system_v
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}
function %catches(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %unknown(i32) -> i32 system_v
    fn1 = %quiet(i32) -> i32 system_v
    fn2 = %catches(i32) -> i32 system_v
block0(v0: i32):
    v1 = call fn1(v0)
    v2 = call fn2(v1)
    try_call fn0(v2), sig0, block1(ret0), [ default: block2 ]
block1(v3: i32):
    return v3
block2:
    return v0
}
function %partly(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %unknown(i32) -> i32 system_v
block0(v0: i32):
    try_call fn0(v0), sig0, block1(ret0), [ tag1: block2 ]
block1(v3: i32):
    return v3
block2:
    return v0
}";

pub(crate) const BASES: &[Base] = &[
    Base {
        name: "a guard before an indirect call",
        before: "
function %f(i64, i64) -> i64 system_v {
    sig0 = (i64) -> i64 system_v
    fn0 = %g(i64) -> i64 system_v
    fn1 = %h(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = call_indirect sig0, v0(v1)
    v3 = func_addr.i64 fn0
    v4 = func_addr.i64 fn1
    v5 = iadd v2, v1
    return v5
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    sig0 = (i64) -> i64 system_v
    fn0 = %g(i64) -> i64 system_v
    fn1 = %h(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v3 = func_addr.i64 fn0
    v4 = func_addr.i64 fn1
    v6 = icmp eq v0, v3
    brif v6, block1, block2
block1:
    v7 = call fn0(v1)
    jump block3(v7)
block2:
    v8 = call_indirect sig0, v0(v1)
    jump block3(v8)
block3(v2: i64):
    v5 = iadd v2, v1
    return v5
}",
        program: "",
        faults: &[
            fault(
                "another function than that of the test",
                &[("v7 = call fn0(v1)", "v7 = call fn1(v1)")],
                "another function",
            ),
            fault(
                "a test for another function",
                &[("icmp eq v0, v3", "icmp eq v0, v4")],
                "another function",
            ),
            fault(
                "a test that holds for all others",
                &[("icmp eq v0, v3", "icmp ne v0, v3")],
                "came before",
            ),
            fault(
                "a test of another value",
                &[("icmp eq v0, v3", "icmp eq v1, v3")],
                "came before",
            ),
            fault(
                "the sides changed",
                &[("brif v6, block1, block2", "brif v6, block2, block1")],
                "its target is not known",
            ),
            fault(
                "an argument of the direct call",
                &[("v7 = call fn0(v1)", "v7 = call fn0(v0)")],
                "another operand",
            ),
            fault(
                "no call on one side",
                &[(
                    "    v7 = call fn0(v1)\n    jump block3(v7)",
                    "    jump block3(v1)",
                )],
                "another way to block3",
            ),
            fault(
                "another result on one side",
                &[("jump block3(v8)", "jump block3(v1)")],
                "another operand",
            ),
            fault(
                "two calls on one side",
                &[(
                    "v7 = call fn0(v1)",
                    "v9 = call fn0(v1)\n    v7 = call fn0(v1)",
                )],
                "came before",
            ),
        ],
    },
    Base {
        name: "a guard that is always decided",
        before: "
function %f(i64) -> i64 system_v {
    ss0 = explicit_slot 16
    sig0 = (i64, i64) -> i64 system_v
    fn0 = %g(i64, i64) -> i64 system_v
    fn1 = %h(i64) system_v
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = func_addr.i64 fn0
    store notrap v2, v1
    jump block1(v0)
block1(v3: i64):
    v4 = load.i64 notrap v1
    v5 = icmp eq v4, v2
    brif v5, block2, block3
block2:
    call fn1(v3)
    store notrap v3, v1+8
    jump block4
block3:
    v6 = call_indirect sig0, v4(v1, v3)
    jump block4
block4:
    v7 = iconst.i64 -1
    v8 = iadd v3, v7
    brif v8, block1(v8), block5
block5:
    return v0
}",
        after: "
function %f(i64) -> i64 system_v {
    fn1 = %h(i64) system_v
block0(v0: i64):
    jump block1(v0)
block1(v3: i64):
    call fn1(v3)
    v7 = iconst.i64 -1
    v8 = iadd v3, v7
    brif v8, block1(v8), block5
block5:
    return v0
}",
        program: "",
        faults: &[
            before(
                "a store to the address in the loop",
                &[("store notrap v3, v1+8", "store notrap v3, v1")],
                "came before",
            ),
            before(
                "a store to a part of it",
                &[("store notrap v3, v1+8", "store notrap v3, v1+1")],
                "came before",
            ),
            before(
                "a call that gets the slot",
                &[("call fn1(v3)\n    store", "call fn1(v1)\n    store")],
                "came before",
            ),
            before(
                "an address that goes out on the way",
                &[(
                    "    jump block1(v0)",
                    "    store notrap v1, v0\n    jump block1(v0)",
                )],
                "came before",
            ),
            before(
                "another function at first",
                &[("store notrap v2, v1", "store notrap v0, v1")],
                "came before",
            ),
        ],
    },
    Base {
        name: "known targets",
        before: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
    sig0 = (i32) -> i32 system_v
    sig1 = (i32) -> i32 system_v
    gv0 = symbol %vtable
    fn0 = colocated %one(i32) -> i32 system_v
    fn1 = colocated %two(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = func_addr.i64 fn0
    v3 = stack_addr.i64 ss0
    store v2, v3
    v4 = load.i64 v3
    v5 = call_indirect sig0, v4(v0)
    v6 = symbol_value.i64 gv0
    v7 = load.i64 notrap v6+8
    v8 = call_indirect sig0, v7(v5)
    v9 = func_addr.i64 fn1
    try_call_indirect v9(v8), sig1, block1(ret0), [ tag2: block2(exn0) ]
block1(v10: i32):
    return_call_indirect sig0, v2(v10)
block2(v11: i64):
    store v11, v1
    return v0
}",
        after: "
function %f(i32, i64) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = colocated %one(i32) -> i32 system_v
    fn1 = colocated %two(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v5 = call fn0(v0)
    v8 = call fn0(v5)
    try_call fn1(v8), sig0, block1(ret0), [ tag2: block2(exn0) ]
block1(v10: i32):
    return_call fn0(v10)
block2(v11: i64):
    store v11, v1
    return v0
}",
        program: PROGRAM,
        faults: &[
            before(
                "an address in a table is loaded in another byte order",
                &[("v7 = load.i64 notrap v6+8", "v7 = load.i64 notrap big v6+8")],
                "target is not known",
            ),
            before(
                "a half of an address in a table",
                &[(
                    "v7 = load.i64 notrap v6+8",
                    "v12 = load.i32 notrap v6+8\n    v7 = uextend.i64 v12",
                )],
                "target is not known",
            ),
            fault(
                "another function",
                &[("v5 = call fn0(v0)", "v5 = call fn1(v0)")],
                "another function",
            ),
            fault(
                "another function of a table",
                &[("v8 = call fn0(v5)", "v8 = call fn1(v5)")],
                "another function",
            ),
            fault(
                "another function with handlers",
                &[("try_call fn1(v8)", "try_call fn0(v8)")],
                "another function",
            ),
            fault(
                "another function at the end",
                &[("return_call fn0", "return_call fn1")],
                "another function",
            ),
            fault(
                "a call instead of a tail call",
                &[(
                    "return_call fn0(v10)",
                    "v12 = call fn0(v10)\n    return v12",
                )],
                "another kind of call",
            ),
            fault(
                "declared as near though it is not",
                &[("fn0 = colocated %one", "fn0 = %one")],
                "another kind",
            ),
            fault(
                "another convention",
                &[(
                    "fn0 = colocated %one(i32) -> i32 system_v",
                    "fn0 = colocated %one(i32) -> i32 fast",
                )],
                "another kind of call",
            ),
            fault(
                "another handler's tag",
                &[("tag2: block2", "tag3: block2")],
                "another handler",
            ),
            fault(
                "no handler",
                &[("[ tag2: block2(exn0) ]", "[ ]")],
                "other handlers",
            ),
            fault(
                "another payload",
                &[("block2(exn0)", "block2(exn1)")],
                "another operand",
            ),
            fault(
                "a handler that catches everything",
                &[("tag2: block2", "default: block2")],
                "another handler",
            ),
            fault(
                "a call too much",
                &[(
                    "v8 = call fn0(v5)",
                    "v12 = call fn0(v5)\n    v8 = call fn0(v5)",
                )],
                "another function",
            ),
            before(
                "another entry of the table",
                &[("load.i64 notrap v6+8", "load.i64 notrap v6+16")],
                "not known",
            ),
            before(
                "a target that is stored over",
                &[(
                    "    v4 = load.i64 v3",
                    "    store v1, v3\n    v4 = load.i64 v3",
                )],
                "not known",
            ),
            before(
                "a target of another signature",
                &[
                    ("func_addr.i64 fn1", "func_addr.i64 fn2"),
                    (
                        "    fn1 = colocated",
                        "    fn2 = colocated %three(i32) -> i32 system_v\n    fn1 = colocated",
                    ),
                ],
                "another function",
            ),
        ],
    },
    Base {
        name: "a target whose body has another signature",
        before: "
function %f(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %two(i32) -> i32 system_v
    fn1 = %three(i32) -> i32 system_v
block0(v0: i32):
    v1 = func_addr.i64 fn0
    v2 = call_indirect sig0, v1(v0)
    return v2
}",
        after: "
function %f(i32) -> i32 system_v {
    fn0 = %two(i32) -> i32 system_v
    fn1 = %three(i32) -> i32 system_v
block0(v0: i32):
    v2 = call fn0(v0)
    return v2
}",
        program: PROGRAM,
        faults: &[Fault {
            name: "declared with a signature that its body does not have",
            is_in_before: true,
            edits: &[("func_addr.i64 fn0", "func_addr.i64 fn1")],
            message: "another function",
        }],
    },
    Base {
        name: "handlers that nothing reaches",
        before: "
function %f(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %catches(i32) -> i32 system_v
    fn1 = %quiet(i32) -> i32 system_v
    fn2 = %two(i32) -> i32 system_v
block0(v0: i32):
    try_call fn0(v0), sig0, block1(ret0), [ default: block3 ]
block1(v1: i32):
    try_call fn1(v1), sig0, block2(ret0), [ default: block3 ]
block2(v2: i32):
    return v2
block3:
    return v0
}",
        after: "
function %f(i32) -> i32 system_v {
    fn0 = %catches(i32) -> i32 system_v
    fn1 = %quiet(i32) -> i32 system_v
block0(v0: i32):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}",
        program: PROGRAM,
        faults: &[
            fault(
                "the passed value instead of the returned one",
                &[("return v2", "return v1")],
                "another operand",
            ),
            fault(
                "the handler taken",
                &[("return v2", "return v0")],
                "another operand",
            ),
            before(
                "a handler that is needed",
                &[("fn0 = %catches", "fn0 = %throws")],
                "another function",
            ),
            before(
                "a handler of a function that is not known",
                &[("fn1 = %quiet", "fn1 = %unknown")],
                "another function",
            ),
        ],
    },
    Base {
        name: "handlers that are needed",
        before: "
function %f(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %throws(i32) -> i32 system_v
    fn1 = %partly(i32) -> i32 system_v
block0(v0: i32):
    try_call fn0(v0), sig0, block1(ret0), [ default: block3 ]
block1(v1: i32):
    try_call fn1(v1), sig0, block2(ret0), [ default: block3 ]
block2(v2: i32):
    return v2
block3:
    return v0
}",
        after: "
function %f(i32) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %throws(i32) -> i32 system_v
    fn1 = %partly(i32) -> i32 system_v
block0(v0: i32):
    try_call fn0(v0), sig0, block1(ret0), [ default: block3 ]
block1(v1: i32):
    try_call fn1(v1), sig0, block2(ret0), [ default: block3 ]
block2(v2: i32):
    return v2
block3:
    return v0
}",
        program: PROGRAM,
        faults: &[
            fault(
                "a handler of a function that throws",
                &[(
                    "    try_call fn0(v0), sig0, block1(ret0), [ default: block3 ]\nblock1(v1: i32):\n",
                    "    v1 = call fn0(v0)\n",
                )],
                "may throw",
            ),
            fault(
                "a handler of a function that catches only some",
                &[(
                    "    try_call fn1(v1), sig0, block2(ret0), [ default: block3 ]\nblock2(v2: i32):\n",
                    "    v2 = call fn1(v1)\n",
                )],
                "may throw",
            ),
        ],
    },
];
