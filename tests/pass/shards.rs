//! Programs in shards: summaries, plans made from them, and shards with imports.

use super::support::{POLICIES, calls_left, isa, name, policy, program};
use cranelift_inliner::decide::{Always, CostModel, Decision, Never, from_fn_mut};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::profile::Profile;
use cranelift_inliner::program::{Attributes, InlineAttribute, Linkage, Program, SiteHint};
use cranelift_inliner::shard::{
    LinkError, LinkedShard, MissingReason, ParseShardPlanError, ShardPlan, ShardPlanProblem,
    ShardSummary, SummarizeOptions, SummaryError, Thin, ThinError, thin,
};
use std::collections::BTreeSet;

const MAIN: &str = "
    function %main(i32) -> i32 fast {
        fn0 = %middle(i32) -> i32 fast
        fn1 = %helper(i32) -> i32 fast
    block0(v0: i32):
        v1 = call fn0(v0)
        v2 = call fn1(v1)
        return v2
    }
    function %helper(i32) -> i32 fast {
    block0(v0: i32):
        v1 = iadd v0, v0
        return v1
    }";

/// Its helper is another function than that of the other shard.
const MIDDLE: &str = "
    function %middle(i32) -> i32 fast {
        fn0 = %helper(i32) -> i32 fast
        fn1 = %large(i32) -> i32 fast
    block0(v0: i32):
        v1 = call fn0(v0)
        v2 = call fn1(v1)
        return v2
    }
    function %helper(i32) -> i32 fast {
    block0(v0: i32):
        v1 = imul v0, v0
        return v1
    }
    function %large(i32) -> i32 fast {
        fn0 = %outside(i32) -> i32 fast
        fn1 = %large(i32) -> i32 fast
    block0(v0: i32):
        brif v0, block1, block2
    block1:
        v1 = call fn1(v0)
        return v1
    block2:
        v2 = call fn0(v0)
        v3 = call fn0(v2)
        v4 = call fn0(v3)
        v5 = call fn0(v4)
        v6 = call fn0(v5)
        v7 = call fn0(v6)
        v8 = call fn0(v7)
        return v8
    }";

fn shard(text: &str, exported: &[&str]) -> Program {
    let mut program = program(text);
    let names: Vec<_> = exported.iter().map(|text| name(text)).collect();
    program.export_only(&names).unwrap();
    program
}

fn main_and_middle() -> [(&'static str, Program); 2] {
    [
        ("main.clif", shard(MAIN, &["main"])),
        ("middle.clif", shard(MIDDLE, &["middle"])),
    ]
}

fn summaries(shards: &[(&str, Program)]) -> Vec<ShardSummary> {
    let options = SummarizeOptions::default();
    let shards = shards.iter();
    shards
        .map(|(name, program)| ShardSummary::summarize(program, name, &options))
        .collect()
}

fn plan<'t>(thin: &'t Thin, shard: &str) -> &'t ShardPlan {
    let mut plans = thin.plans.iter();
    plans.find(|plan| plan.shard() == shard).unwrap()
}

fn link(plan: &ShardPlan, shards: &[(&str, Program)]) -> LinkedShard {
    let of = |name: &str| {
        let mut shards = shards.iter();
        Some(shards.find(|(shard, _)| *shard == name)?.1.clone())
    };
    plan.link(&of(plan.shard()).unwrap(), of).unwrap()
}

