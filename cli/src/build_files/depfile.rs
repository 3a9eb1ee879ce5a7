//! Dependencies as rules of make, which ninja and others read.

use crate::failure::Failure;
use crate::output::Output;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files that inputs stand for: themselves, and of folders all files of CLIF and the
/// folder: its time changes with its list.
pub(crate) fn files(inputs: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for input in inputs {
        files.push(input.clone());
        let Ok(entries) = fs::read_dir(input) else {
            continue;
        };
        let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut entries: Vec<_> = entries
            .filter(|path| path.extension().is_some_and(|ending| ending == "clif"))
            .collect();
        entries.sort();
        files.append(&mut entries);
    }
    files
}

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
