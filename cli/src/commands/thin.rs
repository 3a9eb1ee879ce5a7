//! `clif-inline thin`: decides on summaries, and writes plans and build files.

use super::summarize;
use crate::arguments::{ThinArguments, given_step_options};
use crate::build_files::{Build, Import, Shard, bazel, jobs, ninja};
use crate::failure::{Failure, say};
use crate::output::Output;
use crate::stage::{self, Decider};
use crate::statistics::counted;
use cranelift_inliner::shard::{self, PlanText, ShardSummary, ThinError};
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn thin(arguments: &ThinArguments) -> Result<(), Failure> {
    if arguments.step.policy.profile.is_some() {
        let message = "counts are part of summaries: give --profile to summarize";
        return Err(Failure::Usage(message.to_owned()));
    }
    let isa = stage::target(&arguments.step.target)?;
    let read = arguments.summaries.par_iter();
    let read: Vec<_> = read.map(|path| summarize::read(path)).collect();
    let summaries = read.into_iter().collect::<Result<Vec<ShardSummary>, _>>()?;
    let common = arguments.step.common();
    let decider = Decider {
        policy: stage::policy(&common.policy),
        profile: None,
        meet_demands: true,
    };
    let defines = |name: &_| summaries.iter().any(|shard| shard.hash(name).is_some());
    let inliner = stage::inliner(&common, decider, &*isa, defines);
    let exported: FxHashSet<_> = arguments.export.iter().cloned().collect();
    let exported = (!exported.is_empty()).then_some(&exported);
    let folder = &arguments.output;
    fs::create_dir_all(folder).map_err(|error| Failure::write(folder, &error))?;
    let shards_of: Vec<String> = summaries.iter().map(|s| s.shard().to_owned()).collect();
    let sources: BTreeMap<String, Source> = summaries
        .iter()
        .zip(&arguments.summaries)
        .map(|(summary, path)| (summary.shard().to_owned(), Source::of(summary, path)))
        .collect();
    let stems = stems(sources.keys().map(String::as_str));
    let mut changed = 0;
    let mut write = |path: &Path, bytes: &[u8]| {
        spare_other_kinds(path, bytes)?;
        let output = Output::File(path.to_owned());
        output.write_changed_bytes(bytes).map(|written| {
            changed += usize::from(written);
        })
    };
    let mut shards = Vec::new();
    let mut failure = None;
    let each = |plan: PlanText<'_>| {
        let stem = stems.get(plan.shard).cloned().unwrap_or_default();
        let Some(source) = sources.get(plan.shard) else {
            return;
        };
        let plan_path = folder.join(format!("{stem}.plan"));
        if failure.is_none() {
            failure = write(&plan_path, plan.text.as_bytes()).err();
        }
        shards.push(Shard {
            name: plan.shard.to_owned(),
            summary: source.summary.clone(),
            bodies: source.bodies.clone(),
            summarize: source.command.clone(),
            plan: plan_path.display().to_string(),
            object: folder.join(format!("{stem}.o")).display().to_string(),
            imports: plan
                .imports
                .iter()
                .map(|&name| Import {
                    name: name.to_owned(),
                    bodies: sources.get(name).and_then(|source| source.bodies.clone()),
                })
                .collect(),
        });
    };
    let inlined = shard::thin_each(summaries, exported, &inliner, each)
        .map_err(|error| failure_of(&error, &arguments.summaries, &shards_of))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let own: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let tool = arguments.tool.clone().or_else(|| env::args().next());
    let build = Build {
        tool: tool.unwrap_or_else(|| "clif-inline".to_owned()),
        folder: folder.display().to_string(),
        thin: own,
        backend_options: given_step_options(),
        shards,
    };
    write(&folder.join("build.ninja"), ninja::text(&build).as_bytes())?;
    write(&folder.join("jobs.json"), jobs::text(&build)?.as_bytes())?;
    // Without it, absolute paths stay so.
    let here = env::current_dir().unwrap_or_default();
    let bazel = bazel::text(&build, &here);
    write(&folder.join("shards.bzl"), bazel.as_bytes())?;
    say(&format!(
        "{}, {} to be inlined; {} changed in {}",
        counted(build.shards.len(), "shard"),
        counted(inlined, "call"),
        counted(changed, "file"),
        folder.display()
    ));
    Ok(())
}

/// How much of a file is compared with its next version: all versions begin with it.
const BEGINNING: usize = 12;

/// Returns an error if `path` is a file that an earlier call did not write, such as a hand-written
/// `build.ninja`.
fn spare_other_kinds(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let old = fs::read(path).unwrap_or_default();
    let beginning = |bytes: &[u8]| bytes.get(..BEGINNING).map(<[u8]>::to_vec);
    match old.is_empty() || beginning(&old) == beginning(bytes) {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{}: `clif-inline thin` has not made this file, and would replace it",
            path.display()
        ))),
    }
}

/// Returns the failure for an error, with the files and options that are to blame. `shards` are
/// those of the summaries at `paths`.
fn failure_of(error: &ThinError, paths: &[PathBuf], shards: &[String]) -> Failure {
    Failure::new(match error {
        ThinError::DuplicateShard(name) => {
            let files = paths.iter().zip(shards).filter(|(_, shard)| *shard == name);
            let files: Vec<_> = files.map(|(path, _)| path.display().to_string()).collect();
            format!("{} are of one shard, {name}", files.join(" and "))
        }
        ThinError::DuplicateDefinition { .. } => format!(
            "{error}; `summarize --export` names functions that other shards may call, and `--once` \
             those that several may define"
        ),
        error => error.to_string(),
    })
}

/// The files of a shard, for build files.
struct Source {
    summary: String,
    bodies: Option<String>,
    /// The arguments of `summarize`.
    command: Vec<String>,
}

impl Source {
    fn of(summary: &ShardSummary, path: &Path) -> Self {
        Source {
            summary: path.display().to_string(),
            bodies: summary.bodies_at().map(str::to_owned),
            command: summary.command().to_vec(),
        }
    }
}

/// Returns a name of a file, without an ending, for each shard: the name of its own file, or, if
/// several have that one, all of its path.
fn stems<'a>(shards: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
    let shards: Vec<&str> = shards.collect();
    let short = |shard: &str| {
        let stem = Path::new(shard).file_stem();
        stem.map_or_else(|| clean(shard), |stem| clean(&stem.to_string_lossy()))
    };
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for shard in &shards {
        *uses.entry(short(shard)).or_default() += 1;
    }
    let mut taken: FxHashSet<String> = FxHashSet::default();
    let mut stems = BTreeMap::new();
    let mut sorted = shards;
    sorted.sort_unstable();
    for shard in sorted {
        let mut stem = short(shard);
        if uses.get(&stem) != Some(&1) {
            stem = clean(shard);
        }
        while !taken.insert(stem.clone()) {
            stem.push('_');
        }
        stems.insert(shard, stem);
    }
    stems
}

fn clean(name: &str) -> String {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.chars()
        .map(|c| if usual(c) { c } else { '_' })
        .collect()
}
