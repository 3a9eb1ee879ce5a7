//! The words in which the pass gives decisions and reasons.

use super::support::{id, isa, leaf, policy, program, program_exporting, run_always, through};
use cranelift_inliner::decide::{Always, Inline, Never};
use cranelift_inliner::pass::{Inliner, Observer, PassError, Reason, Step};
use cranelift_inliner::program::{FunctionId, InlineAttribute, Program, SiteHint};
use cranelift_inliner::splice::Refusal;
use std::sync::Mutex;

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
        (Reason::Hint(SiteHint::Never), "hint", "hint never"),
        (Reason::Flatten, "flatten", "everything here is flattened"),
        (Reason::Refused(Box::new(refused)), "patchable", &words),
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
            Reason::FrameSize,
            "frame-size",
            "the caller's frame would become too large",
        ),
        (
            Reason::ProgramGrowth,
            "program-growth",
            "the caller's share of growth is used up",
        ),
        (Reason::Depth, "depth", "bodies would nest too deeply"),
        (
            Reason::Rejected,
            "rejected",
            "the caller stays as it was, because its result was rejected",
        ),
    ];
    for (reason, slug, words) in reasons {
        assert_eq!(reason.slug(), slug);
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn steps_have_names() {
    assert_eq!(Step::Input.to_string(), "translation");
    assert_eq!(Step::Splice.to_string(), "splicing");
    assert_eq!(Step::Cleanup.to_string(), "clean-up");
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
fn a_function_that_does_not_verify_is_named_with_the_step_after_which_it_did_not() {
    // Only the body that is copied is wrong.
    let callee = "function %leaf(i32) -> i32 fast {
            block0(v0: i32):
                v1 = iconst.i64 1
                v2 = iadd v0, v1
                return v2
            }
            function %main(i32) -> i32 fast {
                fn0 = colocated %leaf(i32) -> i32 fast
            block0(v0: i32):
                v1 = call fn0(v0)
                return v1
            }";
    // The body into which another one is copied.
    let own = leaf("leaf", 3)
        + "function %main(i32, i64) -> i32 fast {
               fn0 = colocated %leaf(i32) -> i32 fast
           block0(v0: i32, v1: i64):
               v2 = call fn0(v0)
               v3 = iadd v2, v1
               return v3
           }";
    does_not_verify(
        callee,
        Step::Splice,
        "%main does not verify after splicing: ",
    );
    does_not_verify(&own, Step::Input, "%main does not verify before inlining: ");
}

fn does_not_verify(text: &str, expected: Step, words: &str) {
    let program = Program::from_clif(text, "test").unwrap();
    let isa = isa("x86_64");
    for clean_up in [false, true] {
        let error = Inliner::new(Always)
            .verify_with(&*isa)
            .clean_up(clean_up)
            .run(&program)
            .err()
            .unwrap();
        let PassError::Verifier { function, step, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(function, program[id(&program, "main")].name());
        assert_eq!(*step, expected);
        assert!(error.to_string().starts_with(words), "{error}");
    }
    assert!(Inliner::new(Always).run(&program).is_ok());
}

#[test]
fn functions_are_compiled_once_each_while_others_are_still_inlined() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<FunctionId>>);
    impl Observer for Heard {
        fn compiled(&self, function: FunctionId) {
            self.0.lock().unwrap().push(function);
        }
    }
    let text = leaf("leaf", 3)
        + &leaf("taken", 40)
        + &through("once", &["leaf"])
        + &through("twice", &["leaf", "leaf", "once"])
        + &through("again", &["again", "leaf"])
        + "function %main(i32) -> i32 fast {
               sig0 = (i32) -> i32 fast
               fn0 = colocated %once(i32) -> i32 fast
               fn1 = colocated %twice(i32) -> i32 fast
               fn2 = colocated %again(i32) -> i32 fast
               fn3 = colocated %taken(i32) -> i32 fast
           block0(v0: i32):
               v1 = call fn0(v0)
               v2 = call fn1(v1)
               v3 = call fn2(v2)
               v4 = func_addr.i64 fn3
               v5 = call_indirect sig0, v4(v3)
               return v5
           }";
    let program = program_exporting(&text, &["main"]);
    let isa = isa("x86_64");
    let compiled_by = |policy: Box<dyn Inline>| {
        let heard = Heard::default();
        let (_, compiled) = Inliner::new(policy)
            .observe(&heard)
            .run_and_compile(&program, &*isa)
            .unwrap();
        let mut heard = heard.0.into_inner().unwrap();
        heard.sort();
        // Nothing is compiled in vain, and nothing is left for the end.
        assert_eq!(heard, compiled.iter().map(|(id, _)| id).collect::<Vec<_>>());
        let names = heard.iter().map(|&id| program[id].name().to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(compiled_by(policy("always")), ["%again", "%main"]);
    assert_eq!(
        compiled_by(Box::new(Never)),
        ["%leaf", "%taken", "%once", "%twice", "%again", "%main"]
    );
}
