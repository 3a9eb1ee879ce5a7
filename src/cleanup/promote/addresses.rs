//! The values that are addresses of stack slots, with their offsets.
//!
//! This is an optimistic fixpoint: a block parameter has the address that all its visited arguments
//! have, and loses it when another argument differs.

use super::super::constant::computed_constant;
use super::super::flow::Flow;
use super::super::options::{MemoryFunction, MemoryFunctions};
use crate::body::{branches, resolve_alias};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, StackSlot, Value, types};

/// The known address of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cleanup) enum Address {
    /// Not known to be the address of a slot.
    #[default]
    Other,
    /// It was not visited yet.
    Unseen,
    /// This many bytes from the begin of a slot.
    At(StackSlot, i64),
    /// Computed from the address of a slot and a value that is not constant.
    Somewhere(StackSlot),
}

impl Address {
    /// Returns the slot from whose address the value was computed.
    pub(in crate::cleanup) fn slot(self) -> Option<StackSlot> {
        match self {
            Address::At(slot, _) | Address::Somewhere(slot) => Some(slot),
            Address::Other | Address::Unseen => None,
        }
    }

    fn meet(self, other: Address) -> Address {
        if self == other {
            return self;
        }
        match (self, other) {
            (Address::Unseen, known) | (known, Address::Unseen) => known,
            _ => match (self.slot(), other.slot()) {
                (Some(one), Some(other)) if one == other => Address::Somewhere(one),
                _ => Address::Other,
            },
        }
    }

    fn plus(self, bytes: Option<i64>) -> Address {
        match (self, bytes) {
            (Address::At(slot, offset), Some(bytes)) => {
                Address::At(slot, offset.wrapping_add(bytes))
            }
            (Address::At(slot, _), None) => Address::Somewhere(slot),
            (address, _) => address,
        }
    }
}

/// The addresses among the values of a function.
#[derive(Default)]
pub(in crate::cleanup) struct Addresses {
    of: SecondaryMap<Value, Address>,
    /// The instructions that may compute one, in the order of blocks; those of a block end at its
    /// entry in `ends`.
    insts: Vec<Inst>,
    ends: Vec<usize>,
}

impl Addresses {
    /// Finds all of `func`; returns whether there is any.
    pub(super) fn find(
        &mut self,
        func: &Function,
        flow: &Flow,
        functions: &MemoryFunctions,
    ) -> bool {
        self.of.clear();
        self.of.resize(func.dfg.num_values());
        self.insts.clear();
        self.ends.clear();
        let mut takes_any = false;
        for (number, &block) in flow.blocks().iter().enumerate() {
            if number > 0 {
                for &param in func.dfg.block_params(block) {
                    if matches!(func.dfg.value_type(param), types::I32 | types::I64) {
                        self.of[param] = Address::Unseen;
                    }
                }
            }
            for inst in func.layout.block_insts(block) {
                let opcode = func.dfg.insts[inst].opcode();
                takes_any |= opcode == Opcode::StackAddr;
                if may_compute_address(opcode) {
                    self.insts.push(inst);
                }
            }
            self.ends.push(self.insts.len());
        }
        if takes_any {
            while self.sweep(func, flow, functions) {}
        }
        takes_any
    }

    /// Visits all instructions once; returns whether a parameter changed that was visited before.
    fn sweep(&mut self, func: &Function, flow: &Flow, functions: &MemoryFunctions) -> bool {
        let mut again = false;
        let mut start = 0;
        for (number, &block) in (0u32..).zip(flow.blocks()) {
            let end = self.ends[number as usize];
            for index in start..end {
                let inst = self.insts[index];
                let address = self.evaluate(func, inst, functions);
                if let (Some(address), Some(&result)) =
                    (address, func.dfg.inst_results(inst).first())
                {
                    self.of[result] = address;
                }
            }
            start = end;
            let Some(last) = func.layout.last_inst(block) else {
                continue;
            };
            for call in branches(func, last) {
                let pool = &func.dfg.value_lists;
                let target = call.block(pool);
                let params = func.dfg.block_params(target);
                for (arg, &param) in call.args(pool).zip(params) {
                    let before = self.of[param];
                    if before == Address::Other {
                        continue;
                    }
                    let passed = arg.as_value();
                    let passed = passed.map_or(Address::Other, |value| self.of(func, value));
                    let after = before.meet(passed);
                    self.of[param] = after;
                    again |= after != before && flow.number(target) <= number;
                }
            }
        }
        again
    }

