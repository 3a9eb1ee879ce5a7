//! Stack slots and their accesses.
//!
//! Every slot is filled at the function's entry, so loads do not see fresh memory. Addresses are
//! not ordinary values: they are only used for loads and stores, or passed to a function that does
//! so.

use super::body::{Body, Target};
use super::features::Feature;
use super::plan::POINTED_TO;
use super::types::NARROW;
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, ArgumentPurpose, AtomicRmwOp, Endianness, InstBuilder,
    MemFlagsData, Opcode, StackSlot, StackSlotData, StackSlotKey, StackSlotKind, Type, Value,
    types,
};

/// A stack slot of the function.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) slot: StackSlot,
    pub(super) size: u32,
    align_shift: u8,
    region: Option<AliasRegion>,
}

impl Slot {
    /// Returns a slot without a region, known only to its maker, aligned to 8 bytes.
    pub(super) fn local(slot: StackSlot, size: u32) -> Self {
        Slot {
            slot,
            size,
            align_shift: 3,
            region: None,
        }
    }
}

/// A place for a value of some type.
struct Place {
    address: Value,
    offset: i32,
    flags: MemFlagsData,
    is_aligned: bool,
    /// Whether the place is never written while the function executes.
    reads_only: bool,
}

/// A slot with the address of other memory.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    slot: StackSlot,
    /// The alias region of the other memory.
    region: Option<AliasRegion>,
    reads_only: bool,
}

