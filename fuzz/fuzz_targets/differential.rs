//! Generated programs do the same before inlining and after.
//!
//! What the interpreter makes of the program, what it does natively, and what it does natively
//! after inlining are compared: results, traps, exceptions and calls of the host.

#![no_main]

mod case;

use case::Case;
use cranelift_inliner::splice::SpliceOptions;
use cranelift_inliner_testing::properties;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(
    init: case::use_one_thread(),
    |bytes: &[u8]| -> Corpus {
        let Ok(case) = Case::from_bytes(bytes) else {
            return Corpus::Reject;
        };
        let program = &case.generated.program;
        // The engine that executes programs restores no registers before it goes on in a handler.
        let inliner = case.inliner().splice_options(SpliceOptions::default());
        let inlined = case.expect(inliner.run(program));
        let invocations = &case.generated.invocations;
        case.expect(properties::behaves_at(program, &inlined, invocations, case.level));
        Corpus::Keep
    }
);
