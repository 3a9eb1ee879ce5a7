//! Call graphs of the usual shapes.

use super::support::{
    body_text, calls_left, id, leaf, name, program, program_exporting, run, run_always, sites_of,
    through,
};
use cranelift_inliner::decide::Always;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::splice::MemoryPromises;

#[test]
fn a_chain_becomes_one_function() {
    let text = (0..10).fold(leaf("f10", 2), |text, number| {
        let callee = format!("f{}", number + 1);
        text + &through(&format!("f{number}"), &[&callee])
    });
    let program = program_exporting(&text, &["f0"]);
    let inlined = run_always(&program);
    assert_eq!(inlined.program().len(), 1);
    assert_eq!(calls_left(&inlined, &program, "f0"), 0);
    let stats = inlined.stats(id(&program, "f0"));
    assert_eq!(stats.depth, 10);
    // Bottom-up, each function takes in its one callee, finished: ten splices, not fifty-five.
    assert_eq!(inlined.sites().count(), 10);
    assert!(inlined.sites().all(|site| site.inlined));
    // Ten additions of the links, one of the leaf, one return.
    assert_eq!(stats.insts_after, 12);
}

#[test]
fn both_sides_of_a_diamond_get_their_own_copy_of_the_bottom() {
    let text = leaf("bottom", 4)
        + &through("left", &["bottom"])
        + &through("right", &["bottom"])
        + &through("top", &["left", "right"]);
    let program = program_exporting(&text, &["top"]);
    let inlined = run_always(&program);
    assert_eq!(inlined.program().len(), 1);
    // The top's own addition, twice the side's and the bottom's three, one return.
    assert_eq!(
        inlined.stats(id(&program, "top")).insts_after,
        1 + 2 * (1 + 3) + 1
    );
    assert_eq!(inlined.stats(id(&program, "top")).inlined, 2);
}

#[test]
fn one_callee_can_be_copied_many_times_into_one_block() {
    let callees = vec!["leaf"; 200];
    let text = leaf("leaf", 3) + &through("main", &callees);
    let program = program_exporting(&text, &["main"]);
    let inlined = run_always(&program);
    let main = inlined.body(id(&program, "main")).unwrap();
    assert_eq!(main.layout.blocks().count(), 1, "no glue");
    assert_eq!(
        inlined.stats(id(&program, "main")).insts_after,
        1 + 200 * 2 + 1
    );
    let records = sites_of(&inlined, &program, "main");
    assert_eq!(records.len(), 200);
    // Each record has the caller's size at its decision.
    let sizes: Vec<usize> = records.iter().map(|site| site.caller_insts()).collect();
    let expected: Vec<usize> = (0..200).map(|number| 202 + 3 * number).collect();
    assert_eq!(sizes, expected);
}

#[test]
fn a_function_that_calls_nothing_is_shared_with_the_input() {
    let text = leaf("leaf", 3) + &through("main", &["leaf"]);
    let program = program_exporting(&text, &["main", "leaf"]);
    let inlined = run_always(&program);
    let leaf = id(&program, "leaf");
    let after = inlined.program().id(&name("leaf")).unwrap();
    assert!(std::sync::Arc::ptr_eq(
        program[leaf].body(),
        inlined.program()[after].body()
    ));
    assert!(!body_text(&inlined, &program, "main").contains("call"));
}

#[test]
fn several_results_come_out_in_order() {
    let program = program_exporting(
        "function %swap(i32, i64) -> i64, i32 fast {
         block0(v0: i32, v1: i64):
             return v1, v0
         }
         function %main(i32, i64) -> i64, i32 fast {
             fn0 = %swap(i32, i64) -> i64, i32 fast
         block0(v0: i32, v1: i64):
             v2, v3 = call fn0(v0, v1)
             return v2, v3
         }",
        &["main"],
    );
    let inlined = run_always(&program);
    let main = inlined.body(id(&program, "main")).unwrap();
    let block = main.layout.entry_block().unwrap();
    let params = main.dfg.block_params(block);
    let end = main.layout.last_inst(block).unwrap();
    let returned: Vec<_> = main
        .dfg
        .inst_args(end)
        .iter()
        .map(|&value| main.dfg.resolve_aliases(value))
        .collect();
    assert_eq!(returned, [params[1], params[0]]);
}

#[test]
fn a_program_without_functions_stays_so() {
    let program = cranelift_inliner::program::Program::new();
    let inlined = run_always(&program);
    assert!(inlined.program().is_empty());
    assert!(inlined.sites().next().is_none());
}

