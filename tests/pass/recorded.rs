//! Leaving records out changes nothing but the report.

use super::support::{POLICIES, id, leaf, name, policy, program_exporting, run, through};
use cranelift_codegen::ir::Inst;
use cranelift_inliner::decide::{CallSite, Decision};
use cranelift_inliner::pass::{Inlined, Inliner, RecordLevel, SiteRecord};
use cranelift_inliner::program::{FunctionId, Program, SiteHint};

/// Returns the hints of all calls.
fn hints(program: &Program) -> Vec<(FunctionId, Inst, SiteHint)> {
    let of = |id| {
        let hints = program[id].hints();
        hints.map(move |(call, hint)| (id, call, hint))
    };
    program.ids().flat_map(of).collect()
}

/// Describes a record, with its parent named by its place in the text instead of by its index.
fn told(inlined: &Inlined, record: &SiteRecord) -> String {
    let parent = record.parent();
    let parent = parent.map(|parent| &inlined.sites_of(record.caller)[parent]);
    format!(
        "{} calls {} at {} from {}, inlined {}: {}; below {:?} by {:?}, {:?}",
        record.caller,
        record.callee,
        record.inst,
        record.source_inst(),
        record.inlined,
        record.reason,
        parent.map(|parent| (parent.inst, parent.inlined)),
        record.path(),
        record.demand(),
    )
}

/// Runs the pass with all records and with those of changes. The results must be the same, and the
/// records that are left those that `RecordLevel::Changes` promises. Returns how many were left
/// out.
fn check<'a>(program: &Program, inliner: impl Fn() -> Inliner<'a>) -> usize {
    let all = run(inliner().check(true), program);
    let changes = run(inliner().check(true).records(RecordLevel::Changes), program);
    assert_eq!(
        all.program().to_clif().unwrap(),
        changes.program().to_clif().unwrap()
    );
    assert_eq!(hints(all.program()), hints(changes.program()));
    for id in program.ids() {
        assert_eq!(all.stats(id), changes.stats(id));
    }
    let is_kept = |record: &&SiteRecord| {
        record.inlined
            || !record.via().is_empty()
            || record.demand().is_some()
            || program[record.caller].hint(record.inst).is_some()
    };
    let expected = all.sites().filter(is_kept).map(|record| told(&all, record));
    let left = changes.sites().map(|record| told(&changes, record));
    let expected: Vec<String> = expected.collect();
    assert_eq!(left.collect::<Vec<_>>(), expected);
    assert_eq!(all.unmet().count(), changes.unmet().count());
    all.sites().count() - expected.len()
}

#[test]
fn records_of_unchanged_calls_can_be_left_out() {
    let text = leaf("small", 2)
        + &leaf("large", 9)
        + &through("middle", &["large", "small", "outside", "small"])
        + &through("outer", &["large", "middle", "large"])
        + &through("main", &["outer", "main", "middle", "outside"]);
    let mut program = program_exporting(&text, &["main"]);
    let call = |program: &Program, caller: &str, index: usize| {
        let body = program[id(program, caller)].body();
        let entry = body.layout.entry_block().unwrap();
        body.layout.block_insts(entry).nth(index + 1).unwrap()
    };
    for (caller, index, hint) in [
        ("middle", 2, SiteHint::Cold),
        ("outer", 2, SiteHint::Never),
        ("main", 1, SiteHint::Always),
        ("main", 3, SiteHint::Cold),
    ] {
        let call = call(&program, caller, index);
        program.set_hint(&name(caller), call, hint).unwrap();
    }
    // %middle comes into %outer with calls of %large and %small that it kept.
    let policy = |site: &CallSite<'_>| {
        let (caller, callee) = (site.caller_name().to_string(), site.callee_name());
        match (&*caller, &*callee.to_string()) {
            ("%outer" | "%main", "%middle") | ("%main", "%outer" | "%small") => {
                Decision::inline("chosen")
            }
            _ => Decision::keep("left"),
        }
    };
    // Those of %middle but one, and the first of %outer.
    assert_eq!(check(&program, || Inliner::new(policy)), 3 + 1);
}

#[test]
fn each_policy_gives_the_same_module_at_every_record_level() {
    let mut left_out = 0;
    for module in ["bytecode", "lists", "checked_debug"] {
        let path = format!(
            "{}/examples/modules/{module}.clif",
            env!("CARGO_MANIFEST_DIR")
        );
        let program = Program::read(&[path]).unwrap();
        for name in POLICIES {
            left_out += check(&program, || Inliner::new(policy(name)));
        }
    }
    assert!(left_out > 0, "every call of these modules is recorded");
}
