//! Layout of nodes and arrows: each connected part of the graph in [`layers`], and the parts in
//! rows.

use super::layers::{self, Arranged};
use petgraph::unionfind::UnionFind;
use std::collections::BTreeMap;

pub(crate) type Point = (f64, f64);
/// Width and height.
pub(crate) type Size = (f64, f64);

/// The free space.
#[derive(Clone, Copy)]
pub(crate) struct Gaps {
    /// Between nodes beside each other.
    pub(crate) between: f64,
    /// Between layers.
    pub(crate) layers: f64,
    /// Between unconnected parts.
    pub(crate) parts: f64,
}

/// Places in the picture, which begins at (0, 0).
pub(crate) struct Layout {
    /// The middle of each node.
    pub(crate) nodes: Vec<Point>,
    /// The points of arrows that pass any between their ends, from the upper end to the lower.
    pub(crate) bends: BTreeMap<(usize, usize), Vec<Point>>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Lays out nodes of these sizes; `edges` lead from one node to another. Except for sorting, the
/// time is linear in nodes and edges.
pub(crate) fn layout(sizes: &[Size], edges: &[(usize, usize)], gaps: Gaps) -> Layout {
    let count = sizes.len();
    let in_range = |&&(a, b): &&(usize, usize)| a != b && a < count && b < count;
    let mut edges: Vec<_> = edges.iter().filter(in_range).copied().collect();
    edges.sort_unstable();
    edges.dedup();
    let parts = parts(count, &edges);

    let arranged = parts.iter().map(|part| {
        let sizes: Vec<Size> = part.nodes.iter().map(|&node| sizes[node]).collect();
        layers::arrange(&sizes, &part.edges, gaps)
    });
    let arranged: Vec<Arranged> = arranged.collect();
    let boxes: Vec<Size> = arranged.iter().map(|part| part.size).collect();
    let (corners, width, height) = pack(&boxes, gaps.parts);

    let mut nodes = vec![(0.0, 0.0); count];
    let mut bends = BTreeMap::new();
    for ((part, arranged), (left, top)) in parts.iter().zip(arranged).zip(corners) {
        let moved = |(x, y): Point| (left + x, top + y);
        for (&node, middle) in part.nodes.iter().zip(arranged.middles) {
            nodes[node] = moved(middle);
        }
        for ((a, b), points) in arranged.bends {
            let points = points.into_iter().map(moved).collect();
            bends.insert((part.nodes[a], part.nodes[b]), points);
        }
    }
    Layout {
        nodes,
        bends,
        width,
        height,
    }
}

/// Connected nodes. The ends of the edges are places in `nodes`.
#[derive(Default)]
struct Part {
    nodes: Vec<usize>,
    edges: Vec<(usize, usize)>,
}

/// Returns the parts in the order of their first nodes.
fn parts(count: usize, edges: &[(usize, usize)]) -> Vec<Part> {
    let mut sets = UnionFind::<usize>::new(count);
    for &(a, b) in edges {
        sets.union(a, b);
    }
    let mut part_of = vec![None; count];
    let mut place_in_part = Vec::with_capacity(count);
    let mut parts: Vec<Part> = Vec::new();
    for node in 0..count {
        let part = *part_of[sets.find(node)].get_or_insert_with(|| {
            parts.push(Part::default());
            parts.len() - 1
        });
        place_in_part.push(parts[part].nodes.len());
        parts[part].nodes.push(node);
    }
    for &(a, b) in edges {
        if let Some(part) = part_of[sets.find(a)] {
            parts[part].edges.push((place_in_part[a], place_in_part[b]));
        }
    }
    parts
}

/// Packs boxes in rows, the highest first. Returns the upper left corners, and the size of the
/// whole, which is wider than high.
fn pack(boxes: &[Size], gap: f64) -> (Vec<Point>, f64, f64) {
    let area = |&(width, height): &Size| (width + gap) * (height + gap);
    let area: f64 = boxes.iter().map(area).sum();
    let widest = boxes.iter().map(|size| size.0).fold(0.0, f64::max);
    let most = widest.max((area * 1.6).sqrt());
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    // Stable: among equals, the order of the nodes.
    order.sort_by(|&a, &b| boxes[b].1.total_cmp(&boxes[a].1));
    let mut corners = vec![(0.0, 0.0); boxes.len()];
    let (mut x, mut y, mut row_height) = (0.0, 0.0, 0.0_f64);
    let (mut width, mut height) = (0.0_f64, 0.0_f64);
    for part in order {
        let size = boxes[part];
        if x > 0.0 && x + size.0 > most {
            x = 0.0;
            y += row_height + gap;
            row_height = 0.0;
        }
        corners[part] = (x, y);
        width = width.max(x + size.0);
        height = height.max(y + size.1);
        row_height = row_height.max(size.1);
        x += size.0 + gap;
    }
    (corners, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEIGHT: f64 = 30.0;
    const GAPS: Gaps = Gaps {
        between: 20.0,
        layers: 40.0,
        parts: 30.0,
    };

    fn of(count: usize, edges: &[(usize, usize)]) -> Layout {
        layout(&vec![(80.0, HEIGHT); count], edges, GAPS)
    }

    /// Checks that all nodes are in the picture and none overlaps another.
    fn assert_apart(layout: &Layout, sizes: &[Size]) {
        let mut nodes: Vec<_> = layout.nodes.iter().zip(sizes).collect();
        nodes.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
        for (index, &(&(x, y), &(width, height))) in nodes.iter().enumerate() {
            let inside = |at: f64, size: f64, whole: f64| {
                at - size / 2.0 >= -0.01 && at + size / 2.0 <= whole + 0.01
            };
            assert!(inside(x, width, layout.width), "{x}");
            assert!(inside(y, height, layout.height), "{y}");
            for &(&(other_x, other_y), &(other_width, other_height)) in &nodes[..index] {
                let apart = (x - other_x).abs() + 0.01 >= (width + other_width) / 2.0
                    || (y - other_y).abs() + 0.01 >= (height + other_height) / 2.0;
                assert!(apart, "({x}, {y}) and ({other_x}, {other_y})");
            }
        }
    }

    #[test]
    fn callers_are_above_their_callees_and_no_nodes_overlap() {
        let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (4, 5)];
        let layout = of(7, &edges);
        for (a, b) in edges {
            assert!(layout.nodes[a].1 + HEIGHT < layout.nodes[b].1, "{a} -> {b}");
        }
        assert_apart(&layout, &[(80.0, HEIGHT); 7]);
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
    fn neighbours_stand_below_each_other_and_lines_do_not_cross() {
        // Two fans whose nodes alternate.
        let edges: Vec<_> = (2..12)
            .map(|leaf| (leaf % 2, leaf))
            .chain([(0, 12), (1, 12)])
            .collect();
        let layout = of(13, &edges);
        let x = |node: usize| layout.nodes[node].0;
        let (left, right) = if x(0) < x(1) { (0, 1) } else { (1, 0) };
        for leaf in (2..12).filter(|leaf| leaf % 2 == left) {
            for other in (2..12).filter(|leaf| leaf % 2 == right) {
                assert!(x(leaf) < x(other), "{leaf} and {other}");
            }
        }
        assert!(x(left) < x(12) && x(12) < x(right));
    }

    #[test]
    fn a_wide_layer_becomes_several_rows_below_the_caller() {
        let count = 400;
        let edges: Vec<_> = (1..count).map(|leaf| (0, leaf)).collect();
        let layout = of(count, &edges);
        assert!(
            layout.width < 4.0 * layout.height,
            "{} × {}",
            layout.width,
            layout.height
        );
        assert!((1..count).all(|leaf| layout.nodes[leaf].1 > layout.nodes[0].1 + HEIGHT));
        assert_apart(&layout, &vec![(80.0, HEIGHT); count]);
    }

    #[test]
    fn nodes_of_all_sizes_keep_apart() {
        let sizes: Vec<Size> = (0..60)
            .map(|n| (f64::from(n % 9) * 9.0 + 4.0, f64::from(n % 7) * 8.0 + 4.0))
            .collect();
        // A hub, a chain, two pairs, and many unconnected nodes.
        let mut edges: Vec<_> = (1..20).map(|leaf| (leaf, 0)).collect();
        edges.extend((20..30).map(|link| (link, link + 1)));
        edges.extend([(32, 33), (34, 35), (36, 36), (7, 99)]);
        assert_apart(&layout(&sizes, &edges, GAPS), &sizes);
    }

    /// One part, with arrows over all of its layers. More than linear time would take minutes.
    #[test]
    fn a_large_graph_is_laid_out_in_the_same_way() {
        let count = 20_000;
        let tree = (1..count).map(|node| ((node - 1) / 3, node));
        let chain = (1..count).map(|node| (node - 1, node));
        let jumps = (2..count).map(|node| (node / 2, node));
        for edges in [
            tree.clone().collect::<Vec<_>>(),
            chain.clone().chain(jumps.clone()).collect(),
            tree.chain(jumps).collect(),
        ] {
            let layout = of(count, &edges);
            let is_down = |&(a, b): &(usize, usize)| layout.nodes[a].1 + HEIGHT < layout.nodes[b].1;
            assert!(edges.iter().all(is_down));
            let again = of(count, &edges);
            assert!(layout.nodes == again.nodes && layout.bends == again.bends);
        }
    }

    #[test]
    fn recursion_and_nothing_at_all_are_no_trouble() {
        assert_eq!(of(0, &[]).nodes.len(), 0);
        let layout = of(3, &[(0, 0), (0, 1), (1, 2), (2, 0)]);
        assert_apart(&layout, &[(80.0, HEIGHT); 3]);
        // No two members of a cycle are beside each other, so that each arrow has an upper end.
        let mut heights: Vec<_> = layout.nodes.iter().map(|node| node.1).collect();
        heights.dedup();
        assert_eq!(heights.len(), 3);
    }
}
