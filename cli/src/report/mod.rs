//! The report: a single page, which opens from a file and can be passed on.
//!
//! [`Page`] makes it of any [`Inlined`], also of the one in a `ModuleReport`.
//!
//! ```
//! use clif_inline::report::Page;
//! use cranelift_inliner::{decide::Always, pass::Inliner, program::Program};
//!
//! let text = "function %one() -> i32 {
//! block0:
//!     v0 = iconst.i32 1
//!     return v0
//! }
//! function %main() -> i32 {
//!     fn0 = colocated %one() -> i32
//! block0:
//!     v0 = call fn0()
//!     return v0
//! }";
//! let inlined = Inliner::new(Always).run(&Program::from_clif(text, "example")?)?;
//! let page = Page::new("example", &inlined);
//! assert!(page.to_html().contains("%main"));
//!
//! let folder = tempfile::tempdir()?;
//! page.write(&folder.path().join("example.html"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The page has no external parts, and its content policy forbids all connections. Tables, trees
//! and the picture are plain HTML and SVG; the script in `page.js` adds sorting, filters, zoom and
//! the texts. All markup is made with [`maud`], which escapes text from the program.

mod code;
mod limits;
mod loops;
mod picture;
mod tables;
mod texts;
mod trees;

use crate::drawing::picture::{Arrow, Node, Picture};
use crate::failure::Failure;
use crate::inline_tree::InlineTrees;
use crate::output::Output;
use crate::statistics::{Statistics, counted};
use crate::verdict::Verdict;
use code::MachineCode;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::pass::{CompiledProgram, Inlined};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use limits::Shown;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use texts::Texts;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page about a result of the pass: totals, the call graph, and each function and call site
/// with the decision on it.
///
/// It is one file of at most ten megabytes. The page of a larger program leaves things out, by
/// rules that it states.
pub struct Page<'a> {
    title: String,
    inlined: &'a Inlined,
    names: Names<'a>,
    has_clif: bool,
    code: Option<MachineCode<'a>>,
}

/// Names of functions for readers.
type Names<'a> = Box<dyn Fn(&FunctionName) -> String + Send + Sync + 'a>;

impl<'a> Page<'a> {
    /// Returns the page about `inlined`, with the calls that were [recorded](Inlined::recorded).
    /// The title stands behind "Inlining report".
    pub fn new(title: impl Into<String>, inlined: &'a Inlined) -> Self {
        Page {
            title: title.into(),
            inlined,
            names: Box::new(ToString::to_string),
            has_clif: true,
            code: None,
        }
    }

    /// Sets how functions are called on the page, except in CLIF. By default they have the names
    /// of the program.
    pub fn names(mut self, names: impl Fn(&FunctionName) -> String + Send + Sync + 'a) -> Self {
        self.names = Box::new(names);
        self
    }

    /// Sets whether the page has the CLIF of each function before and after. It has by default.
    pub fn clif(mut self, has_clif: bool) -> Self {
        self.has_clif = has_clif;
        self
    }

    /// Adds the machine code that was compiled with the page's result, for `isa`.
    pub fn machine_code(mut self, isa: OwnedTargetIsa, compiled: &'a CompiledProgram) -> Self {
        self.code = Some(MachineCode::new(isa, compiled));
        self
    }

    /// Returns the page as HTML.
    pub fn to_html(&self) -> String {
        page(self)
    }

    /// Writes the page to a file in place of an old one. Other processes see the old or the new
    /// page, and never a part.
    ///
    /// So that an interrupted process leaves no temporary file, this installs handlers of the
    /// signals that end a process, unless they are ignored, which then end it as before.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; an old one stays as it is.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        let output = Output::File(path.to_owned());
        output
            .write_bytes(self.to_html().as_bytes())
            .map_err(WriteError)
    }
}

/// A page was not written.
///
/// The message begins with the file.
#[derive(Debug)]
pub struct WriteError(Failure);

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for WriteError {}

/// The data of a page.
struct Report<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    names: &'a Names<'a>,
    trees: InlineTrees<'a>,
    /// The number of calls of each function that were inlined.
    copies: FxHashMap<FunctionId, usize>,
    shown: Shown,
    /// The functions of `shown`, and then their undefined callees.
    nodes: Vec<Node>,
    /// Calls between `nodes`.
    arrows: Vec<Arrow>,
    /// The number of arrows left out.
    arrows_left_out: usize,
}

impl<'a> Report<'a> {
    fn new(inlined: &'a Inlined, names: &'a Names<'a>) -> Self {
        let program = inlined.input();
        let mut copies = FxHashMap::default();
        for site in inlined.sites().filter(|site| site.inlined) {
            if let Some(id) = site.callee_id {
                *copies.entry(id).or_default() += 1;
            }
        }
        let shown = Shown::of(inlined, names);
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
            names,
            trees: InlineTrees::new(program, inlined),
            copies,
            nodes: picture.nodes(names),
            shown,
            arrows,
            arrows_left_out,
        }
    }
}

