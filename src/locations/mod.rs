//! Source locations with their inlining history.
//!
//! A `SourceLoc` is a number with a meaning to the front end, within one function. After a body is
//! copied into another function, the number alone no longer identifies its function, nor the
//! inlined calls around the code. There are two ways to deal with that:
//!
//! - *Keep* ([`LocationMode::Keep`]): copies have the callee's locations as they are. That is
//!   enough if locations are unique in the program.
//! - *Inlined at* ([`LocationMode::InlinedAt`]): every location of a function becomes the index of
//!   an entry in a [`LocationTable`] that goes with the function. An entry has the function that
//!   the code is from, the location in it, and the entry of the call that was replaced by it, if
//!   any:
//!
//! ```text
//! %main calls %norm at 7, %norm calls %square at 3:
//!
//!  entry  function  location  inlined at
//!      0  %main            7  -
//!      1  %norm            3  entry 0
//!      2  %square          1  entry 1
//! ```
//!
//! A table stands on its own, so functions can be worked on in parallel. It is made in three steps.
//! [`LocationBuilder::begin`] turns the locations of a caller into entries. Each splice gets a
//! translation from [`LocationBuilder::inlining`], which puts the callee's entries (it may have had
//! bodies inlined itself) under the call's. [`LocationBuilder::finish`] drops unused entries and
//! renumbers the rest.
//!
//! Each inlined body has a parent entry of its own. If two calls have the same location, or none,
//! the second body gets a duplicate of the first one's entry, so that debuggers show two frames.
//! All other equal entries are merged. A table therefore grows with the copied bodies, by at most
//! an entry for each location in a body and one for its call.
//!
//! A translation costs a look-up in a dense table per instruction: copying stays linear.
//!
//! After compilation [`CodeLocations`] answers for each byte of the code.
//!
//! ```
//! use cranelift_inliner::backend::{TargetSettings, target};
//! use cranelift_inliner::decide::Always;
//! use cranelift_inliner::locations::{CodeLocations, LocationMode};
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//!
//! let program = Program::from_clif("
//! function %check(i32) system_v {
//! block0(v0: i32):
//! @0001   trapz v0, user7
//!         return
//! }
//! function %main(i32) system_v {
//!     fn0 = %check(i32) system_v
//! block0(v0: i32):
//! @0005   call fn0(v0)
//!         return
//! }", "check.clif")?;
//! let isa = target("host", &TargetSettings::new())?;
//! let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
//! let (_, compiled) = inliner.run_and_compile(&program, &*isa)?;
//! let main = program.id(&"%main".parse()?).ok_or("no main")?;
//! let code = compiled.get(main).ok_or("no code")?;
//! let table = compiled.locations(main).ok_or("no table")?;
//! let trap = &code.traps()[0];
//! let places: Vec<String> = CodeLocations::new(code, table)
//!     .lookup(trap.offset)
//!     .map(|place| place.to_string())
//!     .collect();
//! assert_eq!(places, ["%check @0001", "%main @0005"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod code;
mod labels;
mod table;

pub use builder::{InlinedLocations, LocationBuilder};
pub use code::CodeLocations;
pub use labels::{LabelTable, LabelledVariable};
pub use table::{Chain, LocationTable, Place};

/// The source locations of inlined instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LocationMode {
    /// The callee's, as they are.
    #[default]
    Keep,
    /// Entries of the function's [`LocationTable`]. This holds for all functions of the result,
    /// also those without inlined calls.
    InlinedAt,
}
