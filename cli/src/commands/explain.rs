//! `clif-inline explain`: CLIF in, the inline trees of functions out.

use crate::arguments::ExplainArguments;
use crate::explanation::Explanation;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::records::Records;
use crate::stage;
use crate::statistics::Statistics;
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use std::time::Instant;

pub(crate) fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let records = Records::new(common, &arguments.plan)?;

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(&arguments.inputs.paths, common, &progress, &mut phases)?;
    let functions = find(&program, &arguments.functions)?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let policy = records.policy(common);
    let inlined = stage::inline(&program, &*isa, common, policy, &progress, &mut phases)?;
    records.compare(&program, &inlined, &progress)?;
    statistics.add(&program, &inlined);

    progress.begin("writing");
    let writing = Instant::now();
    records.write(&program, &inlined)?;
    let depth = arguments.depth.unwrap_or(usize::MAX);
    let mut explanation = Explanation::new(&program, &inlined, depth);
    for id in functions {
        explanation.add(id);
    }
    drop(progress);
    output::print_styled(&explanation.into_text())?;
    phases.write = writing.elapsed();
    phases.total = started.elapsed();
    statistics.microseconds = phases;
    statistics.print(common, true)
}

fn find(program: &Program, names: &[FunctionName]) -> Result<Vec<FunctionId>, Failure> {
    let find = |name: &FunctionName| {
        let message = || format!("--function {name}: no input defines this function");
        program.id(name).ok_or_else(|| Failure::new(message()))
    };
    names.iter().map(find).collect()
}
