//! Closures and objects of generated programs: the calls through them, and the calls that the
//! optimizer makes of them.

use crate::generated::cases;
use crate::optimized::{level, options};
use arbitrary::Unstructured;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode};
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::cleanup::CleanupStats;
use cranelift_inliner::decide::{Always, CostModel, Limits, Never, Small};
use cranelift_inliner::frames::CountedFrames;
use cranelift_inliner::pass::{Inliner, Optimize, Reason, SiteRecord};
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::decisions::decisions;
use cranelift_inliner_testing::generate::{Feature, Generated, Shape, programs};
use cranelift_inliner_testing::properties;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Returns programs with little else.
fn closures() -> Shape {
    let features = [
        Feature::MethodTables,
        Feature::Exceptions,
        Feature::TailCalls,
        Feature::IndirectCalls,
        Feature::Promises,
    ];
    let shape = Shape::new().plain().functions(1..=2).statements(20);
    let shape = shape
        .requiring(Feature::Memory)
        .requiring(Feature::Closures);
    features.into_iter().fold(shape, Shape::with)
}

/// Returns the number of instructions of each kind.
fn opcodes(program: &Program) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, function) in program.iter() {
        let body = function.body();
        let insts = body.layout.blocks();
        for inst in insts.flat_map(|block| body.layout.block_insts(block)) {
            let opcode = body.dfg.insts[inst].opcode();
            let mut count = |name: String| *counts.entry(name).or_insert(0) += 1;
            if opcode.is_call() && is_through_memory(body, inst) {
                count(format!("{opcode}, loaded"));
            }
            count(opcode.to_string());
        }
    }
    counts
}

/// Returns whether a call's target comes from memory.
fn is_through_memory(body: &Function, call: Inst) -> bool {
    let callee = match body.dfg.insts[call] {
        InstructionData::CallIndirect { .. } | InstructionData::TryCallIndirect { .. } => {
            body.dfg.inst_args(call).first().copied()
        }
        _ => None,
    };
    let callee = callee.map(|callee| body.dfg.resolve_aliases(callee));
    let definition = callee.and_then(|callee| body.dfg.value_def(callee).inst());
    definition.is_some_and(|inst| body.dfg.insts[inst].opcode() == Opcode::Load)
}

/// Returns bytes that differ in each of their parts from one seed to the next.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..700).map(next).collect()
}

/// Some of the calls through slots and tables become direct, at once or behind a test, and others
/// stay: among them those of another signature than their function's.
#[test]
fn calls_through_closures_are_resolved_guarded_and_kept() {
    let mut before = BTreeMap::<String, usize>::new();
    let mut after = BTreeMap::<String, usize>::new();
    let mut done = CleanupStats::default();
    let (mut with_tables, mut resolved_sites, mut mismatched) = (0, 0, 0);
    for seed in 0..400 {
        let shape = closures();
        let generated = shape.generate(&mut Unstructured::new(&bytes(seed)));
        let program = generated.unwrap().program;
        with_tables += usize::from(program.tables().len() > 0);
        let inlined = Inliner::new(CostModel::default()).optimize(Optimize::All);
        let inlined = inlined.run(&program).unwrap();
        for id in program.ids() {
            done += inlined.stats(id).cleanup;
            let sites = inlined.sites_of(id).iter();
            let was_resolved = |site: &&SiteRecord| site.is_resolved() && site.inlined;
            resolved_sites += sites.filter(was_resolved).count();
        }
        mismatched += inlined
            .sites()
            .filter(|site| site.reason == Reason::OtherSignature)
            .count();
        for (counts, program) in [(&mut before, &program), (&mut after, inlined.program())] {
            for (opcode, count) in opcodes(program) {
                *counts.entry(opcode).or_insert(0) += count;
            }
        }
    }
    // A guard that is not decided keeps the indirect call beside the direct one.
    let undecided = done.calls_guarded - done.guards_decided;
    let report = format!(
        "{with_tables} with tables, {resolved_sites} resolved and inlined, {mismatched} of another \
         signature\n{done:?}\nbefore {before:?}\nafter {after:?}"
    );
    println!("{report}");
    for (opcode, least) in [
        ("call_indirect, loaded", 600),
        ("try_call_indirect, loaded", 10),
        ("return_call_indirect, loaded", 5),
        ("symbol_value", 50),
    ] {
        assert!(before.get(opcode).is_some_and(|&n| n > least), "{report}");
    }
    for opcode in ["call_indirect, loaded", "symbol_value"] {
        assert!(after.get(opcode).is_some_and(|&n| n > 50), "{report}");
    }
    assert!(with_tables > 40 && resolved_sites > 200, "{report}");
    assert!(done.calls_resolved > 200, "{report}");
    assert!(done.calls_guarded > 200, "{report}");
    assert!(done.guards_decided > 100 && undecided > 50, "{report}");
    assert!(done.table_loads_replaced > 5, "{report}");
    assert!(mismatched > 5, "{report}");
}

/// Returns the pass with one of the policies.
fn inliner(which: usize) -> Inliner<'static> {
    match which {
        0 => Inliner::new(Always),
        1 => Inliner::new(CostModel::default()),
        2 => Inliner::new(Small::default()),
        _ => Inliner::new(Never),
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn optimized_closures_behave(
        generated in programs(closures()),
        options in options(),
        level in level(),
        which in 0..4_usize,
    ) {
        let Generated { program, invocations } = &generated;
        let inliner = inliner(which).optimize(level).optimize_options(options);
        let inlined = inliner.run(program)?;
        properties::compiles(program, &inlined)?;
        properties::behaves(program, &inlined, invocations)?;
        properties::reads_back(program, &inlined)?;
        properties::deterministic(program, &inliner)?;
        if let Err(error) = inliner.check(true).run(program) {
            prop_assert!(error.is_undecided(), "{error}");
        }
    }

    #[test]
    fn optimized_closures_behave_under_arbitrary_decisions(
        generated in programs(closures().with(Feature::Tags).with(Feature::Debugging)),
        options in options(),
        decisions in decisions(),
    ) {
        let Generated { program, invocations } = &generated;
        let inliner = Inliner::new(decisions).optimize(Optimize::All).optimize_options(options);
        let inlined = inliner.run(program)?;
        properties::behaves(program, &inlined, invocations)?;
        properties::same_frames(program, &inlined, invocations, &CountedFrames)?;
        properties::within_limits(program, &inlined, &Limits::default())?;
    }

    #[test]
    fn closures_keep_every_property(generated in programs(closures()), which in 0..4_usize) {
        properties::all(&generated.program, &generated.invocations, &inliner(which))?;
    }

    #[test]
    fn closures_in_shards_behave(
        generated in programs(closures()),
        places in any::<u64>(),
        which in 0..4_usize,
    ) {
        let Generated { program, invocations } = &generated;
        let place = |index: usize| (places >> (4 * (index % 16))) as usize;
        let (shard_of, is_local) = (|index| place(index) % 4, |index| place(index) & 8 != 0);
        let shards = properties::split(program, invocations, shard_of, is_local);
        let level = OptLevel::Speed;
        properties::in_shards(program, &shards, invocations, &inliner(which), level)?;
    }
}
