//! Inline trees as text for a terminal: one line per site, indented below the site of the body that
//! contains it.

use crate::inline_tree::{InlineTrees, Site};
use crate::statistics::{CallSites, counted};
use crate::verdict::Verdict;
use anstyle::{AnsiColor, Style};
use cranelift_inliner::cleanup::CleanupStats;
use cranelift_inliner::pass::{Inlined, Reason};
use cranelift_inliner::program::{FunctionId, Program};
use std::fmt::Write as _;

/// The limit of lines: if each function calls the next one twice, a tree doubles with each level.
const MOST_LINES: usize = 20_000;

const HEAD: Style = Style::new().bold();
const BRANCH: Style = Style::new().dimmed();

/// The trees of functions, with colours as escape sequences.
pub(crate) struct Explanation<'a> {
    program: &'a Program,
    inlined: &'a Inlined,
    trees: InlineTrees<'a>,
    /// The number of levels shown.
    depth: usize,
    /// The lines of the current function's tree.
    lines: usize,
    text: String,
}

impl<'a> Explanation<'a> {
    pub(crate) fn new(program: &'a Program, inlined: &'a Inlined, depth: usize) -> Self {
        Self {
            program,
            inlined,
            trees: InlineTrees::new(program, inlined),
            depth,
            lines: 0,
            text: String::new(),
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Adds the tree of a function.
    pub(crate) fn add(&mut self, id: FunctionId) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.head(id);
        let own: Vec<_> = self.trees.own(id).collect();
        self.lines = 0;
        self.sites(id, &own, "", 1);
        if self.lines > MOST_LINES {
            self.line(&format!(
                "… and so on: {MOST_LINES} sites are shown; --depth shows fewer levels"
            ));
        }
    }

    fn head(&mut self, id: FunctionId) {
        let Some(function) = self.program.get(id) else {
            return;
        };
        let stats = self.inlined.stats(id);
        let calls = CallSites::of(self.program, self.inlined, id);
        let dropped = if stats.dropped { ", then dropped" } else { "" };
        self.line(&format!(
            "{HEAD}{}{HEAD:#}: {}, {} → {} instructions, {} → {} call sites{dropped}; {} inlined{}",
            function.name(),
            function.linkage(),
            stats.insts_before,
            stats.insts_after,
            calls.before,
            calls.after,
            counted(stats.inlined, "call"),
            gains(&stats.cleanup),
        ));
    }

    fn sites(&mut self, root: FunctionId, sites: &[Site<'a>], indent: &str, level: usize) {
        if level > self.depth {
            return;
        }
        for (number, site) in sites.iter().enumerate() {
            self.lines += 1;
            if self.lines > MOST_LINES {
                return;
            }
            let (branch, rest) = match number + 1 == sites.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            let told = self.told(root, site);
            self.line(&format!("{BRANCH}{indent}{branch}{BRANCH:#}{told}"));
            let below = self.trees.below(site);
            self.sites(root, &below, &format!("{indent}{rest}"), level + 1);
        }
    }

    /// Returns the text of a site.
    fn told(&self, root: FunctionId, site: &Site<'_>) -> String {
        let record = site.record;
        let (style, what) = match site.verdict() {
            Some(verdict) => (style(verdict), verdict.to_string()),
            None => (BRANCH, "unreachable".to_owned()),
        };
        let callee = record.callee.to_string();
        let mut told = format!("{style}{what}{style:#} {HEAD}{callee}{HEAD:#}");
        // Writing to a string does not fail.
        if record.callee_id.is_some() {
            let (callee, caller) = (record.callee_insts(), record.caller_insts());
            let _ = write!(told, ", {callee} instructions into {caller}");
        }
        let _ = match site.verdict() {
            Some(_) => write!(told, ": {}", record.reason),
            None => write!(told, ": the call was removed before its decision"),
        };
        let (kind, inst) = (record.kind, record.inst);
        let _ = write!(told, " {BRANCH}({kind} {inst}");
        if record.is_resolved() && record.reason != Reason::OtherSignature {
            let _ = write!(told, ", resolved from an indirect call");
        }
        if !record.srcloc.is_default() {
            let _ = write!(told, " at {}", record.srcloc);
        }
        if record.caller != root
            && let Some(caller) = self.program.get(record.caller)
        {
            let _ = write!(told, ", decided in {}", caller.name());
        }
        let _ = write!(told, "){BRANCH:#}");
        told
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// Returns the gains of inlining in a function, as the end of a sentence.
fn gains(stats: &CleanupStats) -> String {
    let gains = [
        (
            stats.slots_promoted,
            "slot",
            "became a value",
            "became values",
        ),
        (
            stats.calls_resolved,
            "indirect call",
            "became direct",
            "became direct",
        ),
        (
            stats.try_calls_replaced,
            "call",
            "lost its handlers",
            "lost their handlers",
        ),
    ];
    let gains = gains.into_iter().filter(|(number, ..)| *number > 0);
    gains
        .map(|(number, noun, one, more)| {
            let became = if number == 1 { one } else { more };
            format!("; {} {became}", counted(number, noun))
        })
        .collect()
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Inlined => AnsiColor::Green.on_default(),
        Verdict::Kept => AnsiColor::Yellow.on_default(),
        Verdict::Refused => AnsiColor::Red.on_default(),
        Verdict::External => AnsiColor::Blue.on_default(),
    }
}
