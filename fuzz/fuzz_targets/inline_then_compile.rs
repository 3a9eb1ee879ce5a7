//! Generated programs, inlined and compiled for all four architectures.
//!
//! The checker proves each step of the pass, and the result verifies, compiles and reads back.

#![no_main]

mod case;

use case::Case;
use cranelift_inliner_testing::properties;
use cranelift_inliner_testing::targets::Architecture;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(
    init: case::use_one_thread(),
    |bytes: &[u8]| -> Corpus {
        let Ok(case) = Case::from_bytes(bytes) else {
            return Corpus::Reject;
        };
        let program = &case.generated.program;
        let inlined = match case.inliner().check(true).run(program) {
            // Not a finding, but counted in the log.
            Err(error) if error.is_undecided() => {
                eprintln!("undecided: {error}");
                case.expect(case.inliner().run(program))
            }
            result => case.expect(result),
        };
        for architecture in Architecture::ALL {
            let isa = architecture.isa(case.level).expect("it is built in");
            case.expect(properties::compiles_for(program, &inlined, &**isa));
        }
        case.expect(properties::reads_back(program, &inlined));
        Corpus::Keep
    }
);
