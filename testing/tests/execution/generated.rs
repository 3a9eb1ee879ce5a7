//! Generated programs: interpreter and native code agree.

use crate::support::{FUEL, engine};
use arbitrary::Unstructured;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner_testing::execute::interpret;
use cranelift_inliner_testing::generate::Shape;

/// Returns bytes that a seed stands for.
pub(crate) fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..600).map(|_| next()).collect()
}

#[test]
fn generated_programs_do_the_same_everywhere() {
    let engines = [OptLevel::None, OptLevel::Speed].map(engine);
    let mut host_calls = 0;
    for seed in 0..60 {
        let bytes = bytes(seed);
        let generated = Shape::new().generate(&mut Unstructured::new(&bytes));
        let generated = generated.unwrap();
        let natives = engines.each_ref().map(|engine| {
            let native = engine.compile(&generated.program);
            native.unwrap_or_else(|error| panic!("{error}\n{generated:?}"))
        });
        for invocation in &generated.invocations {
            let expected = interpret(&generated.program, invocation, FUEL * 10);
            let expected = expected.unwrap_or_else(|error| panic!("{error}\n{generated:?}"));
            host_calls += expected.host_calls.len();
            for native in &natives {
                assert_eq!(
                    native.call(invocation).as_ref(),
                    Ok(&expected),
                    "{generated:?}"
                );
            }
        }
    }
    assert!(host_calls > 0);
}
