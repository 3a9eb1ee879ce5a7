//! Arbitrary text through the library: read, verify, inline with the checker, write, read again.
//!
//! No step may panic. Text that Cranelift's verifier accepts must also pass the verifier and the
//! checker after inlining, and the written text must read back as itself.

#![no_main]

mod clif_mutator;

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{Always, Limits};
use cranelift_inliner::pass::{Inliner, PassError};
use cranelift_inliner::program::Program;
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use std::sync::OnceLock;

/// The longest tried text, in bytes.
const LONGEST: usize = 8 << 10;

static ISA: OnceLock<OwnedTargetIsa> = OnceLock::new();

fuzz_target!(
    init: {
        // One thread, so that libFuzzer sees the same coverage for the same input.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
        pool.build_global().expect("the first pool of the process");
        let isa = target("x64", &TargetSettings::new()).expect("a target of this build");
        assert!(ISA.set(isa).is_ok());
    },
    |data: &[u8]| -> Corpus {
        match std::str::from_utf8(data) {
            Ok(text) if text.len() <= LONGEST && is_read_fast(text) => {
                inline(text);
                Corpus::Keep
            }
            _ => Corpus::Reject,
        }
    }
);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    clif_mutator::mutate(data, size, max_size, seed)
});

/// Returns whether no entity has a number of five to seven digits.
///
/// For `gv400000` Cranelift's reader makes all global values below that, and likewise blocks,
/// values, slots, signatures and functions, which takes as long as hundreds of other inputs. The
/// library refuses larger numbers before that.
fn is_read_fast(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.into_iter().all(|word| {
        let entity = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_entity = entity.ends_with(['v', 'k', 's', 't', 'g', 'n']);
        !is_entity || !(5..=7).contains(&(word.len() - entity.len()))
    })
}

fn inline(text: &str) {
    let program = match Program::from_clif(text, "input.clif") {
        Ok(program) => program,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let isa = ISA.get().expect("set before the first input");
    let verified = program
        .verify(&**isa)
        .map_err(|error| error.to_string())
        .is_ok();
    let mut limits = Limits::default();
    limits.function_insts = 4000;
    limits.program_growth_floor = 4000;
    let mut inliner = Inliner::new(Always).limits(limits).check(true);
    if verified {
        inliner = inliner.verify_with(&**isa);
    }
    match inliner.run(&program) {
        Ok(inlined) => write_and_read(inlined.program(), verified),
        Err(error) => {
            let message = error.to_string();
            let ours = match error {
                PassError::Check { .. } | PassError::Verifier { .. } => true,
                PassError::CheckOptimized { .. } => !error.is_undecided(),
                _ => false,
            };
            assert!(!(verified && ours), "{message}");
        }
    }
}

fn write_and_read(program: &Program, verified: bool) {
    let text = match program.to_clif() {
        Ok(text) => text,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let again = match Program::from_clif(&text, "output.clif") {
        Ok(again) => again,
        Err(error) => {
            let error = error.to_string();
            assert!(!verified, "it does not read back: {error}\n{text}");
            return;
        }
    };
    let again = again.to_clif();
    assert!(
        !verified || again.is_ok_and(|again| again == text),
        "not the same text:\n{text}"
    );
}
