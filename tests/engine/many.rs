//! Blocks with very many calls: the result is right for every order of splices. Work that grows
//! with the square of the calls would let this file run for minutes.

use crate::body::Body;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{self, Function, Inst, InstructionData, Opcode};
use cranelift_codegen::settings::{Flags, builder};
use cranelift_codegen::verify_function;
use cranelift_inliner::splice::{Callee, SpliceContext, SpliceOptions, inline_calls};
use std::fmt::Write;

const CALLS: usize = 40_000;

/// Returns a block of `calls` calls, each of which takes the result before it.
fn caller(calls: usize) -> Function {
    let mut text = String::from(
        "function %caller(i32) -> i32 system_v {\n    \
         fn0 = %callee(i32) -> i32 system_v\nblock0(v0: i32):\n",
    );
    for call in 1..=calls {
        writeln!(text, "    v{call} = call fn0(v{})", call - 1).unwrap();
    }
    write!(text, "    return v{calls}\n}}").unwrap();
    parse(&text)
}

fn parse(text: &str) -> Function {
    cranelift_reader::parse_functions(text).unwrap().remove(0)
}

fn one_block() -> Function {
    parse(
        "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             v1 = iconst.i32 3
             v2 = imul v0, v1
             return v2
         }",
    )
}

fn several_blocks() -> Function {
    parse(
        "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             v1 = iconst.i32 3
             v2 = icmp ult v0, v1
             brif v2, block1, block2
         block1:
             v3 = imul v0, v0
             jump block3(v3)
         block2:
             v4 = bxor v0, v1
             jump block3(v4)
         block3(v5: i32):
             return v5
         }",
    )
}

fn identity() -> Function {
    parse("function %callee(i32) -> i32 system_v {\nblock0(v0: i32):\n return v0\n}")
}

fn calls_of(func: &Function) -> Vec<Inst> {
    func.layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block))
        .filter(|&inst| func.dfg.insts[inst].opcode() == Opcode::Call)
        .collect()
}

/// Shuffles calls, the same way every time.
fn shuffle(calls: &mut [Inst]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for index in (1..calls.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let other = (state >> 33) as usize % (index + 1);
        calls.swap(index, other);
    }
}

