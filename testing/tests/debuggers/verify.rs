//! LLVM's verifier reads the DWARF of generated programs for every target.

use super::builds::{Build, Order, REFERENCE};
use super::programs::{Lines, Subject, shape};
use super::session::has;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::pass::Optimize;
use cranelift_inliner_testing::generate::Feature;
use std::fs;
use std::path::Path;
use std::process::Command;

const VERIFIERS: [&str; 2] = ["llvm-dwarfdump", "llvm-dwarfdump-19"];
const TARGETS: [&str; 4] = ["x64", "aarch64", "riscv64", "s390x"];

#[test]
fn the_verifier_of_llvm_finds_no_fault_on_any_target() {
    let verifiers: Vec<_> = VERIFIERS
        .into_iter()
        .filter(|program| has(program))
        .collect();
    if verifiers.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let always = Build {
        policy: "always",
        optimize: Optimize::Inlined,
        level: OptLevel::Speed,
        order: Order::Rounds,
    };
    // riscv64 lacks vectors unless a setting is on.
    let shape = shape().without(Feature::Vectors);
    let mut files = Vec::new();
    for seed in 0..20 {
        for lines in [Lines::Unique, Lines::Shared] {
            let Some(subject) = Subject::generated(seed, &shape, lines) else {
                continue;
            };
            for target in TARGETS {
                for build in [REFERENCE, always] {
                    let name = format!("{seed}_{lines:?}_{target}_{}.o", build.policy);
                    let object = build.object(&subject, seed, target, "entry");
                    fs::write(folder.path().join(&name), object).unwrap();
                    files.push(name);
                }
            }
        }
    }
    for verifier in verifiers {
        verify(verifier, &files, folder.path());
    }
}

fn verify(verifier: &str, files: &[String], folder: &Path) {
    let output = Command::new(verifier)
        .arg("--verify")
        .args(files)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("error") || line.starts_with("Verifying"))
        .collect();
    let faults = told.windows(2).filter(|pair| pair[1].starts_with("error"));
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty() && output.status.success(), "{faults:#?}");
    assert_eq!(said.matches("No errors.").count(), files.len());
}
