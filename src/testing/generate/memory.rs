//! Stack slots and what is done with them.
//!
//! Every slot is filled when the function is entered, so no load sees what was there before. No
//! address is a value like others: it is used to load and to store, or passed to a function that
//! does so.

use super::body::Body;
use super::features::Feature;
use super::plan::POINTED_TO;
use super::types::NARROW;
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, AtomicRmwOp, InstBuilder, MemFlagsData, Opcode, StackSlot,
    StackSlotData, StackSlotKey, StackSlotKind, Type, Value, types,
};

/// A stack slot of the function.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) slot: StackSlot,
    pub(super) size: u32,
    align_shift: u8,
    region: Option<AliasRegion>,
}

/// Where a value of some type can be.
struct Place {
    address: Value,
    offset: i32,
    flags: MemFlagsData,
    is_aligned: bool,
}

impl Body<'_, '_, '_> {
    /// Makes the function's stack slots and fills them.
    pub(super) fn make_slots(&mut self) {
        if !self.plan.features.has(Feature::Memory) {
            return;
        }
        for number in 0..self.choices.below(4) {
            let sizes = [8, 16, 4, 32, 24, 12];
            let size = self.choices.one_of(&sizes).unwrap_or(8);
            let align_shift = self.choices.below(5) as u8;
            let own_region = self.choices.chance(64);
            self.make_slot(number, size, align_shift, own_region);
        }
        self.make_buffer();
        if self.passes_pointers() && self.pointer.is_none() {
            let number = self.slots.len();
            self.make_slot(number, POINTED_TO, 3, false);
        }
    }

    fn passes_pointers(&self) -> bool {
        let functions = &self.plan.functions;
        let function = functions.get(self.index);
        let callees = function.into_iter().flat_map(|function| &function.callees);
        let mut callees = callees.filter_map(|&callee| functions.get(callee));
        callees.any(|callee| callee.has_pointer)
    }

    /// A large slot of which one word is used, now and then. No tag names it, since a debugger would
    /// see what was on the stack before.
    fn make_buffer(&mut self) {
        if !self.plan.features.has(Feature::LargeFrames) || !self.choices.chance(48) {
            return;
        }
        let sizes = [500, 1000, 5000, 20_000, 40_000];
        let size = self.choices.one_of(&sizes).unwrap_or(500);
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3);
        let slot = self.func.create_sized_stack_slot(data);
        let value = self.value(types::I64);
        let last = size as i32 / 8 * 8 - 8;
        let address = self.at().ins().stack_addr(types::I64, slot, last);
        let flags = MemFlagsData::trusted();
        self.at().ins().store(flags, value, address, 0);
        let loaded = self.at().ins().load(types::I64, flags, address, 0);
        self.define([loaded]);
    }

    fn make_slot(&mut self, number: usize, size: u32, align_shift: u8, own_region: bool) {
        let kind = StackSlotKind::ExplicitSlot;
        let mut data = StackSlotData::new(kind, size, align_shift);
        if self.plan.features.has(Feature::Tags) && self.choices.chance(192) {
            let key = 1000 * (1 + self.index) + number;
            data.key = Some(StackSlotKey::new(key as u64));
        }
        let slot = self.func.create_sized_stack_slot(data);
        // Only what has no region may be accessed by a callee, which knows of none.
        let region = own_region.then(|| {
            self.func.dfg.alias_regions.insert(AliasRegionData {
                user_id: (100 * (1 + self.index) + number) as u32,
                description: format!("slot {number} of function {}", self.index).into(),
            })
        });
        let address = self.at().ins().stack_addr(types::I64, slot, 0);
        let mut offset = 0;
        while offset < size {
            let ty = if size - offset >= 8 {
                types::I64
            } else {
                types::I32
            };
            let value = self.value(ty);
            let flags = MemFlagsData::new().with_notrap();
            let flags = flags.with_alias_region(region);
            let at = offset as i32;
            self.at().ins().store(flags, value, address, at);
            offset += ty.bytes();
        }
        self.slots.push(Slot {
            slot,
            size,
            align_shift,
            region,
        });
    }

    /// An address for a call to pass on; `None` if the function has no memory.
    pub(super) fn pointer_argument(&mut self) -> Option<Value> {
        let slots = self.slots.iter().copied();
        // What a callee does there has no region, but is aligned to 8 bytes.
        let fitting = slots.filter(|slot| {
            slot.size >= POINTED_TO && slot.region.is_none() && slot.align_shift >= 3
        });
        let fitting: Vec<Slot> = fitting.collect();
        let chosen = self
            .choices
            .below(fitting.len() + usize::from(self.pointer.is_some()));
        match fitting.get(chosen) {
            Some(slot) => {
                let slot = slot.slot;
                Some(self.at().ins().stack_addr(types::I64, slot, 0))
            }
            None => self.pointer,
        }
    }

    /// A load, a store, or both at once.
    pub(super) fn memory_instruction(&mut self) {
        let atomics = self.plan.features.has(Feature::Atomics);
        match self.choices.below(8) {
            0..=2 => self.load(),
            3 | 4 => self.store(),
            5 => self.load_extended(),
            6 if atomics => self.atomic(),
            _ => self.store_truncated(),
        }
    }

    fn load(&mut self) {
        let ty = self.plan.types.any(self.choices);
        let Some(mut place) = self.place(ty) else {
            return;
        };
        if self.choices.chance(64) {
            place.flags = place.flags.with_can_move();
        }
        let Place {
            address,
            offset,
            flags,
            ..
        } = place;
        let value = self.at().ins().load(ty, flags, address, offset);
        self.define([value]);
    }

    fn store(&mut self) {
        let ty = self.some_type();
        let value = self.value(ty);
        if let Some(place) = self.place_to_store(ty) {
            let Place {
                address,
                offset,
                flags,
                ..
            } = place;
            self.at().ins().store(flags, value, address, offset);
        }
    }

    fn load_extended(&mut self) {
        let all = [
            (Opcode::Uload8, types::I8),
            (Opcode::Sload8, types::I8),
            (Opcode::Uload16, types::I16),
            (Opcode::Sload16, types::I16),
            (Opcode::Uload32, types::I32),
            (Opcode::Sload32, types::I32),
        ];
        let Some((opcode, narrow)) = self.choices.one_of(&all) else {
            return;
        };
        let wide = [types::I64, types::I32, types::I16];
        let wide = wide.into_iter().filter(|ty| ty.bits() > narrow.bits());
        let wide: Vec<Type> = wide.collect();
        let wide = self.choices.one_of(&wide).unwrap_or(types::I64);
        if let Some(place) = self.place(narrow)
            && let Ok(flags) = self.func.dfg.mem_flags.insert(place.flags)
        {
            let Place {
                address, offset, ..
            } = place;
            let inst = self
                .at()
                .ins()
                .Load(opcode, wide, flags, offset.into(), address)
                .0;
            self.define_results(inst);
        }
    }

    fn store_truncated(&mut self) {
        let all = [
            (Opcode::Istore8, types::I8),
            (Opcode::Istore16, types::I16),
            (Opcode::Istore32, types::I32),
        ];
        let Some((opcode, narrow)) = self.choices.one_of(&all) else {
            return;
        };
        let value = self.value(types::I64);
        if let Some(place) = self.place_to_store(narrow)
            && let Ok(flags) = self.func.dfg.mem_flags.insert(place.flags)
        {
            let Place {
                address, offset, ..
            } = place;
            let mut cursor = self.at();
            let builder = cursor.ins();
            builder.Store(opcode, types::I64, flags, offset.into(), value, address);
        }
    }

    /// An atomic instruction. Nobody else sees the memory, so it does what its parts would.
    fn atomic(&mut self) {
        let ty = self.choices.one_of(NARROW).unwrap_or(types::I32);
        let value = self.value(ty);
        let Some(place) = self.place(ty).filter(|place| place.is_aligned) else {
            self.at().ins().fence();
            return;
        };
        // These instructions have no offset.
        let offset = self.at().ins().iconst(types::I64, i64::from(place.offset));
        let address = self.at().ins().iadd(place.address, offset);
        let load_flags = place.flags;
        let flags = self.flags_to_store(load_flags);
        match self.choices.below(4) {
            0 => {
                let operation = self.choices.one_of(AtomicRmwOp::all());
                let operation = operation.unwrap_or(AtomicRmwOp::Add);
                let mut cursor = self.at();
                let old = cursor
                    .ins()
                    .atomic_rmw(ty, flags, operation, address, value);
                self.define([old]);
            }
            1 => {
                let expected = self.value(ty);
                let mut cursor = self.at();
                let old = cursor.ins().atomic_cas(flags, address, expected, value);
                self.define([old]);
            }
            2 => {
                let value = self.at().ins().atomic_load(ty, load_flags, address);
                self.define([value]);
            }
            _ => {
                self.at().ins().atomic_store(flags, value, address);
            }
        }
    }

    /// As [`Body::place`], to be changed.
    fn place_to_store(&mut self, ty: Type) -> Option<Place> {
        let place = self.place(ty)?;
        Some(Place {
            flags: self.flags_to_store(place.flags),
            ..place
        })
    }

    fn flags_to_store(&self, flags: MemFlagsData) -> MemFlagsData {
        match self.plan.features.has(Feature::TrappingStores) {
            true => flags,
            false => flags.with_notrap(),
        }
    }

    /// A place for a value of type `ty`; `None` if no memory is large enough.
    fn place(&mut self, ty: Type) -> Option<Place> {
        let bytes = ty.bytes();
        let fitting = self.slots.iter().filter(|slot| slot.size >= bytes);
        let fitting: Vec<Slot> = fitting.copied().collect();
        let has_pointer = self.pointer.is_some() && bytes <= POINTED_TO;
        let chosen = self.choices.below(fitting.len() + usize::from(has_pointer));
        let slot = fitting.get(chosen).copied();
        let size = slot.map_or(POINTED_TO, |slot| slot.size);
        let alignment = slot.map_or(8, |slot| 1 << slot.align_shift);
        let offset = if self.choices.chance(48) {
            self.choices.below((size - bytes) as usize + 1) as u32
        } else {
            bytes * self.choices.below((size / bytes) as usize) as u32
        };
        let is_aligned = alignment >= bytes && offset.is_multiple_of(bytes);
        let mut flags = MemFlagsData::new();
        if !self.choices.chance(64) {
            flags = flags.with_notrap();
        }
        if is_aligned && self.choices.chance(128) {
            flags = flags.with_aligned();
        }
        if let Some(region) = slot.and_then(|slot| slot.region)
            && self.choices.chance(192)
        {
            flags = flags.with_alias_region(Some(region));
        }
        let (address, offset) = match slot {
            Some(slot) if self.choices.chance(128) => {
                let address = self
                    .at()
                    .ins()
                    .stack_addr(types::I64, slot.slot, offset as i32);
                (address, 0)
            }
            Some(slot) => {
                let address = self.at().ins().stack_addr(types::I64, slot.slot, 0);
                (address, offset as i32)
            }
            None if has_pointer => (self.pointer?, offset as i32),
            None => return None,
        };
        Some(Place {
            address,
            offset,
            flags,
            is_aligned,
        })
    }
}
