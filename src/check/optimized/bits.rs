//! Terms composed of bits of others.
//!
//! Shifts by constants, masks, widening, narrowing, and loads of parts of stored values are all
//! rows of bits, which have one canonical form.

use super::nodes::{Node, Nodes, Term, mask};
use smallvec::SmallVec;

/// A run of bits of a term: the first one, and the number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    of: Node,
    low: u32,
    width: u32,
}

type Runs = SmallVec<[Run; 4]>;

/// Longer rows stay the instructions that make them.
const MAX_RUNS: usize = 64;

impl Nodes {
    fn runs(&self, node: Node) -> Runs {
        let mut runs = Runs::new();
        self.collect_runs(node, &mut runs);
        runs
    }

    fn collect_runs(&self, node: Node, runs: &mut Runs) {
        let width = self.width(node);
        match self.term(node) {
            Term::Bits(of, low) => runs.push(Run {
                of: *of,
                low: *low,
                width,
            }),
            // Rows are not nested.
            Term::Row(parts) => parts.iter().for_each(|&part| self.collect_runs(part, runs)),
            _ => runs.push(Run {
                of: node,
                low: 0,
                width,
            }),
        }
    }

    fn slice(&self, runs: &Runs, low: u32, width: u32) -> Runs {
        let mut start = 0;
        let mut slice = Runs::new();
        for run in runs {
            let (from, to) = (low.max(start), (low + width).min(start + run.width));
            if from < to {
                slice.push(Run {
                    of: run.of,
                    low: run.low + (from - start),
                    width: to - from,
                });
            }
            start += run.width;
        }
        slice
    }

    fn build(&mut self, runs: Runs) -> Node {
        let mut parts: SmallVec<[Run; 4]> = SmallVec::new();
        for mut run in runs {
            if let Some(bits) = self.constant_of(run.of) {
                let bits = bits.checked_shr(run.low).unwrap_or(0);
                run.of = self.constant(bits, run.width);
                run.low = 0;
            }
            let Some(last) = parts.last_mut() else {
                parts.push(run);
                continue;
            };
            if last.of == run.of && last.low + last.width == run.low {
                last.width += run.width;
                continue;
            }
            let width = last.width + run.width;
            if let (Some(a), Some(b)) = (self.constant_of(last.of), self.constant_of(run.of))
                && width <= 128
            {
                last.of = self.constant(a | b << last.width, width);
                last.width = width;
                continue;
            }
            parts.push(run);
        }
        let mut nodes: SmallVec<[Node; 4]> = SmallVec::new();
        let mut all = 0;
        for Run { of, low, width } in parts {
            all += width;
            nodes.push(match low == 0 && width == self.width(of) {
                true => of,
                false => self.node(Term::Bits(of, low), width),
            });
        }
        match nodes[..] {
            [only] => only,
            _ => self.node(Term::Row(nodes.into_boxed_slice()), all),
        }
    }

    /// Returns bits of a term; `low + width` is at most its width.
    pub(super) fn bits(&mut self, node: Node, low: u32, width: u32) -> Node {
        if low == 0 && width == self.width(node) {
            return node;
        }
        let runs = self.runs(node);
        let runs = self.slice(&runs, low, width);
        self.build(runs)
    }

    /// Returns terms side by side, from the lowest bits on.
    pub(super) fn row(&mut self, parts: &[Node]) -> Node {
        let mut runs = Runs::new();
        for &part in parts {
            self.collect_runs(part, &mut runs);
        }
        self.build(runs)
    }

    pub(super) fn zero_extended(&mut self, node: Node, width: u32) -> Node {
        let more = width.saturating_sub(self.width(node));
        if more == 0 {
            return node;
        }
        let zeros = self.constant(0, more);
        self.row(&[node, zeros])
    }

    pub(super) fn shifted_left(&mut self, node: Node, by: u32) -> Node {
        let width = self.width(node);
        if by == 0 || by >= width {
            return node;
        }
        let zeros = self.constant(0, by);
        let kept = self.bits(node, 0, width - by);
        self.row(&[zeros, kept])
    }

    pub(super) fn shifted_right(&mut self, node: Node, by: u32) -> Node {
        let width = self.width(node);
        if by == 0 || by >= width {
            return node;
        }
        let kept = self.bits(node, by, width - by);
        self.zero_extended(kept, width)
    }

    /// Returns `node & constant`, if the constant has few runs of ones.
    pub(super) fn masked(&mut self, node: Node, constant: u128) -> Option<Node> {
        let width = self.width(node);
        let mut parts: SmallVec<[Node; 4]> = SmallVec::new();
        let mut low = 0;
        while low < width {
            let rest = constant >> low;
            let ones = rest & 1 == 1;
            let run = match ones {
                true => rest.trailing_ones(),
                false if rest == 0 => width - low,
                false => rest.trailing_zeros(),
            };
            let run = run.min(width - low);
            parts.push(match ones {
                true => self.bits(node, low, run),
                false => self.constant(0, run),
            });
            low += run;
            if parts.len() > 4 {
                return None;
            }
        }
        Some(self.row(&parts))
    }

    /// Returns `a | b`, if each bit is known to be zero in one of them.
    pub(super) fn disjoint(&mut self, a: Node, b: Node) -> Option<Node> {
        let is_row = |node: Node| matches!(self.term(node), Term::Row(_));
        let constants = [a, b].map(|node| self.constant_of(node));
        match constants {
            [None, None] if is_row(a) && is_row(b) => {}
            [Some(_), None] if is_row(b) => {}
            [None, Some(_)] if is_row(a) => {}
            _ => return None,
        }
        let (a, b) = (self.runs(a), self.runs(b));
        if a.len() + b.len() > MAX_RUNS {
            return None;
        }
        // Constants are cut where zeros begin or end, to a byte.
        let mut cuts: SmallVec<[u32; 8]> = SmallVec::new();
        for runs in [&a, &b] {
            let mut start = 0;
            for run in runs {
                if let Some(bits) = self.constant_of(run.of) {
                    let bits = bits.checked_shr(run.low).unwrap_or(0) & mask(run.width);
                    let inner = [bits.trailing_zeros(), 128 - bits.leading_zeros()];
                    let inner = inner.into_iter().filter(|&at| 0 < at && at < run.width);
                    cuts.extend(inner.map(|at| start + at));
                    let is_zero = |at: u32| bits >> at & 0xff == 0;
                    let bytes = (8..run.width.min(128)).step_by(8);
                    let bytes = bytes.filter(|&at| is_zero(at - 8) != is_zero(at));
                    cuts.extend(bytes.map(|at| start + at));
                }
                start += run.width;
                cuts.push(start);
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        let mut runs = Runs::new();
        let mut start = 0;
        for end in cuts {
            let [a, b] = [&a, &b].map(|runs| self.slice(runs, start, end - start));
            let is_zero = |runs: &Runs| {
                runs.iter().all(|run| {
                    let bits = self.constant_of(run.of);
                    bits.is_some_and(|bits| {
                        bits.checked_shr(run.low).unwrap_or(0) & mask(run.width) == 0
                    })
                })
            };
            match (is_zero(&a), is_zero(&b)) {
                (true, _) => runs.extend(b),
                (_, true) => runs.extend(a),
                _ => return None,
            }
            start = end;
        }
        Some(self.build(runs))
    }
}
