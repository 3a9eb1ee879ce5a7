//! The walk that follows both functions together.
//!
//! The optimised function leads: its blocks are taken in turn, and the other function continues
//! from its place at the start of the block. Each side takes steps without an effect by itself;
//! both must have the same effects.

use super::evaluate::World;
use super::facts::{Facts, learn, truth_of, value_of};
use super::liveness::Liveness;
use super::machine::{Accessed, Args, Machine};
use super::memory::Memory;
use super::nodes::{Nodes, Side, Symbol};
use super::state::{Copying, Loaded, State};
use super::surroundings::Surroundings;
use super::tracking::Tracking;
use super::{Unproved, edges};
use crate::check::{CopyTree, Difference};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, Inst, InstructionData, Value};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The maximum number of rounds, each of which uses the findings of those before.
const MAX_ROUNDS: usize = 48;
/// The maximum number of steps per instruction, over all rounds; short functions get some more.
const STEPS_PER_INST: usize = 1500;
const MIN_STEPS: usize = 20_000;
/// The maximum number of entries in lists of live values, per instruction.
const LIVE_PER_INST: usize = 200;
/// The maximum number of blocks of the function before that are passed without an effect.
pub(super) const MAX_SILENT_BLOCKS: usize = 4096;

/// The maximum number of successive blocks whose old places are tried.
pub(super) const MAX_HINTS: usize = 8;

pub(super) type Outcome<T = ()> = Result<T, Box<Unproved>>;

/// The state that is kept between rounds.
struct Lasting {
    tracking: Tracking,
    /// The place of the function before at the start of a block, for blocks with a wrong first
    /// choice.
    positions: FxHashMap<Block, Inst>,
    steps_left: usize,
}

pub(super) struct Walk<'a> {
    pub(super) surroundings: &'a dyn Surroundings,
    pub(super) world: World,
    pub(super) before: Machine<'a>,
    pub(super) after: Machine<'a>,
    /// The current block of the optimised function.
    pub(super) block: Option<Block>,
    /// Loads that only the function before did in this block.
    pub(super) passed_loads: u32,
    pub(super) loaded: Loaded,
    /// The copy at which the function before is.
    pub(super) copying: Copying,
    /// The place of the function before.
    pub(super) position: Inst,
    /// Its steps in this block.
    pub(super) progress: usize,
    pub(super) facts: Facts,
    pub(super) states: SecondaryMap<Block, Option<State>>,
    pub(super) ways: SecondaryMap<Block, Ways>,
    /// Other possible places of the function before at the start of a block.
    pub(super) trails: FxHashMap<Block, Vec<Inst>>,
    pub(super) positions: FxHashMap<Block, Inst>,
    pub(super) wants_other_position: bool,
    pub(super) order: SecondaryMap<Block, u32>,
    pub(super) preds: SecondaryMap<Block, u32>,
    pub(super) work: BTreeSet<(u32, Block)>,
    steps_left: usize,
    /// Whether all facts have been found, and are only compared.
    pub(super) is_final: bool,
    /// Branches of the function before that decide something, and whether a limit was met in the
    /// search for a place where their sides meet.
    pub(super) deciding: FxHashMap<Inst, bool>,
    /// The remaining steps for finding out whether a branch does.
    pub(super) fork_steps: usize,
    /// Whether a limit was met.
    pub(super) fork_stopped: bool,
    /// Edges of the optimised function on which the other one has no effect.
    pub(super) idle: FxHashMap<Block, Vec<Block>>,
    pub(super) seen: super::labels::Seen,
    pub(super) matched: FxHashMap<Inst, FxHashSet<Inst>>,
    pub(super) named_blocks: Vec<(Inst, Block, Inst, Option<Block>)>,
    pub(super) movable: super::movable::Movable,
}

/// The states that arrive at a block.
#[derive(Clone, Default)]
pub(super) struct Ways {
    /// The state on each way that does not go back, with the edge that it ends in.
    pub(super) forward: Vec<(Option<(Block, BlockCall)>, State)>,
    /// Whether one of these changed after the block was followed.
    pub(super) changed: bool,
    pub(super) position: Option<Inst>,
}

/// A state to which the walk can return.
pub(super) struct Mark {
    values: usize,
    memory: Rc<Memory>,
    position: Inst,
    progress: usize,
    facts: Facts,
    copying: Copying,
}

pub(super) enum Step {
    Taken,
    /// The instruction has an effect.
    None,
    /// It is unknown whether the instruction accesses a private slot.
    Unknown,
}

