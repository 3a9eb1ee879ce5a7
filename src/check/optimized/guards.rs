//! Tests of the target of an indirect call, which only the optimised function has.
//!
//! The optimised function goes on from both sides of the test, each with the fact that it told,
//! and the other function from where it is. So each side is followed like a function of its own. A
//! caller cannot see the operands of the test.

use super::contents::ContentId;
use super::evaluate::World;
use super::facts::{Fact, comparison};
use super::nodes::{Node, Term};
use super::walk::{Outcome, Walk};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Inst, InstructionData, Opcode};

impl Walk<'_> {
    /// Returns whether the optimised function tests the target of the indirect call at which the
    /// other one is.
    pub(super) fn is_guard(&mut self, inst: Inst, result: Inst) -> bool {
        let Some(address) =
            super::calls::call(self.before.func, inst).and_then(|call| call.address)
        else {
            return false;
        };
        let InstructionData::Brif { arg, .. } = self.after.func.dfg.insts[result] else {
            return false;
        };
        let address = self.before.get(&mut self.world, address);
        let condition = self.after.get(&mut self.world, arg);
        let (Some(address), Some(condition)) = (address, condition) else {
            return false;
        };
        let Some((tested, _)) = tested_function(&self.world, condition) else {
            return false;
        };
        tested == address || self.unites(address, tested)
    }

    pub(super) fn follow_guard(&mut self, block: Block, result: Inst) -> Outcome {
        let InstructionData::Brif { arg, blocks, .. } = self.after.func.dfg.insts[result] else {
            return Ok(());
        };
        let condition = self.after.get(&mut self.world, arg);
        for (index, side) in blocks.into_iter().enumerate() {
            let mark = self.mark();
            self.learn(condition, index == 0);
            self.go(block, side, &[])?;
            self.rollback(&mark);
        }
        Ok(())
    }

    /// Returns whether the function before comes from a call that may have a guard. The two sides
    /// of that are likely to meet here.
    pub(super) fn comes_from_indirect_call(&self) -> bool {
        let func = self.before.func;
        let last = func.layout.prev_inst(self.position);
        last.is_some_and(|last| func.dfg.insts[last].opcode() == Opcode::CallIndirect)
    }

    /// Returns the function whose address a term is, by itself or by a test on the way.
    pub(super) fn function_at(&self, address: Node) -> Option<ContentId> {
        if let Term::Function(name) = self.world.nodes.term(address) {
            return Some(*name);
        }
        let mut tests = self.facts.iter().filter_map(|(&node, &fact)| match fact {
            Fact::Is(1) => tested_function(&self.world, node),
            _ => None,
        });
        tests.find_map(|(tested, name)| (tested == address).then_some(name))
    }
}

/// Returns the term that is compared with the address of a function, and the function.
fn tested_function(world: &World, condition: Node) -> Option<(Node, ContentId)> {
    let (cond, x, y) = comparison(world, condition)?;
    match (cond, world.nodes.term(x), world.nodes.term(y)) {
        (IntCC::Equal, _, Term::Function(name)) => Some((x, *name)),
        (IntCC::Equal, Term::Function(name), _) => Some((y, *name)),
        _ => None,
    }
}
