//! The tables of the report: totals, reasons, functions and call sites.

use super::loops::LoopDepths;
use super::{Report, classes, function_link, limits};
use crate::statistics::Statistics;
use crate::verdict::Verdict;
use cranelift_inliner::pass::{Reason, SiteRecord};
use cranelift_inliner::program::FunctionId;
use maud::{Markup, PreEscaped, html};
use std::cmp::Reverse;

/// Returns the totals of the program.
pub(super) fn totals(statistics: &Statistics) -> Markup {
    let Statistics {
        functions,
        functions_dropped,
        call_sites_before,
        call_sites_after,
        instructions_before,
        instructions_after,
        stack_bytes_before,
        stack_bytes_after,
        ..
    } = *statistics;
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let rows = [
        (
            "Functions",
            int(functions),
            int(functions - functions_dropped),
        ),
        (
            "Instructions",
            int(instructions_before),
            int(instructions_after),
        ),
        ("Call sites", int(call_sites_before), int(call_sites_after)),
        (
            "Bytes of stack slots",
            bytes(stack_bytes_before),
            bytes(stack_bytes_after),
        ),
    ];
    html! {
        table {
            caption { "Totals" }
            thead { tr {
                th scope="col" { "" }
                @for head in ["Before", "After", "Change"] { th.num scope="col" { (head) } }
            } }
            tbody { @for (name, before, after) in rows { tr {
                th scope="row" { (name) }
                td { (before) }
                td { (after) }
                td { (change(before, after)) }
            } } }
        }
    }
}

/// Returns the numbers of sites by verdict and kind of reason.
pub(super) fn reasons(statistics: &Statistics) -> Markup {
    let most = statistics.sites.values().copied().max().unwrap_or(1).max(1);
    html! {
        table {
            caption { "Decisions on call sites, including copied ones" }
            thead { tr {
                th scope="col" { "Decision" }
                th scope="col" { "Reason" }
                th.num scope="col" { "Call sites" }
                th scope="col" { span.hidden { "Share" } }
            } }
            tbody { @for (&(verdict, reason), &count) in &statistics.sites { tr class=(classes(Some(verdict))) {
                td { (badge(Some(verdict))) }
                td { (reason) }
                td { (count) }
                td { span
                    style={ "width:" (format!("{:.1}", 100.0 * count as f64 / most as f64)) "%" } {} }
            } } }
        }
    }
}

/// Returns the table of the changes by clean-up and optimization, one row per transform with an
/// effect.
pub(super) fn transforms(statistics: &Statistics) -> Markup {
    let rows = statistics.transforms.rows();
    let rows: Vec<_> = rows.into_iter().filter(|(_, count)| *count > 0).collect();
    html! {
        @if !rows.is_empty() {
            table {
                caption { "Changes of functions after inlining" }
                thead { tr {
                    th scope="col" { "Transform" }
                    th.num scope="col" { "Number" }
                } }
                tbody { @for (name, count) in rows { tr {
                    th scope="row" { (name) }
                    td { (count) }
                } } }
            }
        }
    }
}

/// Returns the table of all defined functions.
pub(super) fn functions(report: &Report<'_>) -> Markup {
    html! {
        table.sortable {
            caption { "Functions, with their instructions before and after" }
            thead { tr {
                th scope="col" { "Function" }
                th scope="col" { "Linkage" }
                th.num scope="col" { "Before" }
                th.num scope="col" { "After" }
                th.num scope="col" { "Change" }
                th.num scope="col" { "Calls inlined into it" }
                th.num scope="col" { "Copies of it" }
            } }
            tbody { @for id in changed_first(report) {
                @let stats = report.inlined.stats(id);
                @let after = if stats.dropped { 0 } else { stats.insts_after };
                tr {
                    th scope="row" { (function_link(report, id)) }
                    td { @if let Some(function) = report.program.get(id) { (function.linkage()) } }
                    td { (stats.insts_before) }
                    td { @if stats.dropped { "dropped" } @else { (stats.insts_after) } }
                    td { (change(int(stats.insts_before), int(after))) }
                    td { (stats.inlined) }
                    td { (report.copies.get(&id).copied().unwrap_or(0)) }
                }
            } }
        }
    }
}

