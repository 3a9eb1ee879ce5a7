//! Ways on which the branch of a join is decided, sent past it.

use crate::support::{Base, before, fault};

pub(crate) const BASES: &[Base] = &[
    Base {
        name: "a join with effects, copied for both ways",
        before: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    brif v0, block1, block2
block1:
    v2 = iconst.i8 1
    v3 = iadd v0, v1
    jump block3(v2, v3)
block2:
    v4 = iconst.i8 0
    jump block3(v4, v1)
block3(v5: i8, v6: i64):
    v7 = load.i64 v0+8
    store v6, v0+16
    v8 = uextend.i32 v5
    brif v8, block4, block5
block4:
    v9 = call fn0(v7)
    jump block6(v9)
block5:
    jump block6(v7)
block6(v10: i64):
    v11 = isub v10, v6
    v12 = load.i64 v0+24
    v13 = iadd v11, v12
    return v13
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    brif v0, block1, block2
block1:
    v3 = iadd v0, v1
    v7 = load.i64 v0+8
    store v3, v0+16
    v9 = call fn0(v7)
    jump block6(v9, v3)
block2:
    v17 = load.i64 v0+8
    store v1, v0+16
    jump block6(v17, v1)
block6(v10: i64, v16: i64):
    v11 = isub v10, v16
    v12 = load.i64 v0+24
    v13 = iadd v11, v12
    return v13
}",
        program: "",
        faults: &[
            fault(
                "a copy of the join without its store",
                &[("    store v1, v0+16\n", "")],
                "not where another way",
            ),
            fault(
                "a copy of the join that stores first",
                &[(
                    "v7 = load.i64 v0+8\n    store v3, v0+16",
                    "store v3, v0+16\n    v7 = load.i64 v0+8",
                )],
                "came before",
            ),
            fault(
                "a copy of the join made twice on its way",
                &[("store v3, v0+16", "store v3, v0+16\n    store v3, v0+16")],
                "came before",
            ),
            fault(
                "the other side's value in a copy of the join",
                &[("store v3, v0+16", "store v1, v0+16")],
                "another operand",
            ),
            fault(
                "the other side's value behind the join",
                &[("jump block6(v9, v3)", "jump block6(v9, v1)")],
                "another operand",
            ),
            fault(
                "the value of the join that the branch replaced",
                &[("jump block6(v9, v3)", "jump block6(v7, v3)")],
                "another operand",
            ),
            fault(
                "the value that came into the join for the loaded one",
                &[("jump block6(v17, v1)", "jump block6(v1, v1)")],
                "another operand",
            ),
            fault(
                "values exchanged behind the join",
                &[("jump block6(v17, v1)", "jump block6(v1, v17)")],
                "another operand",
            ),
            fault(
                "both ways to one side",
                &[("brif v0, block1, block2", "brif v0, block1, block1")],
                "another operand",
            ),
            fault(
                "each way to the other's side",
                &[("brif v0, block1, block2", "brif v0, block2, block1")],
                "another operand",
            ),
            fault(
                "a side's call on the way to the other",
                &[(
                    "jump block6(v17, v1)",
                    "v18 = call fn0(v17)\n    jump block6(v18, v1)",
                )],
                "came before",
            ),
            before(
                "decided the other way",
                &[("v2 = iconst.i8 1", "v2 = iconst.i8 0")],
                "came before",
            ),
            before(
                "decided on one way of two",
                &[("v4 = iconst.i8 0", "v4 = ireduce.i8 v1")],
                "not where another way",
            ),
            before(
                "decided by a bit that is cut off",
                &[(
                    "v2 = iconst.i8 1",
                    "v20 = iconst.i32 256\n    v2 = ireduce.i8 v20",
                )],
                "came before",
            ),
            before(
                "a join with a call",
                &[("store v6, v0+16", "store v6, v0+16\n    v20 = call fn0(v6)")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "a table of which one way takes a known entry",
        before: "
function %f(i32, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i32, v1: i64):
    v2 = iconst.i32 2
    v3 = icmp eq v0, v2
    brif v3, block1, block2
block1:
    call fn0(v1)
    jump block3(v1)
block2:
    v4 = iconst.i64 7
    jump block3(v4)
block3(v5: i64):
    br_table v0, block4, [block5, block5, block6]
block4:
    return v5
block5:
    v6 = imul v5, v5
    return v6
block6:
    v7 = ineg v5
    return v7
}",
        after: "
function %f(i32, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i32, v1: i64):
    v2 = iconst.i32 2
    v3 = icmp eq v0, v2
    brif v3, block1, block2
block1:
    call fn0(v1)
    v7 = ineg v1
    return v7
block2:
    v4 = iconst.i64 7
    br_table v0, block4, [block5, block5, block6]
block4:
    return v4
block5:
    v6 = imul v4, v4
    return v6
block6:
    v8 = ineg v4
    return v8
}",
        program: "",
        faults: &[
            fault(
                "the entry before the known one",
                &[("v7 = ineg v1", "v7 = imul v1, v1")],
                "another operand",
            ),
            fault(
                "the default for a known entry",
                &[("v7 = ineg v1\n    return v7", "return v1")],
                "another operand",
            ),
            fault(
                "the known entry with the values of the other way",
                &[("v7 = ineg v1", "v9 = iconst.i64 7\n    v7 = ineg v9")],
                "another operand",
            ),
            fault(
                "an entry on the way on which it is not known",
                &[(
                    "br_table v0, block4, [block5, block5, block6]",
                    "jump block4",
                )],
                "came before",
            ),
            fault(
                "the table where its entry is known, and a target too few",
                &[(
                    "br_table v0, block4, [block5, block5, block6]",
                    "br_table v0, block4, [block5, block5]",
                )],
                "another number of blocks",
            ),
            fault(
                "the effect of a way past the join lost",
                &[("    call fn0(v1)\n", "")],
                "came before",
            ),
            before(
                "a table in another order",
                &[("[block5, block5, block6]", "[block5, block6, block5]")],
                "not where another way",
            ),
            before(
                "a table that ends before the known entry",
                &[("[block5, block5, block6]", "[block5, block5]")],
                "another number of blocks",
            ),
            before(
                "a table of a value that was not compared",
                &[("br_table v0,", "v8 = ireduce.i32 v1\n    br_table v8,")],
                "came before",
            ),
        ],
    },
    Base {
        name: "a second entry of a loop behind its header",
        before: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = iconst.i64 1
    jump block1(v2, v0)
block1(v3: i64, v4: i64):
    call fn0(v4)
    brif v3, block2, block3
block2:
    v5 = isub v4, v1
    v6 = load.i64 v5
    jump block1(v6, v5)
block3:
    return v4
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    call fn0(v0)
    jump block2(v0)
block1(v3: i64, v4: i64):
    call fn0(v4)
    brif v3, block2(v4), block3
block2(v7: i64):
    v5 = isub v7, v1
    v6 = load.i64 v5
    jump block1(v6, v5)
block3:
    return v4
}",
        program: "",
        faults: &[
            fault(
                "a second entry without the header's effects",
                &[("    call fn0(v0)\n", "")],
                "came before",
            ),
            fault(
                "a second entry with another value",
                &[("jump block2(v0)", "jump block2(v1)")],
                "another operand",
            ),
            fault(
                "a second entry before the header's effect and the header too",
                &[(
                    "jump block2(v0)",
                    "v8 = iconst.i64 1\n    jump block1(v8, v0)",
                )],
                "came before",
            ),
            fault(
                "the value at the second entry on every way",
                &[("brif v3, block2(v4), block3", "brif v3, block2(v0), block3")],
                "another operand",
            ),
            fault(
                "past the header on the way back",
                &[("jump block1(v6, v5)", "jump block2(v5)")],
                "not where another way",
            ),
            fault(
                "past the loop",
                &[("jump block2(v0)", "return v0")],
                "came before",
            ),
            before(
                "a loop that is not entered",
                &[("v2 = iconst.i64 1", "v2 = iconst.i64 0")],
                "came before",
            ),
            before(
                "a loop that may not be entered",
                &[("jump block1(v2, v0)", "jump block1(v1, v0)")],
                "came before",
            ),
        ],
    },
    Base {
        name: "a condition known from the branch before",
        before: "
function %f(i64, i32) -> i32 system_v {
block0(v0: i64, v1: i32):
    brif v0, block1, block2
block1:
    jump block3
block2:
    store v1, v0
    jump block3
block3:
    v2 = iconst.i64 0
    v3 = icmp ne v0, v2
    brif v3, block4, block5
block4:
    return v1
block5:
    v4 = iadd v1, v1
    return v4
}",
        after: "
function %f(i64, i32) -> i32 system_v {
block0(v0: i64, v1: i32):
    brif v0, block1, block2
block1:
    return v1
block2:
    store v1, v0
    v4 = iadd v1, v1
    return v4
}",
        program: "",
        faults: &[
            fault(
                "the side of other values for zero",
                &[("return v4", "return v1")],
                "another operand",
            ),
            before(
                "not zero, but of a half",
                &[(
                    "v2 = iconst.i64 0\n    v3 = icmp ne v0, v2",
                    "v5 = ireduce.i32 v0\n    v2 = iconst.i32 0\n    v3 = icmp ne v5, v2",
                )],
                "came before",
            ),
            before(
                "not zero, but perhaps not one",
                &[
                    ("v2 = iconst.i64 0", "v2 = iconst.i64 1"),
                    ("icmp ne", "icmp eq"),
                ],
                "came before",
            ),
            before(
                "not zero, but perhaps less",
                &[("icmp ne", "icmp sgt")],
                "came before",
            ),
            before(
                "compared for equality",
                &[("icmp ne", "icmp eq")],
                "another operand",
            ),
            before(
                "known of something else",
                &[(
                    "v3 = icmp ne v0, v2",
                    "v5 = uextend.i64 v1\n    v3 = icmp ne v5, v2",
                )],
                "came before",
            ),
            before(
                "known of a value that changed meanwhile",
                &[(
                    "v3 = icmp ne v0, v2",
                    "v6 = iconst.i64 1\n    v5 = iadd v0, v6\n    v3 = icmp ne v5, v2",
                )],
                "another operand",
            ),
        ],
    },
];
