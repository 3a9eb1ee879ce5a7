//! A policy's facts about stack slots whose addresses calls pass, and their effect on the cost
//! model.

use crate::support::{isa, program, program_exporting, run};
use cranelift_inliner::cleanup::OptimizeOptions;
use cranelift_inliner::decide::{AddressUse, CallSite, CostModel, Decision, SlotArgument};
use cranelift_inliner::pass::{Inlined, Inliner, Optimize};
use cranelift_inliner::program::Program;
use cranelift_inliner::shard::{ShardSummary, SummarizeOptions, thin};
use std::sync::Mutex;

/// Returns the uses of each parameter in a callee `%f` with the parameters `params` and this body.
fn uses_of(params: &str, body: &str) -> Vec<(AddressUse, u32)> {
    let text = format!(
        "function %f({params}) -> i64 system_v {{
            sig0 = (i64) -> i64 system_v
            fn0 = %external(i64) -> i64 system_v
        block0({}):
            {body}
        }}
        function %main() -> i64 system_v {{
            fn0 = %f({params}) -> i64 system_v
        block0:
            v0 = iconst.i64 0
            v1 = call fn0({})
            return v1
        }}",
        params
            .split(", ")
            .enumerate()
            .map(|(index, ty)| format!("v{index}: {ty}"))
            .collect::<Vec<_>>()
            .join(", "),
        vec!["v0"; params.split(", ").count()].join(", "),
    );
    let seen = Mutex::new(Vec::new());
    let policy = |site: &CallSite<'_>| {
        let uses = site.summary().parameters();
        let uses = uses.iter().map(|used| (used.address, used.accesses));
        seen.lock().unwrap().extend(uses);
        Decision::keep("only looking")
    };
    run(Inliner::new(policy), &program(&text));
    seen.into_inner().unwrap()
}

#[test]
fn summaries_tell_the_uses_of_addresses() {
    let all_kinds = uses_of(
        "i64, i64, i64, i64, i64, i64",
        "v10 = load.i64 v0+8
            v11 = iconst.i64 16
            v12 = iadd v11, v0
            store v10, v12
            v13 = call fn0(v1)
            v14 = load.i64 v1
            store v2, v0
            v15 = iadd v3, v10
            v16 = load.i64 v15
            v17 = icmp eq v4, v10
            brif v4, block1(v5), block1(v13)
        block1(v18: i64):
            return v18",
    );
    let expected = [
        (AddressUse::Accessed, 3),
        (AddressUse::PassedOn, 1),
        (AddressUse::Escapes, 0),
        (AddressUse::Escapes, 0),
        (AddressUse::Accessed, 0),
        (AddressUse::Escapes, 0),
    ];
    assert_eq!(all_kinds, expected);
    let returned = uses_of("i64, i64", "return v0");
    let expected = [(AddressUse::Escapes, 0), (AddressUse::Accessed, 0)];
    assert_eq!(returned, expected);
    let atomic = uses_of("i64", "v1 = atomic_load.i64 v0\n return v1");
    assert_eq!(atomic, [(AddressUse::Escapes, 0)]);
    let through_calls = uses_of("i64, i64", "v2 = call_indirect sig0, v0(v1)\n return v2");
    assert_eq!(through_calls[1], (AddressUse::PassedOn, 0));
}

/// Reads a record of two words.
const GET: &str = "function %get(i64) -> i64 system_v {
block0(v0: i64):
    v1 = load.i64 notrap aligned v0
    v2 = load.i64 notrap aligned v0+8
    v3 = iadd v1, v2
    return v3
}\n";

/// Returns a `%main` with a record in a slot, which it fills and then uses so.
fn with_record(slot: &str, rest: &str) -> String {
    format!(
        "{GET}function %main(i64) -> i64 system_v {{
            ss0 = explicit_slot 16{slot}
            fn0 = %get(i64) -> i64 system_v
            fn1 = %external(i64) -> i64 system_v
        block0(v0: i64):
            v1 = stack_addr.i64 ss0
            v2 = iconst.i64 8
            v3 = iadd v1, v2
            store notrap aligned v0, v1
            store notrap aligned v0, v3
            {rest}
        }}"
    )
}