fn splice_all(func: &mut Function, callee: &Function, calls: &[Inst]) {
    let callee = Callee::new(callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(func, &options);
    for &call in calls {
        session.splice(call, &callee).unwrap();
    }
    session.finish();
}

/// Returns a callee with a slot that only the body uses and one whose address escapes. After these,
/// the body goes on with `end`.
fn with_slots(end: &str) -> Function {
    let start = "function %callee(i32) -> i32 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 8, key = 3
    ss2 = explicit_slot 16
    sig0 = (i64) system_v
block0(v0: i32):
    v1 = stack_addr.i64 ss0
    store v0, v1
    v2 = stack_addr.i64 ss2
    call_indirect sig0, v2(v1)
";
    parse(&format!("{start}{end}\n}}"))
}

const RETURNS: &str = "return v0";
const BRANCHES: &str = "brif v0, block1, block1\nblock1:\nreturn v0";

fn check_valid(func: &Function) {
    verify_function(func, &Flags::new(builder())).unwrap();
}

/// Returns the instructions as they stand, without their numbers.
fn opcodes(func: &Function) -> Vec<Vec<Opcode>> {
    let in_block = |block| {
        let insts = func.layout.block_insts(block);
        insts.map(|inst| func.dfg.insts[inst].opcode()).collect()
    };
    func.layout.blocks().map(in_block).collect()
}

/// Splicing calls together saves work and changes nothing else, not even where other calls are
/// spliced afterwards, or some are refused.
#[test]
fn calls_spliced_together_and_one_by_one_give_the_same_code() {
    let mut text = String::from(
        "function %caller(i32) -> i32 system_v {\n fn0 = %callee(i32) -> i32 system_v\nblock0(v0: i32):\n",
    );
    for call in 0..12 {
        text.push_str(&format!(" v{} = call fn0(v{call})\n", call + 1));
    }
    text.push_str(" return v12\n}");
    let (caller, callee) = (parse(&text), with_slots(BRANCHES));
    let mut calls = calls_of(&caller);
    shuffle(&mut calls);
    let wrong = parse("function %callee() system_v {\nblock0:\n return\n}");
    let spliced = |together: std::ops::Range<usize>, refused: &[Inst]| {
        let mut func = caller.clone();
        let (callee, wrong) = (Callee::new(&callee).unwrap(), Callee::new(&wrong).unwrap());
        let options = SpliceOptions::default();
        let mut context = SpliceContext::new();
        let mut session = context.session(&mut func, &options);
        let splices: Vec<(Inst, &Callee<'_>)> = calls[together.clone()]
            .iter()
            .map(|&call| (call, &callee))
            .chain(refused.iter().map(|&call| (call, &wrong)))
            .collect();
        let mut results = Vec::new();
        session.splice_all(&splices, |index, copied| {
            results.push((index, copied.is_ok()))
        });
        let expected = (0..splices.len()).map(|index| (index, index < together.len()));
        assert!(results.into_iter().eq(expected));
        check_valid(session.caller());
        for (index, &call) in calls[..8].iter().enumerate() {
            if !together.contains(&index) {
                session.splice(call, &callee).unwrap();
                check_valid(session.caller());
            }
        }
        session.finish();
        check_valid(&func);
        (opcodes(&func), func.dfg.num_blocks())
    };
    let (single, blocks) = spliced(0..0, &[]);
    assert_eq!(spliced(0..3, &[]).0, single);
    assert_eq!(spliced(4..8, &calls[8..]).0, single);
    let (together, fewer_blocks) = spliced(0..8, &[]);
    assert_eq!(together, single);
    assert!(fewer_blocks < blocks, "{fewer_blocks} of {blocks}");
}

#[test]
fn every_order_gives_the_same_code() {
    for callee in [one_block(), several_blocks(), identity()] {
        let mut forwards = caller(CALLS);
        let calls = calls_of(&forwards);
        splice_all(&mut forwards, &callee, &calls);
        check_valid(&forwards);
        let blocks = forwards.layout.blocks().count();
        assert_eq!(blocks, 1 + CALLS * (callee.layout.blocks().count() - 1));

        let mut backwards = caller(CALLS);
        let reversed: Vec<Inst> = calls.iter().rev().copied().collect();
        splice_all(&mut backwards, &callee, &reversed);
        check_valid(&backwards);
        assert_eq!(opcodes(&forwards), opcodes(&backwards));

        let mut shuffled = caller(CALLS);
        let mut order = calls.clone();
        shuffle(&mut order);
        splice_all(&mut shuffled, &callee, &order);
        check_valid(&shuffled);
        assert_eq!(opcodes(&forwards), opcodes(&shuffled));
    }
}

#[test]
fn aliases_stay_short_in_every_order() {
    let callee = identity();
    let mut func = caller(CALLS);
    let calls: Vec<Inst> = calls_of(&func).into_iter().rev().collect();
    splice_all(&mut func, &callee, &calls);
    for value in func.dfg.values() {
        if let Some(target) = func.dfg.value_alias_dest_for_serialization(value) {
            assert_eq!(target, ir::Value::new(0));
        }
    }
}

#[test]
fn the_rest_of_a_block_stays_in_place() {
    let callee = one_block();
    let mut func = caller(CALLS);
    let mut calls = calls_of(&func);
    shuffle(&mut calls);
    calls.truncate(CALLS / 2);
    splice_all(&mut func, &callee, &calls);
    check_valid(&func);
    assert_eq!(func.layout.blocks().count(), 1);
    assert_eq!(calls_of(&func).len(), CALLS / 2);
}

#[test]
fn calls_nested_in_calls_take_one_pass() {
    // Each body begins with a call of the next one, so that a block is cut
    // again at each level.
    let middle = parse(
        "function %middle(i32) -> i32 system_v {
             fn0 = %callee(i32) -> i32 system_v
         block0(v0: i32):
             v1 = call fn0(v0)
             v2 = call fn0(v1)
             return v2
         }",
    );
    let mut func = caller(1);
    let callee = Callee::new(&middle).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut func, &options);
    let mut next = calls_of(session.caller())[0];
    for _ in 0..CALLS {
        next = session.splice(next, &callee).unwrap()[0].inst;
    }
    session.finish();
    check_valid(&func);
    assert_eq!(func.layout.blocks().count(), 1);
    assert_eq!(calls_of(&func).len(), CALLS + 1);
}

#[test]
fn the_drop_in_takes_as_many() {
    let mut func = caller(CALLS);
    assert!(inline_calls(&mut func, Body(&several_blocks())).unwrap());
    check_valid(&func);
    assert!(calls_of(&func).is_empty());
    let mut by_session = caller(CALLS);
    let calls = calls_of(&by_session);
    splice_all(&mut by_session, &several_blocks(), &calls);
    assert_eq!(opcodes(&func), opcodes(&by_session));
}

#[test]
fn dead_weight_of_a_callee_is_not_copied() {
    // The earlier contents of a callee make none of its copies larger.
    let mut callee = several_blocks();
    for _ in 0..CALLS {
        callee.dfg.make_block();
        callee.dfg.make_inst(InstructionData::NullAry {
            opcode: Opcode::Nop,
        });
    }
    let mut func = caller(CALLS);
    let calls = calls_of(&func);
    splice_all(&mut func, &callee, &calls);
    check_valid(&func);
    let last = func.layout.last_block().unwrap();
    assert!(last.index() < CALLS * 8);
}

#[test]
fn the_frame_does_not_grow_with_the_number_of_calls() {
    for end in [RETURNS, BRANCHES] {
        let callee = with_slots(end);
        let sizes = [1, 7, CALLS].map(|count| {
            let mut func = caller(count);
            let mut calls = calls_of(&func);
            shuffle(&mut calls);
            splice_all(&mut func, &callee, &calls);
            check_valid(&func);
            let slots = func.sized_stack_slots.values();
            slots.map(|slot| slot.size).sum::<u32>()
        });
        assert_eq!(sizes, [40; 3]);
    }
}
