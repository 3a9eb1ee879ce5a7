//! A layout for graphs that are too large for a good one: quick, and no more than that.

use super::layout::{GAP, Layout};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;
use std::collections::BTreeMap;

/// The layer of each of `count` nodes, from 0 at the top: the end of every edge is below its
/// beginning, except within a cycle.
pub(super) fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut graph: DiGraph<(), (), usize> = DiGraph::with_capacity(count, edges.len());
    for _ in 0..count {
        graph.add_node(());
    }
    for &(a, b) in edges {
        graph.add_edge(a.into(), b.into(), ());
    }
    // Components come callees first, hence the loop goes from callers to callees.
    let components = kosaraju_scc(&graph);
    let mut component_of = vec![0; count];
    for (number, members) in components.iter().enumerate() {
        for node in members {
            if let Some(of_node) = component_of.get_mut(node.index()) {
                *of_node = number;
            }
        }
    }
    let mut layers = vec![0_usize; count];
    for (number, members) in components.iter().enumerate().rev() {
        let top = members
            .iter()
            .filter_map(|node| layers.get(node.index()).copied());
        let layer = top.max().unwrap_or(0);
        for node in members {
            if let Some(of_member) = layers.get_mut(node.index()) {
                *of_member = layer;
            }
        }
        for callee in members.iter().flat_map(|&node| graph.neighbors(node)) {
            if component_of.get(callee.index()) != Some(&number)
                && let Some(of_callee) = layers.get_mut(callee.index())
            {
                *of_callee = layer.saturating_add(1).max(*of_callee);
            }
        }
    }
    layers
}

/// How many layers the edges pass between their ends, all together.
pub(super) fn pieces(layers: &[usize], edges: &[(usize, usize)]) -> usize {
    let layer = |node: usize| layers.get(node).copied().unwrap_or(0);
    let passed = |&(a, b): &(usize, usize)| layer(a).abs_diff(layer(b)).saturating_sub(1);
    edges.iter().map(passed).fold(0, usize::saturating_add)
}

/// Each layer a row, in which nodes stand in the order of their callers' middles.
pub(super) fn layout(
    widths: &[f64],
    height: f64,
    edges: &[(usize, usize)],
    layers: &[usize],
) -> Layout {
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, &layer) in layers.iter().enumerate() {
        rows.entry(layer).or_default().push(node);
    }
    let mut callers = vec![Vec::new(); widths.len()];
    for &(a, b) in edges {
        if let Some(callers) = callers.get_mut(b) {
            callers.push(a);
        }
    }
    let mut nodes = vec![(0.0, 0.0); widths.len()];
    let (mut width, mut y) = (0.0_f64, 0.0);
    for row in rows.values() {
        let mut order: Vec<(f64, usize)> = row
            .iter()
            .map(|&node| {
                let callers = callers.get(node).map_or(&[][..], Vec::as_slice);
                let places = callers.iter().filter_map(|&caller| nodes.get(caller));
                let sum: f64 = places.map(|(x, _)| x).sum();
                (sum / callers.len().max(1) as f64, node)
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut x = 0.0;
        for (_, node) in order {
            let node_width = widths.get(node).copied().unwrap_or(0.0);
            if let Some(point) = nodes.get_mut(node) {
                *point = (x + node_width / 2.0, y + height / 2.0);
            }
            width = width.max(x + node_width);
            x += node_width + GAP / 2.0;
        }
        y += height + 2.0 * GAP;
    }
    Layout {
        nodes,
        bends: BTreeMap::new(),
        width,
        height: y,
    }
}
