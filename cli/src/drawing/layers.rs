//! One connected part of a graph in layers, callers above callees.
//!
//! The steps are those of Sugiyama, Tagawa and Toda ("Methods for Visual Understanding of
//! Hierarchical System Structures", 1981): arrows that close a cycle are turned round, each node
//! gets a layer, arrows over several layers are cut into pieces that lead from layer to layer, and
//! the order in a layer follows the middle of the neighbours. Each step except sorting is linear in
//! nodes and arrows. A layer that is too wide becomes several rows.

use super::layout::{Gaps, Point, Size};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::DfsPostOrder;

/// The width of an arrow's piece.
const PIECE_WIDTH: f64 = 6.0;
/// The number of passes over the order of all layers, from the top and from the bottom.
const SWEEPS: usize = 8;
/// The number of times that nodes move towards the middle of their neighbours.
const SHIFTS: usize = 6;
/// The least width of a part before its layers become several rows.
const NARROW: f64 = 1600.0;

/// Places within a part, whose upper left corner is (0, 0).
pub(super) struct Arranged {
    /// The middle of each node.
    pub(super) middles: Vec<Point>,
    /// The points that long arrows pass, from the upper end to the lower, by their ends.
    pub(super) bends: Vec<((usize, usize), Vec<Point>)>,
    pub(super) size: Size,
}

/// Arranges nodes of these sizes. `edges` lead from one node to another, never to the same one.
pub(super) fn arrange(sizes: &[Size], edges: &[(usize, usize)], gaps: Gaps) -> Arranged {
    let downward = downward(sizes.len(), edges);
    let mut items = Items::new(sizes, &downward);
    items.sort();
    items.place(gaps)
}

/// Edges from upper to lower ends, and the nodes from callers to callees.
struct Downward {
    edges: Vec<(usize, usize)>,
    order: Vec<usize>,
}

/// Reverses the edges that close a cycle.
fn downward(count: usize, edges: &[(usize, usize)]) -> Downward {
    let mut graph: DiGraph<(), (), usize> = DiGraph::with_capacity(count, edges.len());
    for _ in 0..count {
        graph.add_node(());
    }
    let mut is_called = vec![false; count];
    // The walk takes the last edge first.
    for &(a, b) in edges.iter().rev() {
        graph.add_edge(a.into(), b.into(), ());
        is_called[b] = true;
    }
    let roots = (0..count).filter(|&node| !is_called[node]);
    let others = (0..count).filter(|&node| is_called[node]);
    let mut walk = DfsPostOrder::empty(&graph);
    let mut order = Vec::with_capacity(count);
    for start in roots.chain(others) {
        walk.move_to(NodeIndex::new(start));
        while let Some(node) = walk.next(&graph) {
            order.push(node.index());
        }
    }
    order.reverse();
    let mut rank = vec![0; count];
    for (place, &node) in order.iter().enumerate() {
        rank[node] = place;
    }
    let turned = |&(a, b): &(usize, usize)| if rank[a] < rank[b] { (a, b) } else { (b, a) };
    let mut edges: Vec<_> = edges.iter().map(turned).collect();
    edges.sort_unstable_by_key(|&(a, b)| (rank[a], rank[b]));
    edges.dedup();
    Downward { edges, order }
}

/// Returns the layer of each node, from 0 at the top: below its callers, and no higher than its
/// callees need it.
fn layers(downward: &Downward) -> Vec<usize> {
    let Downward { edges, order } = downward;
    let mut layers = vec![0; order.len()];
    // The edges are sorted by the upper end, so the node above is done.
    for &(a, b) in edges {
        layers[b] = layers[b].max(layers[a] + 1);
    }
    let mut has_caller = vec![false; order.len()];
    let mut highest_callee = vec![usize::MAX; order.len()];
    for &(a, b) in edges {
        has_caller[b] = true;
        highest_callee[a] = highest_callee[a].min(layers[b]);
    }
    for node in 0..order.len() {
        if !has_caller[node] && highest_callee[node] != usize::MAX {
            layers[node] = highest_callee[node] - 1;
        }
    }
    layers
}

