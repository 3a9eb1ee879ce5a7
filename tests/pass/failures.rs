//! Functions with errors, and callbacks that panic.

use super::support::{id, isa, leaf, name, program_exporting, through};
use cranelift_inliner::check::check;
use cranelift_inliner::decide::{Always, CallSite, Decision};
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{
    DeclaredProgram, Inliner, Optimize, PassError, Reason, RecordLevel, StreamError,
};
use cranelift_inliner::program::{Attributes, InlineAttribute, Program};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of `%wrong` does not verify: `ireduce` makes nothing as wide as its argument.
const WRONG: &str = "
    function %before(i64) -> i64 fast {
    block0(v0: i64):
@0001   v1 = iadd v0, v0
@0002   return v1
    }
    function %wrong(i64) -> i64 fast {
        fn0 = %before(i64) -> i64 fast
    block0(v0: i64):
@0011   v1 = call fn0(v0)
@0012   v2 = ireduce.i64 v1
@0013   return v2
    }
    function %after(i64) -> i64 fast {
    block0(v0: i64):
@0021   v1 = imul v0, v0
@0022   return v1
    }
    function %main(i64) -> i64 fast {
        fn0 = %wrong(i64) -> i64 fast
        fn1 = %after(i64) -> i64 fast
    block0(v0: i64):
@0031   v1 = call fn0(v0)
@0032   v2 = call fn1(v1)
@0033   return v2
    }";

/// The error names the function, although others may have inlined it.
#[test]
fn a_function_that_does_not_verify_is_the_only_error_of_its_callers() {
    let program = Program::from_clif(WRONG, "wrong.clif").unwrap();
    for locations in [LocationMode::default(), LocationMode::InlinedAt] {
        let isa = isa("x86_64");
        let inliner = || {
            Inliner::new(Always)
                .locations(locations)
                .verify_with(isa.clone())
        };
        let Err(PassError::Verifier { function, .. }) = inliner().run(&program) else {
            panic!("a wrong function verifies");
        };
        assert_eq!(function.to_string(), "%wrong");
        // A stream goes on.
        let mut declared = DeclaredProgram::of(&program).unwrap();
        declared.keep_bodies = true;
        let streamed = inliner().stream(&declared, &*isa, &|_, _| {}, |stream| {
            for (_, function) in program.iter() {
                stream.define(function.body().clone()).unwrap();
            }
        });
        let streamed = streamed.unwrap();
        assert_eq!(streamed.errors[0].0, id(&program, "wrong"));
        if locations == LocationMode::InlinedAt {
            for (id, _) in program.iter() {
                let table = streamed.inlined.locations(id);
                assert!(table.is_some(), "{id} has no table");
            }
        }
    }
}

/// Records, statistics and copies are those of the original body, which is in the result.
#[test]
fn the_records_of_a_function_that_does_not_verify_are_those_of_its_original_body() {
    let mut program = Program::from_clif(WRONG, "wrong.clif").unwrap();
    let always = Attributes::default().with_inline(InlineAttribute::Always);
    let isa = isa("x86_64");
    for is_demanded in [false, true] {
        if is_demanded {
            program.set_attributes(&name("before"), always).unwrap();
        }
        for records in [RecordLevel::All, RecordLevel::Changes] {
            for locations in [LocationMode::default(), LocationMode::InlinedAt] {
                let inliner = Inliner::new(Always).locations(locations).records(records);
                let inliner = inliner.optimize(Optimize::All).verify_with(&*isa);
                let mut declared = DeclaredProgram::of(&program).unwrap();
                declared.keep_bodies = true;
                let streamed = inliner.stream(&declared, &*isa, &|_, _| {}, |stream| {
                    for (_, function) in program.iter() {
                        stream.define(function.body().clone()).unwrap();
                    }
                });
                let inlined = streamed.unwrap().inlined;
                let wrong = id(&program, "wrong");
                let told: Vec<_> = inlined
                    .sites_of(wrong)
                    .iter()
                    .map(|site| (site.callee.to_string(), site.inlined, site.reason.clone()))
                    .collect();
                let expected = ("%before".to_owned(), false, Reason::Rejected);
                let is_recorded = records == RecordLevel::All || is_demanded;
                assert_eq!(told, Vec::from_iter(is_recorded.then_some(expected)));
                assert_eq!(inlined.unmet().count(), usize::from(is_demanded));
                let stats = inlined.stats(wrong);
                assert_eq!((stats.inlined, stats.depth), (0, 0));
                assert_eq!(stats.insts_before, stats.insts_after);
                assert_eq!(stats.cleanup, Default::default());
                let body = inlined.body(wrong).unwrap();
                check(&inlined.copies(wrong).unwrap(), body).unwrap();
                // Its copy is in its caller, whose result is rejected too.
                let mut main = inlined.sites_of(id(&program, "main")).iter();
                assert!(main.all(|site| !site.inlined && site.via().is_empty()));
            }
        }
    }
}

/// A front end may catch the panic of a task that a definition did on its thread. Functions whose
/// work is lost must not be missing without a word.
#[test]
fn a_stream_that_lost_work_to_a_panic_has_no_result() {
    let text = leaf("leaf", 3) + &through("middle", &["leaf"]) + &through("main", &["middle"]);
    let program = program_exporting(&text, &["main"]);
    let policy = |site: &CallSite<'_>| {
        assert!(
            site.callee_name().to_string() != "%leaf",
            "the policy is broken"
        );
        Decision::inline("fine")
    };
    let inliner = Inliner::new(policy);
    let mut declared = DeclaredProgram::of(&program).unwrap();
    declared.queue_capacity = Some(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let isa = isa("x86_64");
    let stream = || {
        inliner.stream(&declared, &*isa, &|_, _| {}, |stream| {
            let bodies = program.iter();
            let panics = bodies.filter(|(_, function)| {
                let define = || stream.define(function.body().clone()).map(|_| ());
                catch_unwind(AssertUnwindSafe(define)).is_err()
            });
            panics.count()
        })
    };
    let result = pool.unwrap().install(stream);
    match result {
        Err(StreamError::Cancelled) => {}
        Err(other) => panic!("{other}"),
        Ok(streamed) => panic!("{} panics, and a result", streamed.front_end),
    }
}
