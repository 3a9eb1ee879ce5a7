//! Removal of promises that copies make false: of the caller's own accesses, and of those that read
//! memory that a copy writes.

use super::CallerPromises;
use super::flags::flags_of;
use crate::panics;
use crate::splice::MemoryPromises;
use crate::splice::derived::{Derived, Flow};
use crate::splice::memory_promises::{is_promising, without_flags};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, Inst, InstructionData, MemFlags, Opcode, Value, ValueDef};

/// Addresses of accesses that can move are mostly parameters, and loads from these: a walk over the
/// caller is for others.
const PLAIN_DEPTH: u32 = 4;

impl CallerPromises {
    /// Removes the promises that copies have made false. The caller's own instructions have numbers
    /// below `own_insts`.
    pub(in crate::splice) fn finish(&mut self, caller: &mut Function, own_insts: usize) {
        let has_copies = std::mem::take(&mut self.has_copies);
        let structures = std::mem::take(&mut self.structures);
        match self.kinds {
            MemoryPromises::PerFunction if has_copies && self.can_pin() => {
                self.pin(caller, own_insts);
            }
            MemoryPromises::WholeProgram if !structures.is_empty() => {
                self.unpromise_structures(caller, own_insts, structures);
            }
            _ => {}
        }
    }

    /// Pins the caller's accesses whose addresses are now known earlier than before.
    fn pin(&mut self, caller: &mut Function, own_insts: usize) {
        let returned = std::mem::take(&mut self.returned);
        let flow = |inst: Inst, data: &InstructionData| {
            let flags = data.memflags_data(&caller.dfg);
            let stays = flags.is_none_or(|flags| !flags.can_move());
            match data.opcode().can_load() && stays {
                // The load stays after the calls that it follows, but its result may be a value
                // that was stored before them, which Cranelift finds out after they are gone.
                true if self.first_loads.contains(&inst) => Flow::Ends,
                true => Flow::Starts,
                false => Flow::Through,
            }
        };
        // Most of the caller is unchecked. If it is malformed, nothing moves.
        let early = panics::catch(|| {
            let insts = (0..caller.dfg.num_insts()).map(Inst::new);
            let mut addresses = insts.filter_map(|inst| self.pinned_access(caller, inst));
            let all_plain = addresses
                .all(|(_, address)| is_plain(caller, own_insts, address, &flow, PLAIN_DEPTH));
            match all_plain {
                true => None,
                false => Some(Derived::find(caller, own_insts, returned, flow)),
            }
        });
        if matches!(early, Ok(None)) {
            return;
        }
        for index in 0..caller.dfg.num_insts() {
            let inst = Inst::new(index);
            let Some((pinned, address)) = self.pinned_access(caller, inst) else {
                continue;
            };
            let is_early = match &early {
                Ok(Some(early)) => early.contains(address),
                _ => true,
            };
            if is_early && let Some(flags) = caller.dfg.insts[inst].memflags_mut() {
                *flags = pinned;
                self.count_flags(caller, inst);
            }
        }
    }

    /// Returns the flags of a pinned access and its address, if `inst` is an access that can move.
    fn pinned_access(&self, caller: &Function, inst: Inst) -> Option<(MemFlags, Value)> {
        let data = &caller.dfg.insts[inst];
        let address = match *data {
            InstructionData::Load { arg, .. } => arg,
            InstructionData::Store { args, .. } => args[1],
            _ => return None,
        };
        let pinned = *self.pinned.get(data.memflags()?.index())?;
        Some((pinned?, address))
    }

    /// Structures are copied in the caller's activation, so they are not `readonly`.
    fn unpromise_structures(
        &mut self,
        caller: &mut Function,
        own_insts: usize,
        structures: Vec<Value>,
    ) {
        if !flags_of(caller).any(is_promising) {
            return;
        }
        let insts = caller.dfg.num_insts();
        let derived = panics::catch(|| {
            let flow = |_, data: &InstructionData| match data.opcode().can_load() {
                true => Flow::Ends,
                false => Flow::Through,
            };
            Derived::find(caller, insts, structures, flow)
        });
        let may_be = |value| {
            derived
                .as_ref()
                .map_or(true, |derived| derived.contains(value))
        };
        let copied = (own_insts..insts).map(Inst::new);
        let escapes = copied.clone().any(|inst| {
            let data = &caller.dfg.insts[inst];
            match *data {
                // The engine's own, of one byte: see `struct_args`.
                InstructionData::Store {
                    opcode: Opcode::Istore8,
                    args,
                    ..
                } if args[0] == args[1] => false,
                InstructionData::Store { args, .. } => may_be(args[0]),
                _ if data.opcode().can_store() || data.opcode().is_call() => {
                    caller.dfg.inst_values(inst).any(may_be)
                }
                _ => false,
            }
        });
        for inst in copied {
            let InstructionData::Load { arg, flags, .. } = caller.dfg.insts[inst] else {
                continue;
            };
            let data = caller.dfg.mem_flags[flags];
            if !is_promising(data) || !(escapes || may_be(arg)) {
                continue;
            }
            let facts = caller.dfg.mem_flags.insert(without_flags(data));
            debug_assert!(
                facts.is_ok(),
                "the room for memory flags was counted wrongly"
            );
            if let (Ok(facts), Some(flags)) = (facts, caller.dfg.insts[inst].memflags_mut()) {
                *flags = facts;
                self.count_flags(caller, inst);
            }
        }
    }

    fn count_flags(&mut self, caller: &Function, inst: Inst) {
        self.dropped.flags += usize::from(caller.layout.inst_block(inst).is_some());
    }

    /// Removes the regions of the caller's stores: loads of any region see a store without one.
    pub(super) fn drop_regions(&mut self, caller: &mut Function) {
        let all_gone = std::mem::replace(&mut self.regions_gone, true);
        if all_gone || caller.dfg.alias_regions.len() == 0 {
            return;
        }
        for index in 0..caller.dfg.num_insts() {
            let inst = Inst::new(index);
            let data = &mut caller.dfg.insts[inst];
            if !data.opcode().can_store() {
                continue;
            }
            if let Some(flags) = data.memflags_mut()
                && let Some(&Some(plain)) = self.without_region.get(flags.index())
            {
                *flags = plain;
                if caller.layout.inst_block(inst).is_some() {
                    self.dropped.regions += 1;
                }
            }
        }
    }
}

/// Returns whether `value` is not derived from a result of a replaced call or of a load, by a look
/// at a few instructions. Where this is not plain, it returns `false`. Panics where the function is
/// malformed.
fn is_plain(
    caller: &Function,
    own_insts: usize,
    value: Value,
    flow: &impl Fn(Inst, &InstructionData) -> Flow,
    depth: u32,
) -> bool {
    let dfg = &caller.dfg;
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    if !dfg.value_is_real(value) {
        return false;
    }
    match dfg.value_def(value) {
        ValueDef::Param(block, _) => caller.layout.entry_block() == Some(block),
        ValueDef::Result(inst, _) if inst.index() >= own_insts => true,
        ValueDef::Result(inst, _) => {
            let data = &dfg.insts[inst];
            let is_plain = |value| is_plain(caller, own_insts, value, flow, depth);
            !data.opcode().is_call()
                && match flow(inst, data) {
                    Flow::Ends => true,
                    Flow::Starts => false,
                    Flow::Through => dfg.inst_values(inst).all(is_plain),
                }
        }
        ValueDef::Union(..) => false,
    }
}
