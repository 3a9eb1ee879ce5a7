//! One of the two functions while it is followed.

use super::access::access;
use super::contents::{Shapes, is_pure};
use super::evaluate::World;
use super::liveness::{Liveness, is_everywhere};
use super::memory::{Memory, Place};
use super::nodes::{Node, Side};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, Inst, Value, ValueDef};
use smallvec::SmallVec;
use std::rc::Rc;

pub(super) type Args = SmallVec<[Option<Node>; 4]>;

pub(super) struct Machine<'f> {
    pub(super) func: &'f Function,
    pub(super) side: Side,
    pub(super) liveness: Liveness,
    shapes: Shapes,
    /// With the number of the block's turn in which it was set.
    values: SecondaryMap<Value, (u32, Option<Node>)>,
    turn: u32,
    /// The values that were set, each with its value before.
    log: Vec<(Value, (u32, Option<Node>))>,
    pub(super) memory: Rc<Memory>,
}

/// The result of a load or store.
pub(super) enum Accessed {
    /// It does not access a private slot.
    Nothing,
    Done,
    /// Its address is unknown.
    Unknown,
}

impl<'f> Machine<'f> {
    pub(super) fn new(func: &'f Function, side: Side, liveness: Liveness) -> Self {
        Machine {
            func,
            side,
            liveness,
            shapes: Shapes::default(),
            values: SecondaryMap::new(),
            turn: 0,
            log: Vec::new(),
            memory: Rc::default(),
        }
    }

    /// Forgets all values.
    pub(super) fn start(&mut self, memory: Memory) {
        self.turn += 1;
        self.log.clear();
        self.memory = Rc::new(memory);
    }

    pub(super) fn set(&mut self, value: Value, node: Option<Node>) {
        let new = (self.turn, node);
        let old = std::mem::replace(&mut self.values[value], new);
        self.log.push((value, old));
    }

    pub(super) fn mark(&self) -> usize {
        self.log.len()
    }

    /// Returns the values that were set after the mark, each with its present term.
    pub(super) fn set_since(&self, mark: usize) -> Vec<(Value, Option<Node>)> {
        let since = self.log.get(mark..).unwrap_or_default();
        since
            .iter()
            .map(|&(value, _)| (value, self.values[value].1))
            .collect()
    }

    pub(super) fn rollback(&mut self, mark: usize) {
        while self.log.len() > mark {
            if let Some((value, old)) = self.log.pop() {
                self.values[value] = old;
            }
        }
    }

    /// Returns the present term of a value; `None` if it is unknown.
    pub(super) fn get(&mut self, world: &mut World, value: Value) -> Option<Node> {
        let value = self.func.dfg.resolve_aliases(value);
        let (turn, node) = self.values[value];
        if turn == self.turn {
            return node;
        }
        if !is_everywhere(self.func, value) {
            return None;
        }
        match self.func.dfg.value_def(value) {
            ValueDef::Result(inst, _) => {
                self.compute(world, inst);
                self.values[value].1
            }
            _ => None,
        }
    }

    pub(super) fn args(&mut self, world: &mut World, inst: Inst) -> Args {
        let args = self.func.dfg.inst_args(inst);
        args.iter().map(|&arg| self.get(world, arg)).collect()
    }

    pub(super) fn shape(&mut self, world: &mut World, inst: Inst) -> super::contents::ContentId {
        self.shapes.get(&mut world.contents, self.func, inst)
    }

    /// Computes the results from the operands.
    pub(super) fn compute(&mut self, world: &mut World, inst: Inst) {
        let args = self.args(world, inst);
        let of = (self.func, self.side);
        let results = world.evaluate(of, &mut self.shapes, inst, &args);
        let values = self.func.dfg.inst_results(inst);
        for (&value, node) in values.iter().zip(results) {
            self.set(value, node);
        }
    }

    pub(super) fn is_pure(&self, inst: Inst) -> bool {
        is_pure(self.func, inst)
    }

    /// Executes a load from or a store to a private slot.
    pub(super) fn access(&mut self, world: &mut World, inst: Inst) -> Accessed {
        let Some(access) = access(self.func, inst) else {
            return Accessed::Nothing;
        };
        let address = self.get(world, access.address);
        let place = world.place(self.side, address, access.offset, access.size);
        let slot = match place {
            Place::Outside => return Accessed::Nothing,
            Place::Unknown => return Accessed::Unknown,
            Place::At(slot, _) | Place::Within(slot, _) => slot,
        };
        let side = self.side;
        match access.stored {
            Some(value) => {
                if let Place::At(_, start) = place
                    && !world.tracking.may_read(side, slot, start, access.size)
                {
                    return Accessed::Done;
                }
                let value = self.get(world, value);
                let value = world.as_held(&access, value);
                let memory = Rc::make_mut(&mut self.memory);
                let held = memory
                    .entry(slot)
                    .or_insert_with(|| world.initially_held(side, slot));
                match place {
                    Place::Within(_, address) => {
                        world.write_within(held, address, access.offset, value);
                        if held.behind.is_none() {
                            world.reveal(side, slot);
                        }
                    }
                    Place::At(_, start) => world.write(held, start, access.size, value),
                    Place::Outside | Place::Unknown => {}
                }
            }
            None => {
                let initial;
                let held = match self.memory.get(&slot) {
                    Some(held) => held,
                    None => {
                        initial = world.initially_held(side, slot);
                        &initial
                    }
                };
                let bits = match place {
                    Place::Within(_, address) => {
                        world.read_within(held, address, access.offset, access.size)
                    }
                    Place::At(_, start) => world.read(held, start, access.size),
                    Place::Outside | Place::Unknown => None,
                };
                if bits.is_none() {
                    world.reveal(side, slot);
                }
                let node = world.as_loaded(&access, bits);
                if let Some(&result) = self.func.dfg.inst_results(inst).first() {
                    self.set(result, node);
                }
            }
        }
        Accessed::Done
    }
}
