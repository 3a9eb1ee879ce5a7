//! Real modules go through the whole flow.
//!
//! The modules are not part of the repository. They are searched as `*.clif` in the folder that
//! the environment variable `CLIF_CORPUS` names, else as `../shared/corpus/*.clif.xz` beside the
//! repository, which `xz` unpacks. Without them, the tests say so and pass. The two
//! smallest are read, or all if `CLIF_CORPUS_ALL` is set.

mod accounting;
mod files;
mod frames;
mod guest;
mod pass;
mod plan;
mod program;

/// The folder of the repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
