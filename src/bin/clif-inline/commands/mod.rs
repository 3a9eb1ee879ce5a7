//! The subcommands, a file each.

mod compile;
mod opt;

pub(crate) use compile::compile;
pub(crate) use opt::opt;
