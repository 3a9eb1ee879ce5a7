//! Licences and sources of dependencies, by the rules in `deny.toml`.
//!
//! `cargo deny` checks the same and more. It takes longer to build than all tests, so this is the
//! part that runs everywhere.

use crate::root;
use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};
use std::process::Command;
use std::{env, fs};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Returns the licences that `deny.toml` allows.
fn allowed() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let rules: toml::Table = text.parse().unwrap();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let licences = allowed.iter().map(|licence| licence.as_str().unwrap());
    licences.map(str::to_owned).collect()
}

fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = Expression::parse_mode(expression, ParseMode::LAX).unwrap();
    expression.evaluate(|licence: &LicenseReq| allowed.contains(&licence.to_string()))
}

/// Returns all packages that are built here, with those of the workspace.
fn packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = cranelift_native::builder().unwrap().triple().to_string();
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--all-features"])
        .args(["--locked", "--filter-platform", &host])
        .current_dir(root())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn dependencies_have_allowed_licences_and_sources() {
    if !root().join(".git").exists() {
        eprintln!("passed over: this is no checkout");
        return;
    }
    let allowed = allowed();
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        let name = &package["name"];
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{name}: {licence}");
        let source = package["source"].as_str();
        assert!(
            source.is_none_or(|source| source == CRATES_IO),
            "{name}: {source:?}"
        );
    }
}

#[test]
fn one_of_several_licences_has_to_be_allowed() {
    let allowed = ["MIT".to_owned(), "Zlib".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("MIT OR GPL-3.0-only", true),
        ("MIT/GPL-3.0-only", true),
        ("MIT AND Zlib", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-3.0-only", false),
        ("MIT WITH LLVM-exception", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
