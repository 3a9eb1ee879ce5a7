//! The result depends on the functions alone.

use super::support::{
    POLICIES, declared_keeping, isa, leaf, name, policy, program_exporting, through,
};
use cranelift_inliner::cleanup::{OptimizeOptions, TableFunction, Tables};
use cranelift_inliner::decide::{CallSite, Decision, Limits};
use cranelift_inliner::pass::{Inlined, Inliner, Observer, Optimize};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Returns three layers with recursion among them, and a share of growth that does not suffice.
fn layered() -> Vec<String> {
    let mut functions = Vec::new();
    for number in 0..12 {
        functions.push(leaf(&format!("leaf{number}"), 2 + 3 * number));
    }
    for number in 0..12 {
        let callees = [
            format!("leaf{number}"),
            format!("leaf{}", (number * 5 + 1) % 12),
            format!("middle{}", (number + 4) % 12),
        ];
        let callees = callees.each_ref().map(String::as_str);
        functions.push(through(&format!("middle{number}"), &callees));
    }
    for number in 0..6 {
        let callees = [
            format!("middle{number}"),
            format!("middle{}", number + 6),
            format!("leaf{number}"),
            format!("middle{number}"),
        ];
        let callees = callees.each_ref().map(String::as_str);
        functions.push(through(&format!("top{number}"), &callees));
    }
    functions
}

const EXPORTED: [&str; 6] = ["top0", "top1", "top2", "top3", "top4", "top5"];

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.program_growth = 3.0;
    limits.program_growth_floor = 0;
    limits
}

fn run_with_threads(program: &Program, policy_name: &str, threads: usize) -> Inlined {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    let inliner = Inliner::new(policy(policy_name)).limits(limits());
    pool.install(|| inliner.run(program)).unwrap()
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let program = program_exporting(&layered().concat(), &EXPORTED);
    for policy_name in POLICIES {
        let one = run_with_threads(&program, policy_name, 1);
        let text = one.program().to_clif().unwrap();
        for threads in [2, 3, 8] {
            for _ in 0..4 {
                let many = run_with_threads(&program, policy_name, threads);
                assert_eq!(many.program().to_clif().unwrap(), text);
                assert!(many.sites().eq(one.sites()));
            }
        }
    }
}

#[test]
fn nor_do_they_for_the_machine_code() {
    let program = program_exporting(&layered().concat(), &EXPORTED);
    let isa = isa("x86_64");
    let compile = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let inliner = Inliner::new(policy("cost")).limits(limits());
        let (_, compiled) = pool
            .install(|| inliner.run_and_compile(&program, &*isa))
            .unwrap();
        let functions: Vec<_> = compiled
            .iter()
            .map(|(id, code)| (id, code.clone()))
            .collect();
        functions
    };
    let one = compile(1);
    assert!(!one.is_empty());
    assert!(compile(2) == one && compile(8) == one);
}

