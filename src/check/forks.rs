//! Branches that decide nothing.
//!
//! Where both sides of a branch do nothing and meet with the same values,
//! clean-up drops the branch. The result then goes on where they meet.

use super::assigned::Assigned;
use super::difference::Difference;
use super::place::{Crossing, Next, Place, Term};
use super::tree::CopyId;
use super::walk::{Source, Walk};
use cranelift_codegen::ir::{BlockCall, InstructionData, Opcode, Value};
use rustc_hash::FxHashMap;

/// How many branches, one inside a side of the other, may turn out to decide
/// nothing. Clean-up needs a round for each.
pub(super) const MAX_FORKS: u32 = 4;
/// The jumps and empty copies that a side of such a branch may consist of.
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
        let meeting = self.same_either_way(copy, sides, place, &mut assigned, forks)?;
        let Some((copy, Source::At(meeting))) = meeting else {
            return Ok(false);
        };
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

    /// Where both sides of a branch lead, if that is the same place with the
    /// same values, so that the branch decides nothing.
    pub(super) fn same_either_way(
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
        let mut ends = Vec::new();
        for side in sides {
            let mut assigned = assigned.clone();
            let mut copy = copy;
            let mut source = Source::Enter(self.assign(copy, side, &[], &mut assigned));
            let mut steps = 0;
            let inst = loop {
                let inst = self.first_inst(copy, source)?;
                match self.silent_step(copy, inst, place, &mut assigned, forks)? {
                    Some(next) if steps < MAX_STEPS_OF_A_SIDE => (copy, source) = next,
                    Some(_) => return Ok(None),
                    None => break inst,
                }
                steps += 1;
            };
            ends.push((copy, inst, assigned));
        }
        let [(copy, inst, taken), (other_copy, other_inst, not_taken)] = &ends[..] else {
            return Ok(None);
        };
        if (copy, inst) != (other_copy, other_inst) {
            return Ok(None);
        }
        let mut joined = Assigned::default();
        for (of, value, terms) in taken.iter() {
            let mut terms = terms.clone();
            if let Some(other) = not_taken.get(*of, *value) {
                terms.retain(|term| other.contains(term));
            }
            joined.push(*of, *value, terms);
        }
        let (copy, inst) = (*copy, *inst);
        // A parameter that differs between the sides is what the branch
        // decides.
        let decides = joined
            .iter()
            .skip(assigned.len())
            .any(|(_, _, terms)| terms.is_empty());
        if decides {
            return Ok(None);
        }
        *assigned = joined;
        Ok(Some((copy, Source::At(inst))))
    }
}
