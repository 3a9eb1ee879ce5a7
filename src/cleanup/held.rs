//! The addresses that values and stack slots hold.
//!
//! This is conditional constant propagation (Wegman and Zadeck, TOPLAS 1991) over addresses of
//! functions and slots, and over the contents of private slots. All is optimistic: a block counts
//! once a branch leads to it, a slot is private until a visited instruction lets its address out,
//! and the content of a slot is the same on all ways until one differs. So a call that nothing
//! reaches, if the assumptions are right, does not make them wrong.

use super::constant::computed_constant;
use super::flow::Flow;
use super::targets::is_same_function;
use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, DebugTag, Endianness, ExceptionTableItem, FuncRef, Function, Inst, InstructionData,
    MemFlags, Opcode, StackSlot, Type, Value, ValueDef,
};

/// After so many sweeps over the function nothing is known. Each loop takes one or two.
const MOST_SWEEPS: usize = 16;

/// The most places whose content is followed at a time.
const MOST_CELLS: usize = 64;

/// The known content of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    /// Not visited yet.
    #[default]
    Unseen,
    /// The address of a function, by the first reference to it.
    Function(FuncRef),
    /// This many bytes from the begin of a slot.
    Slot(StackSlot, i64),
    /// Somewhere in a slot.
    Within(StackSlot),
    /// Whether a comparison holds.
    Bool(bool),
    Other,
}

impl Held {
    fn slot(self) -> Option<StackSlot> {
        match self {
            Held::Slot(slot, _) | Held::Within(slot) => Some(slot),
            _ => None,
        }
    }
}

/// A place in a slot that holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    slot: StackSlot,
    start: i64,
    ty: Type,
    /// That of the store.
    order: Option<ByteOrder>,
    held: Held,
}

/// The byte order of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteOrder {
    OfTarget,
    Explicit(Endianness),
}

impl ByteOrder {
    /// Returns that of an access with `flags`; `None` if `func` has no such flags.
    fn of(func: &Function, flags: MemFlags) -> Option<Self> {
        let all = &func.dfg.mem_flags;
        all.is_valid(flags).then(|| {
            let explicit = all[flags].explicit_endianness();
            explicit.map_or(ByteOrder::OfTarget, ByteOrder::Explicit)
        })
    }
}

impl Cell {
    fn overlaps(self, slot: StackSlot, start: i64, bytes: u32) -> bool {
        self.slot == slot
            && self.start < start.saturating_add(bytes.into())
            && start < self.start.saturating_add(self.ty.bytes().into())
    }
}

/// The findings about a function.
#[derive(Default)]
pub(super) struct Contents {
    of: SecondaryMap<Value, Held>,
    /// The contents of slots at the start of each block, by its number; `None` if nothing leads to
    /// it.
    entries: Vec<Option<Vec<Cell>>>,
    escaped: EntitySet<StackSlot>,
    /// One reference for each function.
    functions: Vec<FuncRef>,
    changed: bool,
}

impl Contents {
    /// Finds the contents; returns whether that came to an end. With `guesses`, other code is
    /// assumed to leave all slots alone, so that the result is only likely.
    pub(super) fn find(&mut self, func: &Function, flow: &Flow, guesses: bool) -> bool {
        self.of.clear();
        self.of.resize(func.dfg.num_values());
        self.entries.clear();
        self.entries.resize(flow.blocks().len(), None);
        self.escaped.clear();
        self.functions.clear();
        for (slot, data) in &func.sized_stack_slots {
            if data.key.is_some() {
                self.escaped.insert(slot);
            }
        }
        let Some(first) = self.entries.first_mut() else {
            return false;
        };
        *first = Some(Vec::new());
        for _ in 0..MOST_SWEEPS {
            self.changed = false;
            for (number, &block) in flow.blocks().iter().enumerate() {
                if let Some(cells) = self.entries[number].clone() {
                    let mut visit = Visit {
                        contents: self,
                        func,
                        guesses,
                        cells,
                    };
                    visit.block(flow, block);
                }
            }
            if !self.changed {
                return true;
            }
        }
        false
    }

