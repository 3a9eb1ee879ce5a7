//! `clif-inline bisect`: reads a plan and a failing command, and finds the decision that makes it
//! fail.

use super::compile::object;
use crate::arguments::{BisectArguments, EmitArgument};
use crate::failure::{Failure, say};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::records::read_plan;
use crate::stage::{self, Decider};
use crate::statistics::Phases;
use crate::temporary::RemovedOnSignal;
use anstyle::{AnsiColor, Style};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::plan::{Fallback, Outcome, Plan, Replay, SitePath, Step, bisect as search};
use cranelift_inliner::program::Program;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice;
use tempfile::TempDir;

const BOLD: Style = Style::new().bold();

pub(crate) fn bisect(arguments: &BisectArguments) -> Result<(), Failure> {
    let plan = read_plan(&arguments.plan)?;
    let output = Output::from_argument(&failing_file(arguments));
    output.is_none_of(&arguments.inputs.paths)?;
    output.is_none_of(slice::from_ref(&arguments.plan))?;
    let mut phases = Phases::default();
    let silent = Progress::hidden();
    let isa = stage::target(&arguments.target)?;
    let paths = &arguments.inputs.paths;
    let program = stage::read(paths, &arguments.common, &silent, &mut phases)?;
    stage::verify(&program, &*isa, &arguments.common, &silent, &mut phases)?;

    let (folder, removed_on_signal) = RemovedOnSignal::make(tempfile::tempdir, TempDir::path)
        .map_err(|error| Failure::new(format!("no folder for temporary files: {error}")))?;
    let file = folder.path().join(match arguments.emit {
        EmitArgument::Object => "inlined.o",
        EmitArgument::Clif => "inlined.clif",
    });
    let trial = Trial {
        arguments,
        program: &program,
        isa: &isa,
        file: &file,
        inlined: plan.inlined(),
        most_runs: plan.inlined().checked_ilog2().unwrap_or(0) + 2,
    };
    let result = trial.search(&plan);
    removed_on_signal.finish(|| drop(folder));
    result
}

/// The state shared by all runs.
struct Trial<'a> {
    arguments: &'a BisectArguments,
    program: &'a Program,
    isa: &'a OwnedTargetIsa,
    file: &'a Path,
    /// The number of calls that the plan inlines, and the greatest number of runs.
    inlined: usize,
    most_runs: u32,
}

