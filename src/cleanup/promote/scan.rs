//! The uses of slot addresses: accesses that can be followed, and escapes.

use super::super::constant::constant;
use super::super::flow::Flow;
use super::super::options::{MemoryFunction, MemoryFunctions};
use super::addresses::{Address, Addresses, memory_call};
use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    DebugTag, Function, Inst, InstructionData, MemFlags, Opcode, StackSlot, Type, Value, types,
};

/// Larger copies and fills are not expanded if one side stays in memory.
pub(super) const LARGEST_MEMORY_CALL: u32 = 256;

/// The state of a slot, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cleanup) enum Privacy {
    /// All accesses are at constant places within it.
    #[default]
    Fixed,
    /// It is only accessed by loads and stores of the function, at places that are not all known.
    Indexed,
    /// Other code may access it.
    Escapes,
}

/// A part of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cleanup) struct Place {
    pub(in crate::cleanup) slot: StackSlot,
    pub(in crate::cleanup) start: u32,
    pub(in crate::cleanup) size: u32,
}

impl Place {
    pub(in crate::cleanup) fn end(self) -> u32 {
        self.start.saturating_add(self.size)
    }
}

/// One side of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cleanup) enum Side {
    Slot(Place),
    Memory(Value),
}

/// The effect of an instruction on slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cleanup) enum Action {
    /// A load or store of a value that has this type in memory.
    Access {
        place: Place,
        ty: Type,
        flags: MemFlags,
        stores: bool,
    },
    Copy {
        to: Side,
        from: Side,
        size: u32,
    },
    Fill {
        place: Place,
        byte: u8,
    },
    /// A load from an unknown place in a slot.
    LoadSomewhere(StackSlot),
}

/// One instruction that accesses slots.
#[derive(Clone, Copy, Debug)]
pub(in crate::cleanup) struct Event {
    pub(in crate::cleanup) inst: Inst,
    /// The number of its block.
    pub(in crate::cleanup) block: u32,
    pub(in crate::cleanup) action: Action,
}

/// The result of an instruction that only tests an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    /// A comparison with this result.
    Compares(Inst, bool),
    /// A branch on an address, which is not null.
    Branches(Inst),
    /// A trap if an address is null.
    NeverTraps(Inst),
}

/// All uses of the slots of a function.
#[derive(Default)]
pub(in crate::cleanup) struct Uses {
    pub(in crate::cleanup) privacy: SecondaryMap<StackSlot, Privacy>,
    /// In the order of blocks and instructions.
    pub(in crate::cleanup) events: Vec<Event>,
    pub(super) tests: Vec<Test>,
    /// The instructions that compute the address of a slot.
    pub(super) address_insts: Vec<(Inst, StackSlot)>,
}

impl Uses {
    pub(super) fn clear(&mut self) {
        self.privacy.clear();
        self.events.clear();
        self.tests.clear();
        self.address_insts.clear();
    }

    /// Finds all uses in `func`; `addresses` must be those of `func`.
    pub(super) fn find(
        &mut self,
        func: &Function,
        flow: &Flow,
        addresses: &Addresses,
        functions: &MemoryFunctions,
    ) {
        self.clear();
        for (slot, data) in func.sized_stack_slots.iter() {
            if data.key.is_some() {
                self.privacy[slot] = Privacy::Escapes;
            }
        }
        let mut scan = Scan {
            uses: self,
            func,
            addresses,
            functions,
            block: 0,
        };
        for (number, &block) in (0u32..).zip(flow.blocks()) {
            scan.block = number;
            for inst in func.layout.block_insts(block) {
                scan.inst(inst);
            }
            if let Some(last) = func.layout.last_inst(block) {
                scan.passed_on(last);
            }
        }
    }

    fn worsen(&mut self, slot: StackSlot, privacy: Privacy) {
        let known = &mut self.privacy[slot];
        *known = (*known).max(privacy);
    }
}

struct Scan<'a> {
    uses: &'a mut Uses,
    func: &'a Function,
    addresses: &'a Addresses,
    functions: &'a MemoryFunctions,
    block: u32,
}

