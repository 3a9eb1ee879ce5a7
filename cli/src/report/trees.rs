//! The inline tree of each function, as nested lists that open and close without scripts.

use super::limits::{self, name_bytes};
use super::tables::{badge, place};
use super::{Report, classes, function_link};
use crate::inline_tree::Site;
use crate::statistics::{CallSites, counted};
use cranelift_inliner::program::FunctionId;
use maud::{Markup, html};

/// The most sites shown of one function; fewer in a large program.
const SITES: [usize; 9] = [500, 250, 100, 50, 20, 10, 5, 2, 1];

/// Returns the trees of all functions.
pub(super) fn trees(report: &Report<'_>) -> Markup {
    let functions = &report.shown.functions;
    let sizes: Vec<usize> = functions
        .iter()
        .map(|&id| size(report, id, SITES[0]))
        .collect();
    let names: usize = report.nodes.iter().map(|node| name_bytes(&node.name)).sum();
    let site_bytes = 300 + 2 * names / report.nodes.len().max(1);
    let sites = limits::TREES / site_bytes;
    let fits = |&&most: &&usize| sizes.iter().map(|&size| size.min(most)).sum::<usize>() <= sites;
    let most = SITES.iter().find(fits).copied().unwrap_or(0);
    html! { @for &id in functions { (function(report, id, most)) } }
}

/// Returns the number of sites in a function's tree, or `most` if it has more.
fn size(report: &Report<'_>, id: FunctionId, most: usize) -> usize {
    let mut rest: Vec<Site<'_>> = report.trees.own(id).collect();
    let mut size = 0;
    while let Some(site) = rest.pop()
        && size < most
    {
        size += 1;
        rest.extend(report.trees.below(&site));
    }
    size
}

fn function(report: &Report<'_>, id: FunctionId, most: usize) -> Markup {
    let Some(function) = report.program.get(id) else {
        return html! {};
    };
    let stats = report.inlined.stats(id);
    let calls = CallSites::of(report.program, report.inlined, id);
    let own: Vec<_> = report.trees.own(id).collect();
    let mut left = most;
    html! {
        details.function {
            summary {
                code { ((report.names)(function.name())) }
                " " (stats.insts_before) " → "
                @if stats.dropped { "dropped" } @else { (stats.insts_after) }
            }
            div id={ "f" (report.shown.number(id).unwrap_or_default()) } {
                p {
                    "Linkage: " (function.linkage()) ". Instructions: " (stats.insts_before) " before, "
                    (stats.insts_after) " after"
                    @if stats.dropped { ", then dropped" }
                    ". Call sites: " (calls.before) " before, " (calls.after) " after; "
                    (counted(stats.inlined, "call")) " inlined, "
                    (report.copies.get(&id).copied().unwrap_or(0)) " copies."
                    @if let Some(origin) = function.origin() { br; small { (origin) } }
                }
                @if own.is_empty() { p { "It has no direct calls." } }
                @else { ul.tree { @for site in &own { (branch(report, id, site, &mut left)) } } }
            }
        }
    }
}

fn branch(report: &Report<'_>, root: FunctionId, site: &Site<'_>, left: &mut usize) -> Markup {
    if *left == 0 {
        return html! {};
    }
    *left -= 1;
    let record = site.record;
    let told = html! {
        (badge(site.verdict())) " "
        @match record.callee_id {
            Some(id) => (function_link(report, id)),
            None => code { ((report.names)(&record.callee)) },
        }
        @if record.callee_id.is_some() {
            " " (record.callee_insts()) " into " (record.caller_insts())
        }
        @if site.verdict().is_some() { ": " (record.reason) }
        @else { ": removed before its decision" }
        " " small {
            (place(record))
            @if record.caller != root { ", decided in " (function_link(report, record.caller)) }
        }
    };
    let below = report.trees.below(site);
    html! {
        li class=(classes(site.verdict())) {
            @if below.is_empty() { (told) }
            @else if *left == 0 { (told) " …" }
            @else {
                details open {
                    summary { (told) }
                    ul { @for site in &below { (branch(report, root, site, left)) } }
                }
            }
            @if *left == 0 { small.cut { " (and more: " code { "clif-inline explain" } " shows all)" } }
        }
    }
}
