//! Records, options, iterators and environments in separate stack slots, like front ends make them.
//!
//! Each is made at its place of use, which may be in a loop, and is completely written before it is
//! read, so that no program depends on fresh memory.

use super::body::{Body, Target};
use super::features::Feature;
use super::memory::Slot;
use super::types::NARROW;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, Endianness, InstBuilder, MemFlagsData, StackSlot, StackSlotData,
    StackSlotKind, Type, Value, types,
};

/// The sizes of records.
const SIZES: &[u32] = &[16, 8, 12, 24, 32, 40, 5];

/// The most items of an iterator.
const MAX_ITEMS: usize = 3;

/// Flags without a byte order.
pub(super) const PLAIN: MemFlagsData = MemFlagsData::new().with_notrap();

impl Body<'_, '_, '_> {
    /// Makes a statement with an aggregate.
    pub(super) fn aggregate(&mut self) {
        match self.choices.below(8) {
            0 | 1 => self.record(),
            2 => self.copied_record(),
            3 => self.option(),
            4 => self.iterator(),
            5 => self.environment(),
            6 => self.passed_address(),
            _ => self.indexed(),
        }
    }

    /// Makes a new slot, completely written.
    fn filled_slot(&mut self, size: u32) -> StackSlot {
        let align_shift = self.choices.below(5) as u8;
        let kind = StackSlotKind::ExplicitSlot;
        let slot = self
            .func
            .create_sized_stack_slot(StackSlotData::new(kind, size, align_shift));
        let mut offset = 0;
        while offset < size {
            let fields = [types::I64, types::I32, types::I8, types::I16];
            let left = size - offset;
            let ty = self.choices.one_of(&fields).unwrap_or(types::I8);
            let ty = if ty.bytes() <= left { ty } else { types::I8 };
            let value = self.value(ty);
            self.write(slot, offset, value);
            offset += ty.bytes();
        }
        slot
    }

    /// Makes the address of a place in a slot, in one of several ways.
    fn address_in(&mut self, slot: StackSlot, offset: u32) -> (Value, i32) {
        let offset = offset as i32;
        let way = self.choices.below(6);
        let mut cursor = self.at();
        let ins = cursor.ins();
        if way == 1 {
            return (ins.stack_addr(types::I64, slot, offset), 0);
        }
        let base = ins.stack_addr(types::I64, slot, 0);
        match way {
            2 => {
                let bytes = self.at().ins().iconst(types::I64, i64::from(offset));
                (self.at().ins().iadd(base, bytes), 0)
            }
            3 => {
                let bytes = self.at().ins().iconst(types::I64, i64::from(8 - offset));
                let behind = self.at().ins().isub(base, bytes);
                (behind, 8)
            }
            4 => {
                let condition = self.condition();
                let again = self.at().ins().stack_addr(types::I64, slot, 0);
                let chosen = self.at().ins().select(condition, base, again);
                (chosen, offset)
            }
            _ => (base, offset),
        }
    }

    fn flags(&mut self) -> MemFlagsData {
        let flags = MemFlagsData::new().with_notrap();
        let little = cfg!(target_endian = "little") && self.choices.chance(8);
        match little {
            true => flags.with_endianness(Endianness::Little),
            false => self.in_some_order(flags),
        }
    }

    pub(super) fn write(&mut self, slot: StackSlot, offset: u32, value: Value) {
        let (address, offset) = self.address_in(slot, offset);
        let flags = self.flags();
        self.at().ins().store(flags, value, address, offset);
    }

    pub(super) fn read(&mut self, slot: StackSlot, offset: u32, ty: Type) -> Value {
        let (address, offset) = self.address_in(slot, offset);
        let flags = self.flags();
        self.at().ins().load(ty, flags, address, offset)
    }

    /// Like [`Body::write`], for values that [`Body::read_plainly`] reads.
    pub(super) fn write_plainly(&mut self, slot: StackSlot, offset: u32, value: Value) {
        let (address, offset) = self.address_in(slot, offset);
        self.at().ins().store(PLAIN, value, address, offset);
    }

    /// Like [`Body::read`], for addresses and the counters of loops: no access to them has a byte
    /// order of its own, so a read returns the written value.
    pub(super) fn read_plainly(&mut self, slot: StackSlot, offset: u32, ty: Type) -> Value {
        let (address, offset) = self.address_in(slot, offset);
        self.at().ins().load(ty, PLAIN, address, offset)
    }

    /// Chooses a type and a place for it in `size` bytes: mostly a field, and sometimes across
    /// fields.
    fn field(&mut self, size: u32) -> (Type, u32) {
        let any = self.plan.types.any(self.choices);
        let ty = match any.bytes() <= size {
            true => any,
            false => self.choices.one_of(NARROW).unwrap_or(types::I8),
        };
        let ty = if ty.bytes() <= size { ty } else { types::I8 };
        let places = size / ty.bytes();
        let offset = match self.choices.chance(40) {
            true => self.choices.below((size - ty.bytes()) as usize + 1) as u32,
            false => self.choices.below(places as usize) as u32 * ty.bytes(),
        };
        (ty, offset)
    }

    /// Makes reads and writes of a slot, and later uses of the read values.
    fn use_fields(&mut self, slot: StackSlot, size: u32) {
        for _ in 0..1 + self.choices.below(4) {
            let (ty, offset) = self.field(size);
            match self.choices.below(5) {
                0 | 1 => {
                    let value = self.value(ty);
                    self.write(slot, offset, value);
                }
                2 => self.use_narrow(slot, size),
                _ => {
                    let value = self.read(slot, offset, ty);
                    self.define([value]);
                }
            }
        }
    }

    /// Makes an access that extends or truncates.
    fn use_narrow(&mut self, slot: StackSlot, size: u32) {
        let offset = self.choices.below(size as usize - 3) as u32;
        let (address, at) = self.address_in(slot, offset);
        let flags = self.flags();
        let way = self.choices.below(6);
        let value = self.value(types::I64);
        let mut cursor = self.at();
        let ins = cursor.ins();
        let value = match way {
            0 => ins.uload8(types::I32, flags, address, at),
            1 => ins.sload8(types::I64, flags, address, at),
            2 => ins.uload16(types::I64, flags, address, at),
            3 => ins.sload32(flags, address, at),
            4 => {
                ins.istore8(flags, value, address, at);
                return;
            }
            _ => {
                ins.istore16(flags, value, address, at);
                return;
            }
        };
        self.define([value]);
    }

    fn size(&mut self) -> u32 {
        self.choices.one_of(SIZES).unwrap_or(16)
    }

    fn record(&mut self) {
        let size = self.size();
        let slot = self.filled_slot(size);
        self.use_fields(slot, size);
        self.escape(slot, size);
        self.use_fields(slot, size);
    }

    /// Lets the address escape in some programs.
    fn escape(&mut self, slot: StackSlot, size: u32) {
        if size < 16 || !self.choices.chance(24) {
            return;
        }
        let functions = &self.plan.functions;
        let function = functions.get(self.index);
        let callees = function.into_iter().flat_map(|function| &function.callees);
        let takes = |callee: &&usize| functions.get(**callee).is_some_and(|f| f.has_pointer);
        let takes: Vec<usize> = callees.filter(takes).copied().collect();
        let Some(callee) = self.choices.one_of(&takes) else {
            return;
        };
        if self.is_recursion(Target::Function(callee)) || !self.plan.has_room(callee, self.runs()) {
            return;
        }
        let aligned = self.func.sized_stack_slots[slot].align_shift >= 3;
        if aligned {
            let others = std::mem::replace(&mut self.slots, vec![Slot::local(slot, size)]);
            self.call_target(Target::Function(callee));
            self.slots = others;
        }
    }

    /// Makes a record that is copied completely, by words or by a function.
    fn copied_record(&mut self) {
        let size = self.size();
        let from = self.filled_slot(size);
        let to = self.filled_slot(size);
        self.use_fields(from, size);
        let bytes = size - self.choices.below(4) as u32;
        match self.choices.below(3) {
            0 => {
                let word = [types::I64, types::I32][self.choices.below(2)];
                let mut at = 0;
                while at < bytes {
                    let ty = match bytes - at >= word.bytes() {
                        true => word,
                        false => types::I8,
                    };
                    let value = self.read(from, at, ty);
                    self.write(to, at, value);
                    at += ty.bytes();
                }
            }
            1 => {
                let words = [types::I64; 2].map(|ty| (ty, self.choices.below(size as usize)));
                for (ty, at) in words {
                    let at = at as u32;
                    if at + ty.bytes() <= size {
                        let value = self.read(from, at, ty);
                        self.write(to, size - ty.bytes() - at, value);
                    }
                }
            }
            _ => self.copy_bytes(from, to, bytes),
        }
        self.use_fields(to, size);
        self.use_fields(from, size);
    }

    /// Makes a call of the program's function that copies bytes.
    fn copy_bytes(&mut self, from: StackSlot, to: StackSlot, bytes: u32) {
        let Some(copy) = self.copy_function() else {
            return;
        };
        let from = self.at().ins().stack_addr(types::I64, from, 0);
        let to = self.at().ins().stack_addr(types::I64, to, 0);
        let bytes = self.at().ins().iconst(types::I64, i64::from(bytes));
        let copied = self.at().ins().call(copy, &[to, from, bytes]);
        // It returns the same address.
        let address = self.func.dfg.first_result(copied);
        let flags = self.flags();
        let value = self.at().ins().load(types::I32, flags, address, 0);
        self.define([value]);
    }

    /// Makes an option: a tag, and a payload that is read if the tag is set.
    fn option(&mut self) {
        let slot = self.filled_slot(16);
        let condition = self.condition();
        self.branched(condition, |body, taken| {
            let tag = body.at().ins().iconst(types::I8, i64::from(taken));
            body.write(slot, 0, tag);
            if taken {
                let value = body.value(types::I64);
                body.write(slot, 8, value);
            }
        });
        let tag = self.read(slot, 0, types::I8);
        let one = self.at().ins().iconst(types::I8, 1);
        let some = self.at().ins().icmp(IntCC::Equal, tag, one);
        let join = self.branched_to(some, &[types::I64], |body, taken| match taken {
            true => vec![body.read(slot, 8, types::I64)],
            false => vec![body.value(types::I64)],
        });
        self.define_params(join);
    }

    /// Makes an iterator: a position and an end, and a loop that advances the position.
    fn iterator(&mut self) {
        let items = 1 + self.choices.below(MAX_ITEMS) as u64;
        if !self.may_repeat(items + 1) {
            return self.record();
        }
        let iterator = self.filled_slot(8);
        let sum = self.filled_slot(8);
        let start = self.at().ins().iconst(types::I32, 0);
        let end = self.at().ins().iconst(types::I32, items as i64);
        self.write_plainly(iterator, 0, start);
        self.write_plainly(iterator, 4, end);
        let [header, body, exit] = [(); 3].map(|()| self.block_with(&[]));
        self.at().ins().jump(header, &[]);
        self.rounds *= items + 1;
        self.start(header);
        let outside = self.values.len();
        let at = self.read_plainly(iterator, 0, types::I32);
        let end = self.read_plainly(iterator, 4, types::I32);
        let goes_on = self.at().ins().icmp(IntCC::UnsignedLessThan, at, end);
        self.at().ins().brif(goes_on, body, &[], exit, &[]);
        self.start(body);
        let one = self.at().ins().iconst(types::I32, 1);
        let next = self.at().ins().iadd(at, one);
        self.write_plainly(iterator, 0, next);
        let before = self.read(sum, 0, types::I64);
        let wide = self.at().ins().uextend(types::I64, at);
        let after = self.at().ins().iadd(before, wide);
        self.write(sum, 0, after);
        if self.choices.chance(128) {
            self.use_fields(sum, 8);
        }
        self.at().ins().jump(header, &[]);
        self.values.truncate(outside);
        self.rounds /= items + 1;
        self.start(exit);
        let value = self.read(sum, 0, types::I64);
        self.define([value]);
        self.use_fields(iterator, 8);
    }

    /// Makes a slot that holds the address of another one.
    fn environment(&mut self) {
        let size = self.size();
        let inner = self.filled_slot(size);
        let outer = self.filled_slot(16);
        let offset = self.choices.below(2) as u32 * 8;
        let address = self.at().ins().stack_addr(types::I64, inner, 0);
        self.write_plainly(outer, offset, address);
        self.use_fields(inner, size);
        for _ in 0..1 + self.choices.below(3) {
            let address = self.read_plainly(outer, offset, types::I64);
            let (ty, at) = self.field(size);
            let flags = self.flags();
            if self.choices.chance(128) {
                let value = self.value(ty);
                self.at().ins().store(flags, value, address, at as i32);
            } else {
                let value = self.at().ins().load(ty, flags, address, at as i32);
                self.define([value]);
            }
        }
        // The slot with the address must not be visible.
        let zero = self.at().ins().iconst(types::I64, 0);
        self.write(outer, offset, zero);
        self.use_fields(outer, 16);
        self.use_fields(inner, size);
    }

    /// Makes an address as a block parameter, of one slot or of one of two.
    fn passed_address(&mut self) {
        let one = self.filled_slot(16);
        let other = match self.choices.chance(64) {
            true => self.filled_slot(16),
            false => one,
        };
        let condition = self.condition();
        let join = self.branched_to(condition, &[types::I64], |body, taken| {
            let slot = if taken { one } else { other };
            let offset = if body.choices.chance(32) { 4 } else { 0 };
            let value = body.value(types::I32);
            body.write(slot, 4, value);
            vec![body.at().ins().stack_addr(types::I64, slot, offset)]
        });
        let address = self.func.dfg.block_params(join).first().copied();
        let Some(address) = address else { return };
        let flags = self.flags();
        let value = self.value(types::I32);
        self.at().ins().store(flags, value, address, 4);
        let value = self.at().ins().load(types::I64, flags, address, 0);
        self.define([value]);
        self.use_fields(one, 16);
        self.use_fields(other, 16);
    }

    /// Makes an array with an access at a variable index.
    fn indexed(&mut self) {
        let slot = self.filled_slot(32);
        self.use_fields(slot, 32);
        let index = self.value(types::I64);
        let mask = self.at().ins().iconst(types::I64, 24);
        let index = self.at().ins().band(index, mask);
        let base = self.at().ins().stack_addr(types::I64, slot, 0);
        let address = self.at().ins().iadd(base, index);
        let flags = self.flags();
        if self.choices.chance(128) {
            let value = self.value(types::I64);
            self.at().ins().store(flags, value, address, 0);
        } else {
            let value = self.at().ins().load(types::I64, flags, address, 0);
            self.define([value]);
        }
        self.use_fields(slot, 32);
    }

    /// Makes two branches that join in one block.
    pub(super) fn branched(&mut self, condition: Value, mut arm: impl FnMut(&mut Self, bool)) {
        self.branched_to(condition, &[], |body, taken| {
            arm(body, taken);
            Vec::new()
        });
    }

    /// Like [`Body::branched`], but the joining block has parameters with the results of the arms.
    pub(super) fn branched_to(
        &mut self,
        condition: Value,
        types: &[Type],
        mut arm: impl FnMut(&mut Self, bool) -> Vec<Value>,
    ) -> Block {
        let [then_block, else_block] = [(); 2].map(|()| self.block_with(&[]));
        let join = self.block_with(types);
        let mut cursor = self.at();
        cursor
            .ins()
            .brif(condition, then_block, &[], else_block, &[]);
        for (block, taken) in [(then_block, true), (else_block, false)] {
            let outside = self.values.len();
            self.start(block);
            let args = arm(self, taken).into_iter();
            let args: Vec<BlockArg> = args.map(BlockArg::from).collect();
            self.at().ins().jump(join, &args);
            self.values.truncate(outside);
        }
        self.start(join);
        join
    }

    /// Returns whether statements with aggregates are made.
    pub(super) fn has_aggregates(&self) -> bool {
        let features = self.plan.features;
        features.has(Feature::Memory) && features.has(Feature::Aggregates)
    }
}
