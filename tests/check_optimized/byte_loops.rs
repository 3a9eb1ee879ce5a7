//! Slots that a loop fills byte by byte, at addresses that are not constant.

use crate::support::{prove, read};
use cranelift_inliner::check::{Alone, Unproved, check_optimized};

/// Returns a function that copies one slot to another in a loop, with `stores` before it, and reads
/// the first four bytes on one of two ways.
fn copy_loop(stores: &str) -> String {
    format!(
        "
function %f(i32, i32) -> i32 system_v {{
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = iconst.i64 0
    v5 = iconst.i64 16
    brif v0, block1, block5(v1)
block1:
{stores}
    jump block2(v4)
block2(v6: i64):
    v7 = isub v5, v6
    brif v7, block3, block4
block3:
    v8 = iadd v2, v6
    v9 = load.i8 notrap v8
    v10 = iadd v3, v6
    store notrap v9, v10
    v11 = iconst.i64 1
    v12 = iadd v6, v11
    jump block2(v12)
block4:
    v13 = load.i32 notrap v3
    jump block5(v13)
block5(v14: i32):
    return v14
}}"
    )
}

fn prove_both(before: &str, after: &str) -> Result<(), Unproved> {
    let [before, after] = [before, after].map(|stores| read(&copy_loop(stores)).unwrap());
    check_optimized(&before, &after, &Alone(None))
}

#[test]
fn slots_that_are_paired_where_a_loop_ends() {
    let stores = "    v20 = iconst.i64 -1\n    store notrap v20, v2\n    store.i32 notrap v1, v3";
    let unused = format!("    v21 = stack_addr.i64 ss0\n{stores}");
    prove_both(&unused, stores).unwrap();
}

#[test]
fn bytes_that_nothing_reads() {
    let store =
        |of: &str, at: u32| format!("    v20 = iconst.i8 3\n    store notrap v20, {of}+{at}");
    prove_both(&store("v3", 15), "").unwrap();
    prove_both(&store("v3", 4), "").unwrap();
    prove_both(&store("v3", 3), "").unwrap_err();
    prove_both(&store("v2", 15), "").unwrap_err();
    prove_both(&store("v3", 15), &store("v3", 3)).unwrap_err();
}

/// Each of these lets something read the last byte of the slot.
#[test]
fn bytes_that_something_may_read() {
    let text = |read: &str, store: &str| {
        format!(
            "
function %f(i64, i64) -> i32 system_v {{
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v20 = iconst.i8 3
    v21 = iconst.i64 7
{store}
{read}
}}"
        )
    };
    let reads = [
        "    v3 = iadd v2, v21\n    v4 = uload8.i32 notrap v3\n    return v4",
        "    v3 = iadd v21, v2\n    v4 = uload8.i32 notrap v3\n    return v4",
        "    v3 = stack_addr.i64 ss0+8\n    v4 = iconst.i64 1\n    v5 = isub v3, v4\n    v6 = uload8.i32 notrap v5\n    return v6",
        "    v3 = iadd v2, v0\n    v4 = uload8.i32 notrap v3\n    return v4",
        "    v3 = load.i32 notrap v2+4\n    return v3",
        "    v3 = stack_addr.i64 ss1\n    v4 = select v0, v2, v3\n    v5 = uload8.i32 notrap v4+7\n    return v5",
        "    jump block1(v2)\nblock1(v3: i64):\n    v4 = uload8.i32 notrap v3+7\n    return v4",
        "    jump block1(v2, v0)\nblock1(v3: i64, v4: i64):\n    v5 = uload8.i32 notrap v3\n    v6 = iconst.i64 1\n    v7 = iadd v3, v6\n    v8 = isub v4, v6\n    brif v8, block1(v7, v8), block2\nblock2:\n    return v5",
        "    v3 = stack_addr.i64 ss1\n    store notrap v2, v3\n    v4 = load.i64 notrap v3\n    v5 = uload8.i32 notrap v4+7\n    return v5",
        "    v3 = bxor v2, v0\n    v4 = bxor v3, v0\n    v5 = uload8.i32 notrap v4+7\n    return v5",
        "    store notrap v2, v0\n    v3 = uload8.i32 notrap v1\n    return v3",
        "    call fn0(v2)\n    v3 = iconst.i32 0\n    return v3",
    ];
    for end in reads {
        let stored = text(end, "    store notrap v20, v2+7");
        prove(&stored, &stored, "").unwrap();
        prove(&stored, &text(end, ""), "").unwrap_err();
    }
    let unread = "    v3 = load.i32 notrap v2+3\n    return v3";
    prove(
        &text(unread, "    store notrap v20, v2+7"),
        &text(unread, ""),
        "",
    )
    .unwrap();
}
