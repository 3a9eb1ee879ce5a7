//! The side inputs and outputs of a run: remarks, plans and profiles.

use crate::arguments::{CommonArguments, FallbackArgument, PlanArguments};
use crate::failure::{Failure, warn};
use crate::input::read_text;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::remarks;
use crate::stage::{self, Decider};
use cranelift_inliner::decide::Inline;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::plan::{Deviation, DeviationKind, Fallback, Plan, Replay};
use cranelift_inliner::profile::Profile;
use cranelift_inliner::program::Program;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Further warnings are only counted.
const MOST_WARNINGS: usize = 5;

/// The remarks and plans that the arguments name.
pub(crate) struct Records {
    remarks: Option<Output>,
    plan: Option<Output>,
    followed: Option<FollowedPlan>,
    profile: Option<Profile>,
    /// Empty without a profile.
    profile_path: PathBuf,
}

struct FollowedPlan {
    path: PathBuf,
    plan: Plan,
    fallback: FallbackArgument,
}

impl Records {
    /// Reads the plan to follow and the profile, if any.
    pub(crate) fn new(common: &CommonArguments, plans: &PlanArguments) -> Result<Self, Failure> {
        let output = |path: &PathBuf| Output::from_argument(path);
        let followed = |path: &PathBuf| {
            Ok::<_, Failure>(FollowedPlan {
                path: path.clone(),
                plan: read_plan(path)?,
                fallback: plans.plan_fallback,
            })
        };
        Ok(Self {
            remarks: common.report.remarks.as_ref().map(output),
            plan: plans.plan_out.as_ref().map(output),
            followed: plans.plan.as_ref().map(followed).transpose()?,
            profile: stage::profile(&common.policy)?,
            profile_path: common.policy.profile.clone().unwrap_or_default(),
        })
    }

    /// Returns an error if a file would replace one that is read, or another output. `inputs` are
    /// the files that are read as CLIF, and `results` the other outputs, with the options that name
    /// them.
    ///
    /// A plan may replace the plan that is followed, and a profile the one that is used: they are
    /// of the same kind.
    pub(crate) fn check_outputs(
        &self,
        inputs: &[PathBuf],
        results: &[(&str, &Output)],
    ) -> Result<(), Failure> {
        let followed = self.followed.iter().map(|followed| &followed.path);
        let counted = self.profile.as_ref().map(|_| &self.profile_path);
        let followed: Vec<PathBuf> = followed.cloned().collect();
        let counted: Vec<PathBuf> = counted.into_iter().cloned().collect();
        for (option, output) in results {
            output.is_none_of(&followed)?;
            if *option != "--profile-out" {
                output.is_none_of(&counted)?;
            }
        }
        for output in self.remarks.iter().chain(&self.plan) {
            output.is_none_of(inputs)?;
            output.is_none_of(&counted)?;
        }
        if let Some(remarks) = &self.remarks {
            remarks.is_none_of(&followed)?;
        }
        let remarks = self.remarks.as_ref().map(|output| ("--remarks", output));
        let plan = self.plan.as_ref().map(|output| ("--plan-out", output));
        let all: Vec<_> = results.iter().copied().chain(remarks).chain(plan).collect();
        output::are_apart(&all)
    }

