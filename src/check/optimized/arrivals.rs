//! Ways to the blocks of the optimised function, and the place of the other function on each.

use super::Unproved;
use super::facts::{MANY_FACTS, keep_about};
use super::nodes::Node;
use super::state::{Loaded, State};
use super::walk::{MAX_HINTS, Outcome, Step, Walk};
use cranelift_codegen::ir::{Block, BlockCall, Inst, InstructionData};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::rc::Rc;

impl Walk<'_> {
    /// Joins the states of all ways that do not go back. Ways back that contradicted them are
    /// counted anew.
    pub(super) fn bring_together(&mut self, block: Block) {
        let ways = &mut self.ways[block];
        if !std::mem::take(&mut ways.changed) {
            return;
        }
        let mut states = ways.forward.iter().map(|(_, state)| state.clone());
        let Some(mut state) = states.next() else {
            return;
        };
        for other in states {
            self.world.meet(block, &mut state, other);
        }
        self.states[block] = Some(state);
    }

    /// Returns the block starts that the function before reaches, and the last place: its next
    /// effect or, with `forks`, the next branch that decides something.
    pub(super) fn trail(&mut self, forks: bool) -> Outcome<Vec<Inst>> {
        let mark = self.mark();
        let mut trail = vec![self.position];
        let func = self.before.func;
        let mut passed: FxHashSet<Inst> = FxHashSet::default();
        loop {
            let at = self.position;
            let is_block_end = func.dfg.insts[at].opcode().is_branch();
            if is_block_end && !passed.insert(at) {
                break;
            }
            let moved = match self.step()? {
                Step::Taken => true,
                Step::Unknown => self.pass_load(false)?,
                Step::None => self.pass_load(true)? || forks && self.fork()?,
            };
            let block = func.layout.inst_block(self.position);
            let first = block.and_then(|block| func.layout.first_inst(block));
            let is_stop = !moved || first == Some(self.position);
            if is_stop && trail.last() != Some(&self.position) {
                trail.push(self.position);
            }
            if !moved {
                break;
            }
        }
        self.rollback(&mark);
        Ok(trail)
    }

    /// Chooses the place of the function before at the start of a block. It is a guess; it only has
    /// to be the same on all ways.
    pub(super) fn choose(&mut self, target: Block) -> Outcome<Inst> {
        if let Some(&position) = self.positions.get(&target) {
            return Ok(position);
        }
        let is_only_way = self.preds[target] <= 1;
        let hints = self.hints(target, is_only_way);
        if is_only_way && hints.first() == Some(&self.position) {
            return Ok(self.position);
        }
        if self.comes_from_indirect_call() && !self.before.func.layout.is_block_inserted(target) {
            let trail = self.trail(true)?;
            self.trails.insert(target, trail);
            return Ok(self.position);
        }
        for forks in [false, true] {
            let trail = self.trail(forks)?;
            let hinted = hints.iter().find(|hint| trail.contains(hint)).copied();
            let last = trail.last().copied();
            self.trails.insert(target, trail);
            if hinted.is_some() {
                return Ok(hinted.unwrap_or(self.position));
            }
            if is_only_way {
                return Ok(self.position);
            }
            if forks {
                self.check_unwritten(last)?;
                return Ok(last.unwrap_or(self.position));
            }
        }
        Ok(self.position)
    }

    /// Returns likely places. Blocks that are not new have the numbers that they had; other blocks
    /// often lead to one of those.
    pub(super) fn hints(&self, target: Block, is_only_way: bool) -> Vec<Inst> {
        let (before, after) = (self.before.func, self.after.func);
        let mut hints = Vec::new();
        let mut block = target;
        for _ in 0..MAX_HINTS {
            if before.dfg.block_is_valid(block) {
                hints.extend(before.layout.first_inst(block));
            }
            let last = after.layout.last_inst(block);
            match last.map(|last| after.dfg.insts[last]) {
                Some(InstructionData::Jump { destination, .. }) if !is_only_way => {
                    block = destination.block(&after.dfg.value_lists);
                }
                _ => break,
            }
        }
        hints
    }

    /// Arrives at a block of the optimised function.
    pub(super) fn arrive(
        &mut self,
        edge: Option<(Block, BlockCall)>,
        target: Block,
        args: &[Option<Node>],
    ) -> Outcome {
        let mark = self.mark();
        let position = match self.ways[target].position {
            Some(position) => position,
            None => self.choose(target)?,
        };
        self.ways[target].position = Some(position);
        let from = edge.map(|(from, _)| from);
        let is_back = from.is_some_and(|from| self.order[target] <= self.order[from]);
        let mut arrived = self.advance_to(position, is_back && self.progress == 0)?;
        if !arrived && is_back {
            self.rollback(&mark);
            arrived = self.advance_to(position, false)?;
        }
        if !arrived {
            self.rollback(&mark);
            return self.choose_again(target, position);
        }
        if self.progress == 0
            && let Some(from) = from
        {
            self.idle.entry(from).or_default().push(target);
        }
        let func = self.after.func;
        let params = func.dfg.block_params(target);
        if params.len() != args.len() {
            return Err(Unproved::wrong("an edge passes another number of values"));
        }
        let mut state = State {
            position,
            before: Vec::new(),
            after: Vec::new(),
            slots: BTreeMap::new(),
            facts: self.facts.clone(),
            loaded: match self.preds[target] {
                0 | 1 => self.loaded.clone(),
                _ => Loaded::default(),
            },
        };
        let live = self.before.liveness.live_at(self.before.func, position);
        for &value in live.iter() {
            let node = self.before.get(&mut self.world, value);
            state.before.push((value, node));
        }
        for (&param, &arg) in params.iter().zip(args) {
            state.after.push((param, arg));
        }
        let live = self.after.liveness.live_in(target).to_vec();
        for value in live {
            let node = self.after.get(&mut self.world, value);
            state.after.push((value, node));
        }
        for machine in [&self.before, &self.after] {
            let memory = Rc::clone(&machine.memory);
            let held = memory.iter();
            let held = held.map(|(&slot, held)| ((machine.side, slot), held.clone()));
            state.slots.extend(held);
        }
        let values = state.before.len() + state.after.len() + state.loaded.len();
        self.spend(values + state.slots.len())?;
        if state.facts.len() > MANY_FACTS {
            let live = state.live();
            self.spend(state.facts.len() + live.len())?;
            keep_about(&self.world, &mut state.facts, live);
        }
        self.rollback(&mark);
        let ways = &mut self.ways[target];
        let changed = match &mut self.states[target] {
            // A way back waits until changes on other ways are joined.
            Some(_) if is_back && ways.changed => false,
            Some(known) if is_back => self.world.meet(target, known, state),
            _ => match ways.forward.iter_mut().find(|(way, _)| *way == edge) {
                Some((_, known)) if *known == state => false,
                Some((_, known)) => {
                    *known = state;
                    ways.changed = true;
                    true
                }
                None => {
                    ways.forward.push((edge, state));
                    ways.changed = true;
                    true
                }
            },
        };
        if changed {
            self.work.insert((self.order[target], target));
        }
        Ok(())
    }

    /// Chooses another place of the function before for the start of a block, from the next round
    /// on.
    pub(super) fn choose_again(&mut self, target: Block, position: Inst) -> Outcome {
        let trail = self.trail(true)?;
        self.check_unwritten(trail.last().copied())?;
        let first = self.trails.get(&target).cloned().unwrap_or_default();
        let mut common = first.iter().rev();
        let common = common
            .find(|&&at| at != position && trail.contains(&at))
            .copied();
        let common = match self.preds[target] {
            ..=1 => Some(self.position),
            _ => common,
        };
        match common {
            Some(common) if !self.positions.contains_key(&target) => {
                self.positions.insert(target, common);
                self.wants_other_position = true;
                Ok(())
            }
            _ => {
                let message = format!("it is not where another way to {target} of the result is");
                Err(self.at(self.position, message, Unproved::Wrong))
            }
        }
    }

    /// Ends the round if the branch at which the function before is stuck depends on bytes that no
    /// store precedes. In the next one they are zeros, with which it may go on to where others are.
    fn check_unwritten(&mut self, branch: Option<Inst>) -> Outcome {
        let func = self.before.func;
        let Some(branch) = branch.filter(|&inst| func.dfg.insts[inst].opcode().is_branch()) else {
            return Ok(());
        };
        let mark = self.mark();
        let mut found = false;
        if self.advance_to(branch, false)? {
            let args = self.before.args(&mut self.world, branch);
            let condition = args.first().copied().flatten();
            found = condition.is_some_and(|condition| self.choose_zeros(condition));
        }
        self.rollback(&mark);
        match found {
            true => {
                let message = "an unwritten value decides where to go";
                Err(self.at(branch, message, Unproved::CannotTell))
            }
            false => Ok(()),
        }
    }

    /// Checks that an endless loop of the optimised function without effects is one of the other.
    pub(super) fn check_idle(&self) -> Outcome {
        // On other edges the function before advances.
        let mut done: FxHashSet<Block> = FxHashSet::default();
        let mut open: FxHashSet<Block> = FxHashSet::default();
        let mut starts: Vec<Block> = self.idle.keys().copied().collect();
        starts.sort_unstable();
        for start in starts {
            let mut stack = vec![(start, 0)];
            while let Some((block, next)) = stack.pop() {
                if next == 0 {
                    if done.contains(&block) {
                        continue;
                    }
                    open.insert(block);
                }
                let target = self.idle.get(&block).and_then(|targets| targets.get(next));
                let Some(&target) = target else {
                    open.remove(&block);
                    done.insert(block);
                    continue;
                };
                if open.contains(&target) {
                    let message = format!("the result can go round by {target} for ever");
                    return Err(Unproved::wrong(message));
                }
                stack.push((block, next + 1));
                stack.push((target, 0));
            }
        }
        Ok(())
    }
}
