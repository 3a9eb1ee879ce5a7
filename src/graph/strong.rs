//! Strongly connected components in one walk, without recursion: a chain of calls may be as long as
//! the program.
//!
//! The algorithm is Tarjan's with the single number per node of D. J. Pearce, "A space-efficient
//! algorithm for finding strongly connected components" (Information Processing Letters, 2016).

use super::ids::Span;
use cranelift_entity::EntityRef;

/// Components, each after those to which its edges lead.
#[derive(Debug, Default)]
pub(crate) struct Strong<N> {
    order: Vec<N>,
    /// Each component's part of `order`.
    parts: Vec<Span>,
}

impl<N> Strong<N> {
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Returns the nodes of each component.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[N]> {
        (0..self.parts.len()).map(|number| self.members(number))
    }

    pub(super) fn members(&self, number: usize) -> &[N] {
        let part = self.parts.get(number).copied().unwrap_or_default();
        self.order.get(part.range()).unwrap_or_default()
    }

    pub(super) fn members_mut(&mut self, number: usize) -> &mut [N] {
        let part = self.parts.get(number).copied().unwrap_or_default();
        self.order.get_mut(part.range()).unwrap_or_default()
    }
}

/// A node on the way.
struct Visit {
    node: u32,
    /// Its place in the order of first visits, from 1.
    number: u32,
    /// The edges that are left.
    edges: Span,
}

/// A node whose component is known.
const DONE: u32 = u32::MAX;

/// Returns the components of the first `count` nodes. `edges` are those of a node, as a part of
/// `heads`; edges to other nodes do not count.
pub(super) fn strong_components<N: EntityRef, H: EntityRef>(
    count: usize,
    heads: &[H],
    edges: impl Fn(N) -> Span,
) -> Strong<N> {
    let mut strong = Strong {
        order: Vec::with_capacity(count),
        parts: Vec::with_capacity(count),
    };
    // The least number of a node without a component to which a node is known to lead; 0 before the
    // first visit.
    let mut least = vec![0u32; count];
    let mut visits: Vec<Visit> = Vec::new();
    // Nodes that were visited, and lead to one that was visited before.
    let mut waiting: Vec<u32> = Vec::new();
    let mut visited = 0u32;
    let mut begin = |index: usize, least: &mut [u32]| {
        visited += 1;
        if let Some(least) = least.get_mut(index) {
            *least = visited;
        }
        Visit {
            node: u32::try_from(index).unwrap_or(u32::MAX),
            number: visited,
            edges: edges(N::new(index)),
        }
    };
    for root in 0..count {
        if least.get(root) != Some(&0) {
            continue;
        }
        visits.push(begin(root, &mut least));
        while let Some(visit) = visits.last_mut() {
            let node = visit.node as usize;
            if let Some(edge) = visit.edges.take_first() {
                let head = heads.get(edge).map_or(usize::MAX, |head| head.index());
                match least.get(head).copied() {
                    Some(0) => visits.push(begin(head, &mut least)),
                    Some(known) => lower(&mut least, node, known),
                    None => {}
                }
                continue;
            }
            let own = least.get(node).copied().unwrap_or(DONE);
            let is_root = own == visit.number;
            visits.pop();
            if is_root {
                let start = strong.order.len();
                while let Some(&last) = waiting.last()
                    && least.get(last as usize).is_some_and(|&least| least >= own)
                {
                    waiting.pop();
                    strong.order.push(N::new(last as usize));
                    raise(&mut least, last as usize);
                }
                strong.order.push(N::new(node));
                raise(&mut least, node);
                strong.parts.push((start..strong.order.len()).into());
            } else {
                waiting.push(u32::try_from(node).unwrap_or(u32::MAX));
                if let Some(around) = visits.last() {
                    lower(&mut least, around.node as usize, own);
                }
            }
        }
    }
    strong
}

fn lower(least: &mut [u32], node: usize, to: u32) {
    if let Some(least) = least.get_mut(node) {
        *least = to.min(*least);
    }
}

fn raise(least: &mut [u32], node: usize) {
    if let Some(least) = least.get_mut(node) {
        *least = DONE;
    }
}
