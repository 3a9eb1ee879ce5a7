//! The call graph as a picture: discs with the area of a function's size, and lines for calls.
//!
//! In a large program most functions have no inlined calls and no copies. So only inlined calls
//! pull discs together; the other lines are hidden until requested.

use super::{Report, limits};
use crate::drawing::layout::{Gaps, Point, layout};
use crate::drawing::picture::{Arrow, Node};
use crate::verdict::Verdict;
use cranelift_inliner::pass::FunctionStats;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Up to this many lines, all are shown and all pull discs.
const FEW_ARROWS: usize = 120;
/// The space for a name below each disc.
const GAPS: Gaps = Gaps {
    between: 22.0,
    layers: 34.0,
    parts: 18.0,
};
/// The radius of the largest function.
const LARGEST: f64 = 46.0;
const SMALLEST: f64 = 1.5;
/// The margin, which holds the names of the outermost discs.
const MARGIN: f64 = 24.0;
/// Discs of at least this radius show their names from the beginning.
const NAMED: f64 = 10.0;

/// A node of the picture.
struct Disc {
    node: usize,
    /// The radii for the size before and after.
    before: f64,
    after: f64,
}

pub(super) struct Drawing {
    pub(super) markup: Markup,
    /// Whether lines of calls that were not inlined are hidden at first.
    pub(super) hides_lines: bool,
    /// The numbers of functions and calls left out.
    pub(super) left_out: usize,
}

/// Draws the graph of a report.
pub(super) fn draw(report: &Report<'_>) -> Drawing {
    let (nodes, arrows) = (&report.nodes, &report.arrows);
    let few = arrows.len() <= FEW_ARROWS;
    let pulls = |arrow: &&Arrow| few || arrow.verdict == Verdict::Inlined;
    let (discs, left_out) = discs(report, nodes, arrows, few);
    let place_of: BTreeMap<usize, usize> = (0..)
        .zip(&discs)
        .map(|(place, disc)| (disc.node, place))
        .collect();
    let ends = |arrow: &Arrow| Some((*place_of.get(&arrow.from)?, *place_of.get(&arrow.to)?));
    let edges: Vec<_> = arrows.iter().filter(pulls).filter_map(ends).collect();
    let radii: Vec<f64> = discs
        .iter()
        .map(|disc| disc.before.max(disc.after))
        .collect();
    let sizes: Vec<_> = radii
        .iter()
        .map(|radius| (2.0 * radius, 2.0 * radius))
        .collect();
    let places = layout(&sizes, &edges, GAPS);
    let middles: Vec<Point> = places
        .nodes
        .iter()
        .map(|(x, y)| (x + MARGIN, y + MARGIN))
        .collect();

    let mut parallel: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut drawn: Vec<(usize, &Arrow)> = arrows.iter().enumerate().collect();
    let lines_left_out = drawn.len().saturating_sub(limits::LINES);
    drawn.sort_by_key(|(_, arrow)| arrow.verdict);
    drawn.truncate(limits::LINES);
    drawn.sort_by_key(|(number, _)| *number);
    let lines = drawn.into_iter().filter_map(|(number, arrow)| {
        let (from, to) = ends(arrow)?;
        let before = parallel.entry((from, to)).or_default();
        *before += 1;
        let at = |place: usize| (middles[place], radii[place]);
        let path = path(at(from), at(to), *before);
        Some(html! {
            path class=(arrow.verdict) data-c=(number) d=(path) marker-end={ "url(#to-" (arrow.verdict) ")" } {
                title { (told(arrow, nodes)) }
            }
        })
    });
    let (width, height) = (places.width + 2.0 * MARGIN, places.height + 2.0 * MARGIN);
    let (width, height) = (width.ceil(), height.ceil());
    let markup = html! {
        svg #graph viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height)
            role="group" aria-label="The call graph" {
            defs { @for verdict in Verdict::ALL {
                marker id={ "to-" (verdict) } class=(verdict) viewBox="0 0 8 8" refX="7" refY="4"
                    markerWidth="6" markerHeight="6" orient="auto" { path d="M0 0L8 4L0 8Z" {} }
            } }
            g.lines { @for line in lines { (line) } }
            g.discs { @for (disc, middle) in discs.iter().zip(&middles) {
                (shown(report, disc, nodes, *middle))
            } }
        }
    };
    Drawing {
        markup,
        hides_lines: !few,
        left_out: left_out + lines_left_out,
    }
}

