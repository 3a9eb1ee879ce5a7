//! Right results with branches that are gone or decided.

use crate::support::{accept, prove};
use cranelift_inliner::check::Unproved;

#[test]
fn a_test_that_is_decided_on_one_way_only() {
    accept(
        "
function %f(i32, i8) -> i32 system_v {
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i8):
    brif v1, block1, block2
block1:
    v2 = call fn0(v0)
    v3 = iconst.i8 1
    jump block3(v3, v2)
block2:
    v4 = call fn0(v0)
    v5 = ireduce.i8 v4
    jump block3(v5, v4)
block3(v6: i8, v7: i32):
    v8 = iadd v7, v0
    brif v6, block4, block5
block4:
    return v8
block5:
    trap user1
}",
        "
function %f(i32, i8) -> i32 system_v {
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i8):
    brif v1, block1, block2
block1:
    v2 = call fn0(v0)
    v9 = iadd v2, v0
    jump block4(v9)
block2:
    v4 = call fn0(v0)
    v5 = ireduce.i8 v4
    jump block3(v5, v4)
block3(v6: i8, v7: i32):
    v8 = iadd v7, v0
    brif v6, block4(v8), block5
block4(v10: i32):
    return v10
block5:
    trap user1
}",
    );
}

#[test]
fn a_branch_that_decides_nothing_any_more() {
    accept(
        "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    brif v0, block1, block2
block1:
    store v0, v1
    jump block3
block2:
    jump block3
block3:
    return v0
}",
        "
function %f(i32) -> i32 system_v {
block0(v0: i32):
    return v0
}",
    );
}

#[test]
fn branches_inside_branches_that_decide_nothing() {
    accept(
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i64 0
    v3 = umin v2, v1
    v4 = iconst.i32 2
    jump block1(v4)
block1(v5: i32):
    v6 = icmp sle v1, v3
    brif v6, block2, block3
block2:
    v7 = iconst.i32 0
    v8 = icmp ugt v5, v7
    brif v8, block4, block5
block4:
    v9 = popcnt v3
    jump block6
block5:
    jump block7(v2, v2)
block6:
    jump block7(v2, v2)
block3:
    jump block7(v2, v2)
block7(v10: i64, v11: i64):
    v12 = iconst.i32 1
    v13 = isub v5, v12
    brif v13, block1(v13), block8(v3)
block8(v14: i64):
    return v14
}",
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i64 0
    v3 = umin v2, v1
    v4 = iconst.i32 2
    jump block1(v4)
block1(v5: i32):
    v12 = iconst.i32 1
    v13 = isub v5, v12
    brif v13, block1(v13), block8
block8:
    return v3
}",
    );
}

#[test]
fn a_branch_that_decides_nothing_behind_one_that_does() {
    accept(
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i64 0
    v4 = iconst.i32 2
    jump block1(v4)
block1(v5: i32):
    v6 = icmp sle v1, v2
    brif v6, block2, block3
block2:
    v7 = iconst.i32 0
    v8 = icmp ugt v5, v7
    brif v8, block4, block5
block4:
    jump block6
block5:
    jump block7(v2, v2)
block6:
    jump block7(v2, v2)
block3:
    jump block7(v2, v2)
block7(v10: i64, v11: i64):
    v12 = iconst.i32 1
    v13 = isub v5, v12
    brif v13, block1(v13), block8
block8:
    return v2
}",
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i64 0
    v4 = iconst.i32 2
    jump block1(v4)
block1(v5: i32):
    v6 = icmp sle v1, v2
    brif v6, block2, block7
block2:
    jump block7
block7:
    v12 = iconst.i32 1
    v13 = isub v5, v12
    brif v13, block1(v13), block8
block8:
    return v2
}",
    );
}

/// The way of the first entry is never taken, since the selecting value is not zero.
#[test]
fn a_table_contradicts_an_earlier_branch() {
    let text = "
function %f(i32) system_v {
    fn0 = %g(i32) system_v
block0(v0: i32):
    v1 = iconst.i32 1
    v2 = iconst.i32 2
    brif v0, block2, block1
block1:
    return
block2:
    br_table v0, block3, [block3, block3]
block3:
    brif v0, block4, block5
block4:
    call fn0(v1)
    return
block5:
    call fn0(v2)
    return
}";
    let decided = text.replace("    brif v0, block4, block5", "    jump block4");
    accept(text, &decided);
    let other = text.replace("    brif v0, block4, block5", "    jump block5");
    assert!(prove(text, &other, "").is_err());
}

#[test]
fn the_first_of_two_branches_on_one_value_is_gone() {
    accept(
        "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
@0010   brif v0, block1, block2
block1:
    v2 = iadd v0, v0
    jump block2
block2:
@0020   brif v0, block3, block4
block3:
    store v0, v1
    return v0
block4:
    return v0
}",
        "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
@0020   brif v0, block3, block4
block3:
    store v0, v1
    return v0
block4:
    return v0
}",
    );
}

#[test]
fn a_comparison_of_a_value_known_on_this_way() {
    accept(
        "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
    brif v0, block1, block2
block1:
    store v0, v1
    return v0
block2:
    v2 = iconst.i32 7
    v3 = icmp ugt v0, v2
    v4 = uextend.i32 v3
    brif v4, block1, block3
block3:
    return v2
}",
        "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
    brif v0, block1, block2
block1:
    store v0, v1
    return v0
block2:
    v2 = iconst.i32 7
    return v2
}",
    );
}

