//! Bodies that share stack slots once they are inlined.

use crate::support::{call, everywhere, name, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::splice::MemoryPromises;
use cranelift_inliner_testing::execute::Outcome;

/// Returns a body that stores its parameter to a slot of its own and loads it again, both with
/// `flags`.
fn through_a_slot(name: &str, flags: &str, load: &str) -> String {
    let region = match flags.contains("region0") {
        true => "region0 = 5 \"own\"",
        false => "",
    };
    format!(
        "
function %{name}(i64) -> i32 {{
    ss0 = explicit_slot 8
    {region}
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store {flags} v0, v1
    v2 = {load} {flags} v1
    return v2
}}"
    )
}

/// Were all these slots one, the optimizer would take the store of `%halves` for a repetition of
/// that of `%plain`, since nothing stored between them through no region.
#[test]
fn slots_of_different_alias_regions_are_not_confused() {
    let main = "
function %main(i64, i64) -> i32 {
    fn0 = %plain(i64) -> i32
    fn1 = %with_region(i64) -> i32
    fn2 = %halves(i64) -> i32
block0(v0: i64, v1: i64):
    v2 = call fn0(v0)
    v3 = call fn1(v1)
    v4 = call fn2(v0)
    v5 = iadd v2, v3
    v6 = iadd v5, v4
    return v6
}";
    let clif = main.to_owned()
        + &through_a_slot("plain", "notrap", "load.i32")
        + &through_a_slot("with_region", "notrap region0", "load.i32")
        + &through_a_slot("halves", "notrap", "uload16.i32");
    let arguments = [DataValue::I64(3), DataValue::I64(40)];
    let seen = everywhere(&clif, &call("main", &arguments));
    assert_eq!(seen.outcome, Outcome::Returned(vec![DataValue::I32(46)]));
}

/// In a loop each body finds the slots as its neighbours left them, and the ones around it as they
/// were.
#[test]
fn bodies_inside_each_other_keep_their_slots_apart_in_loops() {
    let clif = "
function %main(i64) -> i64 {
    fn0 = %outer(i64) -> i64
    fn1 = %inner(i64, i64) -> i64
block0(v0: i64):
    v1 = iconst.i64 0
    jump block1(v0, v1)
block1(v2: i64, v3: i64):
    v4 = call fn0(v2)
    v5 = call fn1(v4, v3)
    v6 = call fn0(v5)
    v7 = iadd v5, v6
    v8 = iconst.i64 -1
    v9 = iadd v2, v8
    brif v9, block1(v9, v7), block2
block2:
    return v7
}
function %outer(i64) -> i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 16
    fn0 = %inner(i64, i64) -> i64
    fn1 = %deepest(i64) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    store v0, v1
    store v0, v2+8
    v3 = call fn0(v0, v0)
    v4 = call fn1(v1)
    v5 = call fn1(v2)
    v6 = load.i64 v1
    v7 = load.i64 v2+8
    v8 = iadd v6, v3
    v9 = imul v7, v8
    return v9
}
function %inner(i64, i64) -> i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
    fn0 = %deepest(i64) -> i64
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    store v0, v2
    store v1, v3
    v4 = call fn0(v3)
    v5 = load.i64 v2
    v6 = load.i64 v3
    v7 = isub v6, v5
    return v7
}
function %deepest(i64) -> i64 {
    ss0 = explicit_slot 8
    fn0 = %extern(i64) -> i64
block0(v0: i64):
    v1 = iconst.i64 77
    v2 = stack_addr.i64 ss0
    store v1, v2
    v3 = load.i64 v2
    v4 = call fn0(v3)
    v5 = load.i64 v2
    store v5, v0
    return v4
}";
    let seen = everywhere(clif, &call("main", &[DataValue::I64(4)]));
    assert_eq!(seen.host_calls.len(), 28);
    assert!(matches!(&seen.outcome, Outcome::Returned(_)));
}

/// Returns a body that stores a value `computed` from its parameter, and has the parameter added in
/// place.
fn gives_away(name: &str, computed: &str) -> String {
    format!(
        "
function %{name}(i64) -> i64 {{
    ss0 = explicit_slot 8
    fn0 = %add(i64, i64)
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = {computed}
    store v2, v1
    v3 = iconst.i64 0
    v4 = iadd v1, v3
    call fn0(v4, v0)
    v5 = load.i64 v1
    return v5
}}"
    )
}

/// Returns two bodies that give the addresses of their slots away, and one that uses another slot
/// with `flags`.
fn given_away(flags: &str, region: &str) -> String {
    let one = gives_away("one", "bor v0, v0");
    let two = gives_away("two", "bnot v0");
    format!(
        "
function %main(i64) -> i64 {{
    fn0 = %one(i64) -> i64
    fn1 = %two(i64) -> i64
    fn2 = %three(i64) -> i64
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    v3 = call fn2(v2)
    v4 = call fn0(v3)
    return v4
}}
{one}{two}
function %three(i64) -> i64 {{
    ss0 = explicit_slot 16
{region}
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store {flags} v0, v1+8
    v2 = load.i64 {flags} v1+8
    v3 = iadd v2, v2
    return v3
}}
function %add(i64, i64) {{
block0(v0: i64, v1: i64):
    v2 = load.i64 v0
    v3 = iadd v2, v1
    store v3, v0
    return
}}"
    )
}

/// Escaping addresses of slots do not matter without alias regions.
#[test]
fn slots_that_are_given_away_are_shared_where_nothing_has_alias_regions() {
    for (flags, region, expected) in [("", "", 2), ("region0", "    region0 = 7 \"own\"", 3)] {
        let clif = given_away(flags, region);
        let seen = everywhere(&clif, &call("main", &[DataValue::I64(21)]));
        // 42, ~42 + 42 = -1, -2, -4
        assert_eq!(seen.outcome, Outcome::Returned(vec![DataValue::I64(-4)]));
        let program = program(&clif);
        for (promises, expected) in [
            (MemoryPromises::WholeProgram, expected),
            (MemoryPromises::PerFunction, 2),
        ] {
            let inliner = Inliner::new(Always).optimize(Optimize::None);
            let inliner = inliner.memory_promises(promises).check(true);
            let inlined = inliner.run(&program).unwrap();
            let main = program.id(&name("main")).unwrap();
            let slots = &inlined.body(main).unwrap().sized_stack_slots;
            assert_eq!(slots.len(), expected, "{region}");
        }
    }
}
