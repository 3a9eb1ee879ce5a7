//! `build.ninja`: all three steps for ninja.
//!
//! The files of imported shards only order the work. The plan of a shard has a hash of each
//! function that it imports, so it changes if one of them does, and a shard is not made again for
//! changes of other functions beside them.

use super::{Build, shell};
use std::fmt::Write as _;

/// Returns the text of `build.ninja`.
pub(crate) fn text(build: &Build) -> String {
    let mut text = String::from(
        "# Made by `clif-inline thin`, and made again by ninja where it is out of date.\n\
         ninja_required_version = 1.5\n",
    );
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "builddir = {}\n\
         tool = {}\n\n\
         rule summarize\n  command = $tool $arguments --depfile $out.d\n  description = SUMMARIZE $out\n  \
         depfile = $out.d\n  deps = gcc\n  restat = 1\n\n\
         rule thin\n  command = $tool $arguments\n  description = THIN $out\n  \
         restat = 1\n  generator = 1\n\n\
         rule backend\n  command = $tool $arguments --depfile $out.d\n  description = BACKEND $out\n  \
         depfile = $out.d\n  deps = gcc\n",
        value(&build.folder),
        value(&shell([build.tool.as_str()]))
    );
    for shard in &build.shards {
        let _ = write!(
            text,
            "\nbuild {}{}: summarize {}\n  arguments = {}\n",
            path(&shard.summary),
            match &shard.bodies {
                Some(bodies) => format!(" | {}", path(bodies)),
                None => String::new(),
            },
            path(&shard.name),
            value(&shell(without_depfile(&shard.summarize)))
        );
    }
    let files = ["build.ninja", "jobs.json", "shards.bzl"];
    let files = files.iter().map(|file| format!("{}/{file}", build.folder));
    let plans = build.shards.iter().map(|shard| shard.plan.clone());
    let outputs: Vec<String> = files.chain(plans).map(|file| path(&file)).collect();
    let summaries: Vec<String> = build
        .shards
        .iter()
        .map(|shard| path(&shard.summary))
        .collect();
    let thin = build.thin.iter().map(String::as_str);
    let _ = write!(
        text,
        "\nbuild {}: thin {}\n  arguments = {}\n",
        outputs.join(" "),
        summaries.join(" "),
        value(&shell(thin))
    );
    let mut objects = Vec::new();
    for shard in &build.shards {
        let arguments = shard.backend(&build.backend_options);
        let imports: Vec<String> = shard
            .imports
            .iter()
            .map(|import| path(import.file()))
            .collect();
        let order = match imports.is_empty() {
            true => String::new(),
            false => format!(" || {}", imports.join(" ")),
        };
        let _ = write!(
            text,
            "\nbuild {}: backend {} | {}{order}\n  arguments = {}\n",
            path(&shard.object),
            path(shard.file()),
            path(&shard.plan),
            value(&shell(arguments.iter().map(String::as_str)))
        );
        objects.push(path(&shard.object));
    }
    let _ = writeln!(
        text,
        "\nbuild objects: phony {}\ndefault objects",
        objects.join(" ")
    );
    text
}

/// Leaves out an option that the rule adds.
fn without_depfile(arguments: &[String]) -> Vec<&str> {
    let mut rest = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--depfile" {
            arguments.next();
        } else if !argument.starts_with("--depfile=") {
            rest.push(argument.as_str());
        }
    }
    rest
}

/// Escapes a path for a list of paths.
fn path(path: &str) -> String {
    let mut escaped = String::new();
    for c in path.chars() {
        if matches!(c, '$' | ' ' | ':') {
            escaped.push('$');
        }
        escaped.push(c);
    }
    escaped
}

/// Escapes the value of a variable.
fn value(text: &str) -> String {
    text.replace('$', "$$").replace('\n', " ")
}
