//! Functions that never throw: how the pass finds them, and the handlers of their calls.

use crate::support::{id, program, run};
use cranelift_inliner::cleanup::OptimizeOptions;
use cranelift_inliner::decide::{Always, CallSite, Decision, Never};
use cranelift_inliner::pass::{Inlined, Inliner, Optimize};
use cranelift_inliner::program::{FunctionName, Linkage, Program};
use std::sync::{Arc, Mutex};

/// Returns a function `%main` that calls `%callee` with a handler for all, and `rest` beside it.
fn with_handler(rest: &str) -> String {
    format!(
        "function %main(i64) -> i64 system_v {{
            sig0 = (i64) -> i64 system_v
            fn0 = %callee sig0
        block0(v0: i64):
            try_call fn0(v0), sig0, block1(ret0), [ default: block2(exn0) ]
        block1(v1: i64):
            return v1
        block2(v2: i64):
            v3 = iadd v2, v0
            return v3
        }}
        {rest}"
    )
}

/// Returns a function that calls `callee` and adds.
fn calls(name: &str, callee: &str) -> String {
    format!(
        "function %{name}(i64) -> i64 system_v {{
            fn0 = %{callee}(i64) -> i64 system_v
        block0(v0: i64):
            v1 = call fn0(v0)
            v2 = iadd v1, v0
            return v2
        }}\n"
    )
}

fn checked<'a>() -> Inliner<'a> {
    Inliner::new(Never).check(true)
}

fn replaced(inlined: &Inlined, program: &Program) -> usize {
    let stats = inlined.stats(id(program, "main"));
    stats.cleanup.try_calls_replaced
}

/// Returns whether `%main` keeps its handler where nothing is inlined.
fn keeps_handler(rest: &str) -> bool {
    let program = program(&with_handler(rest));
    let inlined = run(checked(), &program);
    let text = inlined.body(id(&program, "main")).unwrap().to_string();
    let keeps = text.contains("try_call");
    assert_eq!(replaced(&inlined, &program), usize::from(!keeps), "{text}");
    assert_eq!(keeps, text.contains("block2"), "{text}");
    keeps
}

const LEAF: &str = "function %leaf(i64) -> i64 system_v {
block0(v0: i64):
    v1 = imul v0, v0
    return v1
}\n";

#[test]
fn functions_that_call_none_that_throws_never_throw() {
    assert!(!keeps_handler(&(calls("callee", "leaf") + LEAF)));
    assert!(keeps_handler(&calls("callee", "external")));
    let library = calls("callee", "FloorF64").replace("i64", "f64");
    let library = library.replace("iadd", "fadd");
    let main = with_handler(&library).replace("i64", "f64");
    let main = main.replace("v3 = iadd v2, v0\n            return v3", "return v0");
    let main = main
        .replace("block2(exn0)", "block2")
        .replace("block2(v2: f64)", "block2");
    let program = program(&main);
    let inlined = run(checked(), &program);
    assert_eq!(replaced(&inlined, &program), 1);
}

#[test]
fn cycles_throw_together() {
    let quiet = calls("callee", "other") + &calls("other", "callee");
    assert!(!keeps_handler(&quiet));
    let loud = calls("callee", "other")
        + "function %other(i64) -> i64 system_v {
            fn0 = %callee(i64) -> i64 system_v
            fn1 = %external(i64) -> i64 system_v
        block0(v0: i64):
            v1 = call fn0(v0)
            v2 = call fn1(v1)
            return v2
        }";
    assert!(keeps_handler(&loud));
}

#[test]
fn a_handler_for_all_lets_nothing_through() {
    let of = |handlers: &str| {
        format!(
            "function %callee(i64) -> i64 system_v {{
                sig0 = (i64) -> i64 system_v
                fn0 = %external sig0
            block0(v0: i64):
                try_call fn0(v0), sig0, block1(ret0), [ {handlers} ]
            block1(v1: i64):
                return v1
            block2:
                return v0
            }}"
        )
    };
    assert!(!keeps_handler(&of("tag1: block2, default: block2")));
    assert!(keeps_handler(&of("tag1: block2")));
}

#[test]
fn tail_calls_and_indirect_calls_let_exceptions_through() {
    let tail = |callee: &str| {
        format!(
            "function %callee(i64) -> i64 tail {{
                fn0 = %{callee}(i64) -> i64 tail
            block0(v0: i64):
                return_call fn0(v0)
            }}\n"
        )
    };
    let keeps = |rest: &str| {
        let text = with_handler(rest).replace("system_v", "tail");
        let program = program(&text);
        let inlined = run(checked(), &program);
        replaced(&inlined, &program) == 0
    };
    assert!(keeps(&tail("external")));
    assert!(!keeps(&(tail("leaf") + LEAF)));
    assert!(keeps_handler(
        "function %callee(i64) -> i64 system_v {
            sig0 = (i64) -> i64 system_v
        block0(v0: i64):
            v1 = call_indirect sig0, v0(v0)
            return v1
        }"
    ));
}

