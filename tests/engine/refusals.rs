//! Refusals that text does not show well, and that a refused caller is byte for
//! byte as it was. The others are in `tests/filetests/meaning`.

use crate::body::Body;

use crate::functions::{calls_of, parse};
use cranelift_codegen::ir::{self, Function, Inst, InstructionData, Opcode, types};
use cranelift_inliner::splice::{
    Callee, MemoryPromises, Refusal, Session, SpliceContext, SpliceOptions, inline_calls, splice,
};

/// Returns a callee, and a caller of it.
fn pair(text: &str) -> [Function; 2] {
    parse(text).try_into().map_err(|_| "two functions").unwrap()
}

/// Splices the first call, which must be refused and change nothing.
fn refusal(callee: &Function, caller: &Function) -> Refusal {
    let mut func = caller.clone();
    let call = calls_of(&func)[0];
    let refusal = splice(&mut func, call, callee, &SpliceOptions::default()).unwrap_err();
    assert!(func == *caller, "a refused splice changed its caller");
    assert_eq!(func.to_string(), caller.to_string());
    refusal
}

const LOADS: &str = "
function %callee(i64) -> i32 system_v {
    region0 = 17 \"of the callee\"
block0(v0: i64):
    v1 = load.i32 notrap aligned region0 v0
    return v1
}
function %caller(i64) -> i32 system_v {
    fn0 = %callee(i64) -> i32 system_v
block0(v0: i64):
    v1 = call fn0(v0)
    return v1
}";

/// Adds flags to `func` until there are `count` of them.
fn fill_mem_flags(func: &mut Function, count: usize) {
    let mut id = 1000;
    loop {
        let full = count
            .checked_sub(1)
            .and_then(|last| u32::try_from(last).ok());
        if full
            .and_then(ir::MemFlags::with_number)
            .is_some_and(|last| func.dfg.mem_flags.is_valid(last))
        {
            return;
        }
        let region = func.dfg.alias_regions.insert(ir::AliasRegionData {
            user_id: id,
            description: "".into(),
        });
        let flags = ir::MemFlagsData::new().with_alias_region(Some(region));
        func.dfg.mem_flags.insert(flags).unwrap();
        id += 1;
    }
}

fn for_whole_program() -> SpliceOptions {
    let mut options = SpliceOptions::default();
    options.memory_promises = MemoryPromises::WholeProgram;
    options
}

/// Where promises hold for one function, a copy needs flags of its own, and the caller's stores may
/// need others than they have: only those that it uses.
#[test]
fn flags_without_promises_in_the_nearly_full_set() {
    for (room, fits) in [(3, true), (2, false)] {
        let [callee, mut caller] = pair(
            "function %callee(i64) system_v {
             block0(v0: i64):
                 v1 = load.i64 user3 readonly v0
                 store user4 v1, v0
                 return
             }
             function %caller(i64) system_v {
                 fn0 = %callee(i64) system_v
                 region0 = 1 \"mine\"
             block0(v0: i64):
                 store user5 region0 v0, v0
                 call fn0(v0)
                 return
             }",
        );
        // The caller's own flags are there already.
        fill_mem_flags(&mut caller, 65_535 - room);
        let (call, before) = (calls_of(&caller)[0], caller.clone());
        let spliced = splice(&mut caller, call, &callee, &SpliceOptions::default());
        assert_eq!(spliced.is_ok(), fits, "room for {room}");
        if fits {
            let text = caller.to_string();
            for access in ["store user5 v0, v0", "load.i64 user3 v0", "store user4 v"] {
                assert!(text.contains(access), "{access} in\n{text}");
            }
        } else {
            assert_eq!(spliced, Err(Refusal::MemFlagsFull));
            assert!(before == caller);
        }
    }
}

#[test]
fn a_full_set_of_memory_flags() {
    let [callee, mut caller] = pair(LOADS);
    fill_mem_flags(&mut caller, 65_535);
    assert_eq!(refusal(&callee, &caller), Refusal::MemFlagsFull);
}

#[test]
fn the_last_place_in_the_set_of_memory_flags() {
    let [callee, mut caller] = pair(LOADS);
    fill_mem_flags(&mut caller, 65_534);
    let call = calls_of(&caller)[0];
    splice(&mut caller, call, &callee, &for_whole_program()).unwrap();
    let load = caller
        .layout
        .first_inst(caller.layout.entry_block().unwrap())
        .unwrap();
    let InstructionData::Load { flags, .. } = caller.dfg.insts[load] else {
        panic!("{}", caller.dfg.display_inst(load));
    };
    let region = caller.dfg.mem_flags[flags].alias_region().unwrap();
    assert_eq!(caller.dfg.alias_regions[region].user_id, 17);
}

