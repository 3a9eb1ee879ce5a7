//! Branches that decide nothing.
//!
//! Where both sides of a branch do nothing and meet with the same values, or
//! with others that nothing needs, clean-up drops the branch. The result then
//! goes on where they meet.

use super::assigned::Assigned;
use super::difference::Difference;
use super::place::{Crossing, Next, Place, Term};
use super::tree::CopyId;
use super::walk::{Source, Walk};
use cranelift_codegen::ir::{BlockCall, Inst, InstructionData, Opcode, Value};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::cell::RefCell;

type FxIndexMap<K, V> = indexmap::IndexMap<K, V, FxBuildHasher>;

/// How many branches, one inside a side of the other, may turn out to decide
/// nothing. Clean-up needs a round for each.
pub(super) const MAX_FORKS: u32 = 4;
/// The jumps and empty copies that the sides of such branches may consist of,
/// all together between two instructions that do something: sides that fork
/// again, and loops among them, would otherwise multiply.
pub(super) const MAX_SIDE_STEPS: u32 = 4096;
/// How often the result is followed once more with another choice. It takes one
/// or two where a wrong one was made, which is rare, and all where the result is
/// wrong.
pub(super) const MAX_TRIES: usize = 32;
/// The steps that one side may consist of.
const MAX_STEPS_OF_A_SIDE: usize = 64;

/// Whether the result has a branch of the source, where both may be.
///
/// Branches on the same value that follow each other cannot be told apart by
/// what they look at, and of some only one is left. What is most likely is taken
/// first; where the rest of the result contradicts that, other choices are
/// tried.
#[derive(Default)]
pub(super) struct Choices {
    /// Whether the branch was dropped, for those that are not left to chance.
    fixed: FxHashMap<(CopyId, Inst), bool>,
    /// Those that were left to chance, in the order in which they came up.
    made: RefCell<FxIndexMap<(CopyId, Inst), bool>>,
}

impl Choices {
    /// What else could have been chosen, each time one choice of those made,
    /// from the last to the first: what is wrong shows soon.
    pub(super) fn alternatives(&self) -> Vec<Choices> {
        let made = self.made.borrow();
        let with = |(&branch, &is_dropped): (&(CopyId, Inst), &bool)| {
            let mut fixed = self.fixed.clone();
            fixed.insert(branch, !is_dropped);
            Choices {
                fixed,
                ..Choices::default()
            }
        };
        made.iter().rev().take(MAX_TRIES).map(with).collect()
    }

    pub(super) fn forget_made(&self) {
        self.made.borrow_mut().clear();
    }

    fn choose(&self, branch: (CopyId, Inst), is_dropped: bool) -> bool {
        if let Some(&fixed) = self.fixed.get(&branch) {
            return fixed;
        }
        self.made.borrow_mut().insert(branch, is_dropped);
        is_dropped
    }
}

