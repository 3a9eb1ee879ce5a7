//! Follows source and result together.
//!
//! Between two instructions with an effect, both sides may take silent steps: jumps, and on the
//! source side also steps into a copy and out of it. Such a stretch is a *gap*. It starts where the
//! last instruction was matched and ends at the next one on each side. The assignments of the
//! source on the way, to block parameters, parameters of copies and results of replaced calls, take
//! effect at the end of the gap, together with the assignments of the result to its block
//! parameters.

use super::assigned::Assigned;
use super::difference::{CheckError, Difference, Undecided};
use super::forks::Joined;
use super::place::{Crossing, Next, Place, Settled, Term, Terms, one};
use super::rounds::Rounds;
use super::slot_owners::Slots;
use super::tables::{Choice, End, Gap, Known, Source, Step, Walk};
use super::tree::{CopyId, CopyTree};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Value};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};
use std::cell::{Cell, OnceCell, RefCell};

/// The allowed number of source steps without steps of the result, per instruction of the
/// functions.
const FUEL_PER_INST: usize = 64;

impl<'a> Walk<'a> {
    fn new(tree: &'a CopyTree<'a>, after: &'a Function, choice: Choice) -> Self {
        let cfg = ControlFlowGraph::with_function(after);
        Walk {
            tree,
            after,
            domtree: DominatorTree::with_function(after, &cfg),
            terms: tree.copies.values().map(|_| SecondaryMap::new()).collect(),
            slots: Slots::default(),
            store_with_region: OnceCell::new(),
            owners: FxHashMap::default(),
            matches: FxHashMap::default(),
            named_blocks: Vec::new(),
            passed: FxHashSet::default(),
            entered_blocks: EntitySet::new(),
            entered: EntitySet::new(),
            visited: FxHashMap::default(),
            work: Vec::new(),
            equal_to_params: SecondaryMap::new(),
            liveness: RefCell::default(),
            runs: RefCell::default(),
            choice,
            fuel: Cell::new(0),
            forgot: Cell::new(false),
            gave_up: Cell::new(false),
            shrunk: false,
        }
    }

    /// Follows the source through the result, with another choice among branches on the same value
    /// where the first leads to a difference. After a difference, other choices may still be right.
    pub(super) fn prove(tree: &'a CopyTree<'a>, after: &'a Function) -> Result<(), CheckError> {
        let mut first: Option<Difference> = None;
        let mut is_certain = true;
        for choice in [Choice::First, Choice::OnPaths, Choice::Later] {
            let mut walk = Walk::new(tree, after, choice);
            let Err(difference) = walk.run() else {
                return Ok(());
            };
            is_certain &= !walk.is_uncertain();
            let first = first.get_or_insert_with(|| difference.clone());
            is_certain &= first.is_at(&difference);
        }
        let difference = first.unwrap_or_else(|| Difference::general("nothing was looked at"));
        Err(match is_certain {
            true => difference.into(),
            false => Undecided::because_of(difference).into(),
        })
    }

    /// Returns whether a difference may be due to a limit of the checker.
    fn is_uncertain(&self) -> bool {
        self.gave_up.get() || self.forgot.get()
    }

