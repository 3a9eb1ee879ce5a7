//! Instructions executed for compiling, counted by running this program again under callgrind.

use crate::build::{Variant, code_bytes};
use crate::programs::PROGRAMS;
use std::env;
use std::process::{Command, Stdio};

/// The argument that tells the child to compile, before the variant and the number of times.
pub(crate) const CHILD: &str = "--compile-for-counting";

/// Compiles all programs in one way.
pub(crate) fn run_child(mut arguments: impl Iterator<Item = String>) {
    let variant = arguments.next().unwrap_or_default();
    let times = arguments.next().and_then(|times| times.parse().ok());
    let variants = Variant::ALL.into_iter();
    for variant in variants.filter(|other| format!("{other:?}") == variant) {
        for _ in 0..times.unwrap_or(1) {
            for program in PROGRAMS {
                code_bytes(program, variant);
            }
        }
    }
}

/// Returns the instructions for compiling all programs once, by variant.
///
/// # Errors
///
/// The reason for missing counts, mostly that valgrind is not installed.
pub(crate) fn count() -> Result<[u64; 4], String> {
    let mut counts = [0; 4];
    for (count, variant) in counts.iter_mut().zip(Variant::ALL) {
        // The first compilation includes the start of the process.
        let once = in_child(variant, 1)?;
        let twice = in_child(variant, 2)?;
        *count = twice.saturating_sub(once);
    }
    Ok(counts)
}

fn in_child(variant: Variant, times: u32) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([CHILD, &format!("{variant:?}"), &times.to_string()])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let mut lines = printed.lines();
    let collected = lines.find_map(|line| line.split_once("Collected :"));
    let (_, number) = collected.ok_or_else(|| format!("valgrind: {}", output.status))?;
    number.trim().parse().map_err(|error| format!("{error}"))
}
