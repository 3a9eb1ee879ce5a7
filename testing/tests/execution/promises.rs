//! Memory flags, in programs whose promises hold per function.

use crate::support::{call, engine, everywhere, natively, program};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::splice::MemoryPromises;
use cranelift_inliner_testing::execute::{Invocation, Observation, Outcome};

fn long(value: i64) -> DataValue {
    DataValue::I64(value)
}

fn returns(clif: &str, invocation: &Invocation, expected: i64) {
    let seen = natively(clif, invocation).unwrap();
    assert_eq!(
        seen.outcome,
        Outcome::Returned(vec![long(expected)]),
        "{clif}"
    );
}

/// Like [`returns`], but also in the interpreter.
fn returns_everywhere(clif: &str, invocation: &Invocation, expected: i64) {
    let seen = everywhere(clif, invocation);
    assert_eq!(
        seen.outcome,
        Outcome::Returned(vec![long(expected)]),
        "{clif}"
    );
}

const GET: &str = "
function %get(i64) -> i64 fast {
block0(v0: i64):
    v1 = load.i64 notrap aligned readonly can_move v0+8
    return v1
}";

/// The second of two elements is only read where the list has one.
#[test]
fn a_load_does_not_move_above_the_callers_check() {
    let list = "
function %second(i64, i64) -> i64 {
    fn0 = %get(i64) -> i64 fast
    ss0 = explicit_slot 16, align = 8
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v1, v2+8
    v3 = iconst.i64 0
    v4 = select v0, v2, v3
    jump block1(v1, v3)
block1(v5: i64, v6: i64):
    brif v0, block2, block3(v6)
block2:
    v8 = call fn0(v4)
    v9 = iadd v6, v8
    jump block3(v9)
block3(v10: i64):
    v11 = iconst.i64 1
    v12 = isub v5, v11
    brif v12, block1(v12, v10), block4
block4:
    return v10
}";
    let clif = format!("{list}{GET}");
    returns_everywhere(&clif, &call("second", &[long(0), long(3)]), 0);
    returns_everywhere(&clif, &call("second", &[long(1), long(3)]), 9);
}

#[test]
fn a_load_is_not_merged_over_a_store_of_the_caller() {
    let swap = "
function %differ(i64, i64) -> i64 {
    fn0 = %get(i64) -> i64 fast
    ss0 = explicit_slot 16, align = 8
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v0, v2+8
    v3 = call fn0(v2)
    store notrap v1, v2+8
    v4 = call fn0(v2)
    v5 = isub v3, v4
    return v5
}";
    returns_everywhere(
        &format!("{swap}{GET}"),
        &call("differ", &[long(50), long(8)]),
        42,
    );
}

/// Each function numbers its regions from zero, in the order in which it meets them.
#[test]
fn regions_of_two_functions_are_not_the_same() {
    let clif = "
function %main(i64) -> i64 {
    ss0 = explicit_slot 16
    region0 = 0 \"header\"
    region1 = 1 \"body\"
    fn0 = %increase(i64) fast
    fn1 = %body(i64) -> i64 fast
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    store notrap region0 v0, v1
    store notrap region1 v0, v1+8
    call fn0(v1)
    v2 = load.i64 notrap region1 v1+8
    store notrap region1 v0, v1+8
    v3 = call fn1(v1)
    v4 = isub v2, v3
    return v4
}
function %increase(i64) fast {
    region0 = 0 \"body\"
block0(v0: i64):
    v1 = load.i64 notrap region0 v0+8
    v2 = iconst.i64 5
    v3 = iadd v1, v2
    store notrap region0 v3, v0+8
    return
}
function %body(i64) -> i64 fast {
    region0 = 1 \"header\"
    region1 = 0 \"body\"
block0(v0: i64):
    v1 = load.i64 notrap region1 v0+8
    return v1
}";
    for value in [1, 37] {
        returns_everywhere(clif, &call("main", &[long(value)]), 5);
    }
}