/// Returns the facts about the one argument of each call of `%get`.
fn seen_of(inliner: impl Fn(Inliner<'_>) -> Inliner<'_>, text: &str) -> Vec<Option<SlotArgument>> {
    let seen = Mutex::new(Vec::new());
    let policy = |site: &CallSite<'_>| {
        if site.callee_name().to_string() == "%get" {
            seen.lock().unwrap().extend(site.slot_arguments());
        }
        Decision::keep("only looking")
    };
    run(inliner(Inliner::new(policy)), &program(text));
    seen.into_inner().unwrap()
}

fn counts(text: &str) -> Vec<Option<(usize, u32)>> {
    let seen = seen_of(|inliner| inliner, text);
    seen.iter()
        .map(|seen| seen.map(|slot| (slot.other_calls, slot.accesses)))
        .collect()
}

#[test]
fn sites_tell_which_slots_only_calls_keep() {
    let once = "v4 = call fn0(v1)\n return v4";
    assert_eq!(counts(&with_record("", once)), [Some((0, 2))]);
    let inside = "v4 = call fn0(v3)\n return v4";
    assert_eq!(counts(&with_record("", inside)), [Some((0, 2))]);
    let twice = "v4 = call fn0(v1)\n v5 = call fn0(v1)\n return v5";
    assert_eq!(counts(&with_record("", twice)), [Some((1, 2)); 2]);
    let external = "v4 = call fn0(v1)\n v5 = call fn1(v1)\n return v5";
    assert_eq!(counts(&with_record("", external)), [Some((1, 2))]);
    for stays in [
        "v4 = call fn0(v1)\n return v1",
        "v4 = call fn0(v1)\n store v1, v0\n return v4",
        "v4 = call fn0(v1)\n v5 = atomic_load.i64 v1\n return v4",
        "v4 = call fn0(v1)\n <ss0> sequence_point\n return v4",
        "v4 = call fn0(v1), stack_map=[i64 @ ss0+0]\n return v4",
        "v4 = call fn0(v1)\n v5 = iadd v1, v4\n v6 = load.i64 v5\n return v6",
        "v4 = call fn0(v1)\n brif v4, block1(v1), block1(v3)\n block1(v5: i64):\n return v4",
        "v4 = call fn0(v1)\n brif v4, block1(v0), block1(v1)\n block1(v5: i64):\n return v4",
        "v4 = call fn0(v0)\n return v4",
    ] {
        assert_eq!(counts(&with_record("", stays)), [None], "{stays}");
    }
    assert_eq!(counts(&with_record(", key = 3", once)), [None]);
}

#[test]
fn addresses_are_followed_through_parameters_that_are_always_the_same() {
    let join = "brif v0, block1(v1), block1(v1)
        block1(v4: i64):
            v5 = call fn0(v4)
            return v5";
    assert_eq!(counts(&with_record("", join)), [Some((0, 2))]);
    // A front end that seals its blocks late passes the address through both loops, and the second
    // word is reached from there.
    let loops = |back: &str| {
        format!(
            "jump block1(v1, v0)
            block1(v4: i64, v5: i64):
                jump block2(v4, v5)
            block2(v6: i64, v7: i64):
                v8 = call fn0(v6)
                v9 = iconst.i64 8
                v10 = iadd v6, v9
                v11 = load.i64 notrap aligned v10
                brif v8, block2({back}, v11), block3
            block3:
                brif v11, block1(v6, v8), block4
            block4:
                return v8"
        )
    };
    assert_eq!(counts(&with_record("", &loops("v6"))), [Some((0, 3))]);
    // A walk over the words keeps the slot.
    assert_eq!(counts(&with_record("", &loops("v10"))), [None]);
    assert_eq!(counts(&with_record("", &loops("v3"))), [None]);
    // Neither order of the edges hides that the ways differ.
    for (one, other) in [("v1", "v0"), ("v0", "v1")] {
        let differs = format!(
            "brif v0, block1({one}), block1({other})
            block1(v4: i64):
                v5 = call fn0(v4)
                return v5"
        );
        assert_eq!(counts(&with_record("", &differs)), [None]);
    }

    let joined = uses_of(
        "i64, i64",
        "brif v1, block1(v0), block2(v0)
        block1(v2: i64):
            jump block2(v2)
        block2(v3: i64):
            v4 = load.i64 v3+8
            brif v4, block2(v3), block3
        block3:
            return v4",
    );
    let expected = [(AddressUse::Accessed, 1), (AddressUse::Accessed, 0)];
    assert_eq!(joined, expected);
}

