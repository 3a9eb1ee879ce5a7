//! The files of inputs, and text from them.

use crate::failure::Failure;
use cranelift_inliner::program::{Program, ProgramError};
use cranelift_inliner::shard::{ShardBodies, ShardSummary, SummaryError};
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

/// Reads a program. A file that only commands for shards read is an error that names these.
pub(crate) fn program(paths: &[PathBuf]) -> Result<Program, Failure> {
    Program::read(paths).map_err(|error| failure(error, paths))
}

/// Returns the failure for an error about the files at `paths`.
pub(crate) fn failure(error: ProgramError, paths: &[PathBuf]) -> Failure {
    match error {
        ProgramError::Syntax { .. } => {
            let other = paths.iter().find_map(|path| file_of_shards(path));
            other.unwrap_or_else(|| error.into())
        }
        error => error.into(),
    }
}

/// Returns an error if the file is one that `summarize` wrote.
fn file_of_shards(path: &Path) -> Option<Failure> {
    if !path.is_file() {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let message = if ShardBodies::has_magic(&bytes) {
        "these are the functions of a shard, which only `clif-inline backend` reads"
    } else if !matches!(
        ShardSummary::from_bytes(&bytes),
        Err(SummaryError::NoSummary)
    ) {
        "this is the summary of a shard, which `clif-inline thin` reads, and `clif-inline summarize \
         --text` prints"
    } else {
        return None;
    };
    Some(Failure::new(format!("{}: {message}", path.display())))
}

/// Returns the text of a file. Text that is not UTF-8 is an error with its line.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::read(path, &error))?;
    utf8(bytes)
        .map_err(|(line, message)| Failure::new(format!("{}:{line}: {message}", path.display())))
}

/// Decodes `bytes`, without the byte order mark that some editors write, or returns the line that
/// is not UTF-8 and an error message.
pub(crate) fn utf8(bytes: Vec<u8>) -> Result<String, (usize, &'static str)> {
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(text) => text.to_vec(),
        None => bytes,
    };
    String::from_utf8(bytes).map_err(|error| {
        let text = error.as_bytes().get(..error.utf8_error().valid_up_to());
        let lines = text
            .unwrap_or_default()
            .iter()
            .filter(|&&byte| byte == b'\n');
        (lines.count() + 1, "the text is not UTF-8")
    })
}
