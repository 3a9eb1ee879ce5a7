//! The names in the documents exist, and the published files are complete.

mod layering;
mod licences;
mod package;
#[cfg(all(
    feature = "dwarf",
    feature = "module",
    feature = "object",
    feature = "profile"
))]
mod public_types;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join("docs")).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    let pages = [
        "README.md",
        "cli/README.md",
        "examples/wasm/README.md",
        "testing/README.md",
    ];
    paths.extend(pages.map(|page| root().join(page)));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Returns the texts between each `open` and the next `close`.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(move |part| part.split(close).next())
}

/// Returns whether the file is there, and the heading where a link names one.
fn leads_to_a_file(link: &Path) -> bool {
    let link = link.to_str().unwrap();
    match link.split_once('#') {
        Some((file, anchor)) => fs::read_to_string(file)
            .is_ok_and(|text| anchors(&text).any(|heading| heading == anchor)),
        None => Path::new(link).exists(),
    }
}

/// Returns the anchors of a document's headings.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with("##"));
    headings.map(|heading| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[test]
fn links_lead_somewhere() {
    let mut missing = Vec::new();
    for (path, text) in documents() {
        let folder = path.parent().unwrap();
        let definitions = text.lines().filter(|line| line.starts_with('['));
        let definitions = definitions.filter_map(|line| Some(line.split_once("]: ")?.1));
        let links = between(&text, "](", ')').chain(between(&text, "src=\"", '"'));
        for link in links.chain(definitions) {
            let leads_somewhere = match link.strip_prefix('#') {
                Some(anchor) => anchors(&text).any(|heading| heading == anchor),
                None => link.starts_with("https://") || leads_to_a_file(&folder.join(link)),
            };
            if !leads_somewhere {
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
            let in_tests = tests.join(&path);
            let source_path = if in_tests.exists() {
                in_tests
            } else {
                root().join(&path)
            };
            if let Some(folder) = path.strip_suffix("/*") {
                assert!(tests.join("filetests").join(folder).is_dir(), "{name}");
            } else if path.ends_with(".rs") {
                let source = fs::read_to_string(source_path).expect(&path);
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
    for folder in ["src", "tests", "cli/tests", "testing/tests"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                assert!(
                    map.contains(&format!("../{folder}/{name})")),
                    "{folder}/{name}"
                );
            }
        }
    }
}

/// Returns the short names that the method `slug` in a source file gives.
fn slugs(path: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(root().join(path)).unwrap();
    let (_, method) = source.split_once("pub fn slug(&self)").unwrap();
    let (method, _) = method.split_once("\n    }\n").unwrap();
    let arms = method.lines().filter_map(|line| line.split_once("=> "));
    let slugs = arms.filter_map(|(_, value)| between(value, "\"", '"').next());
    slugs.map(str::to_owned).collect()
}

/// Each reason why a call stays is explained, and no other.
#[test]
fn the_guide_has_every_refusal() {
    let guide = fs::read_to_string(root().join("docs/GUIDE.md")).unwrap();
    for (heading, source, least) in [
        (
            "### Refused by the splicing engine",
            "src/splice/refusal.rs",
            18,
        ),
        ("### Kept by the pass", "src/pass/report.rs", 11),
    ] {
        let (_, section) = guide.split_once(heading).unwrap();
        let section = section.split("\n##").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let explained = rows.map(|row| {
            let (slug, row) = row.split_once('`').unwrap();
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert!(
                cells.len() == 4 && !cells[1].is_empty(),
                "{slug}: {cells:?}"
            );
            slug.to_owned()
        });
        let slugs = slugs(source);
        assert!(slugs.len() >= least, "{slugs:?}");
        assert_eq!(explained.collect::<BTreeSet<_>>(), slugs);
    }
}

#[test]
fn the_guide_names_the_versions_of_the_manifest() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (guide, manifest) = (read("docs/GUIDE.md"), read("Cargo.toml"));
    let value = |key: &str| {
        let lines = manifest.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(&format!("{key} = \"")));
        values.next().unwrap().trim_end_matches('"').to_owned()
    };
    let version = value("version");
    let (series, _) = version.rsplit_once('.').unwrap();
    let cranelift = between(&manifest, "\ncranelift-codegen = { version = \"", '"').next();
    assert!(cranelift.unwrap().starts_with(&format!("{series}.")));
    let sentence = format!("{} for {series}.", value("rust-version"));
    assert!(guide.contains(&sentence), "{sentence}");
    assert!(guide.contains(&format!("version = \"{series}\"")));
}

#[test]
fn the_guides_contents_name_each_section() {
    let guide = fs::read_to_string(root().join("docs/GUIDE.md")).unwrap();
    let sections = guide.split("\n## ").skip(1);
    let sections: Vec<String> = sections
        .flat_map(|section| anchors(&format!("## {section}")).next())
        .collect();
    let contents = guide.split("\n## ").next().unwrap();
    let listed: Vec<&str> = between(contents, "](#", ')').collect();
    assert_eq!(listed, sections);
}

/// Where the guide is part of the documentation, its links lead to items and not to files.
#[test]
fn the_guides_links_are_defined_twice() {
    let names = |path: &str, prefix: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let links = lines.filter_map(|line| Some(line.split_once("]: ")?.0.to_owned()));
        links.collect()
    };
    let in_the_page = names("docs/GUIDE.md", "[");
    assert!(in_the_page.len() > 10);
    assert_eq!(names("src/guide.rs", "//! ["), in_the_page);
}

