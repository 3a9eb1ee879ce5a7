//! Terms that are equal if slots are.
//!
//! Which slot of the optimised function is which of the other is found where terms that must be
//! equal differ in slots alone. What a slot holds that nothing was stored in is found likewise.

use super::nodes::{Node, Side, Symbol, Term};
use super::walk::Walk;
use rustc_hash::FxHashSet;

/// How many terms are looked through that turn out to be different.
const MAX_TERMS: usize = 1000;

impl Walk<'_> {
    /// Whether two terms are equal if slots in them are the same: takes slots in the same places
    /// of them for one.
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
                    let [x, y] = [a, b].map(|node| joined.get(&node).into_iter().flatten());
                    for (&(old, new), &(other_old, other_new)) in x.zip(y) {
                        work.extend([(old, other_old), (new, other_new)]);
                    }
                }
                (x, y) => work.extend(parts(x).into_iter().zip(parts(y))),
            }
        }
        found || self.choose_zeros(a)
    }

    /// Decides that slots which a term of the function before depends on held zeros when the
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

/// What a term is made of.
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