impl Body<'_, '_, '_> {
    /// Makes the function's stack slots and fills them.
    pub(super) fn make_slots(&mut self) {
        if !self.plan.features.has(Feature::Memory) {
            return;
        }
        let promises = self.plan.features.has(Feature::Promises);
        let numbered_first = promises && self.choices.chance(128);
        if numbered_first {
            self.number_pointer_region();
        }
        for number in 0..self.choices.below(4) {
            let sizes = [8, 16, 4, 32, 24, 12];
            let size = self.choices.one_of(&sizes).unwrap_or(8);
            let align_shift = self.choices.below(5) as u8;
            let own_region = self.choices.chance(64);
            self.make_slot(number, size, align_shift, own_region);
        }
        self.make_buffer();
        let pointer_fits = self.pointer.is_some() && !self.reads_only;
        if self.passes_pointers() && !pointer_fits {
            let number = self.slots.len();
            let own_region = promises && self.choices.chance(128);
            self.make_slot(number, POINTED_TO, 3, own_region);
        }
        // A structure passed by value belongs to the function.
        if promises && !numbered_first || !promises && self.by_value() {
            self.number_pointer_region();
        }
        if promises && self.choices.chance(128) {
            self.make_cell();
        }
    }

    /// Chooses a region for the pointer's memory, which is not one of the function's slots.
    fn number_pointer_region(&mut self) {
        if self.pointer.is_some() && self.choices.chance(192) {
            let description = format!("the pointer of function {}", self.index);
            self.pointer_region = Some(self.new_region(description));
        }
    }

    /// Makes a region with a number that is only unique in the function, if promises hold per
    /// function.
    fn new_region(&mut self, description: String) -> AliasRegion {
        let promises = self.plan.features.has(Feature::Promises);
        let first = if promises { 0 } else { 100 * (1 + self.index) };
        let regions = &mut self.func.dfg.alias_regions;
        let user_id = (first + regions.len()) as u32;
        regions.insert(AliasRegionData {
            user_id,
            description: description.into(),
        })
    }

    /// Puts an address into a separate slot.
    fn make_cell(&mut self) {
        let slot = self.slots.iter().find(|slot| slot.size >= 8).copied();
        let target = match (self.pointer, slot) {
            (Some(pointer), None) => (pointer, self.pointer_region, self.reads_only),
            (Some(pointer), _) if self.choices.chance(192) => {
                (pointer, self.pointer_region, self.reads_only)
            }
            (_, Some(Slot { slot, region, .. })) => {
                let address = self.at().ins().stack_addr(types::I64, slot, 0);
                (address, region, false)
            }
            (None, None) => return,
        };
        let (address, region, reads_only) = target;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 8, 3);
        let slot = self.func.create_sized_stack_slot(data);
        let place = self.at().ins().stack_addr(types::I64, slot, 0);
        let flags = MemFlagsData::trusted();
        self.at().ins().store(flags, address, place, 0);
        self.cell = Some(Cell {
            slot,
            region,
            reads_only,
        });
    }

    /// Loads from the address in the cell. It is always valid, so the load can move.
    fn load_through_cell(&mut self, cell: Cell) {
        let place = self.at().ins().stack_addr(types::I64, cell.slot, 0);
        let flags = MemFlagsData::trusted();
        let address = self.at().ins().load(types::I64, flags, place, 0);
        let mut flags = flags.with_can_move().with_alias_region(cell.region);
        if cell.reads_only {
            flags = flags.with_readonly();
        }
        let ty = [types::I64, types::I32, types::I8];
        let ty = self.choices.one_of(&ty).unwrap_or(types::I64);
        let value = self.at().ins().load(ty, flags, address, 0);
        self.define([value]);
    }

    /// Writes memory before and after a call that gets its address.
    pub(super) fn call_between_stores(&mut self) {
        let callees = self.plan.functions.get(self.index);
        let callees = callees.into_iter().flat_map(|function| &function.callees);
        let takes_pointer = |&&callee: &&usize| {
            let callee = self.plan.functions.get(callee);
            callee.is_some_and(|callee| callee.has_pointer)
        };
        let callees: Vec<Target> = callees
            .filter(takes_pointer)
            .map(|&callee| Target::Function(callee))
            .collect();
        let Some(target) = self.choices.one_of(&callees) else {
            return self.store();
        };
        let by_value = self.takes_by_value(target);
        let slots = self.slots.iter().copied();
        let slots: Vec<Slot> = slots
            .filter(|slot| self.may_point_to(slot, by_value))
            .collect();
        let Some(slot) = self.choices.one_of(&slots) else {
            return self.store();
        };
        let known = self.values.len();
        for _ in 0..1 + self.choices.below(3) {
            let value = self.value(types::I64);
            let address = self.at().ins().stack_addr(types::I64, slot.slot, 0);
            let flags = MemFlagsData::trusted().with_alias_region(slot.region);
            let offset = 8 * self.choices.below(2) as i32;
            self.at().ins().store(flags, value, address, offset);
            self.preferred = Some(slot);
            self.call_if_possible(target);
            self.preferred = None;
            if self.choices.chance(160) {
                let value = self.at().ins().load(types::I64, flags, address, offset);
                self.define([value]);
            }
        }
        let new = self.values.get(known..).unwrap_or_default().iter().copied();
        let dfg = &self.func.dfg;
        let new = new.filter(|&value| dfg.value_type(value) == types::I64);
        let new: Vec<Value> = new.collect();
        self.observe(new);
    }

    /// Makes a callee read the pointer's memory before the function's own reads, which promise that
    /// it is there.
    pub(super) fn call_before_reading(&mut self) {
        let promises = self.plan.features.has(Feature::Promises);
        if !promises || !self.reads_only || self.pointer.is_none() || !self.choices.chance(96) {
            return;
        }
        let functions = &self.plan.functions;
        let callees = functions.get(self.index);
        let callees = callees.into_iter().flat_map(|function| &function.callees);
        let reads = |&&callee: &&usize| {
            let callee = functions.get(callee);
            callee.is_some_and(|callee| callee.has_pointer && callee.reads_only)
        };
        let callees: Vec<Target> = callees
            .filter(reads)
            .map(|&callee| Target::Function(callee))
            .collect();
        if let Some(target) = self.choices.one_of(&callees) {
            self.call_if_possible(target);
        }
    }

    /// Reads the pointer's memory, for the function's results.
    pub(super) fn read_pointer(&mut self) {
        let Some(pointer) = self.pointer.filter(|_| self.plan.passes_memory()) else {
            return;
        };
        if self.choices.chance(192) {
            let mut flags = MemFlagsData::trusted().with_alias_region(self.pointer_region);
            if self.reads_only && self.choices.chance(192) {
                flags = flags.with_readonly().with_can_move();
            }
            let offset = 8 * self.choices.below(2) as i32;
            let value = self.at().ins().load(types::I64, flags, pointer, offset);
            self.define([value]);
            self.read = Some(value);
        }
    }

    /// Returns whether the function has its own structure.
    fn by_value(&self) -> bool {
        let last = self.func.signature.params.last();
        last.is_some_and(|param| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
    }

    /// Returns whether a slot can be passed to a callee. The callee does not know its regions, but
    /// reads its own copy if it takes a structure `by_value`.
    fn may_point_to(&self, slot: &Slot, by_value: bool) -> bool {
        let no_region = slot.region.is_none() || self.plan.features.has(Feature::Promises);
        slot.size >= POINTED_TO && slot.align_shift >= 3 && (no_region || by_value)
    }

    /// Returns whether the callee `target` takes a structure by value.
    fn takes_by_value(&self, target: Target) -> bool {
        let signature = self.signature_of(target);
        let last = signature
            .as_ref()
            .and_then(|signature| signature.params.last());
        last.is_some_and(|param| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
    }

    fn passes_pointers(&self) -> bool {
        let functions = &self.plan.functions;
        let function = functions.get(self.index);
        let callees = function.into_iter().flat_map(|function| &function.callees);
        let mut callees = callees.filter_map(|&callee| functions.get(callee));
        callees.any(|callee| callee.has_pointer)
    }

    /// Makes a large slot with a single used word, in some programs. No tag names it, since a
    /// debugger would see fresh memory.
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
        let description = format!("slot {number} of function {}", self.index);
        let region = own_region.then(|| self.new_region(description));
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

    /// Makes an address for a call; `None` if the function has no memory. The callee writes there
    /// unless it `reads_only`.
    pub(super) fn pointer_argument(&mut self, target: Target, reads_only: bool) -> Option<Value> {
        let by_value = self.takes_by_value(target);
        let slots = self.slots.iter().copied();
        // Accesses of a callee are aligned to 8 bytes.
        let fitting: Vec<Slot> = slots
            .filter(|slot| self.may_point_to(slot, by_value))
            .collect();
        // Memory with a region here is accessed without one in the callee, unless it is copied.
        let no_region = self.pointer_region.is_none() || self.plan.features.has(Feature::Promises);
        let pointer = self.pointer.filter(|_| reads_only || !self.reads_only);
        let pointer = pointer.filter(|_| no_region || by_value);
        let chosen = self
            .choices
            .below(fitting.len() + usize::from(pointer.is_some()));
        match self.preferred.or(fitting.get(chosen).copied()) {
            Some(slot) => {
                let slot = slot.slot;
                Some(self.at().ins().stack_addr(types::I64, slot, 0))
            }
            None => pointer,
        }
    }

    /// Makes a load, a store, or both at once.
    pub(super) fn memory_instruction(&mut self) {
        let atomics = self.plan.features.has(Feature::Atomics);
        let features = self.plan.features;
        let passes = features.has(Feature::Promises) || features.has(Feature::Structures);
        if passes && self.choices.chance(96) {
            return match self.cell {
                Some(cell) if self.choices.chance(96) => self.load_through_cell(cell),
                _ => self.call_between_stores(),
            };
        }
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
        let Some(mut place) = self.place(ty, false) else {
            return;
        };
        if place.reads_only && self.choices.chance(224) {
            place.flags = place.flags.with_notrap().with_readonly().with_can_move();
        } else if self.choices.chance(64) {
            place.flags = place.flags.with_can_move();
        }
        let Place {
            address,
            offset,
            flags,
            ..
        } = place;
        let flags = self.in_some_order(flags);
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
            let flags = self.in_some_order(flags);
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
        if let Some(place) = self.place(narrow, false)
            && let flags = self.in_some_order(place.flags)
            && let Ok(flags) = self.func.dfg.mem_flags.insert(flags)
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
            && let flags = self.in_some_order(place.flags)
            && let Ok(flags) = self.func.dfg.mem_flags.insert(flags)
        {
            let Place {
                address, offset, ..
            } = place;
            let mut cursor = self.at();
            let builder = cursor.ins();
            builder.Store(opcode, types::I64, flags, offset.into(), value, address);
        }
    }

    /// Makes an atomic instruction. The memory is private, so it behaves like its parts.
    fn atomic(&mut self) {
        let ty = self.choices.one_of(NARROW).unwrap_or(types::I32);
        let value = self.value(ty);
        let Some(place) = self.place(ty, true).filter(|place| place.is_aligned) else {
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

    /// Like [`Body::place`], for a change.
    fn place_to_store(&mut self, ty: Type) -> Option<Place> {
        let place = self.place(ty, true)?;
        Some(Place {
            flags: self.flags_to_store(place.flags),
            ..place
        })
    }

    /// Adds an explicit byte order to the flags of some accesses, if the program may have both.
    pub(super) fn in_some_order(&mut self, flags: MemFlagsData) -> MemFlagsData {
        if !self.plan.features.has(Feature::ByteOrders) {
            return flags;
        }
        match self.choices.below(4) {
            0 => flags.with_endianness(Endianness::Little),
            1 => flags.with_endianness(Endianness::Big),
            _ => flags,
        }
    }

    fn flags_to_store(&self, flags: MemFlagsData) -> MemFlagsData {
        match self.plan.features.has(Feature::TrappingStores) {
            true => flags,
            false => flags.with_notrap(),
        }
    }

    /// Returns a place for a value of type `ty`, which may be `written`; `None` if no memory is
    /// large enough.
    fn place(&mut self, ty: Type, written: bool) -> Option<Place> {
        let bytes = ty.bytes();
        let fitting = self.slots.iter().filter(|slot| slot.size >= bytes);
        let fitting: Vec<Slot> = fitting.copied().collect();
        let has_pointer =
            self.pointer.is_some() && bytes <= POINTED_TO && !(written && self.reads_only);
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
        // Memory accessed through a region is accessed only through that region.
        let region = slot.map_or(self.pointer_region, |slot| slot.region);
        flags = flags.with_alias_region(region);
        let reads_only = slot.is_none() && self.reads_only;
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
            reads_only,
        })
    }
}
