//! The subcommands, one file each.

mod backend;
mod bisect;
mod compile;
mod explain;
mod graph;
mod job;
mod man;
mod opt;
mod report;
mod run;
mod summarize;
mod thin;

pub(crate) use backend::backend;
pub(crate) use bisect::bisect;
pub(crate) use compile::compile;
pub(crate) use explain::explain;
pub(crate) use graph::graph;
pub(crate) use man::{completions, man};
pub(crate) use opt::opt;
pub(crate) use report::report;
pub(crate) use run::run;
pub(crate) use summarize::summarize;
pub(crate) use thin::thin;
