//! Mistakes with operands, order, branches and returns.

use super::{Base, edited};

pub(super) const ARITHMETIC: Base = Base {
    module: include_str!("../modules/arithmetic.clif"),
    shares_slots: true,
    for_program: false,
    cleaned_up: false,
    faults: &[
        edited(
            "operands of a subtraction swapped",
            &[("v16 = isub v0, v1", "v16 = isub v1, v0")],
            "with another operand",
        ),
        edited(
            "arguments of a kept call swapped",
            &[("call fn2(v6, v5)", "call fn2(v5, v6)")],
            "other arguments",
        ),
        edited(
            "argument bound to the wrong parameter",
            &[("v26 = isub v10, v8", "v26 = isub v8, v10")],
            "with another operand",
        ),
        edited(
            "a parameter of the other copy",
            &[("v27 = icmp slt v26, v10", "v27 = icmp slt v16, v10")],
            "with another operand",
        ),
        edited(
            "a missed alias: the argument instead of the result",
            &[("v5 = ishl v3, v4", "v5 = ishl v0, v4")],
            "with another operand",
        ),
        edited(
            "results of a replaced call swapped",
            &[("v13 = isub v12, v11", "v13 = isub v11, v12")],
            "with another operand",
        ),
        edited(
            "the value of the wrong return",
            &[("jump block8(v21, v20)", "jump block8(v20, v20)")],
            "with another operand",
        ),
        edited(
            "join arguments swapped at one return",
            &[("jump block8(v19, v15)", "jump block8(v15, v19)")],
            "with another operand",
        ),
        edited(
            "block arguments swapped on an edge",
            &[("block6(v16, v1)", "block6(v1, v16)")],
            "with another operand",
        ),
        edited(
            "sides of a branch swapped",
            &[(
                "brif v7, block1(v3, v4), block2",
                "brif v7, block2, block1(v3, v4)",
            )],
            "became",
        ),
        edited(
            "a branch table entry goes to its neighbour",
            &[(
                "br_table v5, block11, [block9, block10]",
                "br_table v5, block11, [block10, block9]",
            )],
            "became",
        ),
        edited(
            "a branch table has the wrong default",
            &[(
                "br_table v5, block11, [block9, block10]",
                "br_table v5, block9, [block9, block10]",
            )],
            "became",
        ),
        edited(
            "a branch table is too short",
            &[(
                "br_table v5, block11, [block9, block10]",
                "br_table v5, block11, [block9]",
            )],
            "another number of blocks",
        ),
        edited(
            "a branch table has one entry more",
            &[(
                "br_table v5, block11, [block9, block10]",
                "br_table v5, block11, [block9, block10, block9]",
            )],
            "another number of blocks",
        ),
        edited(
            "an edge to the other copy's block",
            &[(
                "brif v17, block6(v16, v1), block7",
                "brif v17, block14(v16, v1), block7",
            )],
            "one instruction for it and for",
        ),
        edited(
            "a return goes on behind another call",
            &[("jump block8(v21, v20)", "jump block16(v21, v20)")],
            "became `v13 = isub",
        ),
        edited(
            "a return skips the code behind the call",
            &[("jump block12(v23) ; v23 = 22", "jump block1(v23, v23)")],
            "did not become a call",
        ),
        edited(
            "an instruction dropped",
            &[("v5 = ishl v3, v4\n", "v5 -> v3\n")],
            "became",
        ),
        edited(
            "an instruction of the copy dropped",
            &[(
                "v21 = sdiv v20, v1\njump block8(v21, v20)",
                "jump block8(v20, v20)",
            )],
            "became",
        ),
        edited(
            "an instruction duplicated",
            &[(
                "v10 = udiv v8, v9\n",
                "v10 = udiv v8, v9\nv50 = udiv v8, v9\n",
            )],
            "became",
        ),
        edited(
            "instructions exchanged",
            &[(
                "v18 = iconst.i32 3\nv19 = iadd v14, v18 ; v18 = 3\n",
                "v50 = iadd v14, v14\nv18 = iconst.i32 3\nv19 = iadd v14, v18\n",
            )],
            "became",
        ),
        edited(
            "a wrong opcode",
            &[("v21 = sdiv v20, v1", "v21 = udiv v20, v1")],
            "became",
        ),
        edited(
            "a wrong condition code",
            &[("v17 = icmp slt v16, v0", "v17 = icmp sle v16, v0")],
            "became",
        ),
        edited(
            "the sign of a comparison lost",
            &[("v17 = icmp slt v16, v0", "v17 = icmp ult v16, v0")],
            "became",
        ),
        edited(
            "a wrong constant",
            &[("v22 = iconst.i32 11", "v22 = iconst.i32 12")],
            "became",
        ),
        edited(
            "the constant of another return",
            &[("jump block12(v23) ; v23 = 22", "jump block12(v5)")],
            "other arguments",
        ),
        edited(
            "a trap code changed",
            &[("trapz.i32 v5, user3", "trapz.i32 v5, user4")],
            "became",
        ),
        edited(
            "a conditional trap turned round",
            &[("trapz.i32 v5, user3", "trapnz.i32 v5, user3")],
            "became",
        ),
        edited(
            "a conditional trap lost",
            &[("trapz.i32 v5, user3\njump block12(v5)", "jump block12(v5)")],
            "became",
        ),
        edited(
            "a wrong callee",
            &[("fn2 = %extern sig2", "fn2 = %intern sig2")],
            "another callee",
        ),
        edited(
            "a flag of a callee invented",
            &[("fn2 = %extern sig2", "fn2 = colocated %extern sig2")],
            "another callee",
        ),
        edited(
            "a wrong signature",
            &[(
                "sig2 = (i32, i32) -> i32 system_v",
                "sig2 = (i32, i32) -> i32 fast",
            )],
            "another callee",
        ),
        edited(
            "the signature of the function changed",
            &[(
                "%caller(i32, i32, i64) -> i32 system_v",
                "%caller(i32, i32, i64) -> i32 fast",
            )],
            "name or signature",
        ),
        edited(
            "an extension in a signature lost",
            &[(
                "sig2 = (i32, i32) -> i32 system_v",
                "sig2 = (i32, i32 sext) -> i32 system_v",
            )],
            "another callee",
        ),
        edited(
            "the name of the function changed",
            &[("function %caller(", "function %callee(")],
            "name or signature",
        ),
        edited(
            "the result of the caller is another",
            &[("return v4", "return v3")],
            "with another operand",
        ),
        edited(
            "a source location of the copy lost",
            &[("@0010 v16 = isub", "v16 = isub")],
            "source location is",
        ),
        edited(
            "a copy has the source location of the call",
            &[("@0011 v27", "@0001 v27")],
            "source location is",
        ),
        edited(
            "a source location invented",
            &[("v10 = udiv v8, v9", "@0044 v10 = udiv v8, v9")],
            "source location is",
        ),
        edited(
            "a call not removed",
            &[(
                "v5 = ishl v3, v4",
                "v60, v61 = call fn0(v0, v1, v2)\nv5 = ishl v3, v4",
            )],
            "became",
        ),
        edited(
            "a replaced call is left in instead of its copy",
            &[(
                "jump block12(v22) ; v22 = 11",
                "v60 = call fn1(v5)\njump block12(v60)",
            )],
            "two paths lead to it",
        ),
        edited(
            "a constant's type changed",
            &[(
                "v22 = iconst.i32 11\njump block12(v22) ; v22 = 11",
                "v22 = iconst.i64 11\nv62 = ireduce.i32 v22\njump block12(v62)",
            )],
            "other types",
        ),
        edited(
            "both returns go to the first",
            &[("jump block16(v31, v30)", "jump block16(v31, v31)")],
            "with another operand",
        ),
    ],
};

