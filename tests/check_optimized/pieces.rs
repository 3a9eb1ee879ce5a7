//! Slots that became values, with mistakes in these values.

use crate::support::{Base, before, fault};

pub(crate) const BASES: &[Base] = &[
    Base {
        name: "two fields",
        before: "
function %f(i32, i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
block0(v0: i32, v1: i64, v2: i64):
    v3 = stack_addr.i64 ss0
    store v0, v3
    v4 = iconst.i64 8
    v5 = iadd v3, v4
    store v1, v5
    store v2, v2
    v6 = load.i32 v3
    v7 = load.i64 v5
    v8 = uextend.i64 v6
    v9 = isub v8, v7
    return v9
}",
        after: "
function %f(i32, i64, i64) -> i64 system_v {
block0(v0: i32, v1: i64, v2: i64):
    store v2, v2
    v8 = uextend.i64 v0
    v9 = isub v8, v1
    return v9
}",
        program: "",
        faults: &[
            fault(
                "the other field",
                &[("isub v8, v1", "isub v8, v2")],
                "another operand",
            ),
            fault(
                "fields exchanged",
                &[("isub v8, v1", "isub v1, v8")],
                "another operand",
            ),
            fault(
                "extended by sign",
                &[("uextend", "sextend")],
                "another operand",
            ),
            fault(
                "store to other memory missed",
                &[("    store v2, v2\n", "")],
                "came before",
            ),
            fault(
                "store to other memory twice",
                &[("store v2, v2", "store v2, v2\n store v2, v2")],
                "came before",
            ),
            fault(
                "store of something else",
                &[("store v2, v2", "store v1, v2")],
                "another operand",
            ),
            fault(
                "store to another place",
                &[("store v2, v2", "store v2, v2+8")],
                "became",
            ),
            before(
                "store at another offset",
                &[("iconst.i64 8", "iconst.i64 12")],
                "became",
            ),
            before(
                "store overwritten in part",
                &[("store v2, v2", "store v0, v3+8")],
                "came before",
            ),
            before(
                "slot read at another offset",
                &[("load.i32 v3", "load.i32 v3+4")],
                "another operand",
            ),
            before(
                "stored to another slot",
                &[(
                    "    store v1, v5",
                    "    v10 = stack_addr.i64 ss1\n store v1, v10+8",
                )],
                "another operand",
            ),
        ],
    },
    Base {
        name: "bytes of a word",
        before: "
function %f(i64, i32, i64) system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
block0(v0: i64, v1: i32, v2: i64):
    v3 = stack_addr.i64 ss0
    v4 = stack_addr.i64 ss1
    store v0, v3
    v5 = load.i16 v3+2
    v6 = uload8.i32 v3+7
    v7 = sload16.i32 v3
    store v1, v4
    store v1, v4+4
    v8 = load.i64 v4
    store v5, v2
    store v6, v2+8
    store v7, v2+16
    store v8, v2+24
    return
}",
        after: "
function %f(i64, i32, i64) system_v {
block0(v0: i64, v1: i32, v2: i64):
    v10 = iconst.i32 16
    v11 = ushr v0, v10
    v5 = ireduce.i16 v11
    v12 = iconst.i32 56
    v13 = ushr v0, v12
    v6 = ireduce.i32 v13
    v14 = ireduce.i16 v0
    v7 = sextend.i32 v14
    v15 = uextend.i64 v1
    v16 = iconst.i32 32
    v17 = ishl v15, v16
    v8 = bor v15, v17
    store v5, v2
    store v6, v2+8
    store v7, v2+16
    store v8, v2+24
    return
}",
        program: "",
        faults: &[
            fault(
                "narrowed at another byte",
                &[("iconst.i32 16", "iconst.i32 24")],
                "another operand",
            ),
            fault(
                "the other end of a word",
                &[("iconst.i32 56", "iconst.i32 0")],
                "another operand",
            ),
            fault(
                "a load that extends by sign",
                &[("sextend.i32 v14", "uextend.i32 v14")],
                "another operand",
            ),
            fault(
                "halves on top of each other",
                &[("ishl v15, v16", "bor v15, v15")],
                "another operand",
            ),
            fault(
                "one half only",
                &[("bor v15, v17", "bor v17, v17")],
                "another operand",
            ),
            before(
                "the first half is another",
                &[("store v1, v4\n", "store v2, v4\n")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "bytes of a word, big-endian",
        before: "; big
function %f(i64, i32, i64) system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
block0(v0: i64, v1: i32, v2: i64):
    v3 = stack_addr.i64 ss0
    v4 = stack_addr.i64 ss1
    store v0, v3
    v5 = load.i16 v3+2
    v6 = load.i32 little v3
    v7 = uload8.i32 v3+7
    store v1, v4
    v9 = iconst.i32 0
    store v9, v4+4
    v8 = load.i64 v4
    store v5, v2
    store v6, v2+8
    store v7, v2+16
    store v8, v2+24
    return
}",
        after: "
function %f(i64, i32, i64) system_v {
block0(v0: i64, v1: i32, v2: i64):
    v10 = iconst.i32 32
    v11 = ushr v0, v10
    v5 = ireduce.i16 v11
    v12 = ireduce.i32 v11
    v6 = bswap v12
    v13 = iconst.i64 255
    v14 = band v0, v13
    v7 = ireduce.i32 v14
    v15 = uextend.i64 v1
    v8 = ishl v15, v10
    store v5, v2
    store v6, v2+8
    store v7, v2+16
    store v8, v2+24
    return
}",
        program: "",
        faults: &[
            before(
                "bytes in the order of another target",
                &[("; big", "; little")],
                "another operand",
            ),
            fault(
                "bytes not swapped",
                &[("bswap v12", "bor v12, v12")],
                "another operand",
            ),
            fault(
                "another byte",
                &[("iconst.i64 255", "iconst.i64 65280")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "floats and vectors",
        before: "
function %f(f64, i8x16, i64) system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
block0(v0: f64, v1: i8x16, v2: i64):
    v3 = stack_addr.i64 ss0
    v4 = stack_addr.i64 ss1
    store v0, v3
    v5 = load.i64 v3
    store v1, v4
    v6 = load.i32x4 v4
    v7 = load.f64 v4+8
    store v5, v2
    store v6, v2+16
    store v7, v2+32
    return
}",
        after: "
function %f(f64, i8x16, i64) system_v {
block0(v0: f64, v1: i8x16, v2: i64):
    v5 = bitcast.i64 v0
    v6 = bitcast.i32x4 little v1
    v8 = bitcast.i128 little v1
    v9, v10 = isplit v8
    v7 = bitcast.f64 v10
    store v5, v2
    store v6, v2+16
    store v7, v2+32
    return
}",
        program: "",
        faults: &[
            fault(
                "converted instead of taken as it is",
                &[("bitcast.i64 v0", "fcvt_to_uint_sat.i64 v0")],
                "another operand",
            ),
            fault(
                "the other half of a vector",
                &[("bitcast.f64 v10", "bitcast.f64 v9")],
                "another operand",
            ),
            fault(
                "stored with another type",
                &[("store v5, v2\n", "store v0, v2\n")],
                "became",
            ),
        ],
    },
    Base {
        name: "not initialised",
        before: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    brif v0, block1, block2
block1:
    store v0, v2
    jump block2
block2:
    v3 = load.i32 v2
    store v3, v1
    v4 = load.i32 v2
    store v4, v1+4
    return v3
}",
        after: "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
    v5 = iconst.i32 0
    brif v0, block1, block2(v5)
block1:
    jump block2(v0)
block2(v3: i32):
    store v3, v1
    store v3, v1+4
    return v3
}",
        program: "",
        faults: &[
            fault(
                "a value that is not initialised is two",
                &[("store v3, v1+4", "v6 = iadd v3, v3\n store v6, v1+4")],
                "another operand",
            ),
            fault(
                "not initialised, but stored",
                &[("jump block2(v0)", "jump block2(v5)")],
                "another operand",
            ),
            fault(
                "read twice, and something else each time",
                &[
                    ("block2(v5)", "block2(v5, v7)"),
                    ("    v5 = ", "    v7 = iconst.i32 1\n    v5 = "),
                    ("block2(v0)", "block2(v0, v0)"),
                    ("block2(v3: i32)", "block2(v3: i32, v8: i32)"),
                    ("store v3, v1+4", "store v8, v1+4"),
                ],
                "another operand",
            ),
        ],
    },
    Base {
        name: "copies of aggregates",
        before: "
function %f(i32, i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
    fn0 = %Memcpy(i64, i64, i64) -> i64 system_v
    fn1 = %Memset(i64, i32, i64) -> i64 system_v
block0(v0: i32, v1: i64, v2: i64):
    v3 = stack_addr.i64 ss0
    v4 = stack_addr.i64 ss1
    v5 = iconst.i64 16
    v6 = iconst.i32 1
    v7 = call fn1(v3, v6, v5)
    store v1, v3+8
    v8 = call fn0(v4, v3, v5)
    store v2, v3+8
    v9 = load.i64 v4+8
    v10 = load.i64 v8
    v11 = iadd v9, v10
    return v11
}",
        after: "
function %f(i32, i64, i64) -> i64 system_v {
block0(v0: i32, v1: i64, v2: i64):
    v10 = iconst.i64 0x0101_0101_0101_0101
    v11 = iadd v1, v10
    return v11
}",
        program: "",
        faults: &[
            fault(
                "the value stored after the copy",
                &[("iadd v1, v10", "iadd v2, v10")],
                "another operand",
            ),
            fault(
                "filled with another byte",
                &[("0x0101_0101_0101_0101", "1")],
                "another operand",
            ),
            before(
                "copied the other way",
                &[("call fn0(v4, v3, v5)", "call fn0(v3, v4, v5)")],
                "another operand",
            ),
            before(
                "copied in part",
                &[("iconst.i64 16", "iconst.i64 8")],
                "another operand",
            ),
            before(
                "copied as much as is passed",
                &[("call fn0(v4, v3, v5)", "call fn0(v4, v3, v1)")],
                "came before",
            ),
        ],
    },
    Base {
        name: "copies from other memory and to it",
        before: "
function %f(i64, i64, i32) -> i32 system_v {
    ss0 = explicit_slot 16
    fn0 = %Memcpy(i64, i64, i64) -> i64 system_v
    fn1 = %g() system_v
block0(v0: i64, v1: i64, v2: i32):
    v3 = stack_addr.i64 ss0
    v4 = iconst.i64 16
    v5 = call fn0(v3, v0, v4)
    call fn1()
    v6 = load.i32 v3+4
    store v2, v3+4
    v7 = load.i64 v3+8
    store v7, v3
    v8 = call fn0(v1, v3, v4)
    return v6
}",
        after: "
function %f(i64, i64, i32) -> i32 system_v {
    fn1 = %g() system_v
block0(v0: i64, v1: i64, v2: i32):
    v6 = load.i32 notrap v0+4
    v7 = load.i64 notrap v0+8
    call fn1()
    store notrap v7, v1
    store notrap v7, v1+8
    return v6
}",
        program: "",
        faults: &[
            fault(
                "a part of a copy not made",
                &[("    store notrap v7, v1+8\n", "")],
                "came before",
            ),
            fault(
                "a part of a copy made elsewhere",
                &[("v7, v1+8", "v7, v1+12")],
                "came before",
            ),
            fault(
                "something else copied",
                &[("store notrap v7, v1\n", "store notrap v0, v1\n")],
                "another operand",
            ),
            fault(
                "loaded from elsewhere",
                &[("notrap v0+4", "notrap v0+12")],
                "not known",
            ),
            fault(
                "loaded from other memory",
                &[("notrap v0+4", "notrap v1+4")],
                "came before",
            ),
            fault(
                "loaded when it may be changed",
                &[(
                    "    v7 = load.i64 notrap v0+8\n    call fn1()\n",
                    "    call fn1()\n    v7 = load.i64 notrap v0+8\n",
                )],
                "came before",
            ),
            fault(
                "loaded as a value that cannot change",
                &[("i32 notrap v0+4", "i32 notrap readonly v0+4")],
                "came before",
            ),
            fault(
                "stored as aligned",
                &[("store notrap v7, v1\n", "store notrap aligned v7, v1\n")],
                "came before",
            ),
            before(
                "more copied than the slot holds",
                &[("explicit_slot 16", "explicit_slot 8")],
                "came before",
            ),
        ],
    },
    Base {
        name: "a record copied by words",
        before: "
function %f(i64, i8) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
block0(v0: i64, v1: i8):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = iconst.i64 1
    jump block1(v0)
block1(v5: i64):
    store little v1, v2
    store little v5, v2+8
    v6 = load.i64 little v2
    v7 = load.i64 little v2+8
    store little v6, v3
    store little v7, v3+8
    v8 = load.i8 little v3
    v9 = load.i64 little v3+8
    v10 = isub v9, v4
    brif v10, block1(v10), block2
block2:
    v11 = uextend.i64 v8
    v12 = isub v11, v9
    return v12
}",
        after: "
function %f(i64, i8) -> i64 system_v {
block0(v0: i64, v1: i8):
    v4 = iconst.i64 1
    jump block1(v0)
block1(v5: i64):
    v10 = isub v5, v4
    brif v10, block1(v10), block2
block2:
    v11 = uextend.i64 v1
    v12 = isub v11, v5
    return v12
}",
        program: "",
        faults: &[
            fault(
                "field of the first round",
                &[("isub v11, v5", "isub v11, v0")],
                "another operand",
            ),
            before(
                "word loaded before its field was written",
                &[(
                    "    store little v5, v2+8\n    v6 = load.i64 little v2\n    v7 = load.i64 little v2+8\n",
                    "    v6 = load.i64 little v2\n    v7 = load.i64 little v2+8\n    store little v5, v2+8\n",
                )],
                "came before",
            ),
            before(
                "word stored with its bytes swapped",
                &[("store little v7, v3+8", "store big v7, v3+8")],
                "came before",
            ),
            before(
                "field overwritten in the copy",
                &[(
                    "    v9 = load.i64 little v3+8\n",
                    "    store little v8, v3+9\n    v9 = load.i64 little v3+8\n",
                )],
                "came before",
            ),
        ],
    },
];
