//! Replaces accesses by values.

use super::super::CleanupStats;
use super::super::flow::{Flow, append_args, remove_params};
use super::super::options::OptimizeOptions;
use super::addresses::Addresses;
use super::convert::{Order, Part, before, compose, convert, extract, filled, halves, join, zero};
use super::pieces::{Piece, Pieces};
use super::reaching::{Origin, Reaching};
use super::scan::{Action, Event, Place, Test, Uses, resolved};
use super::touches_of;
use crate::body::move_labels;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    Endianness, Function, Inst, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value,
    types,
};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A composed word: its parts, in the order of memory.
type Composition = (Endianness, Vec<(Part, Value)>);

pub(super) struct Rewriter<'a> {
    pub(super) func: &'a mut Function,
    flow: &'a Flow,
    pieces: &'a Pieces,
    reaching: &'a Reaching,
    options: &'a OptimizeOptions,
    /// The value of each variable in the block in which it was touched last.
    current: Vec<Option<(u32, Value)>>,
    /// The number of each variable's next touch.
    next_touch: Vec<u32>,
    /// The value that each touch wrote.
    written: Vec<Option<Value>>,
    /// New parameters, by block and then by variable.
    params: Vec<(u32, usize, Value)>,
    zeros: FxHashMap<Type, Value>,
    composed: FxHashMap<Value, Composition>,
    /// For each extracted value, its word and its part of that.
    extracted: FxHashMap<Value, (Endianness, Value, Part)>,
    stats: CleanupStats,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        func: &'a mut Function,
        flow: &'a Flow,
        pieces: &'a Pieces,
        reaching: &'a Reaching,
        options: &'a OptimizeOptions,
    ) -> Self {
        let mut params: Vec<_> = reaching
            .params()
            .map(|(variable, block)| (block, variable))
            .collect();
        params.sort_unstable();
        let params = params.into_iter().map(|(block, variable)| {
            let ty = pieces.all[variable].ty;
            let param = func
                .dfg
                .append_block_param(flow.blocks()[block as usize], ty);
            (block, variable, param)
        });
        let params = params.collect();
        let variables = 0..pieces.all.len();
        Rewriter {
            func,
            flow,
            pieces,
            reaching,
            options,
            current: vec![None; variables.len()],
            next_touch: variables.map(|v| reaching.first_touch(v)).collect(),
            written: vec![None; reaching.len()],
            params,
            zeros: FxHashMap::default(),
            composed: FxHashMap::default(),
            extracted: FxHashMap::default(),
            stats: CleanupStats::default(),
        }
    }

    /// Replaces all uses of the slots; returns the statistics.
    pub(super) fn run(mut self, uses: &Uses, addresses: &Addresses) -> CleanupStats {
        for event in &uses.events {
            self.event(event);
        }
        self.pass_params();
        self.remove_addresses(uses, addresses);
        self.stats
    }

    fn event(&mut self, event: &Event) {
        let inst = event.inst;
        let written: SmallVec<[Value; 4]> = match event.action {
            Action::Access { place, .. } if !self.pieces.has(place.slot) => return,
            Action::Access {
                place, ty, stores, ..
            } => {
                if stores {
                    self.stats.stores_replaced += 1;
                    self.store(inst, place, ty)
                } else {
                    self.stats.loads_replaced += 1;
                    self.load(inst, place, ty, event.block);
                    SmallVec::new()
                }
            }
            Action::Copy { to, from, .. } => {
                let (to, from) = (self.pieces.promoted(to), self.pieces.promoted(from));
                match self.copy(event, to, from) {
                    Some(written) => written,
                    None => return,
                }
            }
            Action::Fill { place, .. } if !self.pieces.has(place.slot) => return,
            Action::Fill { place, byte } => {
                self.stats.memory_calls_replaced += 1;
                let pieces = self.pieces.within(place);
                let mut cursor = before(self.func, inst);
                let pieces = self.pieces.all[pieces].iter();
                pieces
                    .map(|piece| filled(&mut cursor, byte, piece.ty))
                    .collect()
            }
            Action::LoadSomewhere(_) => return,
        };
        let mut written = written.into_iter();
        let pieces = self.pieces;
        touches_of(pieces, event, |variable, writes| {
            let touch = self.next_touch[variable] as usize;
            self.next_touch[variable] += 1;
            if writes {
                let value = written.next();
                debug_assert!(value.is_some(), "each piece that is written gets a value");
                self.current[variable] = value.map(|value| (event.block, value));
                self.written[touch] = value;
            }
        });
        debug_assert!(written.next().is_none(), "each value is of a piece");
        self.remove(inst);
    }

    /// Removes a replaced instruction.
    fn remove(&mut self, inst: Inst) {
        if self.func.dfg.insts[inst].opcode().is_call() {
            let result = self.func.dfg.inst_results(inst).first().copied();
            let to = self.func.dfg.inst_args(inst).first().copied();
            self.func.dfg.detach_inst_results(inst);
            if let (Some(result), Some(to)) = (result, to) {
                self.replace(result, to);
            }
        }
        self.func.layout.remove_inst(inst);
    }

    /// Makes `old`, which is no longer defined, an alias of `new`.
    fn replace(&mut self, old: Value, new: Value) {
        let new = resolved(self.func, new);
        if old != new {
            self.func.dfg.change_to_alias(old, new);
            move_labels(self.func, old, new);
        }
    }

    fn load(&mut self, inst: Inst, place: Place, ty: Type, block: u32) {
        let value = self.read(place, ty, block, inst);
        let opcode = self.func.dfg.insts[inst].opcode();
        let result = self.func.dfg.first_result(inst);
        let wide = self.func.dfg.value_type(result);
        let mut cursor = before(self.func, inst);
        let value = match opcode {
            Opcode::Load => value,
            Opcode::Sload8 | Opcode::Sload16 | Opcode::Sload32 => cursor.ins().sextend(wide, value),
            _ => cursor.ins().uextend(wide, value),
        };
        self.func.dfg.detach_inst_results(inst);
        self.replace(result, value);
    }

    fn store(&mut self, inst: Inst, place: Place, ty: Type) -> SmallVec<[Value; 4]> {
        let InstructionData::Store {
            opcode,
            args: [value, _],
            ..
        } = self.func.dfg.insts[inst]
        else {
            debug_assert!(false, "only stores store");
            return SmallVec::new();
        };
        let mut value = resolved(self.func, value);
        if opcode != Opcode::Store {
            value = before(self.func, inst).ins().ireduce(ty, value);
        }
        self.split(place, value, inst)
    }

    /// Returns the values of the pieces within `place` after `value` is written to it.
    fn split(&mut self, place: Place, value: Value, inst: Inst) -> SmallVec<[Value; 4]> {
        let pieces = &self.pieces.all[self.pieces.within(place)];
        let order = self.pieces.order(place.slot);
        if let [piece] = pieces {
            let mut cursor = before(self.func, inst);
            return SmallVec::from_slice(&[convert(&mut cursor, value, piece.ty, order)]);
        }
        let Some(endianness) = order.known() else {
            debug_assert!(false, "parts of words need an order");
            return pieces.iter().map(|piece| self.zero(piece.ty)).collect();
        };
        if self.func.dfg.value_type(value) == types::I128 {
            let parts = halves(&mut before(self.func, inst), value, endianness);
            let half = |start| Place {
                slot: place.slot,
                start,
                size: 8,
            };
            let mut written = self.split(half(place.start), parts[0], inst);
            written.extend(self.split(half(place.start + 8), parts[1], inst));
            return written;
        }
        let parts = self.composed.get(&value);
        let parts = parts.filter(|(order, _)| *order == endianness);
        let parts = parts.map_or(&[][..], |(_, parts)| parts);
        let mut cursor = before(self.func, inst);
        let written = pieces.iter().map(|piece| {
            let part = part_of(place, piece);
            match parts.iter().find(|(known, _)| *known == part) {
                Some(&(_, value)) => convert(&mut cursor, value, piece.ty, Order::Any),
                None => {
                    let found = extract(&mut cursor, value, part, piece.ty, endianness);
                    self.extracted.insert(found, (endianness, value, part));
                    found
                }
            }
        });
        written.collect()
    }

    /// Returns the content of `place` before `inst`, as a value of type `ty`.
    fn read(&mut self, place: Place, ty: Type, block: u32, inst: Inst) -> Value {
        let range = self.pieces.within(place);
        let order = self.pieces.order(place.slot);
        if range.len() == 1 {
            let value = self.variable(range.start, block);
            return convert(&mut before(self.func, inst), value, ty, order);
        }
        let Some(endianness) = order.known() else {
            debug_assert!(false, "words made of parts need an order");
            return self.zero(ty);
        };
        if ty == types::I128 {
            let parts = [place.start, place.start + 8].map(|start| {
                let half = Place {
                    slot: place.slot,
                    start,
                    size: 8,
                };
                self.read(half, types::I64, block, inst)
            });
            return join(&mut before(self.func, inst), parts, endianness);
        }
        let parts: Vec<(Part, Value)> = range
            .map(|variable| {
                let part = part_of(place, &self.pieces.all[variable]);
                (part, self.variable(variable, block))
            })
            .collect();
        if let Some(word) = self.word_of(&parts, ty, endianness) {
            return word;
        }
        let value = compose(&mut before(self.func, inst), &parts, ty, endianness);
        self.composed.insert(value, (endianness, parts));
        value
    }

    /// Returns the word that was cut into just these parts, if they come from one.
    fn word_of(&self, parts: &[(Part, Value)], ty: Type, endianness: Endianness) -> Option<Value> {
        let (_, first) = parts.first()?;
        let &(_, word, _) = self.extracted.get(first)?;
        let mut parts = parts.iter();
        let are_its_own = parts
            .all(|(part, value)| self.extracted.get(value) == Some(&(endianness, word, *part)));
        (are_its_own && self.func.dfg.value_type(word) == ty).then_some(word)
    }

    /// Returns the value of a variable at the place up to which the block was rewritten.
    fn variable(&mut self, variable: usize, block: u32) -> Value {
        if let Some((known, value)) = self.current[variable]
            && known == block
        {
            return value;
        }
        let origin = self.reaching.entering(variable, block);
        let value = self.origin(variable, origin);
        self.current[variable] = Some((block, value));
        value
    }

    fn origin(&mut self, variable: usize, origin: Option<Origin>) -> Value {
        let value = match origin {
            Some(Origin::Nothing) => return self.zero(self.pieces.all[variable].ty),
            Some(Origin::Write(touch)) => self.written[touch as usize],
            Some(Origin::Param(block)) => {
                let params = &self.params;
                let found = params
                    .binary_search_by_key(&(block, variable), |&(block, variable, _)| {
                        (block, variable)
                    });
                found.ok().map(|index| params[index].2)
            }
            Some(Origin::Unknown) | None => None,
        };
        debug_assert!(
            value.is_some(),
            "the value that reaches a read was written before"
        );
        match value {
            Some(value) => value,
            None => self.zero(self.pieces.all[variable].ty),
        }
    }

    /// Returns the value of an unwritten variable.
    fn zero(&mut self, ty: Type) -> Value {
        if let Some(&value) = self.zeros.get(&ty) {
            return value;
        }
        let mut cursor = FuncCursor::new(self.func);
        if let Some(entry) = cursor.func.layout.entry_block() {
            cursor.goto_first_insertion_point(entry);
        }
        let value = zero(&mut cursor, ty);
        self.zeros.insert(ty, value);
        value
    }

    /// Copies between slots, or between a slot and memory. `None` where neither side is promoted.
    fn copy(
        &mut self,
        event: &Event,
        to: Option<Place>,
        from: Option<Place>,
    ) -> Option<SmallVec<[Value; 4]>> {
        let inst = event.inst;
        let written = match (to, from) {
            (None, None) => return None,
            (Some(to), Some(from)) => {
                let pieces = self.pieces.within(to);
                let read = pieces.map(|piece| {
                    let Piece { start, ty } = self.pieces.all[piece];
                    let place = Place {
                        slot: from.slot,
                        start: start - to.start + from.start,
                        size: ty.bytes(),
                    };
                    self.read(place, ty, event.block, inst)
                });
                read.collect()
            }
            (Some(to), None) => {
                let address = self.argument(inst, 1);
                let flags = self.flags(to);
                let mut cursor = before(self.func, inst);
                let pieces = self.pieces.all[self.pieces.within(to)].iter();
                let loaded = pieces.map(|piece| {
                    let offset = offset(to, piece);
                    cursor.ins().load(piece.ty, flags, address, offset)
                });
                loaded.collect()
            }
            (None, Some(from)) => {
                let address = self.argument(inst, 0);
                let flags = self.flags(from);
                for variable in self.pieces.within(from) {
                    let value = self.variable(variable, event.block);
                    let offset = offset(from, &self.pieces.all[variable]);
                    before(self.func, inst)
                        .ins()
                        .store(flags, value, address, offset);
                }
                SmallVec::new()
            }
        };
        match self.func.dfg.insts[inst].opcode().is_call() {
            true => self.stats.memory_calls_replaced += 1,
            false => self.stats.stores_replaced += 1,
        }
        Some(written)
    }

    fn argument(&self, inst: Inst, index: usize) -> Value {
        let value = self.func.dfg.inst_args(inst)[index];
        resolved(self.func, value)
    }

    /// Returns the flags for copies: the memory is accessible, and its alignment is unknown.
    fn flags(&self, place: Place) -> MemFlagsData {
        let flags = MemFlagsData::new().with_notrap();
        match self.pieces.order(place.slot).known() {
            Some(endianness) if self.options.endianness != Some(endianness) => {
                flags.with_endianness(endianness)
            }
            _ => flags,
        }
    }

    /// Passes the arguments for the new parameters.
    fn pass_params(&mut self) {
        let mut start = 0;
        while let Some(&(block, ..)) = self.params.get(start) {
            let rest = &self.params[start..];
            let end = start + rest.partition_point(|&(other, ..)| other == block);
            for &edge in self.flow.edges_into(block) {
                let args: SmallVec<[Value; 8]> = (start..end)
                    .map(|index| {
                        let (_, variable, _) = self.params[index];
                        let origin = self.reaching.at_end(variable, edge.from);
                        self.origin(variable, origin)
                    })
                    .collect();
                append_args(self.func, edge, args.into_iter());
            }
            start = end;
        }
    }

    /// Removes the instructions that compute addresses of the slots, and the parameters that were
    /// such addresses.
    fn remove_addresses(&mut self, uses: &Uses, addresses: &Addresses) {
        for (number, &block) in (0u32..).zip(self.flow.blocks()) {
            let is_address = |&param: &Value| {
                let slot = addresses.of(self.func, param).slot();
                slot.is_some_and(|slot| self.pieces.has(slot))
            };
            // New parameters are at the end, and are values without known facts.
            let params = self.func.dfg.block_params(block);
            let goes: SmallVec<[bool; 8]> = params.iter().map(is_address).collect();
            if goes.contains(&true) {
                let params: SmallVec<[Value; 8]> = params.into();
                remove_params(self.func, self.flow, number, &goes);
                let gone = params.iter().zip(&goes).filter(|(_, goes)| **goes);
                for (param, _) in gone {
                    self.forget_labels(*param);
                }
            }
        }
        for &(inst, slot) in &uses.address_insts {
            if self.pieces.has(slot) {
                for index in 0..self.func.dfg.inst_results(inst).len() {
                    self.forget_labels(self.func.dfg.inst_results(inst)[index]);
                }
                self.func.layout.remove_inst(inst);
            }
        }
    }

    /// Drops the labels of a removed address, which is no longer the value of a variable.
    fn forget_labels(&mut self, value: Value) {
        if let Some(labels) = &mut self.func.dfg.values_labels {
            labels.remove(&value);
        }
    }
}