/// Returns the functions on the page, the greatest change first; among equals, those with more
/// inlined calls, then in the order of the input.
fn changed_first(report: &Report<'_>) -> Vec<FunctionId> {
    let mut functions = report.shown.functions.clone();
    functions.sort_by_key(|&id| {
        let stats = report.inlined.stats(id);
        let after = if stats.dropped { 0 } else { stats.insts_after };
        Reverse((after.abs_diff(stats.insts_before), stats.inlined))
    });
    functions
}

/// Returns the table of all decisions: inlined calls first, the most executed first; among equals,
/// in the order of the records.
pub(super) fn sites(report: &Report<'_>) -> Markup {
    let mut all: Vec<_> = report.inlined.sites().collect();
    all.sort_by_key(|site| (Verdict::of(site), Reverse(site.count())));
    let rows = rows(report, &all);
    html! {
        @if rows.number < all.len() {
            p {
                "The page has room for " (rows.number) " of " (all.len()) ": inlined ones first, \
                 then kept, refused and external ones."
            }
        }
        table.sortable {
            caption { "Call sites, with the decision on each and the sizes in instructions" }
            thead { tr {
                th scope="col" { "Caller" }
                th scope="col" { "Callee" }
                th scope="col" { "Decision" }
                th scope="col" { "Reason" }
                th.num scope="col" { "Callee" br; "size" }
                th.num scope="col" { "Caller" br; "size" }
                th.num scope="col" { "Executed" }
                th.num scope="col" { "Loop" br; "depth" }
                th.num scope="col" { "Below" br; "threshold" }
                th scope="col" { "Place" }
            } }
            tbody { (PreEscaped(rows.markup)) }
        }
    }
}

/// The rows that fit.
struct Rows {
    markup: String,
    number: usize,
}

fn rows(report: &Report<'_>, sites: &[&SiteRecord]) -> Rows {
    let mut rows = Rows {
        markup: String::new(),
        number: 0,
    };
    let loops = LoopDepths::new(report.program, report.inlined);
    for site in sites {
        let row = row(report, &loops, site).into_string();
        if rows.markup.len() + row.len() > limits::SITES {
            break;
        }
        rows.markup.push_str(&row);
        rows.number += 1;
    }
    rows
}

fn row(report: &Report<'_>, loops: &LoopDepths<'_>, site: &SiteRecord) -> Markup {
    let verdict = Verdict::of(site);
    html! {
        tr class=(classes(Some(verdict))) {
            td { (function_link(report, site.caller)) @if !site.via().is_empty() {
                small { " through " @for (number, &id) in site.via().iter().enumerate() {
                    @if number > 0 { ", " } (function_link(report, id))
                } }
            } }
            td { @match site.callee_id {
                Some(id) => (function_link(report, id)),
                None => ((report.names)(&site.callee)),
            } }
            td { (badge(Some(verdict))) }
            td { (site.reason) }
            td { @if site.callee_id.is_some() { (site.callee_insts()) } }
            td { (site.caller_insts()) }
            td { @if let Some(count) = site.count() { (count) } }
            td { @if let Some(depth) = loops.of(site) { (depth) } }
            td { @if let Reason::Policy(reason) = &site.reason {
                @if let Some(margin) = reason.margin() { (margin) }
            } }
            td { (place(site)) }
        }
    }
}

/// Returns the instruction of a site, and its place in the source.
pub(super) fn place(site: &SiteRecord) -> String {
    match site.srcloc.is_default() {
        true => format!("{} {}", site.kind, site.inst),
        false => format!("{} {} {}", site.kind, site.inst, site.srcloc),
    }
}

/// Returns the verdict on a site, as a coloured word.
pub(super) fn badge(verdict: Option<Verdict>) -> Markup {
    let word = verdict.map_or_else(|| "unreachable".to_owned(), |verdict| verdict.to_string());
    html! { b { (word) } }
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn change(before: i64, after: i64) -> String {
    match (after - before, before) {
        (0, _) => "0".to_owned(),
        (difference, 0) => format!("{difference:+}"),
        (difference, _) => {
            let percent = 100.0 * difference as f64 / before as f64;
            // The percent sign stays with its number if the cell is narrow.
            format!("{difference:+} ({percent:+.1}\u{a0}%)")
        }
    }
}
