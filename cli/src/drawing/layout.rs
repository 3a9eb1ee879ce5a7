//! Where nodes and arrows go: layers from callers down to callees.
//!
//! The layout is Sugiyama's, by the crate `rust-sugiyama`, in two rounds. The first finds the
//! layer of each node. Then an arrow over several layers is cut into pieces that lead from layer
//! to layer, past the nodes between, and the second round finds the places of all. Where there
//! are too many pieces, arrows run straight behind the nodes instead, and a graph that would take
//! minutes is laid out by [`simple_layers`]. Parts of the graph that nothing connects are laid out
//! alone and packed in rows.

use super::simple_layers;
use crate::panics;
use rust_sugiyama::configure::Config;
use rust_sugiyama::from_vertices_and_edges;
use std::collections::BTreeMap;

/// The space between nodes, and between layers.
pub(super) const GAP: f64 = 46.0;
/// The width of an arrow's piece.
const PIECE_WIDTH: f64 = 6.0;
/// The space between parts of the graph.
const PART_GAP: f64 = 40.0;
/// Beyond this many vertices there is no second round.
const MOST_PIECES: usize = 2500;
/// Beyond this many nodes and pieces, Sugiyama's layout takes too long.
const MOST_VERTICES: usize = 4000;
/// Beyond this many arrows, crossings that are cheap to find are all that is avoided.
const MANY_EDGES: usize = 600;

pub(super) type Point = (f64, f64);

/// Places in the picture, which begins at (0, 0).
pub(super) struct Layout {
    /// The middle of each node.
    pub(super) nodes: Vec<Point>,
    /// The points that an arrow passes between its ends, for those arrows that have any, from the
    /// upper end to the lower.
    pub(super) bends: BTreeMap<(usize, usize), Vec<Point>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Lays out nodes of these widths and one `height`; `edges` lead from one to another.
pub(super) fn layout(widths: &[f64], height: f64, edges: &[(usize, usize)]) -> Layout {
    let mut edges: Vec<_> = edges.iter().filter(|(a, b)| a != b).copied().collect();
    edges.sort_unstable();
    edges.dedup();
    let layers = simple_layers::layers(widths.len(), &edges);
    let pieces = simple_layers::pieces(&layers, &edges);
    if widths.len().saturating_add(pieces) > MOST_VERTICES {
        return simple_layers::layout(widths, height, &edges, &layers);
    }
    let first = place(widths, height, &edges);
    let layer = |node: usize| {
        let y = first.get(node).map_or(0.0, |place| place.middle.1);
        (y / (height + GAP)).round() as i64
    };

    let mut all_widths = widths.to_vec();
    let mut pieces = Vec::new();
    let mut bends: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for &(a, b) in &edges {
        let (upper, lower) = if layer(a) <= layer(b) { (a, b) } else { (b, a) };
        // Both directions between two nodes share one way.
        if (a, b) != (upper, lower) && edges.binary_search(&(upper, lower)).is_ok() {
            continue;
        }
        let mut last = upper;
        let between = bends.entry((upper, lower)).or_default();
        for _ in layer(upper) + 1..layer(lower) {
            let bend = all_widths.len();
            all_widths.push(PIECE_WIDTH);
            between.push(bend);
            pieces.push((last, bend));
            last = bend;
        }
        pieces.push((last, lower));
    }
    let places = if all_widths.len() == widths.len() || all_widths.len() > MOST_PIECES {
        bends.clear();
        all_widths.truncate(widths.len());
        first
    } else {
        place(&all_widths, height, &pieces)
    };
    let (points, width, height) = pack(&places, &all_widths, height);
    let point = |node: usize| points.get(node).copied().unwrap_or_default();
    let bends = bends
        .into_iter()
        .map(|(ends, bends)| (ends, bends.into_iter().map(point).collect()));
    Layout {
        bends: bends.collect(),
        nodes: (0..widths.len()).map(point).collect(),
        width,
        height,
    }
}

/// Where a node is in its part of the graph.
#[derive(Clone, Copy, Default)]
struct Place {
    part: usize,
    middle: Point,
}

fn place(widths: &[f64], height: f64, edges: &[(usize, usize)]) -> Vec<Place> {
    // Every node alone, until something better is known.
    let alone = |part| Place {
        part,
        middle: (0.0, 0.0),
    };
    let mut places: Vec<_> = (0..widths.len()).map(alone).collect();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let vertices: Vec<_> = (0..)
        .zip(widths.iter().map(|&width| (width, height)))
        .collect();
    let arcs: Vec<_> = edges.iter().map(|&(a, b)| (number(a), number(b))).collect();
    let config = Config {
        vertex_spacing: GAP,
        transpose: edges.len() <= MANY_EDGES,
        ..Config::default()
    };
    let parts = panics::catch(|| from_vertices_and_edges(&vertices, &arcs, &config));
    for (part, (members, ..)) in parts.unwrap_or_default().into_iter().enumerate() {
        for (node, middle) in members {
            if let Some(place) = places.get_mut(node) {
                *place = Place { part, middle };
            }
        }
    }
    places
}

/// A part of the graph and the rectangle that it fills.
struct Part {
    members: Vec<usize>,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// Packs the parts in rows, the tallest first. Returns the points of all nodes, and the size.
fn pack(places: &[Place], widths: &[f64], node_height: f64) -> (Vec<Point>, f64, f64) {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, place) in places.iter().enumerate() {
        members.entry(place.part).or_default().push(node);
    }
    let middle = |node: usize| places.get(node).map_or((0.0, 0.0), |place| place.middle);
    let half = |node: usize| widths.get(node).map_or(0.0, |width| width / 2.0);
    let mut parts: Vec<Part> = members
        .into_values()
        .map(|members| {
            let extent = |low: &dyn Fn(usize) -> f64, high: &dyn Fn(usize) -> f64| {
                let lowest = members
                    .iter()
                    .map(|&n| low(n))
                    .fold(f64::INFINITY, f64::min);
                let highest = members.iter().map(|&n| high(n));
                (lowest, highest.fold(f64::NEG_INFINITY, f64::max) - lowest)
            };
            let (left, width) = extent(&|n| middle(n).0 - half(n), &|n| middle(n).0 + half(n));
            let (top, height) = extent(&|n| middle(n).1, &|n| middle(n).1);
            Part {
                left,
                top: top - node_height / 2.0,
                width,
                height: height + node_height,
                members,
            }
        })
        .collect();
    // The order is the same whatever order the parts came in.
    parts.sort_by(|a, b| {
        b.height
            .total_cmp(&a.height)
            .then(a.members.cmp(&b.members))
    });

