//! `clif-inline opt`: writes inlined CLIF.

use super::job::Job;
use crate::arguments::OptArguments;
use crate::failure::Failure;
use crate::output::Output;
use cranelift_inliner::program::ProgramError;
use std::path::Path;

pub(crate) fn opt(arguments: &OptArguments) -> Result<(), Failure> {
    let path = arguments.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::from_argument(path);
    let mut job = Job::begin(&arguments.common, &arguments.plan, &arguments.target)?;
    let program = job.read(&arguments.inputs.paths, &[("--output", &output)])?;
    let inlined = job.inline(&program)?;
    let (finished, ()) = job.write("writing", &program, &inlined, |_| {
        output.write(|mut out| {
            inlined
                .program()
                .write_clif(&mut out)
                .map_err(|error| match error {
                    ProgramError::Write(error) => Failure::write(path, &error),
                    other => other.into(),
                })
        })
    })?;
    finished.tell(&output, "");
    finished.print(&output)
}