#[test]
fn a_shard_inlines_functions_of_another_with_their_copied_calls() {
    let shards = main_and_middle();
    let inliner = Inliner::new(CostModel::default());
    let thin = thin(&summaries(&shards), None, &inliner).unwrap();
    let main = plan(&thin, "main.clif");
    let linked = link(main, &shards);
    assert_eq!(linked.missing(), []);
    let isa = isa("x86_64");
    let (inlined, compiled) = linked.run_and_compile(&inliner, &*isa).unwrap();
    assert_eq!(linked.deviations(&inlined), []);
    // Only the call of the large function of the other shard is left.
    assert_eq!(calls_left(&inlined, linked.program(), "main"), 1);
    assert_eq!(compiled.iter().len(), 1, "helpers and imports are gone");
    let text = inlined.program().to_clif().unwrap();
    assert!(text.contains("imul") && text.contains("iadd"), "{text}");
    // So the other shard keeps it under the name by which it is called here.
    let other = link(plan(&thin, "middle.clif"), &shards);
    let hidden: Vec<String> = other.plan().hidden().map(ToString::to_string).collect();
    assert_eq!(hidden.len(), 1, "{hidden:?}");
    assert!(hidden[0].starts_with("%large_in_"), "{hidden:?}");
    assert!(text.contains(&hidden[0]), "{text}");
    let inlined = other.run(&inliner).unwrap();
    let kept: BTreeSet<String> = inlined
        .program()
        .iter()
        .map(|(_, function)| function.name().to_string())
        .collect();
    assert_eq!(
        kept,
        BTreeSet::from(["%middle".to_owned(), hidden[0].clone()])
    );
}

#[test]
fn plans_depend_on_neither_threads_nor_the_order_of_summaries() {
    let shards = main_and_middle();
    for text in POLICIES {
        let inliner = Inliner::new(policy(text));
        let mut texts = BTreeSet::new();
        for threads in [1, 4] {
            let pool = rayon_pool(threads);
            pool.install(|| {
                let mut summaries = summaries(&shards);
                for _ in 0..2 {
                    let thin = thin(&summaries, None, &inliner).unwrap();
                    let plans = thin.plans.iter().map(ToString::to_string);
                    texts.insert(plans.collect::<String>());
                    summaries.reverse();
                }
            });
        }
        assert_eq!(texts.len(), 1, "{text}");
    }
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    builder.build().unwrap()
}

#[test]
fn the_same_calls_are_inlined_as_in_the_whole_program() {
    let text = "
        function %main(i32) -> i32 fast {
            fn0 = %even(i32) -> i32 fast
            fn1 = %leaf(i32) -> i32 fast
        block0(v0: i32):
            v1 = call fn0(v0)
            v2 = call fn1(v1)
            return v2
        }
        function %even(i32) -> i32 fast {
            fn0 = %odd(i32) -> i32 fast
        block0(v0: i32):
            v1 = call fn0(v0)
            return v1
        }
        function %odd(i32) -> i32 fast {
            fn0 = %even(i32) -> i32 fast
            fn1 = %leaf(i32) -> i32 fast
        block0(v0: i32):
            brif v0, block1, block2
        block1:
            v1 = call fn0(v0)
            return v1
        block2:
            v2 = call fn1(v0)
            return v2
        }
        function %leaf(i32) -> i32 fast {
        block0(v0: i32):
            v1 = iadd v0, v0
            return v1
        }";
    let whole = program(text);
    for policy_name in POLICIES {
        let inliner = Inliner::new(policy(policy_name));
        let expected = inliner.run(&whole).unwrap();
        // Each function is a shard.
        let shards: Vec<(String, Program)> = whole
            .iter()
            .map(|(_, function)| {
                let mut shard = Program::new();
                shard.add_function(function.clone()).unwrap();
                (function.name().to_string(), shard)
            })
            .collect();
        let shards: Vec<_> = shards
            .iter()
            .map(|(name, shard)| (name.as_str(), shard.clone()))
            .collect();
        let thin = thin(&summaries(&shards), None, &inliner).unwrap();
        for (id, function) in whole.iter() {
            let own = function.name().to_string();
            let linked = link(plan(&thin, &own), &shards);
            let inlined = linked.run(&inliner).unwrap();
            assert_eq!(linked.deviations(&inlined), [], "{policy_name}");
            let here = linked.program().id(function.name()).unwrap();
            assert_eq!(
                inlined.body(here).unwrap().to_string(),
                expected.body(id).unwrap().to_string(),
                "{policy_name}"
            );
        }
    }
}

