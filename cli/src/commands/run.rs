//! `clif-inline run`: executes the directives of test files.
//!
//! Each file is a separate module, so a bad file does not affect the others: its errors are
//! failures like those of directives.

use crate::arguments::{CommonArguments, RunArguments};
use crate::failure::{self, Failure, warn};
use crate::input::utf8;
use crate::names::did_you_mean;
use crate::output::Output;
use crate::progress::Progress;
use crate::records::Records;
use crate::run::{RunReport, Script, execute};
use crate::stage::{self, Names};
use crate::statistics::{Directives, Phases, Statistics, counted};
use crate::test_files;
use cranelift_codegen::ir;
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::plan::Plan;
use cranelift_inliner::profile::{COUNTERS, Instrumented, Profile};
use cranelift_inliner::program::{FunctionName, Origin, Program, ProgramError, ProgramFunction};
use cranelift_inliner_testing::execute::SharedCounters;
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(crate) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let records = Records::new(common, &arguments.plan)?;
    let profile_out = arguments.profile_out.as_deref();
    let profile_out = profile_out.map(Output::from_argument);
    let files = test_files::find(&arguments.paths);
    let read: Vec<PathBuf> = files.iter().flatten().cloned().collect();
    let results = profile_out
        .iter()
        .map(|output| ("--profile-out", output))
        .collect::<Vec<_>>();
    for (_, output) in &results {
        output.is_none_of(&read)?;
    }
    records.check_outputs(&read, &results)?;
    if records.have_plan() && files.len() != 1 {
        let files = counted(files.len(), "file");
        let message = format!("a plan is of one file, and there are {files}");
        return Err(Failure::Usage(message));
    }
    let mut runner = Runner {
        common,
        records: &records,
        names: Names::new(&common.names)?,
        names_seen: FxHashSet::default(),
        defined: BTreeSet::new(),
        recorded: None,
        counted: profile_out.is_some().then(Profile::new),
        statistics: Statistics::default(),
        phases: Phases::default(),
        remarks: Vec::new(),
        report: RunReport::default(),
        without_directives: Vec::new(),
        failed_files: Vec::new(),
    };
    let progress = Progress::new();
    progress.begin_steps("running", files.len());
    for file in &files {
        match file {
            Ok(path) => runner.file(path, &progress),
            Err(message) => runner.failed_files.push(message.clone()),
        }
        progress.step();
    }
    drop(progress);
    runner.check_names();
    runner.check_plan();
    runner.check_directives();

    let writing = Instant::now();
    let directives = runner.directives();
    let text = runner.text(files.len(), arguments.quiet);
    if common.report.stats.is_some() {
        // Standard output is for the numbers alone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    } else {
        Output::StandardOutput.write_bytes(text.as_bytes())?;
    }
    let failed = runner.report.failed.iter().map(ToString::to_string);
    for message in runner.failed_files.iter().cloned().chain(failed) {
        failure::error(&message);
    }
    records.write_remarks(&runner.remarks)?;
    if let Some(plan) = &runner.recorded {
        records.write_plan(plan)?;
    }
    if let (Some(output), Some(counted)) = (&profile_out, &runner.counted) {
        output.write_bytes(counted.to_json().as_bytes())?;
    }
    runner.phases.write = writing.elapsed();
    runner.phases.total = started.elapsed();
    runner.statistics.directives = Some(directives);
    runner.statistics.microseconds = runner.phases;
    runner
        .statistics
        .print(common, records.take_standard_output())?;
    if directives.failed > 0 || !runner.failed_files.is_empty() {
        return Err(Failure::Silent);
    }
    Ok(())
}

struct Runner<'a> {
    common: &'a CommonArguments,
    records: &'a Records,
    names: Names<'a>,
    /// Names in options that a file defined.
    names_seen: FxHashSet<&'a FunctionName>,
    /// Names defined by files, as suggestions for misspelt ones; empty if no option has names.
    defined: BTreeSet<String>,
    /// The decisions, if they are to be written.
    recorded: Option<Plan>,
    /// The counts, if they are to be written.
    counted: Option<Profile>,
    statistics: Statistics,
    phases: Phases,
    remarks: Vec<u8>,
    report: RunReport,
    /// Files without directives to execute.
    without_directives: Vec<PathBuf>,
    /// Errors of files, except failed directives.
    failed_files: Vec<String>,
}

