//! `clif-inline graph`: CLIF in, a picture of its call graph out.

use crate::arguments::{GraphArguments, LayoutArgument};
use crate::drawing::{dot, svg};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::statistics::Statistics;
use crate::{remarks, stage};
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::Program;
use std::path::Path;
use std::time::Instant;

pub(crate) fn graph(arguments: &GraphArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let path = arguments.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::from_argument(path);
    let remarks = common.report.remarks.as_deref().map(Output::from_argument);
    let is_svg = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(&arguments.inputs.paths, common, &progress, &mut phases)?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let inlined = stage::inline(&program, &*isa, common, &progress, &mut phases)?;
    statistics.add(&program, &inlined);

    progress.begin("drawing");
    let writing = Instant::now();
    if let Some(remarks) = &remarks {
        remarks::write(remarks, &program, &inlined)?;
    }
    let bytes = if is_svg {
        draw(&program, &inlined, arguments.layout)?
    } else {
        dot::text(&program, &inlined).into_bytes()
    };
    output.write_bytes(&bytes)?;
    drop(progress);
    phases.write = writing.elapsed();
    phases.total = started.elapsed();
    statistics.microseconds = phases;
    let mut outputs = remarks.iter().chain([&output]);
    statistics.print(common, outputs.any(Output::is_standard_output))
}

fn draw(program: &Program, inlined: &Inlined, layout: LayoutArgument) -> Result<Vec<u8>, Failure> {
    match layout {
        LayoutArgument::Builtin => Ok(svg::text(program, inlined).into_bytes()),
        LayoutArgument::Graphviz => dot::graphviz(dot::text(program, inlined))
            .map_err(|error| Failure::new(format!("dot: {error}"))),
    }
}
