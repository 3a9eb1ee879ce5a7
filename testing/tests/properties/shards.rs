//! Programs in shards do the same as the whole.

use super::generated::cases;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::decide::{Always, CostModel, Inline, Small};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner_testing::generate::{Generated, Shape, programs};
use cranelift_inliner_testing::properties::{in_shards, split};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

fn check(generated: &Generated, places: &[u8], policy: &dyn Inline) -> TestCaseResult {
    let place = |index: usize| {
        places
            .get(index % places.len().max(1))
            .copied()
            .unwrap_or(0)
    };
    let shards = split(
        &generated.program,
        &generated.invocations,
        |index| usize::from(place(index) % 4),
        |index| place(index) & 64 != 0,
    );
    let inliner = Inliner::new(policy);
    let (program, invocations) = (&generated.program, &generated.invocations);
    in_shards(program, &shards, invocations, &inliner, OptLevel::Speed)?;
    Ok(())
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn shards_behave_like_the_whole_under_the_default_policy(
        generated in programs(Shape::new().functions(3..=9)),
        places in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        check(&generated, &places, &CostModel::default())?;
    }

    #[test]
    fn shards_behave_like_the_whole_where_all_is_inlined(
        generated in programs(Shape::new().functions(3..=9)),
        places in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        check(&generated, &places, &Always)?;
    }

    #[test]
    fn shards_behave_like_the_whole_where_little_is_inlined(
        generated in programs(Shape::new().functions(3..=9)),
        places in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        check(&generated, &places, &Small::new(8, 100))?;
    }
}