    /// Returns what `value` holds, wherever it is visited.
    pub(super) fn of(&self, func: &Function, value: Value) -> Held {
        let Some(value) = resolve_alias(&func.dfg, value) else {
            return Held::Other;
        };
        match func.dfg.value_def(value) {
            ValueDef::Result(inst, 0) if is_followed(&func.dfg.insts[inst]) => self.of[value],
            ValueDef::Param(block, _) if Some(block) != func.layout.entry_block() => self.of[value],
            _ => Held::Other,
        }
    }

    /// Returns whether the block of this number is visited.
    pub(super) fn is_reached(&self, number: usize) -> bool {
        self.entries.get(number).is_some_and(Option::is_some)
    }

    fn function(&mut self, func: &Function, func_ref: FuncRef) -> Held {
        let known = self.functions.iter().copied();
        let mut known = known.filter(|&known| is_same_function(func, known, func_ref));
        match known.next() {
            Some(known) => Held::Function(known),
            None => {
                self.functions.push(func_ref);
                Held::Function(func_ref)
            }
        }
    }

    fn set(&mut self, value: Value, held: Held) {
        self.changed |= self.of[value] != held;
        self.of[value] = held;
    }

    fn meet(&mut self, one: Held, other: Held, guesses: bool) -> Held {
        match (one, other) {
            (Held::Unseen, held) | (held, Held::Unseen) => held,
            _ if one == other => one,
            _ => match (one.slot(), other.slot()) {
                (Some(slot), Some(same)) if slot == same => Held::Within(slot),
                _ => {
                    self.escape(one, guesses);
                    self.escape(other, guesses);
                    Held::Other
                }
            },
        }
    }

    /// Notes that other code may come to know an address.
    fn escape(&mut self, held: Held, guesses: bool) {
        if let Some(slot) = held.slot()
            && !guesses
        {
            self.changed |= self.escaped.insert(slot);
        }
    }
}

/// Returns whether the result of an instruction may be an address, or depend on one.
fn is_followed(data: &InstructionData) -> bool {
    matches!(
        data.opcode(),
        Opcode::StackAddr
            | Opcode::FuncAddr
            | Opcode::Iadd
            | Opcode::Isub
            | Opcode::Select
            | Opcode::SelectSpectreGuard
            | Opcode::Icmp
            | Opcode::Uextend
            | Opcode::Load
    )
}

/// The visit of one block.
struct Visit<'a> {
    contents: &'a mut Contents,
    func: &'a Function,
    guesses: bool,
    cells: Vec<Cell>,
}

