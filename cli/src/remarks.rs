//! Decisions as LLVM's optimization remarks.
//!
//! Each call site is one YAML document, in the format that LLVM's `-fsave-optimization-record`
//! writes and its `opt-viewer` reads. The joined values of `Args` are a sentence.

use cranelift_inliner::pass::{Inlined, Reason, SiteRecord};
use cranelift_inliner::program::{InlineAttribute, Program};
use std::io::{self, Write};

/// Appends a record for each site of `inlined`, the result of the pass on `program`.
pub(crate) fn append(text: &mut Vec<u8>, program: &Program, inlined: &Inlined) {
    for site in inlined.sites() {
        // Writing to a vector does not fail.
        let _ = record(text, program, site);
    }
}

fn record(out: &mut impl Write, program: &Program, site: &SiteRecord) -> io::Result<()> {
    let kind = if site.inlined { "!Passed" } else { "!Missed" };
    let caller = program.get(site.caller);
    let caller_name = caller.map_or_else(String::new, |caller| caller.name().to_string());
    writeln!(out, "--- {kind}")?;
    writeln!(out, "Pass: inline")?;
    writeln!(out, "Name: {}", name(site))?;
    if let Some(origin) = caller.and_then(|caller| caller.origin()) {
        let file = quoted(&origin.file);
        let line = origin.line;
        writeln!(out, "DebugLoc: {{ File: {file}, Line: {line}, Column: 0 }}")?;
    }
    writeln!(out, "Function: {}", quoted(&caller_name))?;
    writeln!(out, "Args:")?;
    let mut argument = |key: &str, value: &str| writeln!(out, "  - {key}: {}", quoted(value));
    argument("Callee", &site.callee.to_string())?;
    let what = if site.inlined {
        " inlined into "
    } else {
        " not inlined into "
    };
    argument("String", what)?;
    argument("Caller", &caller_name)?;
    argument("String", ": ")?;
    argument("Reason", &site.reason.to_string())?;
    argument("String", " (")?;
    argument("ReasonKind", site.reason.slug())?;
    argument("String", "; callee of ")?;
    argument("CalleeInstructions", &site.callee_insts().to_string())?;
    argument("String", " instructions, caller of ")?;
    argument("CallerInstructions", &site.caller_insts().to_string())?;
    argument("String", "; ")?;
    argument("CallKind", &site.kind.to_string())?;
    argument("String", " ")?;
    argument("Instruction", &site.inst.to_string())?;
    if !site.srcloc.is_default() {
        argument("String", " at ")?;
        argument("SourceLocation", &site.srcloc.to_string())?;
    }
    if site.is_resolved() && site.reason != Reason::OtherSignature {
        argument("String", ", resolved from an indirect call")?;
    }
    if !site.via().is_empty() {
        let names = site.via().iter().filter_map(|&id| program.get(id));
        let names: Vec<_> = names.map(|function| function.name().to_string()).collect();
        argument("String", ", which came in with ")?;
        argument("Via", &names.join(" > "))?;
    }
    argument("String", ")")?;
    writeln!(out, "...")
}

/// Returns LLVM's name for the kind of remark.
fn name(site: &SiteRecord) -> &'static str {
    match &site.reason {
        Reason::Attribute(InlineAttribute::Always) if site.inlined => "AlwaysInline",
        _ if site.inlined => "Inlined",
        Reason::Attribute(InlineAttribute::Never) => "NeverInline",
        Reason::External => "NoDefinition",
        _ => "NotInlined",
    }
}

/// Returns `text` as a YAML scalar: in single quotes or, if it contains characters that these
/// cannot hold, in double quotes, whose escapes include those of JSON.
fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.chars().all(plain) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if plain(c) => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    let escaped: String = text.chars().map(escape).collect();
    format!("\"{escaped}\"")
}