/// Returns the outcome for each function, by name.
fn outcome(program: &Program, inlined: &Inlined) -> BTreeMap<FunctionName, (String, Vec<String>)> {
    program
        .iter()
        .map(|(id, function)| {
            let body = inlined.body(id).unwrap().display().to_string();
            let sites = inlined.sites().filter(|site| site.caller == id);
            let sites = sites.map(|site| {
                format!(
                    "{} {} {} {}",
                    site.inst, site.callee, site.inlined, site.reason
                )
            });
            (function.name().clone(), (body, sites.collect()))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_the_input_does_not_matter(
        order in Just((0..layered().len()).collect::<Vec<_>>()).prop_shuffle(),
        policy_name in prop::sample::select(&POLICIES[..]),
    ) {
        let functions = layered();
        let straight = program_exporting(&functions.concat(), &EXPORTED);
        let shuffled: String = order.iter().map(|&index| functions[index].as_str()).collect();
        let shuffled = program_exporting(&shuffled, &EXPORTED);
        let expected = run_with_threads(&straight, policy_name, 1);
        let got = run_with_threads(&shuffled, policy_name, 2);
        prop_assert_eq!(outcome(&straight, &expected), outcome(&shuffled, &got));
    }
}

/// `%main` calls `%handler` by a table that only the options know. Neither waits for the other.
const BY_TABLE: &str = "
function %inner(i64) -> i64 tail {
block0(v0: i64):
    v1 = iadd v0, v0
    return v1
}
function %gate(i64) -> i64 tail {
block0(v0: i64):
    return v0
}
function %handler(i64) -> i64 tail {
    sig0 = (i64) -> i64 tail
    fn0 = colocated %inner(i64) -> i64 tail
    fn1 = colocated %gate(i64) -> i64 tail
block0(v0: i64):
    v1 = func_addr.i64 fn0
    v2 = call_indirect sig0, v1(v0)
    v3 = call fn1(v2)
    v4 = call fn1(v3)
    return v4
}
function %main(i64) -> i64 tail {
    gv0 = symbol colocated %handlers
    sig0 = (i64) -> i64 tail
    fn0 = colocated %gate(i64) -> i64 tail
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = symbol_value.i64 gv0
    v3 = load.i64 notrap v2+8
    try_call_indirect v3(v1), sig0, block1(ret0), [ default: block2(exn0) ]
block1(v4: i64):
    return v4
block2(v5: i64):
    return v5
}";

/// Returns the table of [`BY_TABLE`].
fn table(program: &Program) -> Arc<Tables> {
    let handler = program.id(&name("handler")).unwrap();
    let signature = program[handler].body().signature.clone();
    let mut tables = Tables::default();
    let function = TableFunction::new(name("handler"), signature);
    tables.insert(name("handlers"), 8, function);
    Arc::new(tables)
}

struct Final<'a>(&'a AtomicBool, FunctionId);

impl Observer for Final<'_> {
    fn inlined(&self, function: FunctionId) {
        if function == self.1 {
            self.0.store(true, Ordering::Release);
        }
    }
}

#[test]
fn it_does_not_matter_which_of_two_functions_is_final_first() {
    let program = program_exporting(BY_TABLE, &["main", "handler"]);
    let tables = table(&program);
    let run = |first: &str| {
        let (is_final, first) = (AtomicBool::new(false), name(first));
        let policy = |site: &CallSite<'_>| {
            let is_other = *site.caller_name() != first;
            while is_other && !is_final.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Decision::inline("all")
        };
        let options = OptimizeOptions::default().with_tables(Arc::clone(&tables));
        let inliner = Inliner::new(policy)
            .optimize(Optimize::All)
            .optimize_options(options)
            .observe(Final(&is_final, program.id(&first).unwrap()));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let inlined = pool.unwrap().install(|| inliner.run(&program)).unwrap();
        let records: Vec<String> = inlined.sites().map(|site| format!("{site:?}")).collect();
        (inlined.program().to_clif().unwrap(), records)
    };
    let (main_first, handler_first) = (run("main"), run("handler"));
    assert!(main_first.0.contains("try_call fn"), "{}", main_first.0);
    assert_eq!(main_first, handler_first);
}

/// The proof that a handler may go looks at the callee, which need not be there yet.
#[test]
fn proofs_do_not_depend_on_the_order_of_bodies() {
    let never_throws = BY_TABLE.replace("call_indirect sig0, v1(v0)", "call fn0(v0)");
    assert_eq!(never_throws.matches("call_indirect").count(), 1);
    let program = program_exporting(&never_throws, &["main", "handler"]);
    let options = OptimizeOptions::default().with_tables(table(&program));
    let inliner = Inliner::new(policy("always"))
        .optimize(Optimize::All)
        .optimize_options(options)
        .check(true);
    let ids: Vec<FunctionId> = program.ids().collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.unwrap();
    for order in [[0, 1, 2, 3], [1, 3, 2, 0]] {
        let mut declared = declared_keeping(&program);
        declared.queue_capacity = Some(0);
        let isa = isa("x86_64");
        let stream = || {
            inliner.stream(&declared, &*isa, &|_, _| {}, |stream| {
                for index in order {
                    stream.define(program[ids[index]].body().clone()).unwrap();
                }
            })
        };
        let streamed = pool.install(stream).unwrap();
        let errors: Vec<String> = streamed.errors.iter().map(|(_, e)| e.to_string()).collect();
        assert_eq!(errors, [""; 0], "{order:?}");
        let main = streamed.inlined.body(ids[3]).unwrap().to_string();
        assert!(!main.contains("try_call"), "{main}");
    }
}
