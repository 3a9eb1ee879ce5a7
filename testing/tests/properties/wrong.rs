//! Each property fails if a part is wrong: a later transform that changes the pass's result, a
//! policy that is not steady, or an engine that forgets itself.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{
    AliasRegionData, DebugTag, Endianness, Function, Inst, InstBuilder, Opcode, SourceLoc,
    StackSlotKey, TrapCode,
};
use cranelift_inliner::cleanup::OptimizeOptions;
use cranelift_inliner::decide::{Always, CallSite, Decision, Limits, from_fn_mut};
use cranelift_inliner::frames::CountedFrames;
use cranelift_inliner::pass::{Inlined, Inliner, Optimize};
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::{SpliceOptions, splice};
use cranelift_inliner_testing::execute::{Engine, Invocation};
use cranelift_inliner_testing::properties::{self, Broken, Property, seeded};
use std::sync::Arc;

const TEXT: &str = "
function %add(i64, i64) -> i64 system_v {
    ss0 = explicit_slot 8, key = 7
    fn0 = %host(i64) system_v
block0(v0: i64, v1: i64):
    v2 = iadd v0, v1
    v3 = stack_addr.i64 ss0
    store v2, v3
<2, ss0, 5> @0003 call fn0(v2)
    v4 = iconst.i64 3
    v5 = imul v2, v4
    return v5
}
function %twice(i64) -> i64 system_v {
    fn0 = %add(i64, i64) -> i64 system_v
block0(v0: i64):
<1, 1> @0007 v1 = call fn0(v0, v0)
    return v1
}
function %main(i64) -> i64 system_v {
    fn0 = %add(i64, i64) -> i64 system_v
    fn1 = %twice(i64) -> i64 system_v
block0(v0: i64):
<1, 2> @0008 v1 = call fn0(v0, v0)
    brif v1, block1, block2
block1:
<1, 3> @0009 v2 = call fn1(v1)
    return v2
block2:
<1, 4> @000a v3 = call fn0(v0, v1)
    return v3
}";

fn program() -> Program {
    Program::from_clif(TEXT, "wrong.clif").unwrap()
}

fn always() -> Inliner<'static> {
    Inliner::new(Always)
}

/// Returns the result of the pass, with `%main` changed afterwards.
fn changed(change: impl Fn(&mut Function)) -> Inlined {
    changed_in(&program(), change)
}

fn changed_in(program: &Program, change: impl Fn(&mut Function)) -> Inlined {
    let inlined = always().run(program).unwrap();
    let changed = inlined.with_bodies(|_, body| {
        let mut body = Arc::clone(body);
        if body.name.to_string() == "%main" {
            change(Arc::make_mut(&mut body));
        }
        body
    });
    changed.unwrap()
}

fn insts(func: &Function, opcode: Opcode) -> Vec<Inst> {
    let insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    insts
        .filter(|&inst| func.dfg.insts[inst].opcode() == opcode)
        .collect()
}

fn first(func: &Function, opcode: Opcode) -> Inst {
    insts(func, opcode)[0]
}

/// Gives the second factor of the first product to both.
fn change_an_operand(func: &mut Function) {
    let product = first(func, Opcode::Imul);
    let factor = func.dfg.inst_args(product)[1];
    func.dfg.inst_args_mut(product)[0] = factor;
}

fn assert_broken(result: Result<(), Broken>, property: Property, words: &str) {
    let broken = result.unwrap_err();
    assert_eq!(broken.property(), property, "{broken}");
    assert!(broken.to_string().contains(words), "{broken}");
    let main = "main".parse().unwrap();
    assert_eq!(broken.function(), Some(&main), "{broken}");
}

#[test]
fn nothing_is_wrong_with_the_program() {
    properties::all(&program(), &invocations(), &always()).unwrap();
    let unchanged = changed(|_| {});
    properties::accounted_for(&program(), &unchanged).unwrap();
}

#[test]
fn a_body_that_does_not_verify() {
    let wrong = changed(|func| {
        let end = insts(func, Opcode::Return)[0];
        func.layout.remove_inst(end);
    });
    let result = properties::compiles(&program(), &wrong);
    assert_broken(result, Property::Compiles, "x64, none");
}

