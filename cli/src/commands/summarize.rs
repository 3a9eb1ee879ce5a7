//! `clif-inline summarize`: writes the summary of a shard.

use crate::arguments::SummarizeArguments;
use crate::build_files::depfile;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, Output};
use crate::stage::{self, Names};
use cranelift_inliner::profile::Profile;
use cranelift_inliner::shard::{ShardSummary, SummarizeOptions};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn summarize(arguments: &SummarizeArguments) -> Result<(), Failure> {
    let inputs = &arguments.inputs.paths;
    let output = match &arguments.output {
        Some(path) => Output::from_argument(path),
        None if arguments.text => Output::StandardOutput,
        None => Output::File(output::beside(inputs, "sum")?),
    };
    output.is_none_of(inputs)?;
    if let ([path], true) = (inputs.as_slice(), arguments.text)
        && let Some(summary) = read_if_summary(path)?
    {
        return output.write_bytes(summary.to_string().as_bytes());
    }
    let named = [
        ("--bodies", &arguments.bodies),
        ("--depfile", &arguments.depfile),
    ];
    let others: Vec<(&str, Output)> = named
        .into_iter()
        .filter_map(|(option, path)| Some((option, Output::File(path.clone()?))))
        .collect();
    let profile_path: Vec<PathBuf> = arguments.profile.iter().cloned().collect();
    let mut outputs = vec![("--output", &output)];
    outputs.extend(others.iter().map(|(option, output)| (*option, output)));
    for (_, output) in &outputs {
        output.is_none_of(inputs)?;
        output.is_none_of(&profile_path)?;
    }
    output::are_apart(&outputs)?;
    let mut program = input::program(inputs)?;
    Names::new(&arguments.names)?.apply(&mut program)?;
    let unknown = arguments
        .once
        .iter()
        .find(|name| program.id(name).is_none());
    if let Some(name) = unknown {
        return Err(crate::names::unknown("--once", name, &program));
    }
    let options = SummarizeOptions::default()
        .with_once(arguments.once.iter().cloned().collect())
        .with_splice_options(stage::splice_options(&arguments.legality))
        .with_profile(match &arguments.profile {
            Some(path) => stage::read_profile(path)?,
            None => Profile::new(),
        });
    let shard = arguments.shard.clone().unwrap_or_else(|| {
        let first = inputs.first().map(|path| path.display().to_string());
        first.unwrap_or_default()
    });
    let command = env::args_os().skip(1);
    let command = command.map(|argument| argument.to_string_lossy().into_owned());
    let (summary, bodies) = match &arguments.bodies {
        None => (ShardSummary::summarize(&program, &shard, &options), None),
        Some(path) => {
            let (summary, bodies) = ShardSummary::summarize_with_bodies(&program, &shard, &options);
            let place = path.display().to_string();
            (summary.with_bodies_at(place), Some((path, bodies)))
        }
    };
    let summary = summary.with_command(command.collect());
    if arguments.text {
        return output.write_bytes(summary.to_string().as_bytes());
    }
    // Before the summary, which stands for both in build files.
    if let Some((path, bodies)) = bodies {
        Output::File(path.clone()).write_changed_bytes(&bodies.to_bytes())?;
    }
    output.write_changed_bytes(&summary.to_bytes())?;
    if let (Some(path), Output::File(target)) = (&arguments.depfile, &output) {
        depfile::write(path, target, &input::files(inputs))?;
    }
    Ok(())
}

/// Reads a file that may be a summary.
fn read_if_summary(path: &Path) -> Result<Option<ShardSummary>, Failure> {
    let is_summary = path.extension().is_some_and(|ending| ending == "sum");
    match is_summary {
        true => read(path).map(Some),
        false => Ok(None),
    }
}

/// Reads a summary.
pub(super) fn read(path: &Path) -> Result<ShardSummary, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::read(path, &error))?;
    ShardSummary::from_bytes(&bytes)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