/// Returns the discs, those with pulling lines first, then the others, the largest first; and the
/// number left out.
fn discs(report: &Report<'_>, nodes: &[Node], arrows: &[Arrow], few: bool) -> (Vec<Disc>, usize) {
    let functions = report.shown.functions.len();
    let stats: Vec<FunctionStats> = report
        .shown
        .functions
        .iter()
        .map(|&id| report.inlined.stats(id))
        .collect();
    let sizes = |node: usize| {
        stats.get(node).map(|stats| {
            let after = if stats.dropped { 0 } else { stats.insts_after };
            (stats.insts_before, after)
        })
    };
    let largest = (0..functions).filter_map(sizes).map(|(a, b)| a.max(b));
    let largest = largest.max().unwrap_or(1).max(1) as f64;
    // Small programs need no discs that fill the screen.
    let scale = (LARGEST / largest.sqrt()).min(4.0);
    let radius = |size: usize| match size {
        0 => 0.0,
        size => ((size as f64).sqrt() * scale).max(SMALLEST),
    };
    let mut pulled = vec![false; nodes.len()];
    for arrow in arrows
        .iter()
        .filter(|arrow| few || arrow.verdict == Verdict::Inlined)
    {
        for end in [arrow.from, arrow.to] {
            if let Some(pulled) = pulled.get_mut(end) {
                *pulled = true;
            }
        }
    }
    let wanted = |node: usize| node < functions || (few && pulled[node]);
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&node| wanted(node)).collect();
    let size = |node: usize| sizes(node).map_or(0, |(before, after)| before.max(after));
    order.sort_by_key(|&node| (!pulled[node], std::cmp::Reverse(size(node))));
    let left_out = order.len().saturating_sub(limits::DISCS);
    order.truncate(limits::DISCS);
    let disc = |node| {
        // An undefined function has no size.
        let (before, after) = sizes(node).map_or((5.0, 0.0), |(a, b)| (radius(a), radius(b)));
        Disc {
            node,
            before,
            after,
        }
    };
    (order.into_iter().map(disc).collect(), left_out)
}

fn shown(report: &Report<'_>, disc: &Disc, nodes: &[Node], (x, y): Point) -> Markup {
    let Some(node) = nodes.get(disc.node) else {
        return html! {};
    };
    let reach = disc.before.max(disc.after);
    let is_function = disc.node < report.shown.functions.len();
    let class = match (is_function, node.dropped) {
        (false, _) => "outside",
        (true, true) => "dropped",
        (true, false) => "kept-function",
    };
    let inside = html! {
        title { (node.name) @if !node.size.is_empty() { ": " (node.size) " instructions" } }
        circle.after cx=(tenth(x)) cy=(tenth(y)) r=(tenth(disc.after)) {}
        circle.before cx=(tenth(x)) cy=(tenth(y)) r=(tenth(disc.before)) {}
        text class=[(reach < NAMED).then_some("minor")] x=(tenth(x)) y=(tenth(y + reach + 9.0)) {
            (short(&node.name))
        }
    };
    html! {
        @if is_function {
            a class=(class) href={ "#f" (disc.node) } data-n=(disc.node) { (inside) }
        } @else {
            g class=(class) data-n=(disc.node) { (inside) }
        }
    }
}

fn told(arrow: &Arrow, nodes: &[Node]) -> String {
    let name = |node: usize| nodes.get(node).map_or("", |node| node.name.as_str());
    let calls = match arrow.sites {
        1 => "1 call".to_owned(),
        sites => format!("{sites} calls"),
    };
    let (from, to) = (name(arrow.from), name(arrow.to));
    format!("{from} → {to}: {}, {calls}", arrow.verdict)
}

fn short(name: &str) -> String {
    match name.char_indices().nth(24) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or(name)),
    }
}

/// Returns a line from border to border, bent so that lines between the same two discs are
/// separate.
fn path((from, from_radius): (Point, f64), (to, to_radius): (Point, f64), nth: usize) -> String {
    let (x, y) = (to.0 - from.0, to.1 - from.1);
    let length = (x * x + y * y).sqrt();
    if length < 1e-6 {
        let (left, right) = (from.0 - from_radius * 0.7, from.0 + from_radius * 0.7);
        let top = from.1 - from_radius * 0.7;
        let high = top - 12.0 - 6.0 * nth as f64;
        return format!(
            "M{left:.1} {top:.1}C{left:.1} {high:.1} {right:.1} {high:.1} {right:.1} {top:.1}"
        );
    }
    let (x, y) = (x / length, y / length);
    let bend = (0.08 * nth as f64 * length).min(12.0 * nth as f64);
    let (start, end) = (from_radius, to_radius + 1.5);
    let (x1, y1) = (from.0 + x * start, from.1 + y * start);
    let (x2, y2) = (to.0 - x * end, to.1 - y * end);
    let (mx, my) = (
        f64::midpoint(x1, x2) - y * bend,
        f64::midpoint(y1, y2) + x * bend,
    );
    format!("M{x1:.1} {y1:.1}Q{mx:.1} {my:.1} {x2:.1} {y2:.1}")
}

fn tenth(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
