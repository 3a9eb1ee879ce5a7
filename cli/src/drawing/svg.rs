//! The graph as SVG, without Graphviz.

use super::Look;
use super::layout::{Gaps, Layout, Point, layout};
use super::picture::{Arrow, Node, Picture};
use crate::verdict::Verdict;
use cranelift_inliner::program::Linkage;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const MARGIN: f64 = 24.0;
const LEGEND_HEIGHT: f64 = 56.0;
const LEGEND_WIDTH: f64 = 1010.0;
const NODE_HEIGHT: f64 = 38.0;
const CHARACTER_WIDTH: f64 = 7.3;
const GAPS: Gaps = Gaps {
    between: 46.0,
    layers: 46.0,
    parts: 40.0,
};
/// Longer names are cut; a tooltip has the whole name.
const MOST_CHARACTERS: usize = 36;
/// The distance between arrows from one node to the same other node.
const ARROW_GAP: f64 = 9.0;

const STYLE: &str = "\
text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #212121 }
.middle text { text-anchor: middle }
.small { font-size: 10px; fill: #616161 }
.count { font-size: 10px; paint-order: stroke; stroke: white; stroke-width: 3px }
.node rect { fill: #fafafa; stroke: #424242 }
.exported rect { stroke-width: 2.2 }
.interposable rect { stroke-dasharray: 6 3 }
.outside rect { stroke: #9e9e9e; stroke-dasharray: 1 3; rx: 14px }
.dropped rect { fill: #f0f0f0; stroke: #bdbdbd }
.dropped text { fill: #9e9e9e }
path { fill: none; stroke-width: 1.4 }
";

/// Returns the graph as SVG: one arrow for all call sites between two functions with the same
/// verdict, sizes before and after in the nodes, and a legend.
pub(crate) fn text(picture: &Picture<'_>) -> String {
    let (nodes, arrows) = (picture.nodes(ToString::to_string), picture.arrows());
    let sizes: Vec<_> = nodes
        .iter()
        .map(|node| (width(node), NODE_HEIGHT))
        .collect();
    let ends: Vec<_> = arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let layout = layout(&sizes, &ends, GAPS);

    let mut svg = Svg(String::new());
    svg.head(&layout);
    let functions = nodes.iter().filter(|node| node.linkage.is_some());
    svg.legend(
        functions.count(),
        arrows.iter().map(|arrow| arrow.sites).sum(),
    );
    let top = MARGIN + LEGEND_HEIGHT;
    svg.line(&format!("<g transform=\"translate({MARGIN} {top})\">"));
    let mut parallel: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for arrow in &arrows {
        let pair = (arrow.from.min(arrow.to), arrow.from.max(arrow.to));
        let before = parallel.entry(pair).or_default();
        svg.arrow(arrow, *before, &layout, &nodes);
        *before += 1;
    }
    for ((node, (width, _)), &middle) in nodes.iter().zip(sizes).zip(&layout.nodes) {
        svg.node(node, width, middle);
    }
    svg.line("</g>");
    svg.line("</svg>");
    svg.0
}

fn width(node: &Node) -> f64 {
    let longest = shown(&node.name)
        .chars()
        .count()
        .max(node.size.chars().count());
    longest as f64 * CHARACTER_WIDTH + 18.0
}

fn shown(name: &str) -> String {
    if name.chars().count() <= MOST_CHARACTERS {
        return name.to_owned();
    }
    name.chars()
        .take(MOST_CHARACTERS - 1)
        .chain(['…'])
        .collect()
}

struct Svg(String);

impl Svg {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn head(&mut self, layout: &Layout) {
        let width = layout.width.max(LEGEND_WIDTH) + 2.0 * MARGIN;
        // The arrow of a function that calls itself extends to the right.
        let width = width + 30.0;
        let height = layout.height + LEGEND_HEIGHT + 2.0 * MARGIN;
        self.line("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        self.line(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">"
        ));
        self.line("<title>Call graph with inlining decisions</title>");
        self.line(&format!("<style>\n{STYLE}</style>"));
        self.line("<defs>");
        for verdict in Verdict::ALL {
            let color = Look::of(verdict).color;
            self.line(&format!(
                "<marker id=\"{verdict}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
                 markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
                 <path d=\"M0 0 L8 4 L0 8 Z\" style=\"fill:{color}\"/></marker>"
            ));
        }
        self.line("</defs>");
        self.line("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
    }

    fn legend(&mut self, functions: usize, sites: usize) {
        self.line(&format!("<g transform=\"translate({MARGIN} {MARGIN})\">"));
        self.line(&format!(
            "<text y=\"8\">Functions: {functions}. Call sites: {sites}. In each box: instructions \
             before → after. Bold: exported; dotted: not defined here.</text>"
        ));
        let mut x = 0.0;
        for verdict in Verdict::ALL {
            let Look { meaning, .. } = Look::of(verdict);
            let end = x + 36.0;
            self.path(verdict, &format!("M{x:.0} 28 L{end:.0} 28"), "");
            let text = x + 44.0;
            self.line(&format!("<text x=\"{text:.0}\" y=\"32\">{meaning}</text>"));
            x = text + meaning.len() as f64 * CHARACTER_WIDTH + 28.0;
        }
        self.line("</g>");
    }

    fn path(&mut self, verdict: Verdict, path: &str, title: &str) {
        let Look { color, dashes, .. } = Look::of(verdict);
        let title = escaped(title);
        self.line(&format!(
            "<path d=\"{path}\" stroke=\"{color}\" stroke-dasharray=\"{dashes}\" \
             marker-end=\"url(#{verdict})\"><title>{title}</title></path>"
        ));
    }

    /// Draws an arrow; `before` is the number of arrows already drawn between the same two nodes.
    fn arrow(&mut self, arrow: &Arrow, before: usize, layout: &Layout, nodes: &[Node]) {
        let at = |node: usize| layout.nodes.get(node).copied().unwrap_or_default();
        let name = |node: usize| nodes.get(node).map_or("", |node| node.name.as_str());
        let (from, to) = (at(arrow.from), at(arrow.to));
        let title = format!(
            "{} → {}: {}, {}\n{}",
            name(arrow.from),
            name(arrow.to),
            arrow.verdict,
            if arrow.sites == 1 {
                "1 call".to_owned()
            } else {
                format!("{} calls", arrow.sites)
            },
            arrow.reasons.join("\n"),
        );
        // Arrows are side by side: the first in the middle, the others to its right and left in
        // turn.
        let step = before.div_ceil(2) as f64 * ARROW_GAP;
        let shift = if before % 2 == 1 { step } else { -step };
        let half = NODE_HEIGHT / 2.0;
        let (path, label) = if arrow.from == arrow.to {
            let right = from.0 + nodes.get(arrow.from).map_or(0.0, |node| width(node) / 2.0);
            let (y, out) = (from.1, right + 26.0 + before as f64 * ARROW_GAP);
            let (upper, lower) = (y - 9.0, y + 9.0);
            let path = format!(
                "M{right:.1} {upper:.1} C{out:.1} {upper:.1} {out:.1} {lower:.1} {right:.1} {lower:.1}"
            );
            (path, (out - 6.0, y - 8.0))
        } else {
            let down = from.1 <= to.1;
            let ends = if down {
                (arrow.from, arrow.to)
            } else {
                (arrow.to, arrow.from)
            };
            let mut points = vec![at(ends.0)];
            points.extend(layout.bends.get(&ends).into_iter().flatten());
            points.push(at(ends.1));
            if let [first, .., last] = points.as_mut_slice() {
                first.1 += half;
                last.1 -= half;
            }
            if !down {
                points.reverse();
            }
            for point in &mut points {
                point.0 += shift;
            }
            (curve(&points), halfway(&points))
        };
        self.path(arrow.verdict, &path, &title);
        if arrow.sites > 1 {
            let (x, y) = label;
            let x = x + 5.0;
            self.line(&format!(
                "<text class=\"count\" x=\"{x:.1}\" y=\"{y:.1}\">×{}</text>",
                arrow.sites
            ));
        }
    }

    fn node(&mut self, node: &Node, width: f64, (x, y): Point) {
        let class = match (node.dropped, node.linkage) {
            (true, _) => "dropped",
            (_, Some(Linkage::Exported)) => "exported",
            (_, Some(Linkage::Local)) => "local",
            (_, Some(Linkage::Interposable)) => "interposable",
            _ => "outside",
        };
        let (left, top) = (x - width / 2.0, y - NODE_HEIGHT / 2.0);
        self.line(&format!("<g class=\"node middle {class}\">"));
        self.line(&format!("<title>{}</title>", escaped(&node.name)));
        self.line(&format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{NODE_HEIGHT}\" \
             rx=\"4\"/>"
        ));
        let baseline = if node.size.is_empty() {
            y + 4.0
        } else {
            y - 3.0
        };
        let name = escaped(&shown(&node.name));
        self.line(&format!(
            "<text x=\"{x:.1}\" y=\"{baseline:.1}\">{name}</text>"
        ));
        if !node.size.is_empty() {
            let (size, y) = (escaped(&node.size), y + 12.0);
            self.line(&format!(
                "<text class=\"small\" x=\"{x:.1}\" y=\"{y:.1}\">{size}</text>"
            ));
        }
        self.line("</g>");
    }
}

/// Returns a smooth path through the points that is vertical at each.
fn curve(points: &[Point]) -> String {
    let mut path = String::new();
    let mut last: Option<Point> = None;
    // Writing to a string does not fail.
    for &(x, y) in points {
        let _ = match last {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some((last_x, last_y)) => {
                let middle = (last_y + y) / 2.0;
                write!(
                    path,
                    " C{last_x:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {y:.1}"
                )
            }
        };
        last = Some((x, y));
    }
    path
}

fn halfway(points: &[Point]) -> Point {
    let middle = points.len() / 2;
    let before = points
        .get(middle.saturating_sub(1))
        .copied()
        .unwrap_or_default();
    let after = points.get(middle).copied().unwrap_or(before);
    ((before.0 + after.0) / 2.0, (before.1 + after.1) / 2.0)
}

/// Escapes `text` for XML's character data and attribute values. Control characters, which XML
/// cannot hold, are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}
