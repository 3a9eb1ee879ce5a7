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
use rustc_hash::FxHashMap;

/// How many branches, one inside a side of the other, may turn out to decide
/// nothing. Clean-up needs a round for each.
pub(super) const MAX_FORKS: u32 = 4;
/// The jumps and empty copies that the sides of such branches may consist of,
/// all together between two instructions that do something: sides that fork
/// again, and loops among them, would otherwise multiply.
pub(super) const MAX_SIDE_STEPS: u32 = 4096;
/// The steps that one side may consist of.
const MAX_STEPS_OF_A_SIDE: usize = 64;

impl Walk<'_> {
    /// Whether a branch that decides nothing was dropped, though the result has
    /// a branch on the same value here: that is a later one, which decides.
    pub(super) fn is_dropped_before(
        &self,
        copy: CopyId,
        sides: [BlockCall; 2],
        place: (Place, &[Crossing]),
        assigned: &Assigned,
        forks: u32,
    ) -> Result<bool, Difference> {
        let Place::At(inst) = place.0 else {
            return Ok(false);
        };
        let InstructionData::Brif { blocks, .. } = self.after.dfg.insts[inst] else {
            return Ok(false);
        };
        let [taken, not_taken] = blocks.map(|side| self.arrival(side, MAX_FORKS));
        if taken == not_taken {
            return Ok(false);
        }
        let mut assigned = assigned.clone();
        let before = assigned.len();
        let meeting = self.meet(copy, sides, place, &mut assigned, forks)?;
        // A parameter that differs between the sides is what the branch
        // decides.
        let decides = assigned
            .iter()
            .skip(before)
            .any(|(_, _, terms)| terms.is_empty());
        let Some((copy, source)) = meeting.filter(|_| !decides) else {
            return Ok(false);
        };
        let mut onward = Side::new(copy, source, assigned);
        loop {
            onward.arrive(self.first_inst(onward.copy, onward.source)?);
            if !self.advance(&mut onward, place, forks)? {
                break;
            }
        }
        let Side { copy, assigned, .. } = onward;
        let meeting = self.first_inst(copy, onward.source)?;
        // While values are still thought to be equal that are not, sides may
        // seem to be the same: only a later branch on the value can explain
        // the one in the result.
        Ok(match self.tree.func(copy).dfg.insts[meeting] {
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
        let Some(forks) = forks.checked_sub(1) else {
            return Ok(None);
        };
        let mut sides = sides.map(|side| {
            let mut assigned = assigned.clone();
            let source = Source::Enter(self.assign(copy, side, &[], &mut assigned));
            Side::new(copy, source, assigned)
        });
        // The sides take turns, so that they are not followed, perhaps round
        // and round, beyond the place where they meet.
        let meeting = loop {
            for side in &mut sides {
                side.arrive(self.first_inst(side.copy, side.source)?);
            }
            if let Some(meeting) = meeting(&sides) {
                break meeting;
            }
            let mut moved = false;
            for side in &mut sides {
                moved |= self.advance(side, place, forks)?;
            }
            if !moved {
                return Ok(None);
            }
        };
        let ((copy, inst), taken, not_taken) = meeting;
        let mut joined = Assigned::default();
        for (of, value, terms) in taken.iter() {
            let mut terms = terms.clone();
            if let Some(other) = not_taken.get(*of, *value) {
                terms.retain(|term| other.contains(term));
            }
            joined.push(*of, *value, terms);
        }
        *assigned = joined;
        Ok(Some((copy, Source::At(inst))))
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

/// The first place on one side that is on the other too, with what each side
/// assigned until then.
fn meeting(sides: &[Side; 2]) -> Option<((CopyId, Inst), Assigned, Assigned)> {
    let [a, b] = sides;
    a.passed.iter().find_map(|(place, taken)| {
        let other = b.passed.iter().find(|(other, _)| other == place);
        other.map(|(_, not_taken)| (*place, taken.clone(), not_taken.clone()))
    })
}
