//! Copies between a private slot and other memory that were split.
//!
//! The function before calls `memcpy`; the optimised one has a load of the other memory, or a store
//! to it, per needed piece. Nothing else happens between these, so their order does not matter.

use super::super::comparison::signed;
use super::access::access;
use super::memory::Piece;
use super::memory_calls::KnownMemoryCall;
use super::nodes::{Node, Side, Symbol, Term};
use super::surroundings::MemoryCall;
use super::walk::{Outcome, Walk};
use cranelift_codegen::ir::{Inst, Opcode, StackSlot};
use std::rc::Rc;

/// A copy between a private slot and other memory.
struct SlotCopy {
    slot: StackSlot,
    start: u32,
    other: Node,
    bytes: u32,
    is_into_slot: bool,
    returned: Node,
}

impl Walk<'_> {
    fn copy_at(&mut self, inst: Inst) -> Option<SlotCopy> {
        let KnownMemoryCall {
            kind,
            to,
            from,
            bytes,
        } = self.known_memory_call(Side::Before, inst)?;
        if kind != MemoryCall::Copy {
            return None;
        }
        let is_private = [to, from].map(|at| self.is_constant_place(Side::Before, at, bytes));
        let (place, other, is_into_slot) = match is_private {
            [true, false] => (to, from, true),
            [false, true] => (from, to, false),
            _ => return None,
        };
        if !self.world.nodes.mentions(other).is_empty() {
            return None;
        }
        let &Term::Slot(named, start) = self.world.nodes.term(place) else {
            return None;
        };
        Some(SlotCopy {
            slot: self.world.tracking.slot_of(Side::Before, named)?,
            start: u32::try_from(start).ok()?,
            other,
            bytes,
            is_into_slot,
            returned: to,
        })
    }

    /// Returns whether an instruction copies between a private slot and other memory.
    pub(super) fn is_open_copy(&mut self, inst: Inst) -> bool {
        self.copy_at(inst).is_some()
    }

    /// Returns whether such a copy is still one call of the optimised function, which passes the
    /// slot.
    pub(super) fn is_same_copy(&mut self, inst: Inst, result: Inst) -> bool {
        if !self.copying.pieces.is_empty() || !self.calls_the_same(inst, result) {
            return false;
        }
        let args = self.before.args(&mut self.world, inst);
        let others = self.after.args(&mut self.world, result);
        let same = |(a, b): (&Option<Node>, &Option<Node>)| {
            let (&Some(a), &Some(b)) = (a, b) else {
                return false;
            };
            let is_slot = |node: Node| matches!(self.world.nodes.term(node), Term::Slot(..));
            a == b || is_slot(a) && is_slot(b)
        };
        args.len() == others.len() && args.iter().zip(&others).all(same)
    }

    /// Matches a load or store of the optimised function with a part of the copy at which the other
    /// function is; returns false if it is not a part.
    pub(super) fn copy_part(&mut self, inst: Inst, result: Inst) -> Outcome<bool> {
        let func = self.after.func;
        let opcode = func.dfg.insts[result].opcode();
        if !matches!(opcode, Opcode::Load | Opcode::Store) {
            return Ok(false);
        }
        let Some(copy) = self.copy_at(inst) else {
            return Ok(false);
        };
        let Some(access) = access(func, result) else {
            return Ok(false);
        };
        if access.stored.is_some() == copy.is_into_slot || !access.promises_nothing() {
            return Ok(false);
        }
        let Some(address) = self.after.get(&mut self.world, access.address) else {
            return Ok(false);
        };
        let (base, offset) = self.base_and_offset(address);
        let (other, from) = self.base_and_offset(copy.other);
        let at = offset + i128::from(access.offset) - from;
        let (Ok(at), true) = (u32::try_from(at), base == other) else {
            return Ok(false);
        };
        if at.saturating_add(access.size) > copy.bytes {
            return Ok(false);
        }
        let node = match access.stored {
            Some(value) => {
                let value = self.after.get(&mut self.world, value);
                let held = self.held(Side::Before, copy.slot);
                let bytes = self.world.read(&held, copy.start + at, access.size);
                let stored = self.world.as_held(&access, value);
                self.match_nodes((inst, bytes), (result, stored), true)?;
                stored
            }
            None => {
                let Some(&value) = func.dfg.inst_results(result).first() else {
                    return Ok(false);
                };
                let width = func.dfg.value_type(value).bits();
                let symbol = Symbol::Result(result, 0);
                let node = Some(self.world.nodes.symbol(symbol, width));
                self.after.set(value, node);
                self.note_computed(Side::After, result);
                self.world.as_held(&access, node)
            }
        };
        let (start, size) = (at, access.size);
        self.copying.pieces.push(Piece { start, size, node });
        if !copy.is_into_slot && self.is_all_copied(copy.bytes) {
            self.finish_copy(inst, &copy)?;
        }
        Ok(true)
    }

    /// Goes past a copy into a private slot. Bytes that the optimised function did not load are
    /// unknown; a use of them is noticed there.
    pub(super) fn pass_copy(&mut self) -> Outcome<bool> {
        let inst = self.position;
        match self.copy_at(inst) {
            Some(copy) if copy.is_into_slot => {
                self.finish_copy(inst, &copy)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn finish_copy(&mut self, inst: Inst, copy: &SlotCopy) -> Outcome {
        let copying = std::mem::take(&mut self.copying);
        if copy.is_into_slot {
            let mut held = self.held(Side::Before, copy.slot);
            self.world.write(&mut held, copy.start, copy.bytes, None);
            for Piece { start, size, node } in copying.pieces {
                self.world.write(&mut held, copy.start + start, size, node);
            }
            Rc::make_mut(&mut self.before.memory).insert(copy.slot, held);
        }
        if let Some(&result) = self.before.func.dfg.inst_results(inst).first() {
            self.before.set(result, Some(copy.returned));
        }
        self.next_inst()
    }

    fn is_all_copied(&self, bytes: u32) -> bool {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for piece in &self.copying.pieces {
            ranges.push((piece.start, piece.start + piece.size));
        }
        ranges.sort_unstable();
        let mut end = 0;
        for (start, to) in ranges {
            if start > end {
                return false;
            }
            end = end.max(to);
        }
        end >= bytes
    }

    /// Returns an address without the constants that were added to it last, and their sum.
    fn base_and_offset(&self, address: Node) -> (Node, i128) {
        let nodes = &self.world.nodes;
        let (mut base, mut offset) = (address, 0);
        while let Term::Computed { shape, args, .. } = nodes.term(base) {
            let (Some(Opcode::Iadd), &[x, y]) = (self.world.contents.opcode(*shape), &args[..])
            else {
                break;
            };
            let constants = [x, y].map(|node| nodes.constant_of(node));
            let (rest, added) = match constants {
                [None, Some(added)] => (x, added),
                [Some(added), None] => (y, added),
                _ => break,
            };
            offset += signed(added, nodes.width(base));
            base = rest;
        }
        (base, offset)
    }
}
