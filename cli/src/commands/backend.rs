//! `clif-inline backend`: compiles a shard as its plan says.

use super::compile::object_of;
use crate::arguments::BackendArguments;
use crate::build_files::depfile;
use crate::failure::{self, Failure, warn};
use crate::input::{self, read_text};
use crate::output::{self, Output};
use crate::stage::{self, Decider};
use cranelift_inliner::program::{FunctionName, Program, ProgramError};
use cranelift_inliner::shard::{BodiesError, LinkError, ShardBodies, ShardFunctions, ShardPlan};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::slice;

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
    let shard = own_functions(inputs)?;
    if !common.work.no_verify {
        shard.verify(&*isa)?;
    }
    let mut wrong = None;
    let imported: BTreeMap<String, FxHashSet<FunctionName>> = plan
        .imports()
        .map(|(shard, functions)| (shard.to_owned(), functions.cloned().collect()))
        .collect();
    let places = places(&arguments.imports, |name| imported.contains_key(name));
    let depfile = arguments.depfile.clone().map(Output::File);
    let mut outputs = vec![("--output", &output)];
    outputs.extend(depfile.iter().map(|depfile| ("--depfile", depfile)));
    let plan_path = slice::from_ref(path);
    let imports: Vec<PathBuf> = places.values().cloned().collect();
    for (_, output) in &outputs {
        for read in [inputs.as_slice(), plan_path, &imports] {
            output.is_none_of(read)?;
        }
    }
    output::are_apart(&outputs)?;
    let mut unreadable = Vec::new();
    let linked = plan.link(&shard, |name| {
        let wanted = imported.get(name)?;
        let imported = imported_functions(places.get(name)?, wanted, &mut unreadable);
        imported.unwrap_or_else(|error| {
            wrong.get_or_insert(error);
            None
        })
    });
    if let Some(error) = wrong {
        return Err(error);
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
    let defines = |name: &_| linked.program().id(name).is_some();
    let inliner = stage::inliner(&common, decider, &*isa, defines);
    let (inlined, compiled) = linked
        .run_and_compile(&inliner, &*isa)
        .map_err(|error| Failure::pass(&error, linked.program()))?;
    // Not the input: the object is the same from CLIF and from functions in binary form.
    let source = Path::new(linked.plan().shard());
    let bytes = object_of(linked.program(), &compiled, &isa, source, |id| {
        linked.object_linkage(id)
    })?;
    output.write_bytes(&bytes)?;

    // The functions in such files are not there, and have warnings of their own.
    unreadable.iter().for_each(|message| warn(message));
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
        let mut files = input::files(inputs);
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

/// Reads all functions of the shard.
fn own_functions(inputs: &[PathBuf]) -> Result<Program, Failure> {
    if let [path] = inputs
        && let Some(mut file) = open_bodies(path).map_err(|error| Failure::read(path, &error))?
    {
        let functions = ShardFunctions::read(&mut file);
        return Ok(functions
            .map_err(|error| bodies_failure(path, &error))?
            .into());
    }
    input::program(inputs)
}

/// Reads the wanted functions of another shard; `None` if there is no such file: the report of
/// missing functions names them. The error of the file goes to `unreadable`.
fn imported_functions(
    path: &Path,
    wanted: &FxHashSet<FunctionName>,
    unreadable: &mut Vec<String>,
) -> Result<Option<ShardFunctions>, Failure> {
    let mut no_file = |error: &io::Error| -> Result<Option<ShardFunctions>, Failure> {
        unreadable.push(format!("{}: {error}", path.display()));
        Ok(None)
    };
    match open_bodies(path) {
        Ok(Some(mut file)) => {
            let read = ShardFunctions::read_some(&mut file, |name| wanted.contains(name));
            read.map(Some).map_err(|error| bodies_failure(path, &error))
        }
        Ok(None) => match Program::read_some(path, |name| wanted.contains(name)) {
            Ok(program) => Ok(Some(program.into())),
            Err(ProgramError::Read { source, .. }) => no_file(&source),
            Err(error) => Err(input::failure(error, slice::from_ref(&path.to_owned()))),
        },
        Err(error) => no_file(&error),
    }
}

/// Opens a file, if it begins like one of `summarize --bodies`.
fn open_bodies(path: &Path) -> io::Result<Option<BufReader<File>>> {
    if path == Path::new("-") || path.is_dir() {
        return Ok(None);
    }
    let mut file = BufReader::new(File::open(path)?);
    let is_bodies = ShardBodies::has_magic(file.fill_buf()?);
    Ok(is_bodies.then_some(file))
}

fn bodies_failure(path: &Path, error: &BodiesError) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

/// Returns the place of each imported shard by its name.
fn places(imports: &[String], is_imported: impl Fn(&str) -> bool) -> BTreeMap<&str, PathBuf> {
    let places = imports.iter().map(|import| {
        // Names may have the sign too.
        let mut splits = import.match_indices('=').map(|(at, _)| import.split_at(at));
        let known = splits.clone().find(|(name, _)| is_imported(name));
        let split = match known {
            None if is_imported(import) => None,
            None => splits.next(),
            known => known,
        };
        match split {
            Some((name, place)) => (name, Path::new(&place[1..]).to_owned()),
            None => (import.as_str(), Path::new(import).to_owned()),
        }
    });
    places.collect()
}
