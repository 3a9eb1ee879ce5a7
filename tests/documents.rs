//! What the documents name is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join("docs")).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.push(root().join("README.md"));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What stands between `open` and `close`, wherever both do.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(move |part| part.split(close).next())
}

#[test]
fn links_lead_somewhere() {
    let mut missing = Vec::new();
    for (path, text) in documents() {
        let folder = path.parent().unwrap();
        let links = between(&text, "](", ')').chain(between(&text, "src=\"", '"'));
        for link in links.filter(|link| !link.starts_with("https://")) {
            if !folder.join(link).exists() {
                missing.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn tests_named_for_metadata_exist() {
    let text = fs::read_to_string(root().join("docs/METADATA.md")).unwrap();
    let mut checked = 0;
    let mut file = String::new();
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let shown_by = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let quoted = shown_by.split('`').skip(1).step_by(2);
        for name in quoted.filter(|name| name.contains(['/', ':', '.'])) {
            let (path, function) = match name.split_once("::") {
                Some(("", function)) => (file.clone(), Some(function)),
                Some((path, function)) => (path.to_owned(), Some(function)),
                None => (name.to_owned(), None),
            };
            file.clone_from(&path);
            let tests = root().join("tests");
            if let Some(folder) = path.strip_suffix("/*") {
                assert!(tests.join("filetests").join(folder).is_dir(), "{name}");
            } else if path.ends_with(".rs") {
                let source = fs::read_to_string(tests.join(&path)).expect(&path);
                let defined =
                    function.is_none_or(|function| source.contains(&format!("fn {function}(")));
                assert!(defined, "{name}");
            } else {
                let path = tests.join("filetests").join(format!("{path}.clif"));
                assert!(path.exists(), "{name}");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} names checked");
}

#[test]
fn the_code_map_has_every_folder() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            assert!(map.contains(&format!("../src/{name}")), "src/{name}");
        }
    }
}

/// So that what the README shows is what is checked.
#[test]
fn the_checks_run_the_commands_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let checks = fs::read_to_string(root().join(".ci/run")).unwrap();
    let commands: Vec<&str> = between(&readme, "```sh\n", '`').map(str::trim).collect();
    assert_eq!(commands.len(), 4);
    for command in commands {
        assert!(checks.lines().any(|line| line == command), "{command}");
    }
}
