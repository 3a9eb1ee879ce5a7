//! Metadata for debuggers and garbage collectors.

use crate::support::{Base, before, fault};

pub(crate) const BASES: &[Base] = &[
    Base {
        name: "tags, keys, stack maps and locations",
        before: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8, key = 3
    ss1 = explicit_slot 8
    ss2 = explicit_slot 8
    ss3 = explicit_slot 8
    ss4 = explicit_slot 8, key = 4
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = stack_addr.i64 ss2
    v5 = stack_addr.i64 ss3
    store v0, v2
    store v1, v3
    store v0, v4
    store v0, v5
<7, ss2>    sequence_point
@0010   v6 = call fn0(v0), stack_map=[i64 @ ss1+0]
    v7 = load.i64 v3
    store v7, v1
    v8 = load.i32 v5
    brif v8, block1, block2
block1:
<1>     sequence_point
    jump block2
block2:
    v9 = load.i32 v4
@0020   store v9, v1+8
    return v6
}",
        after: "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8, key = 3
    ss1 = explicit_slot 8
    ss2 = explicit_slot 8
    ss3 = explicit_slot 8, key = 4
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = stack_addr.i64 ss2
    store v0, v2
    store v1, v3
    store v0, v4
<7, ss2>    sequence_point
@0010   v6 = call fn0(v0), stack_map=[i64 @ ss1+0]
    v7 = load.i64 v3
    store v7, v1
    brif v0, block1, block2
block1:
<1>     sequence_point
    jump block2
block2:
    v9 = load.i32 v4
@0020   store v9, v1+8
    return v6
}",
        program: "",
        faults: &[
            fault(
                "store to a slot with a key missed",
                &[("    store v0, v2\n", "")],
                "came before",
            ),
            fault(
                "store to a tagged slot missed",
                &[("    store v0, v4\n", "")],
                "came before",
            ),
            fault(
                "store to a slot of a stack map missed",
                &[("    store v1, v3\n", "")],
                "became",
            ),
            fault(
                "a load of a stack map's slot forwarded over the collection",
                &[("store v7, v1", "store v1, v1")],
                "another operand",
            ),
            fault(
                "a slot with a key that nothing names gone",
                &[("    ss3 = explicit_slot 8, key = 4\n", "")],
                "key 4 is missing",
            ),
            fault("another key", &[("key = 3", "key = 5")], "another operand"),
            fault(
                "a key too much",
                &[("    fn0", "    ss5 = explicit_slot 8, key = 9\n    fn0")],
                "key 9 comes from nowhere",
            ),
            fault("another tag", &[("<7, ss2>", "<8, ss2>")], "other tags"),
            fault(
                "a tag of another slot",
                &[("<7, ss2>", "<7, ss1>")],
                "another operand",
            ),
            fault("a tag lost", &[("<7, ss2>", "<7>")], "other tags"),
            fault(
                "a sequence point lost",
                &[("<7, ss2>    sequence_point\n", "")],
                "came before",
            ),
            fault(
                "a sequence point lost on one way",
                &[("block1:\n<1>     sequence_point\n", "block1:\n")],
                "is not where another way",
            ),
            fault(
                "a sequence point twice on one way",
                &[(
                    "<1>     sequence_point\n",
                    "<1>     sequence_point\n<1>     sequence_point\n",
                )],
                "came before",
            ),
            fault(
                "a sequence point on both ways",
                &[("brif v0, block1, block2", "brif v0, block1, block1")],
                "is not where another way",
            ),
            fault(
                "a stack map lost",
                &[(", stack_map=[i64 @ ss1+0]", "")],
                "stack map",
            ),
            fault(
                "another offset in a stack map",
                &[("[i64 @ ss1+0]", "[i32 @ ss1+4]")],
                "stack map",
            ),
            fault(
                "another slot in a stack map",
                &[("@ ss1+0", "@ ss2+0")],
                "became",
            ),
            fault(
                "another location of a call",
                &[("@0010", "@0011")],
                "source location",
            ),
            fault("a location lost", &[("@0020 ", "")], "source location"),
            before(
                "a block that was cold",
                &[("block1:", "block1 cold:")],
                "no longer cold",
            ),
        ],
    },
    Base {
        name: "handler addresses",
        before: "
function %f(i64) -> i64 tail {
    sig0 = (i64) -> i64 tail
    fn0 = %g(i64) -> i64 tail
    fn1 = %h(i64) -> i64 tail
block0(v0: i64):
    v1 = get_exception_handler_address.i64 block1, 0
    jump block1
block1:
    try_call fn0(v1), sig0, block2(ret0), [ default: block3(exn0) ]
block2(v2: i64):
    try_call fn1(v2), sig0, block4(ret0), [ default: block3(exn0) ]
block4(v5: i64):
    return v5
block3(v4: i64):
    return v4
}",
        after: "
function %f(i64) -> i64 tail {
    sig0 = (i64) -> i64 tail
    fn0 = %g(i64) -> i64 tail
    fn1 = %h(i64) -> i64 tail
block0(v0: i64):
    v1 = get_exception_handler_address.i64 block1, 0
    jump block1
block1:
    try_call fn0(v1), sig0, block2(ret0), [ default: block3(exn0) ]
block2(v2: i64):
    try_call fn1(v2), sig0, block4(ret0), [ default: block3(exn0) ]
block4(v5: i64):
    return v5
block3(v4: i64):
    return v4
}",
        program: "",
        faults: &[
            fault(
                "the handler of another call",
                &[("address.i64 block1, 0", "address.i64 block2, 0")],
                "names another block",
            ),
            fault(
                "no handler's address",
                &[(
                    "get_exception_handler_address.i64 block1, 0",
                    "iconst.i64 0",
                )],
                "names another block",
            ),
            fault(
                "handlers exchanged with the way on",
                &[(
                    "[ default: block3(exn0) ]\nblock2",
                    "[ default: block4(exn0) ]\nblock2",
                )],
                "is not where another way",
            ),
        ],
    },
];

