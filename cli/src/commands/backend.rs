//! `clif-inline backend`: compiles a shard as its plan says.

use super::compile::object_with_hidden;
use crate::arguments::BackendArguments;
use crate::build_files::depfile;
use crate::failure::{self, Failure, warn};
use crate::input::read_text;
use crate::output::{self, Output};
use crate::stage::{self, Decider};
use cranelift_inliner::program::{FunctionName, Program, ProgramError};
use cranelift_inliner::shard::{LinkError, ShardPlan};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Further warnings are only counted.
const MOST_WARNINGS: usize = 5;

pub(crate) fn backend(arguments: &BackendArguments) -> Result<(), Failure> {
    if arguments.step.policy.profile.is_some() {
        let message = "counts are part of summaries: give --profile to summarize";
        return Err(Failure::Usage(message.to_owned()));
    }
    let inputs = &arguments.inputs.paths;
    let output = match &arguments.output {
        Some(path) => Output::from_argument(path),
        None => Output::File(output::beside(inputs, "o")?),
    };
    let isa = stage::target(&arguments.step.target)?;
    let path = &arguments.plan;
    let plan: ShardPlan = read_text(path)?.parse().map_err(|error| {
        let cranelift_inliner::shard::ParseShardPlanError { line, problem, .. } = error;
        Failure::new(format!("{}:{line}: {problem}", path.display()))
    })?;
    let common = arguments.step.common();
    let shard = Program::read(inputs)?;
    if !common.work.no_verify {
        shard.verify(&*isa)?;
    }
    let places = places(&arguments.imports);
    let mut wrong = None;
    let imported: BTreeMap<String, FxHashSet<FunctionName>> = plan
        .imports()
        .map(|(shard, functions)| (shard.to_owned(), functions.cloned().collect()))
        .collect();
    let linked = plan.link(&shard, |name| {
        let wanted = imported.get(name)?;
        match Program::read_some(places.get(name)?, |name| wanted.contains(name)) {
            Ok(program) => Some(program),
            // The report of a missing file names the functions that are missing with it.
            Err(ProgramError::Read { .. }) => None,
            Err(error) => {
                wrong.get_or_insert(error);
                None
            }
        }
    });
    if let Some(error) = wrong {
        return Err(error.into());
    }
    let linked = linked.map_err(|error| match error {
        LinkError::Program(error) => error.into(),
        error => Failure::new(format!("{}: {error}", path.display())),
    })?;
    let decider = Decider {
        policy: stage::policy(&common.policy),
        profile: None,
        meet_demands: false,
    };
    let inliner = stage::inliner(&common, decider, &*isa);
    let (inlined, compiled) = linked
        .run_and_compile(&inliner, &*isa)
        .map_err(|error| Failure::pass(&error, linked.program()))?;
    let hidden: FxHashSet<&FunctionName> = linked.plan().hidden().collect();
    let bytes = object_with_hidden(linked.program(), &compiled, &isa, inputs, &hidden)?;
    output.write_bytes(&bytes)?;

    let missing = linked.missing().iter().map(ToString::to_string);
    let deviations = linked.deviations(&inlined);
    let deviations = deviations.iter().map(ToString::to_string);
    let warnings: Vec<String> = missing.chain(deviations).collect();
    for warning in warnings.iter().take(MOST_WARNINGS) {
        warn(&format!("{}: {warning}", path.display()));
    }
    if let Some(more @ 1..) = warnings.len().checked_sub(MOST_WARNINGS) {
        warn(&format!("{}: {more} more differences", path.display()));
    }
    for (_, fallback) in compiled.fallbacks() {
        failure::warn_of_fallback(&fallback.reason, linked.program());
    }
    if let (Some(depfile), Output::File(target)) = (&arguments.depfile, &output) {
        let mut files = depfile::files(inputs);
        files.push(path.clone());
        let lacking = linked.missing().iter();
        let lacking = lacking.filter_map(|missing| places.get(missing.shard.as_str()));
        files.extend(lacking.cloned());
        files.sort();
        files.dedup();
        depfile::write(depfile, target, &files)?;
    }
    Ok(())
}

/// Returns the place of each imported shard by its name.
fn places(imports: &[String]) -> BTreeMap<&str, PathBuf> {
    let places = imports.iter().map(|import| match import.split_once('=') {
        Some((name, place)) => (name, Path::new(place).to_owned()),
        None => (import.as_str(), Path::new(import).to_owned()),
    });
    places.collect()
}