/// The same function is given two addresses in turn, which are apart in each call.
#[test]
fn regions_of_two_calls_are_not_the_same() {
    let clif = "
function %main(i64) -> i64 {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 8
    fn0 = %move(i64, i64) -> i64 fast
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    store notrap v0, v1
    store notrap v0, v2
    v3 = call fn0(v1, v2)
    v4 = call fn0(v2, v1)
    v5 = load.i64 notrap v2
    v6 = iadd v4, v5
    return v6
}
function %move(i64, i64) -> i64 fast {
    region0 = 0 \"from\"
    region1 = 1 \"to\"
block0(v0: i64, v1: i64):
    v2 = load.i64 notrap region0 v0
    v3 = iadd v2, v2
    store notrap region1 v3, v1
    v4 = load.i64 notrap region0 v0
    return v4
}";
    // 3 and 3, then 3 and 6, and in the end 12 and 6.
    returns_everywhere(clif, &call("main", &[long(3)]), 12);
}

/// The result of a checking call may only be used after the call.
#[test]
fn a_load_of_the_caller_stays_behind_a_check_that_was_a_call() {
    let clif = "
function %sum(i64, i64) -> i64 {
    fn0 = %checked(i64) -> i64 fast
block0(v0: i64, v1: i64):
    v2 = iconst.i64 0
    jump block1(v1, v2)
block1(v3: i64, v4: i64):
    v5 = call fn0(v0)
    v6 = load.i64 notrap aligned readonly can_move v5
    v7 = iadd v4, v6
    v8 = iconst.i64 1
    v9 = isub v3, v8
    brif v9, block1(v9, v7), block2
block2:
    return v7
}
function %checked(i64) -> i64 fast {
block0(v0: i64):
    trapz v0, user9
    return v0
}";
    let seen = everywhere(clif, &call("sum", &[long(0), long(4)]));
    assert!(matches!(seen.outcome, Outcome::Trapped(_)), "{seen:?}");
}

/// A call that was not inlined throws where an address is null, which is stored before it and
/// loaded after it.
#[test]
fn a_load_stays_behind_a_call_when_its_address_was_in_a_slot() {
    let clif = "
function %sum(i64, i64) -> i64 {
    ss0 = explicit_slot 8, align = 8
    ss1 = explicit_slot 8, align = 8
    fn0 = %check(i64)
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v1, v2
    v3 = iconst.i64 0
    v4 = select v0, v2, v3
    v5 = stack_addr.i64 ss1
    store notrap v4, v5
    jump block1(v1, v3)
block1(v6: i64, v7: i64):
    call fn0(v0)
    v8 = load.i64 notrap v5
    v9 = load.i64 notrap aligned readonly can_move v8
    v10 = iadd v7, v9
    v11 = iconst.i64 1
    v12 = isub v6, v11
    brif v12, block1(v12, v10), block2
block2:
    return v10
}
function %check(i64) {
    fn0 = %throw(i64, i64)
block0(v0: i64):
    brif v0, block2, block1
block1:
    v1 = get_frame_pointer.i64
    v2 = band v0, v1
    call fn0(v0, v2)
    trap user9
block2:
    return
}";
    let program = program(clif);
    let null = call("sum", &[long(0), long(4)]);
    let other = call("sum", &[long(1), long(4)]);
    for promises in [MemoryPromises::PerFunction, MemoryPromises::WholeProgram] {
        let engine = engine(OptLevel::Speed);
        let before = engine.compile(&program).unwrap();
        let inliner = Inliner::new(Always).optimize(Optimize::All).check(true);
        let inlined = inliner.memory_promises(promises).run(&program).unwrap();
        let after = engine.compile(inlined.program()).unwrap();
        let seen = after.call(&null);
        assert!(matches!(
            &seen,
            Ok(Observation {
                outcome: Outcome::Threw { .. },
                ..
            })
        ));
        assert_eq!(before.call(&null), seen);
        let seen = after.call(&other).unwrap();
        assert_eq!(seen.outcome, Outcome::Returned(vec![long(16)]));
    }
}

/// The address of a join is not null on the way on which it is loaded from.
#[test]
fn a_load_stays_behind_a_join_that_is_threaded() {
    let clif = "
function %sum(i64, i64) -> i64 {
    ss0 = explicit_slot 8, align = 8
    fn0 = %one() -> i64
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v1, v2
    v3 = iconst.i64 0
    v4 = select v0, v2, v3
    jump block1(v1, v3)
block1(v5: i64, v6: i64):
    v7 = call fn0()
    brif v0, block2, block3
block2:
    jump block4(v4, v7)
block3:
    jump block4(v2, v3)
block4(v8: i64, v9: i64):
    v10 = load.i64 notrap aligned readonly can_move v8
    brif v9, block5, block6(v6)
block5:
    v11 = iadd v6, v10
    jump block6(v11)
block6(v12: i64):
    v13 = iconst.i64 1
    v14 = isub v5, v13
    brif v14, block1(v14, v12), block7
block7:
    return v12
}
function %one() -> i64 {
block0:
    v0 = iconst.i64 1
    return v0
}";
    returns_everywhere(clif, &call("sum", &[long(0), long(4)]), 0);
    returns_everywhere(clif, &call("sum", &[long(1), long(4)]), 16);
}

