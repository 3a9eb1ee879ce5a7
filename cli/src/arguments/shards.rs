//! The command line of the three steps for programs in shards.

use super::shared::{ReportArguments, WORK, WorkArguments, threads};
use super::{
    CommonArguments, Inputs, LegalityArguments, LimitArguments, NameArguments, OptimizeArguments,
    PolicyArguments, TargetArguments, help,
};
use clap::parser::ValueSource;
use clap::{ArgAction, Args};
use cranelift_inliner::program::FunctionName;
use std::env;
use std::path::PathBuf;

/// Describe a shard of a program, for `thin`
///
/// The first of three steps that inline across files which are compiled apart. All inputs are one
/// shard. Its summary has the facts on which decisions depend: names, linkage, sizes, calls, facts
/// about parameters, and a hash of each function; no bodies. With --text, it is for people, and an
/// input may be a summary.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The three steps (docs/SCALE.md has more):
    clif-inline summarize a.clif -o out/a.sum --bodies out/a.fns
    clif-inline summarize b.clif -o out/b.sum --bodies out/b.fns
    clif-inline thin out/a.sum out/b.sum -o out
    ninja -f out/build.ninja

Examples:
  Functions that only this file uses, except one:
    clif-inline summarize a.clif -o out/a.sum --export start

  Read a summary:
    clif-inline summarize out/a.sum --text")]
pub(crate) struct SummarizeArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Where to write the summary [default: IN.sum for a single input; with --text, standard
    /// output]
    ///
    /// An existing file is replaced atomically at the end, and stays as it is if nothing changes.
    #[arg(short, long, value_name = "OUT.sum")]
    pub(crate) output: Option<PathBuf>,

    /// Write the functions as well, for `backend`, which reads them faster than text
    ///
    /// `thin` writes build files in which `backend` reads this file, and those of imported shards,
    /// in place of CLIF. A file that would not change keeps its time.
    #[arg(long, value_name = "OUT.fns")]
    pub(crate) bodies: Option<PathBuf>,

    /// The name of the shard, which `backend` finds it by [default: the first input]
    #[arg(long, value_name = "NAME")]
    pub(crate) shard: Option<String>,

    /// Other shards may have the same function, and one of them is enough: %name, name or u0:4; may
    /// be repeated
    ///
    /// Such as an instance of a generic function. Linkers call it linkonce or COMDAT.
    #[arg(long, value_name = "NAME")]
    pub(crate) once: Vec<FunctionName>,

    /// Write the summary as text, for people
    #[arg(long)]
    pub(crate) text: bool,

    /// Write the files that were read to a file, as a rule of make
    #[arg(long, value_name = "FILE")]
    pub(crate) depfile: Option<PathBuf>,

    /// The execution counts of calls (see docs/PROFILE.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) names: NameArguments,

    #[command(flatten)]
    pub(crate) legality: LegalityArguments,

    /// The number of threads [default: 0, which is as many as there are processors]
    ///
    /// The result does not depend on it.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = WORK,
        value_parser = threads()
    )]
    pub(crate) threads: Option<usize>,
}

/// Decide about the calls of all shards of a program, and write build files
///
/// The second of three steps. It reads summaries alone, and writes into a folder: for each shard
/// NAME.plan, with the calls to inline and the functions to import for that; build.ninja, for all
/// three steps; jobs.json, with the command, inputs and outputs of each job, for other engines; and
/// shards.bzl, the same for Bazel. Files that would not change keep their times.
///
/// Options for the policy, limits, the target and the like are passed on to `backend`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Paths in the build files are those of this command, so build in the same folder.

