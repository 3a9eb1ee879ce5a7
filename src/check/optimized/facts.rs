//! Facts from branches.

use super::super::comparison::{holds, signed};
use super::evaluate::World;
use super::nodes::{Node, Term, mask};
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{InstructionData, Opcode};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::slice;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    Is(u128),
    NotZero,
}

impl Fact {
    /// Returns the fact that holds if one of two facts does.
    pub(super) fn either(self, other: Fact) -> Option<Fact> {
        if self == other {
            return Some(self);
        }
        let is_not_zero = |fact| !matches!(fact, Fact::Is(0));
        (is_not_zero(self) && is_not_zero(other)).then_some(Fact::NotZero)
    }
}

pub(super) type Facts = BTreeMap<Node, Fact>;

/// The maximum depth to which conditions are examined.
const MAX_DEPTH: u32 = 6;

/// With more facts, those about values of the past are dropped.
pub(super) const MANY_FACTS: usize = 64;

/// Drops the facts that no condition on `live` values asks for: those about terms that are neither
/// parts of these values nor computed from such parts in one step. Without that, a chain of tests
/// would carry a fact about each of its values to its end.
pub(super) fn keep_about(world: &World, facts: &mut Facts, live: Vec<Node>) {
    let nodes = &world.nodes;
    let mut parts: FxHashSet<Node> = live.iter().copied().collect();
    let mut level = live;
    for _ in 0..MAX_DEPTH {
        let operands = level.iter().flat_map(|&node| operands(nodes.term(node)));
        level = operands
            .copied()
            .filter(|&node| parts.insert(node))
            .collect();
    }
    let is_part = |node: &Node| parts.contains(node) || nodes.constant_of(*node).is_some();
    facts.retain(|node, _| {
        let operands = operands(nodes.term(*node));
        is_part(node) || !operands.is_empty() && operands.iter().all(is_part)
    });
}

/// Returns the terms by which facts about a term are found.
fn operands(term: &Term) -> &[Node] {
    match term {
        Term::Computed { args, .. } => args,
        Term::Row(parts) => parts,
        Term::Bits(of, _) => slice::from_ref(of),
        _ => &[],
    }
}

/// Returns the value of a term, if it is known here.
pub(super) fn value_of(world: &World, facts: &Facts, node: Node) -> Option<u128> {
    value_at(world, facts, node, MAX_DEPTH)
}

/// Returns whether a term is not zero, if that is known here.
pub(super) fn truth_of(world: &World, facts: &Facts, node: Node) -> Option<bool> {
    truth_at(world, facts, node, MAX_DEPTH)
}

/// Returns the fact about a term that is known without looking at its parts.
pub(super) fn known_fact(world: &World, facts: &Facts, node: Node) -> Option<Fact> {
    match world.nodes.constant_of(node) {
        Some(bits) => Some(Fact::Is(bits)),
        None => facts.get(&node).copied(),
    }
}

fn value_at(world: &World, facts: &Facts, node: Node, depth: u32) -> Option<u128> {
    let depth = depth.checked_sub(1)?;
    let nodes = &world.nodes;
    if let Some(bits) = nodes.constant_of(node) {
        return Some(bits);
    }
    if let Some(Fact::Is(bits)) = facts.get(&node) {
        return Some(*bits);
    }
    match nodes.term(node) {
        Term::Row(parts) if nodes.width(node) <= 128 => {
            let mut all = 0;
            let mut low = 0;
            for &part in parts {
                all |= value_at(world, facts, part, depth)? << low;
                low += nodes.width(part);
            }
            Some(all)
        }
        Term::Bits(of, low) => {
            let bits = value_at(world, facts, *of, depth)?;
            Some(bits.checked_shr(*low)? & mask(nodes.width(node)))
        }
        Term::Computed { .. } => {
            let Some((cond, x, y)) = comparison(world, node) else {
                return calculated(world, facts, node, depth);
            };
            let values = [x, y].map(|node| value_at(world, facts, node, depth));
            let equal = match values {
                [Some(a), Some(b)] => {
                    return Some(holds(cond, a, b, world.nodes.width(x)).into());
                }
                [Some(0), None] => truth_at(world, facts, y, depth).map(|truth| !truth),
                [None, Some(0)] => truth_at(world, facts, x, depth).map(|truth| !truth),
                _ => None,
            };
            match (cond, equal) {
                (IntCC::Equal, Some(equal)) => Some(equal.into()),
                (IntCC::NotEqual, Some(equal)) => Some((!equal).into()),
                _ => Some(compared(world, facts, (cond, x, y))?.into()),
            }
        }
        _ => None,
    }
}

/// Returns the value of a sum, a difference, an extension or combined bits of known values.
fn calculated(world: &World, facts: &Facts, node: Node, depth: u32) -> Option<u128> {
    if let Some(x) = sign_extended(world, node) {
        let bits = value_at(world, facts, x, depth)?;
        let bits = signed(bits, world.nodes.width(x)).cast_unsigned();
        return Some(bits & mask(world.nodes.width(node)));
    }
    let Term::Computed { shape, args, .. } = world.nodes.term(node) else {
        return None;
    };
    let &[x, y] = &args[..] else {
        return None;
    };
    if !world.contents.is_scalar(*shape) {
        return None;
    }
    let [a, b] = [x, y].map(|node| value_at(world, facts, node, depth));
    let bits = match (world.contents.opcode(*shape)?, a, b) {
        (Opcode::Band, Some(0), _) | (Opcode::Band, _, Some(0)) => 0,
        (Opcode::Band, Some(a), Some(b)) => a & b,
        (Opcode::Bor, Some(a), Some(b)) => a | b,
        (Opcode::Bxor, Some(a), Some(b)) => a ^ b,
        (Opcode::Iadd, Some(a), Some(b)) => a.wrapping_add(b),
        (Opcode::Isub, Some(a), Some(b)) => a.wrapping_sub(b),
        _ => return None,
    };
    Some(bits & mask(world.nodes.width(node)))
}

