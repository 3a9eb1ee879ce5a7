//! Pairs that the checker must take.

use crate::support::{accept, prove};

#[test]
fn a_function_and_itself() {
    let text = "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 8
    fn0 = %g(i64) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    store.i32 v0, v2+4
    v3 = load.i32 v2+4
    v4 = load.i32 v2
    v5 = stack_addr.i64 ss1
    v6 = call fn0(v5)
    v7 = iadd v3, v6
    brif v7, block1(v4), block2
block1(v8: i32):
    v9 = iadd v8, v7
    jump block3(v9)
block2:
    jump block3(v7)
block3(v10: i32):
    store v10, v1
    br_table v10, block4, [block3(v0), block4]
block4:
    return v10
}";
    accept(text, text);
}

#[test]
fn a_loop_over_an_iterator_in_a_slot() {
    accept(
        "
function %sum(i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i64 0
    store v2, v1
    store v0, v1+8
    jump block1(v2)
block1(v3: i64):
    v4 = stack_addr.i64 ss0
    v5 = stack_addr.i64 ss1
    v6 = load.i64 v4
    v7 = load.i64 v4+8
    v8 = icmp ult v6, v7
    brif v8, block2, block3
block2:
    v9 = iconst.i64 1
    v10 = iadd v6, v9
    store v10, v4
    v11 = iconst.i8 1
    store v11, v5
    store v6, v5+8
    jump block4
block3:
    v12 = iconst.i8 0
    store v12, v5
    jump block4
block4:
    v13 = load.i8 v5
    brif v13, block5, block6
block5:
    v14 = load.i64 v5+8
    v15 = iadd v3, v14
    jump block1(v15)
block6:
    return v3
}",
        "
function %sum(i64) -> i64 system_v {
block0(v0: i64):
    v2 = iconst.i64 0
    jump block1(v2, v2)
block1(v3: i64, v6: i64):
    v8 = icmp ult v6, v0
    brif v8, block2, block3
block2:
    v9 = iconst.i64 1
    v10 = iadd v6, v9
    v15 = iadd v3, v6
    jump block1(v15, v10)
block3:
    return v3
}",
    );
}

#[test]
fn an_array_that_stays_in_its_slot() {
    accept(
        "
function %f(i64, i64) -> i32 system_v {
    ss0 = explicit_slot 4
    ss1 = explicit_slot 64
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss1
    v3 = iadd v2, v0
    v4 = iconst.i32 7
    store v4, v3
    store v4, v2+8
    v5 = stack_addr.i64 ss0
    store v4, v5
    v6 = iadd v2, v1
    v7 = load.i32 v6
    v8 = load.i32 v5
    v9 = iadd v7, v8
    store v9, v3
    return v9
}",
        "
function %f(i64, i64) -> i32 system_v {
    ss0 = explicit_slot 64
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = iadd v2, v0
    v4 = iconst.i32 7
    store v4, v3
    store v4, v2+8
    v6 = iadd v2, v1
    v7 = load.i32 v6
    v9 = iadd v7, v4
    return v9
}",
    );
}

#[test]
fn loops_without_end() {
    let text = "
function %f(i32) system_v {
block0(v0: i32):
    brif v0, block1, block2
block1:
    jump block2
block2:
    jump block1
}";
    accept(text, text);
    accept(
        text,
        "
function %f(i32) system_v {
block0(v0: i32):
    brif v0, block1, block1
block1:
    jump block1
}",
    );
}

#[test]
fn a_pointer_that_runs_through_an_array() {
    let text = "
function %f(i64) -> i64 system_v {
    ss0 = explicit_slot 64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i64 0
    jump block1(v1, v2)
block1(v3: i64, v4: i64):
    store v4, v3
    v5 = iconst.i64 8
    v6 = iadd v3, v5
    v7 = iadd v4, v5
    v8 = icmp ult v7, v0
    brif v8, block1(v6, v7), block2
block2:
    v9 = load.i64 v1+16
    return v9
}";
    accept(text, text);
}