#[test]
fn bytes_that_were_changed_are_no_summary() {
    let [(shard, program), _] = main_and_middle();
    let summary = ShardSummary::summarize(&program, shard, &SummarizeOptions::default());
    let bytes = summary.to_bytes();
    assert_eq!(ShardSummary::from_bytes(&bytes).unwrap(), summary);
    for end in 0..bytes.len() {
        assert!(
            ShardSummary::from_bytes(&bytes[..end]).is_err(),
            "{end} bytes"
        );
    }
    for place in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[place] ^= change;
            assert!(ShardSummary::from_bytes(&bytes).is_err(), "at {place}");
        }
    }
    let long = [&bytes[..], &[0]].concat();
    assert!(matches!(
        ShardSummary::from_bytes(&long),
        Err(SummaryError::Length { .. })
    ));
    assert_eq!(
        ShardSummary::from_bytes(b"\x7fELF and more"),
        Err(SummaryError::NoSummary)
    );
    let mut newer = bytes.clone();
    newer[8] = 77;
    assert_eq!(
        ShardSummary::from_bytes(&newer),
        Err(SummaryError::Version(77))
    );
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 4;
    assert_eq!(
        ShardSummary::from_bytes(&changed),
        Err(SummaryError::Checksum)
    );
}

#[test]
fn a_hash_changes_with_its_function_alone() {
    let hashes = |text: &str| {
        let program = program(text);
        let summary = ShardSummary::summarize(&program, "s", &SummarizeOptions::default());
        let hash = |text: &str| summary.hash(&name(text)).unwrap();
        [hash("middle"), hash("helper"), hash("large")]
    };
    let before = hashes(MIDDLE);
    assert_eq!(hashes(&format!("; moved\n\n{MIDDLE}")), before);
    let after = hashes(&MIDDLE.replace("imul v0, v0", "iadd v0, v0"));
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert_eq!(after[2], before[2]);
    let renamed = hashes(&MIDDLE.replace("%outside", "%inside"));
    assert_ne!(renamed[2], before[2]);
}

#[test]
fn imports_that_are_not_there_stay_calls() {
    let [main, (middle, program_of_middle)] = main_and_middle();
    let shards = [main.clone(), (middle, program_of_middle)];
    let inliner = Inliner::new(CostModel::default());
    let thin = thin(&summaries(&shards), None, &inliner).unwrap();
    let plan = plan(&thin, "main.clif");
    let edited = shard(&MIDDLE.replace("imul v0, v0", "isub v0, v0"), &["middle"]);
    let only_middle = {
        let mut program = Program::new();
        let id = edited.id(&name("middle")).unwrap();
        program.add_function(edited[id].clone()).unwrap();
        program
    };
    for (there, reasons) in [
        (None, vec![MissingReason::NoShard; 2]),
        (
            Some(edited),
            vec![MissingReason::Changed, MissingReason::Incomplete],
        ),
        (
            Some(only_middle),
            vec![MissingReason::NoFunction, MissingReason::Incomplete],
        ),
    ] {
        let linked = plan.link(&main.1, |_| there.clone()).unwrap();
        // Nothing is called that no shard would have.
        let mut found: Vec<_> = linked
            .missing()
            .iter()
            .map(|missing| missing.reason)
            .collect();
        found.sort_by_key(|reason| *reason == MissingReason::Incomplete);
        assert_eq!(found, reasons);
        let isa = isa("x86_64");
        let (inlined, _) = linked.run_and_compile(&inliner, &*isa).unwrap();
        let left = calls_left(&inlined, linked.program(), "main");
        assert_eq!(left, 1);
        let text = inlined.program().to_clif().unwrap();
        assert!(!text.contains("helper_in"), "{text}");
        assert!(!linked.deviations(&inlined).is_empty());
    }
}

#[test]
fn a_plan_for_another_version_of_the_shard_is_refused() {
    let shards = main_and_middle();
    let inliner = Inliner::new(CostModel::default());
    let thin = thin(&summaries(&shards), None, &inliner).unwrap();
    let other = shard("function %other() {\nblock0:\n return\n}", &["other"]);
    let linked = plan(&thin, "main.clif").link(&other, |_| None::<Program>);
    let Err(LinkError::Undefined { name: lacking, .. }) = linked else {
        panic!("{linked:?}");
    };
    assert_eq!(lacking, name("helper"));
}