impl Scan<'_> {
    fn of(&self, value: Value) -> Address {
        self.addresses.of(self.func, value)
    }

    fn escape_slot(&mut self, slot: StackSlot) {
        if self.func.sized_stack_slots.is_valid(slot) {
            self.uses.worsen(slot, Privacy::Escapes);
        }
    }

    fn escape(&mut self, value: Value) {
        if let Some(slot) = self.of(value).slot() {
            self.uses.worsen(slot, Privacy::Escapes);
        }
    }

    fn event(&mut self, inst: Inst, action: Action) {
        let block = self.block;
        self.uses.events.push(Event {
            inst,
            block,
            action,
        });
    }

    fn inst(&mut self, inst: Inst) {
        let func = self.func;
        let dfg = &func.dfg;
        let data = dfg.insts[inst];
        let opcode = data.opcode();
        self.outside_names(inst, opcode);
        match data {
            InstructionData::StackAddr { .. } => {}
            InstructionData::Binary {
                opcode: Opcode::Iadd | Opcode::Isub,
                args,
            } => {
                if !self.computes_address(inst, &args) {
                    return;
                }
            }
            InstructionData::Ternary {
                opcode: Opcode::Select | Opcode::SelectSpectreGuard,
                args: [condition, one, other],
            } => {
                self.escape(condition);
                if !self.computes_address(inst, &[one, other]) {
                    return;
                }
            }
            InstructionData::Load {
                arg, flags, offset, ..
            } => {
                let result = dfg.inst_results(inst).first();
                let result = result.map(|&result| dfg.value_type(result));
                let ty = result.and_then(|result| memory_type(opcode, result));
                self.access(inst, arg, offset.into(), ty, flags, false);
                return;
            }
            InstructionData::Store {
                args: [value, address],
                flags,
                offset,
                ..
            } => {
                self.escape(value);
                // An alias may not resolve either.
                let ty = resolve_alias(dfg, value)
                    .and_then(|value| memory_type(opcode, dfg.value_type(value)));
                self.access(inst, address, offset.into(), ty, flags, true);
                return;
            }
            InstructionData::IntCompare {
                cond,
                args: [one, other],
                ..
            } => {
                self.compare(inst, cond, one, other);
                return;
            }
            InstructionData::Brif { arg, .. } => {
                if self.is_within(arg) {
                    self.uses.tests.push(Test::Branches(inst));
                } else {
                    self.escape(arg);
                }
                return;
            }
            InstructionData::CondTrap {
                opcode: Opcode::Trapz,
                arg,
                ..
            } if self.is_within(arg) => {
                self.uses.tests.push(Test::NeverTraps(inst));
                return;
            }
            InstructionData::Jump { .. } => return,
            InstructionData::Call { .. } if self.memory_call(inst) => {}
            _ => {
                for &arg in dfg.inst_args(inst) {
                    self.escape(arg);
                }
                return;
            }
        }
        if let Some(&result) = dfg.inst_results(inst).first()
            && let Some(slot) = self.of(result).slot()
            && !opcode.is_call()
        {
            self.uses.address_insts.push((inst, slot));
        }
    }

    /// Returns whether `inst` computes an address from those among `args`; if not, they escape.
    fn computes_address(&mut self, inst: Inst, args: &[Value]) -> bool {
        let result = self.func.dfg.inst_results(inst).first();
        let slot = result.and_then(|&result| self.of(result).slot());
        if slot.is_none() {
            for &arg in args {
                self.escape(arg);
            }
        }
        slot.is_some()
    }

    /// Lets slots escape that tags and stack maps name.
    fn outside_names(&mut self, inst: Inst, opcode: Opcode) {
        if !opcode.is_call() && opcode != Opcode::SequencePoint {
            return;
        }
        for tag in self.func.debug_tags.get(inst) {
            if let DebugTag::StackSlot(slot) = tag {
                self.escape_slot(*slot);
            }
        }
        let entries = self.func.dfg.user_stack_map_entries(inst);
        for entry in entries.unwrap_or_default() {
            self.escape_slot(entry.slot);
        }
    }

    /// Visits the arguments of branches and the contexts of exceptions: an address may go on as a
    /// parameter that is always this address.
    fn passed_on(&mut self, last: Inst) {
        let func = self.func;
        let pool = &func.dfg.value_lists;
        for call in branches(func, last) {
            let params = func.dfg.block_params(call.block(pool));
            for (arg, &param) in call.args(pool).zip(params) {
                let Some(value) = arg.as_value() else {
                    continue;
                };
                let slot = self.of(value).slot();
                if slot.is_some() && slot != self.of(param).slot() {
                    self.escape(value);
                }
            }
        }
        if let Some(table) = func.dfg.insts[last].exception_table()
            && let Some(table) = func.dfg.exception_tables.get(table)
        {
            for item in table.items() {
                if let cranelift_codegen::ir::ExceptionTableItem::Context(value) = item {
                    self.escape(value);
                }
            }
        }
    }

    /// Returns the place of `size` bytes at `offset` from `address`, if it is known and within a
    /// slot.
    fn place(&self, address: Address, offset: i64, size: u32) -> Option<Place> {
        let Address::At(slot, start) = address else {
            return None;
        };
        let start = u32::try_from(start.checked_add(offset)?).ok()?;
        let end = start.checked_add(size)?;
        let slot_size = self.func.sized_stack_slots.get(slot)?.size;
        (end <= slot_size).then_some(Place { slot, start, size })
    }

    fn access(
        &mut self,
        inst: Inst,
        address: Value,
        offset: i64,
        ty: Option<Type>,
        flags: MemFlags,
        stores: bool,
    ) {
        let known = self.of(address);
        // The function may not have been verified, so the flags may not be there.
        let ty = ty.filter(|_| self.func.dfg.mem_flags.is_valid(flags));
        let Some(ty) = ty else {
            self.escape(address);
            return;
        };
        match known {
            Address::Other | Address::Unseen => {}
            Address::Somewhere(slot) => {
                self.uses.worsen(slot, Privacy::Indexed);
                if !stores {
                    self.event(inst, Action::LoadSomewhere(slot));
                }
            }
            Address::At(..) => match self.place(known, offset, ty.bytes()) {
                Some(place) => {
                    let action = Action::Access {
                        place,
                        ty,
                        flags,
                        stores,
                    };
                    self.event(inst, action);
                }
                None => self.escape(address),
            },
        }
    }

    /// Returns whether `value` points into a slot, or directly behind it: then it is not null.
    fn is_within(&self, value: Value) -> bool {
        self.place(self.of(value), 0, 0).is_some()
    }

    fn compare(&mut self, inst: Inst, cond: IntCC, one: Value, other: Value) {
        let (a, b) = (self.of(one), self.of(other));
        let is_null = |value| constant(&self.func.dfg, value) == Some(0);
        let (places, null) = match (a, b) {
            (Address::Other, Address::Other) => return,
            (Address::At(..), Address::Other) if is_null(other) => {
                ([self.place(a, 0, 0), None], true)
            }
            (Address::Other, Address::At(..)) if is_null(one) => {
                ([None, self.place(b, 0, 0)], true)
            }
            _ => ([self.place(a, 0, 0), self.place(b, 0, 0)], false),
        };
        let known = match places {
            // Any place within a slot is above null, so 1 stands for it.
            [Some(_), None] if null => decide(cond, 1, 0),
            [None, Some(_)] if null => decide(cond, 0, 1),
            [Some(a), Some(b)] if a.slot == b.slot => decide(cond, a.start, b.start),
            _ => None,
        };
        match known {
            Some(result) => self.uses.tests.push(Test::Compares(inst, result)),
            None => {
                self.escape(one);
                self.escape(other);
            }
        }
    }

    /// Returns whether `inst` is a call of a memory function that can be expanded, or need not be.
    fn memory_call(&mut self, inst: Inst) -> bool {
        let func = self.func;
        let Some(function) = memory_call(func, inst, self.functions) else {
            return false;
        };
        let &[to, second, bytes] = func.dfg.inst_args(inst) else {
            debug_assert!(false, "{inst} is a call with three arguments");
            return false;
        };
        let is_named = !func.debug_tags.get(inst).is_empty()
            || func.dfg.user_stack_map_entries(inst).is_some();
        let stands_for_nothing = |value| resolve_alias(&func.dfg, value).is_none();
        if stands_for_nothing(to) || stands_for_nothing(second) {
            return false;
        }
        let size = constant(&func.dfg, bytes).and_then(|bytes| u32::try_from(bytes).ok());
        let (Some(size), false) = (size, is_named) else {
            return false;
        };
        let to_place = self.place(self.of(to), 0, size);
        match function {
            MemoryFunction::Set => {
                let byte = constant(&func.dfg, second);
                let (Some(place), Some(byte)) = (to_place, byte) else {
                    return false;
                };
                let byte = byte.to_le_bytes()[0];
                self.event(inst, Action::Fill { place, byte });
            }
            MemoryFunction::Copy => {
                let from_place = self.place(self.of(second), 0, size);
                if let (None, None) = (to_place, from_place) {
                    return false;
                }
                if size > LARGEST_MEMORY_CALL && (to_place.is_none() || from_place.is_none()) {
                    return false;
                }
                // The other side is an address that the copy keeps.
                if to_place.is_none() {
                    self.escape(to);
                }
                if from_place.is_none() {
                    self.escape(second);
                }
                let side =
                    |place: Option<Place>, value| place.map_or(Side::Memory(value), Side::Slot);
                let action = Action::Copy {
                    to: side(to_place, to),
                    from: side(from_place, second),
                    size,
                };
                self.event(inst, action);
            }
        }
        true
    }
}