#[test]
fn slots_that_hold_addresses_of_slots() {
    accept(
        "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    store v2, v1
    store v0, v2
    brif v0, block1, block2
block1:
    v3 = load.i64 v1
    v4 = iconst.i32 5
    store v4, v3
    jump block2
block2:
    v5 = load.i64 v1
    v6 = load.i32 v5
    return v6
}",
        "
function %f(i32) -> i32 system_v {
block0(v0: i32):
    brif v0, block1, block2(v0)
block1:
    v4 = iconst.i32 5
    jump block2(v4)
block2(v7: i32):
    return v7
}",
    );
}

#[test]
fn aggregates_that_memcpy_moves() {
    accept(
        "
function %f(i32, i64) -> i64 system_v {
    ss0 = explicit_slot 24
    ss1 = explicit_slot 24
    fn0 = %Memcpy(i64, i64, i64) -> i64 system_v
    fn1 = %Memset(i64, i32, i64) -> i64 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = iconst.i32 0
    v5 = iconst.i64 24
    v6 = call fn1(v2, v4, v5)
    store v0, v2+8
    store v1, v2+16
    v7 = call fn0(v3, v2, v5)
    v8 = load.i64 v3
    v9 = load.i64 v7+8
    v10 = load.i64 v3+16
    v11 = iadd v9, v10
    v12 = iadd v8, v11
    return v12
}",
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = uextend.i64 v0
    v3 = iadd v2, v1
    return v3
}",
    );
}

#[test]
fn constants_that_only_one_side_uses() {
    accept(
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i64 5
    brif v0, block1, block2
block1:
    v3 = iadd v1, v2
    jump block2
block2:
    v4 = isub v1, v2
    return v4
}",
        "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    v2 = iconst.i64 5
    v4 = isub v1, v2
    return v4
}",
    );
}

#[test]
fn pieces_that_joins_cut_in_other_places() {
    accept(
        "; big
function %f(i32, i32, i8, i64) -> i64 system_v {
    ss0 = explicit_slot 16
block0(v0: i32, v1: i32, v2: i8, v3: i64):
    v4 = stack_addr.i64 ss0
    store v1, v4+4
    store v2, v4+3
    brif v0, block1, block2
block1:
    store v3, v4
    jump block2
block2:
    v5 = uload8.i64 v4+3
    v6 = load.i32 v4+4
    v7 = uextend.i64 v6
    v8 = iadd v5, v7
    return v8
}",
        "
function %f(i32, i32, i8, i64) -> i64 system_v {
block0(v0: i32, v1: i32, v2: i8, v3: i64):
    v10 = uextend.i64 v1
    v11 = uextend.i64 v2
    v12 = iconst.i32 32
    v13 = ishl v11, v12
    v14 = bor v10, v13
    brif v0, block1, block2(v14)
block1:
    v15 = iconst.i64 0xff_ffff_ffff
    v16 = band v3, v15
    jump block2(v16)
block2(v17: i64):
    v18 = ushr v17, v12
    v5 = ireduce.i8 v18
    v19 = uextend.i64 v5
    v6 = ireduce.i32 v17
    v7 = uextend.i64 v6
    v8 = iadd v19, v7
    return v8
}",
    );
}

#[test]
fn addresses_of_several_places_in_one_slot() {
    accept(
        "
function %f(i32, i32) -> i32 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 16
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss0+4
    v4 = stack_addr.i64 ss1
    store v1, v2
    store v1, v3
    store v1, v4
    brif v0, block1(v2), block1(v3)
block1(v5: i64):
    store v0, v5
    v6 = load.i32 v2+4
    store v6, v4
    store v0, v5
    return v6
}",
        "
function %f(i32, i32) -> i32 system_v {
    ss0 = explicit_slot 16
block0(v0: i32, v1: i32):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss0+4
    store v1, v2
    store v1, v3
    brif v0, block1(v2), block1(v3)
block1(v5: i64):
    store v0, v5
    v6 = load.i32 v2+4
    return v6
}",
    );
}

