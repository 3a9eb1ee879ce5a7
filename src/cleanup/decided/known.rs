//! Facts about values on the way into a block.

use crate::body::resolve_alias;
use crate::cleanup::constant::{compare, mask, sign_extend};
use crate::cleanup::flow::{Edge, Flow};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, InstructionData, Opcode, Type, Value, ValueDef,
};
use smallvec::SmallVec;

/// A condition is rarely wrapped more often.
const MAX_DEPTH: u32 = 6;

/// The number of blocks with one way in that are searched for earlier branches.
const MOST_BRANCHES: usize = 8;

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
}

type Facts = SmallVec<[(Value, Known); 8]>;

impl<'a> Ways<'a> {
    pub(super) fn new(func: &'a Function, flow: &'a Flow, block: Block) -> Self {
        Ways { func, flow, block }
    }

    /// Returns the facts about `value` in the block when it is entered by `edge`, with the
    /// arguments of `passed`.
    pub(super) fn known(&self, edge: Edge, passed: BlockCall, value: Value) -> Known {
        let way = Way {
            func: self.func,
            block: self.block,
            passed,
            facts: self.facts(edge),
        };
        way.known(value, MAX_DEPTH)
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
        facts.push((value, known));
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
                            facts.extend(resolve_alias(dfg, of).map(|of| (of, Known::Bits(bits))));
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

/// One way into a block.
struct Way<'a> {
    func: &'a Function,
    block: Block,
    passed: BlockCall,
    facts: Facts,
}

impl Way<'_> {
    fn known(&self, value: Value, depth: u32) -> Known {
        let dfg = &self.func.dfg;
        let (Some(depth), Some(value)) = (depth.checked_sub(1), resolve_alias(dfg, value)) else {
            return Known::Nothing;
        };
        let ty = dfg.value_type(value);
        if !ty.is_int() || ty.bits() > 64 {
            return Known::Nothing;
        }
        if let Some((_, known)) = self.facts.iter().find(|(of, _)| *of == value) {
            return *known;
        }
        match dfg.value_def(value) {
            ValueDef::Param(block, index) if block == self.block => {
                match self.passed.args(&dfg.value_lists).nth(index) {
                    // The arguments do not depend on the block's own parameters: the block is not
                    // the header of a loop.
                    Some(BlockArg::Value(value)) => self.known(value, depth),
                    _ => Known::Nothing,
                }
            }
            ValueDef::Result(inst, 0) => self.computed(&dfg.insts[inst], ty, depth),
            _ => Known::Nothing,
        }
    }

    fn computed(&self, data: &InstructionData, ty: Type, depth: u32) -> Known {
        let dfg = &self.func.dfg;
        match *data {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => Known::Bits(mask(imm.bits().cast_unsigned(), ty)),
            InstructionData::Unary { opcode, arg } => match (opcode, self.known(arg, depth)) {
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
                match (self.known(x, depth), self.known(y, depth)) {
                    (Known::Bits(x), Known::Bits(y)) => {
                        Known::Bits(u64::from(compare(cond, x, y, compared)))
                    }
                    (Known::NotZero, Known::Bits(0)) | (Known::Bits(0), Known::NotZero) => {
                        match cond {
                            IntCC::Equal => Known::Bits(0),
                            IntCC::NotEqual => Known::Bits(1),
                            _ => Known::Nothing,
                        }
                    }
                    _ => Known::Nothing,
                }
            }
            InstructionData::Binary {
                opcode,
                args: [x, y],
            } => match (opcode, self.known(x, depth), self.known(y, depth)) {
                (Opcode::Band, Known::Bits(x), Known::Bits(y)) => Known::Bits(x & y),
                (Opcode::Bor, Known::Bits(x), Known::Bits(y)) => Known::Bits(x | y),
                (Opcode::Bxor, Known::Bits(x), Known::Bits(y)) => Known::Bits(x ^ y),
                (Opcode::Band, Known::Bits(0), _) | (Opcode::Band, _, Known::Bits(0)) => {
                    Known::Bits(0)
                }
                _ => Known::Nothing,
            },
            _ => Known::Nothing,
        }
    }
}