fn part_of(place: Place, piece: &Piece) -> Part {
    Part {
        offset: piece.start - place.start,
        bytes: piece.ty.bytes(),
    }
}

/// Returns the offset of a piece in a copy, which is at most the copy's size.
fn offset(place: Place, piece: &Piece) -> i32 {
    let offset = i32::try_from(piece.start - place.start);
    debug_assert!(offset.is_ok(), "longer copies are left alone");
    offset.unwrap_or(i32::MAX)
}

/// Replaces tests of addresses by their known results; returns their number.
pub(super) fn fold_tests(func: &mut Function, tests: &[Test]) -> usize {
    for test in tests {
        match *test {
            Test::Compares(inst, result) => {
                func.dfg.insts[inst] = InstructionData::UnaryImm {
                    opcode: Opcode::Iconst,
                    imm: i64::from(result).into(),
                };
            }
            Test::Branches(inst) => {
                let taken = before(func, inst).ins().iconst(types::I8, 1);
                match &mut func.dfg.insts[inst] {
                    InstructionData::Brif { arg, .. } => *arg = taken,
                    _ => debug_assert!(false, "{inst} was a branch"),
                }
            }
            Test::NeverTraps(inst) => {
                func.layout.remove_inst(inst);
            }
        }
    }
    tests.len()
}
