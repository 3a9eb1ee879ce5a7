//! Slots whose addresses go elsewhere, and slots that stay.

use crate::support::{Base, before, fault};

pub(crate) const BASES: &[Base] = &[
    Base {
        name: "a load that can move, of an address that was in a slot",
        before: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 8
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v0, v2
    call fn0(v0)
    v3 = load.i64 notrap v2
    v4 = load.i64 notrap readonly can_move v3
    v5 = load.i64 notrap readonly v1
    v6 = iadd v4, v5
    return v6
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    call fn0(v0)
    v4 = load.i64 notrap readonly v0
    v5 = load.i64 notrap readonly v1
    v6 = iadd v4, v5
    return v6
}",
        program: "",
        faults: &[
            fault(
                "it can still move",
                &[("readonly v0", "readonly can_move v0")],
                "came before",
            ),
            fault(
                "another one can move",
                &[("readonly v1", "readonly can_move v1")],
                "came before",
            ),
        ],
    },
    Base {
        name: "the second of two equal loads, which alone can move",
        before: "
function %f(i64) -> i64 system_v {
block0(v0: i64):
    v1 = load.i64 notrap readonly v0
    v2 = load.i64 notrap readonly can_move v0
    return v2
}",
        after: "
function %f(i64) -> i64 system_v {
block0(v0: i64):
    v2 = load.i64 notrap readonly can_move v0
    return v2
}",
        program: "",
        faults: &[fault(
            "another place",
            &[("can_move v0", "can_move v0+8")],
            "came before",
        )],
    },
    Base {
        name: "a load that can move, and traps",
        before: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 8
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v0, v2
    call fn0(v0)
    v3 = load.i64 notrap v2
    v4 = load.i64 can_move v3
    return v4
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    call fn0(v0)
    v4 = load.i64 v0
    return v4
}",
        program: "",
        faults: &[fault(
            "it traps and can still move",
            &[("load.i64 v0", "load.i64 can_move v0")],
            "to where its address was not known",
        )],
    },
    Base {
        name: "a load that can move, in a join",
        before: "
function %f(i64, i64, i64) -> i64 system_v {
block0(v0: i64, v1: i64, v2: i64):
    v3 = iconst.i64 1
    v4 = iconst.i64 0
    brif v2, block1(v0, v3), block1(v1, v4)
block1(v5: i64, v6: i64):
    v7 = load.i64 notrap readonly can_move v5
    v8 = load.i64 notrap readonly can_move v1+8
    v9 = iadd v7, v8
    brif v6, block2, block3
block2:
    return v9
block3:
    return v7
}",
        after: "
function %f(i64, i64, i64) -> i64 system_v {
block0(v0: i64, v1: i64, v2: i64):
    brif v2, block1, block2
block1:
    v3 = load.i64 notrap readonly v0
    v4 = load.i64 notrap readonly can_move v1+8
    v5 = iadd v3, v4
    return v5
block2:
    v6 = load.i64 notrap readonly v1
    return v6
}",
        program: "",
        faults: &[
            fault(
                "the copy on the first way can still move",
                &[("readonly v0", "readonly can_move v0")],
                "came before",
            ),
            fault(
                "the copy on the second way can still move",
                &[("readonly v1\n", "readonly can_move v1\n")],
                "came before",
            ),
        ],
    },
    Base {
        name: "the value just stored in a slot that is not private",
        before: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
    fn0 = %g(i64, i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    call fn0(v2, v3)
    v4 = iconst.i64 1
    store notrap v4, v2
    store notrap v0, v2+8
    store notrap v0, v3
    v5 = load.i64 notrap v2
    brif v5, block1, block2
block1:
    v6 = load.i64 notrap v2+8
    return v6
block2:
    return v1
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
    fn0 = %g(i64, i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    call fn0(v2, v3)
    v4 = iconst.i64 1
    store notrap v4, v2
    store notrap v0, v2+8
    store notrap v0, v3
    return v0
}",
        program: "",
        faults: &[
            before(
                "a call between",
                &[("    v5 = load", "    call fn0(v2, v3)\n    v5 = load")],
                "came before",
            ),
            before(
                "a load of another place",
                &[("v5 = load.i64 notrap v2", "v5 = load.i64 notrap v3+8")],
                "came before",
            ),
            before(
                "a load of a part",
                &[(
                    "v5 = load.i64 notrap v2",
                    "v7 = load.i32 notrap v2\n    v5 = uextend.i64 v7",
                )],
                "came before",
            ),
            before(
                "a store of a part",
                &[("store notrap v4, v2", "istore8 notrap v4, v2")],
                "came before",
            ),
            fault(
                "the value of another store",
                &[("return v0", "return v4")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "stores to the same place, or to an unknown one, come after it",
        before: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    fn0 = %g(i64, i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    call fn0(v2, v2)
    v4 = iconst.i64 1
    store notrap v4, v2
    store notrap v0, v2+4
    v5 = load.i64 notrap v2
    call fn0(v5, v0)
    store notrap v4, v2
    store notrap v0, v2
    v6 = load.i64 notrap v2
    call fn0(v6, v0)
    store notrap v4, v2
    store notrap v0, v1
    v7 = load.i64 notrap v2
    return v7
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    fn0 = %g(i64, i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    call fn0(v2, v2)
    v4 = iconst.i64 1
    store notrap v4, v2
    store notrap v0, v2+4
    v5 = load.i64 notrap v2
    call fn0(v5, v0)
    store notrap v4, v2
    store notrap v0, v2
    v6 = load.i64 notrap v2
    call fn0(v0, v0)
    store notrap v4, v2
    store notrap v0, v1
    v7 = load.i64 notrap v2
    return v7
}",
        program: "",
        faults: &[
            fault(
                "the value before a part of it was stored",
                &[("call fn0(v5, v0)", "call fn0(v4, v0)")],
                "another operand",
            ),
            fault(
                "the value there before the last store",
                &[("call fn0(v0, v0)", "call fn0(v4, v0)")],
                "another operand",
            ),
            fault(
                "the value there before a store that may be to it",
                &[("return v7", "return v4")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "an address in a slot that a callee knows, on one of two ways",
        before: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
    fn0 = %g(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    store notrap v1, v2
    store notrap v0, v3
    v4 = call fn0(v2)
    brif v4, block1, block2
block1:
    store notrap v3, v2
    jump block2
block2:
    v5 = load.i64 notrap v2
    v6 = load.i64 notrap v5
    return v6
}",
        after: "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
    fn0 = %g(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    store notrap v1, v2
    store notrap v0, v3
    v4 = call fn0(v2)
    brif v4, block1, block2
block1:
    store notrap v3, v2
    jump block2
block2:
    v5 = load.i64 notrap v2
    v6 = load.i64 notrap v5
    return v6
}",
        program: "",
        faults: &[
            fault(
                "another value in the slot whose address the other one gets",
                &[("store notrap v0, v3", "store notrap v1, v3")],
                "another operand",
            ),
            before(
                "a store to the slot whose address the other one gets",
                &[("    store notrap v0, v3\n", "")],
                "came before",
            ),
        ],
    },
    Base {
        name: "a private slot beside one that is not",
        before: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 4
    ss1 = explicit_slot 8
    fn0 = %g(i64) system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    store v0, v2
    store v0, v3
    call fn0(v3)
    v4 = load.i32 v2
    v5 = load.i32 v3
    v6 = iadd v4, v5
    return v6
}",
        after: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
    fn0 = %g(i64) system_v
block0(v0: i32, v1: i64):
    v3 = stack_addr.i64 ss0
    store v0, v3
    call fn0(v3)
    v5 = load.i32 v3
    v6 = iadd v0, v5
    return v6
}",
        program: "",
        faults: &[
            fault(
                "forwarded over a call that may store",
                &[("iadd v0, v5", "iadd v0, v0")],
                "another operand",
            ),
            fault(
                "a store that the call can read",
                &[("    store v0, v3\n", "")],
                "came before",
            ),
            fault(
                "a store after the call that reads it",
                &[(
                    "    store v0, v3\n    call fn0(v3)\n",
                    "    call fn0(v3)\n    store v0, v3\n",
                )],
                "came before",
            ),
            fault(
                "the address of something else",
                &[("call fn0(v3)", "v7 = iadd v3, v1\n    call fn0(v7)")],
                "another operand",
            ),
            fault(
                "a slot of another size",
                &[("explicit_slot 8", "explicit_slot 16")],
                "another operand",
            ),
            before(
                "the address passed in a call",
                &[("call fn0(v3)", "call fn0(v2)")],
                "another operand",
            ),
            before(
                "the address stored",
                &[("    call fn0(v3)", "    store v2, v1\n    call fn0(v3)")],
                "came before",
            ),
            before(
                "the address computed and passed",
                &[("call fn0(v3)", "v7 = iadd v2, v1\n    call fn0(v7)")],
                "another operand",
            ),
            before(
                "the address in the slot that was passed",
                &[("store v0, v3\n", "store v2, v3\n")],
                "another operand",
            ),
            before(
                "a store past the end",
                &[("store v0, v2\n", "store v0, v2+4\n")],
                "came before",
            ),
            before(
                "accessed atomically",
                &[("v4 = load.i32 v2", "v4 = atomic_load.i32 v2")],
                "came before",
            ),
        ],
    },
    Base {
        name: "an address through a parameter",
        before: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
    fn0 = %g() system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    store v0, v2
    brif v0, block1(v2), block2(v2)
block1(v3: i64):
    call fn0()
    jump block3(v3)
block2(v4: i64):
    v5 = iconst.i32 1
    store v5, v4
    jump block3(v4)
block3(v6: i64):
    v7 = load.i32 v6
    return v7
}",
        after: "
function %f(i32, i64) -> i32 system_v {
    fn0 = %g() system_v
block0(v0: i32, v1: i64):
    brif v0, block1, block2
block1:
    call fn0()
    jump block3(v0)
block2:
    v5 = iconst.i32 1
    jump block3(v5)
block3(v7: i32):
    return v7
}",
        program: "",
        faults: &[
            before(
                "an address of this or of that",
                &[("block1(v2), block2(v2)", "block1(v1), block2(v2)")],
                "came before",
            ),
            before(
                "another address at a join",
                &[("jump block3(v4)", "jump block3(v1)")],
                "came before",
            ),
            before(
                "another offset at a join",
                &[(
                    "    jump block3(v4)",
                    "    v8 = iconst.i64 4\n    v9 = iadd v4, v8\n    jump block3(v9)",
                )],
                "another operand",
            ),
            fault(
                "the other side's value",
                &[
                    ("block3(v0)", "block3(v5)"),
                    ("    brif v0", "    v5 = iconst.i32 1\n    brif v0"),
                    ("block2:\n    v5 = iconst.i32 1\n", "block2:\n"),
                ],
                "another operand",
            ),
            fault(
                "both sides' values exchanged",
                &[
                    ("block3(v0)", "block3(v8)"),
                    ("block3(v5)", "block3(v0)"),
                    ("    brif v0", "    v8 = iconst.i32 1\n    brif v0"),
                ],
                "another operand",
            ),
        ],
    },
    Base {
        name: "an array with an index",
        before: "
function %f(i64, i32) -> i32 system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 64
    fn0 = %g() system_v
block0(v0: i64, v1: i32):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = iconst.i32 0
    store v4, v3
    store v1, v3+4
    v5 = iadd v3, v0
    store v1, v2
    call fn0()
    v6 = load.i32 v5
    v7 = load.i32 v2
    v8 = iadd v6, v7
    store v8, v5
    return v8
}",
        after: "
function %f(i64, i32) -> i32 system_v {
    ss0 = explicit_slot 64
    fn0 = %g() system_v
block0(v0: i64, v1: i32):
    v3 = stack_addr.i64 ss0
    v4 = iconst.i32 0
    store v4, v3
    store v1, v3+4
    v5 = iadd v3, v0
    call fn0()
    v6 = load.i32 v5
    v8 = iadd v6, v1
    return v8
}",
        program: "",
        faults: &[
            fault(
                "an element not stored",
                &[("    store v1, v3+4\n", "")],
                "another operand",
            ),
            fault(
                "an element stored as another",
                &[("store v1, v3+4", "store v4, v3+4")],
                "another operand",
            ),
            fault(
                "an element stored twice, and wrong",
                &[("    call fn0()", "    store v4, v5\n    call fn0()")],
                "another operand",
            ),
            fault(
                "another index",
                &[("iadd v3, v0", "isub v3, v0")],
                "another operand",
            ),
            before(
                "a store through the index between",
                &[("    call fn0()", "    store v1, v5\n    call fn0()")],
                "another operand",
            ),
        ],
    },
    Base {
        name: "slots in slots",
        before: "
function %f(i32, i32) -> i32 system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 4
    ss2 = explicit_slot 4
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = stack_addr.i64 ss2
    store v3, v2
    store v0, v3
    store v1, v4
    v5 = load.i64 v2
    v6 = iconst.i32 9
    store v6, v5
    v7 = load.i32 v3
    v8 = load.i32 v4
    v9 = isub v7, v8
    return v9
}",
        after: "
function %f(i32, i32) -> i32 system_v {
block0(v0: i32, v1: i32):
    v6 = iconst.i32 9
    v9 = isub v6, v1
    return v9
}",
        program: "",
        faults: &[
            fault(
                "a store through an address in a slot missed",
                &[("isub v6, v1", "isub v0, v1")],
                "another operand",
            ),
            fault(
                "a store through an address to the wrong slot",
                &[("isub v6, v1", "isub v0, v6")],
                "another operand",
            ),
            before(
                "the address of the other slot",
                &[("store v3, v2", "store v4, v2")],
                "another operand",
            ),
            before(
                "a part of an address",
                &[("store v3, v2", "store v0, v2")],
                "came before",
            ),
        ],
    },
    Base {
        name: "an address that one way alone leaves in a slot",
        before: "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 4
    ss1 = explicit_slot 8
    fn0 = %g(i64)
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    v3 = iconst.i64 0
    store v3, v2
    store v0, v1
    brif v0, block1, block2
block1:
    store v1, v2
    jump block2
block2:
    v4 = iconst.i64 7
    call fn0(v4)
    v5 = load.i32 v1
    return v5
}",
        after: "
function %f(i32) -> i32 system_v {
    fn0 = %g(i64)
block0(v0: i32):
    brif v0, block1, block2
block1:
    jump block2
block2:
    v4 = iconst.i64 7
    call fn0(v4)
    return v0
}",
        program: "",
        faults: &[
            before(
                "an address that was left in a slot passed in a call",
                &[("v4 = iconst.i64 7", "v4 = load.i64 v2")],
                "came before",
            ),
            before(
                "an address that was left in a slot stored through",
                &[(
                    "v4 = iconst.i64 7",
                    "v6 = load.i64 v2\n    store v0, v6\n    v4 = iconst.i64 7",
                )],
                "came before",
            ),
        ],
    },
];
