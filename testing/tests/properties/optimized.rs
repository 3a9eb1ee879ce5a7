//! Optimized programs behave as before, for every set of transforms and of functions.

use crate::generated::cases;
use cranelift_codegen::ir::Endianness;
use cranelift_inliner::cleanup::OptimizeOptions;
use cranelift_inliner::decide::{Always, CostModel, Never};
use cranelift_inliner::frames::CountedFrames;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner_testing::decisions::decisions;
use cranelift_inliner_testing::execute::interpret_in_order;
use cranelift_inliner_testing::generate::{CallGraph, Feature, Generated, Shape, programs};
use cranelift_inliner_testing::properties::{self, seeded};
use proptest::prelude::*;

/// Returns some of the transforms; the generated function that copies bytes is one that is known
/// to.
pub(crate) fn options() -> impl Strategy<Value = OptimizeOptions> {
    let switches = prop_oneof![4 => Just([true; 9]), 1 => any::<[bool; 9]>()];
    (switches, any::<bool>(), any::<bool>()).prop_map(|(on, knows_order, knows_copies)| {
        let mut options = OptimizeOptions::default();
        [
            options.promote_slots,
            options.drop_stores,
            options.drop_params,
            options.drop_insts,
            options.thread_branches,
            options.resolve_targets,
            options.drop_handlers,
            options.guard_calls,
            options.simplify_comparisons,
        ] = on;
        if knows_order && cfg!(target_endian = "little") {
            options.endianness = Some(Endianness::Little);
        }
        if knows_copies {
            let copy = "copy_bytes".parse();
            options.memory_functions.copy.extend(copy);
        }
        options
    })
}

pub(crate) fn level() -> impl Strategy<Value = Optimize> {
    prop_oneof![Just(Optimize::All), Just(Optimize::Inlined)]
}

fn aggregates() -> Shape {
    let plain = [
        Feature::Conventions,
        Feature::TailCalls,
        Feature::Tags,
        Feature::StackMaps,
    ];
    let shape = Shape::new().functions(1..=3).with(Feature::Aggregates);
    plain.into_iter().fold(shape, Shape::without)
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn optimized_programs_behave(
        generated in programs(Shape::new()),
        options in options(),
        level in level(),
        decisions in decisions(),
    ) {
        let Generated { program, invocations } = &generated;
        let inliner = Inliner::new(decisions).optimize(level).optimize_options(options);
        let inlined = inliner.run(program)?;
        properties::compiles(program, &inlined)?;
        properties::behaves(program, &inlined, invocations)?;
        properties::same_frames(program, &inlined, invocations, &CountedFrames)?;
        properties::reads_back(program, &inlined)?;
        properties::deterministic(program, &inliner)?;
    }

    #[test]
    fn optimized_aggregates_behave(
        generated in programs(aggregates()),
        options in options(),
        which in 0..3,
    ) {
        let Generated { program, invocations } = &generated;
        let inliner = match which {
            0 => Inliner::new(Always),
            1 => Inliner::new(CostModel::default()),
            _ => Inliner::new(Never),
        };
        let inliner = inliner.optimize(Optimize::All).optimize_options(options);
        let inlined = inliner.run(program)?;
        properties::behaves(program, &inlined, invocations)?;
    }

    /// No machine is needed for the other byte order. The interpreter's vectors in it are not those
    /// of machines.
    #[test]
    fn optimized_aggregates_behave_in_both_byte_orders(
        generated in prop_oneof![
            programs(aggregates().without(Feature::Vectors)),
            programs(aggregates().without(Feature::Vectors).with(Feature::ByteOrders)),
        ],
        options in options(),
        is_big in any::<bool>(),
    ) {
        let Generated { program, invocations } = &generated;
        let order = if is_big { Endianness::Big } else { Endianness::Little };
        let mut options = options;
        options.endianness = options.endianness.map(|_| order);
        let inliner = Inliner::new(Always).optimize(Optimize::All).optimize_options(options);
        let inlined = inliner.run(program)?;
        for invocation in invocations {
            let run = |program| interpret_in_order(program, invocation, 1_000_000, order);
            if let Ok(before) = run(program) {
                prop_assert_eq!(before, run(inlined.program())?);
            }
        }
        if let Err(error) = inliner.check(true).run(program) {
            prop_assert!(error.is_undecided(), "{error}");
        }
    }

    #[test]
    fn optimized_chains_and_recursion_behave(
        chain in programs(Shape::new().functions(2..=6).call_graph(CallGraph::Chain)),
        recursive in programs(Shape::new().functions(2..=4).call_graph(CallGraph::Recursive)),
        options in options(),
    ) {
        for generated in [chain, recursive] {
            let Generated { program, invocations } = &generated;
            let inliner = Inliner::new(Always).optimize(Optimize::All);
            let inlined = inliner.optimize_options(options.clone()).run(program)?;
            properties::behaves(program, &inlined, invocations)?;
            properties::same_frames(program, &inlined, invocations, &CountedFrames)?;
        }
    }

    #[test]
    fn optimized_functions_do_not_depend_on_the_order_of_splices(
        generated in programs(Shape::new()),
        options in options(),
        seed in any::<u64>(),
    ) {
        let inliner = Inliner::new(Always).optimize_options(options);
        let inlined = inliner.run(&generated.program)?;
        properties::any_order(&generated.program, &inlined, &inliner, seeded(seed))?;
    }
}