/// On one way the condition is a constant, on the other an earlier branch decided it; each way
/// alone then goes the same way at the next branch on it.
#[test]
fn a_branch_that_all_ways_to_a_join_decide() {
    accept(
        "
function %f(i32, i64, i64) -> i64 system_v {
block0(v0: i32, v1: i64, v2: i64):
    v3 = iconst.i64 1
    brif v0, block1, block2(v3)
block1:
    jump block2(v1)
block2(v4: i64):
    brif v4, block3, block5(v2)
block3:
    store v2, v2
    brif v4, block4, block5(v2)
block4:
    jump block5(v4)
block5(v5: i64):
    return v5
}",
        "
function %f(i32, i64, i64) -> i64 system_v {
block0(v0: i32, v1: i64, v2: i64):
    v3 = iconst.i64 1
    brif v0, block1, block3(v3)
block1:
    brif v1, block3(v1), block5(v2)
block3(v4: i64):
    store v2, v2
    jump block5(v4)
block5(v5: i64):
    return v5
}",
    );
}

#[test]
fn nested_branches_that_decide_nothing() {
    let nested = |depth: usize| {
        let mut text = "function %f(i32, i32, i32, i32, i32, i32) -> i32 system_v {
block0(v0: i32, v1: i32, v2: i32, v3: i32, v4: i32, v5: i32):
    jump block100
"
        .to_owned();
        for level in 0..depth {
            let (at, inner) = (100 + 10 * level, 110 + 10 * level);
            text += &format!(
                "block{at}:
    brif v{level}, block{inner}, block{}
block{}:
    jump block{}
block{}:
    jump block{}
",
                at + 1,
                at + 1,
                at + 2,
                at + 2,
                at + 3,
            );
            let out = if level == 0 { 1 } else { at - 8 };
            text += &format!("block{}:\n    jump block{out}\n", at + 3);
        }
        let last = 100 + 10 * depth;
        text + &format!(
            "block{last}:\n    jump block{}\nblock1:\n    return v5\n}}",
            last - 8
        )
    };
    let after = "
function %f(i32, i32, i32, i32, i32, i32) -> i32 system_v {
block0(v0: i32, v1: i32, v2: i32, v3: i32, v4: i32, v5: i32):
    return v5
}";
    for depth in 1..=4 {
        prove(&nested(depth), after, "").unwrap();
    }
    // Too deep to see, which is not wrong.
    let unproved = prove(&nested(5), after, "").unwrap_err();
    assert!(matches!(unproved, Unproved::CannotTell(_)), "{unproved}");
}

/// Facts go through sign extensions like through others, in both directions.
#[test]
fn facts_of_a_sign_extended_number() {
    let extended = |condition: &str, number: &str| {
        let before = format!(
            "
function %f(i8, i8) -> i32 system_v {{
block0(v0: i8, v1: i8):
    v2 = sextend.i32 v0
    {condition}
    brif v3, block1, block2
block1:
    {number}
    brif v4, block3, block4
block2:
    v5 = iconst.i32 1
    return v5
block3:
    v6 = iconst.i32 2
    return v6
block4:
    v7 = iconst.i32 3
    return v7
}}"
        );
        let after = format!(
            "
function %f(i8, i8) -> i32 system_v {{
block0(v0: i8, v1: i8):
    v2 = sextend.i32 v0
    {condition}
    brif v3, block3, block2
block2:
    v5 = iconst.i32 1
    return v5
block3:
    v6 = iconst.i32 2
    return v6
}}"
        );
        prove(&before, &after, "")
    };
    let compared = |[result, bits_of]: [&str; 2], value: &str, op: &str, bits: i64| {
        let ty = if value == "v2" { "i32" } else { "i8" };
        format!("{bits_of} = iconst.{ty} {bits}\n    {result} = icmp {op} {value}, {bits_of}")
    };
    let is = |value, op, bits| compared(["v3", "v8"], value, op, bits);
    let then = |value, op, bits| compared(["v4", "v9"], value, op, bits);
    let right = [
        // The value, and the sign.
        (is("v0", "eq", -128), then("v2", "eq", -128)),
        (is("v0", "eq", 127), then("v2", "slt", 128)),
        (is("v0", "eq", -1), then("v2", "ugt", 0x7fff_ffff)),
        // Whether it is zero.
        (is("v0", "ne", 0), then("v2", "ne", 0)),
        (is("v2", "ne", 0), then("v0", "ne", 0)),
        (is("v2", "eq", 0), then("v0", "eq", 0)),
    ];
    for (condition, number) in right {
        assert_eq!(
            extended(&condition, &number),
            Ok(()),
            "{condition}, {number}"
        );
    }
    let wrong = [
        (is("v0", "eq", -128), then("v2", "eq", 128)),
        (is("v0", "eq", -1), then("v2", "ult", 0x7fff_ffff)),
        (is("v0", "ne", 0), then("v2", "ne", 1)),
        (is("v2", "eq", 0), then("v0", "ne", 0)),
        (is("v2", "eq", 0), then("v1", "eq", 0)),
    ];
    for (condition, number) in wrong {
        assert!(
            extended(&condition, &number).is_err(),
            "{condition}, {number}"
        );
    }
}

/// A table may have many entries, and few different ones.
#[test]
fn a_large_table_that_decides_nothing() {
    let table = |entries: &[&str]| {
        let entries: Vec<&str> = entries.iter().copied().cycle().take(60).collect();
        format!(
            "
function %f(i32, i64) -> i64 system_v {{
block0(v0: i32, v1: i64):
    br_table v0, block1, [{}]
block1:
    jump block3(v1)
block2(v2: i64):
    v3 = iadd v2, v2
    jump block3(v3)
block3(v4: i64):
    return v1
}}",
            entries.join(", ")
        )
    };
    let after = "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    return v1
}";
    accept(&table(&["block1", "block2(v1)", "block3(v1)"]), after);
    let wrong = table(&["block1", "block2(v1)"]).replace("return v1", "return v4");
    assert!(prove(&wrong, after, "").is_err());
}
