//! A custom policy before the default one.
//!
//! ```text
//! cargo run --example custom_policy
//! ```
//!
//! The imagined front end knows three things that a heuristic cannot guess: its runtime's slow
//! paths are never worth a copy, its accessors always are, and a call with a constant shape
//! argument folds to almost nothing. It leaves all other calls to the default cost model.

use cranelift_inliner::decide::{Argument, CallSite, CostModel, Decision, FirstMatch, Inline};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::Program;
use std::error::Error;

const MODULE: &str = "
function %get_length(i64) -> i64 fast {
block0(v0: i64):
    v1 = load.i64 notrap aligned v0+8
    return v1
}

function %slow_grow(i64) fast {
block0(v0: i64):
    return
}

;; The second parameter is the shape: 0 for numbers, 1 for references.
function %element(i64, i32, i64) -> i64 fast {
block0(v0: i64, v1: i32, v2: i64):
    br_table v1, block3, [block1, block2]
block1:
    v3 = load.i64 notrap aligned v0+16
    v4 = iadd v3, v2
    v5 = uload8.i64 notrap v4
    return v5
block2:
    v6 = load.i64 notrap aligned v0+24
    v7 = iadd v6, v2
    v8 = load.i64 notrap v7
    return v8
block3:
    trap user1
}

function %main(i64, i32) -> i64 fast {
    fn0 = %get_length(i64) -> i64 fast
    fn1 = %slow_grow(i64) fast
    fn2 = %element(i64, i32, i64) -> i64 fast
block0(v0: i64, v1: i32):
    v2 = call fn0(v0)
    call fn1(v0)
    v3 = iconst.i32 0
    v4 = call fn2(v0, v3, v2)
    v5 = call fn2(v0, v1, v4)
    return v5
}
";

/// Decides by the front end's names for parts of its runtime.
fn by_name(site: &CallSite<'_>) -> Decision {
    let name = site.callee_name().to_string();
    if name.starts_with("%get_") {
        Decision::inline("an accessor")
    } else if name.starts_with("%slow_") {
        Decision::keep("a slow path")
    } else {
        Decision::Undecided
    }
}

/// Inlines a callee that folds because its shape, the second argument, is constant.
struct KnownShape;

impl Inline for KnownShape {
    fn decide(&self, site: &CallSite<'_>) -> Decision {
        let folds = site.summary().parameters();
        match (site.arguments().nth(1), folds.get(1)) {
            (Some(Argument::Int(shape)), Some(shape_use)) if shape_use.folded_branches > 0 => {
                Decision::inline(format!("shape {shape}"))
            }
            _ => Decision::Undecided,
        }
    }
}

fn inline(text: &str) -> Result<Inlined, Box<dyn Error>> {
    let program = Program::from_clif(text, "module")?;
    // Only calls that make the program clearly smaller.
    let mut weighed = CostModel::default();
    weighed.threshold = -5;
    let policy = FirstMatch::new()
        .then(by_name)
        .then(KnownShape)
        .then(weighed);
    Ok(Inliner::new(policy).run(&program)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    for site in inline(MODULE)?.sites() {
        let verb = if site.inlined { "inlined" } else { "kept" };
        println!("{} {verb}: {}", site.callee, site.reason);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MODULE, inline};

    #[test]
    fn each_policy_has_its_say() {
        let inlined = inline(MODULE).unwrap();
        let told: Vec<_> = inlined
            .sites()
            .map(|site| {
                (
                    site.callee.to_string(),
                    site.inlined,
                    site.reason.to_string(),
                )
            })
            .collect();
        let expect = |index: usize, callee: &str, inlined: bool, reason: &str| {
            assert_eq!(told[index], (callee.to_owned(), inlined, reason.to_owned()));
        };
        expect(0, "%get_length", true, "an accessor");
        expect(1, "%slow_grow", false, "a slow path");
        expect(2, "%element", true, "shape 0");
        // The last call's shape is unknown, so the cost model weighs it.
        assert!(told[3].2.starts_with("cost "), "{}", told[3].2);
        assert!(!told[3].1);
    }
}
