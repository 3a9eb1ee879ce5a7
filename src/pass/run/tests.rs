use super::*;
use crate::decide::Always;
use crate::locations::LocationMode;
use crate::pass::Optimize;
use crate::pass::error::Step;
use crate::pass::stages::Made;
use crate::splice::SpliceOptions;
use cranelift_codegen::ir::{Inst, InstructionData, Opcode, SourceLoc};

const TEXT: &str = "
    function %leaf(i64) -> i64 fast {
        ss0 = explicit_slot 8
    block0(v0: i64):
        v1 = stack_addr.i64 ss0
        store v0, v1
        v2 = load.i64 v1
        return v2
    }
    function %main(i64) -> i64 fast {
        fn0 = colocated %leaf(i64) -> i64 fast
    block0(v0: i64):
        v1 = call fn0(v0)
        v2 = call fn0(v1)
@0007   v3 = isub v1, v2
        return v3
    }";

/// Returns whether a run accepts `change` of the result for `%main`, which it accepts unchanged. If
/// not, the run fails with an error of the check.
fn takes(inliner: &Inliner<'_>, change: impl FnOnce(&mut Function)) -> bool {
    let program = Program::from_clif(TEXT, "test").unwrap();
    let main = program.id(&"main".parse().unwrap()).unwrap();
    let graph = CallGraph::new(&program);
    let unwanted = Unwanted::new(inliner, &program, &graph, false);
    let state = prepare(inliner, &program, graph, unwanted, false);
    let clock = Clock::default();
    let run = Run::new(inliner, &state, &clock, None, None);
    for members in state.graph.bottom_up() {
        for &id in members {
            let done = run.scratch.with(|scratch| run.function(id, scratch));
            assert!(state.finals[id].set(done).is_ok());
        }
    }
    let done = state.finals[main].get().unwrap();
    assert_eq!(done.inlined, 2);
    assert!(run.errors.lock().unwrap().is_empty());

    let body = Arc::clone(&done.held().unwrap().body);
    let mut changed = Function::clone(&body);
    change(&mut changed);
    assert!(changed != *body);
    let made = Made {
        before: program[main].body(),
        records: &done.records,
        first: 0,
    };
    let is_sound = run.is_sound(main, &changed, &made, Step::Cleanup);
    let errors = run.errors.into_inner().unwrap();
    match &errors[..] {
        [] => assert!(is_sound),
        [(id, PassError::Check { step, .. })] => {
            assert!(!is_sound && *id == main && *step == Step::Cleanup);
        }
        other => panic!("{other:?}"),
    }
    is_sound
}

fn subtraction(func: &Function) -> Inst {
    let mut insts = func
        .layout
        .blocks()
        .flat_map(|b| func.layout.block_insts(b));
    let subtracts = |&inst: &Inst| func.dfg.insts[inst].opcode() == Opcode::Isub;
    insts.find(subtracts).unwrap()
}

fn swap(func: &mut Function) {
    let inst = subtraction(func);
    match &mut func.dfg.insts[inst] {
        InstructionData::Binary { args, .. } => args.reverse(),
        other => panic!("{other:?}"),
    }
}

fn relocate(func: &mut Function) {
    let inst = subtraction(func);
    func.set_srcloc(inst, SourceLoc::new(8));
}

#[test]
fn a_run_that_checks_fails_where_the_result_is_wrong() {
    let checking = || Inliner::new(Always).optimize(Optimize::None).check(true);
    assert!(!takes(&checking(), swap));
    assert!(takes(&Inliner::new(Always), swap), "not asked for");
}

#[test]
fn locations_are_compared_where_they_are_kept() {
    let checking = || Inliner::new(Always).optimize(Optimize::None).check(true);
    assert!(!takes(&checking(), relocate));
    let with_table = checking().locations(LocationMode::InlinedAt);
    assert!(takes(&with_table, relocate));
}

#[test]
fn slots_that_are_shared_are_found_where_none_may_be() {
    let share = |func: &mut Function| {
        let mut slots = func.sized_stack_slots.keys();
        let first = slots.next().unwrap();
        let entry = func.layout.entry_block().unwrap();
        let mut current = func.layout.first_inst(entry);
        while let Some(inst) = current {
            current = func.layout.next_inst(inst);
            let data = &mut func.dfg.insts[inst];
            if let InstructionData::StackAddr { stack_slot, .. } = data {
                *stack_slot = first;
            }
        }
    };
    let options = SpliceOptions {
        share_slots: false,
        ..SpliceOptions::default()
    };
    let inliner = Inliner::new(Always)
        .optimize(Optimize::None)
        .check(true)
        .splice_options(options);
    assert!(!takes(&inliner, share));
}
