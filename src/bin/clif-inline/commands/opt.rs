//! `clif-inline opt`: CLIF in, CLIF out.

use crate::arguments::OptArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::statistics::Statistics;
use crate::{remarks, stage};
use cranelift_inliner::program::ProgramError;
use std::path::Path;
use std::time::Instant;

pub(crate) fn opt(arguments: &OptArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let path = arguments.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::from_argument(path);
    let remarks = common.report.remarks.as_deref().map(Output::from_argument);

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(&arguments.inputs.paths, common, &progress, &mut phases)?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let inlined = stage::inline(&program, &*isa, common, &progress, &mut phases)?;
    statistics.add(&program, &inlined);

    progress.begin("writing");
    let writing = Instant::now();
    if let Some(remarks) = &remarks {
        remarks::write(remarks, &program, &inlined)?;
    }
    output.write(|mut out| {
        inlined
            .program()
            .write_clif(&mut out)
            .map_err(|error| match error {
                ProgramError::Write(error) => Failure::write(path, &error),
                other => other.into(),
            })
    })?;
    drop(progress);
    phases.write = writing.elapsed();
    phases.total = started.elapsed();
    statistics.microseconds = phases;
    let mut outputs = remarks.iter().chain([&output]);
    statistics.print(common, outputs.any(Output::is_standard_output))
}