#[test]
fn texts_that_are_no_plans_are_refused_with_their_line() {
    let shards = main_and_middle();
    let inliner = Inliner::new(CostModel::default());
    let thin = thin(&summaries(&shards), None, &inliner).unwrap();
    let text = plan(&thin, "main.clif").to_string();
    assert_eq!(
        &text.parse::<ShardPlan>().unwrap(),
        plan(&thin, "main.clif")
    );
    // A plan that was cut is none, wherever it was cut.
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        assert!(
            text[..end].parse::<ShardPlan>().is_err(),
            "{}",
            &text[..end]
        );
        end += line.len();
    }
    let problem = |text: &str| text.parse::<ShardPlan>().unwrap_err();
    let ParseShardPlanError {
        line,
        problem: first,
        ..
    } = problem("clif-inline plan 2\nend\n");
    assert_eq!((line, first), (1, ShardPlanProblem::NoShardPlan));
    let newer = text.replacen("shard 1", "shard 2", 1);
    assert_eq!(
        problem(&newer).problem,
        ShardPlanProblem::Version("2".to_owned())
    );
    for (from, to, line, expected) in [
        ("local %helper", "lokal %helper", 3, "lokal"),
        ("local %helper", "local", 3, "name"),
        (
            "local %helper",
            "local %helper\nlocal %helper",
            4,
            "already",
        ),
        ("from \"middle.clif\"", "", 6, "from"),
        ("  import %middle ", "  import %middle x", 7, "hash"),
    ] {
        assert!(text.contains(from), "{text}");
        let error = problem(&text.replacen(from, to, 1));
        assert_eq!(error.line, line, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn definitions_of_a_program_must_not_contradict_each_other() {
    let text = "function %f() {\nblock0:\n return\n}";
    let [a, b] = ["a", "b"].map(|shard_name| (shard_name, shard(text, &["f"])));
    let inliner = Inliner::new(Always);
    let both = [a.clone(), b.clone()];
    assert_eq!(
        thin(&summaries(&both), None, &inliner).unwrap_err(),
        ThinError::DuplicateDefinition {
            name: name("f"),
            first: "a".to_owned(),
            second: "b".to_owned(),
        }
    );
    let twice = summaries(&[a.clone(), a]);
    assert_eq!(
        thin(&twice, None, &inliner).unwrap_err(),
        ThinError::DuplicateShard("a".to_owned())
    );
    let exported = [name("g")].into_iter().collect();
    assert_eq!(
        thin(&summaries(&[b]), Some(&exported), &inliner).unwrap_err(),
        ThinError::Undefined(name("g"))
    );
}

#[test]
fn one_of_several_equal_definitions_is_kept() {
    let text = |caller: &str| {
        format!(
            "function %{caller}(i32) -> i32 fast {{
                fn0 = %generic(i32) -> i32 fast
            block0(v0: i32):
                v1 = call fn0(v0)
                return v1
            }}
            function %generic(i32) -> i32 fast {{
                fn0 = %outside(i32) -> i32 fast
            block0(v0: i32):
                v1 = call fn0(v0)
                return v1
            }}"
        )
    };
    let shards = ["a", "b", "c"].map(|caller| (caller, program(&text(caller))));
    let options = SummarizeOptions::default().with_once([name("generic")].into_iter().collect());
    let summaries: Vec<_> = shards
        .iter()
        .map(|(shard, program)| ShardSummary::summarize(program, shard, &options))
        .collect();
    for inliner in [Inliner::new(Always), Inliner::new(Never)] {
        let thin = thin(&summaries, None, &inliner).unwrap();
        let mut definitions = 0;
        for plan in &thin.plans {
            let linked = link(plan, &shards);
            let inlined = linked.run(&inliner).unwrap();
            assert_eq!(linked.deviations(&inlined), []);
            definitions += usize::from(inlined.program().id(&name("generic")).is_some());
        }
        assert_eq!(definitions, 1);
    }
}

