//! Branches that can go only one way on a path.
//!
//! After a branch its condition is known. Later branches on the same value, before any effect, go
//! the same way. So it does not matter which of several such branches of the source remains in the
//! result: the first is matched with it, and later ones that the result does not have go the way of
//! the first. After everything is matched, the checker verifies that the one in the result has the
//! location of one of them.

use super::difference::Difference;
use super::place::{Crossing, Settled, Term, Terms};
use super::tables::{Choice, Known, Walk};
use super::tree::CopyId;
use cranelift_codegen::ir::{BlockArg, Inst, SourceLoc, Value};
use rustc_hash::FxHashSet;

impl Walk<'_> {
    /// Returns the way that a source branch on `terms` goes; `None` if that is unknown.
    ///
    /// A way that contradicts a constant is never taken, and clean-up folds by the constant there.
    pub(super) fn decided(&self, terms: &Terms, known: Option<&Known>) -> Option<bool> {
        match self.constant_of(terms) {
            Some(bits) => Some(bits != 0),
            None => known
                .filter(|known| says(known, terms))
                .map(|known| known.taken),
        }
    }

    /// Returns the way that a branch of the result goes after `crossings`, if the path decides
    /// that.
    pub(super) fn decided_in_result(
        &self,
        condition: Value,
        crossings: &[Crossing],
        known: Option<&Known>,
    ) -> Option<bool> {
        let condition = self.after.dfg.resolve_aliases(condition);
        let mut term = BlockArg::Value(condition);
        for crossing in crossings.iter().rev() {
            let BlockArg::Value(value) = term else {
                return None;
            };
            term = crossing.before(value);
        }
        match known {
            Some(known) if known.condition.contains(&term) => Some(known.taken),
            // A branch on a constant is one on every path, and compared like others.
            _ if term == Term::Value(condition) => None,
            _ => {
                let terms = [term].into_iter().collect();
                self.constant_of(&terms).map(|bits| bits != 0)
            }
        }
    }

    /// Notes that a branch of the source goes one way, or is in the result.
    pub(super) fn note_branch(
        &self,
        branch: (CopyId, Inst),
        terms: &Terms,
        known: Option<&Known>,
        is_passed: bool,
    ) {
        let mut runs = self.runs.borrow_mut();
        if let Some(known) = known.filter(|known| says(known, terms)) {
            runs.follows(known.branch, branch);
        }
        if is_passed && self.choice == Choice::OnPaths {
            runs.passed.push(branch);
        }
    }

    /// Accounts for the branches of the result that a gap passed: each has the location of one of
    /// the source that the gap passed.
    pub(super) fn account_for_branches(&self, settled: &Settled) {
        if settled.branches.is_empty() {
            return;
        }
        let mut runs = self.runs.borrow_mut();
        let passed = runs.passed.iter();
        let locations: FxHashSet<SourceLoc> = passed
            .map(|&(copy, inst)| self.tree.func(copy).srcloc(inst))
            .collect();
        for &branch in &settled.branches {
            let location = self.after.srcloc(branch);
            let is_like_one = !self.tree.keeps_locations || locations.contains(&location);
            if !locations.is_empty() && is_like_one {
                runs.accounted.insert(branch);
            }
        }
    }

    /// Compares the metadata of a branch; a later branch on the same value may have it instead.
    pub(super) fn check_branch_metadata(&self, copy: CopyId, inst: Inst, result: Inst) {
        let mut runs = self.runs.borrow_mut();
        match self.check_place(copy, inst, result) {
            Ok(()) => {
                runs.alike.insert(result);
            }
            Err(difference) => runs.differing.push(((copy, inst), result, difference)),
        }
    }

    fn check_place(&self, copy: CopyId, inst: Inst, result: Inst) -> Result<(), Difference> {
        self.check_srcloc(copy, inst, result)?;
        self.check_cold(copy, inst, result)
    }

    /// Checks that each branch of the result has the metadata of a source branch that was matched
    /// with it, or of a later one on the same value.
    pub(super) fn check_runs(&self) -> Result<(), Difference> {
        let runs = self.runs.borrow();
        let alike = |result: &Inst| runs.alike.contains(result);
        let differing = runs.differing.iter();
        for (branch, result, difference) in differing.filter(|(_, result, _)| !alike(result)) {
            let mut seen: FxHashSet<(CopyId, Inst)> = FxHashSet::default();
            let mut work = vec![*branch];
            let mut found = false;
            while let Some(branch) = work.pop() {
                found = branch_is_like(self, branch, *result);
                if found || !self.spend(1) {
                    break;
                }
                let behind = runs.next.get(&branch).into_iter().flatten();
                work.extend(behind.filter(|&&branch| seen.insert(branch)));
            }
            if !found {
                return Err(difference.clone());
            }
        }
        Ok(())
    }
}

fn branch_is_like(walk: &Walk<'_>, (copy, inst): (CopyId, Inst), result: Inst) -> bool {
    walk.check_place(copy, inst, result).is_ok()
}

fn says(known: &Known, terms: &Terms) -> bool {
    terms.iter().any(|term| known.condition.contains(term))
}