#[test]
fn the_first_of_two_loads_of_one_thing_is_gone() {
    let text = "
function %f(i64) -> i32 system_v {
    fn0 = %g(i32) system_v
block0(v0: i64):
    v1 = load.i32 notrap v0
    v2 = load.i32 notrap v0
    call fn0(v2)
    v3 = load.i32 notrap v0
    return v3
}";
    let without = text.replace("    v1 = load.i32 notrap v0\n", "");
    accept(text, &without);
    let between = "    store v2, v0\n    v4 = load.i32 notrap v0\n    call fn0(v2)";
    let stored = text.replace("    call fn0(v2)", between);
    let [stored, without] = [&stored, &without].map(String::as_str);
    assert!(prove(stored, without, "").is_err());
    // A load after a call has another result.
    let reused = without.replace(
        "    v3 = load.i32 notrap v0\n    return v3",
        "    return v2",
    );
    assert!(prove(text, &reused, "").is_err());
}

#[test]
fn one_of_three_loads_of_one_thing_is_gone() {
    let text = "
function %f(i64) -> i32, i32 system_v {
    fn0 = %g(i32, i32) system_v
block0(v0: i64):
    v1 = load.i32 notrap v0
    v2 = load.i32 notrap v0
    v3 = load.i32 notrap v0
    call fn0(v2, v3)
    return v2, v3
}";
    accept(text, &text.replace("    v1 = load.i32 notrap v0\n", ""));
    // A store between two of them makes them differ.
    let stored = text.replace("    v3 = load", "    store v2, v0\n    v3 = load");
    let without = stored.replace("    v1 = load.i32 notrap v0\n", "");
    accept(&stored, &without);
    let swapped = without.replace("call fn0(v2, v3)", "call fn0(v3, v2)");
    assert!(prove(&stored, &swapped, "").is_err());
    // Nor is a load of something else the same.
    let beside = without.replace("v3 = load.i32 notrap v0", "v3 = load.i32 notrap v0+4");
    assert!(prove(&stored, &beside, "").is_err());
}

#[test]
fn an_index_that_is_loaded_from_other_memory() {
    let text = "
function %f(i32, i64) -> i64 system_v {
    ss0 = explicit_slot 32
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    brif v0, block1, block2
block1:
    store v1, v2
    jump block2
block2:
    v3 = load.i64 notrap v1
    v4 = iconst.i64 24
    v5 = band v3, v4
    v6 = iadd v2, v5
    v7 = load.i64 notrap v6
    return v7
}";
    accept(text, text);
}

#[test]
fn an_address_that_is_left_in_a_slot() {
    accept(
        "
function %f(i32) system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    jump block1(v0)
block1(v3: i32):
    store v3, v1
    store v1, v2
    v4 = load.i64 v2
    v5 = load.i32 v4
    v6 = iconst.i64 0
    store v6, v2
    brif v5, block1(v5), block2
block2:
    return
}",
        "
function %f(i32) system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    jump block1(v0)
block1(v3: i32):
    store v3, v1
    store v1, v2
    v4 = load.i64 v2
    v5 = load.i32 v4
    brif v5, block1(v5), block2
block2:
    return
}",
    );
}

#[test]
fn a_slot_that_holds_one_address_or_another() {
    let text = "
function %f(i32) -> i32 system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 4
    ss2 = explicit_slot 4
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    v3 = stack_addr.i64 ss2
    store v0, v2
    store v2, v1
    brif v0, block1, block2
block1:
    store v3, v1
    jump block2
block2:
    v4 = load.i64 v1
    store v0, v4
    v5 = load.i32 v2
    return v5
}";
    accept(text, text);
}

#[test]
fn unneeded_loads_at_loaded_addresses() {
    accept(
        "
function %f(i64) -> i64 system_v {
block0(v0: i64):
    v1 = load.i64 notrap v0
    v2 = load.i64 notrap v1
    v3 = load.i64 notrap v2+8
    return v0
}",
        "
function %f(i64) -> i64 system_v {
block0(v0: i64):
    return v0
}",
    );
}

