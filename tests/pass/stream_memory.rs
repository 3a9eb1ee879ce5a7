//! Bodies that a stream holds, and when it frees them.

use super::fallback::{LARGE, with_frame};
use super::support::{declared_keeping, id, isa, leaf, program_exporting, through};
use cranelift_codegen::ir::Function;
use cranelift_inliner::cleanup::{OptimizeOptions, TableFunction, Tables};
use cranelift_inliner::decide::{Always, CostModel, Inline, Limits, Never};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{DeclaredProgram, Inliner, Optimize, Stream, Streamed};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

/// Returns a program in which each function calls the one before, in a line.
fn chain(length: usize) -> Program {
    let mut text = leaf("f0", 3);
    for number in 1..length {
        text += &through(&format!("f{number}"), &[&format!("f{}", number - 1)]);
    }
    let names: Vec<String> = (0..length).map(|number| format!("f{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    program_exporting(&text, &names)
}

/// The bodies that came in, none of which the test holds.
#[derive(Default)]
struct Bodies(Mutex<BTreeMap<FunctionId, Weak<Function>>>);

impl Bodies {
    fn define(&self, stream: &Stream<'_, '_>, program: &Program, id: FunctionId) {
        let body = Arc::new(Function::clone(program[id].body()));
        self.0.lock().unwrap().insert(id, Arc::downgrade(&body));
        stream.define(body).unwrap();
    }

    fn held(&self, program: &Program) -> Vec<String> {
        let bodies = self.0.lock().unwrap();
        let held = bodies.iter().filter(|(_, body)| body.strong_count() > 0);
        held.map(|(&id, _)| program[id].name().to_string())
            .collect()
    }
}

/// Runs a stream in a pool of one thread: all that can be done is when a call of `define` returns.
fn in_turn<T: Send>(
    inliner: &Inliner<'_>,
    declared: &DeclaredProgram,
    front_end: impl FnOnce(&Stream<'_, '_>) -> T + Send,
) -> Streamed<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let isa = isa("x86_64");
    let stream = || inliner.stream(declared, &*isa, &|_, _| {}, front_end);
    let streamed = pool.unwrap().install(stream).unwrap();
    assert!(streamed.errors.is_empty());
    streamed
}

/// Runs a stream of `program` with the bodies in the order `names`, and returns the original bodies
/// that are held after each of them.
fn held_after(inliner: &Inliner<'_>, program: &Program, names: &[&str]) -> Vec<Vec<String>> {
    let mut declared = DeclaredProgram::of(program).unwrap();
    declared.queue_capacity = Some(0);
    let bodies = Bodies::default();
    let streamed = in_turn(inliner, &declared, |stream| {
        let ids = names.iter().map(|name| id(program, name));
        ids.map(|id| {
            bodies.define(stream, program, id);
            bodies.held(program)
        })
        .collect::<Vec<_>>()
    });
    assert_same_code(program, inliner, &streamed);
    streamed.front_end
}

fn assert_same_code<T>(program: &Program, inliner: &Inliner<'_>, streamed: &Streamed<T>) {
    let (inlined, compiled) = inliner.run_and_compile(program, &*isa("x86_64")).unwrap();
    assert!(streamed.compiled.iter().eq(compiled.iter()));
    let fallbacks: Vec<_> = compiled.fallbacks().map(|(id, _)| id).collect();
    let streamed_fallbacks: Vec<_> = streamed.compiled.fallbacks().map(|(id, _)| id).collect();
    assert_eq!(streamed_fallbacks, fallbacks);
    for (id, _) in program.iter() {
        assert_eq!(streamed.inlined.stats(id), inlined.stats(id));
        assert_eq!(streamed.compiled.locations(id), compiled.locations(id));
        let records = |of: &cranelift_inliner::pass::Inlined| format!("{:?}", of.sites_of(id));
        assert_eq!(records(&streamed.inlined), records(&inlined));
    }
}

#[test]
fn a_body_is_freed_when_its_last_caller_is_done() {
    let text = leaf("leaf", 3)
        + &through("one", &["leaf"])
        + &through("two", &["leaf"])
        + &through("main", &["one", "two"]);
    let program = program_exporting(&text, &["leaf", "one", "two", "main"]);
    let held = held_after(
        &Inliner::new(Always),
        &program,
        &["leaf", "one", "two", "main"],
    );
    // Inlined bodies are others than those that came in, which are freed when they are compiled.
    assert_eq!(held, [vec!["%leaf"], vec!["%leaf"], vec![], vec![]]);
}

#[test]
fn a_body_that_no_call_can_have_inlined_is_freed_when_it_is_compiled() {
    let program = chain(4);
    let held = held_after(&Inliner::new(Never), &program, &["f2", "f0", "f3", "f1"]);
    assert_eq!(held, vec![Vec::<String>::new(); 4]);
}

/// A call that stays in an inlined body comes into its callers, where it may be inlined.
#[test]
fn a_body_is_held_while_it_may_come_in_with_another() {
    struct OnlyInto(&'static str);
    impl Inline for OnlyInto {
        fn decide(
            &self,
            site: &cranelift_inliner::decide::CallSite<'_>,
        ) -> cranelift_inliner::decide::Decision {
            match site.caller_name().to_string() == self.0 {
                true => Always.decide(site),
                false => Never.decide(site),
            }
        }
    }
    let text = leaf("leaf", 3)
        + &through("middle", &["leaf"])
        + &through("other", &["leaf"])
        + &through("main", &["middle"]);
    let program = program_exporting(&text, &["leaf", "middle", "other", "main"]);
    let inliner = Inliner::new(OnlyInto("%main"));
    let held = held_after(&inliner, &program, &["leaf", "other", "middle", "main"]);
    let both = vec!["%leaf", "%middle"];
    assert_eq!(held, [vec!["%leaf"], vec!["%leaf"], both, vec![]]);
}

/// A function that was inlined into all its callers is needed again if one of them falls back to
/// its original body.
#[test]
fn a_function_that_was_passed_over_is_held_until_its_callers_are_compiled() {
    let text = leaf("leaf", 3)
        + &through("helper", &["leaf"])
        + &with_frame("local", LARGE, "helper")
        + &with_frame("main", LARGE, "local")
        + &through("unused", &["leaf"]);
    let program = program_exporting(&text, &["main"]);
    let mut limits = Limits::default();
    limits.frame_bytes = u64::MAX;
    for mode in [LocationMode::default(), LocationMode::InlinedAt] {
        let inliner = Inliner::new(Always)
            .limits(limits)
            .optimize(Optimize::None)
            .locations(mode);
        let (_, compiled) = inliner.run_and_compile(&program, &*isa("x86_64")).unwrap();
        assert_eq!(compiled.fallbacks().count(), 1);
        for order in [
            ["leaf", "helper", "local", "main", "unused"],
            ["unused", "main", "local", "helper", "leaf"],
        ] {
            let held = held_after(&inliner, &program, &order);
            // %local is compiled at the end, for the original body of %main, and may fall back too.
            // With a table of locations, the final body of %leaf is another one.
            let leaf = (mode == LocationMode::default()).then_some("%leaf");
            let expected: Vec<&str> = leaf.into_iter().chain(["%helper", "%local"]).collect();
            assert_eq!(held.last().unwrap(), &expected);
        }
    }
}

#[test]
fn the_bodies_held_of_a_chain_do_not_depend_on_its_length() {
    let most = |length: usize, keeps: bool| {
        let program = chain(length);
        let mut declared = declared_keeping(&program);
        declared.keep_bodies = keeps;
        declared.queue_capacity = Some(0);
        let mut limits = Limits::default();
        limits.function_growth = 1.0;
        limits.function_growth_floor = 3;
        // A function takes the one before, and no more.
        let inliner = Inliner::new(Always).limits(limits);
        let streamed = in_turn(&inliner, &declared, |stream| {
            for (_, function) in program.iter() {
                stream.define(function.body().clone()).unwrap();
            }
        });
        assert_same_code(&program, &inliner, &streamed);
        (streamed.held, streamed.inlined)
    };
    let (short, _) = most(20, false);
    let (long, inlined) = most(200, false);
    assert!(inlined.sites().any(|site| site.inlined));
    assert_eq!(long, short);
    assert!(long.functions < 8, "{long:?}");
    assert!(
        inlined
            .program()
            .iter()
            .all(|(_, function)| { function.body().dfg.num_insts() == 0 })
    );
    assert!(inlined.input().ids().all(|id| inlined.body(id).is_none()));
    let (kept, inlined) = most(200, true);
    assert!(kept.functions >= 200 && kept.insts > 10 * long.insts);
    assert!(inlined.input().ids().all(|id| inlined.body(id).is_some()));
}

/// Functions on a cycle hold each other, and are freed together.
#[test]
fn a_cycle_is_freed() {
    let text = leaf("leaf", 2)
        + &through("even", &["odd", "leaf"])
        + &through("odd", &["even"])
        + &through("main", &["even"]);
    let program = program_exporting(&text, &["leaf", "even", "odd", "main"]);
    for policy in [true, false] {
        let inliner = match policy {
            true => Inliner::new(Always),
            false => Inliner::new(CostModel::default()),
        };
        let held = held_after(&inliner, &program, &["main", "odd", "leaf", "even"]);
        assert_eq!(held.last().unwrap().len(), 0, "{held:?}");
    }
}

/// Calls a function in the table `%handlers`.
const DISPATCH: &str = "function %dispatch(i32) -> i32 fast {
     gv0 = symbol colocated %handlers
     sig0 = (i32) -> i32 fast
 block0(v0: i32):
     v1 = symbol_value.i64 gv0
     v2 = load.i64 aligned readonly v1+8
     v3 = call_indirect sig0, v2(v0)
     return v3
 }\n";

/// A function in a table comes into play wherever the table is named, through inlined bodies too.
#[test]
fn a_function_in_a_table_is_held_while_the_table_may_be_read() {
    let text = leaf("handler", 3)
        + DISPATCH
        + &through("main", &["dispatch"])
        + &through("above", &["main"]);
    let mut program = program_exporting(&text, &["handler", "main", "above", "dispatch"]);
    let name = |text: &str| text.parse::<FunctionName>().unwrap();
    program.add_table(name("handlers"), [(8, name("handler"))]);
    let inliner = Inliner::new(Always);
    let (inlined, _) = inliner.run_and_compile(&program, &*isa("x86_64")).unwrap();
    let into_handler = inlined
        .sites()
        .filter(|site| site.callee == name("handler"));
    assert!(into_handler.into_iter().all(|site| site.inlined));
    let order = ["handler", "dispatch", "main", "above"];
    let held = held_after(&inliner, &program, &order);
    assert_eq!(held.last().unwrap().len(), 0, "{held:?}");
    assert!(held[0].contains(&"%handler".to_owned()));
}

/// The pass does not see which functions read a table of the embedder's own.
#[test]
fn a_function_in_a_table_of_the_options_is_held_to_the_end() {
    let text = leaf("handler", 3) + &through("main", &[]) + DISPATCH;
    let program = program_exporting(&text, &["main", "dispatch"]);
    let name = |text: &str| text.parse::<FunctionName>().unwrap();
    let signature = program[id(&program, "handler")].body().signature.clone();
    let mut tables = Tables::default();
    tables.insert(
        name("handlers"),
        8,
        TableFunction::new(name("handler"), signature),
    );
    let options = OptimizeOptions::default().with_tables(Arc::new(tables));
    let inliner = Inliner::new(Always)
        .optimize(Optimize::All)
        .optimize_options(options);
    let held = held_after(&inliner, &program, &["handler", "main", "dispatch"]);
    assert_eq!(held[1..], [vec!["%handler"], vec!["%handler"]]);
}

/// A front end that is far ahead does tasks before it hands in more.
#[test]
fn a_capacity_bounds_the_bodies_that_are_held() {
    let text: String = (0..60)
        .map(|number| leaf(&format!("f{number}"), 20))
        .collect();
    let names: Vec<String> = (0..60).map(|number| format!("f{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let program = program_exporting(&text, &names);
    let most = |capacity: Option<usize>| {
        let mut declared = DeclaredProgram::of(&program).unwrap();
        // Without the other bound, one thread does nothing before the front end is done.
        declared.queue_capacity = Some(usize::MAX);
        declared.body_capacity = capacity;
        let streamed = in_turn(&Inliner::new(Always), &declared, |stream| {
            for (_, function) in program.iter() {
                stream.define(function.body().clone()).unwrap();
            }
        });
        streamed.held
    };
    assert_eq!(most(None).functions, 60);
    let bounded = most(Some(100));
    assert!(
        bounded.insts <= 120 && bounded.functions == 6,
        "{bounded:?}"
    );
    assert_eq!(most(Some(0)).functions, 1);
}

/// A plan is made without the bodies.
#[test]
fn the_report_is_the_same_without_bodies() {
    let text = "function %leaf(i32) -> i32 fast {
        block0(v0: i32):
    @0001   v1 = iadd v0, v0
            return v1
        }
        function %main(i32) -> i32 fast {
            fn0 = %leaf(i32) -> i32 fast
            fn1 = %far(i32) -> i32 fast
        block0(v0: i32):
    @0002   v1 = call fn0(v0)
    @0003   v2 = call fn1(v1)
            return v2
        }";
    let program = program_exporting(text, &["main"]);
    let inliner = Inliner::new(Always);
    let run = |keeps: bool| {
        let mut declared = declared_keeping(&program);
        declared.keep_bodies = keeps;
        let streamed = in_turn(&inliner, &declared, |stream| {
            for (_, function) in program.iter() {
                stream.define(function.body().clone()).unwrap();
            }
        });
        let inlined = streamed.inlined;
        let graph = inlined.graph();
        let locations = graph.sites().map(|site| graph.site_location(site.id));
        let locations = format!("{:?}", locations.collect::<Vec<_>>());
        let sites = format!("{:?}", inlined.sites().collect::<Vec<_>>());
        let plan = cranelift_inliner::plan::Plan::record(&inlined);
        (locations, sites, plan.to_string())
    };
    let freed = run(false);
    assert!(freed.0.contains('3'), "{}", freed.0);
    assert_eq!(freed, run(true));
}

/// The graph of the result describes functions like that of the whole program, without their
/// bodies.
#[test]
fn freed_functions_have_their_declarations() {
    let text = leaf("leaf", 2)
        + "function %main(i32) -> i32 tail {
     sig0 = (i32) -> i32 tail
     fn0 = %caught(i32) -> i32 tail
     fn1 = %leaves(i32) -> i32 tail
     fn2 = %leaf(i32) -> i32 fast
 block0(v0: i32):
 @0007    try_call fn0(v0), sig0, block1(ret0), [ default: block2 ]
 block1(v1: i32):
     try_call fn1(v1), sig0, block3(ret0), [ tag1: block2 ]
 block2:
     v2 = call fn2(v0)
     return v2
 block3(v3: i32):
     return v3
 }\n";
    let program = program_exporting(&text, &["leaf", "main"]);
    let declared = DeclaredProgram::of(&program).unwrap();
    let streamed = in_turn(&Inliner::new(Never), &declared, |stream| {
        for (_, function) in program.iter() {
            stream.define(function.body().clone()).unwrap();
        }
    });
    let graph = streamed.inlined.graph();
    let whole = CallGraph::new(&program);
    for id in program.ids() {
        assert!(streamed.inlined.body(id).is_none());
        let [freed, expected] = [graph, &whole].map(|graph| graph.declaration(id).unwrap());
        assert_eq!(format!("{freed:?}"), format!("{expected:?}"));
    }
    let main = whole.declaration(id(&program, "main")).unwrap();
    assert_eq!(main.caught_calls, ["%caught".parse().unwrap()]);
}
