//! Backtraces of the source program, without anything in the code for them.
//!
//! A [`BacktraceTable`] has the chain of source places for each return address and each trap of
//! compiled code: the place in the innermost inlined body first, then the calls that were replaced
//! by bodies, out to the function that was compiled. It is made from the [locations with inlining
//! history](crate::locations::LocationMode::InlinedAt) alone. It needs no tags, slots or
//! instructions, so the code is the same with and without it.
//!
//! A table is made in two steps. [`FunctionBacktraces::of`] takes a function's part; it can run
//! as functions finish, on any thread. [`BacktraceTable::link`] joins the functions at their places
//! in the text, and the result is [bytes](BacktraceTable::bytes) for a section of an object file or
//! for memory beside JIT code.
//!
//! [`BacktraceReader`] reads the bytes in place. It allocates nothing and takes no lock, so a
//! signal handler may use it. No byte is trusted: corrupt ones give errors and never a panic or an
//! endless loop. A look-up takes O(log n) for n return addresses and traps.
//!
//! # Form
//!
//! All numbers are little-endian. *Varints* and differences are as in [frame
//! tables](crate::frames). After the header come:
//!
//! - where each block of 16 names begins in the stream of names, a `u32` per block;
//! - the same for the scopes;
//! - for each block of 128 points, the `u32` key of its first point, and where its other bytes
//!   begin in the stream of points, a `u32`;
//! - where each of at most 255 common steps begins in the stream of steps, a `u16` per step;
//! - the names: for a user name `u<namespace>:<index>`, twice the namespace as a varint, and the
//!   index as the difference from that of the user name before in the block, or from 0; for any
//!   other, twice the number of its bytes plus 1, and the bytes;
//! - the scopes, which are the bodies that code belongs to: how far before it the scope around it
//!   is as a varint, 0 for a function that was compiled; the name, as the difference from that of
//!   the scope before in the block, or from 0; and, in an inlined body, the location of the call in
//!   the scope around it, likewise;
//! - the common steps from one point to the next: the key less that of the point before, as a
//!   varint; then twice the difference of the location, as a varint, plus 1 if the scope is
//!   another; then the difference of the scope;
//! - the points, by key: for the first of a block a step from location and scope 0, without its
//!   key; for each other the number of a common step, a byte, or else the number of common steps,
//!   if that is not 0, and the step.
//!
//! A key is twice the offset in the text, plus 1 for a trap. Scopes are shared: chains with a
//! common tail have it once, as in the inlining trees of Go's `pclntab`.
//!
//! ```
//! use cranelift_inliner::backend::{TargetSettings, target};
//! use cranelift_inliner::backtrace::{BacktraceTable, FunctionBacktraces};
//! use cranelift_inliner::decide::Always;
//! use cranelift_inliner::locations::LocationMode;
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
//! let (code, locations) = (compiled.get(main).unwrap(), compiled.locations(main).unwrap());
//!
//! // The code of `%main` begins 64 bytes behind the start of the text.
//! let table = BacktraceTable::link([(64, &FunctionBacktraces::of(code, locations)?)])?;
//! let trap = 64 + code.traps()[0].offset;
//! let places = table.reader().trap(trap)?.ok_or("no such trap")?;
//! let places: Vec<String> = places.map(|place| Ok(place?.to_string())).collect::<Result<_, _>>()
//!     .map_err(|error: cranelift_inliner::backtrace::BacktraceError| error)?;
//! assert_eq!(places, ["%check @0001", "%main @0005"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod format;
mod function;
mod link;
#[cfg(feature = "object")]
mod object;
mod reader;
mod registry;
mod steps;
mod walk;

pub use error::{BacktraceError, LinkError};
pub use function::FunctionBacktraces;
pub use link::BacktraceTable;
#[cfg(feature = "object")]
pub use object::{BACKTRACE_SECTION, add_backtrace_section};
pub use reader::{Backtrace, BacktraceName, BacktracePlace, BacktraceReader};
pub use registry::{BacktraceRegistry, RegisteredText, Registration};
pub use walk::{BacktraceFrame, BacktraceWalkError, BacktraceWalker};