/// Once a branch is known, its join has one way left.
#[test]
fn a_load_stays_behind_a_join_that_is_gone() {
    let clif = "
function %sum(i64, i64) -> i64 {
    ss0 = explicit_slot 8, align = 8
    fn0 = %one() -> i64
    fn1 = %check(i64)
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v1, v2
    v3 = iconst.i64 0
    v4 = select v0, v2, v3
    jump block1(v1, v3)
block1(v5: i64, v6: i64):
    call fn1(v0)
    v7 = call fn0()
    brif v7, block2, block3
block2:
    jump block4(v4)
block3:
    jump block4(v2)
block4(v8: i64):
    v10 = load.i64 notrap aligned readonly can_move v8
    v12 = iadd v6, v10
    v13 = iconst.i64 1
    v14 = isub v5, v13
    brif v14, block1(v14, v12), block7
block7:
    return v12
}
function %one() -> i64 {
block0:
    v0 = iconst.i64 1
    return v0
}
function %check(i64) {
    fn0 = %throw(i64, i64)
block0(v0: i64):
    brif v0, block2, block1
block1:
    v1 = get_frame_pointer.i64
    v2 = band v0, v1
    call fn0(v0, v2)
    trap user9
block2:
    return
}";
    let seen = natively(clif, &call("sum", &[long(0), long(4)])).unwrap();
    assert!(matches!(seen.outcome, Outcome::Threw { .. }), "{seen:?}");
    returns(clif, &call("sum", &[long(1), long(4)]), 16);
}

const NESTED: &str = "
function %main(i64) -> i64 {
    ss0 = explicit_slot 8, align = 8
    region0 = 3 \"pair\"
    fn0 = %outer(i64 sarg(8), i64) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i64 100
    store notrap region0 v2, v1
    v3 = call fn0(v1, v0)
    v4 = load.i64 notrap region0 v1
    v5 = iadd v3, v4
    return v5
}
function %outer(i64 sarg(8), i64) -> i64 {
    region0 = 3 \"pair\"
    fn0 = %inner(i64 sarg(8)) -> i64
block0(v0: i64, v1: i64):
    v2 = load.i64 notrap region0 v0
    v3 = iadd v1, v2
    store notrap region0 v3, v0
    v4 = call fn0(v0)
    return v4
}
function %inner(i64 sarg(8)) -> i64 {
    region0 = 3 \"pair\"
block0(v0: i64):
    v1 = load.i64 notrap region0 v0
    return v1
}";

/// A structure is copied after stores to it through a region, for both meanings of regions.
#[cfg(target_arch = "x86_64")]
#[test]
fn structures_are_copied_as_they_were_stored() {
    returns(NESTED, &call("main", &[long(7)]), 207);
    let program = program(NESTED);
    let engine = engine(OptLevel::Speed);
    let inliner = Inliner::new(Always).memory_promises(MemoryPromises::WholeProgram);
    let inlined = inliner.check(true).run(&program).unwrap();
    let after = engine.compile(inlined.program()).unwrap();
    let seen = after.call(&call("main", &[long(7)])).unwrap();
    assert_eq!(seen.outcome, Outcome::Returned(vec![long(207)]));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_copied_structure_is_read_when_it_is_there() {
    let clif = "
function %main(i64) -> i64 {
    ss0 = explicit_slot 16, align = 8
    fn0 = %last(i64 sarg(16)) -> i64
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = iconst.i64 0
    jump block1(v0, v2)
block1(v3: i64, v4: i64):
    store notrap v3, v1+8
    v5 = call fn0(v1)
    v6 = iadd v4, v5
    v7 = iconst.i64 1
    v8 = isub v3, v7
    brif v8, block1(v8, v6), block2
block2:
    return v6
}
function %last(i64 sarg(16)) -> i64 {
block0(v0: i64):
    v1 = load.i64 notrap aligned readonly can_move v0+8
    return v1
}";
    returns(clif, &call("main", &[long(4)]), 10);
}