impl Visit<'_> {
    fn of(&self, value: Value) -> Held {
        self.contents.of(self.func, value)
    }

    fn escape(&mut self, value: Value) {
        let held = self.of(value);
        self.contents.escape(held, self.guesses);
    }

    fn escape_all(&mut self, inst: Inst) {
        for &arg in self.func.dfg.inst_args(inst) {
            self.escape(arg);
        }
    }

    fn is_private(&self, slot: StackSlot) -> bool {
        self.guesses || !self.contents.escaped.contains(slot)
    }

    fn block(&mut self, flow: &Flow, block: Block) {
        let func = self.func;
        for inst in func.layout.block_insts(block) {
            self.outside_names(inst);
            let held = self.inst(inst);
            if is_followed(&func.dfg.insts[inst])
                && let Some(&result) = func.dfg.inst_results(inst).first()
            {
                self.contents.set(result, held);
            }
        }
        if let Some(last) = func.layout.last_inst(block) {
            self.leave(flow, last);
        }
    }

    /// Lets slots escape that tags and stack maps name.
    fn outside_names(&mut self, inst: Inst) {
        let tags = self.func.debug_tags.get(inst).iter();
        let tagged = tags.filter_map(|tag| match tag {
            DebugTag::StackSlot(slot) => Some(*slot),
            DebugTag::User(_) => None,
        });
        let entries = self.func.dfg.user_stack_map_entries(inst);
        let mapped = entries.unwrap_or_default().iter().map(|entry| entry.slot);
        let named = tagged.chain(mapped);
        for slot in named.filter(|&slot| self.func.sized_stack_slots.is_valid(slot)) {
            self.contents.escape(Held::Within(slot), self.guesses);
        }
    }

    fn inst(&mut self, inst: Inst) -> Held {
        let func = self.func;
        let dfg = &func.dfg;
        match dfg.insts[inst] {
            InstructionData::StackAddr {
                stack_slot, offset, ..
            } => match func.sized_stack_slots.is_valid(stack_slot) {
                true => Held::Slot(stack_slot, offset.into()),
                false => Held::Other,
            },
            InstructionData::FuncAddr { func_ref, .. } => self.contents.function(func, func_ref),
            InstructionData::Binary {
                opcode: opcode @ (Opcode::Iadd | Opcode::Isub),
                args,
            } => self.sum(opcode, args),
            InstructionData::Ternary {
                opcode: Opcode::Select | Opcode::SelectSpectreGuard,
                args: [condition, one, other],
            } => {
                self.escape(condition);
                let (one, other) = (self.of(one), self.of(other));
                self.contents.meet(one, other, self.guesses)
            }
            InstructionData::IntCompare {
                args: [one, other],
                cond,
                ..
            } => self.compare(cond, one, other),
            InstructionData::Unary {
                opcode: Opcode::Uextend,
                arg,
            } => match self.of(arg) {
                held @ (Held::Bool(_) | Held::Unseen) => held,
                held => {
                    self.contents.escape(held, self.guesses);
                    Held::Other
                }
            },
            InstructionData::Load {
                opcode: Opcode::Load,
                arg,
                flags,
                offset,
            } => {
                let ty = dfg.inst_results(inst).first();
                let ty = ty.map(|&result| dfg.value_type(result));
                let order = ByteOrder::of(func, flags);
                self.load(arg, offset.into(), ty, order)
            }
            InstructionData::Store {
                opcode,
                args: [value, address],
                flags,
                offset,
            } => {
                let order = ByteOrder::of(func, flags);
                self.store(opcode, value, address, offset.into(), order);
                Held::Other
            }
            InstructionData::Jump { .. } | InstructionData::Brif { .. } => Held::Other,
            _ => {
                self.escape_all(inst);
                Held::Other
            }
        }
    }

    fn sum(&mut self, opcode: Opcode, [one, other]: [Value; 2]) -> Held {
        let (a, b) = (self.of(one), self.of(other));
        let (address, added) = match (a.slot(), b.slot()) {
            (Some(_), None) => (a, other),
            (None, Some(_)) if opcode == Opcode::Iadd => (b, one),
            _ => {
                self.contents.escape(a, self.guesses);
                self.contents.escape(b, self.guesses);
                return Held::Other;
            }
        };
        let dfg = &self.func.dfg;
        let unused = 64u32.saturating_sub(dfg.value_type(added).bits());
        let bytes = computed_constant(dfg, added).map(|bits| (bits << unused).cast_signed());
        let bytes = bytes.map(|bits| bits >> unused);
        let bytes = match opcode {
            Opcode::Isub => bytes.and_then(i64::checked_neg),
            _ => bytes,
        };
        match (address, bytes) {
            (Held::Slot(slot, start), Some(bytes)) => match start.checked_add(bytes) {
                Some(start) => Held::Slot(slot, start),
                None => Held::Within(slot),
            },
            (Held::Slot(slot, _) | Held::Within(slot), _) => Held::Within(slot),
            _ => Held::Other,
        }
    }

    fn compare(&mut self, cond: IntCC, one: Value, other: Value) -> Held {
        match (self.of(one), self.of(other)) {
            (Held::Unseen, _) | (_, Held::Unseen) => Held::Unseen,
            // Two functions may have one address.
            (Held::Function(a), Held::Function(b)) if a == b => match cond {
                IntCC::Equal => Held::Bool(true),
                IntCC::NotEqual => Held::Bool(false),
                _ => Held::Other,
            },
            (a, b) => {
                self.contents.escape(a, self.guesses);
                self.contents.escape(b, self.guesses);
                Held::Other
            }
        }
    }

    fn load(
        &mut self,
        address: Value,
        offset: i64,
        ty: Option<Type>,
        order: Option<ByteOrder>,
    ) -> Held {
        let address = self.of(address);
        let (slot, place) = match (address, ty) {
            (Held::Unseen, _) => return Held::Unseen,
            (Held::Slot(slot, start), Some(ty)) => (slot, start.checked_add(offset).zip(Some(ty))),
            (Held::Within(slot) | Held::Slot(slot, _), _) => (slot, None),
            _ => return Held::Other,
        };
        if !self.is_private(slot) {
            return Held::Other;
        }
        let cells = self.cells.iter();
        let overlapped: Vec<Cell> = match place {
            Some((start, ty)) => {
                let overlapped = cells.filter(|cell| cell.overlaps(slot, start, ty.bytes()));
                overlapped.copied().collect()
            }
            None => cells.filter(|cell| cell.slot == slot).copied().collect(),
        };
        if let (&[cell], Some((start, ty))) = (&overlapped[..], place)
            && cell.start == start
            && cell.ty == ty
            && order.is_some()
            && cell.order == order
        {
            return cell.held;
        }
        for cell in overlapped {
            self.contents.escape(cell.held, self.guesses);
        }
        Held::Other
    }

    fn store(
        &mut self,
        opcode: Opcode,
        value: Value,
        address: Value,
        offset: i64,
        order: Option<ByteOrder>,
    ) {
        let held = self.of(value);
        let Some(value) = resolve_alias(&self.func.dfg, value) else {
            return;
        };
        let ty = self.func.dfg.value_type(value);
        let address = self.of(address);
        match address {
            Held::Slot(slot, start) if self.is_private(slot) => {
                if let Some(start) = start.checked_add(offset) {
                    self.cells
                        .retain(|cell| !cell.overlaps(slot, start, ty.bytes()));
                    let is_address = matches!(held, Held::Function(_) | Held::Slot(..));
                    if is_address && opcode == Opcode::Store && self.cells.len() < MOST_CELLS {
                        self.cells.push(Cell {
                            slot,
                            start,
                            ty,
                            order,
                            held,
                        });
                        return;
                    }
                }
            }
            Held::Within(slot) => self.cells.retain(|cell| cell.slot != slot),
            _ => {}
        }
        self.contents.escape(held, self.guesses);
    }

    /// Passes on the facts at the end of a block.
    fn leave(&mut self, flow: &Flow, last: Inst) {
        let func = self.func;
        let pool = &func.dfg.value_lists;
        if let Some(table) = func.dfg.insts[last].exception_table()
            && let Some(table) = func.dfg.exception_tables.get(table)
        {
            for item in table.items() {
                if let ExceptionTableItem::Context(value) = item {
                    self.escape(value);
                }
            }
        }
        let decided = match func.dfg.insts[last] {
            InstructionData::Brif { arg, .. } => match self.of(arg) {
                Held::Bool(holds) => Some(usize::from(!holds)),
                _ => None,
            },
            _ => None,
        };
        for (index, call) in branches(func, last).iter().enumerate() {
            if decided.is_some_and(|decided| decided != index) {
                continue;
            }
            let target = call.block(pool);
            let params = func.dfg.block_params(target);
            for (arg, &param) in call.args(pool).zip(params) {
                let passed = arg.as_value().map_or(Held::Other, |value| self.of(value));
                let known = self.contents.of[param];
                let met = self.contents.meet(known, passed, self.guesses);
                self.contents.set(param, met);
            }
            self.enter(flow.number(target) as usize);
        }
    }

    /// Brings the cells together with those that are known at the start of a block.
    fn enter(&mut self, number: usize) {
        let contents = &mut *self.contents;
        let Some(entry) = contents.entries.get_mut(number) else {
            return;
        };
        let Some(mut known) = entry.take() else {
            *entry = Some(self.cells.clone());
            contents.changed = true;
            return;
        };
        let before = known.len();
        let mut lost: Vec<Held> = Vec::new();
        known.retain(|cell| {
            let stays = self.cells.contains(cell);
            if !stays {
                lost.push(cell.held);
            }
            stays
        });
        let others = self.cells.iter().filter(|cell| !known.contains(cell));
        lost.extend(others.map(|cell| cell.held));
        contents.changed |= known.len() != before;
        contents.entries[number] = Some(known);
        for held in lost {
            contents.escape(held, self.guesses);
        }
    }
}