/// The contents of the layers: the nodes, and after them the pieces of arrows.
struct Items<'a> {
    sizes: &'a [Size],
    /// The items of each layer, from left to right.
    rows: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// The pieces of arrows over several layers, from the top.
    pieces: Vec<((usize, usize), Vec<usize>)>,
}

impl<'a> Items<'a> {
    fn new(sizes: &'a [Size], downward: &Downward) -> Self {
        let count = sizes.len();
        let layers = layers(downward);
        let depth = layers.iter().max().map_or(0, |last| last + 1);
        let mut items = Self {
            sizes,
            rows: vec![Vec::new(); depth],
            above: vec![Vec::new(); count],
            below: vec![Vec::new(); count],
            pieces: Vec::new(),
        };
        for &node in &downward.order {
            items.rows[layers[node]].push(node);
        }
        let mut edges = downward.edges.clone();
        let length = |&(a, b): &(usize, usize)| layers[b] - layers[a];
        edges.sort_by_key(length);
        // With too many pieces, the longest arrows go straight, behind the nodes.
        let mut left = 64 + 2 * (count + edges.len());
        for (a, b) in edges {
            let between = layers[a] + 1..layers[b];
            let mut last = a;
            if between.len() <= left {
                left -= between.len();
                let mut pieces = Vec::with_capacity(between.len());
                for layer in between {
                    let piece = items.above.len();
                    items.above.push(Vec::new());
                    items.below.push(Vec::new());
                    items.rows[layer].push(piece);
                    items.connect(last, piece);
                    pieces.push(piece);
                    last = piece;
                }
                if !pieces.is_empty() {
                    items.pieces.push(((a, b), pieces));
                }
            }
            items.connect(last, b);
        }
        items
    }

    fn connect(&mut self, upper: usize, lower: usize) {
        self.below[upper].push(lower);
        self.above[lower].push(upper);
    }

    fn size(&self, item: usize) -> Size {
        self.sizes.get(item).copied().unwrap_or((PIECE_WIDTH, 0.0))
    }

    /// Orders each layer by the middle of the neighbours, above and below in turn.
    fn sort(&mut self) {
        let mut places = vec![0.0; self.above.len()];
        for row in &self.rows {
            number(row, &mut places);
        }
        for sweep in 0..SWEEPS {
            let is_down = sweep % 2 == 0;
            for step in 0..self.rows.len() {
                let layer = if is_down {
                    step
                } else {
                    self.rows.len() - 1 - step
                };
                let neighbours = if is_down { &self.above } else { &self.below };
                let row = &mut self.rows[layer];
                let mut keyed: Vec<_> = row
                    .iter()
                    .map(|&item| {
                        (
                            mean(&neighbours[item], &places).unwrap_or(places[item]),
                            item,
                        )
                    })
                    .collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                row.clear();
                row.extend(keyed.into_iter().map(|(_, item)| item));
                number(row, &mut places);
            }
        }
    }

    /// Returns the layers in rows, and for each row whether it is a separate layer.
    fn rows(&self, gaps: Gaps) -> Vec<(Vec<usize>, bool)> {
        let width = |row: &[usize]| -> f64 {
            row.iter()
                .map(|&item| self.size(item).0 + gaps.between)
                .sum()
        };
        let area = |&(width, height): &Size| (width + gaps.between) * (height + gaps.layers);
        let area: f64 = self.sizes.iter().map(area).sum();
        let most = f64::max(NARROW, 1.6 * area.sqrt());
        let mut rows = Vec::with_capacity(self.rows.len());
        for layer in &self.rows {
            if width(layer) <= most {
                rows.push((layer.clone(), true));
                continue;
            }
            let mut row = Vec::new();
            let mut filled = 0.0;
            for &node in layer.iter().filter(|&&item| item < self.sizes.len()) {
                let width = self.size(node).0 + gaps.between;
                if filled + width > most && !row.is_empty() {
                    rows.push((std::mem::take(&mut row), false));
                    filled = 0.0;
                }
                filled += width;
                row.push(node);
            }
            rows.push((row, false));
        }
        rows
    }

