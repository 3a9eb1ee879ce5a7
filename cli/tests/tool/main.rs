//! The tool as its users run it: its files, its output and its exit status.

mod browser;
mod commands;
#[path = "../../../tests/corpus/files.rs"]
#[allow(dead_code, reason = "one module of the corpus is looked at")]
mod corpus;
mod debug;
mod debugging;
#[cfg(unix)]
mod documents;
mod errors;
mod explain;
#[cfg(target_os = "linux")]
mod faults;
mod graph;
mod help;
mod plan;
mod profile;
mod remarks;
mod report;
mod report_browser;
mod reports;
#[cfg(unix)]
mod run;
mod shards;
#[cfg(unix)]
mod shards_bazel;
#[cfg(unix)]
mod shards_cluster;
#[cfg(unix)]
mod shards_remote;
mod support;
mod tables;

/// The folder of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
