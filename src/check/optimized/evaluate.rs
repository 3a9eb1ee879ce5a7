//! Semantics of pure instructions.

use super::super::comparison::{holds, signed};
use super::contents::{ContentId, Contents, Shapes};
use super::nodes::{Node, Nodes, Side, SlotRef, Term, mask};
use super::tracking::Tracking;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{Endianness, Function, Inst, InstructionData, Opcode, StackSlot, Type};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The tables of terms, contents and slots.
pub(super) struct World {
    pub(super) nodes: Nodes,
    pub(super) contents: Contents,
    pub(super) tracking: Tracking,
    pub(super) endianness: Option<Endianness>,
    /// The number of stores above the memory under examination.
    pub(super) stores_above: u32,
    /// Slots whose addresses are in unknown bytes of a slot after ways met.
    pub(super) hidden: BTreeMap<(Side, StackSlot), BTreeSet<SlotRef>>,
}

pub(super) type Results = SmallVec<[Option<Node>; 2]>;

impl World {
    pub(super) fn slot_address(
        &mut self,
        side: Side,
        slot: StackSlot,
        offset: i64,
        width: u32,
    ) -> Node {
        let named = self.tracking.named(side, slot);
        let is_private = self.tracking.is_private(side, slot);
        self.nodes.slot(named, offset, width, is_private)
    }

    /// Returns the results of an instruction that computes them from `args` alone.
    pub(super) fn evaluate(
        &mut self,
        (func, side): (&Function, Side),
        shapes: &mut Shapes,
        inst: Inst,
        args: &[Option<Node>],
    ) -> Results {
        let results = func.dfg.inst_results(inst);
        let types: SmallVec<[Type; 2]> = results
            .iter()
            .map(|&value| func.dfg.value_type(value))
            .collect();
        let data = func.dfg.insts[inst];
        if let Some(node) = self.leaf(func, side, &data, types.first().copied()) {
            return [Some(node)].into_iter().collect();
        }
        let known: Option<SmallVec<[Node; 4]>> = args.iter().copied().collect();
        let Some(args) = known else {
            return types.iter().map(|_| None).collect();
        };
        if let [ty] = types[..]
            && let Some(node) = self.simplify(func, &data, ty, &args)
        {
            return [Some(node)].into_iter().collect();
        }
        if data.opcode() == Opcode::Isplit {
            let half = self.nodes.width(args[0]) / 2;
            let low = self.nodes.bits(args[0], 0, half);
            let high = self.nodes.bits(args[0], half, half);
            return [Some(low), Some(high)].into_iter().collect();
        }
        let shape = shapes.get(&mut self.contents, func, inst);
        let computed = types.iter().enumerate().map(|(index, ty)| {
            let args: Box<[Node]> = args.iter().copied().collect();
            let term = Term::Computed { shape, index, args };
            Some(self.nodes.node(term, ty.bits()))
        });
        computed.collect()
    }

    fn leaf(
        &mut self,
        func: &Function,
        side: Side,
        data: &InstructionData,
        ty: Option<Type>,
    ) -> Option<Node> {
        let width = ty?.bits();
        let bits: u128 = match *data {
            InstructionData::UnaryImm { imm, .. } => {
                i128::from(imm.bits()).cast_unsigned() & mask(width)
            }
            InstructionData::UnaryIeee16 { imm, .. } => imm.bits().into(),
            InstructionData::UnaryIeee32 { imm, .. } => imm.bits().into(),
            InstructionData::UnaryIeee64 { imm, .. } => imm.bits().into(),
            InstructionData::UnaryConst {
                constant_handle, ..
            } => {
                let bytes = func.dfg.constants.get(constant_handle).as_slice();
                if bytes.len() > 16 || bytes.len() * 8 != width as usize {
                    return None;
                }
                let mut all = [0; 16];
                all[..bytes.len()].copy_from_slice(bytes);
                u128::from_le_bytes(all)
            }
            InstructionData::StackAddr {
                stack_slot, offset, ..
            } => return Some(self.slot_address(side, stack_slot, offset.into(), width)),
            InstructionData::FuncAddr { func_ref, .. } => {
                let name = &func.dfg.ext_funcs.get(func_ref)?.name;
                let name = self.contents.name(func, name);
                return Some(self.nodes.node(Term::Function(name), width));
            }
            _ => return None,
        };
        Some(self.nodes.constant(bits, width))
    }