#[test]
fn only_functions_that_are_called_from_outside_count_as_exported() {
    let shards = [
        ("main", program(MAIN)),
        (
            "other",
            program(
                "
            function %middle(i32) -> i32 fast {
            block0(v0: i32):
                v1 = iadd v0, v0
                return v1
            }",
            ),
        ),
    ];
    let inliner = Inliner::new(CostModel::default());
    let exported = [name("main")].into_iter().collect();
    let thin = thin(&summaries(&shards), Some(&exported), &inliner).unwrap();
    let linked = link(plan(&thin, "other"), &shards);
    // Its only call is inlined.
    assert!(linked.run(&inliner).unwrap().program().is_empty());
}

#[test]
fn attributes_and_hints_hold_across_shards() {
    let middle = name("middle");
    let inlined_with = |attribute: Option<InlineAttribute>, hint: Option<SiteHint>| {
        let [mut main, mut other] = main_and_middle();
        if let Some(attribute) = attribute {
            let attributes = Attributes::default().with_inline(attribute);
            other.1.set_attributes(&middle, attributes).unwrap();
        }
        if let Some(hint) = hint {
            let id = main.1.id(&name("main")).unwrap();
            let body = main.1[id].body();
            let entry = body.layout.entry_block().unwrap();
            let call = body.layout.first_inst(entry).unwrap();
            main.1.set_hint(&name("main"), call, hint).unwrap();
        }
        let inliner = Inliner::new(Never);
        let thin = thin(&summaries(&[main, other]), None, &inliner).unwrap();
        plan(&thin, "main.clif").plan().inlined()
    };
    assert_eq!(inlined_with(None, None), 0);
    assert_eq!(inlined_with(Some(InlineAttribute::Always), None), 1);
    assert_eq!(inlined_with(None, Some(SiteHint::Always)), 1);
    assert_eq!(
        inlined_with(Some(InlineAttribute::Always), Some(SiteHint::Never)),
        0
    );
    // With the helper and the large function in it.
    assert_eq!(inlined_with(None, Some(SiteHint::Flatten)), 3);
}

#[test]
fn counts_of_a_profile_come_with_summaries() {
    let shards = main_and_middle();
    let graph = cranelift_inliner::graph::CallGraph::new(&shards[1].1);
    let mut profile = Profile::new();
    for (site, site_name) in graph.site_names() {
        profile.insert(site_name, graph.site_location(site.id), 1_000_000);
    }
    let inliner = Inliner::new(CostModel::default());
    let inlined = |profile: Profile| {
        let options = SummarizeOptions::default().with_profile(profile);
        let [a, b] = &shards;
        let summaries = [
            ShardSummary::summarize(&a.1, a.0, &SummarizeOptions::default()),
            ShardSummary::summarize(&b.1, b.0, &options),
        ];
        let read = summaries.map(|s| ShardSummary::from_bytes(&s.to_bytes()).unwrap());
        let thin = thin(&read, None, &inliner).unwrap();
        plan(&thin, "middle.clif").plan().inlined()
    };
    assert_eq!(inlined(Profile::new()), 1);
    assert_eq!(inlined(profile), 2, "the large function is hot");
}

#[test]
fn summaries_do_not_hold_bodies() {
    let [_, (shard, middle)] = main_and_middle();
    let summary = ShardSummary::summarize(&middle, shard, &SummarizeOptions::default());
    let text = summary.to_string();
    for expected in [
        "shard \"middle.clif\"",
        "function %middle(i32) -> i32 fast",
        "local, hash ",
        "call %outside(parameter 0)",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("imul"), "{text}");
    assert_eq!((summary.functions(), summary.sites()), (3, 10));
}

#[test]
fn functions_whose_address_is_taken_are_one_function_for_all_shards() {
    let shards = [
        (
            "a",
            program(
                "
            function %main() -> i64 fast {
                fn0 = %pointer() -> i64 fast
            block0:
                v0 = call fn0()
                return v0
            }",
            ),
        ),
        (
            "b",
            shard(
                "
            function %pointer() -> i64 fast {
                fn0 = %target() fast
            block0:
                v0 = func_addr.i64 fn0
                return v0
            }
            function %target() fast {
            block0:
                return
            }",
                &["pointer"],
            ),
        ),
    ];
    let inliner = Inliner::new(Always);
    let thin = thin(&summaries(&shards), None, &inliner).unwrap();
    let a = link(plan(&thin, "a"), &shards);
    let b = link(plan(&thin, "b"), &shards);
    let text = a.run(&inliner).unwrap().program().to_clif().unwrap();
    let hidden: Vec<_> = b.plan().hidden().map(ToString::to_string).collect();
    assert_eq!(hidden.len(), 1);
    assert!(
        text.contains("func_addr") && text.contains(&hidden[0]),
        "{text}"
    );
    let id = b.program().id(&name(&hidden[0])).unwrap();
    assert_eq!(b.program()[id].linkage(), Linkage::Exported);
}

