//! Branches of the function before that decide nothing.
//!
//! If all sides of a branch lead to one place without an effect, the optimised function may lack
//! the branch. The values that differ between the sides are unknown from there on.

use super::evaluate::World;
use super::facts::learn;
use super::liveness::is_everywhere;
use super::memory::{Held, Memory, Piece};
use super::nodes::{Node, Side, SlotRef};
use super::walk::{Outcome, Step, Walk};
use cranelift_codegen::ir::{BlockCall, Function, Inst, InstructionData, StackSlot, Value};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The maximum nesting of such branches.
const MAX_FORKS: u32 = 4;
/// The maximum number of blocks per side, tried in this order: sides are often short, and the code
/// after the place where they meet may be long.
const MAX_BLOCKS: [usize; 5] = [1, 2, 4, 8, 32];
/// The maximum number of steps on all sides.
const MAX_STEPS: usize = 512;
/// Branches with more different targets are always taken to decide something.
const MAX_SIDES: usize = 16;

/// Returns the entries of a table that lead elsewhere than those before them, or pass other
/// arguments; at most one more than can be followed.
fn different(func: &Function, entries: &[BlockCall]) -> Vec<BlockCall> {
    let pool = &func.dfg.value_lists;
    let mut found: Vec<BlockCall> = Vec::new();
    for &entry in entries {
        let is_same = |other: &BlockCall| {
            entry.block(pool) == other.block(pool) && entry.args(pool).eq(other.args(pool))
        };
        if found.len() <= MAX_SIDES && !found.iter().any(is_same) {
            found.push(entry);
        }
    }
    found
}

/// A place on one side, with the assignments up to it.
struct Stop {
    at: Inst,
    assigned: Vec<(Value, Option<Node>)>,
    memory: Rc<Memory>,
}

impl Walk<'_> {
    /// Goes past a branch that decides nothing; returns false if there is none.
    pub(super) fn fork(&mut self) -> Outcome<bool> {
        let branch = self.position;
        if self.deciding.contains_key(&branch) {
            return Ok(false);
        }
        self.fork_stopped = false;
        let found = self.fork_within(MAX_FORKS)?;
        if !found {
            self.deciding.insert(branch, self.fork_stopped);
        }
        Ok(found)
    }

    /// Returns whether a longer search could find that `branch` decides nothing.
    pub(super) fn may_decide_nothing(&self, branch: Inst) -> bool {
        self.deciding.get(&branch).is_some_and(|&stopped| stopped)
    }

    fn fork_within(&mut self, depth: u32) -> Outcome<bool> {
        let func = self.before.func;
        let branch = self.position;
        let sides: Vec<BlockCall> = match func.dfg.insts[branch] {
            InstructionData::Brif { blocks, .. } => blocks.to_vec(),
            InstructionData::BranchTable { table, .. } => {
                different(func, func.dfg.jump_tables[table].all_branches())
            }
            _ => return Ok(false),
        };
        let Some(depth) = depth.checked_sub(1).filter(|_| sides.len() <= MAX_SIDES) else {
            self.fork_stopped = true;
            return Ok(false);
        };
        let mark = self.mark();
        let condition = func.dfg.inst_args(branch).first().copied();
        let condition = condition.and_then(|value| self.before.get(&mut self.world, value));
        let mut meeting: Option<Vec<Stop>> = None;
        let mut left = self.fork_steps;
        for max_blocks in MAX_BLOCKS {
            if depth + 1 == MAX_FORKS {
                left = MAX_STEPS;
            }
            // Steps that one side takes in vain are not charged to the others.
            let share = left / sides.len().max(1);
            let mut stops = Vec::new();
            for (index, &side) in sides.iter().enumerate() {
                if let (Some(condition), InstructionData::Brif { .. }) =
                    (condition, func.dfg.insts[branch])
                {
                    learn(&self.world, &mut self.facts, condition, index == 0);
                }
                self.fork_steps = share;
                self.take_edge(side, &[])?;
                stops.push(self.stops(&mark, depth, max_blocks)?);
                self.rollback(&mark);
                left -= share - self.fork_steps;
            }
            self.fork_steps = left;
            meeting = meet(stops);
            if meeting.is_some() {
                break;
            }
        }
        let Some(all) = meeting else {
            return Ok(false);
        };
        let Some(stop) = all.first() else {
            return Ok(false);
        };
        let latest = all.iter().map(|stop| {
            let assigned = stop.assigned.iter().copied();
            assigned.collect::<FxHashMap<Value, Option<Node>>>()
        });
        let latest: Vec<FxHashMap<Value, Option<Node>>> = latest.collect();
        let values: BTreeSet<Value> = latest
            .iter()
            .flat_map(|side| side.keys().copied())
            .collect();
        for value in values {
            if is_everywhere(func, value) {
                continue;
            }
            let mut nodes = latest
                .iter()
                .map(|side| side.get(&value).copied().flatten());
            let node = nodes.next().flatten();
            let node = node.filter(|&node| nodes.all(|other| other == Some(node)));
            self.before.set(value, node);
        }
        let mut memory = (*stop.memory).clone();
        for other in &all[1..] {
            if !Rc::ptr_eq(&stop.memory, &other.memory) {
                self.world.keep_common(&mut memory, &other.memory);
            }
        }
        self.before.memory = Rc::new(memory);
        self.position = stop.at;
        self.progress += 1;
        Ok(true)
    }

    /// Returns the block starts and the end of a side.
    fn stops(
        &mut self,
        mark: &super::walk::Mark,
        depth: u32,
        max_blocks: usize,
    ) -> Outcome<Vec<Stop>> {
        let func = self.before.func;
        let mut stops: Vec<Stop> = Vec::new();
        let mut is_start = true;
        loop {
            if is_start {
                let at = self.position;
                if stops.iter().any(|stop| stop.at == at) {
                    return Ok(stops);
                }
                stops.push(Stop {
                    at,
                    assigned: self.set_since(mark),
                    memory: Rc::clone(&self.before.memory),
                });
                if stops.len() > max_blocks {
                    self.fork_stopped |= MAX_BLOCKS.last() == Some(&max_blocks);
                    return Ok(stops);
                }
            }
            let Some(left) = self.fork_steps.checked_sub(1) else {
                self.fork_stopped = true;
                return Ok(stops);
            };
            self.fork_steps = left;
            let block = func.layout.inst_block(self.position);
            let moved = match self.step()? {
                Step::Taken => true,
                Step::Unknown => self.pass_load(false)?,
                Step::None => self.pass_load(true)? || self.fork_within(depth)?,
            };
            if !moved {
                let at = self.position;
                if stops.last().is_some_and(|stop| stop.at != at) {
                    stops.push(Stop {
                        at,
                        assigned: self.set_since(mark),
                        memory: Rc::clone(&self.before.memory),
                    });
                }
                return Ok(stops);
            }
            is_start = func.layout.inst_block(self.position) != block
                || block.and_then(|block| func.layout.first_inst(block)) == Some(self.position);
        }
    }
}