#[test]
fn a_body_that_compiles_on_some_architectures_only() {
    let other = "function %main(i64) -> i64 system_v {
        fn0 = %host(i64 sarg(64)) system_v
    block0(v0: i64):
        call fn0(v0)
        return v0
    }";
    let other = cranelift_reader::parse_functions(other).unwrap().remove(0);
    let wrong = changed(|func| *func = other.clone());
    let result = properties::compiles(&program(), &wrong);
    assert_broken(result, Property::Compiles, "aarch64, none");
}

/// Calls that reach each host call of the program.
fn invocations() -> Vec<Invocation> {
    let invocation = |argument| Invocation {
        function: "main".parse().unwrap(),
        arguments: vec![DataValue::I64(argument)],
    };
    [0, 5].map(invocation).to_vec()
}

#[test]
fn a_body_that_does_something_else() {
    if !Engine::works_here() {
        return;
    }
    let unchanged = changed(|_| {});
    properties::behaves(&program(), &unchanged, &invocations()).unwrap();
    let wrong = changed(change_an_operand);
    let result = properties::behaves(&program(), &wrong, &invocations());
    assert_broken(result, Property::Behaves, "call 1 of the host is %host");
    let wrong = changed(|func| {
        let call = first(func, Opcode::Call);
        let own = func.dfg.block_params(func.layout.entry_block().unwrap())[0];
        func.dfg.inst_args_mut(call)[0] = own;
    });
    let result = properties::behaves(&program(), &wrong, &invocations());
    assert_broken(result, Property::Behaves, "call 0 of the host is %host");
    let wrong = changed(|func| {
        for call in insts(func, Opcode::Call) {
            func.layout.remove_inst(call);
        }
    });
    let result = properties::behaves(&program(), &wrong, &invocations());
    assert_broken(
        result,
        Property::Behaves,
        "0 calls of the host instead of 2",
    );
    let wrong = changed(|func| {
        let end = insts(func, Opcode::Return)[0];
        FuncCursor::new(func)
            .at_inst(end)
            .ins()
            .trap(TrapCode::unwrap_user(3));
        func.layout.remove_inst(end);
    });
    let result = properties::behaves(&program(), &wrong, &invocations());
    assert_broken(result, Property::Behaves, "Trapped");
}

#[test]
fn a_debugger_that_sees_something_else() {
    if !Engine::works_here() {
        return;
    }
    let unchanged = changed(|_| {});
    properties::same_frames(&program(), &unchanged, &invocations(), &CountedFrames).unwrap();
    type Change = (&'static str, fn(&mut Function));
    let changes: [Change; 4] = [
        ("tag 0 of frame 0 is User(3) instead of User(2)", |func| {
            let call = first(func, Opcode::Call);
            let mut tags = func.debug_tags.get(call).to_vec();
            tags[1] = DebugTag::User(3);
            func.debug_tags.set(call, tags);
        }),
        ("there are 0 frames instead of 2", |func| {
            let call = first(func, Opcode::Call);
            func.debug_tags.set(call, []);
        }),
        ("key: Some(8)", |func| {
            let slot = func.sized_stack_slots.keys().next().unwrap();
            func.sized_stack_slots[slot].key = Some(StackSlotKey::new(8));
        }),
        ("value", |func| {
            let store = first(func, Opcode::Store);
            let own = func.dfg.block_params(func.layout.entry_block().unwrap())[0];
            func.dfg.inst_args_mut(store)[0] = own;
        }),
    ];
    for (words, change) in changes {
        let result =
            properties::same_frames(&program(), &changed(change), &invocations(), &CountedFrames);
        assert_broken(result, Property::Frames, words);
    }
}

#[test]
fn lost_or_changed_pieces() {
    type Change = (&'static str, fn(&mut Function));
    let changes: [Change; 6] = [
        ("imul", change_an_operand),
        ("tags", |func| {
            let call = first(func, Opcode::Call);
            func.debug_tags.set(call, [DebugTag::User(2)]);
        }),
        ("source location", |func| {
            let call = first(func, Opcode::Call);
            func.set_srcloc(call, SourceLoc::new(9));
        }),
        ("", |func| {
            let slot = func.sized_stack_slots.keys().next().unwrap();
            func.sized_stack_slots[slot].key = Some(StackSlotKey::new(8));
        }),
        ("", |func| {
            let store = first(func, Opcode::Store);
            func.layout.remove_inst(store);
        }),
        ("label", |func| {
            func.collect_debug_info();
            let value = func.dfg.first_result(first(func, Opcode::Imul));
            let starts = vec![cranelift_codegen::ir::ValueLabelStart {
                from: Default::default(),
                label: cranelift_codegen::ir::ValueLabel::from_u32(1),
            }];
            let starts = cranelift_codegen::ir::ValueLabelAssignments::Starts(starts);
            func.dfg
                .values_labels
                .as_mut()
                .unwrap()
                .insert(value, starts);
        }),
    ];
    for (words, change) in changes {
        let result = properties::accounted_for(&program(), &changed(change));
        let broken = result.clone().unwrap_err();
        assert!(broken.difference().contains(words), "{broken}");
        assert_eq!(broken.property(), Property::Accounted);
    }
}

#[test]
fn text_that_does_not_read_back() {
    let wrong = changed(|func| {
        func.dfg.alias_regions.insert(AliasRegionData {
            user_id: 1,
            description: "a \"quoted\" word".into(),
        });
    });
    let broken = properties::reads_back(&program(), &wrong).unwrap_err();
    assert_eq!(broken.property(), Property::Text);
    assert!(broken.to_string().contains("quotation mark"), "{broken}");
}

#[test]
fn a_policy_that_looks_at_the_threads() {
    let policy = |_: &CallSite<'_>| match rayon::current_num_threads() {
        1 => Decision::inline("one thread"),
        _ => Decision::keep("many threads"),
    };
    let result = properties::deterministic(&program(), &Inliner::new(policy));
    assert_broken(result, Property::Deterministic, "5 threads");
}

#[test]
fn a_policy_that_remembers() {
    let mut asked = 0;
    let policy = from_fn_mut(move |_: &CallSite<'_>| {
        asked += 1;
        match asked {
            1..=4 => Decision::inline("among the first"),
            _ => Decision::keep("late"),
        }
    });
    let broken = properties::deterministic(&program(), &Inliner::new(policy)).unwrap_err();
    assert_eq!(broken.property(), Property::Deterministic);
}

