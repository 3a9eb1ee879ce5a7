//! The words in which the pass says what it did and why.

use super::support::{id, isa, leaf, program, run_always, through};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, PassError, Reason, Stage};
use cranelift_inliner::program::{InlineAttribute, Program};
use cranelift_inliner::splice::Refusal;

#[test]
fn every_reason_has_a_name_and_words() {
    let refused = Refusal::Patchable;
    let words = refused.to_string();
    let reasons = [
        (Reason::Policy("because".into()), "policy", "because"),
        (Reason::Undecided, "undecided", "no policy decided"),
        (
            Reason::Attribute(InlineAttribute::Always),
            "attribute",
            "attribute always",
        ),
        (
            Reason::Attribute(InlineAttribute::Never),
            "attribute",
            "attribute never",
        ),
        (
            Reason::Attribute(InlineAttribute::None),
            "attribute",
            "no attribute",
        ),
        (Reason::Refused(refused), "patchable", &words),
        (Reason::Recursion, "recursion", "recursion"),
        (
            Reason::Interposable,
            "interposable",
            "the callee may be replaced at link time",
        ),
        (Reason::External, "external", "the callee is external"),
        (
            Reason::FunctionSize,
            "function-size",
            "the caller would become too large",
        ),
        (
            Reason::ProgramGrowth,
            "program-growth",
            "the caller's share of growth is used up",
        ),
        (Reason::Depth, "depth", "bodies would nest too deeply"),
    ];
    for (reason, slug, words) in reasons {
        assert_eq!(reason.slug(), slug);
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn stages_have_names() {
    assert_eq!(Stage::Splice.to_string(), "splicing");
    assert_eq!(Stage::Cleanup.to_string(), "clean-up");
}

#[test]
fn compiled_programs_tell_how_large_they_are() {
    let text = leaf("leaf", 3) + &through("main", &["leaf"]);
    let program = program(&text);
    let isa = isa("x86_64");
    let (_, compiled) = Inliner::new(Always)
        .run_and_compile(&program, &*isa)
        .unwrap();
    let sizes: Vec<usize> = compiled.iter().map(|(_, code)| code.code().len()).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|&size| size > 4));
    assert_eq!(compiled.code_bytes(), sizes.iter().sum::<usize>());
}

#[test]
fn nothing_is_located_unless_that_was_asked_for() {
    let text = leaf("leaf", 3) + &through("main", &["leaf"]);
    let program = program(&text);
    let inlined = run_always(&program);
    for id in program.ids() {
        assert!(inlined.locations(id).is_none());
    }
}

#[test]
fn a_function_that_does_not_verify_is_named_with_the_stage_after_which_it_did_not() {
    let text = leaf("leaf", 3)
        + "function %main(i32, i64) -> i32 fast {
               fn0 = colocated %leaf(i32) -> i32 fast
           block0(v0: i32, v1: i64):
               v2 = call fn0(v0)
               v3 = iadd v2, v1
               return v3
           }";
    let program = Program::from_clif(&text, "test").unwrap();
    let isa = isa("x86_64");
    for clean_up in [false, true] {
        let error = Inliner::new(Always)
            .verify_with(&*isa)
            .clean_up(clean_up)
            .run(&program)
            .err()
            .unwrap();
        let PassError::Verifier {
            function, stage, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(function, program[id(&program, "main")].name());
        assert_eq!(*stage, Stage::Splice);
        let words = error.to_string();
        assert!(
            words.starts_with("%main does not verify after splicing: "),
            "{words}"
        );
    }
    assert!(Inliner::new(Always).run(&program).is_ok());
}
