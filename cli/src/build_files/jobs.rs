//! `jobs.json`: the backend's jobs for any engine, in the shape in which LLVM's DTLTO gives its
//! own: the part of the command that all jobs share, and for each its arguments, inputs and
//! outputs.

use super::{Build, Import};
use crate::failure::Failure;
use serde::Serialize;

#[derive(Serialize)]
struct Jobs<'a> {
    common: Common<'a>,
    jobs: Vec<Job<'a>>,
}

#[derive(Serialize)]
struct Common<'a> {
    /// The command, before the arguments of the job.
    args: Vec<&'a str>,
    /// The inputs of every job.
    inputs: Vec<&'a str>,
}

#[derive(Serialize)]
struct Job<'a> {
    args: Vec<String>,
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
}

/// Returns the text of `jobs.json`.
pub(crate) fn text(build: &Build) -> Result<String, Failure> {
    let jobs = build.shards.iter().map(|shard| {
        let imports = shard.imports.iter().map(Import::file);
        Job {
            args: shard.backend(&build.backend_options),
            inputs: [shard.file(), &shard.plan]
                .into_iter()
                .chain(imports)
                .collect(),
            outputs: vec![&shard.object],
        }
    });
    let jobs = Jobs {
        common: Common {
            args: vec![&build.tool],
            inputs: Vec::new(),
        },
        jobs: jobs.collect(),
    };
    serde_json::to_string_pretty(&jobs)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format!("jobs.json: {error}")))
}