impl Walk<'_> {
    /// Whether a branch that decides nothing was dropped, though the result has
    /// a branch on the same value here: that is a later one, which decides.
    pub(super) fn is_dropped_before(
        &self,
        copy: CopyId,
        (inst, sides): (Inst, [BlockCall; 2]),
        place: (Place, &[Crossing]),
        assigned: &Assigned,
        forks: u32,
    ) -> Result<bool, Difference> {
        let Place::At(result) = place.0 else {
            return Ok(false);
        };
        let InstructionData::Brif { blocks, .. } = self.after.dfg.insts[result] else {
            return Ok(false);
        };
        let Some(meeting) = self.meeting_of(copy, sides, place, assigned, forks)? else {
            return Ok(false);
        };
        let [taken, not_taken] = blocks.map(|side| self.arrival(side, MAX_FORKS));
        let is_dropped = taken != not_taken
            && !meeting.is_decided
            && self.leads_to_branch_on(meeting, place, forks)?;
        Ok(self.choices.choose((copy, inst), is_dropped))
    }

    /// Whether the source goes on from there, without doing anything, to the
    /// branch that the result has here.
    fn leads_to_branch_on(
        &self,
        meeting: Meeting,
        place: (Place, &[Crossing]),
        forks: u32,
    ) -> Result<bool, Difference> {
        let (copy, source) = meeting.at;
        let mut onward = Side::new(copy, source, meeting.assigned);
        loop {
            onward.arrive(self.first_inst(onward.copy, onward.source)?);
            if !self.advance(&mut onward, place, forks)? {
                break;
            }
        }
        let Side { copy, assigned, .. } = onward;
        let inst = self.first_inst(copy, onward.source)?;
        // While values are still thought to be equal that are not, sides may
        // seem to be the same: only a later branch on the value can explain
        // the one in the result.
        Ok(match self.tree.func(copy).dfg.insts[inst] {
            InstructionData::Brif { arg, .. } => {
                self.is_branch_on(copy, arg, Opcode::Brif, place, &assigned)
            }
            _ => false,
        })
    }

    /// Where an edge of the result leads past jumps and past branches that
    /// decide nothing, and what it passes there.
    fn arrival(&self, edge: BlockCall, forks: u32) -> (Place, Vec<Term>) {
        let (place, crossings) = self.settle(Next::Along(edge));
        let mut passed: FxHashMap<Value, Term> = FxHashMap::default();
        let mut last = Vec::new();
        let seen = |arg: Term, passed: &FxHashMap<Value, Term>| match arg {
            Term::Value(value) => passed.get(&value).copied().unwrap_or(arg),
            _ => arg,
        };
        for crossing in &crossings {
            let args: Vec<Term> = crossing.args().map(|arg| seen(arg, &passed)).collect();
            passed.extend(crossing.params().zip(args.iter().copied()));
            last = args;
        }
        let Place::At(inst) = place else {
            return (place, last);
        };
        if let InstructionData::Brif { blocks, .. } = self.after.dfg.insts[inst]
            && let Some(forks) = forks.checked_sub(1)
        {
            let [taken, not_taken] = blocks.map(|side| {
                let (place, args) = self.arrival(side, forks);
                let args: Vec<Term> = args.into_iter().map(|arg| seen(arg, &passed)).collect();
                (place, args)
            });
            if taken == not_taken {
                return taken;
            }
        }
        (place, last)
    }

    /// Where both sides of a branch lead, if that is the same place, so that the
    /// branch decides nothing. Of a parameter that differs between the sides
    /// nothing is known from there on: the branch was dropped only if nothing
    /// needs it.
    pub(super) fn meet(
        &self,
        copy: CopyId,
        sides: [BlockCall; 2],
        place: (Place, &[Crossing]),
        assigned: &mut Assigned,
        forks: u32,
    ) -> Result<Option<(CopyId, Source)>, Difference> {
        let meeting = self.meeting_of(copy, sides, place, assigned, forks)?;
        Ok(meeting.map(|meeting| {
            *assigned = meeting.assigned;
            meeting.at
        }))
    }

    fn meeting_of(
        &self,
        copy: CopyId,
        sides: [BlockCall; 2],
        place: (Place, &[Crossing]),
        assigned: &Assigned,
        forks: u32,
    ) -> Result<Option<Meeting>, Difference> {
        let Some(forks) = forks.checked_sub(1) else {
            return Ok(None);
        };
        let before = assigned.len();
        let mut sides = sides.map(|side| {
            let mut assigned = assigned.clone();
            let source = Source::Enter(self.assign(copy, side, &[], &mut assigned));
            Side::new(copy, source, assigned)
        });
        // The sides take turns, so that they are not followed, perhaps round
        // and round, beyond the place where they meet.
        loop {
            for side in &mut sides {
                side.arrive(self.first_inst(side.copy, side.source)?);
            }
            if let Some(meeting) = Meeting::of(&sides, before) {
                return Ok(Some(meeting));
            }
            let mut moved = false;
            for side in &mut sides {
                moved |= self.advance(side, place, forks)?;
            }
            if !moved {
                return Ok(None);
            }
        }
    }

    /// Takes a silent step on a side; false where there is none.
    fn advance(
        &self,
        side: &mut Side,
        place: (Place, &[Crossing]),
        forks: u32,
    ) -> Result<bool, Difference> {
        let left = self.side_steps.get().checked_sub(1);
        let (Some(left), false) = (left, side.has_ended) else {
            return Ok(false);
        };
        self.side_steps.set(left);
        let inst = self.first_inst(side.copy, side.source)?;
        let next = self.silent_step(side.copy, inst, place, &mut side.assigned, forks)?;
        match next {
            Some((copy, source)) if side.passed.len() < MAX_STEPS_OF_A_SIDE => {
                (side.copy, side.source) = (copy, source);
                Ok(true)
            }
            _ => {
                side.has_ended = true;
                Ok(false)
            }
        }
    }
}

/// One side of a branch, as far as it was followed.
struct Side {
    copy: CopyId,
    source: Source,
    assigned: Assigned,
    /// The places on the way, with what was assigned until then.
    passed: Vec<((CopyId, Inst), Assigned)>,
    has_ended: bool,
}

impl Side {
    fn new(copy: CopyId, source: Source, assigned: Assigned) -> Self {
        Side {
            copy,
            source,
            assigned,
            passed: Vec::new(),
            has_ended: false,
        }
    }

    fn arrive(&mut self, inst: Inst) {
        let place = (self.copy, inst);
        if self.passed.last().is_none_or(|(last, _)| *last != place) {
            self.passed.push((place, self.assigned.clone()));
        }
    }
}

/// The place where both sides of a branch meet.
struct Meeting {
    at: (CopyId, Source),
    /// What is assigned there whichever side was taken.
    assigned: Assigned,
    /// Whether a parameter is one value on one side and another on the other.
    /// One of which nothing is known on a side does not count: a branch that
    /// decides that value was dropped already, so that nothing needs it.
    is_decided: bool,
}

impl Meeting {
    /// The first place on one side that is on the other too. What was assigned
    /// `before` the branch is the same on both.
    fn of([a, b]: &[Side; 2], before: usize) -> Option<Self> {
        let ((copy, inst), taken, not_taken) = a.passed.iter().find_map(|(place, taken)| {
            let other = b.passed.iter().find(|(other, _)| other == place);
            other.map(|(_, not_taken)| (*place, taken, not_taken))
        })?;
        let mut assigned = Assigned::default();
        let mut is_decided = false;
        for (index, (of, value, terms)) in taken.iter().enumerate() {
            let mut common = terms.clone();
            if let Some(other) = not_taken.get(*of, *value) {
                common.retain(|term| other.contains(term));
                is_decided |=
                    index >= before && common.is_empty() && !terms.is_empty() && !other.is_empty();
            }
            assigned.push(*of, *value, common);
        }
        Some(Meeting {
            at: (copy, Source::At(inst)),
            assigned,
            is_decided,
        })
    }
}
