//! The published packages: everything that they include and show, and no test data.

use crate::root;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The packages, with their folders.
const PACKAGES: [(&str, &str); 3] = [
    ("cranelift-inliner", ""),
    ("clif-inline", "cli"),
    ("cranelift-inliner-testing", "testing"),
];

/// Returns the files of a package; `None` outside of a checkout, as in the package itself.
fn packaged(package: &str) -> Option<BTreeSet<String>> {
    if !root().join(".git").exists() {
        eprintln!("passed over: this is no checkout");
        return None;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .args(["--package", package])
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
fn the_packages_have_no_test_data() {
    for (package, folder) in PACKAGES {
        let Some(files) = packaged(package) else {
            return;
        };
        for folder in [
            "tests/", "fuzz/", "benches/", "cli/", "testing/", ".ci/", ".cargo/",
        ] {
            let found = files.iter().find(|file| file.starts_with(folder));
            assert_eq!(found, None, "{package}");
        }
        // CLIF is there for the examples and for nothing else.
        let clif = files.iter().filter(|file| file.ends_with(".clif"));
        let elsewhere: Vec<_> = clif
            .filter(|file| !file.starts_with("examples/modules/"))
            .filter(|file| !file.starts_with("examples/debugging/"))
            .collect();
        assert_eq!(elsewhere, [""; 0], "{package}");
        let folder = root().join(folder);
        let bytes = |file: &String| fs::metadata(folder.join(file)).map_or(0, |file| file.len());
        let size: u64 = files.iter().map(bytes).sum();
        assert!(size < 3_500_000, "{package}: {size} bytes");
    }
}

#[test]
fn the_packages_have_the_files_that_their_sources_include() {
    let mut included = 0;
    for (package, folder) in PACKAGES {
        let Some(files) = packaged(package) else {
            return;
        };
        for file in files.iter().filter(|file| file.ends_with(".rs")) {
            let source = fs::read_to_string(root().join(folder).join(file)).unwrap();
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
                assert!(
                    files.contains(&inside),
                    "{package}: {file} includes {inside}"
                );
                included += 1;
            }
        }
        for file in ["README.md", "LICENSE", "Cargo.toml"] {
            assert!(files.contains(file), "{package}: {file}");
        }
        if folder.is_empty() {
            for file in ["CHANGELOG.md", "docs/flow.svg", "docs/runtime.svg"] {
                assert!(files.contains(file), "{file}");
            }
        }
    }
    assert!(included >= 4, "{included}");
}

/// Pages that show a package show its README alone, so that a path beside it leads nowhere there.
#[test]
fn links_of_the_readmes_lead_to_published_files() {
    const SOURCE: &str = "https://docs.rs/crate/cranelift-inliner/latest/source/";
    let Some(files) = packaged("cranelift-inliner") else {
        return;
    };
    let mut to_files = 0;
    for (package, folder) in PACKAGES {
        let text = fs::read_to_string(root().join(folder).join("README.md")).unwrap();
        let inline = text.split("](").skip(1);
        let inline = inline.map(|rest| rest.split(')').next().unwrap());
        let definitions = text.lines().filter(|line| line.starts_with('['));
        let definitions = definitions.filter_map(|line| Some(line.split_once("]: ")?.1));
        for link in inline.chain(definitions) {
            assert!(link.starts_with("https://"), "{package}: {link}");
            if let Some(file) = link.strip_prefix(SOURCE) {
                assert!(files.contains(file), "{package}: {link}");
                to_files += 1;
            }
            let in_docs = link.strip_prefix("https://docs.rs/cranelift-inliner/latest/");
            if let Some(item) = in_docs.and_then(|page| page.strip_prefix("cranelift_inliner/")) {
                let module = item.split('/').next().unwrap();
                let is_module = |file: String| root().join(file).exists();
                assert!(
                    is_module(format!("src/{module}.rs"))
                        || is_module(format!("src/{module}/mod.rs")),
                    "{package}: {link}"
                );
            }
        }
    }
    assert!(to_files >= 5, "{to_files}");
}
