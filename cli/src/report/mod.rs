//! The report: one page with everything, to be opened from a file and passed on.
//!
//! The page needs nothing from anywhere, and says so to the browser by a policy that forbids all
//! connections. Tables, trees and the picture are plain HTML and SVG; the script in `page.js` adds
//! sorting, filters, zoom and the texts. All markup is made with [`maud`], which escapes what the
//! program brought with it.

mod picture;
mod tables;
mod texts;
mod trees;

use crate::drawing::picture::Picture;
use crate::inline_tree::InlineTrees;
use crate::statistics::Statistics;
use crate::verdict::Verdict;
use cranelift_entity::EntityRef;
use cranelift_inliner::pass::Inlined;
use cranelift_inliner::program::{FunctionId, Program};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rustc_hash::FxHashMap;
use serde::Serialize;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page is made of.
struct Report<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    trees: InlineTrees<'a>,
    /// How many calls of each function were replaced by its body.
    copies: FxHashMap<FunctionId, usize>,
}

impl Report<'_> {
    /// The number that stands for a function in the page.
    fn number(&self, id: FunctionId) -> usize {
        id.index()
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
    /// The number of the first function in each chunk of texts.
    starts: Vec<usize>,
}

/// The text of a page about what the pass did to `program`.
pub(crate) fn page(
    title: &str,
    program: &Program,
    inlined: &Inlined,
    statistics: &Statistics,
    with_texts: bool,
) -> String {
    let mut copies = FxHashMap::default();
    for site in inlined.sites().filter(|site| site.inlined) {
        if let Some(id) = site.callee_id {
            *copies.entry(id).or_default() += 1;
        }
    }
    let report = Report {
        program,
        inlined,
        trees: InlineTrees::new(program, inlined),
        copies,
    };
    let texts = with_texts.then(|| texts::compress(program, inlined));
    let starts = texts
        .as_ref()
        .map_or(Vec::new(), |texts| texts.starts.clone());
    let data = data(&report, starts);
    let drawing = picture::draw(&report);
    let heading = format!("Inlining report: {title}");
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
                    section #overview {
                        h2 { "Overview" }
                        div.totals { (tables::totals(statistics)) (tables::reasons(statistics)) }
                        (graph(&drawing))
                    }
                    section #functions {
                        h2 { "Functions" }
                        div.scroll { (tables::functions(&report)) }
                    }
                    section #sites {
                        h2 { "Call sites" }
                        div.scroll { (tables::sites(&report)) }
                    }
                    section #trees {
                        h2 { "Trees" }
                        p { "Below each function are its calls; below each call that was inlined, \
                             the calls of the body that took its place. Sizes are in instructions: \
                             that of the callee as it was copied, and that of the caller then." }
                        (trees::trees(&report))
                        noscript { p { "The text of the functions is in this page too, but it takes a \
                                        script to unpack it." } }
                    }
                }
                script type="application/json" id="data" { (PreEscaped(data)) }
                @for (number, chunk) in texts.iter().flat_map(|texts| &texts.chunks).enumerate() {
                    script type="text/plain" id={ "t" (number) } { (PreEscaped(chunk)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

fn graph(drawing: &picture::Drawing) -> Markup {
    html! {
        h3 { "Who calls whom" }
        p {
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
fn data(report: &Report<'_>, starts: Vec<usize>) -> String {
    let picture = Picture::new(report.program, report.inlined);
    let nodes = picture.nodes();
    let sizes = report.program.ids().map(|id| {
        let stats = report.inlined.stats(id);
        (
            stats.insts_before,
            (!stats.dropped).then_some(stats.insts_after),
        )
    });
    let calls = picture.arrows();
    let calls = calls
        .iter()
        .map(|arrow| (arrow.from, arrow.to, arrow.verdict.to_string(), arrow.sites));
    let data = Data {
        names: nodes.iter().map(|node| node.name.clone()).collect(),
        sizes: sizes.collect(),
        calls: calls.collect(),
        starts,
    };
    // Numbers and strings always are JSON.
    let json = serde_json::to_string(&data).unwrap_or_default();
    json.replace('<', "\\u003c")
}

/// A link to what the page tells of a function.
fn function_link(report: &Report<'_>, id: FunctionId) -> Markup {
    html! {
        a href={ "#f" (report.number(id)) } {
            @if let Some(function) = report.program.get(id) { (function.name()) }
        }
    }
}

/// The class of what tells of a site.
fn classes(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "unreachable".to_owned(), |verdict| verdict.to_string())
}