#[test]
fn the_embedder_tells_of_external_functions() {
    let program = program(&with_handler(&calls("callee", "external")));
    let mut options = OptimizeOptions::default();
    let name: FunctionName = "external".parse().unwrap();
    Arc::make_mut(&mut options.never_throws).insert(name);
    let told = || checked().optimize_options(options.clone());
    assert_eq!(replaced(&run(told(), &program), &program), 1);
    let none = run(told().optimize(Optimize::None), &program);
    assert_eq!(replaced(&none, &program), 0);
    let mut off = options.clone();
    off.drop_handlers = false;
    let off = run(checked().optimize_options(off), &program);
    assert_eq!(replaced(&off, &program), 0);
}

#[test]
fn replaceable_functions_may_throw() {
    let mut program = program(&with_handler(&(calls("callee", "leaf") + LEAF)));
    let leaf = "leaf".parse().unwrap();
    program.set_linkage(&leaf, Linkage::Interposable).unwrap();
    assert_eq!(replaced(&run(checked(), &program), &program), 0);
    let mut options = OptimizeOptions::default();
    Arc::make_mut(&mut options.never_throws).insert(leaf);
    let told = run(checked().optimize_options(options), &program);
    assert_eq!(replaced(&told, &program), 1);
}

#[test]
fn a_callee_whose_indirect_calls_became_direct_no_longer_throws() {
    let rest = calls("callee", "apply")
        .replace("call fn0(v0)", "call fn0(v0, v9)")
        .replace(
            "fn0 = %apply(i64) -> i64 system_v",
            "fn0 = %apply(i64, i64) -> i64 system_v\n    fn1 = %leaf(i64) -> i64 system_v",
        );
    let rest = rest.replace(
        "block0(v0: i64):\n",
        "block0(v0: i64):\n    v9 = func_addr.i64 fn1\n",
    );
    let apply = "function %apply(i64, i64) -> i64 system_v {
        sig0 = (i64) -> i64 system_v
    block0(v0: i64, v1: i64):
        v2 = call_indirect sig0, v1(v0)
        return v2
    }\n";
    let program = program(&with_handler(&(rest + apply + LEAF)));
    let only_apply = |site: &CallSite<'_>| match site.callee_name().to_string() == "%apply" {
        true => Decision::inline("apply"),
        false => Decision::keep("other"),
    };
    let inlined = run(Inliner::new(only_apply).check(true), &program);
    assert_eq!(replaced(&inlined, &program), 1);
    // Without the address in it, the callee keeps the unknown call.
    assert_eq!(replaced(&run(checked(), &program), &program), 0);
}

#[test]
fn calls_that_came_in_lose_the_handlers_that_they_got() {
    let rest = calls("callee", "leaf") + LEAF;
    let program = program(&with_handler(&rest));
    let only_callee = |site: &CallSite<'_>| match site.callee_name().to_string() == "%callee" {
        true => Decision::inline("callee"),
        false => Decision::keep("other"),
    };
    let inlined = run(Inliner::new(only_callee).check(true), &program);
    let text = inlined.body(id(&program, "main")).unwrap().to_string();
    assert!(
        !text.contains("try_call") && text.contains("call fn"),
        "{text}"
    );
    let all = run(Inliner::new(Always).check(true), &program);
    let text = all.body(id(&program, "main")).unwrap().to_string();
    assert!(!text.contains("call"), "{text}");
}

#[test]
fn policies_see_it() {
    let rest = calls("callee", "leaf") + LEAF + &calls("loud", "external") + &calls("top", "loud");
    let program = program(&with_handler(&rest));
    let seen = Mutex::new(Vec::new());
    let policy = |site: &CallSite<'_>| {
        let fact = (
            site.callee_name().to_string(),
            site.summary().never_throws(),
        );
        seen.lock().unwrap().push(fact);
        Decision::keep("looked at")
    };
    run(Inliner::new(policy), &program);
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    let expected = [("%callee", true), ("%leaf", true), ("%loud", false)];
    assert_eq!(seen, expected.map(|(name, fact)| (name.to_owned(), fact)));
}

#[test]
fn the_checker_says_where_it_would_have_to_read_too_much() {
    let mut rest = calls("callee", "f0");
    for number in 0..4200 {
        rest += &calls(&format!("f{number}"), &format!("f{}", number + 1));
    }
    rest += &LEAF.replace("leaf", "f4200");
    let program = program(&with_handler(&rest));
    let error = checked().run(&program).err().unwrap();
    assert!(error.is_undecided(), "{error}");
    assert_eq!(replaced(&run(Inliner::new(Never), &program), &program), 1);
}

#[test]
fn another_stack_may_throw() {
    let callee = "function %callee(i64) -> i64 system_v {
    block0(v0: i64):
        v1 = stack_switch v0, v0, v0
        return v1
    }";
    assert!(keeps_handler(callee));
    // Also if the result is another body.
    let rest = calls("callee", "other") + &callee.replace("callee", "other");
    let program = program(&with_handler(&rest));
    let only_other = |site: &CallSite<'_>| match site.callee_name().to_string() == "%other" {
        true => Decision::inline("other"),
        false => Decision::keep("kept"),
    };
    let inlined = run(Inliner::new(only_other).check(true), &program);
    assert_eq!(replaced(&inlined, &program), 0);
}