/// The data of the script, beside the contents of the page.
#[derive(Serialize)]
struct Data {
    /// Names of functions, and then of undefined callees.
    names: Vec<String>,
    /// Instructions of functions before and after; a dropped one has none after.
    sizes: Vec<(usize, Option<usize>)>,
    /// Caller, callee, verdict and number of sites.
    calls: Vec<(usize, usize, String, usize)>,
    /// The numbers of the functions in each chunk of CLIF.
    texts: Vec<Vec<usize>>,
    /// The numbers of the functions in each chunk of machine code.
    code: Vec<Vec<usize>>,
}

fn page(page: &Page<'_>) -> String {
    let report = Report::new(page.inlined, &page.names);
    let mut statistics = Statistics::default();
    statistics.add(report.program, report.inlined);
    let heading = format!("Inlining report: {}", page.title);
    let sections = sections(&report, &statistics).into_string();
    // The rest besides the sections: numbers of the texts, and some markup around everything.
    let numbers = 16 * report.shown.functions.len();
    let around = data(&report, &[], &[]).len() + numbers + STYLE.len() + SCRIPT.len() + 10_000;
    let room = limits::PAGE.saturating_sub(sections.len() + around + 6 * heading.len());
    let texts = page.has_clif.then(|| texts::clif(&report, room));
    let texts = texts.unwrap_or_default();
    let room = room.saturating_sub(texts.bytes());
    let code = page.code.as_ref();
    let code = code.map(|code| texts::machine_code(&report, code, room));
    let code = code.unwrap_or_default();
    let data = data(&report, &texts.numbers, &code.numbers);
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
                @if texts.left_out > 0 { footer { p { (texts_left_out(&texts, "text")) } } }
                @if code.left_out > 0 { footer { p { (texts_left_out(&code, "machine code")) } } }
                @for (number, chunk) in texts.chunks.iter().enumerate() {
                    script type="text/plain" id={ "t" (number) } { (PreEscaped(chunk)) }
                }
                @for (number, chunk) in code.chunks.iter().enumerate() {
                    script type="text/plain" id={ "c" (number) } { (PreEscaped(chunk)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

/// Returns the parts of the page.
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
                 the largest. The totals include all functions."
            } }
            div.scroll { (tables::functions(report)) }
        }
        section #sites {
            h2 { "Call sites" }
            div.scroll { (tables::sites(report)) }
        }
        section #trees {
            h2 { "Trees" }
            p { "Below each function are its calls; below each inlined call, the calls of the \
                 copied body. Sizes are those of callee and caller at the time of the \
                 decision, in instructions." }
            (trees::trees(report))
            noscript { p { "The text of the functions is in this page too, but only a \
                            script can unpack it." } }
        }
    }
}

fn texts_left_out(texts: &Texts, kind: &str) -> String {
    let left_out = counted(texts.left_out, "function");
    let other = match kind {
        "text" => "opt",
        _ => "compile",
    };
    format!(
        "The page stays under 10 MB, so the {kind} of {left_out} is left out: those that \
         changed least, and the largest of the unchanged ones. \
         `clif-inline {other}` writes all of them."
    )
}

fn graph(report: &Report<'_>, drawing: &picture::Drawing) -> Markup {
    html! {
        h3 { "Call graph" }
        p {
            @if drawing.left_out > 0 || report.arrows_left_out > 0 {
                "The picture is a part of the graph: the largest functions, and inlined calls \
                 first. "
            }
            "Each disc is a function. The ring's area is its size before in instructions, the \
             filled area its size after. A filling larger than the ring is a function that has \
             grown, and a ring without filling a dropped one. Lines lead from callers to \
             callees; calls that go up close a cycle. Functions without inlined calls come last, \
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

/// Returns the data as JSON for a script element: it cannot end the element.
fn data(report: &Report<'_>, texts: &[Vec<usize>], code: &[Vec<usize>]) -> String {
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
        code: code.to_vec(),
    };
    // Numbers and strings are always valid JSON.
    let json = serde_json::to_string(&data).unwrap_or_default();
    json.replace('<', "\\u003c")
}

/// Returns a link to a function's part of the page.
fn function_link(report: &Report<'_>, id: FunctionId) -> Markup {
    let name = report
        .program
        .get(id)
        .map(|function| (report.names)(function.name()));
    html! {
        @match report.shown.number(id) {
            Some(number) => a href={ "#f" (number) } { @if let Some(name) = name { (name) } },
            None => @if let Some(name) = name { (name) },
        }
    }
}

/// Returns the class of a site's verdict.
fn classes(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "unreachable".to_owned(), |verdict| verdict.to_string())
}