    fn simplify(
        &mut self,
        func: &Function,
        data: &InstructionData,
        ty: Type,
        args: &[Node],
    ) -> Option<Node> {
        let width = ty.bits();
        match (*data, args) {
            (InstructionData::Unary { opcode, .. }, &[x]) => self.unary(opcode, ty, x),
            (InstructionData::Binary { opcode, .. }, &[x, y]) if ty.is_int() => {
                self.binary(opcode, width, x, y)
            }
            (InstructionData::IntCompare { cond, .. }, &[x, y]) if ty.is_int() => {
                match self.compare(cond, x, y) {
                    Some(holds) => Some(self.nodes.constant(holds.into(), width)),
                    None => self
                        .compare_truth(cond, x, y, width)
                        .or_else(|| self.compare_truth(cond.swap_args(), y, x, width)),
                }
            }
            (
                InstructionData::Ternary {
                    opcode: Opcode::Select,
                    ..
                },
                &[condition, x, y],
            ) => match self.nodes.constant_of(condition) {
                Some(0) => Some(y),
                Some(_) => Some(x),
                None => (x == y).then_some(x),
            },
            // A guard of a known condition stays.
            (
                InstructionData::Ternary {
                    opcode: Opcode::SelectSpectreGuard,
                    ..
                },
                &[_, x, y],
            ) => (x == y).then_some(x),
            (
                InstructionData::LoadNoOffset {
                    opcode: Opcode::Bitcast,
                    arg,
                    flags,
                },
                &[x],
            ) => {
                let from = func.dfg.value_type(arg);
                let flags = func.dfg.mem_flags[flags];
                let order = flags.explicit_endianness().or(self.endianness);
                let same_lanes = from.lane_bits() == ty.lane_bits();
                let is_plain = from.lane_count() == 1 && ty.lane_count() == 1;
                if from.bits() != width || from.is_dynamic_vector() || ty.is_dynamic_vector() {
                    return None;
                }
                if same_lanes || is_plain || order == Some(Endianness::Little) {
                    return Some(x);
                }
                order?;
                let memory = self.lanes_reversed(x, from);
                Some(self.lanes_reversed(memory, ty))
            }
            _ => None,
        }
    }

    /// Returns a vector's bits as they are in memory in big-endian order.
    pub(super) fn lanes_reversed(&mut self, node: Node, ty: Type) -> Node {
        if ty.lane_count() <= 1 {
            return node;
        }
        match *self.nodes.term(node) {
            Term::Reversed(inner, lane) if lane == ty.lane_bits() => inner,
            _ => {
                let term = Term::Reversed(node, ty.lane_bits());
                self.nodes.node(term, ty.bits())
            }
        }
    }

    fn unary(&mut self, opcode: Opcode, ty: Type, x: Node) -> Option<Node> {
        if !ty.is_int() {
            return None;
        }
        let width = ty.bits();
        let from = self.nodes.width(x);
        let constant = self.nodes.constant_of(x);
        match (opcode, constant) {
            (Opcode::Uextend, _) => Some(self.nodes.zero_extended(x, width)),
            (Opcode::Ireduce, _) => Some(self.nodes.bits(x, 0, width)),
            (Opcode::Sextend, Some(bits)) => {
                let bits = signed(bits, from).cast_unsigned();
                Some(self.nodes.constant(bits, width))
            }
            (Opcode::Ineg, Some(bits)) => Some(self.nodes.constant(bits.wrapping_neg(), width)),
            (Opcode::Bnot, Some(bits)) => Some(self.nodes.constant(!bits, width)),
            (Opcode::Bmask, Some(bits)) => {
                let bits = if bits == 0 { 0 } else { u128::MAX };
                Some(self.nodes.constant(bits, width))
            }
            (Opcode::Bswap, _) => Some(self.nodes.swapped(x)),
            _ => None,
        }
    }

