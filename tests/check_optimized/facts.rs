//! Facts that hold when a loop is entered, and those that hold in each round.

use crate::support::{accept, prove};

/// At first the second parameter is the low byte of the first, and neither is 0. From `block3` both
/// come from elsewhere, and `block3` is reached only from the second round on.
const LOOP: &str = "
function %f(i32) system_v {
    fn0 = %host(i32, i8) system_v
    fn1 = %number() -> i32 system_v
    fn2 = %byte() -> i8 system_v
block0(v0: i32):
    v1 = ireduce.i8 v0
    trapz v1, user1
    v2 = iconst.i32 0
    jump block1(v0, v1, v2)
block1(v3: i32, v4: i8, v5: i32):
    v6 = ireduce.i8 v3
    trapz v6, user2
    trapz v4, user3
    call fn0(v3, v4)
    brif v5, block3, block2
block2:
    v7 = call fn1()
    v8 = ireduce.i8 v7
    trapz v8, user1
    v9 = iconst.i32 1
    jump block1(v7, v8, v9)
block3:
    v10 = call fn1()
    v11 = call fn2()
    trapz v11, user1
    v12 = iconst.i32 1
    jump block1(v10, v11, v12)
}";

#[test]
fn a_fact_about_a_byte_ends_where_the_byte_becomes_another() {
    let after = LOOP.replace("    trapz v4, user3\n", "");
    accept(LOOP, &after);
    let after = LOOP.replace("    trapz v6, user2\n", "");
    let unproved = prove(LOOP, &after, "").unwrap_err().to_string();
    assert!(
        unproved.contains("`trapz.i8 v6, user2` came before"),
        "{unproved}"
    );
}

/// A chain of this many tests of different values, with one exit: facts about each of the values
/// would take a minute.
const TESTS: usize = 4000;

#[test]
fn facts_about_values_of_the_past_cost_nothing() {
    let mut chain = String::from("function %f(i64) -> i64 system_v {\n");
    chain += "block0(v0: i64):\n    jump block1(v0)\n";
    for number in 1..TESTS {
        let (next, param, sum) = (number + 1, 2 * number - 1, 2 * number);
        chain += &format!("block{number}(v{param}: i64):\n");
        chain += &format!("    v{sum} = iadd v{param}, v0\n");
        chain += &format!("    brif v{sum}, block{next}(v{sum}), block{TESTS}(v{param})\n");
    }
    chain += &format!("block{TESTS}(v{0}: i64):\n    return v{0}\n}}", 2 * TESTS);
    accept(&chain, &chain);
}
