//! Branches of the source that the result does not have.
//!
//! If all ways from a branch lead to one place without an effect, clean-up drops the branch, and
//! the result goes on at that place. A parameter that differs between the ways is unknown from
//! there on, which is right only if it is not needed.
//!
//! All ways are followed together. From a place that several of them reach, the way on is followed
//! once, with the facts that hold on each of them. So the cost of a chain of such branches depends
//! on its length, not on the number of ways through it.

use super::assigned::Assigned;
use super::difference::Difference;
use super::place::{Place, Settled};
use super::tables::{End, Known, Source, Step, Walk};
use super::tree::CopyId;
use cranelift_codegen::ir::{Inst, InstructionData};
use rustc_hash::FxBuildHasher;
use smallvec::{SmallVec, smallvec};

type FxIndexMap<K, V> = indexmap::IndexMap<K, V, FxBuildHasher>;

/// The maximum number of rounds that follow the ways again because fewer facts hold at a place than
/// when it was passed. One more round is enough, except where branches depend on values that became
/// unknown.
const MAX_ROUNDS: usize = 8;

/// The maximum number of branches on one value that are passed for a later one.
const MAX_LATER: usize = 16;

/// The place to which all ways from a branch lead.
pub(super) enum Joined {
    /// One instruction with an effect, or several branches, each of which may be the one in the
    /// result. None if the ways loop forever.
    At(Vec<End>),
    /// Several places, or perhaps an endless loop: the branch has an effect.
    Nowhere,
}

/// The places that are passed on all ways, and where each leads.
#[derive(Default)]
struct Ways {
    nodes: FxIndexMap<(CopyId, Inst), Node>,
}

#[derive(Default)]
struct Node {
    next: [Option<usize>; 2],
    is_passed: bool,
}

impl Ways {
    /// Returns the number of a place.
    fn node(&mut self, place: (CopyId, Inst)) -> usize {
        let entry = self.nodes.entry(place);
        let index = entry.index();
        entry.or_default();
        index
    }

    /// Passes a place, if it was not passed in this round.
    fn pass(&mut self, node: usize) -> Option<(CopyId, Inst)> {
        let (&place, node) = self.nodes.get_index_mut(node)?;
        (!std::mem::replace(&mut node.is_passed, true)).then_some(place)
    }

    fn is_passed(&self, node: usize) -> bool {
        self.nodes
            .get_index(node)
            .is_some_and(|(_, node)| node.is_passed)
    }

    fn link(&mut self, node: usize, side: usize, next: usize) {
        if let Some((_, node)) = self.nodes.get_index_mut(node) {
            node.next[side] = Some(next);
        }
    }

    fn next(&self, node: usize) -> [Option<usize>; 2] {
        self.nodes
            .get_index(node)
            .map_or([None; 2], |(_, node)| node.next)
    }

    /// Returns whether some way leads back to a place on it.
    fn has_circle(&self) -> bool {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Above,
            Done,
        }
        let mut seen = vec![Seen::Not; self.nodes.len()];
        let mut work: Vec<(usize, usize)> = vec![(0, 0)];
        while let Some(top) = work.last_mut() {
            let (node, side) = *top;
            top.1 += 1;
            seen[node] = Seen::Above;
            match self.next(node).get(side) {
                Some(&Some(next)) => match seen[next] {
                    Seen::Above => return true,
                    Seen::Not => work.push((next, 0)),
                    Seen::Done => {}
                },
                Some(None) => {}
                None => {
                    seen[node] = Seen::Done;
                    work.pop();
                }
            }
        }
        false
    }
}

