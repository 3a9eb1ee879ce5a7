//! Generated programs, split into shards at random, behave like the whole.
//!
//! The target also reads the bytes as a summary, as functions and as a plan.

#![no_main]

mod case;

use case::Case;
use cranelift_inliner::shard::{ShardFunctions, ShardPlan, ShardSummary, thin};
use cranelift_inliner_testing::properties::{in_shards, split};
use libfuzzer_sys::{Corpus, fuzz_target};
use std::io::Cursor;

fuzz_target!(
    init: case::use_one_thread(),
    |bytes: &[u8]| -> Corpus {
        let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>().map(|(a, b)| (a, b)) else {
            return Corpus::Reject;
        };
        if first == 0xff {
            read(rest);
            return Corpus::Keep;
        }
        let Ok(case) = Case::from_bytes(rest) else {
            return Corpus::Reject;
        };
        let program = &case.generated.program;
        let invocations = &case.generated.invocations;
        // A place for each function, from two bytes.
        let place = |index: usize| {
            let bits = u64::from(first) << 8 | u64::from(second);
            let mixed = (bits + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (index as u64) << 17);
            (mixed >> 40) as usize
        };
        let shards = split(program, invocations, |index| place(index) % 4, |index| {
            place(index) & 64 != 0
        });
        let inliner = case.inliner().splice_options(Default::default());
        case.expect(in_shards(program, &shards, invocations, &inliner, case.level));
        Corpus::Keep
    }
);

/// Reads any bytes without a panic, and uses the result.
fn read(bytes: &[u8]) {
    if let Ok(summary) = ShardSummary::from_bytes(bytes) {
        let _ = summary.to_string();
        let inliner = cranelift_inliner::pass::Inliner::new(cranelift_inliner::decide::Always);
        let _ = thin(&[summary], None, &inliner);
    }
    if let Ok(functions) = ShardFunctions::read(&mut Cursor::new(bytes)) {
        let _ = functions.program().to_clif();
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(plan) = text.parse::<ShardPlan>()
    {
        let again = plan.to_string().parse::<ShardPlan>();
        assert_eq!(again.as_ref(), Ok(&plan));
    }
}
