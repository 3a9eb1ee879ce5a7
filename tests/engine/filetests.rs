//! Files that show the change of a function: the text before, the text after.
//!
//! A file in `tests/filetests` reads from top to bottom:
//!
//! ```text
//! ; The subject of the file, in words.
//! ; splice %caller: every call
//!
//! function %callee() { ... }
//! function %caller() { ... }
//!
//! ; ==> the result
//!
//! function %caller() { ... }
//! ```
//!
//! A comment of the head that starts with a command is a step; the other
//! comments are prose. The steps are described in `engine/steps.rs`. Below the
//! marker stand the refusals, in order, and then the functions that a step
//! names, as they are in the end.
//!
//! Every result is verified, printed, parsed and printed again, and compiled for every target.
//! `UPDATE_EXPECT=1 cargo test --test engine filetests` writes the results below the marker; the
//! checks stay.

use cranelift_inliner::program::Program;
use similar::TextDiff;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

const MARKER: &str = "; ==>";

#[test]
fn every_file_becomes_its_expected_text() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests");
    let files = clif_files(&folder);
    assert!(!files.is_empty(), "no files in {}", folder.display());
    let mut failures = Vec::new();
    for file in &files {
        if let Err(failure) = check(file, update) {
            let name = file.strip_prefix(&folder).unwrap_or(file);
            failures.push(format!("{}: {failure}", name.display()));
        }
    }
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} of {} files fail\n\n{}",
        files.len(),
        failures.join("\n\n")
    );
}

fn clif_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "clif")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Runs one file and compares.
fn check(file: &Path, update: bool) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let (before, expected) = match text.find(MARKER) {
        Some(at) => text.split_at(at),
        None => (text.as_str(), ""),
    };
    let found = catch_unwind(|| run(before)).unwrap_or_else(|_| Err("panics".into()))?;
    let marker_line = expected.lines().next().unwrap_or(MARKER);
    let expected_body = expected.split_once('\n').map_or("", |(_, body)| body);
    if found.trim() == expected_body.trim() {
        return Ok(());
    }
    if update {
        let text = format!(
            "{}\n\n{marker_line}\n\n{}\n",
            before.trim_end(),
            found.trim()
        );
        return fs::write(file, text).map_err(|error| error.to_string());
    }
    let diff = TextDiff::from_lines(expected_body.trim(), found.trim());
    let diff = diff.unified_diff().context_radius(4).to_string();
    Err(format!("not as expected\n{diff}"))
}

/// Returns the result of `before`, as it is below the marker.
fn run(before: &str) -> Result<String, String> {
    let script = crate::steps::Script::parse(before)?;
    let outcome = script.run()?;
    let mut text = String::new();
    for refusal in &outcome.refusals {
        text.push_str(&format!("; {refusal}\n"));
    }
    if !outcome.refusals.is_empty() {
        text.push('\n');
    }
    // Cranelift's own printer leaves some things out.
    let mut program = Program::new();
    for func in &outcome.functions {
        program
            .add(func.clone())
            .map_err(|error| error.to_string())?;
    }
    text.push_str(&program.to_clif().map_err(|error| error.to_string())?);
    for func in &outcome.functions {
        script
            .check(func)
            .map_err(|error| format!("{error}\n\n{text}"))?;
    }
    Ok(text)
}
