//! The subcommands, a file each.

mod compile;
mod opt;
mod run;

pub(crate) use compile::compile;
pub(crate) use opt::opt;
pub(crate) use run::run;
