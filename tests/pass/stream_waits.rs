//! The functions for which a stream waits, and those for which it does not.

use super::support::{declared_keeping, id, isa, name, program_exporting};
use cranelift_codegen::ir::{Inst, SourceLoc};
use cranelift_inliner::cleanup::OptimizeOptions;
use cranelift_inliner::decide::{
    Always, CallSite, CostModel, Decision, EarlyCallee, FirstMatch, Inline, Limits, Never,
    PolicyReason, Small,
};
use cranelift_inliner::pass::{
    Inexact, Inlined, Inliner, Reason, SiteRecord, Stream, StreamError, Streamed,
};
use cranelift_inliner::profile::Profile;
use cranelift_inliner::program::{
    Attributes, FunctionId, InlineAttribute, Linkage, Program, SiteHint,
};
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

/// Returns a callee of about `insts` instructions, and its caller.
fn pair(insts: usize) -> Program {
    let mut text = String::from("function %callee(i64) -> i64 fast {\nblock0(v0: i64):\n");
    for value in 1..insts {
        let _ = writeln!(text, "    v{value} = bxor v{}, v0", value - 1);
    }
    let _ = writeln!(text, "    return v{}\n}}", insts - 1);
    text.push_str(
        "function %caller(i64) -> i64 fast {
             fn0 = %callee(i64) -> i64 fast
         block0(v0: i64):
             v1 = call fn0(v0)
             v2 = call fn0(v1)
             return v2
         }",
    );
    program_exporting(&text, &["caller"])
}

/// Returns the functions that are compiled before the body of `missing` comes. Checks that the
/// result is that of the whole program.
fn compiled_without(program: &Program, inliner: &Inliner<'_>, missing: &str) -> Vec<String> {
    let declared = declared_keeping(program);
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let streamed = inliner.stream(
        &declared,
        &*isa("x86_64"),
        &|id, _| sender.lock().unwrap().send(id).unwrap(),
        |stream| {
            let missing = id(program, missing);
            let ids: Vec<FunctionId> = program.ids().filter(|&id| id != missing).collect();
            // One thread: it is done with all that can be done when the last `define` returns.
            for &id in &ids {
                let hints = program[id].hints();
                stream
                    .define_with_hints(program[id].body().clone(), hints)
                    .unwrap();
            }
            let early = names(program, &receiver);
            let hints = program[missing].hints();
            stream
                .define_with_hints(program[missing].body().clone(), hints)
                .unwrap();
            early
        },
    );
    let streamed = streamed.unwrap();
    assert!(streamed.errors.is_empty() && streamed.is_exact);
    assert_same(program, inliner, &streamed);
    streamed.front_end
}

fn names(program: &Program, receiver: &Receiver<FunctionId>) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(id) = receiver.try_recv() {
        names.push(program[id].name().to_string());
    }
    names.sort();
    names
}

fn assert_same<T>(program: &Program, inliner: &Inliner<'_>, streamed: &Streamed<T>) {
    let isa = isa("x86_64");
    let (inlined, compiled) = inliner.run_and_compile(program, &*isa).unwrap();
    assert_eq!(
        streamed.inlined.program().to_clif().unwrap(),
        inlined.program().to_clif().unwrap()
    );
    assert!(streamed.compiled.iter().eq(compiled.iter()));
    let records = |inlined: &cranelift_inliner::pass::Inlined| -> Vec<String> {
        inlined.sites().map(|site| format!("{site:?}")).collect()
    };
    assert_eq!(records(&streamed.inlined), records(&inlined));
}

/// Runs in a pool of one thread: its queue is empty when `define` returns.
fn without(program: &Program, inliner: &Inliner<'_>, missing: &str) -> Vec<String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap()
        .install(|| compiled_without(program, inliner, missing))
}

#[test]
fn a_caller_waits_for_a_callee_that_may_be_inlined() {
    let program = pair(10);
    for inliner in [Inliner::new(Always), Inliner::new(CostModel::default())] {
        assert!(without(&program, &inliner, "callee").is_empty());
    }
}

#[test]
fn nothing_waits_for_a_body_that_its_size_rules_out() {
    let program = pair(2001);
    let inliner = Inliner::new(CostModel::default());
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
    let program = pair(201);
    let inliner = Inliner::new(Small::default());
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
    let limits = Limits::default().with_function_insts(200);
    let inliner = Inliner::new(Always).limits(limits);
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
}

