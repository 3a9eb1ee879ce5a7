//! Finds and unpacks the modules.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the modules to read, smallest first, with their text.
pub(super) fn corpus() -> impl Iterator<Item = (PathBuf, String)> {
    let mut files = list();
    if env::var_os("CLIF_CORPUS_ALL").is_none() {
        files.truncate(2);
    }
    if files.is_empty() {
        eprintln!("passed over: no corpus");
    }
    files.into_iter().filter_map(|path| {
        let text = text(&path)?;
        Some((path, text))
    })
}

/// Returns the module called `name`, if it is there.
pub(super) fn module(name: &str) -> Option<String> {
    let path = list().into_iter().find(|path| module_name(path) == name);
    if path.is_none() {
        eprintln!("passed over: no {name} in the corpus");
    }
    text(&path?)
}

/// Returns the name of a module: its file name without the endings of compression.
pub(super) fn module_name(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    name.split(".clif").next().unwrap_or_default()
}

fn list() -> Vec<PathBuf> {
    let folder = match env::var_os("CLIF_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(crate::ROOT).join("../shared/corpus"),
    };
    let mut files: Vec<(u64, PathBuf)> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            let name = path.file_name()?.to_str()?;
            let wanted = name.ends_with(".clif") || name.ends_with(".clif.xz");
            wanted.then_some((entry.metadata().ok()?.len(), path))
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// Returns the text of a module; `None` if it is packed and there is no `xz`.
fn text(path: &Path) -> Option<String> {
    if path.extension()? == "clif" {
        return Some(fs::read_to_string(path).unwrap());
    }
    let Ok(unpacked) = Command::new("xz").arg("-dc").arg(path).output() else {
        eprintln!("passed over: no xz to unpack {path:?}");
        return None;
    };
    assert!(unpacked.status.success(), "xz cannot unpack {path:?}");
    Some(String::from_utf8(unpacked.stdout).unwrap())
}