    /// Takes steps where the result has none; false where there were too many.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.fuel.get().checked_sub(steps);
        self.fuel.set(left.unwrap_or(0));
        self.gave_up.set(self.gave_up.get() | left.is_none());
        left.is_some()
    }

    /// Iterates until no more terms turn out to be unequal.
    fn run(&mut self) -> Result<(), Difference> {
        self.check_header()?;
        let copies = self.tree.copies.values().map(|copy| copy.func);
        let functions = copies.chain([self.after]);
        let insts = functions.fold(0_usize, |sum, func| {
            sum.saturating_add(func.dfg.num_insts())
        });
        let fuel = insts.saturating_add(64).saturating_mul(FUEL_PER_INST);
        let mut first_difference = None;
        loop {
            self.shrunk = false;
            self.fuel.set(fuel);
            self.gave_up.set(false);
            match self.go_around() {
                Ok(()) if !self.shrunk => break,
                Ok(()) => {}
                Err(difference) => {
                    // It may be due to values that were only assumed to be equal.
                    let difference = first_difference.get_or_insert(difference);
                    if !self.shrunk {
                        return Err(difference.clone());
                    }
                }
            }
        }
        self.check_runs()?;
        self.check_nothing_is_left_over()?;
        self.check_named_blocks()?;
        self.check_promises()?;
        self.check_labels()?;
        self.check_stack_limits()?;
        self.check_keyed_slots()
    }

    fn go_around(&mut self) -> Result<(), Difference> {
        self.visited.clear();
        self.entered.clear();
        self.entered_blocks.clear();
        self.owners.clear();
        self.matches.clear();
        self.named_blocks.clear();
        self.passed.clear();
        self.runs = RefCell::default();
        self.slots.forget_owners();
        self.work.clear();
        let start = self.start()?;
        self.work.push(start);
        while let Some(gap) = self.work.pop() {
            self.follow(gap)?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Gap, Difference> {
        let before = self.tree.func(CopyTree::ROOT);
        let (Some(source), Some(result)) =
            (before.layout.entry_block(), self.after.layout.entry_block())
        else {
            return Err(Difference::general("a function has no entry block"));
        };
        let params = before.dfg.block_params(source).iter();
        let results = self.after.dfg.block_params(result).iter();
        if params.len() != results.len() {
            return Err(Difference::general("the entry block has other parameters"));
        }
        let Some(first) = self.after.layout.first_inst(result) else {
            return Err(Difference::general("the entry block is empty"));
        };
        self.entered_blocks.insert(result);
        let mut assigned = Assigned::default();
        for (&param, &result) in params.zip(results) {
            assigned.push(CopyTree::ROOT, param, one(result));
        }
        Ok(Gap {
            copy: CopyTree::ROOT,
            source: Source::Enter(source),
            next: Next::At(first),
            assigned,
            known: None,
        })
    }

    /// Takes the silent steps and matches the instruction after them.
    fn follow(&mut self, gap: Gap) -> Result<(), Difference> {
        let known = gap.known.as_ref();
        let settled = self.settle(gap.next, known);
        self.runs.borrow_mut().start_gap();
        let mut assigned = gap.assigned;
        let ends = self.next_ends(gap.copy, gap.source, &settled, known, &mut assigned)?;
        self.account_for_branches(&settled);
        let blocks = settled.crossings.iter().map(|crossing| crossing.block);
        self.entered_blocks.extend(blocks);
        let Settled {
            place, crossings, ..
        } = settled;
        for end in &ends {
            self.forget_params(&crossings, &assigned, (end.copy, end.inst));
        }
        for (of, value, terms) in assigned {
            self.entered.insert(of);
            if self.tree.func(of).dfg.values_labels.is_some() {
                self.note_passed(of, value, terms.clone(), &crossings);
            }
            let terms = self.carry(&terms, &crossings);
            self.merge(of, value, terms);
        }
        for end in ends {
            self.match_end(end, place)?;
        }
        Ok(())
    }

    fn match_end(&mut self, end: End, place: Place) -> Result<(), Difference> {
        let End {
            copy,
            inst,
            is_branch,
        } = end;
        let before = self.visited.insert((copy, inst), place);
        if before.is_some_and(|before| before != place) {
            let message = "two paths lead to it in the source but not in the result";
            return Err(self.at(copy, inst, message));
        }
        let Place::At(result) = place else {
            return Err(self.at(copy, inst, "the result loops forever before it"));
        };
        let data = self.tree.func(copy).dfg.insts[inst];
        match before {
            None => self.step(copy, inst, result, is_branch),
            // It was reached as a branch on this value another way. A replaced call was entered the
            // first time.
            Some(_)
                if data.opcode().is_branch()
                    && !is_branch
                    && self.tree.child(copy, inst).is_none() =>
            {
                let result_data = self.after.dfg.insts[result];
                self.compare(copy, inst, &data, result, &result_data)
            }
            Some(_) => Ok(()),
        }
    }

    /// Returns the next instruction of the source with an effect; none if both sides loop forever
    /// without one. Several are branches, any of which may be the one of the result.
    fn next_ends(
        &mut self,
        copy: CopyId,
        source: Source,
        settled: &Settled,
        known: Option<&Known>,
        assigned: &mut Assigned,
    ) -> Result<SmallVec<[End; 1]>, Difference> {
        let (mut copy, mut source) = (copy, source);
        let mut rounds = Rounds::default();
        let mut last_branch = None;
        let end = loop {
            let inst = self.first_inst(copy, source)?;
            self.entered.insert(copy);
            let here = |is_branch| End {
                copy,
                inst,
                is_branch,
            };
            match self.silent_step(copy, inst, settled, known, assigned)? {
                Step::On(next_copy, next_source) => {
                    let is_first = rounds.pass((copy, inst));
                    if !is_first && !self.spend(1 + assigned.len()) {
                        return Err(self.at(copy, inst, "it goes round for too long"));
                    }
                    if !is_first && rounds.repeats((copy, inst), assigned) {
                        // The source loops forever; so must the result.
                        return if settled.place == Place::Spins {
                            Ok(SmallVec::new())
                        } else {
                            let message = "the result goes on where the source loops forever";
                            Err(self.at(copy, inst, message))
                        };
                    }
                    if is_brif(self.tree.func(copy), inst) {
                        last_branch = Some(here(false));
                    }
                    (copy, source) = (next_copy, next_source);
                }
                Step::Fork(_) => {
                    last_branch = Some(here(false));
                    match self.join((copy, inst), settled, known, assigned)? {
                        Joined::At(ends) => match ends[..] {
                            [end] => break end,
                            _ => return Ok(ends.into()),
                        },
                        Joined::Nowhere => break here(false),
                    }
                }
                Step::Branch if self.choice == Choice::Later => {
                    let later = self.later_branches(here(true), settled, known, assigned)?;
                    match later[..] {
                        [end] => break end,
                        _ => return Ok(later),
                    }
                }
                Step::Branch => break here(true),
                Step::End => break here(false),
            }
        };
        // If the result has a branch and the source goes on in another way, an earlier branch is
        // the difference.
        Ok(match (settled.place, last_branch) {
            (Place::At(result), Some(branch))
                if is_brif(self.after, result) && !is_brif(self.tree.func(end.copy), end.inst) =>
            {
                smallvec![branch]
            }
            _ => smallvec![end],
        })
    }

    fn note_passed(
        &mut self,
        copy: CopyId,
        value: Value,
        mut terms: Terms,
        crossings: &[Crossing],
    ) {
        for crossed in 0..=crossings.len() {
            for term in &terms {
                if let Term::Value(result) = *term {
                    self.passed.insert((copy, value, result));
                }
            }
            if let Some(crossing) = crossings.get(crossed) {
                terms = self.carry(&terms, std::slice::from_ref(crossing));
            }
        }
    }

    /// Records that `result` is `inst`.
    pub(super) fn own(&mut self, copy: CopyId, inst: Inst, result: Inst) -> Result<(), Difference> {
        if let Some(&(other, other_inst)) = self.owners.get(&result) {
            // A branch has no effect, and where it decides nothing, another one on the same value
            // may be the remaining one.
            let may_share = is_brif(self.tree.func(copy), inst)
                && is_brif(self.tree.func(other), other_inst)
                && is_brif(self.after, result);
            if may_share {
                self.matches.insert((copy, inst), result);
                return Ok(());
            }
            let message =
                format!("the result has one instruction for it and for {other_inst} of {other}");
            return Err(self.at(copy, inst, message).with_result(result));
        }
        self.owners.insert(result, (copy, inst));
        self.matches.insert((copy, inst), result);
        Ok(())
    }

    pub(super) fn at(&self, copy: CopyId, inst: Inst, message: impl Into<String>) -> Difference {
        let name = self.tree.func(copy).name.clone();
        Difference::at(copy, name.into(), inst, message)
    }

    fn check_nothing_is_left_over(&self) -> Result<(), Difference> {
        for block in self.after.layout.blocks() {
            if !self.entered_blocks.contains(block) {
                continue;
            }
            for inst in self.after.layout.block_insts(block) {
                let is_jump = matches!(self.after.dfg.insts[inst], InstructionData::Jump { .. });
                let is_matched =
                    || self.owners.contains_key(&inst) || self.runs.borrow().is_accounted(inst);
                if !is_jump && !is_matched() {
                    return Err(Difference::in_result(inst, "it comes from nowhere"));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn is_brif(func: &Function, inst: Inst) -> bool {
    matches!(func.dfg.insts[inst], InstructionData::Brif { .. })
}
