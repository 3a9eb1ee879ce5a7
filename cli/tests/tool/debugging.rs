//! The sessions of `docs/DEBUGGING.md` are those of the debuggers.

use crate::ROOT;
use crate::support::Workplace;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Returns the text of the document's block in `language`.
fn block<'d>(document: &'d str, language: &str) -> &'d str {
    let (_, after) = document.split_once(&format!("\n```{language}\n")).unwrap();
    after.split_once("```").unwrap().0
}

/// Builds the program of the document; `None` if this machine cannot run it.
fn build(document: &str) -> Option<Workplace> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return None;
    }
    let examples = Path::new(ROOT).join("examples/debugging");
    let read = |file: &str| fs::read_to_string(examples.join(file)).unwrap();
    let (module, host) = (read("price.clif"), read("main.c"));
    let place = Workplace::with(&[("price.clif", &module), ("main.c", &host)]);
    for line in block(document, "sh").lines() {
        match line.strip_prefix("clif-inline ") {
            Some(arguments) => place.run(arguments).ok(),
            None => {
                let words: Vec<&str> = line.split(' ').collect();
                let output = command(&place, words[0], &words[1..])?;
                assert!(output.status.success(), "{output:?}");
                continue;
            }
        };
    }
    Some(place)
}

fn command(place: &Workplace, program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(place.path("")).output();
    if let Err(error) = &output {
        eprintln!("passed over: {program}: {error}");
    }
    output.ok()
}

/// Returns text without the numbers that differ between machines and runs.
fn comparable(line: &str) -> String {
    let mut parts = line.split("0x");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        text + "0x" + rest
    })
}

fn document() -> String {
    fs::read_to_string(Path::new(ROOT).join("docs/DEBUGGING.md")).unwrap()
}

/// Returns whether `program` has the version of the document's session: others print other text.
fn has_version(place: &Workplace, program: &str, version: &str) -> bool {
    let Some(output) = command(place, program, &["--version"]) else {
        return false;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = said.lines().next().unwrap_or_default();
    let has = first.contains(version);
    if !has {
        eprintln!("passed over: {first}, and the session is of {version}");
    }
    has
}

#[test]
fn the_session_in_gdb_is_that_of_gdb() {
    let document = document();
    let Some(place) = build(&document) else {
        return;
    };
    if !has_version(&place, "gdb", " 13.") {
        return;
    }
    let session = block(&document, "gdb");
    let commands = session
        .lines()
        .filter_map(|line| line.strip_prefix("(gdb) "));
    let commands: Vec<String> = commands
        .flat_map(|command| [format!("echo (gdb) {command}\\n"), command.to_owned()])
        .collect();
    let mut arguments = vec!["--batch", "-nx"];
    for command in &commands {
        arguments.extend(["-ex", command]);
    }
    arguments.push("price");
    let output = command(&place, "gdb", &arguments).unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("ptrace") {
        eprintln!("passed over: gdb may not trace here");
        return;
    }
    let said = String::from_utf8(output.stdout).unwrap();
    let about_threads = |line: &&str| !line.contains("libthread_db");
    let said: Vec<_> = said.lines().filter(about_threads).map(comparable).collect();
    let expected: Vec<_> = session.lines().map(comparable).collect();
    assert_eq!(said, expected);
}

#[test]
fn the_session_in_lldb_is_that_of_lldb() {
    let document = document();
    let Some(place) = build(&document) else {
        return;
    };
    if !has_version(&place, "lldb", " 14.") {
        return;
    }
    let session = block(&document, "lldb");
    let commands = session
        .lines()
        .filter_map(|line| line.strip_prefix("(lldb) "));
    let mut arguments = vec!["--no-lldbinit", "--no-use-colors"];
    for command in commands {
        arguments.extend(["-o", command]);
    }
    arguments.extend(["-o", "quit", "price"]);
    let output = command(&place, "lldb", &arguments).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if !text.contains("stop reason") {
        eprintln!("passed over: lldb cannot run programs here: {text}");
        return;
    }
    // The code at a stop is printed at some time after the command. Its other output is compared.
    let mut said = text.lines().map(comparable);
    for line in session.lines().map(comparable) {
        let found = said.any(|said| said.trim_end() == line.trim_end());
        assert!(found, "not said, or not in this order: {line}\n{text}");
    }
}
