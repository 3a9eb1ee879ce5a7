//! Functions that call themselves, directly or over others: the pass ends, and the order within
//! a component is that of the names.

use super::support::{calls_left, id, leaf, program, run_always, sites_of, through};
use cranelift_inliner::pass::Reason;

#[test]
fn a_function_is_not_inlined_into_itself() {
    let text = through("f", &["f"]) + &through("main", &["f"]);
    let program = program(&text);
    let inlined = run_always(&program);
    let own = sites_of(&inlined, &program, "f");
    assert_eq!(own.len(), 1);
    assert_eq!(
        (own[0].inlined, &own[0].reason),
        (false, &Reason::Recursion)
    );
    // The caller gets one round of it, whose call back stays.
    let main = sites_of(&inlined, &program, "main");
    let decisions: Vec<bool> = main.iter().map(|site| site.inlined).collect();
    assert_eq!(decisions, [true, false]);
    assert_eq!(main[1].via(), [id(&program, "f")]);
    assert_eq!(main[1].reason, Reason::Recursion);
    assert_eq!(calls_left(&inlined, &program, "main"), 1);
}

#[test]
fn in_a_component_the_later_name_sees_the_earlier_one() {
    for [first, second] in [["a", "b"], ["b", "a"]] {
        let text = through(first, &[second]) + &through(second, &[first]);
        let program = program(&text);
        let inlined = run_always(&program);
        // %a is first: %b is not final then. %b takes %a in, and keeps its own call.
        let a = sites_of(&inlined, &program, "a");
        assert_eq!(a.len(), 1);
        assert_eq!(a[0].reason, Reason::Recursion);
        let b = sites_of(&inlined, &program, "b");
        assert_eq!(b.len(), 2);
        assert!(b[0].inlined && !b[1].inlined);
        assert_eq!(
            (&b[1].reason, b[1].callee_id),
            (&Reason::Recursion, Some(id(&program, "b")))
        );
        assert_eq!(calls_left(&inlined, &program, "b"), 1);
    }
}

#[test]
fn a_component_in_which_everybody_calls_everybody_ends() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let text: String = names.iter().map(|name| through(name, &names)).collect();
    let text = text + &through("main", &names);
    let program = program(&text);
    let inlined = run_always(&program);
    for site in inlined.sites() {
        let caller = program[site.caller].name();
        let callee = site.callee_id.unwrap();
        let around = site.via().contains(&callee);
        if site.inlined {
            assert!(
                !around && callee != site.caller,
                "{caller} takes in {}",
                site.callee
            );
        }
    }
    assert!(inlined.stats(id(&program, "f")).inlined > inlined.stats(id(&program, "a")).inlined);
    assert_eq!(inlined.stats(id(&program, "a")).inlined, 0);
}

#[test]
fn callees_of_a_component_are_inlined_into_all_of_it() {
    let text = leaf("z", 3) + &through("a", &["b", "z"]) + &through("b", &["z", "a"]);
    let program = program(&text);
    let inlined = run_always(&program);
    for member in ["a", "b"] {
        let sites = sites_of(&inlined, &program, member);
        let leaf = sites
            .iter()
            .find(|site| site.via().is_empty() && site.callee.to_string() == "%z");
        assert!(leaf.is_some_and(|site| site.inlined), "%z in {member}");
    }
}

#[test]
fn mutual_tail_calls_end_too() {
    let program = program(
        "function %even(i32) -> i8 tail {
             fn0 = %odd(i32) -> i8 tail
         block0(v0: i32):
             brif v0, block1, block2
         block1:
             v1 = ushr v0, v0
             return_call fn0(v1)
         block2:
             v2 = iconst.i8 1
             return v2
         }
         function %odd(i32) -> i8 tail {
             fn0 = %even(i32) -> i8 tail
         block0(v0: i32):
             brif v0, block1, block2
         block1:
             v1 = ushr v0, v0
             return_call fn0(v1)
         block2:
             v2 = iconst.i8 0
             return v2
         }",
    );
    let inlined = run_always(&program);
    assert_eq!(calls_left(&inlined, &program, "even"), 1);
    // %odd took %even in, whose call of %odd is now one of itself.
    let odd = sites_of(&inlined, &program, "odd");
    assert_eq!(odd.iter().filter(|site| site.inlined).count(), 1);
    assert_eq!(calls_left(&inlined, &program, "odd"), 1);
}