/// Returns whether a comparison holds, by the facts about one with the same operands, in either
/// order.
fn compared(world: &World, facts: &Facts, (cond, x, y): (IntCC, Node, Node)) -> Option<bool> {
    facts.iter().find_map(|(&node, &fact)| {
        let (of, a, b) = comparison(world, node)?;
        let of = match (a, b) {
            operands if operands == (x, y) => of,
            operands if operands == (y, x) => of.swap_args(),
            _ => return None,
        };
        let holds = fact != Fact::Is(0);
        if of == cond {
            return Some(holds);
        }
        (of == cond.complement()).then_some(!holds)
    })
}

fn truth_at(world: &World, facts: &Facts, node: Node, depth: u32) -> Option<bool> {
    if let Some(bits) = value_at(world, facts, node, depth) {
        return Some(bits != 0);
    }
    let depth = depth.checked_sub(1)?;
    if facts.get(&node) == Some(&Fact::NotZero) {
        return Some(true);
    }
    match world.nodes.term(node) {
        Term::Row(parts) => {
            let mut parts = parts.iter();
            let is_some = parts.any(|&part| truth_at(world, facts, part, depth) == Some(true));
            is_some.then_some(true)
        }
        &Term::Slot(slot, offset) => world.tracking.is_inside(slot, offset).then_some(true),
        _ => truth_at(world, facts, sign_extended(world, node)?, depth),
    }
}

/// Returns the number of which a term is the sign extension: both are zero or none.
fn sign_extended(world: &World, node: Node) -> Option<Node> {
    let Term::Computed { shape, args, .. } = world.nodes.term(node) else {
        return None;
    };
    let is_extension = world.contents.opcode(*shape) == Some(Opcode::Sextend);
    match args[..] {
        [x] if is_extension && world.contents.is_scalar(*shape) => Some(x),
        _ => None,
    }
}

/// Returns the operands of a comparison of scalars.
pub(super) fn comparison(world: &World, node: Node) -> Option<(IntCC, Node, Node)> {
    let Term::Computed { shape, args, .. } = world.nodes.term(node) else {
        return None;
    };
    match (world.contents.data(*shape)?, &args[..]) {
        (InstructionData::IntCompare { cond, .. }, &[x, y]) if world.contents.is_scalar(*shape) => {
            Some((*cond, x, y))
        }
        _ => None,
    }
}

/// Notes the value of a term, unless another fact about it is known.
pub(super) fn learn_value(world: &World, facts: &mut Facts, node: Node, value: u128) {
    let is_contradiction = value == 0 && truth_of(world, facts, node) == Some(true);
    if !is_contradiction && value_of(world, facts, node).is_none() {
        facts.insert(node, Fact::Is(value));
    }
}

/// Notes that a term is zero or is not. An earlier fact stays: if it contradicts this one, the way
/// is never taken, and the function before may follow either.
pub(super) fn learn(world: &World, facts: &mut Facts, node: Node, truth: bool) {
    if truth_of(world, facts, node).is_some() {
        return;
    }
    learn_at(world, facts, node, truth, MAX_DEPTH);
}

fn learn_at(world: &World, facts: &mut Facts, node: Node, truth: bool, depth: u32) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    let nodes = &world.nodes;
    if nodes.constant_of(node).is_some() || matches!(facts.get(&node), Some(Fact::Is(_))) {
        return;
    }
    let is_comparison = comparison(world, node);
    let fact = match truth {
        false => Fact::Is(0),
        // The result of a comparison is 0 or 1.
        true if is_comparison.is_some() => Fact::Is(1),
        true => Fact::NotZero,
    };
    facts.insert(node, fact);
    if let Some((cond, x, y)) = is_comparison {
        let equal = match cond {
            IntCC::Equal => truth,
            IntCC::NotEqual => !truth,
            _ => return,
        };
        for (x, y) in [(x, y), (y, x)] {
            match (nodes.constant_of(y), equal) {
                (Some(0), equal) => learn_at(world, facts, x, !equal, depth),
                (Some(bits), true) => {
                    facts.insert(x, Fact::Is(bits));
                }
                _ => {}
            }
        }
    }
    if let Some(x) = sign_extended(world, node) {
        learn_at(world, facts, x, truth, depth);
    }
    if let Term::Row(parts) = nodes.term(node) {
        let open = parts
            .iter()
            .filter(|&&part| nodes.constant_of(part) != Some(0));
        let open: Vec<Node> = open.copied().collect();
        match (truth, &open[..]) {
            (true, &[only]) => learn_at(world, facts, only, true, depth),
            (true, _) => {}
            (false, open) => {
                for &part in open {
                    learn_at(world, facts, part, false, depth);
                }
            }
        }
    }
}