#[test]
fn bytes_of_an_array_that_nothing_reads() {
    accept(
        "
function %f(i64, i32, i64) -> i32 system_v {
    ss0 = explicit_slot 32
block0(v0: i64, v1: i32, v2: i64):
    v3 = stack_addr.i64 ss0
    store v2, v3
    store v1, v3+8
    v4 = iadd v3, v0
    store v1, v4
    v5 = load.i32 v3+8
    return v5
}",
        "
function %f(i64, i32, i64) -> i32 system_v {
    ss0 = explicit_slot 32
block0(v0: i64, v1: i32, v2: i64):
    v3 = stack_addr.i64 ss0
    store v1, v3+8
    v4 = iadd v3, v0
    store v1, v4
    v5 = load.i32 v3+8
    return v5
}",
    );
}

/// The function before declares its callee wrongly, and calls it so in both ways.
#[test]
fn a_known_target_with_a_wrong_declaration() {
    let text = |call: &str| {
        format!(
            "
function %f(i32) -> i32 system_v {{
    sig0 = (i32) -> i32 system_v
    fn0 = %one(i32) -> i32 system_v
block0(v0: i32):
    v1 = func_addr.i64 fn0
    v2 = {call}
    return v2
}}"
        )
    };
    let program = "function %one(i64, i64) system_v {\nblock0(v0: i64, v1: i64):\n    return\n}";
    let before = text("call_indirect sig0, v1(v0)");
    if let Err(unproved) = prove(&before, &text("call fn0(v0)"), program) {
        panic!("{unproved}");
    }
}

/// The slots are paired by the bytes that the ways to `block1` do not have in common.
#[test]
fn a_value_or_a_shorter_one_from_an_array() {
    let text = "
function %f(i64) -> i64 system_v {
    ss0 = explicit_slot 32
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i16 7
    store v2, v1+9
    v3 = iconst.i64 24
    v4 = band v0, v3
    v5 = iadd v1, v4
    store v0, v5
    v6 = uload16.i64 v1+9
    brif v0, block1(v0), block1(v6)
block1(v7: i64):
    return v7
}";
    accept(text, text);
    let other = text.replace("uload16.i64 v1+9", "uload16.i64 v1+8");
    let unproved = prove(text, &other, "").unwrap_err();
    assert!(
        unproved.to_string().contains("another operand"),
        "{unproved}"
    );
}

#[test]
fn an_address_of_a_handler_that_nothing_depends_on() {
    let before = "
function %f(i64) -> i64 tail {
    sig0 = (i64) -> i64 tail
    fn0 = %g(i64) -> i64 tail
    fn1 = %h(i64) -> i64 tail
block0(v0: i64):
    v1 = get_exception_handler_address.i64 block2, 0
    v2 = iadd v1, v1
    v3 = call fn1(v0)
    jump block1(v0, v2)
block1(v4: i64, v5: i64):
    v6 = call fn1(v4)
    brif v6, block1(v6, v5), block2
block2:
    try_call fn0(v3), sig0, block3(ret0), [ default: block3(exn0) ]
block3(v7: i64):
    return v7
}";
    let after = "
function %f(i64) -> i64 tail {
    sig0 = (i64) -> i64 tail
    fn0 = %g(i64) -> i64 tail
    fn1 = %h(i64) -> i64 tail
block0(v0: i64):
    v3 = call fn1(v0)
    jump block1(v0)
block1(v4: i64):
    v6 = call fn1(v4)
    brif v6, block1(v6), block2
block2:
    try_call fn0(v3), sig0, block3(ret0), [ default: block3(exn0) ]
block3(v7: i64):
    return v7
}";
    accept(before, after);
}

#[test]
fn a_slot_whose_address_goes_through_guards() {
    let before = "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 32
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = iconst.i64 8
    v4 = iadd v2, v3
    v5 = select_spectre_guard v0, v2, v4
    v6 = select_spectre_guard v0, v2, v2
    store notrap v1, v6
    call fn0(v1)
    store notrap v0, v2
    store notrap v0, v4
    v7 = load.i64 notrap v5
    return v7
}";
    let after = "