impl<'a> Runner<'a> {
    fn file(&mut self, path: &Path, progress: &Progress) {
        if let Err(message) = self.try_file(path, progress) {
            self.failed_files.push(message);
        }
    }

    fn try_file(&mut self, path: &Path, progress: &Progress) -> Result<(), String> {
        let reading = Instant::now();
        let (path, text) = read(path)?;
        let script = Script::parse(&path, &text).map_err(|error| error.to_string())?;
        self.phases.read += reading.elapsed();
        progress.pause(|| script.warnings.iter().for_each(|warning| warn(warning)));
        if script.directive_count() == 0 {
            self.without_directives.push(path.clone());
        }
        let report = match script.executable_isa() {
            Some(isa) if script.directive_count() > 0 => {
                let program = self.program(&script, &path).map_err(in_words)?;
                let counting = self.counted.is_some().then(|| Counting::new(&program));
                let counting = counting.transpose()?;
                let program = counting.as_ref().map_or(&program, Counting::program);
                let bodies = self.inlined(program, &*isa, progress)?;
                let executing = Instant::now();
                let table = counting.as_ref().map(|counting| &counting.table);
                let report = execute(&script, &bodies, table);
                self.phases.execute += executing.elapsed();
                if let (Some(counting), Some(counted)) = (counting, &mut self.counted) {
                    counted.add(&counting.profile()?);
                }
                report
            }
            _ => execute(&script, &script.functions, None),
        };
        self.report.merge(report);
        Ok(())
    }

    /// Returns the functions of a file after inlining across them.
    fn inlined(
        &mut self,
        program: &Program,
        isa: &dyn TargetIsa,
        progress: &Progress,
    ) -> Result<Vec<Arc<ir::Function>>, String> {
        let silent = Progress::hidden();
        let (common, phases) = (self.common, &mut self.phases);
        stage::verify(program, isa, common, &silent, phases).map_err(in_words)?;
        let policy = self.records.policy(common);
        let inlined =
            stage::inline(program, isa, common, policy, &silent, phases).map_err(in_words)?;
        // A profile may cover all files.
        let compared = self.records.compare_decisions(program, &inlined, progress);
        compared.map_err(in_words)?;
        self.statistics.add(program, &inlined);
        self.records
            .append_remarks(&mut self.remarks, program, &inlined);
        self.recorded = self.records.recorded(&inlined);
        let functions = inlined.program().iter();
        Ok(functions
            .map(|(_, function)| Arc::clone(function.body()))
            .collect())
    }

    fn program(&mut self, script: &Script, path: &Path) -> Result<Program, ProgramError> {
        let file: Arc<str> = Arc::from(path.to_string_lossy());
        let mut program = Program::new();
        for (function, &line) in script.functions.iter().zip(&script.function_lines) {
            let origin = Origin::new(Arc::clone(&file), u32::try_from(line).unwrap_or(u32::MAX));
            program.add_function(ProgramFunction::new(function.clone()).with_origin(origin))?;
        }
        for name in script.tables.tables() {
            let entries = script.tables.table(name);
            let entries = entries.map(|(offset, function)| (offset, function.clone()));
            program.add_table(name.clone(), entries);
        }
        let called: Vec<_> = script.called().cloned().map(FunctionName::from).collect();
        self.names.apply_where_defined(&mut program, &called)?;
        let names = self
            .names
            .by_option()
            .into_iter()
            .flat_map(|(_, names)| names);
        let defined = names.filter(|name| program.id(name).is_some());
        self.names_seen.extend(defined);
        if self
            .names
            .by_option()
            .iter()
            .any(|(_, names)| !names.is_empty())
        {
            let names = program
                .iter()
                .map(|(_, function)| function.name().to_string());
            self.defined.extend(names);
        }
        Ok(program)
    }