/// Returns how many stack slots `%main` has when two bodies are inlined into it, one after the
/// other.
fn slots_of_main(bodies: [&str; 2], others: &str, promises: MemoryPromises) -> usize {
    let [first, second] = bodies;
    let text = format!(
        "function %first(i64) fast {{ {first} }}
        function %second(i64) fast {{ {second} }}
        {others}
        function %main(i64) fast {{
            fn0 = colocated %first(i64) fast
            fn1 = colocated %second(i64) fast
        block0(v0: i64):
            call fn0(v0)
            call fn1(v0)
            return
        }}"
    );
    let program = program(&text);
    let inlined = run(
        Inliner::new(Always)
            .memory_promises(promises)
            .optimize(Optimize::None)
            .check(true),
        &program,
    );
    let body = inlined.body(id(&program, "main")).unwrap();
    body.sized_stack_slots.len()
}

#[test]
fn users_of_a_slots_address_matter_only_where_there_are_alias_regions() {
    let given_away = "
            ss0 = explicit_slot 8
        block0(v0: i64):
            v1 = stack_addr.i64 ss0
            store v1, v0
            return";
    let for_program = MemoryPromises::WholeProgram;
    assert_eq!(slots_of_main([given_away; 2], "", for_program), 1);
    let with_region = "
        function %other(i64) fast {
            region0 = 5 \"table\"
        block0(v0: i64):
            store region0 v0, v0
            return
        }";
    assert_eq!(slots_of_main([given_away; 2], with_region, for_program), 2);
    // No copy has a region.
    let for_each = MemoryPromises::PerFunction;
    assert_eq!(slots_of_main([given_away; 2], with_region, for_each), 1);
}

#[test]
fn a_slot_that_is_used_through_a_region_and_through_none_is_not_shared() {
    let through_both = "
            ss0 = explicit_slot 8
            region0 = 5 \"table\"
        block0(v0: i64):
            v1 = stack_addr.i64 ss0
            store region0 v0, v1
            v2 = load.i64 v1
            store v2, v0
            return";
    let through_none = "
            ss0 = explicit_slot 8
        block0(v0: i64):
            v1 = stack_addr.i64 ss0
            store v0, v1
            v2 = load.i64 v1
            store v2, v0
            return";
    let for_program = MemoryPromises::WholeProgram;
    assert_eq!(slots_of_main([through_none; 2], "", for_program), 1);
    let both = [through_both, through_none];
    assert_eq!(slots_of_main(both, "", for_program), 2);
    assert_eq!(slots_of_main(both, "", MemoryPromises::PerFunction), 1);
}

#[test]
fn without_clean_up_a_body_stays_as_it_was_spliced() {
    let program = program(
        "function %callee(i32) -> i32 fast {
        block0(v0: i32):
            v1 = iconst.i8 1
            brif v1, block1(v0), block2
        block1(v2: i32):
            return v2
        block2:
            trap user1
        }
        function %main(i32) -> i32 fast {
            fn0 = colocated %callee(i32) -> i32 fast
        block0(v0: i32):
            v1 = call fn0(v0)
            return v1
        }",
    );
    let blocks = |clean_up: bool| {
        let inlined = run(Inliner::new(Always).clean_up(clean_up), &program);
        let body = inlined.body(id(&program, "main")).unwrap();
        body.layout.blocks().count()
    };
    assert_eq!(blocks(true), 1);
    assert!(blocks(false) > 1);
}

/// A constant that came in with `%zero` decides the branch. The code that goes with it has the
/// `try_call` whose handler has its address taken.
#[test]
fn an_address_of_a_handler_is_null_once_its_try_call_is_gone() {
    let program = program(
        "function %zero() -> i8 tail {
        block0:
            v0 = iconst.i8 0
            return v0
        }
        function %main(i64) -> i64 tail {
            sig0 = (i64) -> i64 tail
            fn0 = colocated %zero() -> i8 tail
            fn1 = %throws sig0
        block0(v0: i64):
            v1 = get_exception_handler_address.i64 block1, 0
            v2 = call fn0()
            brif v2, block1, block2(v1)
        block1:
            try_call fn1(v1), sig0, block2(ret0), [ default: block3 ]
        block2(v3: i64):
            return v3
        block3:
            return v0
        }",
    );
    let inlined = run(Inliner::new(Always).check(true), &program);
    assert_eq!(calls_left(&inlined, &program, "main"), 0);
    let text = body_text(&inlined, &program, "main");
    assert!(text.contains("v1 = iconst.i64 0"), "{text}");
    assert_eq!(
        inlined.stats(id(&program, "main")).cleanup.blocks_dropped,
        2
    );
}
