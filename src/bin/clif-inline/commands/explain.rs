//! `clif-inline explain`: CLIF in, the inline trees of functions out.

use crate::arguments::ExplainArguments;
use crate::explanation::Explanation;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::statistics::Statistics;
use crate::{remarks, stage};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use std::time::Instant;

pub(crate) fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let remarks = common.report.remarks.as_deref().map(Output::from_argument);

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(&arguments.inputs.paths, common, &progress, &mut phases)?;
    let functions = find(&program, &arguments.functions)?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let inlined = stage::inline(&program, &*isa, common, &progress, &mut phases)?;
    statistics.add(&program, &inlined);

    progress.begin("writing");
    let writing = Instant::now();
    if let Some(remarks) = &remarks {
        remarks::write(remarks, &program, &inlined)?;
    }
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
