//! Where discs and lines go in a picture of a graph that is too wide for layers: connected discs
//! attract, all repel each other.
//!
//! The scheme is that of Fruchterman and Reingold ("Graph Drawing by Force-directed Placement",
//! 1991), with distances between borders instead of middles so that large discs have the room
//! they need. Nothing is random, and nothing but arithmetic and roots is computed, so that the
//! same graph has the same picture everywhere.

use petgraph::unionfind::UnionFind;
use std::collections::BTreeMap;

pub(super) type Point = (f64, f64);

/// The distance between borders at which attraction and repulsion of two discs are equal.
const DISTANCE: f64 = 34.0;
/// How many pairs of discs are looked at, at most, for the whole of one part.
const MOST_PAIRS: usize = 12_000_000;
const MOST_ROUNDS: usize = 300;
/// The space around each part of the graph and around each disc that nothing connects.
const GAP: f64 = 14.0;

/// Places in a picture that begins at (0, 0).
pub(super) struct Places {
    pub(super) middles: Vec<Point>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Places discs of these radii; `edges` connect them. Parts that nothing connects stand beside
/// each other, the largest first, and single discs come last.
pub(super) fn place(radii: &[f64], edges: &[(usize, usize)]) -> Places {
    let in_range = |&&(a, b): &&(usize, usize)| a != b && a < radii.len() && b < radii.len();
    let edges: Vec<_> = edges.iter().filter(in_range).copied().collect();
    let mut sets = UnionFind::<usize>::new(radii.len());
    for &(a, b) in &edges {
        sets.union(a, b);
    }
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    let mut number_in_part = Vec::with_capacity(radii.len());
    for (disc, &radius) in radii.iter().enumerate() {
        let part = parts.entry(sets.find(disc)).or_default();
        number_in_part.push(part.discs.len());
        part.discs.push(disc);
        part.radii.push(radius);
    }
    for &(a, b) in &edges {
        if let Some(part) = parts.get_mut(&sets.find(a)) {
            part.edges.push((number_in_part[a], number_in_part[b]));
        }
    }
    let mut parts: Vec<Part> = parts.into_values().collect();
    for part in &mut parts {
        part.settle();
    }
    // The order is by area, and among equals that of the discs.
    parts.sort_by(|a, b| {
        let alone = (a.discs.len() == 1).cmp(&(b.discs.len() == 1));
        let area = (b.width * b.height).total_cmp(&(a.width * a.height));
        alone.then(area)
    });
    let boxes: Vec<_> = parts.iter().map(|part| (part.width, part.height)).collect();
    let (corners, width, height) = pack(&boxes);
    let mut middles = vec![(0.0, 0.0); radii.len()];
    for (part, (left, top)) in parts.iter().zip(corners) {
        for (&disc, &(x, y)) in part.discs.iter().zip(&part.middles) {
            middles[disc] = (left + x, top + y);
        }
    }
    Places {
        middles,
        width,
        height,
    }
}

/// A connected part of the graph.
#[derive(Default)]
struct Part {
    discs: Vec<usize>,
    radii: Vec<f64>,
    edges: Vec<(usize, usize)>,
    middles: Vec<Point>,
    width: f64,
    height: f64,
}

impl Part {
    /// Finds the places, and the rectangle around them.
    fn settle(&mut self) {
        let count = self.radii.len();
        self.begin();
        let pairs = count.saturating_mul(count.saturating_sub(1)) / 2;
        let rounds = (MOST_PAIRS / pairs.max(1)).clamp(60, MOST_ROUNDS);
        let rounds = if count == 1 { 0 } else { rounds };
        let start = DISTANCE * (count as f64).sqrt() / 2.0;
        for round in 0..rounds {
            let left = 1.0 - round as f64 / rounds as f64;
            self.round(start * left * left + 0.5);
        }
        let reach = |low: fn(&Point) -> f64, sign: f64| {
            let middles = self.middles.iter().map(low);
            let reaches = middles
                .zip(&self.radii)
                .map(|(at, radius)| sign * at + radius);
            reaches.fold(f64::NEG_INFINITY, f64::max) + GAP
        };
        let (left, right) = (reach(|p| p.0, -1.0), reach(|p| p.0, 1.0));
        let (top, bottom) = (reach(|p| p.1, -1.0), reach(|p| p.1, 1.0));
        for point in &mut self.middles {
            *point = (point.0 + left, point.1 + top);
        }
        self.width = left + right;
        self.height = top + bottom;
    }

