//! The report: one page with everything, to be opened from a file and passed on.
//!
//! The page needs nothing from anywhere, and says so to the browser by a policy that forbids all
//! connections. Tables, trees and the picture are plain HTML and SVG; the script in `page.js` adds
//! sorting, filters, zoom and the texts. All markup is made with [`maud`], which escapes what the
//! program brought with it.

mod limits;
mod picture;
mod tables;
mod texts;
mod trees;

use crate::drawing::picture::{Arrow, Node, Picture};
use crate::inline_tree::InlineTrees;
use crate::statistics::{Statistics, counted};
use crate::verdict::Verdict;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, Program};
use limits::Shown;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rustc_hash::FxHashMap;
use serde::Serialize;
use texts::Texts;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page is made of.
struct Report<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    trees: InlineTrees<'a>,
    /// How many calls of each function were replaced by its body.
    copies: FxHashMap<FunctionId, usize>,
    shown: Shown,
    /// The functions of `shown`, and then what they call and nothing defines.
    nodes: Vec<Node>,
    /// Calls between `nodes`.
    arrows: Vec<Arrow>,
    /// How many arrows are left out.
    arrows_left_out: usize,
}

impl<'a> Report<'a> {
    fn new(program: &'a Program, inlined: &'a Inlined) -> Self {
        let mut copies = FxHashMap::default();
        for site in inlined.sites().filter(|site| site.inlined) {
            if let Some(id) = site.callee_id {
                *copies.entry(id).or_default() += 1;
            }
        }
        let shown = Shown::of(program, inlined);
        let picture = Picture::new(program, inlined).of_functions(&shown.functions);
        let mut arrows = picture.arrows();
        let arrows_left_out = arrows.len().saturating_sub(limits::ARROWS);
        if arrows_left_out > 0 {
            arrows.sort_by_key(|arrow| arrow.verdict);
            arrows.truncate(limits::ARROWS);
            arrows.sort_by_key(|arrow| (arrow.from, arrow.to, arrow.verdict));
        }
        Self {
            program,
            inlined,
            trees: InlineTrees::new(program, inlined),
            copies,
            nodes: picture.nodes(),
            shown,
            arrows,
            arrows_left_out,
        }
    }
}

/// What the script knows beside what it reads from the page.
#[derive(Serialize)]
struct Data {
    /// Names of functions, and then of what is called and not defined.
    names: Vec<String>,
    /// Instructions of functions before and after; a dropped one has none after.
    sizes: Vec<(usize, Option<usize>)>,
    /// Caller, callee, verdict and how many sites.
    calls: Vec<(usize, usize, String, usize)>,
    /// The numbers of the functions in each chunk of texts.
    texts: Vec<Vec<usize>>,
}

/// The text of a page about what the pass did to `program`.
pub(crate) fn page(
    title: &str,
    program: &Program,
    inlined: &Inlined,
    statistics: &Statistics,
    with_texts: bool,
) -> String {
    let report = Report::new(program, inlined);
    let heading = format!("Inlining report: {title}");
    let sections = sections(&report, statistics).into_string();
    // What is not in the sections: numbers of the texts, and a little around all.
    let numbers = 8 * report.shown.functions.len();
    let around = data(&report, &[]).len() + numbers + STYLE.len() + SCRIPT.len() + 10_000;
    let room = limits::PAGE.saturating_sub(sections.len() + around + 6 * heading.len());
    let texts = with_texts.then(|| texts::compress(&report, room));
    let texts = texts.unwrap_or_default();
    let data = data(&report, &texts.numbers);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
                    style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                meta name="color-scheme" content="light dark";
                title { (heading) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (heading) }
                    nav aria-label="Parts of the report" {
                        a href="#overview" { "Overview" }
                        a href="#functions" { "Functions" }
                        a href="#sites" { "Call sites" }
                        a href="#trees" { "Trees" }
                    }
                }
                main {
                    (PreEscaped(&sections))
                }
                script type="application/json" id="data" { (PreEscaped(data)) }
                @if texts.left_out > 0 { footer { p { (texts_left_out(&texts)) } } }
                @for (number, chunk) in texts.chunks.iter().enumerate() {
                    script type="text/plain" id={ "t" (number) } { (PreEscaped(chunk)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

/// The parts of the page.
fn sections(report: &Report<'_>, statistics: &Statistics) -> Markup {
    let drawing = picture::draw(report);
    let left_out = report.shown.left_out();
    html! {
        section #overview {
            h2 { "Overview" }
            div.totals { (tables::totals(statistics)) (tables::reasons(statistics))
                (tables::transforms(statistics)) }
            (graph(report, &drawing))
        }
        section #functions {
            h2 { "Functions" }
            @if left_out > 0 { p {
                "The page has room for " (report.shown.functions.len()) " of "
                (report.program.len()) " functions: those whose sizes changed most, and then \
                 the largest. The totals are of all."
            } }
            div.scroll { (tables::functions(report)) }
        }
        section #sites {
            h2 { "Call sites" }
            div.scroll { (tables::sites(report)) }
        }
        section #trees {
            h2 { "Trees" }
            p { "Below each function are its calls; below each call that was inlined, \
                 the calls of the body that took its place. Sizes are in instructions: \
                 that of the callee as it was copied, and that of the caller then." }
            (trees::trees(report))
            noscript { p { "The text of the functions is in this page too, but it takes a \
                            script to unpack it." } }
        }
    }
}

