//! Steps of the function before without an effect outside.

use super::Unproved;
use super::facts::{truth_of, value_of};
use super::machine::{Accessed, Args};
use super::nodes::{Side, mask};
use super::walk::{BlockArgNode, MAX_SILENT_BLOCKS, Outcome, Step, Walk, find_extra};
use cranelift_codegen::ir::{BlockArg, BlockCall, Inst, InstructionData, Opcode};
use rustc_hash::FxHashSet;

impl Walk<'_> {
    /// Takes an edge in the function before.
    pub(super) fn take_edge(&mut self, edge: BlockCall, extra: &[BlockArgNode]) -> Outcome {
        self.note_taken(edge);
        let func = self.before.func;
        let target = edge.block(&func.dfg.value_lists);
        let args: Args = edge
            .args(&func.dfg.value_lists)
            .map(|arg| match arg {
                BlockArg::Value(value) => self.before.get(&mut self.world, value),
                other => find_extra(extra, other),
            })
            .collect();
        let params = func.dfg.block_params(target);
        if params.len() != args.len() {
            return Err(Unproved::wrong("an edge passes another number of values"));
        }
        for (&param, arg) in params.iter().zip(args) {
            self.before.set(param, arg);
            self.note_value(Side::Before, param);
        }
        self.progress += 1;
        match func.layout.first_inst(target) {
            Some(first) => {
                self.position = first;
                Ok(())
            }
            None => Err(Unproved::wrong("a block is empty")),
        }
    }

    /// Takes a step of the function before that has no effect outside.
    pub(super) fn step(&mut self) -> Outcome<Step> {
        self.spend(1)?;
        let inst = self.position;
        let func = self.before.func;
        if self.before.is_pure(inst) || self.cannot_trap(Side::Before, inst) {
            self.before.compute(&mut self.world, inst);
            self.note_computed(Side::Before, inst);
            return self.next_inst().map(|()| Step::Taken);
        }
        let edge = match func.dfg.insts[inst] {
            InstructionData::Jump { destination, .. } => Some(destination),
            InstructionData::Brif { arg, blocks, .. } => {
                let condition = self.before.get(&mut self.world, arg);
                let truth =
                    condition.and_then(|condition| truth_of(&self.world, &self.facts, condition));
                truth.map(|truth| blocks[usize::from(!truth)])
            }
            InstructionData::BranchTable { arg, table, .. } => {
                let index = self.before.get(&mut self.world, arg);
                let index = index.and_then(|index| value_of(&self.world, &self.facts, index));
                index.map(|index| {
                    let table = &func.dfg.jump_tables[table];
                    let target = usize::try_from(index).ok();
                    let target = target.and_then(|index| table.as_slice().get(index).copied());
                    target.unwrap_or(table.default_block())
                })
            }
            _ => None,
        };
        if let Some(edge) = edge {
            self.take_edge(edge, &[])?;
            return Ok(Step::Taken);
        }
        match self.before.access(&mut self.world, inst) {
            Accessed::Done => {
                self.note_computed(Side::Before, inst);
                return self.next_inst().map(|()| Step::Taken);
            }
            Accessed::Unknown => return Ok(Step::Unknown),
            Accessed::Nothing => {}
        }
        if self.memory_call(Side::Before, inst)? {
            return self.next_inst().map(|()| Step::Taken);
        }
        Ok(Step::None)
    }

    pub(super) fn next_inst(&mut self) -> Outcome {
        self.progress += 1;
        match self.before.func.layout.next_inst(self.position) {
            Some(next) => {
                self.position = next;
                Ok(())
            }
            None => Err(self.at(self.position, "nothing follows it", Unproved::Wrong)),
        }
    }

    /// Advances the function before to its next effect.
    pub(super) fn advance(&mut self) -> Outcome {
        let before = self.before.func;
        let mut blocks = 0;
        loop {
            let from = before.layout.inst_block(self.position);
            match self.step()? {
                Step::Taken => {
                    blocks += usize::from(before.layout.inst_block(self.position) != from);
                    if blocks > MAX_SILENT_BLOCKS {
                        let message = "nothing happens for too many blocks";
                        return Err(self.at(self.position, message, Unproved::CannotTell));
                    }
                }
                Step::None => return Ok(()),
                // A load at an unknown address has an unknown result.
                Step::Unknown if self.pass_load(false)? => {}
                Step::Unknown => {
                    let message = "its address is not known";
                    return Err(self.at(self.position, message, Unproved::CannotTell));
                }
            }
        }
    }

    /// Advances the function before to a place, past branches that decide nothing; returns false if
    /// it does not get there.
    pub(super) fn advance_to(&mut self, target: Inst, moving: bool) -> Outcome<bool> {
        let mut passed: FxHashSet<Inst> = FxHashSet::default();
        let mut moving = moving;
        loop {
            if self.position == target && !moving {
                return Ok(true);
            }
            moving = false;
            let at = self.position;
            let is_block_end = self.before.func.dfg.insts[at].opcode().is_branch();
            if is_block_end && !passed.insert(at) {
                return Ok(false);
            }
            match self.step()? {
                Step::Taken => {}
                Step::None if self.pass_load(true)? || self.fork()? => {}
                Step::Unknown if self.pass_load(false)? => {}
                Step::None | Step::Unknown => return Ok(false),
            }
        }
    }

    /// Returns whether an instruction that can trap does not.
    pub(super) fn cannot_trap(&mut self, side: Side, inst: Inst) -> bool {
        let machine = match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        };
        let data = machine.func.dfg.insts[inst];
        if machine.func.debug_tags.has(inst) {
            return false;
        }
        match data {
            InstructionData::CondTrap { opcode, arg, .. } => {
                let condition = machine.get(&mut self.world, arg);
                let truth =
                    condition.and_then(|condition| truth_of(&self.world, &self.facts, condition));
                truth == Some(opcode == Opcode::Trapz)
            }
            InstructionData::Binary { opcode, args } => {
                let divisor = machine.get(&mut self.world, args[1]);
                let ty = machine.func.dfg.value_type(args[1]);
                let divisor = divisor.and_then(|divisor| self.world.nodes.constant_of(divisor));
                match (opcode, divisor) {
                    (Opcode::Udiv | Opcode::Urem, Some(divisor)) => ty.is_int() && divisor != 0,
                    (Opcode::Sdiv | Opcode::Srem, Some(divisor)) => {
                        ty.is_int() && divisor != 0 && divisor != mask(ty.bits())
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }
}