function %f(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 32
    fn0 = %g(i64) system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = iconst.i64 8
    v4 = iadd v2, v3
    v5 = select_spectre_guard v0, v2, v4
    call fn0(v1)
    store notrap v0, v2
    store notrap v0, v4
    v7 = load.i64 notrap v5
    return v7
}";
    accept(before, after);
}

#[test]
fn the_second_of_two_equal_loads_before_a_guard() {
    accept(
        "
function %f(i64, i64) -> i64 tail {
    ss0 = explicit_slot 16
    sig0 = (i64, i64) -> i64 tail
    fn0 = %g sig0
block0(v0: i64, v1: i64):
    v2 = load.i64 notrap v1
    v3 = load.i64 notrap v1
    v4 = func_addr.i64 fn0
    v5 = stack_addr.i64 ss0
    store notrap v4, v5
    v6 = load.i64 notrap v5
    v7 = call_indirect sig0, v6(v3, v5)
    return v7
}",
        "
function %f(i64, i64) -> i64 tail {
    ss0 = explicit_slot 16
    sig0 = (i64, i64) -> i64 tail
    fn0 = %g sig0
block0(v0: i64, v1: i64):
    v3 = load.i64 notrap v1
    v4 = func_addr.i64 fn0
    v5 = stack_addr.i64 ss0
    store notrap v4, v5
    v6 = load.i64 notrap v5
    v8 = func_addr.i64 fn0
    v9 = icmp eq v6, v8
    brif v9, block1, block2
block1:
    v10 = call fn0(v3, v5)
    jump block3(v10)
block2:
    v11 = call_indirect sig0, v6(v3, v5)
    jump block3(v11)
block3(v7: i64):
    return v7
}",
    );
}

/// Returns a function with a branch on a value that was just stored, with some instructions
/// between, and the same function without that branch.
fn with_a_stored_condition(between: &str, load: &str) -> [String; 2] {
    let function = |end: &str| {
        format!(
            "
function %f(i64, i64) -> i64 {{
    ss0 = explicit_slot 32, align = 8
    ss1 = explicit_slot 8, align = 8
    sig0 = (i64)
    fn0 = %g(i64)
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    call fn0(v2)
    call fn0(v3)
    v4 = iconst.i64 7
    v5 = stack_addr.i64 ss0+16
    store notrap v4, v5
    {between}
{end}
}}"
        )
    };
    let branch = format!(
        "
    v6 = {load}
    v7 = icmp eq v6, v4
    brif v7, block1, block2
block1:
    call fn0(v0)
    return v0
block2:
    call fn0(v1)
    return v1"
    );
    [
        function(&branch),
        function("    call fn0(v0)\n    return v0"),
    ]
}

#[test]
fn a_branch_on_a_value_that_was_just_stored_at_another_address_of_its_place() {
    for load in [
        "load.i64 notrap v5",
        "load.i64 notrap v2+16",
        "load.i64 notrap v5+0",
    ] {
        let [before, after] = with_a_stored_condition("", load);
        accept(&before, &after);
    }
    let [before, after] =
        with_a_stored_condition("store notrap v0, v2+24", "load.i64 notrap v2+16");
    accept(&before, &after);
    let [before, after] = with_a_stored_condition("store notrap v0, v3", "load.i64 notrap v2+16");
    accept(&before, &after);
}

#[test]
fn a_branch_on_a_value_that_was_stored_before_an_effect_that_writes_nothing() {
    for between in [
        "trapz v0, user1",
        "v20 = load.i64 v0",
        "v20 = udiv v0, v1",
        "v20 = load.i64 v0\n    store notrap v0, v2+24",
    ] {
        let [before, after] = with_a_stored_condition(between, "load.i64 notrap v2+16");
        accept(&before, &after);
    }
}

