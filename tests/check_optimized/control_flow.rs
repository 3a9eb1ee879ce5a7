//! Loops, joins and branches that are left out.

use crate::support::{Base, before, fault};

pub(crate) const BASES: &[Base] = &[
    Base {
        name: "a counter in a slot",
        before: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = iconst.i64 0
    store v3, v2
    store v1, v2+8
    jump block1
block1:
    v4 = load.i64 v2
    v5 = load.i64 v2+8
    call fn0(v5)
    v6 = icmp ult v4, v0
    brif v6, block2, block3
block2:
    v7 = iconst.i64 1
    v8 = iadd v4, v7
    store v8, v2
    v9 = imul v5, v4
    store v9, v2+8
    jump block1
block3:
    return v5
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v3 = iconst.i64 0
    v7 = iconst.i64 1
    jump block1(v3, v1)
block1(v4: i64, v5: i64):
    call fn0(v5)
    v6 = icmp ult v4, v0
    brif v6, block2, block3
block2:
    v8 = iadd v4, v7
    v9 = imul v5, v4
    jump block1(v8, v9)
block3:
    return v5
}",
        program: "",
        faults: &[
            fault(
                "the value before the loop in it",
                &[("call fn0(v5)", "call fn0(v1)")],
                "another operand",
            ),
            fault(
                "a variable that does not change",
                &[("block1(v8, v9)", "block1(v4, v9)")],
                "came before",
            ),
            fault(
                "variables exchanged on the way back",
                &[("block1(v8, v9)", "block1(v9, v8)")],
                "another operand",
            ),
            fault(
                "variables exchanged on the way in",
                &[("block1(v3, v1)", "block1(v1, v3)")],
                "another operand",
            ),
            fault(
                "the value of the next round",
                &[("imul v5, v4", "imul v5, v8")],
                "another operand",
            ),
            fault(
                "the loop turned round",
                &[("brif v6, block2, block3", "brif v6, block3, block2")],
                "is not where another way",
            ),
            fault(
                "one round only",
                &[("jump block1(v8, v9)", "return v9")],
                "came before",
            ),
            fault(
                "round for ever without doing anything",
                &[
                    ("jump block1(v8, v9)", "jump block4"),
                    ("block3:", "block4:\n    jump block4\nblock3:"),
                ],
                "for ever",
            ),
            fault(
                "another comparison",
                &[("icmp ult", "icmp ule")],
                "came before",
            ),
            before(
                "the slot changed in the loop",
                &[(
                    "    store v9, v2+8\n",
                    "    store v9, v2+8\n    store v7, v2\n",
                )],
                "came before",
            ),
        ],
    },
    Base {
        name: "a loop that is entered at two places",
        before: "
function %f(i32, i32) -> i32 system_v {
    ss0 = explicit_slot 4
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    store v0, v2
    brif v1, block1, block2
block1:
    v3 = load.i32 v2
    v4 = call fn0(v3)
    store v4, v2
    jump block2
block2:
    v5 = load.i32 v2
    v6 = iadd v5, v1
    store v6, v2
    brif v6, block1, block3
block3:
    v7 = load.i32 v2
    return v7
}",
        after: "
function %f(i32, i32) -> i32 system_v {
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i32):
    brif v1, block1(v0), block2(v0)
block1(v3: i32):
    v4 = call fn0(v3)
    jump block2(v4)
block2(v5: i32):
    v6 = iadd v5, v1
    brif v6, block1(v6), block3
block3:
    return v6
}",
        program: "",
        faults: &[
            fault(
                "a stale value at the second entry",
                &[("block2(v0)", "block2(v1)")],
                "came before",
            ),
            fault(
                "a stale value on the way round",
                &[("block1(v6)", "block1(v5)")],
                "another operand",
            ),
            fault(
                "a stale value inside",
                &[("call fn0(v3)", "call fn0(v0)")],
                "another operand",
            ),
            fault(
                "the value before the last store",
                &[("return v6", "return v5")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "an option that is tested again",
        before: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    brif v0, block1, block2
block1:
    v3 = iconst.i32 1
    store v3, v2
    v4 = call fn0(v0)
    store v4, v2+4
    jump block3(v3)
block2:
    v5 = iconst.i32 0
    store v5, v2
    v6 = call fn0(v5)
    jump block3(v6)
block3(v7: i32):
    v8 = load.i32 v2
    br_table v8, block6, [block4, block5]
block4:
    store v7, v1
    return v7
block5:
    v9 = load.i32 v2+4
    store v9, v1+8
    return v9
block6:
    trap user3
}",
        after: "
function %f(i32, i64) -> i32 system_v {
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v5 = iconst.i32 0
    brif v0, block1, block2
block1:
    v4 = call fn0(v0)
    store v4, v1+8
    return v4
block2:
    v6 = call fn0(v5)
    store v6, v1
    return v6
}",
        program: "",
        faults: &[
            fault(
                "the other way's branch",
                &[("store v4, v1+8", "store v4, v1")],
                "became",
            ),
            fault(
                "the other way's effect",
                &[("    store v6, v1\n", "    store v6, v1+8\n")],
                "became",
            ),
            fault(
                "an effect left out on one way",
                &[("    store v6, v1\n", "")],
                "came before",
            ),
            fault(
                "an effect twice on one way",
                &[("    store v6, v1\n", "    store v6, v1\n    store v6, v1\n")],
                "came before",
            ),
            fault(
                "a call on one way only",
                &[(
                    "    v6 = call fn0(v5)\n    store v6, v1\n    return v6",
                    "    store v0, v1\n    return v0",
                )],
                "came before",
            ),
            fault(
                "effects in another order",
                &[(
                    "    v4 = call fn0(v0)\n    store v4, v1+8\n",
                    "    store v0, v1+8\n    v4 = call fn0(v0)\n",
                )],
                "came before",
            ),
            fault(
                "another argument on a way",
                &[("fn0(v5)", "fn0(v0)")],
                "another operand",
            ),
            before(
                "a tag that is not constant",
                &[
                    ("store v5, v2\n", "store v0, v2\n    store v6, v2\n"),
                    ("    v6 = call fn0(v5)\n", ""),
                    (
                        "    v5 = iconst.i32 0\n",
                        "    v5 = iconst.i32 0\n    v6 = call fn0(v5)\n",
                    ),
                ],
                "came before",
            ),
            before(
                "a tag of the default",
                &[("v3 = iconst.i32 1", "v3 = iconst.i32 2")],
                "came before",
            ),
            before(
                "a branch on something else",
                &[("br_table v8", "br_table v7")],
                "came before",
            ),
        ],
    },
    Base {
        name: "a condition that is known",
        before: "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i32 5
    v3 = icmp eq v0, v2
    brif v3, block1, block2
block1:
    store v0, v1
    brif v0, block3, block4
block2:
    store v2, v1
    brif v3, block3, block4
block3:
    return v2
block4:
    return v0
}",
        after: "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i32 5
    v3 = icmp eq v0, v2
    brif v3, block1, block2
block1:
    store v0, v1
    jump block3
block2:
    store v2, v1
    jump block4
block3:
    return v2
block4:
    return v0
}",
        program: "",
        faults: &[
            fault(
                "left out the wrong way",
                &[("    jump block4", "    jump block3")],
                "is not where another way",
            ),
            before(
                "a condition that is not known",
                &[(
                    "    brif v0, block3",
                    "    v4 = load.i32 v1\n    brif v4, block3",
                )],
                "came before",
            ),
            before(
                "known for another value",
                &[("iconst.i32 5", "iconst.i32 0")],
                "came before",
            ),
            before(
                "not known from an inequality",
                &[("icmp eq v0", "icmp ult v0")],
                "came before",
            ),
        ],
    },
    Base {
        name: "a byte of the value before",
        before: "
function %f(i32, i32) -> i32 system_v {
    ss0 = explicit_slot 4
    ss1 = explicit_slot 1
    fn0 = %g(i32, i8) system_v
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    brif v0, block1, block2
block1:
    store v0, v2
    istore8 v0, v3
    jump block3
block2:
    store v1, v2
    istore8 v1, v3
    jump block3
block3:
    v4 = load.i32 v2
    v5 = load.i8 v3
    call fn0(v4, v5)
    v6 = iadd v4, v1
    store v6, v2
    brif v6, block3, block4
block4:
    return v4
}",
        after: "
function %f(i32, i32) -> i32 system_v {
    fn0 = %g(i32, i8) system_v
block0(v0: i32, v1: i32):
    brif v0, block1, block2
block1:
    v7 = ireduce.i8 v0
    jump block3(v0, v7)
block2:
    v8 = ireduce.i8 v1
    jump block3(v1, v8)
block3(v4: i32, v5: i8):
    call fn0(v4, v5)
    v6 = iadd v4, v1
    brif v6, block3(v6, v5), block4
block4:
    return v4
}",
        program: "",
        faults: &[
            fault(
                "a byte of the value now",
                &[(
                    "    call fn0(v4, v5)\n",
                    "    v9 = ireduce.i8 v4\n    call fn0(v4, v9)\n",
                )],
                "another operand",
            ),
            fault(
                "a byte that is passed anew",
                &[
                    ("block3(v6, v5)", "block3(v6, v9)"),
                    (
                        "    brif v6, block3",
                        "    v9 = ireduce.i8 v6\n    brif v6, block3",
                    ),
                ],
                "another operand",
            ),
        ],
    },
];
