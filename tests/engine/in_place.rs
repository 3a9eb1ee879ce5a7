//! Copies that go between the instructions around their call, and those for which the call's block
//! is cut.

use crate::functions::{calls_of, parse};
use cranelift_codegen::ir::{Function, Opcode};
use cranelift_codegen::settings::{Flags, builder};
use cranelift_codegen::verify_function;
use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions};
use std::fmt::Write;

/// Returns a callee of one block that copies `insts` instructions.
fn straight(insts: usize) -> String {
    let mut text = String::from("function %callee(i32) -> i32 system_v {\nblock0(v0: i32):\n");
    for inst in 1..=insts {
        writeln!(text, "    v{inst} = iadd v{0}, v{0}", inst - 1).unwrap();
    }
    write!(text, "    return v{insts}\n}}").unwrap();
    text
}

/// Returns a caller with one call, and `insts` instructions beside it and the return.
fn caller(insts: usize) -> String {
    let mut text = String::from(
        "function %caller(i32) -> i32 system_v {
             fn0 = %callee(i32) -> i32 system_v
         block0(v0: i32):
             v1 = call fn0(v0)\n",
    );
    for inst in 2..insts + 2 {
        writeln!(text, "    v{inst} = iadd v{0}, v{0}", inst - 1).unwrap();
    }
    write!(text, "    return v{}\n}}", insts + 1).unwrap();
    text
}

/// Splices the first call of `caller`, and says whether that left its block whole.
fn goes_in_place(callee: &str, caller: &str) -> bool {
    let callee = &parse(callee)[0];
    let mut caller = parse(caller).remove(0);
    let callee = Callee::new(callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let blocks = caller.dfg.num_blocks();
    let call = calls_of(&caller)[0];
    let mut session = context.session(&mut caller, &options);
    session.splice(call, &callee).unwrap();
    session.finish();
    verify_function(&caller, &Flags::new(builder())).unwrap();
    caller.dfg.num_blocks() == blocks
}

/// Replaces the first call of `caller`; the result is valid.
fn splice_first(caller: &mut Function, callee: &Callee<'_>) {
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let call = calls_of(caller)[0];
    let mut session = context.session(caller, &options);
    session.splice(call, callee).unwrap();
    session.finish();
    verify_function(caller, &Flags::new(builder())).unwrap();
}

/// Checks that `callee` becomes `expected` in a caller that calls it once and returns its result.
#[track_caller]
fn check(callee: &str, expected: &str) {
    let functions = parse(callee);
    let mut caller = parse(
        "function %caller(i32, i32) -> i32 system_v {
             fn0 = %callee(i32, i32) -> i32 system_v
         block0(v0: i32, v1: i32):
             v2 = call fn0(v0, v1)
             v3 = ineg v2
             return v3
         }",
    )
    .remove(0);
    let callee = Callee::new(&functions[0]).unwrap();
    splice_first(&mut caller, &callee);
    let text = caller.to_string();
    let (_, body) = text.split_once("block0").unwrap();
    let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
    let body: Vec<&str> = lines.collect();
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(body, expected, "{text}");
}

#[test]
fn sixteen_instructions_go_in_place_and_more_do_not() {
    assert!(goes_in_place(&straight(0), &caller(0)));
    assert!(goes_in_place(&straight(16), &caller(0)));
    assert!(!goes_in_place(&straight(17), &caller(0)));
}

/// The jumps of a line are not copied, so they do not count.
#[test]
fn sixteen_instructions_on_a_line_of_blocks_go_in_place_too() {
    let line = |insts| straight(insts).replacen("return", "jump block1\nblock1:\n    return", 1);
    assert!(goes_in_place(&line(16), &caller(0)));
    assert!(!goes_in_place(&line(17), &caller(0)));
}

#[test]
fn in_a_large_caller_only_copies_that_fit_into_the_gap_of_the_call_go_in_place() {
    // With the call and the return.
    assert!(goes_in_place(&straight(16), &caller(4_094)));
    assert!(!goes_in_place(&straight(16), &caller(4_095)));
    assert!(goes_in_place(&straight(4), &caller(4_095)));
    assert!(!goes_in_place(&straight(5), &caller(4_095)));
}