#[test]
fn handlers_of_calls_of_quiet_functions_elsewhere_go() {
    let shards = [
        (
            "a",
            program(
                "
            function %main(i64) -> i64 tail {
                sig0 = (i64) -> i64 tail
                fn0 = %quiet(i64) -> i64 tail
            block0(v0: i64):
                try_call fn0(v0), sig0, block1(ret0), [ default: block2(v0) ]
            block1(v1: i64):
                return v1
            block2(v2: i64):
                return v2
            }",
            ),
        ),
        (
            "b",
            program(
                "
            function %quiet(i64) -> i64 tail {
            block0(v0: i64):
                v1 = imul v0, v0
                return v1
            }",
            ),
        ),
    ];
    let options = SummarizeOptions::default();
    let summaries: Vec<_> = shards
        .iter()
        .map(|(shard, program)| ShardSummary::summarize(program, shard, &options))
        .collect();
    let inliner = Inliner::new(Never);
    let plans = thin(&summaries, None, &inliner).unwrap().plans;
    let linked = link(&plans[0], &shards);
    let main = linked.program().id(&name("main")).unwrap();
    let run = linked.run(&inliner).unwrap();
    let (compiled, _) = linked.run_and_compile(&inliner, &*isa("x64")).unwrap();
    for inlined in [run, compiled] {
        let text = inlined.body(main).unwrap().display().to_string();
        assert!(!text.contains("try_call"), "{text}");
    }
}

/// A record has the final size of a callee that its callers wait for.
#[test]
fn callers_do_not_wait_for_functions_that_the_plan_never_inlines() {
    let text = "
        function %main(i64) -> i64 fast {
            sig0 = (i64) -> i64 fast
            fn0 = %kept sig0
            fn1 = %taken sig0
        block0(v0: i64):
            v1 = call fn0(v0)
            v2 = call fn1(v1)
            v3 = func_addr.i64 fn1
            v4 = load.i64 v3
            v5 = call_indirect sig0, v4(v2)
            return v5
        }
        function %kept(i64) -> i64 fast {
            fn0 = %leaf(i64) -> i64 fast
        block0(v0: i64):
            v1 = call fn0(v0)
            return v1
        }
        function %taken(i64) -> i64 fast {
            fn0 = %leaf(i64) -> i64 fast
        block0(v0: i64):
            v1 = call fn0(v0)
            return v1
        }
        function %leaf(i64) -> i64 fast {
        block0(v0: i64):
            v1 = imul v0, v0
            v2 = imul v1, v0
            v3 = imul v2, v0
            return v3
        }";
    let shards = [("s", program(text))];
    let only_leaf = from_fn_mut(|site| match site.callee_name() == &name("leaf") {
        true => Decision::inline("leaf"),
        false => Decision::keep("no leaf"),
    });
    let inliner = Inliner::new(only_leaf);
    let thin = thin(&summaries(&shards), None, &inliner).unwrap();
    let linked = link(plan(&thin, "s"), &shards);
    let inlined = linked.run(&inliner).unwrap();
    assert_eq!(linked.deviations(&inlined), []);
    let size_of = |callee: &str| {
        let mut sites = inlined.sites();
        let site = sites.find(|site| site.callee == name(callee)).unwrap();
        assert!(!site.inlined);
        site.callee_insts()
    };
    // The call and the return; in its place, the body of the leaf.
    assert_eq!(size_of("kept"), 2);
    // An indirect call might turn out to call it.
    assert_eq!(size_of("taken"), 4);
}
