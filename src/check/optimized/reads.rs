//! The bytes of slots that a function may read.
//!
//! A store to other bytes of a private slot changes nothing. The optimised function may lack it,
//! and its bytes must not make the contents of the slots differ.
//!
//! The analysis does not follow the control flow: a value is an address in one slot or it is not.
//! Whatever it cannot follow counts as a read of the whole slot.

use super::access::access;
use super::edges;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{
    BlockArg, DebugTag, Function, Inst, InstructionData, Opcode, StackSlot, Value, ValueDef, types,
};
use rustc_hash::FxHashMap;

/// Addresses that go round a loop settle in a few walks over the function. Beyond that, everything
/// counts as read.
const MAX_WALKS: usize = 8;

/// The slot in which a value is an address.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Address {
    #[default]
    None,
    At(StackSlot, i64),
    /// At an unknown offset.
    Within(StackSlot),
    /// In one of several slots, which are all read.
    Mixed,
}

/// The bytes that a function may read.
#[derive(Default)]
pub(super) struct Reads {
    everything: bool,
    whole: EntitySet<StackSlot>,
    /// The start and end of parts of other slots, at last in order and apart.
    parts: FxHashMap<StackSlot, Vec<(i64, i64)>>,
    addresses: SecondaryMap<Value, Address>,
    is_changed: bool,
}

impl Reads {
    pub(super) fn of(func: &Function) -> Self {
        let mut reads = Reads::default();
        if func.sized_stack_slots.is_empty() {
            return reads;
        }
        for walk in 0.. {
            reads.is_changed = false;
            reads.parts.clear();
            for block in func.layout.blocks() {
                for inst in func.layout.block_insts(block) {
                    reads.note(func, inst);
                }
            }
            if !reads.is_changed {
                break;
            }
            if walk == MAX_WALKS {
                reads.everything = true;
                break;
            }
        }
        reads.addresses.clear();
        for parts in reads.parts.values_mut() {
            parts.sort_unstable();
            parts.dedup_by(|next, last| {
                let touches = next.0 <= last.1;
                if touches {
                    last.1 = last.1.max(next.1);
                }
                touches
            });
        }
        reads
    }

    /// Returns whether some of the bytes of a slot may be read.
    pub(super) fn may_read(&self, slot: StackSlot, start: u32, size: u32) -> bool {
        let (start, end) = (i64::from(start), i64::from(start) + i64::from(size));
        let overlaps = |parts: &Vec<(i64, i64)>| {
            let first = parts.partition_point(|&(_, to)| to <= start);
            parts.get(first).is_some_and(|&(from, _)| from < end)
        };
        self.everything || self.whole.contains(slot) || self.parts.get(&slot).is_some_and(overlaps)
    }

    fn note(&mut self, func: &Function, inst: Inst) {
        for tag in func.debug_tags.get(inst) {
            if let DebugTag::StackSlot(slot) = tag {
                self.whole.insert(*slot);
            }
        }
        for entry in func.dfg.user_stack_map_entries(inst).into_iter().flatten() {
            self.whole.insert(entry.slot);
        }
        for edge in edges(func, inst) {
            let params = func.dfg.block_params(edge.block(&func.dfg.value_lists));
            let args = edge.args(&func.dfg.value_lists);
            for (&param, arg) in params.iter().zip(args) {
                if let BlockArg::Value(arg) = arg {
                    let address = self.address(func, arg);
                    self.merge(param, address);
                }
            }
        }
        let data = func.dfg.insts[inst];
        let opcode = data.opcode();
        if data.exception_table().is_some() {
            // The contexts are among them.
            for value in func.dfg.inst_values(inst) {
                let address = self.address(func, value);
                self.escape(address);
            }
        }
        let args = func.dfg.inst_args(inst);
        let result = func.dfg.inst_results(inst).first().copied();
        match (data, args, result) {
            (
                InstructionData::StackAddr {
                    stack_slot, offset, ..
                },
                _,
                Some(result),
            ) => self.merge(result, Address::At(stack_slot, i64::from(offset))),
            (InstructionData::Load { .. }, &[address], _) => {
                let address = self.address(func, address);
                match access(func, inst) {
                    Some(access) => self.read(address, access.offset, access.size),
                    None => self.escape(address),
                }
            }
            (InstructionData::Store { .. }, &[stored, _], _) => {
                let stored = self.address(func, stored);
                self.escape(stored);
            }
            (_, &[a, b], Some(result)) if matches!(opcode, Opcode::Iadd | Opcode::Isub) => {
                let [x, y] = [a, b].map(|value| self.address(func, value));
                let (base, added, sign) = match (x, y, opcode) {
                    (_, Address::None, Opcode::Iadd) => (x, b, 1),
                    (_, Address::None, _) => (x, b, -1),
                    (Address::None, _, Opcode::Iadd) => (y, a, 1),
                    _ => {
                        self.escape(x);
                        self.escape(y);
                        return;
                    }
                };
                let is_wide = func.dfg.value_type(result) == types::I64;
                let moved = match (base, constant(func, added).filter(|_| is_wide)) {
                    (Address::At(slot, at), Some(by)) => {
                        let moved = by.checked_mul(sign).and_then(|by| at.checked_add(by));
                        moved.map_or(Address::Within(slot), |at| Address::At(slot, at))
                    }
                    (Address::At(slot, _), None) => Address::Within(slot),
                    (base, _) => base,
                };
                self.merge(result, moved);
            }
            (_, &[condition, a, b], Some(result))
                if matches!(opcode, Opcode::Select | Opcode::SelectSpectreGuard) =>
            {
                let [condition, a, b] = [condition, a, b].map(|value| self.address(func, value));
                self.escape(condition);
                self.merge(result, a);
                self.merge(result, b);
            }
            (InstructionData::IntCompare { .. } | InstructionData::Brif { .. }, ..) => {}
            _ => {
                for &value in args {
                    let address = self.address(func, value);
                    self.escape(address);
                }
            }
        }
    }

    fn address(&self, func: &Function, value: Value) -> Address {
        self.addresses[func.dfg.resolve_aliases(value)]
    }

    fn merge(&mut self, value: Value, new: Address) {
        let old = self.addresses[value];
        let merged = match (old, new) {
            (_, Address::None) => return,
            (Address::None, _) => new,
            _ if old == new => return,
            (Address::At(a, _) | Address::Within(a), Address::At(b, _) | Address::Within(b))
                if a == b =>
            {
                Address::Within(a)
            }
            _ => {
                self.escape(old);
                self.escape(new);
                Address::Mixed
            }
        };
        if merged != old {
            self.addresses[value] = merged;
            self.is_changed = true;
        }
    }

    fn read(&mut self, address: Address, offset: i32, size: u32) {
        match address {
            Address::At(slot, at) => {
                let start = at.saturating_add(i64::from(offset));
                let end = start.saturating_add(i64::from(size));
                self.parts.entry(slot).or_default().push((start, end));
            }
            _ => self.escape(address),
        }
    }

    fn escape(&mut self, address: Address) {
        if let Address::At(slot, _) | Address::Within(slot) = address {
            self.whole.insert(slot);
        }
    }
}

fn constant(func: &Function, value: Value) -> Option<i64> {
    let ValueDef::Result(inst, _) = func.dfg.value_def(func.dfg.resolve_aliases(value)) else {
        return None;
    };
    match func.dfg.insts[inst] {
        InstructionData::UnaryImm { imm, .. } => Some(imm.bits()),
        _ => None,
    }
}