    /// Returns the deciding policy: the plan, with the fallback that the arguments choose.
    pub(crate) fn policy(&self, common: &CommonArguments) -> Decider<'_> {
        let policy = stage::policy(&common.policy);
        let policy: Box<dyn Inline + '_> = match &self.followed {
            None => policy,
            Some(followed) => {
                let fallback = match followed.fallback {
                    FallbackArgument::Policy => Fallback::Policy(policy),
                    FallbackArgument::Keep | FallbackArgument::Fail => Fallback::Keep,
                };
                Box::new(Replay::new(&followed.plan, fallback))
            }
        };
        Decider {
            policy,
            profile: self.profile.as_ref(),
            meet_demands: true,
        }
    }

    /// Warns of unmet demands and unused counts. Differences from the plan are warnings, or a
    /// failure if the arguments say so.
    pub(crate) fn compare(
        &self,
        program: &Program,
        inlined: &Inlined,
        progress: &Progress,
    ) -> Result<(), Failure> {
        progress.pause(|| {
            if let Some(profile) = &self.profile {
                let mismatches = profile.mismatches(inlined.graph());
                let file = self.profile_path.display();
                warn_of_some(&format!("{file}: "), &mismatches, "counts are not used");
            }
        });
        self.compare_decisions(program, inlined, progress)
    }

    /// Like [`compare`](Self::compare), but the profile may cover more than this program.
    pub(crate) fn compare_decisions(
        &self,
        program: &Program,
        inlined: &Inlined,
        progress: &Progress,
    ) -> Result<(), Failure> {
        progress.pause(|| {
            for warning in inlined.warnings() {
                warn(&warning.to_string());
            }
            warn_of_unmet(program, inlined);
        });
        let Some(followed) = &self.followed else {
            return Ok(());
        };
        let deviations = followed.plan.deviations(inlined);
        let is_unlisted =
            |deviation: &&Deviation| matches!(deviation.kind, DeviationKind::Unlisted { .. });
        let (unlisted, others): (Vec<_>, Vec<_>) = deviations.iter().partition(is_unlisted);
        let file = followed.path.display();
        if let [first, rest @ ..] = unlisted.as_slice()
            && followed.fallback == FallbackArgument::Fail
        {
            let more = match rest.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let path = &first.path;
            return Err(Failure::new(format!("{file} does not list {path}{more}")));
        }
        let prefix = format!("{file}: ");
        progress.pause(|| warn_of_some(&prefix, &others, "sites are not as planned"));
        Ok(())
    }

    /// Writes the remarks and the plan of a run.
    pub(crate) fn write(&self, program: &Program, inlined: &Inlined) -> Result<(), Failure> {
        let mut remarks = Vec::new();
        self.append_remarks(&mut remarks, program, inlined);
        self.write_remarks(&remarks)?;
        match self.recorded(inlined) {
            Some(plan) => self.write_plan(&plan),
            None => Ok(()),
        }
    }

    /// Adds the remarks of a run to those of others, if requested.
    pub(crate) fn append_remarks(
        &self,
        remarks: &mut Vec<u8>,
        program: &Program,
        inlined: &Inlined,
    ) {
        if self.remarks.is_some() {
            remarks::append(remarks, program, inlined);
        }
    }

    /// Writes the remarks of one run or several.
    pub(crate) fn write_remarks(&self, remarks: &[u8]) -> Result<(), Failure> {
        match &self.remarks {
            Some(output) => output.write_bytes(remarks),
            None => Ok(()),
        }
    }

    /// Returns the plan of a run, if requested.
    pub(crate) fn recorded(&self, inlined: &Inlined) -> Option<Plan> {
        self.plan.as_ref().map(|_| Plan::record(inlined))
    }

    /// Writes the plan of a run.
    pub(crate) fn write_plan(&self, plan: &Plan) -> Result<(), Failure> {
        match &self.plan {
            Some(output) => output.write_bytes(plan.to_string().as_bytes()),
            None => Ok(()),
        }
    }

    /// Returns whether a plan is followed or written.
    pub(crate) fn have_plan(&self) -> bool {
        self.followed.is_some() || self.plan.is_some()
    }

    /// Returns whether a plan will be written.
    pub(crate) fn want_plan(&self) -> bool {
        self.plan.is_some()
    }

    /// Returns whether any of them goes to standard output.
    pub(crate) fn take_standard_output(&self) -> bool {
        let mut outputs = self.remarks.iter().chain(&self.plan);
        outputs.any(Output::is_standard_output)
    }
}

/// Warns of calls that stay although the arguments demand inlining.
fn warn_of_unmet(program: &Program, inlined: &Inlined) {
    let told = inlined.unmet().filter_map(|site| {
        let demand = inlined.demand(site)?;
        let caller = program.get(site.caller)?.name();
        let (callee, reason) = (&site.callee, &site.reason);
        Some(format!(
            "{caller} still calls {callee}, though {demand}: {reason}"
        ))
    });
    let told: Vec<_> = told.collect();
    warn_of_some("", &told, "calls stay although their inlining is demanded");
}

/// Prints the first few warnings, each after `prefix`, and the number of the others.
fn warn_of_some(prefix: &str, messages: &[impl Display], what: &str) {
    for message in messages.iter().take(MOST_WARNINGS) {
        warn(&format!("{prefix}{message}"));
    }
    if messages.len() > MOST_WARNINGS {
        let more = messages.len() - MOST_WARNINGS;
        warn(&format!("{prefix}{more} more {what}"));
    }
}

/// Reads a plan from a file.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let file = path.display();
    read_text(path)?
        .parse::<Plan>()
        .map_err(|error| Failure::new(format!("{file}:{}: {}", error.line, error.problem)))
}