/// Labels have no text, so these are made here.
mod labels {
    use crate::support::read;
    use cranelift_codegen::ir::{
        Endianness, Function, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments,
        ValueLabelStart,
    };
    use cranelift_inliner::check::{Alone, Unproved, check_optimized};
    use cranelift_inliner::cleanup::{CleanupContext, OptimizeOptions, clean_up, optimize};

    fn labelled(text: &str, labels: &[(u32, u32)]) -> Function {
        let mut func = read(text).unwrap();
        func.dfg.collect_debug_info();
        let all = func.dfg.values_labels.as_mut().unwrap();
        for &(value, label) in labels {
            let start = ValueLabelStart {
                from: RelSourceLoc::default(),
                label: ValueLabel::from_u32(label),
            };
            let value = Value::from_u32(value);
            match all
                .entry(value)
                .or_insert(ValueLabelAssignments::Starts(Vec::new()))
            {
                ValueLabelAssignments::Starts(starts) => starts.push(start),
                ValueLabelAssignments::Alias { .. } => panic!("{value} is an alias"),
            }
        }
        func
    }

    const BEFORE: &str = "
function %f(i32, i64) -> i32 system_v {
    ss0 = explicit_slot 8
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v2 = stack_addr.i64 ss0
    store v0, v2
    v3 = call fn0(v0)
    v4 = iadd v3, v0
    brif v4, block1(v3), block1(v0)
block1(v5: i32):
    v6 = load.i32 v2
    v7 = isub v6, v5
    store v7, v1
    return v7
}";
    const AFTER: &str = "
function %f(i32, i64) -> i32 system_v {
    fn0 = %g(i32) -> i32 system_v
block0(v0: i32, v1: i64):
    v3 = call fn0(v0)
    v4 = iadd v3, v0
    brif v4, block1(v3), block1(v0)
block1(v5: i32):
    v7 = isub v0, v5
    store v7, v1
    return v7
}";
    const LABELS: [(u32, u32); 5] = [(0, 1), (3, 2), (5, 3), (6, 4), (7, 5)];

    fn prove(after: &[(u32, u32)]) -> Result<(), Unproved> {
        let before = labelled(BEFORE, &LABELS);
        let after = labelled(AFTER, after);
        check_optimized(&before, &after, &Alone(None))
    }

    #[test]
    fn labels_stay_on_equal_values() {
        // The load became the parameter that was stored.
        prove(&[(0, 1), (0, 4), (3, 2), (5, 3), (7, 5)]).unwrap();
        prove(&[(0, 1), (3, 2), (5, 3), (7, 5)]).unwrap();
    }

    #[test]
    fn lost_labels_are_found() {
        for lost in [(3, 2), (5, 3), (7, 5)] {
            let mut labels = vec![(0, 1), (3, 2), (5, 3), (7, 5)];
            labels.retain(|&label| label != lost);
            let unproved = prove(&labels).unwrap_err();
            assert!(
                unproved.to_string().contains("lost its label"),
                "{unproved}"
            );
        }
    }

