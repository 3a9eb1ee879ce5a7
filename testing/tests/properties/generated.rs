//! The properties hold of generated programs, under arbitrary decisions and under the policies.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{ExternalName, Function, GlobalValueData, InstBuilder, Opcode, types};
use cranelift_entity::EntityRef;
use cranelift_inliner::decide::{Always, CostModel, Inline, Limits, Small};
use cranelift_inliner::frames::CountedFrames;
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::profile::Instrumented;
use cranelift_inliner::program::{FunctionId, FunctionName, Program, ProgramFunction};
use cranelift_inliner::splice::MemoryPromises;
use cranelift_inliner_testing::decisions::decisions;
use cranelift_inliner_testing::generate::{CallGraph, Feature, Generated, Shape, programs};
use cranelift_inliner_testing::properties::{self, seeded};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseResult};
use std::sync::Arc;

/// Returns how many programs each test makes, unless `PROPTEST_CASES` asks for another number.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let by_default = ProptestConfig::default();
    ProptestConfig {
        cases: match std::env::var_os("PROPTEST_CASES") {
            Some(_) => by_default.cases,
            None => cases,
        },
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        // Shrinking runs a case many times.
        max_shrink_iters: 2_000,
        ..by_default
    }
}

fn check_all(generated: &Generated, policy: &dyn Inline) -> TestCaseResult {
    properties::all(
        &generated.program,
        &generated.invocations,
        &Inliner::new(policy),
    )?;
    Ok(())
}

/// Programs that switch stacks, which x64 alone compiles.
fn switching() -> Shape {
    Shape::new().with(Feature::StackSwitches)
}

/// Returns programs that take the addresses of exception handlers.
fn with_handler_addresses() -> Shape {
    let shape = Shape::new().with(Feature::HandlerAddresses);
    shape.with(Feature::Exceptions)
}

/// Returns functions that access memory of their callers. Structures are passed by value where
/// backends of the machine take them.
fn promising() -> Shape {
    by_value().with(Feature::Promises)
}

fn by_value() -> Shape {
    let shape = Shape::new().functions(2..=4).statements(60).plain();
    let shape = shape.with(Feature::Memory);
    match cfg!(target_arch = "x86_64") {
        true => shape.with(Feature::Structures),
        false => shape,
    }
}

/// Returns `program` with a thread-local that those functions read whose bit is set in `readers`.
fn with_thread_locals(program: &Program, readers: u8) -> Program {
    let with_read = |function: &Function| {
        let mut body = function.clone();
        let address = body.create_global_value(GlobalValueData::Symbol {
            name: ExternalName::testcase("thread_local"),
            offset: 0.into(),
            colocated: false,
            tls: true,
        });
        if let Some(entry) = body.layout.entry_block() {
            let mut cursor = FuncCursor::new(&mut body).at_first_insertion_point(entry);
            cursor.ins().tls_value(types::I64, address);
        }
        Arc::new(body)
    };
    let bodies = |id: FunctionId, function: &ProgramFunction| {
        let reads = readers >> (id.index() % 8) & 1 == 1;
        Some(match reads {
            true => with_read(function.body()),
            false => Arc::clone(function.body()),
        })
    };
    program.with_bodies(bodies).unwrap()
}

fn reads_of_thread_locals(func: &Function) -> usize {
    let insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    insts
        .filter(|&inst| func.dfg.insts[inst].opcode() == Opcode::TlsValue)
        .count()
}

/// Accesses of memory with a flag or region that Cranelift may move or merge them by.
fn promising_accesses(func: &Function) -> usize {
    let insts = func
        .layout
        .blocks()
        .flat_map(|block| func.layout.block_insts(block));
    let flags = insts.filter_map(|inst| func.dfg.insts[inst].memflags());
    let flags = flags.map(|flags| func.dfg.mem_flags[flags]);
    flags
        .filter(|flags| flags.readonly() || flags.can_move() || flags.alias_region().is_some())
        .count()
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn under_arbitrary_decisions(generated in programs(Shape::new()), decisions in decisions()) {
        check_all(&generated, &decisions)?;
    }

    #[test]
    fn under_the_policies(generated in programs(Shape::new())) {
        check_all(&generated, &Always)?;
        check_all(&generated, &Small::default())?;
        check_all(&generated, &CostModel::default())?;
    }
}

