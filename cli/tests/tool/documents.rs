//! The tool's commands in the documents have the documented effect.

use crate::ROOT;
use crate::support::Workplace;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A test that fails the first time, with all decisions of a plan, and never again.
const TEST: &str = "#!/bin/sh\necho run >> runs\ntest $(wc -l < runs) -ne 1\n";

/// A fenced block: its language and its lines.
struct Block {
    language: String,
    text: String,
}

/// Returns the fenced blocks of a document, in order; text between two of them counts as a block
/// without a language.
fn blocks(document: &str) -> Vec<Block> {
    let parts = document.split("\n```").enumerate();
    parts
        .map(|(index, part)| match part.split_once('\n') {
            Some((language, text)) if index % 2 == 1 => Block {
                language: language.to_owned(),
                text: format!("{text}\n"),
            },
            _ => Block {
                language: String::new(),
                text: part.to_owned(),
            },
        })
        .collect()
}

/// Runs a line in the shell, with the tool in the path.
fn run(place: &Workplace, line: &str) -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_clif-inline"));
    let folder = tool.parent().unwrap().to_str().unwrap();
    let path = format!("{folder}:{}", env::var("PATH").unwrap());
    let _ = fs::remove_file(place.path("runs"));
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(place.path(""))
        .env("PATH", path)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}\n{told}");
    assert!(!told.contains("warning"), "{line}\n{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs each command of a document in turn, where its modules are; gives the number of commands and
/// of outputs that were compared.
fn run_all(document: &str) -> (usize, usize) {
    let root = Path::new(ROOT);
    let module = fs::read_to_string(root.join("examples/modules/lists.clif")).unwrap();
    let place = Workplace::with(&[
        ("lists.clif", &module),
        ("module.clif", &module),
        ("test.sh", TEST),
    ]);
    fs::set_permissions(place.path("test.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(root.join("docs").join(document)).unwrap();
    let blocks = blocks(&text);
    let (mut commands, mut compared) = (0, 0);
    for (index, block) in blocks.iter().enumerate() {
        if block.language != "sh" {
            continue;
        }
        let mut printed = String::new();
        for line in block.text.lines().filter(|line| !line.is_empty()) {
            printed += &run(&place, line);
            commands += 1;
        }
        let expected = match &blocks[index + 1..] {
            [between, output, ..] if between.text.trim().is_empty() => output,
            _ => continue,
        };
        if expected.language == "text" {
            assert_eq!(printed.trim_end(), expected.text.trim_end(), "{document}");
            compared += 1;
        }
    }
    (commands, compared)
}

#[test]
fn the_commands_of_the_guide_print_the_text_below_them() {
    assert_eq!(run_all("GUIDE.md"), (6, 1));
}

#[test]
fn the_commands_for_plans_and_profiles_work() {
    assert_eq!(run_all("PLANS.md"), (3, 0));
    assert_eq!(run_all("PROFILE.md"), (2, 0));
}

/// The picture at the head of the README is a module that is shipped, and its output.
#[test]
fn the_readme_shows_the_output_of_opt() {
    let root = Path::new(ROOT);
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let texts: Vec<Block> = blocks(&readme);
    let mut texts = texts.iter().filter(|block| block.language == "text");
    let (before, after) = (&texts.next().unwrap().text, &texts.next().unwrap().text);
    let module = fs::read_to_string(root.join("examples/modules/iterator.clif")).unwrap();
    let functions = module.lines().filter(|line| !line.starts_with(';'));
    let functions: String = functions.map(|line| format!("{line}\n")).collect();
    assert_eq!(before.trim(), functions.trim());
    let place = Workplace::with(&[("iterator.clif", &module)]);
    let printed = place.run("opt iterator.clif --export sum_below").ok();
    assert_eq!(after.trim(), printed.trim());
}
