//! Inlining never makes a compilable program uncompilable.

use super::support::{id, isa, leaf, name, program_exporting, through};
use cranelift_inliner::backend::{
    CompileError, CompileScratch, RelocationTarget, TargetSettings, compile_function, target,
};
use cranelift_inliner::decide::{Always, Limits};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{DeclaredProgram, Inliner, Optimize};
use cranelift_inliner::program::Program;
use std::sync::Arc;

/// Returns a function with a frame of `bytes`, which calls `callee`.
pub(crate) fn with_frame(name: &str, bytes: u32, callee: &str) -> String {
    format!(
        "function %{name}(i32) -> i32 fast {{
             ss0 = explicit_slot {bytes}
             fn0 = colocated %{callee}(i32) -> i32 fast
         block0(v0: i32):
             v1 = stack_addr.i64 ss0
             store v0, v1
             v2 = call fn0(v0)
             v3 = load.i32 v1
             v4 = iadd v2, v3
             return v4
         }}\n"
    )
}

/// A frame may have 1 GiB: one of these does, two of them do not.
pub(crate) const LARGE: u32 = 600_000_000;

/// Inlines without regard to frames.
fn inliner() -> Inliner<'static> {
    let mut limits = Limits::default();
    limits.frame_bytes = u64::MAX;
    Inliner::new(Always).limits(limits)
}

fn too_large_together() -> Program {
    let text = leaf("leaf", 3)
        + &through("helper", &["leaf"])
        + &with_frame("local", LARGE, "helper")
        + &with_frame("main", LARGE, "local")
        + &through("other", &["leaf"]);
    program_exporting(&text, &["main", "other"])
}

#[test]
fn a_caller_that_became_too_large_is_compiled_as_it_was_with_all_that_it_needs() {
    let program = too_large_together();
    for target in ["x86_64", "aarch64"] {
        let isa = isa(target);
        let (inlined, compiled) = inliner()
            .optimize(Optimize::None)
            .verify_with(&*isa)
            .run_and_compile(&program, &*isa)
            .unwrap();
        // After inlining, nothing but %main and %other would be left.
        assert_eq!(inlined.program().len(), 2);
        let main = id(&program, "main");
        let fallbacks: Vec<_> = compiled.fallbacks().collect();
        assert_eq!(fallbacks.len(), 1, "{target}");
        assert_eq!(fallbacks[0].0, main);
        assert!(matches!(
            fallbacks[0].1.reason,
            CompileError::ImplLimitExceeded { .. }
        ));
        // The original calls %local, into which %helper and %leaf went.
        let names: Vec<String> = compiled
            .iter()
            .map(|(id, _)| program[id].name().to_string())
            .collect();
        assert_eq!(names, ["%local", "%main", "%other"]);
        let code = compiled.get(main).unwrap();
        let callees: Vec<_> = code
            .relocations()
            .iter()
            .filter_map(|relocation| match &relocation.target {
                RelocationTarget::Function(name) => Some(name.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(callees, ["%local"]);
        let original =
            compile_function(&*isa, program[main].body(), &mut CompileScratch::new()).unwrap();
        assert_eq!(*code, original);
    }
}

#[test]
fn the_code_is_the_same_for_any_number_of_threads() {
    let program = too_large_together();
    let isa = isa("x86_64");
    let compiled = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let (_, compiled) = pool
            .install(|| inliner().run_and_compile(&program, &*isa))
            .unwrap();
        let functions: Vec<_> = compiled
            .iter()
            .map(|(id, code)| (id, code.clone()))
            .collect();
        functions
    };
    let one = compiled(1);
    for threads in [2, 4, 8] {
        assert!(compiled(threads) == one, "{threads} threads");
    }
}

#[test]
fn a_function_that_does_not_compile_as_it_was_is_an_error_that_names_it() {
    let text = leaf("leaf", 3) + &with_frame("main", u32::MAX, "leaf");
    let program = program_exporting(&text, &["main"]);
    let isa = isa("x86_64");
    let error = inliner()
        .optimize(Optimize::None)
        .run_and_compile(&program, &*isa)
        .err()
        .unwrap();
    assert!(error.to_string().contains("%main"), "{error}");
}

/// On x64 and aarch64, Cranelift's optimizer makes a minimum of 128 bits, which they lack. It sees
/// none in the original body: only the pass knows that the way through `block2` is never taken.
const OPTIMIZED_ONLY: &str = "
    function %main(i64, i64) -> i64 system_v {
    block0(v0: i64, v1: i64):
        v2 = iconcat v0, v1
        v3 = iconcat v1, v0
        v4 = iconst.i64 1
        jump block1(v4)
    block1(v5: i64):
        brif v5, block3(v2), block2
    block2:
        jump block3(v3)
    block3(v6: i128):
        v7 = icmp ult v6, v3
        v8 = select v7, v2, v3
        v9, v10 = isplit v8
        v11 = iadd v9, v10
        return v11
    }";

/// A function may change without inlined calls.
#[test]
fn a_function_that_does_not_compile_once_optimized_is_compiled_as_it_was() {
    let mut program = Program::from_clif(OPTIMIZED_ONLY, "optimized").unwrap();
    program.export_only(&[name("main")]).unwrap();
    let settings = TargetSettings::new().setting("opt_level=speed");
    let isa = target("x86_64", &settings).unwrap();
    let original = compile_function(
        &*isa,
        program.iter().next().unwrap().1.body(),
        &mut CompileScratch::new(),
    );
    let original = original.unwrap();
    let main = id(&program, "main");
    for locations in [LocationMode::default(), LocationMode::InlinedAt] {
        let inliner = Inliner::new(Always)
            .locations(locations)
            .optimize(Optimize::All);
        let (inlined, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
        let optimized = compile_function(
            &*isa,
            inlined.body(main).unwrap(),
            &mut CompileScratch::new(),
        );
        assert!(optimized.is_err(), "another defect of Cranelift is needed");
        assert_eq!(compiled.fallbacks().count(), 1);
        assert_eq!(compiled.get(main).unwrap().code(), original.code());
        for keep_bodies in [false, true] {
            let mut declared = DeclaredProgram::of(&program).unwrap();
            declared.keep_bodies = keep_bodies;
            let streamed = inliner.stream(&declared, &*isa, &|_, _| {}, |stream| {
                stream.define(Arc::clone(program[main].body())).unwrap();
            });
            let streamed = streamed.unwrap();
            assert!(streamed.errors.is_empty(), "{}", streamed.errors[0].1);
            assert_eq!(streamed.compiled.get(main).unwrap().code(), original.code());
        }
    }
}