#[test]
fn a_result_that_no_order_of_splices_gives() {
    for seed in 0..4 {
        let wrong = changed(change_an_operand);
        let result = properties::any_order(&program(), &wrong, &always(), seeded(seed));
        assert_broken(result, Property::Orders, "imul");
        let wrong = changed(|func| {
            let slot = func.sized_stack_slots.keys().next().unwrap();
            let slot = func.sized_stack_slots[slot].clone();
            func.create_sized_stack_slot(slot);
        });
        let result = properties::any_order(&program(), &wrong, &always(), seeded(seed));
        assert_broken(result, Property::Orders, "unused slots");
    }
}

#[test]
fn growth_beyond_a_limit() {
    let inlined = always().run(&program()).unwrap();
    let within = |limits: &Limits| properties::within_limits(&program(), &inlined, limits);
    within(&Limits::default()).unwrap();
    let mut limits = Limits::default();
    limits.depth = 1;
    assert_broken(within(&limits), Property::Limits, "2 deep instead of 1");
    let mut limits = Limits::default();
    limits.function_growth_floor = 0;
    limits.function_growth = 3.0;
    let broken = within(&limits).unwrap_err();
    let words = "%twice: 2 instructions grew by 7 instead of 6";
    assert!(broken.to_string().contains(words), "{broken}");
    let mut limits = Limits::default();
    limits.function_insts = 20;
    assert_broken(within(&limits), Property::Limits, "instructions of 20");
    let mut limits = Limits::default();
    limits.program_growth_floor = 5;
    limits.program_growth = 0.0;
    let broken = within(&limits).unwrap_err();
    assert!(broken.to_string().contains("instead of 5"), "{broken}");
}

#[test]
fn a_body_that_grew_more_than_the_report_says() {
    let wrong = changed(|func| {
        let end = insts(func, Opcode::Return)[0];
        let mut cursor = FuncCursor::new(func).at_inst(end);
        for _ in 0..50 {
            cursor.ins().nop();
        }
    });
    let result = properties::within_limits(&program(), &wrong, &Limits::default());
    assert_broken(result, Property::Limits, "came to");
}

