//! The part of a function that is optimized.

use super::support::{id, program, run};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Optimize};

/// Returns the number of decided ways in `%main`, which has two joins with two such ways each: one
/// of its own, and one behind the copy of `%flag`. In between are `padding` instructions.
fn decided(padding: usize, optimize: Optimize) -> usize {
    let mut text = "
        function %flag(i32) -> i8 fast {
        block0(v0: i32):
            brif v0, block1, block2
        block1:
            v1 = iconst.i8 1
            return v1
        block2:
            v2 = iconst.i8 0
            return v2
        }
        function %main(i32, i64) -> i64 fast {
            fn0 = %flag(i32) -> i8 fast
        block0(v0: i32, v1: i64):
            brif v0, block1, block2
        block1:
            v2 = iconst.i8 1
            jump block3(v2)
        block2:
            v3 = iconst.i8 0
            jump block3(v3)
        block3(v4: i8):
            brif v4, block4, block5
        block4:
            store v0, v1
            jump block6
        block5:
            store v0, v1+8
            jump block6
        block6:
            v5 = iadd v1, v1
            v6 = call fn0(v0)
            brif v6, block7, block8
        block7:
            return v5
        block8:
            return v1
        }"
    .to_owned();
    let mut added = "v5 = iadd v1, v1\n".to_owned();
    for index in 0..padding {
        added += &format!("store v1, v5+{}\n", 8 * index);
    }
    text = text.replace("v5 = iadd v1, v1\n", &added);
    let program = program(&text);
    let inlined = run(Inliner::new(Always).optimize(optimize), &program);
    inlined.stats(id(&program, "main")).cleanup.branches_decided
}

#[test]
fn a_small_copy_in_a_large_function_is_optimized_alone() {
    assert_eq!(decided(300, Optimize::Inlined), 2);
    assert_eq!(decided(300, Optimize::All), 4);
}

#[test]
fn a_function_that_came_in_for_a_large_part_is_optimized_as_a_whole() {
    let (part, all) = (decided(0, Optimize::Inlined), decided(0, Optimize::All));
    assert!(part == all && all > 2);
}
