//! Generated programs, inlined at once, and call by call in an order from the input.

#![no_main]

mod case;

use case::Case;
use cranelift_inliner_testing::properties;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(
    init: case::use_one_thread(),
    |bytes: &[u8]| -> Corpus {
        let Ok(case) = Case::from_bytes(bytes) else {
            return Corpus::Reject;
        };
        let program = &case.generated.program;
        let inliner = case.inliner();
        let mut orders = bytes.iter().rev().map(|&byte| usize::from(byte)).cycle();
        let choose = |_: usize| orders.next().unwrap_or_default();
        let inlined = case.expect(inliner.run(program));
        case.expect(properties::any_order(program, &inlined, &inliner, choose));
        case.expect(properties::within_limits(program, &inlined, &case::limits()));
        Corpus::Keep
    }
);