#[test]
fn a_branch_on_a_value_that_was_stored_before_another_write_is_not_decided() {
    for (between, load) in [
        ("store notrap v0, v2+16", "load.i64 notrap v2+16"),
        ("store notrap v0, v2+12", "load.i64 notrap v2+16"),
        ("store notrap v0, v1", "load.i64 notrap v2+16"),
        ("call fn0(v1)", "load.i64 notrap v2+16"),
        ("fence", "load.i64 notrap v2+16"),
        ("", "load.i64 notrap v2+8"),
        ("", "load.i64 notrap v5+16"),
        ("", "load.i64 notrap v3+16"),
        ("", "uload32 notrap v2+16"),
    ] {
        let [before, after] = with_a_stored_condition(between, load);
        accept(&before, &before);
        assert!(prove(&before, &after, "").is_err(), "{between}, {load}");
    }
}

/// The address of a slot and another number meet in parameters that nothing but each other uses.
/// Where something uses them, the slot is ordinary memory.
#[test]
fn a_slot_with_its_address_in_parameters_that_nothing_uses() {
    let before = |used: &str| {
        format!(
            "
function %f(i64, i64) -> i64 {{
    ss0 = explicit_slot 8, align = 8
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v0, v2
    brif v1, block1(v2, v0), block1(v0, v0)
block1(v3: i64, v4: i64):
    v5 = load.i64 v1
    v6 = isub v4, v5
    brif v6, block1(v3, v6), block2(v3)
block2(v7: i64):
    {used}
    v8 = load.i64 notrap v2
    return v8
}}"
        )
    };
    let after = |used: &str| {
        format!(
            "
function %f(i64, i64) -> i64 {{
block0(v0: i64, v1: i64):
    brif v1, block1(v0), block1(v0)
block1(v4: i64):
    v5 = load.i64 v1
    v6 = isub v4, v5
    brif v6, block1(v6), block2
block2:
    {used}
    return v0
}}"
        )
    };
    accept(&before(""), &after(""));
    let [before, after] = [before("store v0, v7"), after("store v0, v0")];
    assert!(prove(&before, &after, "").is_err());
}

/// A fuzzer found it: one of the declarations says that the table is near, and the other does not.
#[test]
fn a_target_in_a_table_that_is_declared_twice() {
    let before = |second: &str| {
        format!(
            "
function %f(i32, i64) -> i32 system_v {{
    sig0 = (i32) -> i32 system_v
    gv0 = symbol %vtable
    gv1 = symbol {second}
    fn0 = %one(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = symbol_value.i64 gv0
    v3 = symbol_value.i64 gv1
    v4 = select v1, v2, v3
    v5 = load.i64 notrap v4+8
    v6 = call_indirect sig0, v5(v0)
    brif v1, block1(v2), block1(v3)
block1(v7: i64):
    v8 = load.i64 notrap v7+8
    v9 = call_indirect sig0, v8(v6)
    return v9
}}"
        )
    };
    let after = "
function %f(i32, i64) -> i32 system_v {
    sig0 = (i32) -> i32 system_v
    fn0 = %one(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v6 = call fn0(v0)
    jump block1
block1:
    v9 = call fn0(v6)
    return v9
}";
    accept(&before("colocated %vtable"), after);
    accept(&before("%vtable"), after);
    for other in ["%other", "%vtable+8", "tls %vtable"] {
        assert!(prove(&before(other), after, "").is_err(), "{other}");
    }
}

/// The address is the same, but near code does not reach a symbol that is far.
#[test]
fn symbols_are_declared_as_near_as_before() {
    let data = |symbol: &str| {
        format!(
            "
function %f() -> i64 system_v {{
    gv0 = symbol {symbol}
block0:
    v0 = symbol_value.i64 gv0
    return v0
}}"
        )
    };
    let function = |symbol: &str| {
        format!(
            "
function %f() -> i64 system_v {{
    fn0 = {symbol}() system_v
block0:
    v0 = func_addr.i64 fn0
    return v0
}}"
        )
    };
    for [near, far] in [
        [data("colocated %other"), data("%other")],
        [function("colocated %other"), function("%other")],
    ] {
        accept(&near, &near);
        accept(&far, &far);
        assert!(prove(&near, &far, "").is_err(), "{near}");
        assert!(prove(&far, &near, "").is_err(), "{far}");
    }
}