    fn binary(&mut self, opcode: Opcode, width: u32, x: Node, y: Node) -> Option<Node> {
        let nodes = &mut self.nodes;
        let constants = (nodes.constant_of(x), nodes.constant_of(y));
        match (opcode, constants) {
            (Opcode::Iconcat, _) => return Some(nodes.row(&[x, y])),
            (Opcode::Ishl | Opcode::Ushr | Opcode::Sshr, (a, Some(by))) => {
                let by = u32::try_from(by % u128::from(width)).ok()?;
                return match (opcode, a) {
                    (Opcode::Ishl, _) => Some(nodes.shifted_left(x, by)),
                    (Opcode::Ushr, _) => Some(nodes.shifted_right(x, by)),
                    (_, Some(a)) => {
                        let bits = signed(a, width) >> by;
                        Some(nodes.constant(bits.cast_unsigned(), width))
                    }
                    _ => None,
                };
            }
            (_, (Some(a), Some(b))) => {
                let bits = match opcode {
                    Opcode::Iadd => a.wrapping_add(b),
                    Opcode::Isub => a.wrapping_sub(b),
                    Opcode::Imul => a.wrapping_mul(b),
                    Opcode::Band => a & b,
                    Opcode::Bor => a | b,
                    Opcode::Bxor => a ^ b,
                    Opcode::Umin => a.min(b),
                    Opcode::Umax => a.max(b),
                    _ => return None,
                };
                return Some(nodes.constant(bits, width));
            }
            (Opcode::Iadd | Opcode::Bor | Opcode::Bxor, (Some(0), _)) => return Some(y),
            (Opcode::Iadd | Opcode::Isub | Opcode::Bor | Opcode::Bxor, (_, Some(0))) => {
                return Some(x);
            }
            (Opcode::Band, (Some(a), _)) => return nodes.masked(y, a),
            (Opcode::Band, (_, Some(b))) => return nodes.masked(x, b),
            _ => {}
        }
        match opcode {
            Opcode::Iadd => self
                .added(x, y)
                .or_else(|| self.added(y, x))
                .or_else(|| self.nodes.disjoint(x, y)),
            Opcode::Isub => match (self.nodes.term(x), self.nodes.term(y)) {
                (&Term::Slot(a, from), &Term::Slot(b, to)) if a == b => {
                    let distance = i128::from(from) - i128::from(to);
                    Some(self.nodes.constant(distance.cast_unsigned(), width))
                }
                (Term::Slot(..), &Term::Constant(bits)) => {
                    let negated = self.nodes.constant(bits.wrapping_neg(), width);
                    self.added(x, negated)
                }
                _ => None,
            },
            Opcode::Bor | Opcode::Bxor => self.nodes.disjoint(x, y),
            _ => None,
        }
    }

    /// Returns the address of a slot, moved by a constant.
    pub(super) fn added(&mut self, address: Node, by: Node) -> Option<Node> {
        let (&Term::Slot(slot, offset), &Term::Constant(bits)) =
            (self.nodes.term(address), self.nodes.term(by))
        else {
            return None;
        };
        let width = self.nodes.width(address);
        let by = i64::try_from(signed(bits, width)).ok()?;
        let offset = offset.checked_add(by)?;
        let is_private = self.tracking.is_named_private(slot);
        Some(self.nodes.slot(slot, offset, width, is_private))
    }

    /// Returns a load and its operand as a key. A place in a slot has one key, whether its offset
    /// is in the load or in the address.
    pub(super) fn load_key(&mut self, load: ContentId, address: Node) -> (ContentId, Node) {
        let found = self.load_in_slot(load, address);
        found.unwrap_or((load, address))
    }