    fn evaluate(
        &self,
        func: &Function,
        inst: Inst,
        functions: &MemoryFunctions,
    ) -> Option<Address> {
        let dfg = &func.dfg;
        Some(match dfg.insts[inst] {
            InstructionData::StackAddr {
                stack_slot, offset, ..
            } if func.sized_stack_slots.is_valid(stack_slot) => {
                Address::At(stack_slot, offset.into())
            }
            InstructionData::Binary {
                opcode: Opcode::Iadd,
                args: [one, other],
            } => match (self.of(func, one), self.of(func, other)) {
                (Address::Other, Address::Other) => Address::Other,
                (address, Address::Other) => address.plus(offset(func, other)),
                (Address::Other, address) => address.plus(offset(func, one)),
                (Address::Unseen, _) | (_, Address::Unseen) => Address::Unseen,
                _ => Address::Other,
            },
            InstructionData::Binary {
                opcode: Opcode::Isub,
                args: [one, other],
            } => match (self.of(func, one), self.of(func, other)) {
                (address, Address::Other) => {
                    address.plus(offset(func, other).map(i64::wrapping_neg))
                }
                (Address::Unseen, _) | (_, Address::Unseen) => Address::Unseen,
                _ => Address::Other,
            },
            InstructionData::Ternary {
                opcode: Opcode::Select | Opcode::SelectSpectreGuard,
                args: [_, one, other],
            } => self.of(func, one).meet(self.of(func, other)),
            InstructionData::Call { .. } => {
                let &to = returns_destination(func, inst, functions)?;
                self.of(func, to)
            }
            _ => return None,
        })
    }

    /// Returns the known address of `value`.
    pub(in crate::cleanup) fn of(&self, func: &Function, value: Value) -> Address {
        // Most values are not aliases, which is cheap to check.
        let value = match func.dfg.value_alias_dest_for_serialization(value) {
            None => Some(value),
            Some(_) => resolve_alias(&func.dfg, value),
        };
        value.map_or(Address::Other, |value| self.of[value])
    }
}

/// Returns the argument that a memory function returns, if `inst` is a call of one that returns it.
pub(super) fn returns_destination<'f>(
    func: &'f Function,
    inst: Inst,
    functions: &MemoryFunctions,
) -> Option<&'f Value> {
    memory_call(func, inst, functions)?;
    func.dfg.inst_results(inst).first()?;
    func.dfg.inst_args(inst).first()
}

/// Returns the effect of `inst`, if it is a call of a memory function with C's signature.
pub(super) fn memory_call(
    func: &Function,
    inst: Inst,
    functions: &MemoryFunctions,
) -> Option<MemoryFunction> {
    let dfg = &func.dfg;
    let InstructionData::Call {
        opcode: Opcode::Call,
        func_ref,
        ..
    } = dfg.insts[inst]
    else {
        return None;
    };
    let &[to, second, bytes] = dfg.inst_args(inst) else {
        return None;
    };
    let pointer = dfg.value_type(to);
    let is_usual = match dfg.inst_results(inst) {
        [] => true,
        &[result] => dfg.value_type(result) == pointer,
        _ => false,
    };
    if !is_usual || !pointer.is_int() || !dfg.value_type(bytes).is_int() {
        return None;
    }
    let function = functions.of_callee(func, func_ref)?;
    let fits = match function {
        MemoryFunction::Copy => dfg.value_type(second) == pointer,
        MemoryFunction::Set => dfg.value_type(second).is_int(),
    };
    fits.then_some(function)
}

fn may_compute_address(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::StackAddr
            | Opcode::Iadd
            | Opcode::Isub
            | Opcode::Select
            | Opcode::SelectSpectreGuard
            | Opcode::Call
    )
}

fn offset(func: &Function, value: Value) -> Option<i64> {
    let bits = computed_constant(&func.dfg, value)?;
    let unused = 64 - func.dfg.value_type(value).bits();
    Some((bits << unused).cast_signed() >> unused)
}
