//! Generated programs behave the same before inlining and after.
//!
//! The target compares the program in the interpreter, natively, and natively after inlining:
//! results, traps, exceptions and calls of the host.

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
        // The engine that executes programs does not restore registers before it continues in a
        // handler.
        let inliner = case.inliner().splice_options(SpliceOptions::default());
        let inlined = case.expect(inliner.run(program));
        let invocations = &case.generated.invocations;
        case.expect(properties::behaves_at(program, &inlined, invocations, case.level));
        Corpus::Keep
    }
);