impl Walk<'_> {
    /// Returns the branches on the value of the result's branch to which one such branch leads and
    /// nothing else; that one, if it leads elsewhere too.
    pub(super) fn later_branches(
        &self,
        first: End,
        settled: &Settled,
        known: Option<&Known>,
        assigned: &mut Assigned,
    ) -> Result<SmallVec<[End; 1]>, Difference> {
        let mut found: SmallVec<[End; 1]> = smallvec![first];
        for _ in 0..MAX_LATER {
            let [End { copy, inst, .. }] = found[..] else {
                break;
            };
            let mut further = assigned.clone();
            match self.join((copy, inst), settled, known, &mut further)? {
                Joined::At(ends) if !ends.is_empty() && ends.iter().all(|end| end.is_branch) => {
                    found = ends.into();
                    *assigned = further;
                }
                _ => break,
            }
        }
        Ok(found)
    }

    /// Follows all ways from a branch that the result does not have at `settled`. Afterwards,
    /// `assigned` holds on each of them.
    pub(super) fn join(
        &self,
        branch: (CopyId, Inst),
        settled: &Settled,
        known: Option<&Known>,
        assigned: &mut Assigned,
    ) -> Result<Joined, Difference> {
        let mut joint = assigned.clone();
        joint.join_from_here();
        let mut ways = Ways::default();
        ways.node(branch);
        for _ in 0..MAX_ROUNDS {
            let Some((ends, is_settled)) =
                self.round(branch, &mut ways, settled, known, &mut joint)?
            else {
                return Ok(Joined::Nowhere);
            };
            if !is_settled {
                continue;
            }
            if settled.place != Place::Spins && ways.has_circle() {
                return Ok(Joined::Nowhere);
            }
            *assigned = joint;
            return Ok(Joined::At(ends));
        }
        self.gave_up.set(true);
        Ok(Joined::Nowhere)
    }

    /// Follows all ways once. Returns where they end, and whether all passed facts were known by
    /// then. Returns `None` if they end in several places that cannot be one in the result, or if
    /// one of them recomputes a value that others use unchanged: assignments hold for all ways.
    fn round(
        &self,
        branch: (CopyId, Inst),
        ways: &mut Ways,
        settled: &Settled,
        known: Option<&Known>,
        joint: &mut Assigned,
    ) -> Result<Option<(Vec<End>, bool)>, Difference> {
        for node in ways.nodes.values_mut() {
            *node = Node::default();
        }
        let mut ends: Vec<End> = Vec::new();
        let mut is_settled = true;
        let mut is_mixed = false;
        let mut work = vec![0];
        while let Some(node) = work.pop() {
            let Some((copy, inst)) = ways.pass(node) else {
                continue;
            };
            if !self.spend(1 + settled.crossings.len()) {
                return Ok(None);
            }
            let already = joint.len();
            let mut arrive = |side: usize, copy, source, joint: &mut Assigned| {
                let next = ways.node((copy, self.first_inst(copy, source)?));
                is_settled &= !(joint.take_less() && ways.is_passed(next));
                ways.link(node, side, next);
                work.push(next);
                Ok(())
            };
            let step = match self.silent_step(copy, inst, settled, known, joint)? {
                Step::Branch if (copy, inst) == branch => self.as_fork(copy, inst),
                step => step,
            };
            match step {
                Step::On(copy, source) => arrive(0, copy, source, joint)?,
                Step::Fork(sides) => {
                    let sides = sides.map(|call| self.passed_along(copy, call, &[], joint));
                    for (side, (block, args)) in sides.into_iter().enumerate() {
                        self.enter_block(copy, block, args, joint);
                        arrive(side, copy, Source::Enter(block), joint)?;
                    }
                }
                step @ (Step::Branch | Step::End) => ends.push(End {
                    copy,
                    inst,
                    is_branch: matches!(step, Step::Branch),
                }),
            }
            let mut added = joint.added_since(already);
            if added.any(|(copy, value)| self.is_live(copy, value, branch, false)) {
                is_mixed = true;
            }
            if ends.len() > 1 && !ends.iter().all(|end| end.is_branch) {
                return Ok(None);
            }
        }
        if is_mixed {
            self.gave_up.set(true);
            return Ok(None);
        }
        Ok(Some((ends, is_settled)))
    }

    /// Returns the step for a branch of any kind that the result does not have.
    fn as_fork(&self, copy: CopyId, inst: Inst) -> Step {
        match self.tree.func(copy).dfg.insts[inst] {
            InstructionData::Brif { blocks, .. } => Step::Fork(blocks),
            _ => Step::Branch,
        }
    }
}
