//! Each hard limit with a program that reaches it, under a policy that would go on for ever.

use super::support::{id, leaf, program, run, sites_of, through};
use cranelift_inliner::decide::{Always, Limits};
use cranelift_inliner::pass::{Inlined, Inliner, Reason};
use cranelift_inliner::program::Program;

fn run_within(program: &Program, limits: Limits) -> Inlined {
    run(Inliner::new(Always).limits(limits), program)
}

fn reasons(inlined: &Inlined, program: &Program, caller: &str) -> Vec<&'static str> {
    let sites = sites_of(inlined, program, caller);
    sites.iter().map(|site| site.reason.slug()).collect()
}

#[test]
fn a_function_does_not_grow_beyond_its_limit() {
    // 22 instructions and 20 calls of 10 instructions each.
    let text = leaf("leaf", 10) + &through("main", &["leaf"; 20]);
    let program = program(&text);
    let mut limits = Limits::default();
    limits.function_insts = 75;
    let inlined = run_within(&program, limits);
    let expected: Vec<&str> = (0..20)
        .map(|number| {
            if number < 5 {
                "policy"
            } else {
                "function-size"
            }
        })
        .collect();
    assert_eq!(reasons(&inlined, &program, "main"), expected);
    let stats = inlined.stats(id(&program, "main"));
    assert_eq!(stats.inlined, 5);
    assert!(stats.insts_after <= 75);
}

#[test]
fn a_function_may_become_just_as_large_as_its_limit() {
    // 3 instructions, one of them a call of 10.
    let program = program(&(leaf("leaf", 10) + &through("main", &["leaf"])));
    let mut limits = Limits::default();
    for (limit, expected) in [(13, "policy"), (12, "function-size")] {
        limits.function_insts = limit;
        let inlined = run_within(&program, limits);
        let sites = sites_of(&inlined, &program, "main");
        assert_eq!((sites[0].caller_insts(), sites[0].callee_insts()), (3, 10));
        assert_eq!(reasons(&inlined, &program, "main"), [expected], "{limit}");
    }
}

#[test]
fn a_smaller_callee_still_fits_where_a_larger_one_did_not() {
    let text = leaf("large", 60) + &leaf("small", 3) + &through("main", &["large", "small"]);
    let program = program(&text);
    let mut limits = Limits::default();
    limits.function_insts = 50;
    let inlined = run_within(&program, limits);
    assert_eq!(
        reasons(&inlined, &program, "main"),
        ["function-size", "policy"]
    );
}

#[test]
fn the_program_does_not_grow_beyond_its_limit() {
    let callers: String = (0..10)
        .map(|number| through(&format!("f{number}"), &["leaf"; 10]))
        .collect();
    let program = program(&(leaf("leaf", 20) + &callers));
    let before: usize = program
        .ids()
        .map(|id| {
            run_within(&program, Limits::default())
                .stats(id)
                .insts_before
        })
        .sum();
    let mut limits = Limits::default();
    limits.program_growth = 2.0;
    limits.program_growth_floor = 0;
    let inlined = run_within(&program, limits);
    let copied: usize = inlined
        .sites()
        .filter(|site| site.inlined)
        .map(|site| site.callee_insts())
        .sum();
    assert!(copied > 0 && copied <= 2 * before, "{copied} of {before}");
    let stopped = inlined
        .sites()
        .filter(|site| site.reason == Reason::ProgramGrowth);
    assert!(stopped.count() > 10);
    // The shares are fair: callers of one size get the same.
    let counts: Vec<usize> = (0..10)
        .map(|number| inlined.stats(id(&program, &format!("f{number}"))).inlined)
        .collect();
    assert!(
        counts.iter().all(|&count| count == counts[0] && count > 0),
        "{counts:?}"
    );
}

#[test]
fn a_function_may_grow_up_to_its_limit() {
    let program = program(&(leaf("leaf", 10) + &through("main", &["leaf"])));
    let mut limits = Limits::default();
    limits.function_growth = 0.0;
    for (growth, expected) in [(10, "policy"), (9, "program-growth")] {
        limits.function_growth_floor = growth;
        let inlined = run_within(&program, limits);
        assert_eq!(reasons(&inlined, &program, "main"), [expected], "{growth}");
    }
}

#[test]
fn bodies_do_not_nest_beyond_the_limit() {
    let text = (0..10).fold(leaf("f9x", 2), |text, number| {
        let callee = if number == 9 {
            "f9x".to_owned()
        } else {
            format!("f{}", number + 1)
        };
        text + &through(&format!("f{number}"), &[&callee])
    });
    let program = program(&text);
    let mut limits = Limits::default();
    limits.depth = 3;
    let inlined = run_within(&program, limits);
    for function in program.ids() {
        assert!(inlined.stats(function).depth <= 3);
    }
    // From the leaf upwards: three levels go in, the fourth finds a callee of depth 3.
    assert_eq!(inlined.stats(id(&program, "f7")).depth, 3);
    assert_eq!(reasons(&inlined, &program, "f6"), ["depth"]);
    assert_eq!(inlined.stats(id(&program, "f6")).depth, 0);
    assert_eq!(inlined.stats(id(&program, "f5")).depth, 1);
}

#[test]
fn a_limit_of_nothing_inlines_nothing() {
    let program = program(&(leaf("leaf", 2) + &through("main", &["leaf"])));
    let mut limits = Limits::default();
    limits.depth = 0;
    let inlined = run_within(&program, limits);
    assert_eq!(reasons(&inlined, &program, "main"), ["depth"]);
    assert_eq!(
        inlined.program().to_clif().unwrap(),
        program.to_clif().unwrap()
    );
}

#[test]
fn the_attribute_always_does_not_lift_the_limits() {
    use super::support::name;
    use cranelift_inliner::program::{Attributes, InlineAttribute};
    let mut program = program(&(leaf("leaf", 90) + &through("main", &["leaf"])));
    let always = Attributes::default().with_inline(InlineAttribute::Always);
    program.set_attributes(&name("leaf"), always).unwrap();
    let mut limits = Limits::default();
    limits.function_insts = 50;
    let inlined = run_within(&program, limits);
    assert_eq!(reasons(&inlined, &program, "main"), ["function-size"]);
}