#[test]
fn flags_that_the_full_set_has_already() {
    let [callee, mut caller] = pair(LOADS);
    let region = caller.dfg.alias_regions.insert(ir::AliasRegionData {
        user_id: 17,
        description: "of the caller".into(),
    });
    let flags = ir::MemFlagsData::trusted().with_alias_region(Some(region));
    caller.dfg.mem_flags.insert(flags).unwrap();
    fill_mem_flags(&mut caller, 65_535);
    let call = calls_of(&caller)[0];
    splice(&mut caller, call, &callee, &for_whole_program()).unwrap();
}

#[test]
fn flags_for_the_copy_of_a_structure() {
    let [callee, mut caller] = pair(
        "function %callee(i64 sarg(8)) system_v {
         block0(v0: i64):
             return
         }
         function %caller(i64) system_v {
             fn0 = %callee(i64 sarg(8)) system_v
         block0(v0: i64):
             call fn0(v0)
             return
         }",
    );
    fill_mem_flags(&mut caller, 65_535);
    assert_eq!(refusal(&callee, &caller), Refusal::MemFlagsFull);
}

#[test]
fn a_dynamic_type_with_two_scales() {
    let [callee, caller] = pair(
        "function %callee() system_v {
             gv0 = dyn_scale_target_const.i32x4
             dt0 = i32x4*gv0
         block0:
             return
         }
         function %caller() system_v {
             gv0 = dyn_scale_target_const.i8x16
             dt0 = i32x4*gv0
             fn0 = %callee() system_v
         block0:
             call fn0()
             return
         }",
    );
    assert_eq!(refusal(&callee, &caller).slug(), "dynamic-type");
}

/// Whether two such scales are the same is known only when the code runs.
#[test]
fn a_dynamic_type_whose_scale_is_computed() {
    let pair_of = |in_caller: &str| {
        pair(&format!(
            "function %callee() system_v {{
                 gv0 = symbol %scale
                 dt0 = i32x4*gv0
             block0:
                 return
             }}
             function %caller() system_v {{
                 gv0 = symbol %scale
                 dt0 = {in_caller}*gv0
                 fn0 = %callee() system_v
             block0:
                 call fn0()
                 return
             }}"
        ))
    };
    let [callee, caller] = pair_of("i32x4");
    assert_eq!(refusal(&callee, &caller).slug(), "dynamic-type");
    let [callee, mut caller] = pair_of("i8x16");
    let call = calls_of(&caller)[0];
    let spliced = splice(&mut caller, call, &callee, &SpliceOptions::default());
    assert_eq!(spliced, Ok(()));
}

#[test]
fn a_scale_that_the_vmctx_holds() {
    let [callee, caller] = pair(
        "function %callee(i64 vmctx) system_v {
             gv0 = vmctx
             gv1 = load.i64 notrap aligned gv0
             dt0 = i32x4*gv1
         block0(v0: i64):
             return
         }
         function %caller(i64) system_v {
             fn0 = %callee(i64 vmctx) system_v
         block0(v0: i64):
             call fn0(v0)
             return
         }",
    );
    assert_eq!(refusal(&callee, &caller).slug(), "vmctx-global");
}

#[test]
fn a_structure_larger_than_any_frame() {
    let [callee, caller] = pair(
        "function %callee(i64 sarg(3000000000)) system_v {
         block0(v0: i64):
             return
         }
         function %caller(i64) system_v {
             fn0 = %callee(i64 sarg(3000000000)) system_v
         block0(v0: i64):
             call fn0(v0)
             return
         }",
    );
    assert_eq!(
        refusal(&callee, &caller),
        Refusal::StructTooLarge(3_000_000_000)
    );
}

#[test]
fn instructions_that_are_not_direct_calls() {
    let [callee, caller] = pair(
        "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             return v0
         }
         function %caller(i64, i32) -> i32 system_v {
             sig0 = (i32) -> i32 system_v
         block0(v0: i64, v1: i32):
             v2 = call_indirect sig0, v0(v1)
             return v2
         }",
    );
    assert_eq!(refusal(&callee, &caller).slug(), "not-a-direct-call");
    let missing = Inst::from_u32(1000);
    let mut func = caller.clone();
    let options = SpliceOptions::default();
    assert_eq!(
        splice(&mut func, missing, &callee, &options),
        Err(Refusal::NotADirectCall(missing))
    );
    // An instruction that is not in the layout.
    let nop = func.dfg.make_inst(InstructionData::NullAry {
        opcode: Opcode::Nop,
    });
    assert_eq!(
        splice(&mut func, nop, &callee, &options),
        Err(Refusal::NotADirectCall(nop))
    );
}

#[test]
fn a_call_that_was_spliced_is_gone() {
    let [callee, mut caller] = pair(LOADS);
    let call = calls_of(&caller)[0];
    let callee = Callee::new(&callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut caller, &options);
    assert!(session.check(call, &callee).is_ok());
    session.splice(call, &callee).unwrap();
    assert_eq!(
        session.splice(call, &callee),
        Err(Refusal::NotADirectCall(call))
    );
}