/// The optimizer may make a body larger, but not by any number of instructions.
#[test]
fn a_body_that_grew_more_than_the_optimizer_may_add() {
    let text = "
    function %next(i64) -> i8, i64 system_v {
    block0(v0: i64):
        brif v0, block1, block2
    block1:
        v1 = iconst.i8 1
        v2 = iadd v0, v0
        return v1, v2
    block2:
        v3 = iconst.i8 0
        return v3, v0
    }
    function %main(i64) -> i64 system_v {
        fn0 = %next(i64) -> i8, i64 system_v
    block0(v0: i64):
        v1, v2 = call fn0(v0)
        brif v1, block1, block2
    block1:
        return v2
    block2:
        v3 = iconst.i64 5
        return v3
    }";
    let program = Program::from_clif(text, "decided.clif").unwrap();
    let grown = |nops: usize| {
        let wrong = changed_in(&program, |func| {
            let end = insts(func, Opcode::Return)[0];
            let mut cursor = FuncCursor::new(func).at_inst(end);
            for _ in 0..nops {
                cursor.ins().nop();
            }
        });
        let main = program.id(&"main".parse().unwrap()).unwrap();
        assert_eq!(wrong.stats(main).cleanup.branches_decided, 2);
        properties::within_limits(&program, &wrong, &Limits::default())
    };
    grown(0).unwrap();
    assert_broken(grown(100), Property::Limits, "may be new");
}

/// A slot is cut wherever an access begins or ends, and an access of several pieces is composed of
/// them, or cut into them.
#[test]
fn a_slot_with_accesses_that_overlap_is_within_the_limits() {
    let text = "
    function %main(i64) -> i16 system_v {
        ss0 = explicit_slot 16
    block0(v0: i64):
        v1 = stack_addr.i64 ss0
        store notrap v0, v1
        store notrap v0, v1+8
        v2 = load.i16 notrap v1+7
        return v2
    }";
    let program = Program::from_clif(text, "overlap.clif").unwrap();
    let mut options = OptimizeOptions::default();
    options.endianness = Some(Endianness::Little);
    options.drop_insts = false;
    let inliner = always().optimize(Optimize::All).optimize_options(options);
    let inlined = inliner.run(&program).unwrap();
    let main = program.id(&"main".parse().unwrap()).unwrap();
    assert_eq!(inlined.stats(main).cleanup.slots_promoted, 1);
    properties::within_limits(&program, &inlined, &Limits::default()).unwrap();
    let wrong = inlined.with_bodies(|_, body| {
        let mut body = (**body).clone();
        let end = insts(&body, Opcode::Return)[0];
        let mut cursor = FuncCursor::new(&mut body).at_inst(end);
        for _ in 0..300 {
            cursor.ins().nop();
        }
        Arc::new(body)
    });
    let result = properties::within_limits(&program, &wrong.unwrap(), &Limits::default());
    assert_broken(result, Property::Limits, "may be new");
}

#[test]
fn an_engine_that_changes_a_refused_call() {
    let options = SpliceOptions::default();
    let result = properties::refusals_change_nothing(&program(), |caller, call, callee| {
        let result = splice(caller, call, callee, &options);
        if result.is_err() {
            caller.set_srcloc(call, SourceLoc::new(77));
        }
        result
    });
    let broken = result.unwrap_err();
    assert_eq!(broken.property(), Property::Refusals);
    assert!(broken.to_string().contains("refused"), "{broken}");
}

#[test]
fn a_valid_callee_that_is_refused_as_malformed() {
    let text = |result: &str| {
        format!(
            "function %callee(i64) -> i64 system_v {{
             block0(v0: i64):
                 v1 = iconst.i64 1
                 v2 = {result} v0, v1
                 return v2
             }}
             function %main(i64) -> i64 system_v {{
                 fn0 = %callee(i64) -> i64 system_v
             block0(v0: i64):
                 v1 = call fn0(v0)
                 return v1
             }}"
        )
    };
    let valid = Program::from_clif(&text("iadd"), "valid").unwrap();
    // It returns an i8.
    let malformed = Program::from_clif(&text("icmp eq"), "malformed").unwrap();
    let inlined = Inliner::new(Always).run(&malformed).unwrap();
    properties::valid_functions_are_taken(&malformed, &inlined).unwrap();
    let result = properties::valid_functions_are_taken(&valid, &inlined);
    assert_broken(result, Property::Malformed, "does not return");
}