    let area: f64 = parts
        .iter()
        .map(|p| (p.width + PART_GAP) * (p.height + PART_GAP))
        .sum();
    let widest = parts.iter().map(|p| p.width).fold(0.0, f64::max);
    let limit = widest.max((area * 1.6).sqrt());
    let mut points = vec![(0.0, 0.0); places.len()];
    let (mut x, mut y, mut row_height) = (0.0, 0.0, 0.0);
    let (mut width, mut height) = (0.0_f64, 0.0_f64);
    for part in &parts {
        if x > 0.0 && x + part.width > limit {
            x = 0.0;
            y += row_height + PART_GAP;
            row_height = 0.0;
        }
        for &node in &part.members {
            let (node_x, node_y) = middle(node);
            if let Some(point) = points.get_mut(node) {
                *point = (node_x - part.left + x, node_y - part.top + y);
            }
        }
        width = width.max(x + part.width);
        height = height.max(y + part.height);
        row_height = f64::max(row_height, part.height);
        x += part.width + PART_GAP;
    }
    (points, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEIGHT: f64 = 30.0;

    fn of(count: usize, edges: &[(usize, usize)]) -> Layout {
        layout(&vec![80.0; count], HEIGHT, edges)
    }

    #[test]
    fn callers_are_above_their_callees_and_no_nodes_overlap() {
        let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (4, 5)];
        let layout = of(7, &edges);
        for (a, b) in edges {
            assert!(layout.nodes[a].1 + HEIGHT < layout.nodes[b].1, "{a} -> {b}");
        }
        for (i, a) in layout.nodes.iter().enumerate() {
            assert!(a.0 >= 40.0 && a.0 + 40.0 <= layout.width, "{i}");
            assert!(a.1 >= 15.0 && a.1 + 15.0 <= layout.height, "{i}");
            for b in &layout.nodes[..i] {
                let apart = (a.0 - b.0).abs() >= 80.0 || (a.1 - b.1).abs() >= HEIGHT;
                assert!(apart, "{:?}", layout.nodes);
            }
        }
    }

    #[test]
    fn an_arrow_over_a_layer_passes_beside_the_node_there() {
        let layout = of(3, &[(0, 1), (1, 2), (0, 2)]);
        let bends = &layout.bends[&(0, 2)];
        assert_eq!(bends.len(), 1);
        let (x, y) = bends[0];
        assert_eq!(y, layout.nodes[1].1);
        assert!((x - layout.nodes[1].0).abs() > 40.0, "{bends:?}");
    }

    #[test]
    fn a_large_graph_is_laid_out_in_the_same_way() {
        let count = 2 * MOST_VERTICES;
        let edges: Vec<_> = (1..count).map(|node| ((node - 1) / 3, node)).collect();
        let layout = of(count, &edges);
        assert!(
            edges
                .iter()
                .all(|&(a, b)| layout.nodes[a].1 + HEIGHT < layout.nodes[b].1)
        );
        assert!(layout.bends.is_empty());
    }

    #[test]
    fn recursion_and_nothing_at_all_are_no_trouble() {
        assert_eq!(of(0, &[]).nodes.len(), 0);
        let layout = of(3, &[(0, 0), (0, 1), (1, 2), (2, 0)]);
        assert_eq!(layout.nodes.len(), 3);
        assert!(
            layout
                .nodes
                .iter()
                .all(|(x, y)| x.is_finite() && y.is_finite())
        );
    }
}