/// Returns the first place on one side that is on all others too, with its stop on each side.
fn meet(sides: Vec<Vec<Stop>>) -> Option<Vec<Stop>> {
    let (first, others) = sides.split_first()?;
    let is_common = |stop: &&Stop| {
        let mut others = others.iter();
        others.all(|side| side.iter().any(|other| other.at == stop.at))
    };
    let at = first.iter().find(is_common)?.at;
    let mut sides = sides.into_iter();
    sides.try_fold(Vec::new(), |mut all, side| {
        all.push(side.into_iter().find(|stop| stop.at == at)?);
        Some(all)
    })
}

impl World {
    /// Keeps the facts in `memory` that `other` has too.
    fn keep_common(&mut self, memory: &mut Memory, other: &Memory) {
        let slots: BTreeSet<StackSlot> = memory.keys().chain(other.keys()).copied().collect();
        for slot in slots {
            let held = |world: &mut World, memory: &Memory| match memory.get(&slot) {
                Some(held) => held.clone(),
                None => world.initially_held(Side::Before, slot),
            };
            let [a, b] = [held(self, memory), held(self, other)];
            if a == b {
                continue;
            }
            let mut ends: BTreeSet<u32> = BTreeSet::new();
            for piece in a.pieces.iter().chain(&b.pieces) {
                ends.extend([piece.start, piece.start + piece.size]);
            }
            let ends: Vec<u32> = ends.into_iter().collect();
            let mut pieces = Vec::new();
            for range in ends.windows(2) {
                let &[start, end] = range else { continue };
                let size = end - start;
                let [x, y] = [&a, &b].map(|held| self.read(held, start, size));
                let node = x.filter(|_| x == y);
                if node.is_none() {
                    let bytes = [x, y].into_iter().flatten();
                    let mentioned = bytes.flat_map(|node| self.nodes.mentions(node)).copied();
                    let mentioned: Vec<SlotRef> = mentioned.collect();
                    let hidden = self.hidden.entry((Side::Before, slot)).or_default();
                    hidden.extend(mentioned);
                }
                pieces.push(Piece { start, size, node });
            }
            let behind = a.behind.filter(|_| a.behind == b.behind);
            memory.insert(slot, Held { behind, pieces });
        }
    }
}
