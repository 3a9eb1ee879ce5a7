//! Common steps of commands on a single program.

use crate::arguments::{CommonArguments, PlanArguments, TargetArguments};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::records::Records;
use crate::stage;
use crate::statistics::Statistics;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::locations::LocationMode;
use cranelift_inliner::pass::{CompiledProgram, Inlined};
use cranelift_inliner::program::Program;
use std::path::PathBuf;
use std::time::Instant;

/// A running command: its arguments and its statistics.
pub(super) struct Job<'a> {
    common: &'a CommonArguments,
    records: Records,
    pub(super) isa: OwnedTargetIsa,
    pub(super) statistics: Statistics,
    progress: Progress,
    started: Instant,
}

/// A command after writing its results.
pub(super) struct Finished<'a> {
    common: &'a CommonArguments,
    records: Records,
    pub(super) statistics: Statistics,
    started: Instant,
}

impl<'a> Job<'a> {
    /// Checks the arguments; reads only plans and profiles.
    pub(super) fn begin(
        common: &'a CommonArguments,
        plan: &PlanArguments,
        target: &TargetArguments,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        Ok(Self {
            common,
            records: Records::new(common, plan)?,
            isa: stage::target(target)?,
            statistics: Statistics::default(),
            progress: Progress::new(),
            started,
        })
    }

    /// Reads the program. `results` are the outputs of the command, with the options that name
    /// them.
    pub(super) fn read(
        &mut self,
        paths: &[PathBuf],
        results: &[(&str, &Output)],
    ) -> Result<Program, Failure> {
        self.records.check_outputs(paths, results)?;
        let phases = &mut self.statistics.microseconds;
        stage::read(paths, self.common, &self.progress, phases)
    }

    /// Verifies `program`, inlines across it and compares the decisions with a plan.
    pub(super) fn inline(&mut self, program: &Program) -> Result<Inlined, Failure> {
        self.verify(program)?;
        let policy = self.records.policy(self.common);
        let phases = &mut self.statistics.microseconds;
        let (isa, progress) = (&*self.isa, &self.progress);
        let inlined = stage::inline(program, isa, self.common, policy, progress, phases)?;
        self.compare(program, &inlined)?;
        Ok(inlined)
    }

    /// Like [`inline`](Self::inline), but also compiles the result.
    pub(super) fn inline_and_compile(
        &mut self,
        program: &Program,
        locations: LocationMode,
    ) -> Result<(Inlined, CompiledProgram), Failure> {
        self.verify(program)?;
        let (inlined, compiled) = stage::inline_and_compile(
            program,
            &*self.isa,
            self.common,
            self.records.policy(self.common),
            locations,
            &self.progress,
            &mut self.statistics.microseconds,
        )?;
        self.compare(program, &inlined)?;
        self.statistics.add_code(&compiled);
        Ok((inlined, compiled))
    }

    fn verify(&mut self, program: &Program) -> Result<(), Failure> {
        let phases = &mut self.statistics.microseconds;
        stage::verify(program, &*self.isa, self.common, &self.progress, phases)
    }

    fn compare(&mut self, program: &Program, inlined: &Inlined) -> Result<(), Failure> {
        self.records.compare(program, inlined, &self.progress)?;
        self.statistics.add(program, inlined);
        Ok(())
    }

    /// Writes remarks and a plan, if requested, and the output of `write`; the progress bar shows
    /// `step`.
    pub(super) fn write<T>(
        self,
        step: &'static str,
        program: &Program,
        inlined: &Inlined,
        write: impl FnOnce(&Statistics) -> Result<T, Failure>,
    ) -> Result<(Finished<'a>, T), Failure> {
        self.progress.begin(step);
        let writing = Instant::now();
        self.records.write(program, inlined)?;
        let written = write(&self.statistics)?;
        drop(self.progress);
        let mut statistics = self.statistics;
        statistics.microseconds.write = writing.elapsed();
        let finished = Finished {
            common: self.common,
            records: self.records,
            statistics,
            started: self.started,
        };
        Ok((finished, written))
    }
}

impl Finished<'_> {
    /// Names the written file, followed by `note`, unless statistics are requested.
    pub(super) fn tell(&self, output: &Output, note: &str) {
        if self.common.report.stats.is_none() {
            output.tell(note);
        }
    }

    /// Prints the statistics, if requested, beside a result in `output`.
    pub(super) fn print(mut self, output: &Output) -> Result<(), Failure> {
        self.statistics.microseconds.total = self.started.elapsed();
        let taken = output.is_standard_output() || self.records.take_standard_output();
        self.statistics.print(self.common, taken)
    }
}