/// The columns at which prose and comments wrap.
const WIDTH: usize = 100;

/// Returns the lines of prose that are too long, though they could be broken. `text_of` returns the
/// prose of a line, and `None` for code.
fn long_lines<'a>(
    text: &'a str,
    text_of: impl Fn(&'a str) -> Option<&'a str>,
) -> impl Iterator<Item = usize> {
    let mut is_code = false;
    let numbered = (1..).zip(text.lines());
    numbered.filter_map(move |(number, line)| {
        let Some(prose) = text_of(line).map(str::trim) else {
            is_code = false;
            return None;
        };
        let is_fence = prose.starts_with("```");
        is_code ^= is_fence;
        let is_table_or_html = prose.starts_with(['|', '<']);
        let is_one_word = !prose.contains(' ') || prose.starts_with('[') && prose.contains("]: ");
        let may_be_long = is_fence || is_code || is_table_or_html || is_one_word;
        let has_place = line.len() - prose.len() < WIDTH / 2 && !prose.contains("](https://");
        (!may_be_long && has_place && line.chars().count() > WIDTH).then_some(number)
    })
}

/// Returns the text of a line that is a comment.
fn comment_text(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("//")?;
    Some(line.trim_start_matches(['/', '!']))
}

fn add_sources(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            add_sources(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

#[test]
fn prose_and_comments_wrap_at_one_width() {
    let mut long = Vec::new();
    let changes = root().join("CHANGELOG.md");
    let changes = (changes.clone(), fs::read_to_string(changes).unwrap());
    for (path, text) in documents().into_iter().chain([changes]) {
        let lines = long_lines(&text, Some);
        long.extend(lines.map(|line| format!("{}:{line}", path.display())));
    }
    let mut sources = Vec::new();
    for folder in [
        "benches", "cli", "examples", "fuzz", "src", "testing", "tests",
    ] {
        add_sources(&root().join(folder), &mut sources);
    }
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        long.extend(
            long_lines(&text, comment_text).map(|line| format!("{}:{line}", path.display())),
        );
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// Commands in a document name targets that exist.
#[test]
fn commands_of_cargo_name_targets_that_exist() {
    let mut checked = 0;
    for (path, text) in documents() {
        for line in between(&text, "```sh\n", '`').flat_map(str::lines) {
            let beside = path.parent().unwrap();
            let path = path.display();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("clif-inline" | "cc") | None => continue,
                first => assert_eq!(first, Some("cargo"), "{path}: {line}"),
            }
            while let Some(word) = words.next() {
                if let "--example" | "--bench" | "--test" = word {
                    let folder = format!("{}s", &word[2..]).replace("benchs", "benches");
                    let name = words.next().unwrap();
                    let exists = [root(), beside].iter().any(|package| {
                        let target = package.join(&folder).join(name);
                        target.is_dir() || target.with_extension("rs").exists()
                    });
                    assert!(exists, "{path}: {line}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked >= 3, "{checked}");
}

/// The checks run the commands of the README.
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