/// Returns the result of `cond` for two addresses in one slot; `None` if it compares them as signed
/// numbers.
fn decide(cond: IntCC, one: u32, other: u32) -> Option<bool> {
    Some(match cond {
        IntCC::Equal => one == other,
        IntCC::NotEqual => one != other,
        IntCC::UnsignedLessThan => one < other,
        IntCC::UnsignedLessThanOrEqual => one <= other,
        IntCC::UnsignedGreaterThan => one > other,
        IntCC::UnsignedGreaterThanOrEqual => one >= other,
        _ => return None,
    })
}

/// Returns the type that an access has in memory, if it is one that can be followed.
fn memory_type(opcode: Opcode, register: Type) -> Option<Type> {
    Some(match opcode {
        Opcode::Load | Opcode::Store if register.is_dynamic_vector() => return None,
        Opcode::Load | Opcode::Store => register,
        Opcode::Uload8 | Opcode::Sload8 | Opcode::Istore8 => types::I8,
        Opcode::Uload16 | Opcode::Sload16 | Opcode::Istore16 => types::I16,
        Opcode::Uload32 | Opcode::Sload32 | Opcode::Istore32 => types::I32,
        _ => return None,
    })
}

/// Returns the value for which `value` stands.
pub(super) fn resolved(func: &Function, value: Value) -> Value {
    resolve_alias(&func.dfg, value).unwrap_or(value)
}