    fn check_names(&mut self) {
        for (option, names) in self.names.by_option() {
            for name in names.iter().filter(|name| !self.names_seen.contains(name)) {
                let meant = did_you_mean(name, self.defined.iter().cloned());
                let message = format!("{option} {name}: no file defines this function{meant}");
                self.failed_files.push(message);
            }
        }
    }

    /// Reports a missing plan: without directives to execute, the pass does not run.
    fn check_plan(&mut self) {
        let nothing_failed = self.failed_files.is_empty();
        if self.records.want_plan() && self.recorded.is_none() && nothing_failed {
            let message = "--plan-out: the file has nothing to execute here, so there is no plan";
            self.failed_files.push(message.to_owned());
        }
    }

    /// Reports a run without any directive, which would otherwise count as a success.
    fn check_directives(&mut self) {
        let directives = self.directives();
        let none = directives.passed + directives.failed + directives.passed_over == 0;
        if let [first, ..] = self.without_directives.as_slice()
            && none
            && self.failed_files.is_empty()
        {
            let place = match self.without_directives.len() {
                1 => first.display().to_string(),
                files => counted(files, "file"),
            };
            self.failed_files.push(format!(
                "{place}: no `; run:` or `; print:` line, so there is nothing to execute"
            ));
        }
    }

    fn directives(&self) -> Directives {
        Directives {
            passed: self.report.passed,
            failed: self.report.failed.len(),
            passed_over: self.report.directives_passed_over(),
        }
    }

    fn text(&self, files: usize, quiet: bool) -> String {
        let mut text = String::new();
        for line in &self.report.printed {
            text.push_str(line);
            text.push('\n');
        }
        // Writing to a string does not fail.
        if !quiet {
            for entry in &self.report.passed_over {
                let _ = writeln!(text, "skipped: {entry}");
            }
            for path in &self.without_directives {
                let _ = writeln!(text, "skipped: {}: no directives", path.display());
            }
        }
        let Directives {
            passed,
            failed,
            passed_over,
        } = self.directives();
        let _ = write!(
            text,
            "{passed} passed, {failed} failed, {passed_over} skipped in {}",
            counted(files, "file")
        );
        if !self.without_directives.is_empty() {
            let without = self.without_directives.len();
            let _ = write!(text, " ({without} without directives)");
        }
        if !self.failed_files.is_empty() {
            let errors = counted(self.failed_files.len(), "other error");
            let _ = write!(text, "; {errors}");
        }
        let Statistics {
            inlined,
            call_sites_before,
            call_sites_after,
            ..
        } = self.statistics;
        let inlined = counted(inlined, "call");
        let _ = writeln!(
            text,
            "; {inlined} inlined, call sites {call_sites_before} → {call_sites_after}"
        );
        text
    }
}

/// A file's functions with counters, and the counters.
struct Counting {
    instrumented: Instrumented,
    table: SharedCounters,
}

impl Counting {
    fn new(program: &Program) -> Result<Self, String> {
        let instrumented = Instrumented::new(program, &FunctionName::testcase(COUNTERS))
            .map_err(|error| error.to_string())?;
        let table = SharedCounters::new(instrumented.sites().len())
            .map_err(|error| format!("no memory for counters: {error}"))?;
        Ok(Self {
            instrumented,
            table,
        })
    }

    fn program(&self) -> &Program {
        self.instrumented.program()
    }

    fn profile(&self) -> Result<Profile, String> {
        let profile = self.instrumented.profile(&self.table.counts());
        profile.map_err(|error| error.to_string())
    }
}

fn in_words(failure: impl Into<Failure>) -> String {
    failure.into().to_string()
}

/// Returns the text of a file, and its name in messages.
fn read(path: &Path) -> Result<(std::path::PathBuf, String), String> {
    let name = match path == Path::new("-") {
        true => Path::new("<stdin>"),
        false => path,
    };
    let bytes = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map(|_| bytes)
        }
        false => fs::read(path),
    };
    let bytes = bytes.map_err(|error| format!("{}: {error}", name.display()))?;
    let text =
        utf8(bytes).map_err(|(line, message)| format!("{}:{line}: {message}", name.display()))?;
    Ok((name.to_owned(), text))
}