pub(super) const LOOPS: Base = Base {
    module: include_str!("../modules/loops.clif"),
    shares_slots: true,
    for_program: false,
    cleaned_up: false,
    faults: &[
        edited(
            "parameters of a loop header not exchanged",
            &[(
                "brif v6, block1(v5, v4), block2",
                "brif v6, block1(v4, v5), block2",
            )],
            "with another operand",
        ),
        edited(
            "an empty infinite loop removed",
            &[(
                "block3:\njump block14\n\nblock14:\njump block14",
                "block3:\nreturn v7",
            )],
            "loops forever",
        ),
        edited(
            "an infinite loop goes on elsewhere",
            &[("block14:\njump block14", "block14:\njump block4")],
            "loops forever",
        ),
        edited(
            "a loop left the wrong way",
            &[(
                "brif v6, block1(v5, v4), block2",
                "brif v6, block2, block1(v5, v4)",
            )],
            "became `brif",
        ),
        edited(
            "a path loops forever that should not",
            &[("block4:\nreturn v5", "block4:\njump block4")],
            "loops forever",
        ),
        edited(
            "a value from before the loop",
            &[("v7 = iadd.i32 v4, v5", "v7 = iadd.i32 v3, v5")],
            "with another operand",
        ),
    ],
};

pub(super) const LOOPS_CLEANED_UP: Base = Base {
    module: include_str!("../modules/loops.clif"),
    shares_slots: true,
    for_program: false,
    cleaned_up: true,
    faults: &[
        edited(
            "a branch on a constant folded the wrong way",
            &[(
                "v9 = isub v1, v0\njump block1(v9, v0)",
                "v9 = isub v0, v1\njump block1(v9, v0)",
            )],
            "with another operand",
        ),
        edited(
            "a branch folded that is not constant",
            &[("brif v4, block10, block11", "jump block10")],
            "became `v10 = iconst",
        ),
        edited(
            "an edge threaded to the wrong side",
            &[("brif v7, block14, block4", "brif v7, block4, block14")],
            "loops forever before it",
        ),
        edited(
            "a threaded edge lost its argument",
            &[("jump block1(v9, v0)", "jump block1(v9, v1)")],
            "with another operand",
        ),
        edited(
            "an empty infinite loop removed by clean-up",
            &[("block14:\njump block14", "block14:\nreturn v7")],
            "loops forever",
        ),
        edited(
            "an empty infinite loop taken for a trap",
            &[("block14:\njump block14", "block14:\ntrap user1")],
            "loops forever",
        ),
        edited(
            "the constants of a flag swapped",
            &[("v10 = iconst.i8 1\n", "v10 = iconst.i8 0\n")],
            "became",
        ),
    ],
};
