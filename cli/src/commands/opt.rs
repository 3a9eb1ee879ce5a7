//! `clif-inline opt`: writes inlined CLIF.

use crate::arguments::OptArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::records::Records;
use crate::stage;
use crate::statistics::Statistics;
use cranelift_inliner::program::ProgramError;
use std::path::Path;
use std::time::Instant;

pub(crate) fn opt(arguments: &OptArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let path = arguments.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::from_argument(path);
    let records = Records::new(common, &arguments.plan)?;

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(&arguments.inputs.paths, common, &progress, &mut phases)?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let policy = records.policy(common);
    let inlined = stage::inline(&program, &*isa, common, policy, &progress, &mut phases)?;
    records.compare(&program, &inlined, &progress)?;
    statistics.add(&program, &inlined);

    progress.begin("writing");
    let writing = Instant::now();
    records.write(&program, &inlined)?;
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
    if common.report.stats.is_none() {
        output.tell("");
    }
    let taken = output.is_standard_output() || records.take_standard_output();
    statistics.print(common, taken)
}
