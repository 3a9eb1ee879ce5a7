//! Plans as text.

use super::Plan;
use crate::program::FunctionName;
use cranelift_codegen::ir::UserFuncName;
use std::fmt::{self, Write as _};

/// The start of a plan's first line, before the version.
pub(crate) const MAGIC: &str = "clif-inline plan";
/// The version of the form that is written.
pub(crate) const VERSION: &str = "2";
/// The previous version. It has no last line, so that a cut file is not detected.
pub(super) const VERSION_WITHOUT_END: &str = "1";

/// Writes the plan as `docs/PLANS.md` describes it, the same text for the same plan.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC} {VERSION}")?;
        let mut caller = None;
        for (path, site) in self.iter() {
            if caller != Some(path.caller()) {
                caller = Some(path.caller());
                writeln!(f, "\nfunction {}", name(path.caller()))?;
            }
            let keyword = if site.inline { "inline" } else { "keep" };
            write!(f, "  {keyword} ")?;
            for (index, step) in path.steps().iter().enumerate() {
                let arrow = if index == 0 { "" } else { " > " };
                write!(f, "{arrow}{} {}", name(&step.callee), step.number())?;
            }
            if !site.location.is_default() {
                write!(f, " {}", site.location)?;
            }
            let reason = one_line(&site.reason);
            if !reason.is_empty() {
                write!(f, " ; {reason}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\nend")
    }
}

fn one_line(reason: &str) -> String {
    let words: Vec<_> = reason.split(|c: char| c.is_control()).collect();
    words.join(" ").trim().to_owned()
}

/// Formats a name as one word: in quotes, unless it has only the usual characters of names.
pub(crate) fn name(name: &FunctionName) -> String {
    match name.as_user_func_name() {
        UserFuncName::User(_) => name.to_string(),
        UserFuncName::Testcase(testcase) => {
            let mut word = String::new();
            push_text_name(&mut word, testcase.raw());
            word
        }
    }
}

/// Adds the name `%TEXT` as one word: see [`name`].
#[cfg(feature = "shards")]
pub(crate) fn push_name_of(out: &mut String, text: &str) {
    if text.bytes().all(is_usual) {
        out.push('%');
        out.push_str(text);
    } else {
        push_text_name(out, text.as_bytes());
    }
}

/// Returns whether a byte of a name needs no quotes.
fn is_usual(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b';')
}

/// Adds the name `%TEXT` as one word: see [`name`].
fn push_text_name(out: &mut String, bytes: &[u8]) {
    if bytes.iter().copied().all(is_usual)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        out.push('%');
        out.push_str(text);
        return;
    }
    out.push_str("\"%");
    // Writing to a string does not fail.
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let _ = match c {
                '"' | '\\' => write!(out, "\\{c}"),
                c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c)),
                c => write!(out, "{c}"),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}
