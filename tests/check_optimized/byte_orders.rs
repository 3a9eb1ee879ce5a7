//! Right results about bytes in memory whose order is explicit or unknown.

use crate::support::read;
use cranelift_codegen::ir::Endianness;
use cranelift_inliner::check::{Alone, check_optimized};
use cranelift_inliner::cleanup::{CleanupContext, OptimizeOptions, optimize};

#[test]
fn pieces_in_other_places_in_an_unknown_byte_order() {
    let before = "
function %f(i32, i16, i32) -> i32 system_v {
    ss0 = explicit_slot 8
block0(v0: i32, v1: i16, v2: i32):
    v3 = stack_addr.i64 ss0
    store v1, v3+1
    store v0, v3
    jump block1
block1:
    v4 = load.i32 v3
    v5 = iadd v4, v2
    store v5, v3
    brif v4, block1, block2
block2:
    return v4
}";
    let after = "
function %f(i32, i16, i32) -> i32 system_v {
    ss0 = explicit_slot 8
block0(v0: i32, v1: i16, v2: i32):
    v3 = stack_addr.i64 ss0
    store v0, v3
    jump block1
block1:
    v4 = load.i32 v3
    v5 = iadd v4, v2
    store v5, v3
    brif v4, block1, block2
block2:
    return v4
}";
    let [before, after] = [before, after].map(|text| crate::support::read(text).unwrap());
    let alone = cranelift_inliner::check::Alone(None);
    cranelift_inliner::check::check_optimized(&before, &after, &alone).unwrap();
}

#[test]
fn stores_beside_a_read_in_an_unknown_byte_order() {
    let before = "
function %f(i32, i64, i8) -> i32 system_v {
    ss0 = explicit_slot 8
block0(v0: i32, v1: i64, v2: i8):
    v3 = stack_addr.i64 ss0
    v4 = iconst.i32 1
    store v4, v3
    store v0, v3+4
    jump block1(v1)
block1(v5: i64):
    v6 = iadd v3, v5
    store v2, v6
    v7 = iadd v5, v1
    brif v7, block1(v7), block2
block2:
    v8 = load.i32 v3
    return v8
}";
    let store = "    store v0, v3+4\n";
    let after = before.replace(store, "");
    let prove = |before: &str, after: &str| {
        let [before, after] = [before, after].map(|text| crate::support::read(text).unwrap());
        let alone = cranelift_inliner::check::Alone(None);
        cranelift_inliner::check::check_optimized(&before, &after, &alone)
    };
    prove(before, &after).unwrap();
    // The read bytes are not those beside them.
    let wrong = after.replace("store v4, v3\n", "store v0, v3\n");
    prove(before, &wrong).unwrap_err();
    let wider = before.replace("load.i32 v3", "load.i32 v3+2");
    prove(&wider, &wider.replace(store, "")).unwrap_err();
}

/// With the byte order unknown, bytes of several stores are a row of their own; zeros in it are one
/// zero, wherever they were cut.
#[test]
fn zeros_beside_bytes_that_nothing_reads() {
    let body = |dead: &str| {
        format!(
            "
function %f(i64) -> i64 system_v {{
    ss0 = explicit_slot 32
block0(v0: i64):
    v2 = stack_addr.i64 ss0
    v3 = iconst.i16 0x7fff
    v4 = iconst.i64 0
    {dead}
    store notrap v4, v2+23
    v9 = iconst.i32 0
    store notrap v9, v2+24
    v5 = iconst.i64 24
    v6 = band v0, v5
    v7 = iadd v2, v6
    store notrap v0, v7
    v8 = sload32 notrap v2+23
    return v8
}}"
        )
    };
    let (before, after) = (body("store notrap v3, v2+21"), body(""));
    let unknown = Alone(None);
    let [before, after] = [&before, &after].map(|text| read(text).unwrap());
    check_optimized(&before, &after, &unknown).unwrap();
}

/// One byte of a number that was stored in an explicit order is a byte of the number, although the
/// order of the machine is unknown.
#[test]
fn a_byte_of_a_number_in_an_explicit_order() {
    let load = "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 4
    ss1 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i32 -909564928
    store notrap little v2, v1
    v3 = load.i8 notrap v1
    v4 = stack_addr.i64 ss1
    store notrap v3, v4
    store notrap v3, v4+1
    store notrap v3, v4+2
    store notrap v3, v4+3
    v5 = load.i32 notrap little v4
    brif v5, block1, block2
block1:
    return v0
block2:
    return v5
}";
    let value = "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i32 -909564928
    store notrap little v2, v1
    v3 = load.i8 notrap v1
    v6 = uextend.i32 v3
    v8 = iconst.i32 8
    v9 = ishl v6, v8
    v10 = bor v6, v9
    v11 = iconst.i32 16
    v12 = ishl v10, v11
    v5 = bor v10, v12
    brif v5, block1, block2
block1:
    return v0
block2:
    return v5
}";
    let [before, after] = [load, value].map(|text| read(text).unwrap());
    check_optimized(&before, &after, &Alone(None)).unwrap();
}

/// A number in an explicit order, and one in that of the machine, are stored and loaded in a loop.
#[test]
fn numbers_in_slots_go_round_a_loop() {
    let order = |order: &str| {
        format!(
            "
function %f(i32, i64) -> i32 system_v {{
    ss0 = explicit_slot 4
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = iconst.i32 0
    store notrap {order} v3, v2
    jump block1
block1:
    v4 = load.i32 notrap {order} v2
    store v4, v1
    v5 = icmp ult v4, v0
    v6 = iconst.i32 3
    v7 = iadd v4, v6
    store notrap {order} v7, v2
    brif v5, block1, block2
block2:
    return v4
}}"
        )
    };
    let after = "
function %f(i32, i64) -> i32 system_v {
block0(v0: i32, v1: i64):
    v3 = iconst.i32 0
    jump block1(v3)
block1(v4: i32):
    store v4, v1
    v5 = icmp ult v4, v0
    v6 = iconst.i32 3
    v7 = iadd v4, v6
    brif v5, block1(v7), block2
block2:
    return v4
}";
    for order in ["little", "big", ""].map(order) {
        let [before, after] = [&*order, after].map(|text| read(text).unwrap());
        check_optimized(&before, &after, &Alone(None)).unwrap();
    }
}

/// The machine's order is known, and the number was stored in the other one.
#[test]
fn a_byte_of_a_number_in_the_order_of_other_machines() {
    for (order, [other, own]) in [
        (Endianness::Big, ["little", "big"]),
        (Endianness::Little, ["big", "little"]),
    ] {
        let text = format!(
            "
function %f(i64) -> i64, i32 system_v {{
    ss0 = explicit_slot 8
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store notrap {other} v0, v1
    v2 = sload8.i64 notrap v1+2
    v3 = load.i32 notrap {other} v1+4
    return v2, v3
}}"
        );
        let before = read(&text).unwrap();
        let mut after = before.clone();
        let mut options = OptimizeOptions::default();
        options.endianness = Some(order);
        let stats = optimize(&mut after, &options, &mut CleanupContext::new());
        assert_eq!(stats.slots_promoted, 1);
        check_optimized(&before, &after, &Alone(Some(order))).unwrap();
        let in_its_own = read(&text.replacen(other, own, 1)).unwrap();
        check_optimized(&in_its_own, &after, &Alone(Some(order))).unwrap_err();
    }
}
