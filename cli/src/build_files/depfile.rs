//! Dependencies as rules of make, which ninja and others read.

use crate::failure::Failure;
use crate::output::Output;
use std::path::{Path, PathBuf};

/// Writes the rule `target: files`.
pub(crate) fn write(path: &Path, target: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    let escape = |path: &Path| {
        let mut escaped = String::new();
        for c in path.to_string_lossy().chars() {
            match c {
                ' ' | '#' => escaped.extend(['\\', c]),
                '$' => escaped.push_str("$$"),
                c => escaped.push(c),
            }
        }
        escaped
    };
    let mut rule = format!("{}:", escape(target));
    for file in files {
        rule.push_str(" \\\n  ");
        rule.push_str(&escape(file));
    }
    rule.push('\n');
    Output::File(path.to_owned()).write_bytes(rule.as_bytes())
}