/// Proves one function from the other.
pub(super) fn prove(
    before: &Function,
    after: &Function,
    surroundings: &dyn Surroundings,
) -> Outcome {
    let insts = before.dfg.num_insts() + after.dfg.num_insts();
    let mut lasting = Lasting {
        tracking: Tracking::new(before, after),
        positions: FxHashMap::default(),
        steps_left: insts
            .saturating_mul(STEPS_PER_INST)
            .saturating_add(MIN_STEPS),
    };
    for _ in 0..MAX_ROUNDS {
        let mut walk = Walk::new(before, after, surroundings, lasting)?;
        let outcome = walk.run();
        for named in std::mem::take(&mut walk.world.nodes.overflown) {
            walk.world.tracking.share_named(named);
        }
        let is_settled = !walk.wants_other_position && !walk.world.tracking.is_dirty();
        if is_settled {
            // Accesses of such a slot are not right.
            let is_lost = walk.world.tracking.has_lost_slots();
            return outcome.map_err(|unproved| match *unproved {
                Unproved::Wrong(difference) if is_lost => {
                    Box::new(Unproved::CannotTell(difference))
                }
                unproved => Box::new(unproved),
            });
        }
        if walk.steps_left == 0 {
            break;
        }
        lasting = Lasting {
            tracking: walk.world.tracking,
            positions: walk.positions,
            steps_left: walk.steps_left,
        };
        lasting.tracking.settle();
    }
    Err(Unproved::cannot_tell("too much was found on the way"))
}