Examples:
  Plans and build files in out/, and objects beside them:
    clif-inline thin out/*.sum -o out && ninja -f out/build.ninja

  A program of which only main is called from outside:
    clif-inline thin out/*.sum -o out --export main

  For another machine:
    clif-inline thin out/*.sum -o out --target aarch64")]
pub(crate) struct ThinArguments {
    /// The summaries of all shards
    #[arg(value_name = "SUM", required = true)]
    pub(crate) summaries: Vec<PathBuf>,

    /// The folder for plans and build files, which is made if it is not there
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// This function is called from outside of the shards, and unnamed functions are not: %name,
    /// name or u0:4; may be repeated [default: all that the summaries export are]
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Vec<FunctionName>,

    /// The tool in the commands of build files [default: as it was called]
    #[arg(long, value_name = "PATH")]
    pub(crate) tool: Option<String>,

    #[command(flatten)]
    pub(crate) step: StepArguments,
}

/// Compile a shard as its plan says
///
/// The last of three steps. The input is CLIF, or the file of `summarize --bodies`. Functions of
/// other shards are imported from --import, which is either of them too, inlined, and left out. If
/// one that the plan expects is not there, or is another version, its calls stay calls, and a
/// warning says so.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A shard that inlines functions of two others:
    clif-inline backend a.clif --plan out/a.plan --import b.clif --import c.clif -o out/a.o

  The same without parsing text again:
    clif-inline backend out/a.fns --plan out/a.plan --import b.clif=out/b.fns -o out/a.o

  Where the other shard is now in another place:
    clif-inline backend a.clif --plan out/a.plan --import b.clif=/cache/1234.clif -o out/a.o")]
pub(crate) struct BackendArguments {
    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// The plan that `thin` made for the shard
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: PathBuf,

    /// A shard from which the plan imports functions, or its name and its place; may be repeated
    #[arg(long = "import", value_name = "[NAME=]FILE")]
    pub(crate) imports: Vec<String>,

    /// Where to write the object file [default: IN.o for a single input]
    ///
    /// An existing file is replaced atomically at the end.
    #[arg(short, long, value_name = "OUT.o")]
    pub(crate) output: Option<PathBuf>,

    /// Write the files that the result depends on to a file, as a rule of make
    ///
    /// An imported shard is among them only if something that the plan expects was not in it: the
    /// plan changes with the functions that it imports.
    #[arg(long, value_name = "FILE")]
    pub(crate) depfile: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) step: StepArguments,
}

/// The options that `thin` and `backend` must share.
#[derive(Debug, Args)]
pub(crate) struct StepArguments {
    #[command(flatten)]
    pub(crate) policy: PolicyArguments,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    #[command(flatten)]
    pub(crate) legality: LegalityArguments,

    #[command(flatten)]
    pub(crate) optimize: OptimizeArguments,

    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(flatten)]
    pub(crate) work: WorkArguments,
}

impl StepArguments {
    /// Returns the same options as those of the commands that work on one program.
    pub(crate) fn common(&self) -> CommonArguments {
        CommonArguments {
            policy: self.policy.clone(),
            names: NameArguments::default(),
            limits: self.limits.clone(),
            legality: self.legality.clone(),
            optimize: self.optimize.clone(),
            report: ReportArguments::default(),
            work: self.work.clone(),
        }
    }
}

/// Returns the options of `thin` on the command line of this process that `backend` must get too.
pub(crate) fn given_step_options() -> Vec<String> {
    let command = help::whole();
    let matches = command.clone().get_matches_from(env::args_os());
    let (Some(thin), Some(given)) = (
        command.find_subcommand("thin"),
        matches.subcommand_matches("thin"),
    ) else {
        return Vec::new();
    };
    let mut options = Vec::new();
    for argument in thin.get_arguments() {
        let id = argument.get_id().as_str();
        let shared = argument.get_help_heading().is_some() && id != "threads";
        let (true, Some(long)) = (shared, argument.get_long()) else {
            continue;
        };
        if given.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        match argument.get_action() {
            ArgAction::SetTrue => options.push(format!("--{long}")),
            _ => {
                for value in given.get_raw(id).into_iter().flatten() {
                    options.push(format!("--{long}={}", value.to_string_lossy()));
                }
            }
        }
    }
    options
}