    fn load_in_slot(&mut self, load: ContentId, address: Node) -> Option<(ContentId, Node)> {
        let &Term::Slot(slot, start) = self.nodes.term(address) else {
            return None;
        };
        let (load, offset) = self.contents.without_offset(load)?;
        let start = start.checked_add(offset)?;
        let is_private = self.tracking.is_named_private(slot);
        let width = self.nodes.width(address);
        Some((load, self.nodes.slot(slot, start, width, is_private)))
    }

    /// Decides the comparison of a constant and a number that is 1 or 0 as another comparison holds
    /// or not. The answer is that other comparison, or its opposite.
    fn compare_truth(&mut self, cond: IntCC, x: Node, y: Node, width: u32) -> Option<Node> {
        let constant = self.nodes.constant_of(y)?;
        let of = self.nodes.width(x);
        let truth = match self.nodes.term(x) {
            Term::Row(parts) => {
                let (&low, high) = parts.split_first()?;
                let mut high = high.iter();
                let is_zero = |&part: &Node| self.nodes.constant_of(part) == Some(0);
                high.all(is_zero).then_some(low)?
            }
            _ => x,
        };
        let Term::Computed {
            shape,
            index: 0,
            args,
        } = self.nodes.term(truth)
        else {
            return None;
        };
        let (shape, args) = (*shape, args.clone());
        if self.nodes.width(truth) != width || !self.contents.is_comparison(shape) {
            return None;
        }
        match [0, 1].map(|truth| holds(cond, truth, constant, of)) {
            [false, true] => Some(truth),
            [true, false] => {
                let shape = self.contents.opposite(shape)?;
                let term = Term::Computed {
                    shape,
                    index: 0,
                    args,
                };
                Some(self.nodes.node(term, width))
            }
            _ => None,
        }
    }

    fn compare(&self, cond: IntCC, x: Node, y: Node) -> Option<bool> {
        use IntCC::*;
        if x == y {
            return Some(matches!(
                cond,
                Equal
                    | SignedLessThanOrEqual
                    | SignedGreaterThanOrEqual
                    | UnsignedLessThanOrEqual
                    | UnsignedGreaterThanOrEqual
            ));
        }
        let width = self.nodes.width(x);
        let (a, b) = match (self.nodes.term(x), self.nodes.term(y)) {
            (&Term::Constant(a), &Term::Constant(b)) => (a, b),
            (&Term::Slot(a, from), &Term::Slot(b, to)) if a == b => {
                // The end of a slot is not below any byte of it.
                let size = i64::from(self.tracking.size(a.0, a.1));
                let are_inside = [from, to].iter().all(|at| (0..=size).contains(at));
                return match cond {
                    Equal => Some(from == to),
                    NotEqual => Some(from != to),
                    _ if !are_inside => None,
                    // No slot lies on both sides of address 0.
                    UnsignedLessThan => Some(from < to),
                    UnsignedLessThanOrEqual => Some(from <= to),
                    UnsignedGreaterThan => Some(from > to),
                    UnsignedGreaterThanOrEqual => Some(from >= to),
                    _ => None,
                };
            }
            // No byte of a slot is at address 0.
            (&Term::Slot(slot, offset), &Term::Constant(0))
                if self.tracking.is_inside(slot, offset) =>
            {
                (1, 0)
            }
            (&Term::Constant(0), &Term::Slot(slot, offset))
                if self.tracking.is_inside(slot, offset) =>
            {
                (0, 1)
            }
            _ => return None,
        };
        let are_constant = [x, y]
            .iter()
            .all(|&node| self.nodes.constant_of(node).is_some());
        let is_signed = cond != cond.unsigned();
        if is_signed && !are_constant {
            return None;
        }
        Some(holds(cond, a, b, width))
    }
}
