//! The decision for each call, as text and as a page.

use crate::compile::Compiled;
use clif_inline::report::Page;
use cranelift_inliner::program::FunctionName;
use cranelift_inliner_wasm_runtime::number;
use std::fmt::Write;

/// Lists the direct calls of each function whose name contains `wanted`, with the decision for each
/// and its reason. Empty if nothing could be inlined.
pub fn explain(compiled: &Compiled, wanted: &str) -> String {
    let mut text = String::new();
    let Some(report) = &compiled.report else {
        return text;
    };
    let name = |symbol: &FunctionName| {
        let name = name(compiled, symbol);
        name.map_or_else(|| symbol.to_string(), str::to_owned)
    };
    let mut last = None;
    for site in report.inlined().sites() {
        let caller = name(report.program()[site.caller].name());
        if !caller.contains(wanted) {
            continue;
        }
        if last != Some(site.caller) {
            last = Some(site.caller);
            let stats = report.inlined().stats(site.caller);
            let (before, after) = (stats.insts_before, stats.insts_after);
            let _ = writeln!(text, "{caller}: {before} -> {after} instructions");
        }
        let decision = if site.inlined { "inlined" } else { "kept" };
        let _ = write!(text, "    {decision:7} ");
        for &id in site.via() {
            let _ = write!(text, "{} > ", name(report.program()[id].name()));
        }
        let _ = write!(text, "{}", name(&site.callee));
        if !site.srcloc.is_default() {
            let _ = write!(text, " at {:#x}", site.srcloc.bits());
        }
        let _ = writeln!(text, ": {}", site.reason);
    }
    text
}

/// Returns a page about all functions, which is that of `clif-inline report` with the module's own
/// names beside the symbols; `None` if nothing could be inlined.
pub fn page<'a>(compiled: &'a Compiled, title: &str) -> Option<Page<'a>> {
    let report = compiled.report.as_ref()?;
    let page = Page::new(title, report.inlined());
    Some(page.names(|symbol| match name(compiled, symbol) {
        // The page's CLIF has the symbol.
        Some(name) => format!("{name} ({symbol})"),
        None => symbol.to_string(),
    }))
}

/// Returns the name that the module gives to a function. Reports name functions by their symbols.
/// Entries have no name in the module.
fn name<'a>(compiled: &'a Compiled, symbol: &FunctionName) -> Option<&'a str> {
    let number = number(symbol.to_string().trim_start_matches('%').as_bytes())?;
    let function = compiled.image.functions.get(number as usize)?;
    Some(&function.name)
}
