//! The test files named by paths.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files that `paths` name, in their order. A folder stands for all `.clif` files in it
/// and in its subfolders, sorted by path. An unreadable path gives a message in its place.
pub(crate) fn find(paths: &[PathBuf]) -> Vec<Result<PathBuf, String>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(Ok(path.clone()));
            continue;
        }
        let before = files.len();
        in_folder(path, &mut files);
        if files.len() == before {
            files.push(Err(format!(
                "{}: no .clif file in the folder",
                path.display()
            )));
        }
    }
    files
}

fn in_folder(folder: &Path, files: &mut Vec<Result<PathBuf, String>>) {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            files.push(Err(format!("{}: {error}", folder.display())));
            return;
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a folder is not followed: it may lead back here.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            in_folder(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "clif") && !path.is_dir() {
            files.push(Ok(path));
        }
    }
}