proptest! {
    #![proptest_config(cases(32))]

    /// Promises of functions about memory are true of their own activations, and of no more.
    #[test]
    fn promises_of_one_activation(generated in programs(promising()), clean_up in any::<bool>()) {
        let Generated { program, invocations } = &generated;
        let optimized = Inliner::new(Always).clean_up(clean_up).run(program)?;
        properties::behaves(program, &optimized, invocations)?;
        let inliner = Inliner::new(Always).clean_up(clean_up).optimize(Optimize::None);
        let inlined = inliner.run(program)?;
        properties::behaves(program, &inlined, invocations)?;
        properties::accounted_for(program, &inlined)?;
        properties::any_order(program, &inlined, &inliner, seeded(7))?;
    }

    /// Regions have one meaning in all functions here, and structures are copied beside them.
    #[test]
    fn promises_of_the_whole_program(generated in programs(by_value()), clean_up in any::<bool>()) {
        let Generated { program, invocations } = &generated;
        let inliner = Inliner::new(Always).memory_promises(MemoryPromises::WholeProgram);
        let inliner = inliner.clean_up(clean_up).optimize(Optimize::None);
        let inlined = inliner.run(program)?;
        properties::behaves(program, &inlined, invocations)?;
        properties::accounted_for(program, &inlined)?;
    }

    /// Much is inlined into each other here.
    #[test]
    fn chains_and_recursion_behave(
        chain in programs(Shape::new().functions(2..=6).call_graph(CallGraph::Chain)),
        recursive in programs(Shape::new().functions(2..=4).call_graph(CallGraph::Recursive)),
        clean_up in any::<bool>(),
    ) {
        for generated in [chain, recursive] {
            let inliner = Inliner::new(Always).clean_up(clean_up).check(true);
            let inlined = match inliner.run(&generated.program) {
                // Of how many is counted below.
                Err(error) if error.is_undecided() => {
                    Inliner::new(Always).clean_up(clean_up).run(&generated.program)?
                }
                result => result?,
            };
            let Generated { program, invocations } = &generated;
            properties::behaves(program, &inlined, invocations)?;
            properties::same_frames(program, &inlined, invocations, &CountedFrames)?;
        }
    }

    /// Properties without compilation, which takes most of the time.
    #[test]
    fn stack_switches_are_copied_and_printed(generated in programs(switching())) {
        let inliner = Inliner::new(Always).optimize(Optimize::None).check(true);
        let inlined = inliner.run(&generated.program)?;
        properties::valid_functions_are_taken(&generated.program, &inlined)?;
        properties::accounted_for(&generated.program, &inlined)?;
        properties::reads_back(&generated.program, &inlined)?;
        properties::within_limits(&generated.program, &inlined, &Limits::default())?;
    }

    /// A call may return on another thread wherever stacks are switched.
    #[test]
    fn thread_locals_stay_where_they_are_read(
        generated in programs(switching()),
        readers in any::<u8>(),
    ) {
        let program = with_thread_locals(&generated.program, readers);
        let inliner = Inliner::new(Always).optimize(Optimize::None).refuse_thread_locals(true);
        let inlined = inliner.run(&program)?;
        for (id, function) in program.iter() {
            if let Some(after) = inlined.body(id) {
                prop_assert_eq!(reads_of_thread_locals(function.body()), reads_of_thread_locals(after));
            }
        }
    }

    /// Natively only.
    #[test]
    fn stacks_are_switched(generated in programs(switching()), decisions in decisions()) {
        check_all(&generated, &decisions)?;
        check_all(&generated, &Always)?;
    }

    /// Natively only.
    #[test]
    fn addresses_of_handlers_are_followed(
        generated in programs(with_handler_addresses()),
        decisions in decisions(),
    ) {
        check_all(&generated, &decisions)?;
        check_all(&generated, &Always)?;
    }

    #[test]
    fn any_order_of_splices_is_as_good(
        generated in programs(Shape::new()),
        decisions in decisions(),
        seed in any::<u64>(),
        clean_up in any::<bool>(),
        with_table in any::<bool>(),
    ) {
        let mode = if with_table { LocationMode::InlinedAt } else { LocationMode::Keep };
        let inliner = Inliner::new(decisions).clean_up(clean_up).locations(mode);
        let inliner = inliner.optimize(Optimize::None);
        let inlined = inliner.run(&generated.program)?;
        properties::any_order(&generated.program, &inlined, &inliner, seeded(seed))?;
        properties::accounted_for(&generated.program, &inlined)?;
    }

    /// A counter changes while the function is executed, so it is neither read-only nor movable,
    /// and the caller's alias regions do not name it.
    #[test]
    fn counters_promise_nothing(generated in programs(promising())) {
        let program = &generated.program;
        let instrumented = Instrumented::new(program, &FunctionName::user(9, 9))?;
        for (id, function) in instrumented.program().iter() {
            let before = program.get(id).map(|function| promising_accesses(function.body()));
            prop_assert_eq!(before, Some(promising_accesses(function.body())));
        }
        let inliner = Inliner::new(Always).check(true).optimize(Optimize::None);
        let inlined = inliner.run(instrumented.program())?;
        properties::accounted_for(instrumented.program(), &inlined)?;
    }

    #[test]
    fn tight_limits_are_kept(
        generated in programs(Shape::new()),
        decisions in decisions(),
        insts in 0_usize..200,
        growth in 0_usize..100,
        depth in 0_u32..4,
    ) {
        let mut limits = Limits::default();
        limits.function_insts = insts;
        limits.function_growth = 0.5;
        limits.function_growth_floor = growth;
        limits.program_growth = 0.5;
        limits.program_growth_floor = growth * 2;
        limits.depth = depth;
        let inliner = Inliner::new(decisions).limits(limits);
        let inlined = inliner.run(&generated.program)?;
        properties::within_limits(&generated.program, &inlined, &limits)?;
    }
}

/// The checker has an answer for nearly everything.
#[test]
fn hardly_anything_is_left_unproved() {
    let (mut functions, mut unproved) = (0, 0);
    for seed in 0..400_u64 {
        let bytes: Vec<u8> = (0..600_u64)
            .map(|index| {
                (seed * 600 + index)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .to_le_bytes()[6]
            })
            .collect();
        let mut bytes = arbitrary::Unstructured::new(&bytes);
        let generated = Shape::new().generate(&mut bytes).unwrap();
        let inliner = Inliner::new(Always).optimize(Optimize::None);
        let inlined = inliner.run(&generated.program).unwrap();
        functions += generated.program.len();
        unproved += properties::unproved(&generated.program, &inlined)
            .unwrap()
            .len();
    }
    assert!(functions > 400, "{functions}");
    assert!(unproved * 500 <= functions, "{unproved} of {functions}");
}