impl<'a> Walk<'a> {
    fn new(
        before: &'a Function,
        after: &'a Function,
        surroundings: &'a dyn Surroundings,
        lasting: Lasting,
    ) -> Outcome<Self> {
        let machine = |func: &'a Function, side: Side, cfg: &ControlFlowGraph| {
            let limit = func.dfg.num_insts().saturating_mul(LIVE_PER_INST) + MIN_STEPS;
            let liveness = Liveness::new(func, cfg, limit);
            let liveness = liveness.ok_or_else(|| Unproved::cannot_tell("too many live values"))?;
            Ok::<_, Box<Unproved>>(Machine::new(func, side, liveness))
        };
        let cfg_before = ControlFlowGraph::with_function(before);
        let cfg_after = ControlFlowGraph::with_function(after);
        let first = |func: &Function| {
            let entry = func.layout.entry_block()?;
            Some((entry, func.layout.first_inst(entry)?))
        };
        let Some((_, position)) = first(before) else {
            return Err(Unproved::wrong(
                "the function before has no first instruction",
            ));
        };
        let order = reverse_postorder(after);
        let mut preds: SecondaryMap<Block, u32> = SecondaryMap::new();
        for block in after.layout.blocks() {
            if order[block] > 0 {
                for edge in after
                    .layout
                    .last_inst(block)
                    .into_iter()
                    .flat_map(|last| edges(after, last))
                {
                    preds[edge.block(&after.dfg.value_lists)] += 1;
                }
            }
        }
        Ok(Walk {
            surroundings,
            world: World {
                nodes: Nodes::default(),
                contents: Default::default(),
                tracking: lasting.tracking,
                endianness: surroundings.endianness(),
                stores_above: 0,
                hidden: Default::default(),
            },
            before: machine(before, Side::Before, &cfg_before)?,
            after: machine(after, Side::After, &cfg_after)?,
            block: None,
            passed_loads: 0,
            loaded: Loaded::default(),
            copying: Copying::default(),
            position,
            progress: 0,
            facts: Facts::new(),
            states: SecondaryMap::new(),
            ways: SecondaryMap::new(),
            trails: FxHashMap::default(),
            positions: lasting.positions,
            wants_other_position: false,
            order,
            preds,
            work: BTreeSet::new(),
            steps_left: lasting.steps_left,
            is_final: false,
            deciding: FxHashMap::default(),
            fork_steps: 0,
            fork_stopped: false,
            idle: FxHashMap::default(),
            seen: Default::default(),
            matched: FxHashMap::default(),
            named_blocks: Vec::new(),
            movable: Default::default(),
        })
    }

    fn run(&mut self) -> Outcome {
        self.check_header()?;
        self.start()?;
        loop {
            self.is_final = false;
            while let Some((_, block)) = self.work.pop_first() {
                self.follow(block)?;
            }
            if self.world.tracking.is_dirty() || self.wants_other_position {
                return Ok(());
            }
            // In the last round, all facts must turn out the same.
            self.is_final = true;
            self.seen = Default::default();
            self.idle.clear();
            self.matched.clear();
            self.named_blocks.clear();
            let mut blocks: Vec<Block> = self.after.func.layout.blocks().collect();
            blocks.retain(|&block| self.states[block].is_some());
            blocks.sort_by_key(|&block| self.order[block]);
            for block in blocks {
                self.follow(block)?;
            }
            if self.work.is_empty() {
                break;
            }
        }
        self.check_idle()?;
        self.check_named_blocks()?;
        self.check_keyed_slots()?;
        self.check_declarations()?;
        self.check_labels()
    }

    fn start(&mut self) -> Outcome {
        let (before, after) = (self.before.func, self.after.func);
        let (Some(source), Some(target)) =
            (before.layout.entry_block(), after.layout.entry_block())
        else {
            return Err(Unproved::wrong("a function has no entry block"));
        };
        let params = before.dfg.block_params(source);
        let results = after.dfg.block_params(target);
        let types = |func: &Function, params: &[Value]| -> Vec<_> {
            params
                .iter()
                .map(|&param| func.dfg.value_type(param))
                .collect()
        };
        let types = (types(before, params), types(after, results));
        if types.0 != types.1 {
            return Err(Unproved::wrong("the entry block has other parameters"));
        }
        self.before.start(Memory::new());
        self.after.start(Memory::new());
        let mut args = Args::new();
        for (index, (&param, ty)) in params.iter().zip(types.0).enumerate() {
            let symbol = Symbol::Param(index);
            let node = Some(self.world.nodes.symbol(symbol, ty.bits()));
            self.before.set(param, node);
            args.push(node);
        }
        self.position = before
            .layout
            .first_inst(source)
            .ok_or_else(|| Unproved::wrong("the entry block is empty"))?;
        // The entry block has one way more than it has predecessors.
        self.preds[target] += 1;
        self.arrive(None, target, &args)
    }

    pub(super) fn spend(&mut self, steps: usize) -> Outcome {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                self.steps_left = 0;
                Err(Unproved::cannot_tell("it takes too long"))
            }
        }
    }

    /// Follows a block from the facts at its start.
    fn follow(&mut self, block: Block) -> Outcome {
        self.bring_together(block);
        let Some(state) = self.states[block].clone() else {
            return Ok(());
        };
        let memory = [Side::Before, Side::After].map(|side| self.world.memory_in(&state, side));
        let [before, after] = memory;
        self.before.start(before);
        self.after.start(after);
        self.spend(state.before.len() + state.after.len() + state.slots.len() + 1)?;
        self.note_state(block, &state);
        for (value, node) in state.before {
            self.before.set(value, node);
        }
        for (value, node) in state.after {
            self.after.set(value, node);
        }
        self.block = Some(block);
        self.passed_loads = 0;
        self.loaded = state.loaded;
        self.copying = Copying::default();
        self.position = state.position;
        self.facts = state.facts;
        self.progress = 0;
        let func = self.after.func;
        for inst in func.layout.block_insts(block) {
            self.spend(1)?;
            self.follow_inst(block, inst)?;
        }
        Ok(())
    }

    fn follow_inst(&mut self, block: Block, inst: Inst) -> Outcome {
        let func = self.after.func;
        if self.after.is_pure(inst) {
            self.after.compute(&mut self.world, inst);
            self.note_computed(Side::After, inst);
            return Ok(());
        }
        match func.dfg.insts[inst] {
            InstructionData::Jump { destination, .. } => return self.go(block, destination, &[]),
            InstructionData::Brif { arg, blocks, .. } => {
                let condition = self.after.get(&mut self.world, arg);
                if let Some(condition) = condition
                    && let Some(truth) = truth_of(&self.world, &self.facts, condition)
                {
                    return self.go(block, blocks[usize::from(!truth)], &[]);
                }
            }
            InstructionData::BranchTable { arg, table, .. } => {
                let index = self.after.get(&mut self.world, arg);
                if let Some(index) = index
                    && let Some(index) = value_of(&self.world, &self.facts, index)
                {
                    let table = &func.dfg.jump_tables[table];
                    let target = usize::try_from(index).ok();
                    let target = target.and_then(|index| table.as_slice().get(index).copied());
                    return self.go(block, target.unwrap_or(table.default_block()), &[]);
                }
            }
            _ => {}
        }
        if self.cannot_trap(Side::After, inst) {
            self.after.compute(&mut self.world, inst);
            self.note_computed(Side::After, inst);
            return Ok(());
        }
        match self.after.access(&mut self.world, inst) {
            Accessed::Done => {
                self.note_computed(Side::After, inst);
                return Ok(());
            }
            Accessed::Unknown => {
                return Err(self.unknown(inst, "an address in the result is not known"));
            }
            Accessed::Nothing => {}
        }
        if self.memory_call(Side::After, inst)? {
            return Ok(());
        }
        self.match_effect(block, inst)
    }

    /// Takes an edge of the optimised function.
    pub(super) fn go(&mut self, from: Block, edge: BlockCall, extra: &[BlockArgNode]) -> Outcome {
        let func = self.after.func;
        let target = edge.block(&func.dfg.value_lists);
        let args: Args = edge
            .args(&func.dfg.value_lists)
            .map(|arg| match arg {
                BlockArg::Value(value) => self.after.get(&mut self.world, value),
                other => find_extra(extra, other),
            })
            .collect();
        self.arrive(Some((from, edge)), target, &args)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            values: self.before.mark(),
            memory: Rc::clone(&self.before.memory),
            position: self.position,
            progress: self.progress,
            facts: self.facts.clone(),
            copying: self.copying.clone(),
        }
    }

    /// Returns the values that the function before has set after the mark.
    pub(super) fn set_since(&self, mark: &Mark) -> Vec<(Value, Option<super::nodes::Node>)> {
        self.before.set_since(mark.values)
    }

    pub(super) fn rollback(&mut self, mark: &Mark) {
        self.before.rollback(mark.values);
        self.before.memory = Rc::clone(&mark.memory);
        self.position = mark.position;
        self.progress = mark.progress;
        self.facts.clone_from(&mark.facts);
        self.copying.clone_from(&mark.copying);
    }

    pub(super) fn learn(&mut self, node: Option<super::nodes::Node>, truth: bool) {
        if let Some(node) = node {
            learn(&self.world, &mut self.facts, node, truth);
        }
    }

    /// Returns the answer for a difference at an instruction of the function before.
    pub(super) fn at(
        &self,
        inst: Inst,
        message: impl Into<String>,
        answer: fn(Difference) -> Unproved,
    ) -> Box<Unproved> {
        let name = self.before.func.name.clone().into();
        let difference = Difference::at(CopyTree::ROOT, name, inst, message);
        Box::new(answer(difference))
    }

    pub(super) fn wrong(&self, result: Inst, message: impl Into<String>) -> Box<Unproved> {
        self.pair_answer(result, message, Unproved::Wrong)
    }

    pub(super) fn unknown(&self, result: Inst, message: impl Into<String>) -> Box<Unproved> {
        self.pair_answer(result, message, Unproved::CannotTell)
    }

    fn pair_answer(
        &self,
        result: Inst,
        message: impl Into<String>,
        answer: fn(Difference) -> Unproved,
    ) -> Box<Unproved> {
        let name = self.before.func.name.clone().into();
        let difference = Difference::at(CopyTree::ROOT, name, self.position, message);
        Box::new(answer(difference.with_result(result)))
    }
}