/// A local function that is not wanted is compiled without its callers.
#[test]
fn a_body_that_its_size_rules_out_waits_for_nothing() {
    let inliner = Inliner::new(CostModel::default());
    assert_eq!(without(&pair(2001), &inliner, "caller"), ["%callee"]);
    assert!(without(&pair(10), &inliner, "caller").is_empty());
}

#[test]
fn under_never_nothing_waits() {
    let program = pair(10);
    let inliner = Inliner::new(Never);
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
    assert_eq!(without(&program, &inliner, "caller"), ["%callee"]);
}

#[test]
fn linkage_and_attributes_rule_out() {
    let inliner = Inliner::new(Always);
    let mut program = pair(10);
    program
        .set_linkage(&name("callee"), Linkage::Interposable)
        .unwrap();
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
    let mut program = pair(10);
    let never = Attributes::default().with_inline(InlineAttribute::Never);
    program.set_attributes(&name("callee"), never).unwrap();
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
}

/// A demand is met against the size, and so it is waited for.
#[test]
fn demands_are_waited_for() {
    let inliner = || Inliner::new(CostModel::default());
    let always = Attributes::default().with_inline(InlineAttribute::Always);
    let flatten = Attributes::default().with_flatten(true);
    for (function, attributes) in [("callee", always), ("caller", flatten)] {
        let mut program = pair(2001);
        program.set_attributes(&name(function), attributes).unwrap();
        assert!(without(&program, &inliner(), "callee").is_empty());
        let inliner = inliner().meet_demands(false);
        assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
    }
    for hint in [SiteHint::Always, SiteHint::Flatten, SiteHint::Cold] {
        let mut program = pair(2001);
        let caller = id(&program, "caller");
        program
            .set_hint(caller, first_call(&program), hint)
            .unwrap();
        let early = without(&program, &inliner(), "callee");
        match hint {
            SiteHint::Cold => assert_eq!(early, ["%caller"]),
            _ => assert!(early.is_empty(), "{hint}"),
        }
    }
}

fn first_call(program: &Program) -> Inst {
    let body = program[id(program, "caller")].body();
    let entry = body.layout.entry_block().unwrap();
    body.layout.first_inst(entry).unwrap()
}

#[test]
fn a_hint_that_demands_must_be_declared() {
    let program = pair(10);
    let declared = declared_keeping(&program);
    let body = program[id(&program, "caller")].body();
    let refused = |stream: &Stream<'_, '_>, inst, hint| {
        let hints = [(inst, hint)];
        let error = stream.define_with_hints(body.clone(), hints).unwrap_err();
        error.to_string()
    };
    let call = first_call(&program);
    let result = Inliner::new(Always).stream(&declared, &*isa("x86_64"), &|_, _| {}, |stream| {
        assert_eq!(
            refused(stream, call, SiteHint::Always),
            "%caller is not as declared: it has hints that demand inlining, which no function was \
             to have"
        );
        assert_eq!(
            refused(stream, Inst::from_u32(77), SiteHint::Cold),
            "%caller is not as declared: the hint for inst77 is not for a direct call"
        );
    });
    assert!(matches!(result, Err(StreamError::Missing { count: 2, .. })));
}

/// A function whose address is taken, and that no call names.
#[test]
fn an_address_is_waited_for_only_where_calls_of_it_may_become_direct() {
    let program = program_exporting(
        "function %target() fast {
         block0:
             return
         }
         function %main() fast {
             fn0 = %target() fast
             sig9 = () fast
         block0:
             v0 = func_addr.i64 fn0
             call_indirect sig9, v0()
             return
         }",
        &["main"],
    );
    let inliner = Inliner::new(Always);
    assert!(without(&program, &inliner, "target").is_empty());
    let options = OptimizeOptions::default().with_resolve_targets(false);
    let inliner = Inliner::new(Always).optimize_options(options);
    assert_eq!(without(&program, &inliner, "target"), ["%main"]);
}

/// The first policy keeps large functions, and the second inlines them.
#[test]
fn all_of_several_policies_must_rule_out() {
    let program = pair(2001);
    let both = FirstMatch::new().then(CostModel::default()).then(Never);
    let inliner = Inliner::new(both);
    assert_eq!(without(&program, &inliner, "callee"), ["%caller"]);
    let undecided = |_: &CallSite<'_>| Decision::Undecided;
    let either = FirstMatch::new().then(undecided).then(CostModel::default());
    assert!(without(&program, &Inliner::new(either), "callee").is_empty());
    let none = Inliner::new(FirstMatch::new());
    assert!(without(&program, &none, "callee").is_empty());
}