#[test]
fn in_a_large_caller_calls_that_came_in_leave_no_gap() {
    let functions = parse(
        "function %middle(i32) -> i32 system_v {
             fn0 = %callee(i32) -> i32 system_v
         block0(v0: i32):
             v1 = call fn0(v0)
             return v1
         }",
    );
    let inner = &parse(&straight(1))[0];
    let [middle, inner] = [&functions[0], inner].map(|callee| Callee::new(callee).unwrap());
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    for (insts, expected) in [(10, true), (5_000, false)] {
        let mut caller = parse(&caller(insts)).remove(0);
        let call = calls_of(&caller)[0];
        let mut session = context.session(&mut caller, &options);
        let blocks = session.caller().dfg.num_blocks();
        let came_in = session.splice(call, &middle).unwrap()[0].inst;
        assert_eq!(session.caller().dfg.num_blocks(), blocks);
        session.splice(came_in, &inner).unwrap();
        assert_eq!(session.caller().dfg.num_blocks() == blocks, expected);
        session.finish();
        verify_function(&caller, &Flags::new(builder())).unwrap();
        assert_eq!(caller.layout.blocks().count(), 1);
    }
}

#[test]
fn bodies_that_branch_or_do_not_return_cut_the_block() {
    let branches = "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             brif v0, block1, block1
         block1:
             return v0
         }";
    assert!(!goes_in_place(branches, &caller(3)));
    let copies = "function %callee(i64 sarg(8), i32) -> i32 system_v {
         block0(v0: i64, v1: i32):
             return v1
         }";
    let passes = "function %caller(i64, i32) -> i32 system_v {
             fn0 = %callee(i64 sarg(8), i32) -> i32 system_v
         block0(v0: i64, v1: i32):
             v2 = call fn0(v0, v1)
             return v2
         }";
    assert!(!goes_in_place(copies, passes));
    let stops = "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             trap user1
         }";
    assert!(!goes_in_place(stops, &caller(3)));
}

#[test]
fn a_line_of_blocks_is_one_block() {
    check(
        "function %callee(i32, i32) -> i32 system_v {
         block0(v0: i32, v1: i32):
             v2 = isub v0, v1
             jump block1(v1, v2)
         block1(v3: i32, v4: i32):
             v5 = isub v3, v4
             jump block2(v4, v5, v3)
         block2(v6: i32, v7: i32, v8: i32):
             v9 = imul v6, v7
             v10 = bxor v9, v8
             return v10
         }",
        "(v0: i32, v1: i32):
         v4 = isub v0, v1
         v5 = isub v1, v4
         v6 = imul v4, v5
         v7 = bxor v6, v1
         v2 -> v7
         v3 = ineg v2
         return v3
         }",
    );
}

#[test]
fn a_line_can_call_or_not_return_at_all() {
    check(
        "function %callee(i32, i32) -> i32 system_v {
             fn0 = %other(i32) -> i32 system_v
         block0(v0: i32, v1: i32):
             jump block1(v1)
         block1(v2: i32):
             v3 = call fn0(v2)
             return v3
         }",
        "(v0: i32, v1: i32):
         v4 = call fn1(v1)
         v2 -> v4
         v3 = ineg v2
         return v3
         }",
    );
    check(
        "function %callee(i32, i32) -> i32 system_v {
         block0(v0: i32, v1: i32):
             trapz v0, user2
             jump block1
         block1:
             trap user1
         }",
        "(v0: i32, v1: i32):
         trapz v0, user2
         trap user1
         }",
    );
}

/// A block that is cold, or whose parameters have labels, is not taken for a part of another.
#[test]
fn a_line_is_left_in_blocks_where_joining_would_lose_something() {
    let cold = "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             jump block1(v0)
         block1(v1: i32) cold:
             return v1
         }";
    assert!(!goes_in_place(cold, &caller(3)));
    let warm = cold.replace(" cold", "");
    assert!(goes_in_place(&warm, &caller(3)));

    let mut labelled = parse(&warm).remove(0);
    labelled.dfg.collect_debug_info();
    assert!(!Callee::new(&labelled).is_ok_and(|callee| {
        let mut caller = parse(&caller(3)).remove(0);
        let options = SpliceOptions::default();
        let mut context = SpliceContext::new();
        let call = calls_of(&caller)[0];
        let blocks = caller.dfg.num_blocks();
        let mut session = context.session(&mut caller, &options);
        session.splice(call, &callee).unwrap();
        session.finish();
        caller.dfg.num_blocks() == blocks
    }));
}