    #[test]
    fn labels_of_other_values_are_found() {
        for added in [(0, 5), (5, 1), (7, 4), (3, 9), (4, 1)] {
            let mut labels = vec![(0, 1), (3, 2), (5, 3), (7, 5)];
            labels.push(added);
            let unproved = prove(&labels).unwrap_err();
            assert!(
                unproved.to_string().contains("from nowhere"),
                "{added:?}: {unproved}"
            );
        }
    }

    #[test]
    fn labels_of_parameters_that_went() {
        let before = "
function %f(i32) -> i32 tail {
    sig0 = () -> i32 tail
    fn0 = %g() -> i32 tail
block0(v0: i32):
    v5 = iconst.i32 2
    jump block2(v0, v5)
block2(v3: i32, v4: i32):
    try_call fn0(), sig0, block4(ret0), []
block4(v7: i32):
    jump block3
block3:
    v9 = iconst.i32 1
    v10 = iconst.i32 0
    v11 = icmp eq v9, v10
    brif v11, block6, block7
block6:
    jump block5(v3)
block7:
    jump block5(v3)
block5(v12: i32):
    v14 = isub.i32 v4, v9
    brif v14, block2(v5, v14), block1
block1:
    return v4
}";
        let after = "
function %f(i32) -> i32 tail {
    sig0 = () -> i32 tail
    fn0 = %g() -> i32 tail
block0(v0: i32):
    v5 = iconst.i32 2
    jump block2(v0, v5)
block2(v3: i32, v4: i32):
    try_call fn0(), sig0, block3, []
block3:
    v9 = iconst.i32 1
    v14 = isub.i32 v4, v9
    brif v14, block2(v5, v14), block1
block1:
    return v4
}";
        let before = labelled(before, &[(3, 1), (12, 2)]);
        let after = labelled(after, &[(3, 1), (3, 2)]);
        check_optimized(&before, &after, &Alone(None)).unwrap();
    }

    /// On a way that is never taken, which neither side needs to know.
    #[test]
    fn labels_of_parameters_on_a_way_that_nothing_takes() {
        let before = "
function %f(i32, f32) -> f32 system_v {
block0(v0: i32, v1: f32):
    v2 = iconst.i64 124
    v3 = uextend.i128 v2
    brif v3, block1, block2
block1:
    v4 = f32const 0.0
    jump block3(v4)
block2:
    jump block3(v1)
block3(v5: f32):
    brif v0, block4, block5
block4:
    return v5
block5:
    return v1
}";
        let after = "
function %f(i32, f32) -> f32 system_v {
block0(v0: i32, v1: f32):
    v2 = iconst.i64 124
    v3 = uextend.i128 v2
    brif v3, block1, block2
block1:
    v4 = f32const 0.0
    brif v0, block4(v4), block5
block2:
    brif v0, block4(v1), block5
block4(v6: f32):
    return v6
block5:
    return v1
}";
        let before = labelled(before, &[(0, 1), (5, 2)]);
        let labels = [(0, 1), (1, 2), (4, 2), (6, 2)];
        check_optimized(&before, &labelled(after, &labels), &Alone(None)).unwrap();
        // The labels of the others come from nowhere on any way.
        for added in [(1, 1), (1, 3)] {
            let labels = [&labels[..], &[added]].concat();
            let unproved = check_optimized(&before, &labelled(after, &labels), &Alone(None));
            let message = unproved.unwrap_err().to_string();
            assert!(message.contains("from nowhere"), "{added:?}: {message}");
        }
    }

    /// Three loads of the same bytes, with a label each, became three constants.
    #[test]
    fn labels_on_loads_of_constant_bytes() {
        let before = "
function %f() system_v {
    ss0 = explicit_slot 5
    fn0 = %g(f32, f32) system_v
block0:
    v0 = stack_addr.i64 ss0
    v1 = iconst.i32 64
    store notrap little v1, v0
    v2 = iconst.i8 1
    store notrap little v2, v0+4
    v3 = load.f32 notrap little v0+1
    v4 = load.f32 notrap little v0+1
    call fn0(v3, v4)
    return
}";
        let after = "
function %f() system_v {
    fn0 = %g(f32, f32) system_v
block0:
    v5 = iconst.i32 0x0100_0000
    v6 = bitcast.f32 v5
    v7 = iconst.i32 0x0100_0000
    v8 = bitcast.f32 v7
    call fn0(v6, v8)
    return
}";
        for (old, new) in [(&[][..], &[][..]), (&[(3, 1), (4, 1)], &[(6, 1), (8, 1)])] {
            let (before, after) = (labelled(before, old), labelled(after, new));
            check_optimized(&before, &after, &Alone(None)).unwrap();
        }
    }

