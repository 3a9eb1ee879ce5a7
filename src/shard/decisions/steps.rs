//! Calls in functions as they are in the end.

use crate::graph::{PathStep, SiteId};
use cranelift_entity::EntityRef;

/// No call: the body of the function itself.
pub(super) const ROOT: u32 = u32::MAX >> 1;

/// A call in a function as it is in the end: a site of the program, and the inlined call whose body
/// has it.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Step {
    /// The inlined call around it, by its number among the inlined calls, or [`ROOT`]; and in the
    /// highest bit, whether it came with an inlined body, in which it was decided.
    around: u32,
    site: u32,
}

const COPIED: u32 = 1 << 31;

impl Step {
    /// Creates a call that is decided in this function.
    pub(super) fn new(around: u32, site: SiteId) -> Self {
        Step {
            around: around.min(ROOT),
            site: site.as_u32(),
        }
    }

    /// Returns the copy of an inlined call in a function that inlines the body around it.
    pub(super) fn copied(self, around: u32) -> Self {
        Step {
            around: around.min(ROOT) | COPIED,
            ..self
        }
    }

    pub(super) fn around(self) -> u32 {
        self.around & !COPIED
    }

    pub(in crate::shard) fn site(self) -> SiteId {
        SiteId::new(self.site as usize)
    }

    /// Returns whether it was decided in this function, not in a callee before that was inlined.
    pub(in crate::shard) fn is_new(self) -> bool {
        self.around & COPIED == 0
    }
}

/// The inlined calls of a function; each comes after the one around it.
#[derive(Clone, Copy)]
pub(in crate::shard) struct Steps<'d>(pub(super) &'d [Step]);

impl<'d> Steps<'d> {
    pub(in crate::shard) fn iter(self) -> impl Iterator<Item = Step> + 'd {
        self.0.iter().copied()
    }

    /// Returns those that were decided in the function itself.
    pub(in crate::shard) fn new_ones(self) -> impl Iterator<Item = Step> + 'd {
        self.iter().filter(|step| step.is_new())
    }

    /// Sets `path` to the sites on the way to a step, the function's own first.
    pub(in crate::shard) fn path(self, step: Step, path: &mut Vec<PathStep>) {
        path.clear();
        path.push(PathStep::Site(step.site()));
        let mut step = step;
        while let Some(&around) = self.0.get(step.around() as usize) {
            path.push(PathStep::Site(around.site()));
            step = around;
        }
        path.reverse();
    }
}
