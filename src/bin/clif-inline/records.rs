//! What a run leaves beside its result, and what it takes from another: remarks and plans.

use crate::arguments::{CommonArguments, FallbackArgument, PlanArguments};
use crate::failure::{Failure, warn};
use crate::output::Output;
use crate::progress::Progress;
use crate::{remarks, stage};
use cranelift_inliner::decide::Inline;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::plan::{Deviation, DeviationKind, Fallback, Plan, Replay};
use cranelift_inliner::program::Program;
use std::fs;
use std::path::{Path, PathBuf};

/// A plan that has more wrong with it is told of in numbers.
const MOST_WARNINGS: usize = 5;

/// The remarks and plans that the arguments name.
pub(crate) struct Records {
    remarks: Option<Output>,
    plan: Option<Output>,
    followed: Option<FollowedPlan>,
}

struct FollowedPlan {
    path: PathBuf,
    plan: Plan,
    fallback: FallbackArgument,
}

impl Records {
    /// Reads the plan that is to be followed, if there is one.
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
        })
    }

    /// Who decides: the plan, and the policy where that has the say.
    pub(crate) fn policy(&self, common: &CommonArguments) -> Box<dyn Inline + '_> {
        let policy = stage::policy(&common.policy);
        match &self.followed {
            None => policy,
            Some(followed) => {
                let fallback = match followed.fallback {
                    FallbackArgument::Policy => Fallback::Policy(policy),
                    FallbackArgument::Keep | FallbackArgument::Fail => Fallback::Keep,
                };
                Box::new(Replay::new(&followed.plan, fallback))
            }
        }
    }

    /// Tells where the plan was not followed, which may be a failure.
    pub(crate) fn compare(
        &self,
        program: &Program,
        inlined: &Inlined,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let Some(followed) = &self.followed else {
            return Ok(());
        };
        let deviations = followed.plan.deviations(program, inlined);
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
        progress.pause(|| {
            for deviation in others.iter().take(MOST_WARNINGS) {
                warn(&format!("{file}: {deviation}"));
            }
            if others.len() > MOST_WARNINGS {
                let more = others.len() - MOST_WARNINGS;
                warn(&format!("{file}: {more} more sites are not as planned"));
            }
        });
        Ok(())
    }

    /// Writes the remarks and the plan of a run.
    pub(crate) fn write(&self, program: &Program, inlined: &Inlined) -> Result<(), Failure> {
        if let Some(output) = &self.remarks {
            remarks::write(output, program, inlined)?;
        }
        if let Some(output) = &self.plan {
            let plan = Plan::record(program, inlined);
            output.write_bytes(plan.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Whether any of them goes to standard output.
    pub(crate) fn take_standard_output(&self) -> bool {
        let mut outputs = self.remarks.iter().chain(&self.plan);
        outputs.any(Output::is_standard_output)
    }
}

/// The plan in a file.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let file = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::read(path, &error))?;
    text.parse::<Plan>()
        .map_err(|error| Failure::new(format!("{file}:{}: {}", error.line, error.problem)))
}