struct RulesOut;

impl Inline for RulesOut {
    fn decide(&self, _: &CallSite<'_>) -> Decision {
        Decision::inline("not ruled out")
    }

    fn rules_out(&self, callee: &EarlyCallee<'_>) -> Option<PolicyReason> {
        let local = callee.linkage() == Linkage::Local && !callee.is_address_taken();
        let recursive = callee.recursion().is_recursive() || callee.attributes().cold;
        let is_pair = callee.insts() == 10 && callee.call_sites() == 2;
        (local && !recursive && is_pair && *callee.name() == name("callee"))
            .then(|| "ruled out".into())
    }
}

#[test]
fn the_reason_of_the_policy_is_recorded() {
    let program = pair(10);
    let inlined = Inliner::new(RulesOut).run(&program).unwrap();
    assert_eq!(inlined.sites().count(), 2);
    for site in inlined.sites() {
        assert_eq!(site.reason, Reason::Policy("ruled out".into()));
        assert_eq!((site.inlined, site.callee_insts()), (false, 10));
    }
}

/// The functions come in the order of need: callees first, each once.
#[test]
fn a_front_end_may_ask_for_the_next_function() {
    let program = program_exporting(
        "function %main() fast {
             fn0 = %small() fast
             fn1 = %long() fast
         block0:
             call fn0()
             call fn1()
             return
         }
         function %small() fast {
         block0:
             return
         }
         function %long() fast {
             fn0 = %leaf() fast
         block0:
             call fn0()
             nop
             nop
             return
         }
         function %leaf() fast {
         block0:
             return
         }",
        &["main"],
    );
    let declared = declared_keeping(&program);
    let inliner = Inliner::new(Always);
    let streamed = inliner.stream(&declared, &*isa("x86_64"), &|_, _| {}, |stream| {
        // One that came by itself is not asked for.
        let small = program[id(&program, "small")].body();
        stream.define(small.clone()).unwrap();
        let mut order = Vec::new();
        while let Some(id) = stream.next_wanted() {
            order.push(program[id].name().to_string());
            stream.define(program[id].body().clone()).unwrap();
        }
        assert_eq!(stream.next_wanted(), None);
        order
    });
    let streamed = streamed.unwrap();
    assert_eq!(streamed.front_end, ["%leaf", "%long", "%main"]);
    assert_same(&program, &inliner, &streamed);
}

/// Whether a caller's exceptions are all caught decides whether it throws.
#[test]
fn calls_that_are_caught_are_declared() {
    let text = |rest: &str| {
        format!(
            "function %catches(i32) -> i32 tail {{
                 sig0 = (i32) -> i32 tail
                 fn0 = %thrower sig0
             block0(v0: i32):
                 try_call fn0(v0), sig0, block1(ret0), [ {rest} ]
             block1(v1: i32):
                 return v1
             block2:
                 return v0
             }}
             function %main(i32) -> i32 tail {{
                 sig0 = (i32) -> i32 tail
                 fn0 = %catches sig0
             block0(v0: i32):
                 try_call fn0(v0), sig0, block1(ret0), [ default: block2 ]
             block1(v1: i32):
                 return v1
             block2:
                 return v0
             }}"
        )
    };
    let caught = program_exporting(&text("default: block2"), &["main", "catches"]);
    let leaves = program_exporting(&text("tag1: block2"), &["main", "catches"]);
    let declared = declared_keeping(&caught);
    let inliner = Inliner::new(Never);
    let streamed = inliner.stream(&declared, &*isa("x86_64"), &|_, _| {}, |stream| {
        let body = leaves[id(&leaves, "catches")].body();
        let error = stream.define(body.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "%catches is not as declared: a call of %thrower has no handler for every exception, \
             against its declaration"
        );
        for (_, function) in caught.iter() {
            stream.define(function.body().clone()).unwrap();
        }
    });
    let streamed = streamed.unwrap();
    assert_same(&caught, &inliner, &streamed);
    let main = streamed.inlined.body(id(&caught, "main")).unwrap();
    assert!(!main.to_string().contains("try_call"), "{main}");
    assert_eq!(without(&leaves, &inliner, "catches"), ["%main"]);
}

