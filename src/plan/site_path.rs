//! Where a call is, in names.

use crate::graph::SiteName;
use crate::program::FunctionName;
use std::fmt;

/// The place of a call in a function: the function's own call, or a call in a body that takes the
/// place of one, in any depth.
///
/// It is what [`Inlined::path`](crate::pass::Inlined::path) and
/// [`CallSite::path_names`](crate::decide::CallSite::path_names) give, without saying twice that
/// each site's callee is the next one's caller. Paths are ordered by caller, then by their steps;
/// a path stands before those that go on from it.
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
    /// Callees and which of their calls, from the caller on.
    steps: Vec<(FunctionName, u32)>,
}

impl SitePath {
    /// The call of `callee` that has `ordinal` others of the same callee before it in `caller`.
    pub fn new(caller: FunctionName, callee: FunctionName, ordinal: u32) -> Self {
        SitePath {
            caller,
            steps: vec![(callee, ordinal)],
        }
    }

    /// The call of `callee` in the body that takes the place of this one.
    #[must_use]
    pub fn then(mut self, callee: FunctionName, ordinal: u32) -> Self {
        self.steps.push((callee, ordinal));
        self
    }

    /// The path of these sites; `None` if there are none, or if one is no call that the callee of
    /// the one before has.
    pub fn from_names(names: &[SiteName]) -> Option<Self> {
        let (first, rest) = names.split_first()?;
        let SiteName {
            caller,
            callee,
            ordinal,
        } = first.clone();
        let mut path = Self::new(caller, callee, ordinal);
        for name in rest {
            if *path.callee() != name.caller {
                return None;
            }
            path = path.then(name.callee.clone(), name.ordinal);
        }
        Some(path)
    }

    /// The names of its sites, the function's own first.
    pub fn names(&self) -> impl Iterator<Item = SiteName> {
        let callees = self.steps.iter().map(|(callee, _)| callee);
        let callers = std::iter::once(&self.caller).chain(callees);
        callers
            .zip(&self.steps)
            .map(|(caller, (callee, ordinal))| SiteName {
                caller: caller.clone(),
                callee: callee.clone(),
                ordinal: *ordinal,
            })
    }

    /// The function in which the call is.
    pub fn caller(&self) -> &FunctionName {
        &self.caller
    }

    /// What is called.
    pub fn callee(&self) -> &FunctionName {
        self.steps.last().map_or(&self.caller, |(callee, _)| callee)
    }

    /// The callees from the caller on, each with how many calls of it stand before this one in
    /// its caller.
    pub fn steps(&self) -> &[(FunctionName, u32)] {
        &self.steps
    }
}

/// Writes `%caller -> %callee #ordinal > %callee #ordinal`.
impl fmt::Display for SitePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.caller)?;
        for (index, (callee, ordinal)) in self.steps.iter().enumerate() {
            let arrow = if index == 0 { "->" } else { ">" };
            write!(f, " {arrow} {callee} #{ordinal}")?;
        }
        Ok(())
    }
}