impl Trial<'_> {
    /// Finds the decision and prints it.
    fn search(&self, plan: &Plan) -> Result<(), Failure> {
        let found = search(plan, self.program, |plan, step| self.fails(plan, step))?;
        match found.outcome {
            Outcome::Found {
                path,
                failing,
                passing,
            } => self.tell(&path, &failing, &passing, found.runs),
            Outcome::Passes => Err(Failure::new(
                "the command does not fail when the whole plan is followed",
            )),
            Outcome::FailsWithoutInlining => Err(Failure::new(
                "the command fails even when nothing is inlined: no decision is the reason",
            )),
        }
    }

    /// Inlines by `plan` and runs the command.
    fn fails(&self, plan: &Plan, step: Step) -> Result<bool, Failure> {
        let what = format!(
            "run {} of at most {}: {} of {} calls inlined, {} left to look at",
            step.run, self.most_runs, step.inlined, self.inlined, step.candidates
        );
        let (verdict, why) = match self.write(plan) {
            Ok(()) => match self.run_command()? {
                true => ("passes", String::new()),
                false => ("fails", String::new()),
            },
            Err(Trouble::Program(failure)) => ("fails", format!(": {failure}")),
            Err(Trouble::File(failure)) => return Err(failure),
        };
        let fails = verdict == "fails";
        let color = if fails {
            AnsiColor::Red
        } else {
            AnsiColor::Green
        };
        let style = color.on_default();
        say(&format!("{what}: {style}{verdict}{style:#}{why}"));
        Ok(fails)
    }

    fn write(&self, plan: &Plan) -> Result<(), Trouble> {
        let common = &self.arguments.common;
        let (silent, mut phases) = (Progress::hidden(), Phases::default());
        let policy = Decider {
            policy: Box::new(Replay::new(plan, Fallback::Keep)),
            profile: None,
            meet_demands: false,
        };
        let bytes = match self.arguments.emit {
            EmitArgument::Clif => {
                let isa = &**self.isa;
                let inlined =
                    stage::inline(self.program, isa, common, policy, &silent, &mut phases)
                        .map_err(Trouble::Program)?;
                let text = inlined.program().to_clif();
                text.map_err(|error| Trouble::Program(error.into()))?
                    .into_bytes()
            }
            EmitArgument::Object => {
                let (_, compiled) = stage::inline_and_compile(
                    self.program,
                    &**self.isa,
                    common,
                    policy,
                    LocationMode::Keep,
                    &silent,
                    &mut phases,
                )
                .map_err(Trouble::Program)?;
                let inputs = &self.arguments.inputs.paths;
                object(self.program, &compiled, self.isa, inputs).map_err(Trouble::Program)?
            }
        };
        let output = Output::File(self.file.to_owned());
        output.write_bytes(&bytes).map_err(Trouble::File)
    }

    /// Returns whether the command passes.
    fn run_command(&self) -> Result<bool, Failure> {
        let path = self.file.to_string_lossy();
        let mut words = self.arguments.command.iter();
        let program = words.next().map_or("", String::as_str);
        let status = Command::new(program)
            .args(words.map(|word| word.replace("{}", &path)))
            .env("CLIF_INLINE_FILE", self.file)
            .stdin(Stdio::null())
            // Standard output is for the result.
            .stdout(io::stderr())
            .status()
            .map_err(|error| Failure::new(format!("{program}: {error}")))?;
        Ok(status.success())
    }

    /// Writes the failing plan, and prints the decision.
    fn tell(
        &self,
        path: &SitePath,
        failing: &Plan,
        passing: &Plan,
        runs: usize,
    ) -> Result<(), Failure> {
        let file = failing_file(self.arguments);
        let (text, other) = (failing.to_string(), passing.to_string());
        Output::from_argument(&file).write_bytes(text.as_bytes())?;
        let lines = text.lines().zip(other.lines());
        let line = 1 + lines
            .take_while(|(failing, passing)| failing == passing)
            .count();
        let site = failing.get(path);
        let location = site.filter(|site| !site.location.is_default());
        let location = location.map_or_else(String::new, |site| format!(" at {}", site.location));
        let reason = site.map_or("", |site| site.reason.as_str());
        let inputs: Vec<_> = self.arguments.inputs.paths.iter().collect();
        let inputs: Vec<_> = inputs
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let (command, output) = match self.arguments.emit {
            EmitArgument::Object => ("compile", "failing.o"),
            EmitArgument::Clif => ("opt", "failing.clif"),
        };
        let file = file.display();
        output::print_styled(&format!(
            "{BOLD}{path}{BOLD:#}{location}\n\
             was inlined because: {reason}\n\n\
             The command fails where this call is inlined and passes where it is not; found in \
             {runs} runs.\n\
             To have the one that fails again:\n  \
             clif-inline {command} {} --plan {file} --plan-fallback keep -o {output}\n\
             For the one that passes, write `keep` for `inline` on line {line} of {file}.\n",
            inputs.join(" "),
        ))
    }
}

/// Returns the file for the plan that fails with the fewest calls inlined.
fn failing_file(arguments: &BisectArguments) -> PathBuf {
    match &arguments.output {
        Some(path) => path.clone(),
        None => arguments.plan.with_extension("failing.plan"),
    }
}

/// Failures of a run before the command can start.
enum Trouble {
    /// Inlining or compiling failed, which may be the failure in question.
    Program(Failure),
    File(Failure),
}
