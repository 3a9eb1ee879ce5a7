//! The place of a call, in names.

use crate::graph::SiteName;
use crate::program::FunctionName;
use std::fmt;

/// A call site in a function, identified by the chain of inlined calls that leads to it. The chain
/// of a function's own call is that call alone.
///
/// It has the content of [`Inlined::path`](crate::pass::Inlined::path) and
/// [`CallSite::path_names`](crate::decide::CallSite::path_names) without the repetition of each
/// site's callee as the next one's caller. Paths are ordered by caller, then by their steps; a path
/// comes before its extensions.
///
/// ```
/// use cranelift_inliner::plan::SitePath;
///
/// let own = SitePath::new("%main".parse()?, "%middle".parse()?, 0);
/// let inner = own.clone().then("%leaf".parse()?, 2);
/// assert_eq!(inner.to_string(), "%main -> %middle #0 > %leaf #2");
/// assert!(own < inner);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SitePath {
    caller: FunctionName,
    steps: Vec<SiteStep>,
}

/// One step of a [`SitePath`]: a call in the function that the step before calls.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub struct SiteStep {
    /// The function that is called.
    pub callee: FunctionName,
    /// 0, or the stage of the pass before which the call became direct: see [`SiteName::stage`].
    pub stage: u32,
    /// The number of calls of the callee of the same stage before this one in its caller.
    pub ordinal: u32,
}

/// Writes `%callee #ordinal`, and `~stage` where that is not 0.
impl fmt::Display for SiteStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.callee, self.number())
    }
}

impl SiteStep {
    /// Formats the ordinal and the stage, which follow the name.
    pub(super) fn number(&self) -> String {
        match self.stage {
            0 => format!("#{}", self.ordinal),
            stage => format!("#{}~{stage}", self.ordinal),
        }
    }
}

impl SitePath {
    /// Returns the call of `callee` that has `ordinal` others of the same callee before it in
    /// `caller`.
    pub fn new(caller: FunctionName, callee: FunctionName, ordinal: u32) -> Self {
        SitePath {
            caller,
            steps: Vec::new(),
        }
        .then(callee, ordinal)
    }

    /// Returns the call of `callee` in the body that takes the place of this one.
    #[must_use]
    pub fn then(self, callee: FunctionName, ordinal: u32) -> Self {
        self.then_resolved(callee, ordinal, 0)
    }

    /// Like [`then`](Self::then), but for a call that was indirect until its target became known
    /// before `stage`. `ordinal` counts the earlier calls of the callee that became direct in that
    /// stage.
    #[must_use]
    pub fn then_resolved(mut self, callee: FunctionName, ordinal: u32, stage: u32) -> Self {
        self.steps.push(SiteStep {
            callee,
            stage,
            ordinal,
        });
        self
    }

    /// Returns the path of `caller`'s own call that was indirect until its target became known; see
    /// [`then_resolved`](Self::then_resolved).
    pub fn resolved(caller: FunctionName, callee: FunctionName, ordinal: u32, stage: u32) -> Self {
        let steps = Vec::new();
        SitePath { caller, steps }.then_resolved(callee, ordinal, stage)
    }

    /// Returns the stage of the pass before which the first call of the path became direct; 0 if it
    /// was direct from the start.
    pub fn stage(&self) -> u32 {
        self.steps.first().map_or(0, |step| step.stage)
    }

    /// Returns the path of these sites; `None` if there are none, or if the caller of one is not
    /// the callee of the one before.
    pub fn from_names(names: &[SiteName]) -> Option<Self> {
        let (first, rest) = names.split_first()?;
        let SiteName {
            caller,
            callee,
            ordinal,
            stage,
        } = first.clone();
        let mut path = Self::resolved(caller, callee, ordinal, stage);
        for name in rest {
            if *path.callee() != name.caller {
                return None;
            }
            path = path.then_resolved(name.callee.clone(), name.ordinal, name.stage);
        }
        Some(path)
    }

    /// Returns the names of its sites, the function's own first.
    pub fn names(&self) -> impl Iterator<Item = SiteName> {
        let callees = self.steps.iter().map(|step| &step.callee);
        let callers = std::iter::once(&self.caller).chain(callees);
        callers.zip(&self.steps).map(|(caller, step)| SiteName {
            caller: caller.clone(),
            callee: step.callee.clone(),
            ordinal: step.ordinal,
            stage: step.stage,
        })
    }

    /// Returns the function in which the call is.
    pub fn caller(&self) -> &FunctionName {
        &self.caller
    }

    /// Returns the function that is called.
    pub fn callee(&self) -> &FunctionName {
        self.steps.last().map_or(&self.caller, |step| &step.callee)
    }

    /// Returns the calls from the caller on.
    pub fn steps(&self) -> &[SiteStep] {
        &self.steps
    }
}

/// Writes `%caller -> %callee #ordinal > %callee #ordinal`, the steps as they are written.
impl fmt::Display for SitePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.caller)?;
        for (index, step) in self.steps.iter().enumerate() {
            let arrow = if index == 0 { "->" } else { ">" };
            write!(f, " {arrow} {step}")?;
        }
        Ok(())
    }
}