/// A function that builds its result in a slot of its own, and copies it to where the caller says.
const MAKE: &str = "function %make(i64, i64) system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 400{slot}
    fn0 = %external(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    store notrap aligned v1, v2
    v4 = iconst.i64 8
    v5 = iadd v2, v4
    store notrap aligned v1, v5
    store notrap aligned v1, v3+8
    {use}
    v6 = load.i64 notrap aligned v2
    v7 = load.i64 notrap aligned v2+8
    store notrap aligned v6, v0
    store notrap aligned v7, v0+8
    return
}
function %main(i64) -> i64 system_v {
    ss0 = explicit_slot 16
    fn0 = %make(i64, i64) system_v
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    call fn0(v1, v0)
    v2 = load.i64 notrap aligned v1
    return v2
}\n";

fn own_slots(slot: &str, with: &str) -> (usize, u64) {
    let text = MAKE.replace("{slot}", slot).replace("{use}", with);
    let seen = Mutex::new((0, 0));
    let policy = |site: &CallSite<'_>| {
        let own = site.summary().own_slots();
        *seen.lock().unwrap() = (own.insts, own.bytes);
        Decision::keep("only looking")
    };
    run(Inliner::new(policy), &program(&text));
    seen.into_inner().unwrap()
}

#[test]
fn summaries_tell_of_slots_that_no_caller_needs() {
    // Two addresses and one sum, three stores and two loads.
    assert_eq!(own_slots("", ""), (8, 416));
    let passed = "v8 = call fn0(v3)";
    assert_eq!(own_slots("", passed), (6, 16));
    assert_eq!(own_slots("", "store v3, v0+16"), (6, 16));
    assert_eq!(own_slots("", "<ss1> sequence_point"), (6, 16));
    assert_eq!(own_slots(", key = 1", ""), (6, 16));
    assert_eq!(
        own_slots("", "v8 = iadd v2, v1\n v9 = load.i64 v8"),
        (2, 400)
    );
}

#[test]
fn the_cost_model_does_not_count_slots_that_become_values_anyway() {
    let of = |optimize, with: &str| {
        let text = MAKE.replace("{slot}", "").replace("{use}", with);
        let program = program_exporting(&text, &["main", "make"]);
        reason(&run(
            Inliner::new(CostModel::default()).optimize(optimize),
            &program,
        ))
    };
    // Two stores, a constant and the return are left. The call, its arguments, two stores and a
    // load go.
    assert_eq!(
        of(Optimize::Inlined, ""),
        "cost 4 without 8 for its own slots, benefit 13, 1 slot may become values"
    );
    // Twelve instructions, and 160 bytes of slots more than are free.
    assert_eq!(of(Optimize::None, ""), "cost 17, benefit 10, threshold 30");
}

#[test]
fn slots_that_the_pass_leaves_in_memory_are_not_told() {
    let text = with_record("", "v4 = call fn0(v1)\n return v4");
    let none = seen_of(|inliner| inliner.optimize(Optimize::None), &text);
    assert_eq!(none, [None]);
    let untidy = seen_of(|inliner| inliner.clean_up(false), &text);
    assert_eq!(untidy, [None]);
    let mut options = OptimizeOptions::default();
    options.promote_slots = false;
    let off = seen_of(|inliner| inliner.optimize_options(options.clone()), &text);
    assert_eq!(off, [None]);
}

fn reason(inlined: &Inlined) -> String {
    let mut sites = inlined.sites().filter(|site| site.callee_id.is_some());
    let reason = sites.next().unwrap().reason.to_string();
    assert!(sites.next().is_none());
    reason
}

