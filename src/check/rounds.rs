//! Silent steps of the source that repeat themselves.
//!
//! To come to an instruction a second time is not yet to loop forever: a parameter may be another
//! constant by then, and a branch on it go the other way. But a step depends on the place and on
//! the assignments alone. So the source loops forever once both are as they were before.

use super::assigned::Assigned;
use super::tree::CopyId;
use cranelift_codegen::ir::Inst;
use rustc_hash::FxHashSet;

/// The silent steps of one gap.
///
/// Only one earlier step is kept, and replaced by a later one after twice as many steps each time
/// (Brent, BIT 1980): so any cycle is found, however long it is and whatever leads into it.
#[derive(Default)]
pub(super) struct Rounds {
    passed: FxHashSet<(CopyId, Inst)>,
    kept: Option<((CopyId, Inst), Assigned)>,
    /// The number of repeated steps so far, and that after which another one is kept.
    steps: usize,
    keep_next: usize,
}

impl Rounds {
    /// Notes a step; returns whether its instruction is passed for the first time.
    pub(super) fn pass(&mut self, place: (CopyId, Inst)) -> bool {
        self.passed.insert(place)
    }

    /// Returns whether everything is as it was after an earlier step, and keeps this one in turn.
    pub(super) fn repeats(&mut self, place: (CopyId, Inst), assigned: &Assigned) -> bool {
        if let Some((kept, then)) = &self.kept
            && *kept == place
            && then.is_same(assigned)
        {
            return true;
        }
        self.steps += 1;
        if self.steps > self.keep_next {
            self.keep_next = self.steps * 2;
            self.kept = Some((place, assigned.clone()));
        }
        false
    }
}
