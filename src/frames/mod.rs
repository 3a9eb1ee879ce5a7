//! Virtual frames: the stack of the source program, independent of inlining.
//!
//! After inlining, one physical frame stands for several calls of the source program. Each of these
//! is a *virtual frame*. The embedder identifies them by debug tags on calls and sequence points,
//! and by keys on stack slots. Splicing puts the tags of the replaced call before those of each
//! tagged instruction of the callee, so that the tags of an instruction spell the whole virtual
//! stack within its physical frame, outermost first. This module turns the tags into a lookup table
//! for a debugger, a profiler or a collector.
//!
//! * [`FrameSchema`] defines where one frame's tags end and the next one's begin.
//! * [`FrameTableBuilder`] collects compiled functions, in any order and on any thread, and lays
//!   them out as a [`FrameTable`] after their code has been placed.
//! * [`FrameTableReader`] reads the table's bytes in place: from an offset in the code to its
//!   [`VirtualFrame`]s, their tags, and for a slot its [`SlotPlace`].
//! * [`StackWalker`] follows frame pointers from frame to frame and gives the virtual stack.
//! * `add_frame_section` (feature `object`) puts the table into an object file.
//!
//! *Places and keys have separate rows.* A slot's distance from the frame pointer differs for each
//! copy of a function, so each copy has its own row for it. The meaning of the slot to the embedder
//! is the same for all copies, so it is stored once, under the slot's key: the *descriptor*.
//! Descriptors are given with the original function ([`FrameTableBuilder::describe_slots`]), so
//! they describe its copies even if the function itself is dropped.
//!
//! *Lists share.* A frame refers to the frame around it, so that all points in one inlined body
//! share the frames around it, and a point names only its innermost frame.
//!
//! *A reader trusts nothing.* Bytes come from files; each row is checked as it is read, and no
//! input makes the reader panic, read outside of the table, or loop forever. `docs/FRAMES.md`
//! describes the bytes.
//!
//! # Requirements on tags
//!
//! The tags of an inlined instruction are those of the calls around it and its own. A call without
//! tags breaks that chain: the body inlined at it appears without the frames around it. For the
//! same virtual stack at any degree of inlining, a program must
//!
//! * tag every call from which a tagged instruction can be reached; and
//! * tag a `return_call` with an empty frame, such as `User(0)` in [`CountedFrames`], if its callee
//!   is tagged. Without inlining, the frame of the function that makes the tail call is gone.
//!   Inlined at a call that returns, the `return_call` becomes a call of the caller's, whose tags
//!   must be those of the frames around it and no more.
//!
//! # Example
//!
//! ```
//! use cranelift_codegen::MachDebugTagPos;
//! use cranelift_inliner::backend::{TargetSettings, target};
//! use cranelift_inliner::decide::Always;
//! use cranelift_inliner::frames::{FixedFrames, FrameTableBuilder, FrameTag};
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//!
//! let mut program = Program::from_clif("
//! function %inner(i64) system_v {
//!     ss0 = explicit_slot 8, key = 100
//!     fn0 = %probe(i64) system_v
//! block0(v0: i64):
//!     v1 = stack_addr.i64 ss0
//!     store v0, v1
//!     <ss0, 11> call fn0(v0)
//!     return
//! }
//! function %outer(i64) system_v {
//!     ss0 = explicit_slot 8, key = 200
//!     fn0 = %inner(i64) system_v
//! block0(v0: i64):
//!     v1 = stack_addr.i64 ss0
//!     store v0, v1
//!     v200 = iconst.i64 1
//!     v2 = iadd v0, v200
//!     <ss0, 22> call fn0(v2)
//!     return
//! }", "example")?;
//! program.export_only(&["outer".parse()?])?;
//! let isa = target("host", &TargetSettings::new())?;
//! let (_, compiled) = Inliner::new(Always).run_and_compile(&program, &*isa)?;
//!
//! let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
//! for (_, function) in program.iter() {
//!     let name = function.name().to_string();
//!     builder.describe_slots(function.body(), |_, _| Some(name.as_bytes()))?;
//! }
//! for (id, function) in compiled.iter() {
//!     builder.add(u64::from(id.as_u32()), function)?;
//! }
//! // `%inner` was inlined and dropped, so this is all the text there is.
//! let table = builder.link(|_| Some(0))?;
//!
//! let reader = table.reader();
//! let calls = reader.points().filter(|point| {
//!     point.as_ref().is_ok_and(|point| point.position == MachDebugTagPos::Post)
//! });
//! for call in calls {
//!     let mut described = Vec::new();
//!     for frame in call?.frames.outermost_first() {
//!         for tag in frame?.tags() {
//!             if let FrameTag::Slot(slot) = tag? {
//!                 described.extend(slot.descriptor);
//!             }
//!         }
//!     }
//!     assert_eq!(described, [b"%outer", b"%inner"]);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod cursor;
mod encode;
mod error;
mod format;
mod frame;
mod function;
mod memory;
#[cfg(feature = "object")]
mod object;
mod points;
mod reader;
mod rows;
mod schema;
mod slot;
mod validate;
mod walk;

pub use builder::{FrameTable, FrameTableBuilder};
pub use error::{BuildError, SlotReadError, TableError, TablePart, WalkError};
pub use frame::{FrameList, FrameTag, VirtualFrame};
pub use memory::{CopiedMemory, FrameMemory, UnreadableMemory};
#[cfg(feature = "object")]
pub use object::{FRAME_SECTION, FrameSectionError, add_frame_section, text_offsets};
pub use points::TablePoint;
pub use rows::{FrameTableReader, TableFunction};
pub use schema::{
    CountedFrames, FixedFrames, FrameSchema, SchemaViolation, WasmtimeFrames, split_frames,
};
pub use slot::SlotPlace;
pub use walk::{PhysicalFrame, StackWalker, WalkStart};