const NEVER_RETURNS: &str = "
function %fail() system_v {
block0:
    trap user1
}
function %caller() system_v {
    fn0 = %fail() system_v
block0:
    call fn0()
    call fn0()
    call fn0()
    return
}";

fn splice_all<'s>(session: &mut Session<'s>, callee: &Callee<'_>, calls: &[Inst]) -> Vec<bool> {
    calls
        .iter()
        .map(|&call| match session.splice(call, callee) {
            Ok(_) => true,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Unreachable);
                false
            }
        })
        .collect()
}

#[test]
fn calls_after_one_that_never_returns() {
    let [callee, caller] = pair(NEVER_RETURNS);
    let callee = Callee::new(&callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let calls = calls_of(&caller);
    for (order, expected) in [([0, 1, 2], [true, false, false]), ([2, 1, 0], [true; 3])] {
        let mut func = caller.clone();
        let order = order.map(|index| calls[index]);
        let mut session = context.session(&mut func, &options);
        assert_eq!(splice_all(&mut session, &callee, &order), expected);
        session.finish();
        assert_eq!(
            func.to_string()
                .lines()
                .filter(|line| line.starts_with("    trap"))
                .count(),
            1,
            "{func}"
        );
        assert_eq!(func.layout.blocks().count(), 1);
    }
}

#[test]
fn a_session_that_does_nothing_changes_nothing() {
    let [callee, caller] = pair(LOADS);
    let mut func = caller.clone();
    let callee = Callee::new(&callee).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let session = context.session(&mut func, &options);
    session.check(calls_of(&caller)[0], &callee).unwrap();
    assert!(*session.caller() == caller);
    drop(session);
    assert!(func == caller);
}

#[test]
fn the_caller_is_valid_between_splices() {
    let functions = parse(
        "function %callee(i32) -> i32 system_v {
         block0(v0: i32):
             brif v0, block1, block2
         block1:
             return v0
         block2:
             v1 = iconst.i32 1
             return v1
         }
         function %caller(i32) -> i32 system_v {
             fn0 = %callee(i32) -> i32 system_v
         block0(v0: i32):
             v1 = call fn0(v0)
             v2 = call fn0(v1)
             v3 = call fn0(v2)
             brif v3, block1, block2
         block1:
             v4 = call fn0(v3)
             return v4
         block2:
             return v2
         }",
    );
    let flags = cranelift_codegen::settings::Flags::new(cranelift_codegen::settings::builder());
    let callee = Callee::new(&functions[0]).unwrap();
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let calls = calls_of(&functions[1]);
    for first in 0..calls.len() {
        let mut func = functions[1].clone();
        let mut session = context.session(&mut func, &options);
        for index in 0..calls.len() {
            let call = calls[(first + index) % calls.len()];
            session.splice(call, &callee).unwrap();
            cranelift_codegen::verify_function(session.caller(), &flags).unwrap();
        }
        session.finish();
        cranelift_codegen::verify_function(&func, &flags).unwrap();
        assert_eq!(func.layout.blocks().count(), 3 + 4 * 3);
    }
}

#[test]
fn the_drop_in_keeps_calls_at_which_upstream_panics() {
    let [mut callee, caller] = pair(LOADS);
    callee.signature.params[0].value_type = types::I32;
    let mut func = caller.clone();
    assert!(!inline_calls(&mut func, Body(&callee)).unwrap());
    assert!(func == caller);
    let mut func = caller.clone();
    assert!(!inline_calls(&mut func, Body(&Function::new())).unwrap());
    assert!(func == caller);
}

/// The verifier does not look at tags. Once the body's slot is there, the tag
/// would mean that.
#[test]
fn a_tag_that_names_a_slot_that_is_not_there() {
    let [callee, caller] = pair(
        "
function %leaf() tail {
    ss0 = explicit_slot 8
block0:
    <1, ss0> sequence_point
    return
}
function %middle() tail {
    ss0 = explicit_slot 16, key = 6
    fn0 = %leaf() tail
block0:
    <3, ss0> call fn0()
    <4, ss1> call fn0()
    return
}",
    );
    assert!(matches!(
        refusal(&callee, &caller),
        Refusal::MalformedCaller(_)
    ));
}

#[test]
fn tables_of_another_function() {
    let [callee, mut caller] = pair(LOADS);
    let call = calls_of(&caller)[0];
    let tables = Callee::new(&caller).unwrap().into_tables();
    let callee = Callee::from_tables(&callee, &tables);
    let options = SpliceOptions::default();
    let mut context = SpliceContext::new();
    let mut session = context.session(&mut caller, &options);
    let refusal = session.splice(call, &callee).unwrap_err();
    assert_eq!(refusal.slug(), "malformed-callee");
}