#[test]
fn the_cost_model_counts_slots_that_would_become_values() {
    let exported = ["main", "get"];
    let of = |slot: &str, rest: &str, model: CostModel| {
        let text = with_record(slot, rest);
        reason(&run(
            Inliner::new(model),
            &program_exporting(&text, &exported),
        ))
    };
    let once = "v4 = call fn0(v1)\n return v4";
    // The call, its argument and its result; two loads; two stores.
    assert_eq!(
        of("", once, CostModel::default()),
        "cost 4, benefit 14, 1 slot may become values"
    );
    assert_eq!(
        of(", key = 3", once, CostModel::default()),
        "cost 4, benefit 10"
    );
    let external = "v4 = call fn0(v1)\n v5 = call fn1(v1)\n return v4";
    assert_eq!(of("", external, CostModel::default()), "cost 4, benefit 12");
    let mut model = CostModel::default();
    model.max_promotion = 3;
    assert_eq!(
        of("", once, model),
        "cost 4, benefit 13, 1 slot may become values"
    );
    model.promoted_access = 0;
    assert_eq!(
        of("", once, model),
        "cost 4, benefit 10, 1 slot may become values"
    );
}

#[test]
fn a_record_that_would_become_values_tips_the_scales() {
    // A loop-free sum of 20 words: too large without the benefit of its 20 loads.
    let mut body = String::from("function %sum(i64) -> i64 system_v {\nblock0(v0: i64):\n");
    body += "    v100 = iconst.i64 0\n";
    for word in 0..20 {
        let (loaded, before, after) = (200 + word, 100 + word, 101 + word);
        body += &format!(
            "    v{loaded} = load.i64 notrap aligned v0+{}\n    v{after} = iadd v{before}, v{loaded}\n",
            8 * word
        );
    }
    body += "    return v120\n}\n";
    let caller = |key: &str| {
        format!(
            "{body}function %main(i64) -> i64 system_v {{
                ss0 = explicit_slot 160{key}
                fn0 = %sum(i64) -> i64 system_v
            block0(v0: i64):
                v1 = stack_addr.i64 ss0
                store notrap aligned v0, v1
                v2 = call fn0(v1)
                return v2
            }}"
        )
    };
    let inlined = |key: &str| {
        let program = program_exporting(&caller(key), &["main", "sum"]);
        let inlined = run(Inliner::new(CostModel::default()), &program);
        inlined.sites().filter(|site| site.inlined).count()
    };
    assert_eq!((inlined(""), inlined(", key = 1")), (1, 0));
}

/// A scripting language's `while let Some(n) = next(range)`: everything is exported, aggregates are
/// built in one slot after the other and copied, and each address goes through every loop.
const LATE_SEALED: &str = "
function %next(i64, i64) system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 32
    ss2 = explicit_slot 32
    ss3 = explicit_slot 32
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    v3 = stack_addr.i64 ss1
    v4 = stack_addr.i64 ss2
    v5 = stack_addr.i64 ss3
    v6 = load.i64 aligned v1
    v7 = load.i64 aligned v1+8
    v8 = icmp ult v6, v7
    v9 = iconst.i8 1
    v10 = icmp eq v8, v9
    brif v10, block1, block2
block1:
    v11 = iconst.i64 1
    v12 = iadd v6, v11
    store aligned v12, v2
    v13 = iconst.i64 8
    v14 = iadd v2, v13
    v15 = load.i64 aligned v1+8
    store aligned v15, v14
    v16 = load.i64 aligned v2
    v17 = load.i64 aligned v2+8
    store aligned v16, v3
    store aligned v17, v3+8
    v18 = iconst.i64 1
    store aligned v18, v3+16
    v19 = iconst.i64 24
    v20 = iadd v3, v19
    store aligned v6, v20
    v21 = load.i64 aligned v3
    v22 = load.i64 aligned v3+8
    v23 = load.i64 aligned v3+16
    v24 = load.i64 aligned v3+24
    store aligned v21, v5
    store aligned v22, v5+8
    store aligned v23, v5+16
    store aligned v24, v5+24
    jump block3(v0, v5)
block2:
    v25 = load.i64 aligned v1
    v26 = load.i64 aligned v1+8
    store aligned v25, v4
    store aligned v26, v4+8
    v27 = iconst.i64 0
    v28 = iconst.i64 16
    v29 = iadd v4, v28
    store aligned v27, v29
    v30 = load.i64 aligned v4
    v31 = load.i64 aligned v4+8
    v32 = load.i64 aligned v4+16
    v33 = load.i64 aligned v4+24
    store aligned v30, v5
    store aligned v31, v5+8
    store aligned v32, v5+16
    store aligned v33, v5+24
    jump block3(v0, v5)