    /// On a grid in the order of a breadth-first walk, so that neighbours begin near each other.
    fn begin(&mut self) {
        let count = self.radii.len();
        let mut neighbours = vec![Vec::new(); count];
        for &(a, b) in &self.edges {
            neighbours[a].push(b);
            neighbours[b].push(a);
        }
        let hub = (0..count).max_by_key(|&disc| (neighbours[disc].len(), usize::MAX - disc));
        let mut order: Vec<usize> = hub.into_iter().collect();
        let mut seen = vec![false; count];
        let mut next = 0;
        if let Some(hub) = hub {
            seen[hub] = true;
        }
        while let Some(&disc) = order.get(next) {
            next += 1;
            for &neighbour in &neighbours[disc] {
                if !std::mem::replace(&mut seen[neighbour], true) {
                    order.push(neighbour);
                }
            }
        }
        let side = (count as f64).sqrt().ceil().max(1.0) as usize;
        self.middles = vec![(0.0, 0.0); count];
        for (place, disc) in order.into_iter().enumerate() {
            let (row, column) = (place / side, place % side);
            // Rows are shifted, or two discs in a column would never leave it.
            let shift = (row % 7) as f64 * 0.1;
            self.middles[disc] = (
                (column as f64 + shift) * DISTANCE,
                (row as f64 + (column % 5) as f64 * 0.1) * DISTANCE,
            );
        }
    }

    /// Moves each disc as the forces want it, by at most `most`.
    fn round(&mut self, most: f64) {
        let count = self.middles.len();
        let mut pull = vec![(0.0, 0.0); count];
        for a in 0..count {
            for b in 0..a {
                let (x, y, border) = self.between(a, b);
                let force = DISTANCE * DISTANCE / (border * border);
                pull[a] = (pull[a].0 + x * force, pull[a].1 + y * force);
                pull[b] = (pull[b].0 - x * force, pull[b].1 - y * force);
            }
        }
        for &(a, b) in &self.edges {
            let (x, y, border) = self.between(a, b);
            let force = border / DISTANCE;
            pull[a] = (pull[a].0 - x * force, pull[a].1 - y * force);
            pull[b] = (pull[b].0 + x * force, pull[b].1 + y * force);
        }
        let n = count as f64;
        let sum = |sum: Point, point: &Point| (sum.0 + point.0, sum.1 + point.1);
        let middle = self.middles.iter().fold((0.0, 0.0), sum);
        let middle = (middle.0 / n, middle.1 / n);
        for (point, pull) in self.middles.iter_mut().zip(pull) {
            // What little holds the whole together.
            let x = pull.0 * DISTANCE + (middle.0 - point.0) * 0.05;
            let y = pull.1 * DISTANCE + (middle.1 - point.1) * 0.05;
            let length = (x * x + y * y).sqrt().max(1e-9);
            let step = length.min(most) / length;
            *point = (point.0 + x * step, point.1 + y * step);
        }
    }

