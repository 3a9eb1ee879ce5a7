//! Facts about values on the way into a block.

use crate::body::resolve_alias;
use crate::cleanup::constant::{compare, mask, sign_extend};
use crate::cleanup::flow::{Edge, Flow};
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstructionData, MemFlags, Opcode, StackSlot, Type,
    Value, ValueDef,
};
use smallvec::SmallVec;

/// A condition is rarely wrapped more often.
const MAX_DEPTH: u32 = 6;

/// The number of blocks with one way in that are searched for earlier branches.
const MOST_BRANCHES: usize = 8;

/// The number of instructions that are searched for the store before a load.
const MOST_INSTS: usize = 64;

/// The facts about an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    NotZero,
    /// Its bits, zero-extended.
    Bits(u64),
}

/// The ways into one block.
pub(super) struct Ways<'a> {
    func: &'a Function,
    flow: &'a Flow,
    block: Block,
    /// Whether it is the header of a loop, so that its values differ from those of the last round.
    is_header: bool,
    follows_slots: bool,
}

/// Something that an earlier branch tells.
struct Fact {
    value: Value,
    known: Known,
    /// Where the value is the result of a comparison, its condition and operands.
    compares: Option<(IntCC, [Value; 2])>,
}

impl Fact {
    fn new(func: &Function, value: Value, known: Known) -> Self {
        let inst = func.dfg.value_def(value).inst();
        let compares = match inst.map(|inst| &func.dfg.insts[inst]) {
            Some(&InstructionData::IntCompare { args, cond, .. }) => Some((cond, args)),
            _ => None,
        };
        Fact {
            value,
            known,
            compares,
        }
    }
}

type Facts = SmallVec<[Fact; 8]>;

impl<'a> Ways<'a> {
    /// Returns the ways to `block`. With `follows_slots`, no access goes from one stack slot to
    /// another.
    pub(super) fn new(
        func: &'a Function,
        flow: &'a Flow,
        block: Block,
        follows_slots: bool,
    ) -> Self {
        let number = flow.number(block);
        let mut edges = flow.edges_into(number).iter();
        Ways {
            func,
            flow,
            block,
            is_header: edges.any(|edge| edge.from >= number),
            follows_slots,
        }
    }

    /// Returns whether the block is the header of a loop.
    pub(super) fn is_header(&self) -> bool {
        self.is_header
    }

    /// Returns the facts about `value` in the block when it is entered by `edge`, with the
    /// arguments of `passed`.
    pub(super) fn known(&self, edge: Edge, passed: BlockCall, value: Value) -> Known {
        let way = Way {
            ways: self,
            func: self.func,
            block: self.block,
            edge,
            passed,
            facts: self.facts(edge),
        };
        way.known(value, At::Block, MAX_DEPTH)
    }

    /// Returns the facts from the branches before `edge`.
    fn facts(&self, mut edge: Edge) -> Facts {
        let mut facts = Facts::new();
        for _ in 0..MOST_BRANCHES {
            if let InstructionData::Brif { arg, .. } = self.func.dfg.insts[edge.inst] {
                self.learn(arg, edge.index == 0, MAX_DEPTH, &mut facts);
            }
            match self.flow.edges_into(edge.from) {
                [before] => edge = *before,
                _ => break,
            }
        }
        facts
    }

