//! Executed instructions, by running this program again under callgrind.
//!
//! A child does nothing, compiles, or compiles and runs one round; the counts are the differences.
//! Callgrind is some fifty times slower, so nothing is repeated, and nothing needs to be.

use crate::variants::Variant;
use crate::{Inputs, call};
use cranelift_inliner::profile::Profile;
use std::path::Path;
use std::process::Command;

/// The argument that makes a child, followed by a step, a program and a way to compile it.
pub(crate) const CHILD: &str = "--count";

/// Executed instructions, to compile a program and to run one round of it.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) compile: u64,
    pub(crate) run: u64,
}

/// Counts the instructions of a program compiled in one way.
pub(crate) fn count(
    name: &str,
    variant: &Variant,
    profile: Option<&Profile>,
) -> Result<Counts, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("profile");
    if let Some(profile) = profile {
        std::fs::write(&path, profile.to_json()).map_err(|error| error.to_string())?;
    }
    let of = |step| in_child(step, name, &variant.name, &path);
    let (start, compile, run) = (of("start")?, of("compile")?, of("run")?);
    Ok(Counts {
        compile: compile.saturating_sub(start),
        run: run.saturating_sub(compile),
    })
}

fn in_child(step: &str, name: &str, variant: &str, profile: &Path) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([CHILD, step, name, variant])
        .arg(profile)
        // Idle threads execute instructions too.
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    let collected = messages
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    match number {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(format!("valgrind: {}\n{messages}", output.status)),
    }
}

/// Does the part of a child.
pub(crate) fn child(arguments: &[String]) {
    let [step, name, variant, profile] = arguments else {
        panic!("four arguments");
    };
    let known = Variant::all()
        .into_iter()
        .find(|known| known.name == *variant);
    let variant = known.unwrap_or_else(|| Variant::model(variant));
    let profile = std::fs::read_to_string(profile).ok();
    let profile = profile.map(|text| Profile::from_json(&text).expect("a profile"));
    let inputs = Inputs::read(name);
    let bytes = inputs.of(&variant);
    if step == "start" {
        return;
    }
    let program = variant.compile(bytes, profile.as_ref());
    if step == "run" {
        call(&program, name, &["1"]);
    }
}