    /// The value goes round the loop in memory, where it began as several pieces, and the load with
    /// the label is done when the next round has begun.
    #[test]
    fn labels_on_loads_of_the_round_before() {
        let before = "
function %f(i16, i64) system_v {
    ss0 = explicit_slot 8
    ss1 = explicit_slot 4
block0(v0: i16, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v0, v2+2
    v3 = iconst.i8 -123
    store notrap v3, v2+4
    v4 = iconst.i16 8192
    store notrap v4, v2+6
    v8 = stack_addr.i64 ss1
    jump block1
block1:
    v9 = load.i32 notrap v8
    v10 = iconst.i32 1
    v11 = iadd v9, v10
    store notrap v11, v8
    v5 = load.i64 notrap v2
    v12 = uextend.i64 v9
    v6 = iadd v5, v12
    store notrap v6, v2
    v7 = load.i64 notrap v2
    jump block1
}";
        for order in [Endianness::Little, Endianness::Big] {
            let mut before = labelled(before, &[(7, 1)]);
            let mut after = before.clone();
            let mut options = OptimizeOptions::default();
            options.endianness = Some(order);
            let stats = optimize(&mut after, &options, &mut CleanupContext::new());
            assert_eq!(stats.slots_promoted, 2);
            check_optimized(&before, &after, &Alone(Some(order))).unwrap();
            before.dfg.values_labels = None;
            before.dfg.collect_debug_info();
            check_optimized(&before, &after, &Alone(Some(order))).unwrap_err();
        }
    }

    /// The value of the labelled parameter has other terms in the inner loops than where it is set.
    #[test]
    fn labels_of_parameters_that_pass_on_a_value_of_a_loop() {
        let text = "
function %f() system_v {
block0:
    v0 = iconst.i64 0x7fff_ffff_ffff_ffff
    v1 = iconst.i32 4
    v2 = iconst.i32 1
    v3 = iconst.i64 1
    jump block1(v0, v0, v1)
block1(v4: i64, v5: i64, v6: i32):
    jump block2(v0, v1)
block2(v7: i64, v8: i32):
    jump block3(v4, v1)
block3(v9: i64, v10: i32):
    br_table v10, block5, [block5, block4]
block4:
    jump block6(v9)
block5:
    v11 = iconst.i64 0
    jump block6(v11)
block6(v12: i64):
    v13 = isub.i32 v10, v2
    brif v13, block3(v12, v13), block7
block7:
    v14 = isub.i32 v8, v2
    brif v14, block2(v4, v14), block8(v7)
block8(v15: i64):
    v16 = isub.i32 v6, v2
    brif v16, block1(v5, v3, v16), block9(v15)
block9(v17: i64):
    return
}";
        let before = labelled(text, &[(15, 1)]);
        let mut after = before.clone();
        let options = OptimizeOptions::default();
        optimize(&mut after, &options, &mut CleanupContext::new());
        check_optimized(&before, &after, &Alone(None)).unwrap();
        // The label is on no counter.
        let labels = after.dfg.values_labels.as_mut().unwrap();
        let moved = labels.remove(&Value::from_u32(7)).unwrap();
        labels.insert(Value::from_u32(8), moved);
        check_optimized(&before, &after, &Alone(None)).unwrap_err();
    }

    /// The value of the labelled parameter is another one on the way that never gets there.
    #[test]
    fn labels_of_parameters_that_pass_on_a_join() {
        let text = "
function %f(i32, i64) -> i64 system_v {
block0(v0: i32, v1: i64):
    brif v0, block1, block2(v1)
block1:
    v2 = iconst.i64 5
    jump block2(v2)
block2(v3: i64):
    brif v0, block3, block4
block3:
    v4 = iconst.i64 6
    return v4
block4:
    jump block5(v3)
block5(v5: i64):
    return v5
}";
        let before = labelled(text, &[(5, 1)]);
        let mut after = before.clone();
        clean_up(&mut after, &mut CleanupContext::new());
        let options = OptimizeOptions::default();
        optimize(&mut after, &options, &mut CleanupContext::new());
        check_optimized(&before, &after, &Alone(None)).unwrap();
    }
}