    fn place(&self, gaps: Gaps) -> Arranged {
        let rows = self.rows(gaps);
        let mut x = vec![0.0; self.above.len()];
        let mut y = vec![None; self.above.len()];
        let mut bottom = 0.0;
        for (number, (row, _)) in rows.iter().enumerate() {
            let height = row
                .iter()
                .map(|&item| self.size(item).1)
                .fold(0.0, f64::max);
            let top = if number == 0 {
                0.0
            } else {
                bottom + gaps.layers
            };
            bottom = top + height;
            let total: f64 = row
                .iter()
                .map(|&item| self.size(item).0 + gaps.between)
                .sum();
            let mut left = -total / 2.0;
            for &item in row {
                let width = self.size(item).0 + gaps.between;
                x[item] = left + width / 2.0;
                y[item] = Some(top + height / 2.0);
                left += width;
            }
        }
        for shift in 0..SHIFTS {
            let is_down = shift % 2 == 0;
            for step in 0..rows.len() {
                let at = if is_down { step } else { rows.len() - 1 - step };
                let (row, is_layer) = &rows[at];
                // Several rows for one layer already fill the width.
                if *is_layer {
                    let neighbours = if is_down { &self.above } else { &self.below };
                    self.shift(row, neighbours, gaps, &mut x);
                }
            }
        }
        let placed = || (0..x.len()).filter(|&item| y[item].is_some());
        let left = placed().map(|item| x[item] - self.size(item).0 / 2.0);
        let left = left.fold(f64::INFINITY, f64::min);
        let right = placed().map(|item| x[item] + self.size(item).0 / 2.0);
        let right = right.fold(f64::NEG_INFINITY, f64::max);
        let point = |item: usize| Some((x[item] - left, y[item]?));
        let bends = self.pieces.iter().map(|(ends, pieces)| {
            let points = pieces.iter().filter_map(|&piece| point(piece));
            (*ends, points.collect())
        });
        Arranged {
            bends: bends.collect(),
            middles: (0..self.sizes.len())
                .map(|node| point(node).unwrap_or_default())
                .collect(),
            size: (f64::max(right - left, 0.0), bottom),
        }
    }

    /// Moves the items of a row towards the middles of their neighbours, as far as the others in
    /// the row allow.
    fn shift(&self, row: &[usize], neighbours: &[Vec<usize>], gaps: Gaps, x: &mut [f64]) {
        let wanted: Vec<f64> = row
            .iter()
            .map(|&item| mean(&neighbours[item], x).unwrap_or(x[item]))
            .collect();
        let apart = |a: usize, b: usize| {
            let (a, b) = (self.size(row[a]).0, self.size(row[b]).0);
            (a + b) / 2.0 + gaps.between
        };
        // Overlaps are removed once by pushing to the right and once to the left; the middle is
        // used.
        let mut to_right = wanted.clone();
        for place in 1..row.len() {
            to_right[place] = to_right[place].max(to_right[place - 1] + apart(place - 1, place));
        }
        let mut to_left = wanted;
        for place in (1..row.len()).rev() {
            to_left[place - 1] = to_left[place - 1].min(to_left[place] - apart(place - 1, place));
        }
        for ((&item, right), left) in row.iter().zip(to_right).zip(to_left) {
            x[item] = f64::midpoint(right, left);
        }
    }
}

/// Places the items of a row, with 0 in the middle.
fn number(row: &[usize], places: &mut [f64]) {
    let middle = (row.len() as f64 - 1.0) / 2.0;
    for (place, &item) in row.iter().enumerate() {
        places[item] = place as f64 - middle;
    }
}

fn mean(items: &[usize], places: &[f64]) -> Option<f64> {
    let sum: f64 = items.iter().map(|&item| places[item]).sum();
    (!items.is_empty()).then(|| sum / items.len() as f64)
}
