//! What is published: all that the crate includes and shows, and nothing to test it with.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the package; `None` where this is no checkout, as in the package itself.
fn packaged() -> Option<BTreeSet<String>> {
    if !root().join(".git").exists() {
        eprintln!("passed over: this is no checkout");
        return None;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("manifest has no"), "{told}");
    let list = String::from_utf8(output.stdout).unwrap();
    Some(list.lines().map(str::to_owned).collect())
}

#[test]
fn the_package_has_no_test_data() {
    let Some(files) = packaged() else { return };
    for folder in ["tests/", "fuzz/", "benches/", ".ci/", ".cargo/"] {
        let found = files.iter().find(|file| file.starts_with(folder));
        assert_eq!(found, None);
    }
    // CLIF is there for the examples and for nothing else.
    let clif = files.iter().filter(|file| file.ends_with(".clif"));
    let elsewhere: Vec<_> = clif
        .filter(|file| !file.starts_with("examples/modules/"))
        .collect();
    assert_eq!(elsewhere, [""; 0]);
    let bytes = |file: &String| fs::metadata(root().join(file)).map_or(0, |file| file.len());
    let size: u64 = files.iter().map(bytes).sum();
    assert!(size < 3_000_000, "{size} bytes");
}

#[test]
fn the_package_has_what_its_sources_include() {
    let Some(files) = packaged() else { return };
    let mut included = 0;
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let source = fs::read_to_string(root().join(file)).unwrap();
        let folder = Path::new(file).parent().unwrap();
        for part in source.split("include_str!(\"").skip(1) {
            let path = folder.join(part.split('"').next().unwrap());
            let mut inside = Vec::new();
            for step in path.iter().map(|step| step.to_str().unwrap()) {
                match step {
                    ".." => drop(inside.pop()),
                    step => inside.push(step),
                }
            }
            let inside = inside.join("/");
            assert!(files.contains(&inside), "{file} includes {inside}");
            included += 1;
        }
    }
    assert!(included >= 3, "{included}");
    for file in ["README.md", "LICENSE", "CHANGELOG.md", "docs/flow.svg"] {
        assert!(files.contains(file), "{file}");
    }
}
