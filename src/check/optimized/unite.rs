//! Terms that are equal if slots are.
//!
//! If terms that must be equal differ only in slots, these slots are paired. The contents of slots
//! before their first store are found likewise.

use super::nodes::{Node, Side, Symbol, Term};
use super::walk::Walk;
use cranelift_codegen::ir::Block;
use rustc_hash::FxHashSet;

/// The maximum number of terms that are compared before they are taken to be different.
const MAX_TERMS: usize = 1000;

impl Walk<'_> {
    /// Pairs the slots at the same places of two terms that must be equal; returns whether the next
    /// round may find them equal.
    pub(super) fn unites(&mut self, a: Node, b: Node) -> bool {
        let mut seen: FxHashSet<(Node, Node)> = FxHashSet::default();
        let mut found = false;
        let mut work = vec![(a, b)];
        while let Some((a, b)) = work.pop() {
            if a == b || seen.len() > MAX_TERMS || !seen.insert((a, b)) {
                continue;
            }
            match (self.world.nodes.term(a), self.world.nodes.term(b)) {
                (&Term::Slot((Side::Before, a), x), &Term::Slot((Side::After, b), y)) if x == y => {
                    found |= self.world.tracking.unite(a, b);
                }
                (
                    &Term::Symbol(Symbol::Uninitialised(Side::Before, a)),
                    &Term::Symbol(Symbol::Uninitialised(Side::After, b)),
                ) => found |= self.world.tracking.unite(a, b),
                (Term::Symbol(Symbol::Join(x, _)), Term::Symbol(Symbol::Join(y, _))) if x == y => {
                    let joined = &self.world.nodes.joined;
                    // The last ones are those of the fixpoint; one side may have found it later.
                    let [x, y] = [a, b].map(|node| joined.get(&node).into_iter().flatten().rev());
                    for (&(old, new), &(other_old, other_new)) in x.zip(y) {
                        work.extend([(old, other_old), (new, other_new)]);
                    }
                }
                // A value that was joined byte by byte is a row where some of its bytes are those
                // of another joined value.
                (&Term::Symbol(Symbol::Join(block, _)), y) => {
                    let pieces = parts(y).into_iter();
                    let pieces = pieces.filter(|&piece| self.is_joined_at(piece, block));
                    work.extend(pieces.map(|piece| (a, piece)));
                }
                (x, &Term::Symbol(Symbol::Join(block, _))) => {
                    let pieces = parts(x).into_iter();
                    let pieces = pieces.filter(|&piece| self.is_joined_at(piece, block));
                    work.extend(pieces.map(|piece| (piece, b)));
                }
                (x, y) => work.extend(parts(x).into_iter().zip(parts(y))),
            }
        }
        found || self.choose_zeros(a)
    }

    /// Returns whether a term is a value that was joined at the start of a block, or bits of one.
    fn is_joined_at(&self, node: Node, block: Block) -> bool {
        match *self.world.nodes.term(node) {
            Term::Symbol(Symbol::Join(at, _)) => at == block,
            Term::Bits(of, _) => self.is_joined_at(of, block),
            _ => false,
        }
    }

    /// Decides that slots on which a term of the function before depends held zeros when the
    /// function was called, where that was open.
    pub(super) fn choose_zeros(&mut self, node: Node) -> bool {
        let mut seen: FxHashSet<Node> = FxHashSet::default();
        let mut found = false;
        let mut work = vec![node];
        while let Some(node) = work.pop() {
            if !seen.insert(node) || seen.len() > MAX_TERMS {
                continue;
            }
            if let Some(joined) = self.world.nodes.joined.get(&node) {
                work.extend(joined.iter().flat_map(|&(old, new)| [old, new]));
            }
            match self.world.nodes.term(node) {
                &Term::Symbol(Symbol::Uninitialised(Side::Before, slot)) => {
                    found |= self.world.tracking.choose_zeros(slot);
                }
                term => work.extend(parts(term)),
            }
        }
        found
    }
}

/// Returns the parts of a term.
fn parts(term: &Term) -> Vec<Node> {
    match term {
        Term::Computed { args, .. } | Term::Row(args) | Term::Sequence(args) => args.to_vec(),
        &Term::Bits(of, _)
        | &Term::Reversed(of, _)
        | &Term::SwappedBytes(of)
        | &Term::Piece(of, _)
        | &Term::Image(of, _)
        | &Term::View(of, _)
        | &Term::Part(of, _) => vec![of],
        Term::Memory { behind, pieces } => {
            let pieces = pieces.iter().map(|&(_, _, node)| node);
            std::iter::once(*behind).chain(pieces).collect()
        }
        &Term::Stored {
            memory,
            address,
            value,
            ..
        } => vec![memory, address, value],
        &Term::Overlaid {
            below,
            address,
            value,
            ..
        } => vec![below, address, value],
        &Term::Read {
            memory, address, ..
        } => vec![memory, address],
        Term::Symbol(_) | Term::Constant(_) | Term::Slot(..) | Term::Function(_) | Term::Zeros => {
            Vec::new()
        }
    }
}
