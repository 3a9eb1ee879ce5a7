//! Plans as text.

use super::{Plan, SitePath};
use crate::program::FunctionName;
use cranelift_codegen::ir::UserFuncName;
use std::fmt::{self, Write as _};

/// The start of a plan's first line, before the version.
pub(crate) const MAGIC: &str = "clif-inline plan";
/// The version of the form that is written.
pub(super) const VERSION: &str = "2";
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
            write!(f, "  {keyword} {}", steps(path))?;
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

fn steps(path: &SitePath) -> String {
    let steps = path.steps().iter();
    let steps: Vec<_> = steps
        .map(|step| format!("{} {}", name(&step.callee), step.number()))
        .collect();
    steps.join(" > ")
}

fn one_line(reason: &str) -> String {
    let words: Vec<_> = reason.split(|c: char| c.is_control()).collect();
    words.join(" ").trim().to_owned()
}

/// Formats a name as one word: in quotes, unless it has only the usual characters of names.
pub(crate) fn name(name: &FunctionName) -> String {
    let UserFuncName::Testcase(testcase) = name.as_user_func_name() else {
        return name.to_string();
    };
    let bytes = testcase.raw();
    let usual = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b';');
    if bytes.iter().all(usual) {
        return name.to_string();
    }
    let mut quoted = String::from("\"%");
    // Writing to a string does not fail.
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let _ = match c {
                '"' | '\\' => write!(quoted, "\\{c}"),
                c if c.is_ascii_control() => write!(quoted, "\\x{:02x}", u32::from(c)),
                c => write!(quoted, "{c}"),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}
