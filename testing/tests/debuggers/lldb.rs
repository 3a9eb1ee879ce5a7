//! Runs of a host in lldb.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the folders in which lldb's Python modules may be. The debugger of some distributions
/// looks for them elsewhere.
fn modules() -> Vec<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let programs = env::split_paths(&folders).map(|folder| folder.join("lldb"));
    let program = programs
        .filter_map(|program| program.canonicalize().ok())
        .next();
    let Some(library) = program
        .as_deref()
        .and_then(Path::parent)
        .map(|bin| bin.join("../lib"))
    else {
        return Vec::new();
    };
    let versions = fs::read_dir(library).into_iter().flatten().flatten();
    versions
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .flat_map(|entry| ["dist-packages", "site-packages"].map(|name| entry.path().join(name)))
        .filter(|folder| folder.join("lldb").is_dir())
        .collect()
}

fn lldb() -> Command {
    let mut command = Command::new("lldb");
    command.args(["--no-lldbinit", "--no-use-colors", "--batch"]);
    command.env("PYTHONPATH", env::join_paths(modules()).unwrap());
    command
}

/// Returns whether lldb runs scripts.
pub(crate) fn has_python() -> bool {
    let mut command = lldb();
    let output = command
        .args(["-o", "script print(lldb.SBError().Success())"])
        .output();
    let works = output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("True"));
    if !works {
        eprintln!("passed over: lldb has no Python");
    }
    works
}

/// Writes the stops of the host in `folder` to `stops.txt`.
pub(crate) fn run(folder: &Path, arguments: &[String]) -> Result<(), String> {
    fs::write(folder.join("stops_lldb.py"), include_str!("stops_lldb.py")).unwrap();
    let output = lldb()
        .args(["-o", "command script import ./stops_lldb.py", "host"])
        .env("STOPS_OUTPUT", "stops.txt")
        .env("STOPS_ARGUMENTS", arguments.join(" "))
        .current_dir(folder)
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && !errors.contains("error:") && !errors.contains("Error:") {
        true => Ok(()),
        false => Err(format!("{said}{errors}")),
    }
}
