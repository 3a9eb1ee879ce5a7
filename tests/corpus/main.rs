//! Real modules go through the whole flow.
//!
//! The modules are no part of the repository. They are looked for as `*.clif` in the folder that
//! the environment variable `CLIF_CORPUS` names, else as `../shared/corpus/*.clif.xz` beside the
//! repository, which `xz` unpacks. Where there are none, the tests say so and pass. The two
//! smallest are read, or all if `CLIF_CORPUS_ALL` is set.

mod accounting;
mod files;
mod frames;
mod pass;
mod plan;
mod program;

/// The folder of the repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