    /// Adds the facts that follow from `value` being zero or not.
    fn learn(&self, value: Value, holds: bool, depth: u32, facts: &mut Facts) {
        let dfg = &self.func.dfg;
        let (Some(depth), Some(value)) = (depth.checked_sub(1), resolve_alias(dfg, value)) else {
            return;
        };
        let known = match holds {
            true => Known::NotZero,
            false => Known::Bits(0),
        };
        facts.push(Fact::new(self.func, value, known));
        let ValueDef::Result(inst, 0) = dfg.value_def(value) else {
            return;
        };
        match dfg.insts[inst] {
            InstructionData::Unary {
                opcode: Opcode::Uextend | Opcode::Sextend,
                arg,
            } => self.learn(arg, holds, depth, facts),
            InstructionData::IntCompare {
                args: [x, y], cond, ..
            } if matches!(cond, IntCC::Equal | IntCC::NotEqual) => {
                let is_equal = holds == (cond == IntCC::Equal);
                for (of, other) in [(x, y), (y, x)] {
                    match constant(self.func, other) {
                        Some(0) => self.learn(of, !is_equal, depth, facts),
                        Some(bits) if is_equal => {
                            let of = resolve_alias(dfg, of);
                            let fact = |of| Fact::new(self.func, of, Known::Bits(bits));
                            facts.extend(of.map(fact));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn constant(func: &Function, value: Value) -> Option<u64> {
    crate::cleanup::constant::constant(&func.dfg, value)
}

/// The place that a load reads.
#[derive(Clone, Copy)]
struct Sought {
    /// A slot, and an offset in it.
    place: (StackSlot, i64),
    ty: Type,
    flags: MemFlags,
}

/// The effect of an instruction on a place.
enum Write {
    None,
    /// It stores this value there.
    Of(Value),
    Unknown,
}

/// Where a value is looked at. In a loop it may differ from that of the last round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the block.
    Block,
    /// On the way, before the block is entered.
    Way,
}

/// One way into a block.
struct Way<'a> {
    ways: &'a Ways<'a>,
    func: &'a Function,
    block: Block,
    edge: Edge,
    passed: BlockCall,
    facts: Facts,
}

impl Way<'_> {
    fn known(&self, value: Value, at: At, depth: u32) -> Known {
        let dfg = &self.func.dfg;
        let (Some(depth), Some(value)) = (depth.checked_sub(1), resolve_alias(dfg, value)) else {
            return Known::Nothing;
        };
        let ty = dfg.value_type(value);
        if !ty.is_int() || ty.bits() > 64 {
            return Known::Nothing;
        }
        let definition = dfg.value_def(value);
        if at == At::Block {
            match definition {
                ValueDef::Param(block, index) if block == self.block => {
                    return match self.passed.args(&dfg.value_lists).nth(index) {
                        Some(BlockArg::Value(value)) => self.known(value, At::Way, depth),
                        _ => Known::Nothing,
                    };
                }
                ValueDef::Result(inst, 0) if self.is_in_block(inst) => {
                    return match dfg.insts[inst].opcode() {
                        Opcode::Load => {
                            let stored = self.stored(inst, ty);
                            stored.map_or(Known::Nothing, |value| self.known(value, at, depth))
                        }
                        _ => self.computed(&dfg.insts[inst], ty, at, depth),
                    };
                }
                _ => {}
            }
        }
        if let Some(fact) = self.facts.iter().find(|fact| fact.value == value) {
            return fact.known;
        }
        match definition {
            ValueDef::Result(inst, 0) => self.computed(&dfg.insts[inst], ty, At::Way, depth),
            _ => Known::Nothing,
        }
    }

    fn is_in_block(&self, inst: Inst) -> bool {
        self.func.layout.inst_block(inst) == Some(self.block)
    }

    /// Returns the result of a comparison that is like an earlier one, whose result is known.
    fn compared_before(&self, cond: IntCC, x: Value, y: Value, at: At) -> Known {
        if self.facts.iter().all(|fact| fact.compares.is_none()) {
            return Known::Nothing;
        }
        let dfg = &self.func.dfg;
        let on_this_way = |value| {
            let value = match at {
                At::Block => self.on_this_way(value)?,
                At::Way => resolve_alias(dfg, value)?,
            };
            let bits = constant(self.func, value);
            // The result of the last round was another one.
            let is_new = at == At::Block && self.ways.is_header && bits.is_none();
            let inst = dfg.value_def(value).inst();
            let is_old = !is_new || !inst.is_some_and(|inst| self.is_in_block(inst));
            is_old.then_some((value, bits))
        };
        let [x, y] = [x, y].map(on_this_way);
        // Whether two values are one, or equal constants.
        let is_same = |one: Option<(Value, Option<u64>)>, other: Value| {
            let (Some((one, bits)), Some(other)) = (one, resolve_alias(dfg, other)) else {
                return false;
            };
            let is_equal = || {
                bits.is_some()
                    && dfg.value_type(one) == dfg.value_type(other)
                    && bits == constant(self.func, other)
            };
            one == other || is_equal()
        };
        for fact in &self.facts {
            let Some((of, [a, b])) = fact.compares else {
                continue;
            };
            let of = if is_same(x, a) && is_same(y, b) {
                of
            } else if is_same(x, b) && is_same(y, a) {
                of.swap_args()
            } else {
                continue;
            };
            let held = fact.known != Known::Bits(0);
            if of == cond {
                return Known::Bits(held.into());
            }
            if of == cond.complement() {
                return Known::Bits((!held).into());
            }
        }
        Known::Nothing
    }

    /// Returns the value that the way passes for a parameter of the block, or else `value`.
    fn on_this_way(&self, value: Value) -> Option<Value> {
        let dfg = &self.func.dfg;
        let value = resolve_alias(dfg, value)?;
        match dfg.value_def(value) {
            ValueDef::Param(block, index) if block == self.block => {
                let passed = self.passed.args(&dfg.value_lists).nth(index)?;
                resolve_alias(dfg, passed.as_value()?)
            }
            _ => Some(value),
        }
    }

    /// Returns the value of type `ty` that `load`, an instruction of the block, finds in a stack
    /// slot because it was stored there on this way.
    fn stored(&self, load: Inst, ty: Type) -> Option<Value> {
        let func = self.func;
        if self.ways.is_header || !self.ways.follows_slots {
            return None;
        }
        let InstructionData::Load {
            arg, flags, offset, ..
        } = func.dfg.insts[load]
        else {
            return None;
        };
        let sought = Sought {
            place: self.place(arg, offset.into())?,
            ty,
            flags,
        };
        // The copy of the join is joined to the block of a jump, so that nothing is between them.
        if func.dfg.insts[self.edge.inst].opcode() != Opcode::Jump {
            return None;
        }
        // Where the limit ends the search, earlier stores may be overwritten ones.
        let before = |inst| {
            let before = std::iter::successors(Some(inst), |&inst| func.layout.prev_inst(inst));
            before.skip(1)
        };
        let mut searched = before(load).chain(before(self.edge.inst)).take(MOST_INSTS);
        searched.find_map(|inst| match self.write(inst, sought) {
            Write::None => None,
            Write::Of(value) => Some(Some(value)),
            Write::Unknown => Some(None),
        })?
    }

    /// Returns what `inst` writes to the sought place.
    fn write(&self, inst: Inst, sought: Sought) -> Write {
        let dfg = &self.func.dfg;
        let data = &dfg.insts[inst];
        let opcode = data.opcode();
        let InstructionData::Store {
            args: [value, address],
            flags,
            offset,
            ..
        } = *data
        else {
            let may_write = opcode.can_store() || opcode.is_call() || opcode.other_side_effects();
            return match may_write {
                true => Write::Unknown,
                false => Write::None,
            };
        };
        let Some((slot, start)) = self.place(address, offset.into()) else {
            return Write::Unknown;
        };
        if slot != sought.place.0 {
            return Write::None;
        }
        // An alias may not resolve.
        let Some(value) = resolve_alias(dfg, value) else {
            return Write::Unknown;
        };
        let ty = dfg.value_type(value);
        let is_plain = opcode == Opcode::Store && ty == sought.ty && flags == sought.flags;
        if start == sought.place.1 && is_plain {
            return Write::Of(value);
        }
        let (start, end) = (start, start.saturating_add(ty.bytes().into()));
        let (from, bytes) = (sought.place.1, sought.ty.bytes());
        match end <= from || from.saturating_add(bytes.into()) <= start {
            true => Write::None,
            false => Write::Unknown,
        }
    }

    /// Returns the slot and the offset `offset` bytes behind `address`.
    fn place(&self, address: Value, mut offset: i64) -> Option<(StackSlot, i64)> {
        let dfg = &self.func.dfg;
        let mut address = resolve_alias(dfg, address)?;
        for _ in 0..MAX_DEPTH {
            address = match dfg.value_def(address) {
                ValueDef::Param(block, _) if block == self.block => self.on_this_way(address)?,
                ValueDef::Result(inst, 0) => match dfg.insts[inst] {
                    InstructionData::StackAddr {
                        stack_slot,
                        offset: start,
                        ..
                    } => return Some((stack_slot, offset.checked_add(start.into())?)),
                    InstructionData::Binary {
                        opcode: Opcode::Iadd,
                        args: [one, other],
                    } => {
                        let (base, added) =
                            match (constant(self.func, one), constant(self.func, other)) {
                                (None, Some(added)) => (one, added),
                                (Some(added), None) => (other, added),
                                _ => return None,
                            };
                        offset = offset.checked_add(sign_extend(added, dfg.value_type(base)))?;
                        resolve_alias(dfg, base)?
                    }
                    _ => return None,
                },
                _ => return None,
            };
        }
        None
    }

    fn computed(&self, data: &InstructionData, ty: Type, at: At, depth: u32) -> Known {
        let dfg = &self.func.dfg;
        match *data {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => Known::Bits(mask(imm.bits().cast_unsigned(), ty)),
            InstructionData::Unary {
                opcode: opcode @ (Opcode::Uextend | Opcode::Sextend | Opcode::Ireduce),
                arg,
            } => match (opcode, self.known(arg, at, depth)) {
                (Opcode::Uextend | Opcode::Sextend, Known::NotZero) => Known::NotZero,
                (Opcode::Uextend | Opcode::Ireduce, Known::Bits(bits)) => {
                    Known::Bits(mask(bits, ty))
                }
                (Opcode::Sextend, Known::Bits(bits)) => {
                    let bits = sign_extend(bits, dfg.value_type(arg));
                    Known::Bits(mask(bits.cast_unsigned(), ty))
                }
                _ => Known::Nothing,
            },
            InstructionData::IntCompare {
                args: [x, y], cond, ..
            } => {
                let compared = dfg.value_type(x);
                // The second operand is constant more often, and decides nothing alone.
                let (x_known, y_known) = match self.known(y, at, depth) {
                    Known::Nothing => (Known::Nothing, Known::Nothing),
                    known => (self.known(x, at, depth), known),
                };
                match (x_known, y_known) {
                    (Known::Bits(x), Known::Bits(y)) => {
                        Known::Bits(u64::from(compare(cond, x, y, compared)))
                    }
                    (Known::NotZero, Known::Bits(0)) | (Known::Bits(0), Known::NotZero)
                        if cond == IntCC::Equal || cond == IntCC::NotEqual =>
                    {
                        Known::Bits(u64::from(cond == IntCC::NotEqual))
                    }
                    _ => self.compared_before(cond, x, y, at),
                }
            }
            InstructionData::Binary {
                opcode:
                    opcode @ (Opcode::Band | Opcode::Bor | Opcode::Bxor | Opcode::Iadd | Opcode::Isub),
                args: [x, y],
            } => {
                let y = self.known(y, at, depth);
                // Only a zero makes the other operand of `band` irrelevant.
                if y == Known::Nothing && opcode != Opcode::Band {
                    return Known::Nothing;
                }
                match (opcode, self.known(x, at, depth), y) {
                    (Opcode::Band, Known::Bits(x), Known::Bits(y)) => Known::Bits(x & y),
                    (Opcode::Bor, Known::Bits(x), Known::Bits(y)) => Known::Bits(x | y),
                    (Opcode::Bxor, Known::Bits(x), Known::Bits(y)) => Known::Bits(x ^ y),
                    (Opcode::Iadd, Known::Bits(x), Known::Bits(y)) => {
                        Known::Bits(mask(x.wrapping_add(y), ty))
                    }
                    (Opcode::Isub, Known::Bits(x), Known::Bits(y)) => {
                        Known::Bits(mask(x.wrapping_sub(y), ty))
                    }
                    (Opcode::Band, Known::Bits(0), _) | (Opcode::Band, _, Known::Bits(0)) => {
                        Known::Bits(0)
                    }
                    _ => Known::Nothing,
                }
            }
            _ => Known::Nothing,
        }
    }
}