/// The counts of a profile reach the policy, for the same sites as in the whole program.
#[test]
fn a_stream_has_a_profile() {
    let program = program_exporting(
        "function %add(i64, i64) -> i64 fast {
         block0(v0: i64, v1: i64):
             v2 = iadd v0, v1
             return v2
         }
         function %mul(i64, i64) -> i64 fast {
             fn0 = %add(i64, i64) -> i64 fast
         block0(v0: i64, v1: i64):
             v2 = call fn0(v0, v0)
             v3 = call fn0(v1, v2)
             return v3
         }
         function %main(i64) -> i64 fast {
             fn0 = %mul(i64, i64) -> i64 fast
             fn1 = %add(i64, i64) -> i64 fast
         block0(v0: i64):
             v1 = call fn1(v0, v0)
             v2 = call fn0(v0, v1)
             v3 = call fn1(v1, v2)
             return v3
         }",
        &["main"],
    );
    let graph = cranelift_inliner::graph::CallGraph::new(&program);
    let mut profile = Profile::new();
    for (number, (site, site_name)) in (0..).zip(graph.site_names()) {
        profile.insert(site_name, graph.site_location(site.id), 1000 * number);
    }
    let counted = |site: &CallSite<'_>| match site.count() {
        Some(count) if count > 1500 => Decision::inline("counted"),
        _ => Decision::keep("seldom"),
    };
    let inliner = Inliner::new(counted).profile(&profile);
    for order in [[0, 1, 2], [2, 1, 0]] {
        let declared = declared_keeping(&program);
        let streamed = inliner.stream(&declared, &*isa("x86_64"), &|_, _| {}, |stream| {
            for index in order {
                let id = program.ids().nth(index).unwrap();
                stream.define(program[id].body().clone()).unwrap();
            }
        });
        let streamed = streamed.unwrap();
        assert_same(&program, &inliner, &streamed);
        assert!(streamed.inlined.sites().any(|site| site.inlined));
    }
}

/// The whole program leaves out the counts of calls that are elsewhere now, before it looks at any
/// other. A stream sees that a call has moved only with the body.
#[test]
fn a_stream_with_a_profile_of_another_program_is_not_exact() {
    let caller = |name: &str, callee: &str| {
        format!(
            "function %{name}(i64) -> i64 fast {{
                 fn0 = %{callee}(i64) -> i64 fast
             block0(v0: i64):
             @0001 v1 = call fn0(v0)
                 return v1
             }}\n"
        )
    };
    let leaf = "function %leaf(i64) -> i64 fast {\nblock0(v0: i64):\n return v0\n}\n";
    let callers = [("middle", "leaf"), ("other", "middle"), ("main", "middle")];
    let callers = callers.map(|(name, callee)| caller(name, callee));
    let program = program_exporting(&(leaf.to_owned() + &callers.concat()), &["other", "main"]);
    let graph = cranelift_inliner::graph::CallGraph::new(&program);
    let moved = |caller: &str| {
        let mut profile = Profile::new();
        for (site, name) in graph.site_names() {
            let location = match name.caller.to_string() == caller {
                true => SourceLoc::new(7),
                false => graph.site_location(site.id),
            };
            profile.insert(name, location, 100);
        }
        profile
    };
    for (caller, is_exact) in [("", true), ("%other", false)] {
        let profile = moved(caller);
        assert_eq!(profile.mismatches(&graph).is_empty(), is_exact);
        let into_main = |site: &CallSite<'_>| match site.caller_name().to_string() == "%main" {
            true => Decision::inline("into main"),
            false => Decision::keep("elsewhere"),
        };
        let inliner = Inliner::new(into_main).profile(&profile);
        let declared = declared_keeping(&program);
        let streamed = inliner.stream(&declared, &*isa("x86_64"), &|_, _| {}, |stream| {
            for (_, function) in program.iter() {
                stream.define(function.body().clone()).unwrap();
            }
        });
        let streamed = streamed.unwrap();
        assert_eq!(streamed.is_exact, is_exact);
        let moved = caller.parse().map(Inexact::Moved).ok();
        assert_eq!(streamed.inexact, moved);
        let counts = |inlined: &Inlined| {
            let counts: Vec<Option<u64>> = inlined.sites().map(SiteRecord::count).collect();
            counts
        };
        let whole = inliner.run(&program).unwrap();
        assert_eq!(counts(&streamed.inlined) == counts(&whole), is_exact);
    }
}