/// A loop of blocks that only jump is not a line, and neither are blocks in another order.
#[test]
fn blocks_that_come_back_are_no_line() {
    let comes_back = "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             jump block1(v0)
         block1(v1: i32):
             brif v1, block1(v0), block2
         block2:
             return v1
         }";
    assert!(!goes_in_place(comes_back, &caller(3)));
    let for_ever = "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             jump block1
         block1:
             jump block1
         }";
    assert!(!goes_in_place(for_ever, &caller(3)));
    let other_order = "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             jump block2(v0)
         block1(v1: i32):
             return v1
         block2(v2: i32):
             jump block1(v2)
         }";
    assert!(!goes_in_place(other_order, &caller(3)));
}

/// A jump must pass the values that the next block takes; else the jump stays, and the verifier
/// sees it.
#[test]
fn a_jump_that_does_not_fit_is_no_part_of_a_line() {
    for takes in ["v1: i32, v2: i32", "v1: i64", ""] {
        let callee = parse(&format!(
            "function %callee(i32) -> i32 system_v {{
             block0(v0: i32):
                 jump block1(v0)
             block1({takes}):
                 return v0
             }}"
        ))
        .remove(0);
        let mut caller = parse(&caller(3)).remove(0);
        let callee = Callee::new(&callee).unwrap();
        let options = SpliceOptions::default();
        let mut context = SpliceContext::new();
        let call = calls_of(&caller)[0];
        let mut session = context.session(&mut caller, &options);
        let blocks = session.caller().dfg.num_blocks();
        session.splice(call, &callee).unwrap();
        assert!(session.caller().dfg.num_blocks() > blocks, "{takes}");
        session.finish();
        let blocks = caller.layout.blocks();
        let insts = blocks.flat_map(|block| caller.layout.block_insts(block));
        let opcodes = insts.map(|inst| caller.dfg.insts[inst].opcode());
        assert_eq!(opcodes.filter(|&opcode| opcode == Opcode::Jump).count(), 1);
        assert!(verify_function(&caller, &Flags::new(builder())).is_err());
    }
}

/// Returns the second function of `text`, after the first replaced its first call.
fn spliced(text: &str) -> Function {
    let mut functions = parse(text);
    let mut caller = functions.remove(1);
    splice_first(&mut caller, &Callee::new(&functions[0]).unwrap());
    caller
}

/// The `try_call` whose handler has its address taken goes with the code after a call that does not
/// return.
#[test]
fn the_address_of_a_handler_is_null_where_nothing_goes_on() {
    let text = spliced(
        "function %callee(i32) -> i32 tail {
         block0(v0: i32):
             trap user1
         }
         function %caller(i32) -> i64 tail {
             sig0 = (i32) -> i32 tail
             fn0 = %callee sig0
         block0(v0: i32):
             v1 = get_exception_handler_address.i64 block1, 0
             brif v0, block1, block2
         block1:
             v2 = call fn0(v0)
             try_call fn0(v2), sig0, block2, [ default: block3 ]
         block2:
             return v1
         block3:
             return v1
         }",
    )
    .to_string();
    assert!(text.contains("v1 = iconst.i64 0"), "{text}");
    assert!(!text.contains("try_call"), "{text}");
}

/// `block2`, which is named, is in no block of the copy, although the callee is one line.
#[test]
fn the_address_of_a_handler_is_null_where_a_line_does_not_lead() {
    let caller = spliced(
        "function %callee(i32) -> i64 tail {
             sig0 = (i32) -> i32 tail
             fn0 = %other sig0
         block0(v0: i32):
             v1 = get_exception_handler_address.i64 block2, 0
             jump block1
         block1:
             return v1
         block2:
             try_call fn0(v0), sig0, block3, [ default: block3 ]
         block3:
             trap user1
         }
         function %caller(i32) -> i64 tail {
             fn0 = %callee(i32) -> i64 tail
         block0(v0: i32):
             v1 = call fn0(v0)
             v2 = ineg v1
             return v2
         }",
    );
    assert!(caller.to_string().contains("= iconst.i64 0"), "{caller}");
    assert_eq!(caller.layout.blocks().count(), 1, "{caller}");
}
