//! `clif-inline report`: writes a page about the result.

use super::job::Job;
use crate::arguments::ReportCommandArguments;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::report;

pub(crate) fn report(arguments: &ReportCommandArguments) -> Result<(), Failure> {
    let inputs = &arguments.inputs.paths;
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => output::beside(inputs, "html")?,
    };
    let output = Output::from_argument(&path);
    let mut job = Job::begin(&arguments.common, &arguments.plan, &arguments.target)?;
    let program = job.read(inputs)?;
    let inlined = job.inline(&program)?;
    let (finished, ()) = job.write("writing", &program, &inlined, |statistics| {
        let title = inputs.first().and_then(|path| path.file_name());
        let title = title.map_or_else(|| "module".into(), |name| name.to_string_lossy());
        let page = report::page(&title, &program, &inlined, statistics, !arguments.no_clif);
        output.write_bytes(page.as_bytes())
    })?;
    finished.tell(&output, ", to be opened in a browser");
    finished.print(&output)
}
