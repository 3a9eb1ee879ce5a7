//! Calls that copy or fill private slots.

use super::contents::{Content, Name};
use super::memory::{Held, Place};
use super::nodes::{Node, Side};
use super::surroundings::MemoryCall;
use super::walk::{Outcome, Walk};
use cranelift_codegen::ir::{ExternalName, Inst, InstructionData, StackSlot};
use std::rc::Rc;

/// The maximum number of bytes that are filled or copied as one piece.
const CHUNK: u32 = 8;
/// Longer copies are calls like any other.
const MAX_BYTES: u32 = 4096;

/// The operands of a call that copies or fills.
pub(super) struct KnownMemoryCall {
    pub(super) kind: MemoryCall,
    pub(super) to: Node,
    /// For a fill, the byte.
    pub(super) from: Node,
    pub(super) bytes: u32,
}

impl Walk<'_> {
    /// Returns the operands of a call that copies or fills a known number of bytes.
    pub(super) fn known_memory_call(&mut self, side: Side, inst: Inst) -> Option<KnownMemoryCall> {
        let machine = match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        };
        let func = machine.func;
        let InstructionData::Call {
            func_ref, opcode, ..
        } = func.dfg.insts[inst]
        else {
            return None;
        };
        let entries = func.dfg.user_stack_map_entries(inst);
        if opcode.is_return()
            || func.debug_tags.has(inst)
            || !entries.unwrap_or_default().is_empty()
            || func.dfg.inst_results(inst).len() > 1
        {
            return None;
        }
        let kind = match &func.dfg.ext_funcs.get(func_ref)?.name {
            &ExternalName::LibCall(call) => MemoryCall::of_libcall(call)?,
            name => {
                let name = self.world.contents.name(func, name);
                match self.world.contents.get(name) {
                    Content::Name(Name::Program(name)) => self.surroundings.memory_call(name)?,
                    _ => return None,
                }
            }
        };
        let args = machine.args(&mut self.world, inst);
        let &[Some(to), Some(from), Some(bytes)] = &args[..] else {
            return None;
        };
        let bytes = u32::try_from(self.world.nodes.constant_of(bytes)?).ok()?;
        (bytes <= MAX_BYTES).then_some(KnownMemoryCall {
            kind,
            to,
            from,
            bytes,
        })
    }

    /// Executes a call that copies or fills only private slots; returns false if it is not one.
    pub(super) fn memory_call(&mut self, side: Side, inst: Inst) -> Outcome<bool> {
        let Some(call) = self.known_memory_call(side, inst) else {
            return Ok(false);
        };
        if !self.copy_or_fill(side, call.kind, call.to, call.from, call.bytes)? {
            return Ok(false);
        }
        let machine = match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        };
        if let Some(&result) = machine.func.dfg.inst_results(inst).first() {
            machine.set(result, Some(call.to));
        }
        Ok(true)
    }

    fn copy_or_fill(
        &mut self,
        side: Side,
        kind: MemoryCall,
        to: Node,
        from: Node,
        bytes: u32,
    ) -> Outcome<bool> {
        if !self.is_constant_place(side, to, bytes)
            || kind == MemoryCall::Copy && !self.is_constant_place(side, from, bytes)
        {
            return Ok(false);
        }
        self.spend(bytes as usize / 8)?;
        let Place::At(slot, start) = self.world.place(side, Some(to), 0, bytes) else {
            return Ok(false);
        };
        let mut held = self.held(side, slot);
        match kind {
            MemoryCall::Copy => {
                let Place::At(source, first) = self.world.place(side, Some(from), 0, bytes) else {
                    return Ok(false);
                };
                let read = self.held(side, source);
                for (offset, size) in Self::chunks(&read, first, bytes) {
                    let node = self.world.read(&read, first + offset, size);
                    if node.is_none() {
                        self.world.reveal(side, source);
                    }
                    self.world.write(&mut held, start + offset, size, node);
                }
            }
            MemoryCall::Fill => {
                let byte = self.world.nodes.bits(from, 0, 8);
                let empty = self.world.initially_held(side, slot);
                for (offset, size) in Self::chunks(&empty, start, bytes) {
                    let parts = vec![byte; size as usize];
                    let node = self.world.nodes.row(&parts);
                    self.world
                        .write(&mut held, start + offset, size, Some(node));
                }
            }
        }
        let machine = match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        };
        Rc::make_mut(&mut machine.memory).insert(slot, held);
        Ok(true)
    }

    /// Returns whether an address is a constant offset in a private slot, with this many bytes
    /// after it. Notes nothing.
    pub(super) fn is_constant_place(&self, side: Side, address: Node, bytes: u32) -> bool {
        let super::nodes::Term::Slot(named, start) = *self.world.nodes.term(address) else {
            return false;
        };
        let tracking = &self.world.tracking;
        let Some(slot) = tracking.slot_of(side, named) else {
            return false;
        };
        tracking.is_private(side, slot)
            && start >= 0
            && start.saturating_add(bytes.into()) <= tracking.size(side, slot).into()
    }

    pub(super) fn held(&mut self, side: Side, slot: StackSlot) -> Held {
        let machine = match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        };
        match machine.memory.get(&slot) {
            Some(held) => held.clone(),
            None => self.world.initially_held(side, slot),
        }
    }

    /// Returns the pieces, from `first` on, in which bytes are read. None crosses the end of a held
    /// piece.
    fn chunks(read: &Held, first: u32, bytes: u32) -> Vec<(u32, u32)> {
        let mut ends: std::collections::BTreeSet<u32> = std::collections::BTreeSet::new();
        let mut add = |end: u32, base: u32| {
            if let Some(end) = end.checked_sub(base)
                && end > 0
                && end < bytes
            {
                ends.insert(end);
            }
        };
        for piece in &read.pieces {
            add(piece.start, first);
            add(piece.start + piece.size, first);
        }
        let mut chunks = Vec::new();
        let mut from = 0;
        for end in ends.into_iter().chain([bytes]) {
            let mut at = from;
            while at < end {
                let held = read.pieces.iter().any(|piece| {
                    piece.start <= first + at && first + end <= piece.start + piece.size
                });
                let size = if held { end - at } else { CHUNK.min(end - at) };
                chunks.push((at, size));
                at += size;
            }
            from = end;
        }
        chunks
    }
}
