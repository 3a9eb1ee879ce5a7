//! (d) Inlining and compiling, compared with the peer's pipeline, no inlining, and fewer threads.

use crate::options::Options;
use crate::rounds::{Rounds, time};
use crate::stage::Stage;
use crate::table::{Measured, Results, Row};
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::thread::available_parallelism;

pub(crate) fn measure(
    module: &str,
    policy: &'static str,
    stage: &Stage<'_>,
    isa: &dyn TargetIsa,
    options: &Options,
    results: &mut Results,
) {
    for threads in thread_counts() {
        let pool = pool(threads);
        let rounds = Rounds::run(
            options.rounds,
            || pool.install(|| time(|| stage.ours_compiled(isa))),
            || pool.install(|| time(|| stage.upstream_compiled(isa))),
        );
        results.push(row(
            module,
            policy,
            format!("inline and compile, {threads} threads"),
            &rounds,
        ));
        let rounds = Rounds::run(
            options.rounds,
            || pool.install(|| time(|| stage.ours_compiled(isa))),
            || pool.install(|| time(|| stage.compiled(isa))),
        );
        results.push(row(
            module,
            policy,
            format!("inline and compile against compiling alone, {threads} threads"),
            &rounds,
        ));
    }
}

/// Measures the default policy, which does not depend on the recorded decisions.
pub(crate) fn measure_default(
    module: &str,
    program: &Program,
    stage: &Stage<'_>,
    isa: &dyn TargetIsa,
    options: &Options,
    results: &mut Results,
) {
    let run = || {
        let inliner = Inliner::new(CostModel::default());
        let compiled = inliner.run_and_compile(program, isa);
        compiled
            .unwrap_or_else(|error| panic!("{error}"))
            .1
            .code_bytes()
    };
    let counts = thread_counts();
    let pools: Vec<(usize, ThreadPool)> = counts.iter().map(|&n| (n, pool(n))).collect();
    for (threads, pool) in &pools {
        let rounds = Rounds::run(
            options.rounds,
            || pool.install(|| time(run)),
            || pool.install(|| time(|| stage.compiled(isa))),
        );
        results.push(row(
            module,
            "default",
            format!("inline and compile against compiling alone, {threads} threads"),
            &rounds,
        ));
    }
    if let [(_, one), .., (threads, many)] = pools.as_slice() {
        let rounds = Rounds::run(
            options.rounds,
            || many.install(|| time(run)),
            || one.install(|| time(run)),
        );
        results.push(row(
            module,
            "default",
            format!("inline and compile, {threads} threads against 1"),
            &rounds,
        ));
    }
}

fn row(module: &str, policy: &'static str, what: String, rounds: &Rounds) -> Row {
    let (ours, peer) = rounds.medians();
    Row {
        module: module.to_owned(),
        policy,
        what,
        ours,
        peer,
        unit: "ms",
        measured: Measured::InRounds(rounds.ratios()),
    }
}

/// Returns the numbers of threads: one, and as many as the machine has.
fn thread_counts() -> Vec<usize> {
    let all = available_parallelism().map_or(1, usize::from);
    if all > 1 { vec![1, all] } else { vec![1] }
}

fn pool(threads: usize) -> ThreadPool {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap_or_else(|error| panic!("{error}"))
}
