//! Branches whose sides all lead to one place.

use crate::support::prove;
use cranelift_inliner::check::Unproved;

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