/// A returned value or the payload of an exception on an edge, with its term.
pub(super) type BlockArgNode = (BlockArg, Option<super::nodes::Node>);

pub(super) fn find_extra(extra: &[BlockArgNode], arg: BlockArg) -> Option<super::nodes::Node> {
    let found = extra.iter().find(|(of, _)| *of == arg);
    found.and_then(|(_, node)| *node)
}

/// Returns the numbers of blocks in reverse postorder, from 1 on; 0 for unreachable blocks.
fn reverse_postorder(func: &Function) -> SecondaryMap<Block, u32> {
    let mut order = SecondaryMap::new();
    let mut seen: FxHashSet<Block> = FxHashSet::default();
    let mut postorder = Vec::new();
    let successors = |block: Block| {
        let last = func.layout.last_inst(block);
        last.map(|last| edges(func, last)).unwrap_or_default()
    };
    let mut stack = Vec::new();
    if let Some(entry) = func.layout.entry_block() {
        seen.insert(entry);
        stack.push((entry, 0));
    }
    while let Some((block, next)) = stack.pop() {
        match successors(block).get(next) {
            Some(edge) => {
                stack.push((block, next + 1));
                let target = edge.block(&func.dfg.value_lists);
                if seen.insert(target) {
                    stack.push((target, 0));
                }
            }
            None => postorder.push(block),
        }
    }
    for (index, &block) in (1..).zip(postorder.iter().rev()) {
        order[block] = index;
    }
    order
}
