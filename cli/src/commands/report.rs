//! `clif-inline report`: writes a page about the result.

use crate::arguments::ReportCommandArguments;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::records::Records;
use crate::statistics::Statistics;
use crate::{report, stage};
use std::time::Instant;

pub(crate) fn report(arguments: &ReportCommandArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let inputs = &arguments.inputs.paths;
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => output::beside(inputs, "html")?,
    };
    let output = Output::from_argument(&path);
    let records = Records::new(common, &arguments.plan)?;

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(inputs, common, &progress, &mut phases)?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let policy = records.policy(common);
    let inlined = stage::inline(&program, &*isa, common, policy, &progress, &mut phases)?;
    records.compare(&program, &inlined, &progress)?;
    statistics.add(&program, &inlined);

    progress.begin("writing");
    let writing = Instant::now();
    records.write(&program, &inlined)?;
    let title = inputs.first().and_then(|path| path.file_name());
    let title = title.map_or_else(|| "module".into(), |name| name.to_string_lossy());
    let page = report::page(&title, &program, &inlined, &statistics, !arguments.no_clif);
    output.write_bytes(page.as_bytes())?;
    drop(progress);
    phases.write = writing.elapsed();
    phases.total = started.elapsed();
    statistics.microseconds = phases;
    if common.report.stats.is_none() {
        output.tell(", to be opened in a browser");
    }
    let taken = output.is_standard_output() || records.take_standard_output();
    statistics.print(common, taken)
}
