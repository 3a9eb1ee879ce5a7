//! `clif-inline report`: writes a page about the result.

use super::job::Job;
use crate::arguments::ReportCommandArguments;
use crate::failure::{self, Failure};
use crate::output::{self, Output};
use crate::report::Page;
use cranelift_inliner::locations::LocationMode;

pub(crate) fn report(arguments: &ReportCommandArguments) -> Result<(), Failure> {
    let inputs = &arguments.inputs.paths;
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => output::beside(inputs, "html")?,
    };
    let output = Output::from_argument(&path);
    output.is_none_of(inputs)?;
    let mut job = Job::begin(&arguments.common, &arguments.plan, &arguments.target)?;
    let program = job.read(inputs, &[("--output", &output)])?;
    let isa = job.isa.clone();
    let (inlined, compiled) = match arguments.machine_code {
        true => {
            let (inlined, compiled) = job.inline_and_compile(&program, LocationMode::Keep)?;
            (inlined, Some(compiled))
        }
        false => (job.inline(&program)?, None),
    };
    let (finished, ()) = job.write("writing", &program, &inlined, |_| {
        let title = inputs.first().and_then(|path| path.file_name());
        let title = title.map_or_else(|| "module".into(), |name| name.to_string_lossy());
        let mut page = Page::new(title, &inlined).clif(!arguments.no_clif);
        if let Some(compiled) = &compiled {
            page = page.machine_code(isa, compiled);
        }
        output.write_bytes(page.to_html().as_bytes())
    })?;
    for (_, fallback) in compiled.iter().flat_map(|compiled| compiled.fallbacks()) {
        failure::warn_of_fallback(&fallback.reason, &program);
    }
    finished.tell(&output, ", to be opened in a browser");
    finished.print(&output)
}