fn texts_left_out(texts: &Texts) -> String {
    let left_out = counted(texts.left_out, "function");
    format!(
        "The page stays under 10 MB, so there is no text of {left_out}: those that \
         changed least, and of those that did not change the largest. \
         `clif-inline opt` writes all of them."
    )
}

fn graph(report: &Report<'_>, drawing: &picture::Drawing) -> Markup {
    html! {
        h3 { "Who calls whom" }
        p {
            @if drawing.left_out > 0 || report.arrows_left_out > 0 {
                "There is room for a part of it: the largest functions, and of the calls the inlined \
                 ones first. "
            }
            "Each disc is a function. The ring's area is its size before in instructions, the \
             filled area its size after: where the filling is larger than the ring the function has \
             grown, and a ring alone is a function that was dropped. Lines lead from callers to \
             callees; calls that go up close a cycle. Functions that no inlined call connects stand last, \
             the largest first."
        }
        fieldset.legend {
            legend { "Lines" }
            @for verdict in Verdict::ALL {
                @let shown = verdict == Verdict::Inlined || !drawing.hides_lines;
                label class=(verdict) {
                    input type="checkbox" id={ "show-" (verdict) } checked[shown];
                    svg.key viewBox="0 0 30 8" aria-hidden="true" { path d="M0 4H30" {} }
                    (verdict)
                }
            }
        }
        div.canvas { (drawing.markup) }
    }
}

/// The data as JSON that can stand in a script element: nothing in it ends one.
fn data(report: &Report<'_>, texts: &[Vec<usize>]) -> String {
    let sizes = report.shown.functions.iter().map(|&id| {
        let stats = report.inlined.stats(id);
        (
            stats.insts_before,
            (!stats.dropped).then_some(stats.insts_after),
        )
    });
    let calls = report.arrows.iter();
    let calls = calls.map(|arrow| (arrow.from, arrow.to, arrow.verdict.to_string(), arrow.sites));
    let data = Data {
        names: report.nodes.iter().map(|node| node.name.clone()).collect(),
        sizes: sizes.collect(),
        calls: calls.collect(),
        texts: texts.to_vec(),
    };
    // Numbers and strings always are JSON.
    let json = serde_json::to_string(&data).unwrap_or_default();
    json.replace('<', "\\u003c")
}

/// A link to what the page tells of a function.
fn function_link(report: &Report<'_>, id: FunctionId) -> Markup {
    let name = report.program.get(id).map(|function| function.name());
    html! {
        @match report.shown.number(id) {
            Some(number) => a href={ "#f" (number) } { @if let Some(name) = name { (name) } },
            None => @if let Some(name) = name { (name) },
        }
    }
}

/// The class of what tells of a site.
fn classes(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "unreachable".to_owned(), |verdict| verdict.to_string())
}
