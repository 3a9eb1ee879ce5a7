//! The measured modules.

use cranelift_inliner::program::Program;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A module before parsing.
pub(crate) struct Module {
    pub(crate) name: String,
    path: PathBuf,
}

impl Module {
    /// Parses the module; `None`, with a note, if it cannot be unpacked.
    pub(crate) fn program(&self) -> Option<Program> {
        let text = text(&self.path)?;
        let program = Program::from_clif(&text, &self.name);
        Some(program.unwrap_or_else(|error| panic!("{}: {error}", self.name)))
    }
}

/// Returns the corpus if present, and otherwise the repository's own modules; smallest first.
pub(crate) fn modules() -> Vec<Module> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = match env::var_os("CLIF_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => root.join("../shared/corpus"),
    };
    let mut found = list(&corpus);
    if found.is_empty() {
        eprintln!("no corpus: the repository's own modules are measured, which are small");
        found = list(&root.join("examples/modules"));
        found.extend(list(&root.join("tests/checking/modules")));
    }
    found.sort();
    let modules = found.into_iter().map(|(_, path)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split(".clif").next().unwrap_or_default().to_owned();
        Module { name, path }
    });
    modules.collect()
}

fn list(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?;
        let is_module = name.ends_with(".clif") || name.ends_with(".clif.xz");
        is_module.then_some((entry.metadata().ok()?.len(), path))
    });
    files.collect()
}

fn text(path: &Path) -> Option<String> {
    if path.extension()? == "clif" {
        return Some(fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}")));
    }
    let unpacked = Command::new("xz").arg("-dc").arg(path).output();
    match unpacked {
        Ok(unpacked) if unpacked.status.success() => String::from_utf8(unpacked.stdout).ok(),
        _ => {
            eprintln!("passed over: xz cannot unpack {path:?}");
            None
        }
    }
}
