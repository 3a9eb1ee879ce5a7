//! A debugger sees the same program, inlined or not: programs run on this machine, and at each call
//! of the host the virtual stack is read from the physical one. The virtual stack is the same for
//! all sets of inlined calls, orders and levels.

use super::builds::{LEVELS, ORDERS, POLICIES, by_pass, compile_order, isa};
use super::programs::{CASES, Case, cases};
use super::recording;
use super::recording::{Build, Trace, assert_same, parse};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::trace::Tag;

fn trace_of(
    case: &Case,
    program: &Program,
    level: OptLevel,
    build: &Build,
    argument: i64,
) -> Trace {
    let run = recording::run(&isa("host", level), program, build, argument);
    recording::trace(case, program, build, &run).unwrap()
}

/// Returns the trace without any inlining or optimization.
fn reference(case: &Case, argument: i64) -> Trace {
    let program = parse(case);
    let isa = isa("host", OptLevel::None);
    let (build, inlined) = by_pass(&program, &*isa, "never", false);
    assert_eq!(inlined, 0);
    trace_of(case, &program, OptLevel::None, &build, argument)
}

#[test]
fn every_policy_level_and_clean_up_gives_the_trace_without_inlining() {
    for case in cases() {
        let program = parse(case);
        for &argument in case.arguments {
            let expected = reference(case, argument);
            for level in LEVELS {
                for policy in POLICIES {
                    for clean_up in [true, false] {
                        let what = format!("{} {argument} {policy} {level} {clean_up}", case.name);
                        let isa = isa("host", level);
                        let (build, inlined) = by_pass(&program, &*isa, policy, clean_up);
                        assert_eq!(inlined == 0, policy == "never", "{what}: {inlined}");
                        let actual = trace_of(case, &program, level, &build, argument);
                        assert_same(&what, &expected, &actual);
                    }
                }
            }
        }
    }
}

#[test]
fn every_order_of_splicing_gives_the_trace_without_inlining() {
    for case in cases() {
        let program = parse(case);
        for &argument in case.arguments {
            let expected = reference(case, argument);
            for level in LEVELS {
                for order in ORDERS {
                    let build = compile_order(&program, &*isa("host", level), order);
                    let actual = trace_of(case, &program, level, &build, argument);
                    let what = format!("{} {argument} {order:?} {level}", case.name);
                    assert_same(&what, &expected, &actual);
                }
            }
        }
    }
}

/// The reference of the other comparisons must itself be right.
#[test]
fn the_trace_agrees_with_the_source() {
    let nesting = reference(&CASES[0], 5);
    let places: Vec<Vec<u32>> = nesting
        .events
        .iter()
        .map(|event| {
            let frames = event.stack.iter();
            frames
                .filter_map(|tags| {
                    tags.iter().find_map(|tag| match tag {
                        Tag::User(place) => Some(*place),
                        Tag::Slot { .. } => None,
                    })
                })
                .collect()
        })
        .collect();
    let expected: [&[u32]; 7] = [
        &[1],
        &[2, 11],
        &[2, 12, 21, 31],
        &[2, 12, 21, 32],
        &[2, 12, 22],
        &[2, 13],
        &[3],
    ];
    assert_eq!(places, expected);
    // `%b` has 105 and 106 in its slot, the product, and 105 again.
    let value: Vec<u8> = [105_i64, 106, 105 * 106, 105]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let slot = Tag::Slot {
        key: Some(1200),
        descriptor: Some("slot 1200 of %b".into()),
        value,
    };
    assert_eq!(nesting.events[2].stack[2], [slot, Tag::User(21)]);
    let caught = reference(&CASES[5], 1);
    assert_eq!(caught.result, 1 + 6 + 1);
    assert_eq!(reference(&CASES[5], 2).result, 2 + 7 + 1);
    assert_eq!(reference(&CASES[5], 3).result, -1);
    assert_eq!(reference(&CASES[2], 4).result, 24 + 1);
}