block3(v34: i64, v35: i64):
    v36 = load.i64 aligned v35
    v37 = load.i64 aligned v35+8
    v38 = load.i64 aligned v35+16
    v39 = load.i64 aligned v35+24
    store aligned v36, v34
    store aligned v37, v34+8
    store aligned v38, v34+16
    store aligned v39, v34+24
    return
}
function %sum(i64) -> i64 system_v {
    ss0 = explicit_slot 16
    ss1 = explicit_slot 32
    ss2 = explicit_slot 32
    fn0 = colocated %next(i64, i64) system_v
block0(v0: i64):
    v1 = stack_addr.i64 ss0
    v2 = stack_addr.i64 ss1
    v3 = stack_addr.i64 ss2
    v4 = iconst.i64 0
    store aligned v4, v1
    v5 = iconst.i64 8
    v6 = iadd v1, v5
    store aligned v0, v6
    v7 = iconst.i8 1
    jump block1(v7, v1, v2, v3, v4)
block1(v10: i8, v11: i64, v12: i64, v13: i64, v14: i64):
    v9 = iconst.i8 1
    v15 = icmp eq v10, v9
    brif v15, block2, block6
block2:
    call fn0(v12, v11)
    v16 = load.i64 aligned v12
    v17 = load.i64 aligned v12+8
    v18 = load.i64 aligned v12+16
    v19 = load.i64 aligned v12+24
    store aligned v16, v13
    store aligned v17, v13+8
    store aligned v18, v13+16
    store aligned v19, v13+24
    v20 = load.i64 aligned v13
    v21 = load.i64 aligned v13+8
    store aligned v20, v11
    store aligned v21, v11+8
    v22 = iconst.i64 16
    v23 = iadd v13, v22
    v24 = load.i64 aligned v23
    brif v24, block3, block4
block3:
    v25 = load.i64 aligned v23+8
    v26 = iadd v14, v25
    jump block5(v10, v26)
block4:
    v27 = iconst.i8 0
    jump block5(v27, v14)
block5(v28: i8, v29: i64):
    jump block1(v28, v11, v12, v13, v29)
block6:
    return v14
}
";

/// Returns a model by which `%next`, at its full size, is too large even with the slots of `%sum`.
fn without_loops() -> CostModel {
    CostModel::default().with_loop_bonus(0)
}

fn has_only_values(program: &Program, name: &str) {
    let id = program.id(&name.parse().unwrap()).unwrap();
    let text = program[id].body().display().to_string();
    for gone in ["explicit_slot", "stack_addr", "call", "load", "store"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
}

#[test]
fn records_and_options_of_a_front_end_that_seals_late_become_values() {
    let program = program_exporting(LATE_SEALED, &["next", "sum"]);
    let inlined = run(Inliner::new(without_loops()), &program);
    has_only_values(inlined.program(), "sum");
    assert_eq!(
        reason(&inlined),
        "cost 23 without 38 for its own slots, benefit 27, 2 slots may become values"
    );
    let kept = Inliner::new(without_loops()).optimize(Optimize::None);
    assert!(!run(kept, &program).sites().any(|site| site.inlined));
}

#[test]
fn slots_that_become_values_count_across_shards() {
    let place = LATE_SEALED.find("function %sum").unwrap();
    let (next, sum) = LATE_SEALED.split_at(place);
    let shards = [("next", next), ("sum", sum)].map(|(name, text)| {
        let shard = program_exporting(text, &[name]);
        let summary = ShardSummary::summarize(&shard, name, &SummarizeOptions::default());
        (shard, summary)
    });
    let shown = shards[0].1.to_string();
    assert!(
        shown.contains("112 bytes of slots are its own, used by 38 instructions"),
        "{shown}"
    );
    let summaries = shards.each_ref().map(|(_, summary)| summary.clone());
    let inliner = Inliner::new(without_loops());
    let plans = thin(&summaries, None, &inliner).unwrap().plans;
    let linked = plans[1].link(&shards[1].0, |_| Some(shards[0].0.clone()));
    let linked = linked.unwrap();
    let (inlined, _) = linked.run_and_compile(&inliner, &*isa("x86_64")).unwrap();
    assert_eq!(linked.deviations(&inlined), []);
    has_only_values(inlined.program(), "sum");

    let kept = Inliner::new(without_loops()).optimize(Optimize::None);
    let kept = thin(&summaries, None, &kept).unwrap().plans;
    assert!(kept[1].imports().next().is_none());
}