    /// The direction from `b` to `a`, and how far their borders are apart.
    fn between(&self, a: usize, b: usize) -> (f64, f64, f64) {
        let ((ax, ay), (bx, by)) = (self.middles[a], self.middles[b]);
        let (x, y) = (ax - bx, ay - by);
        let distance = (x * x + y * y).sqrt().max(1e-3);
        let border = (distance - self.radii[a] - self.radii[b]).max(2.0);
        (x / distance, y / distance, border)
    }
}

/// Puts each box as high up as there is room for it below those before, and as far to the left.
/// Returns the upper left corners, and the size of the whole, which is a little wider than high.
fn pack(boxes: &[(f64, f64)]) -> (Vec<Point>, f64, f64) {
    let area: f64 = boxes.iter().map(|(width, height)| width * height).sum();
    let widest = boxes.iter().map(|(width, _)| *width).fold(0.0, f64::max);
    let limit = widest.max((area * 1.5).sqrt()) + 1e-6;
    // The lower border of what is there, from left to right: where each piece begins, and how deep.
    let mut border = vec![(0.0, 0.0)];
    let mut corners = Vec::with_capacity(boxes.len());
    let (mut width, mut height) = (0.0_f64, 0.0_f64);
    for &(box_width, box_height) in boxes {
        let fits = |left: f64| left == 0.0 || left + box_width <= limit;
        let lefts = border
            .iter()
            .map(|&(left, _)| left)
            .filter(|&left| fits(left));
        let depth = |left: f64| {
            let ends = border
                .iter()
                .skip(1)
                .map(|&(next, _)| next)
                .chain([f64::INFINITY]);
            let pieces = border.iter().zip(ends);
            let above = pieces.filter(|((begin, _), end)| *end > left && *begin < left + box_width);
            above.map(|((_, depth), _)| *depth).fold(0.0, f64::max)
        };
        let places = lefts.map(|left| (left, depth(left)));
        let best = places.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
        let (left, top) = best.unwrap_or((0.0, height));
        let (right, bottom) = (left + box_width, top + box_height);
        let behind = border.iter().rev().find(|(begin, _)| *begin <= right);
        let behind = behind.map_or(0.0, |(_, depth)| *depth);
        border.retain(|(begin, _)| *begin < left || *begin > right);
        border.extend([(left, bottom), (right, behind)]);
        border.sort_by(|a, b| a.0.total_cmp(&b.0));
        corners.push((left, top));
        width = width.max(right);
        height = height.max(bottom);
    }
    (corners, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(places: &Places, radii: &[f64]) {
        for (a, (ax, ay)) in places.middles.iter().enumerate() {
            let inside =
                |at: f64, size: f64| at - radii[a] >= -0.01 && at + radii[a] <= size + 0.01;
            assert!(
                inside(*ax, places.width) && inside(*ay, places.height),
                "{a}"
            );
            for (b, (bx, by)) in places.middles[..a].iter().enumerate() {
                let distance = ((ax - bx).powi(2) + (ay - by).powi(2)).sqrt();
                assert!(distance > radii[a] + radii[b], "{a} and {b}: {distance}");
            }
        }
    }

    #[test]
    fn discs_do_not_overlap_and_stay_in_the_picture() {
        let radii: Vec<f64> = (0..60).map(|n| f64::from(n % 9) * 4.0 + 2.0).collect();
        // A hub, a chain, two pairs, and many that nothing connects.
        let mut edges: Vec<_> = (1..20).map(|leaf| (leaf, 0)).collect();
        edges.extend((20..30).map(|link| (link, link + 1)));
        edges.extend([(32, 33), (34, 35), (36, 36), (7, 99)]);
        apart(&place(&radii, &edges), &radii);
    }

    #[test]
    fn small_boxes_fill_the_room_beside_a_large_one() {
        let boxes = [
            (80.0, 100.0),
            (40.0, 30.0),
            (40.0, 30.0),
            (40.0, 30.0),
            (100.0, 10.0),
        ];
        let (corners, width, height) = pack(&boxes);
        let expected = [
            (0.0, 0.0),
            (80.0, 0.0),
            (80.0, 30.0),
            (80.0, 60.0),
            (0.0, 100.0),
        ];
        assert_eq!(corners, expected);
        assert_eq!((width, height), (120.0, 110.0));
    }

    #[test]
    fn what_is_connected_is_near() {
        let radii = vec![5.0; 40];
        let edges: Vec<_> = (0..39).map(|link| (link, link + 1)).collect();
        let places = place(&radii, &edges);
        let distance = |a: usize, b: usize| {
            let ((ax, ay), (bx, by)) = (places.middles[a], places.middles[b]);
            ((ax - bx).powi(2) + (ay - by).powi(2)).sqrt()
        };
        let neighbours: f64 = edges.iter().map(|&(a, b)| distance(a, b)).sum::<f64>() / 39.0;
        let others: f64 = (0..20).map(|n| distance(n, n + 20)).sum::<f64>() / 20.0;
        assert!(neighbours * 2.0 < others, "{neighbours} and {others}");
    }

    #[test]
    fn nothing_at_all_and_large_graphs_are_no_trouble() {
        assert_eq!(place(&[], &[]).middles.len(), 0);
        let radii = vec![3.0; 700];
        let edges: Vec<_> = (1..700).map(|node| (node / 3, node)).collect();
        let places = place(&radii, &edges);
        assert!(places.width.is_finite() && places.height.is_finite());
        assert_eq!(places.middles, place(&radii, &edges).middles);
    }
}
