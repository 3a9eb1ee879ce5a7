//! A debugger's view at each call of the host: the source program's stack, read from a copy of the
//! physical one with the [frame table](cranelift_inliner::frames) of the code.
//!
//! ```
//! use cranelift_inliner::backend::{CompileScratch, TargetSettings, compile_function};
//! use cranelift_inliner::frames::CountedFrames;
//! use cranelift_inliner::program::Program;
//! use cranelift_inliner_testing::execute::{Engine, Invocation};
//! use cranelift_inliner_testing::trace::{Tag, VirtualStack, frame_table};
//!
//! let program = Program::from_clif("
//! function %main() system_v {
//!     fn0 = %host() system_v
//! block0:
//!     <1, 77> call fn0()
//!     return
//! }", "main.clif")?;
//! # if !Engine::works_here() { return Ok(()) }
//! let engine = Engine::new(&TargetSettings::new())?;
//! let body = program.iter().next().ok_or("no function")?.1.body();
//! let code = compile_function(engine.isa(), body, &mut CompileScratch::new())?;
//! let native = engine.link(&program, [&code])?;
//! let main = Invocation { function: "main".parse()?, arguments: vec![] };
//! let (_, snapshots) = native.call_with_snapshots(&main)?;
//!
//! let table = frame_table(CountedFrames, &program, [(0, &code)], |_| Some(0))?;
//! let stack = VirtualStack::read(table.reader(), native.text(), &snapshots[0])?;
//! assert_eq!(stack.frames, [[Tag::User(77)]]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod written;

pub use written::WrittenBytes;

use super::execute::Snapshot;
use cranelift_codegen::MachDebugTagPos;
use cranelift_inliner::backend::CompiledFunction;
use cranelift_inliner::frames::{
    BuildError, CopiedMemory, FrameSchema, FrameTable, FrameTableBuilder, FrameTableReader,
    FrameTag, SlotReadError, StackWalker, TableError, WalkError, WalkStart,
};
use cranelift_inliner::program::Program;
use thiserror::Error;

/// A tag, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A number.
    User(u32),
    /// A stack slot.
    Slot {
        /// Its key.
        key: Option<u64>,
        /// The frame table's description of the key.
        descriptor: Option<Vec<u8>>,
        /// The bytes in it.
        value: Vec<u8>,
    },
}

/// The stack of the source program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualStack {
    /// The tags of each frame, outermost first. Frames without tags do not stand for a frame and
    /// are left out.
    pub frames: Vec<Vec<Tag>>,
    /// Whether each physical frame stopped at an instruction with tags. A frame without them may
    /// belong to a function without tags; then the functions into which it is inlined are not
    /// visible there either.
    pub is_complete: bool,
}

/// The errors of reading a stack.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is no frame table for the code.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The frame table is wrong.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The stack does not belong to this code.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A slot is not in the copied stack.
    #[error(transparent)]
    Slot(#[from] SlotReadError),
}

/// Returns the frame table of `functions`, each with its own number, where `offset` maps the number
/// to the place of its code in the text. The functions of `source` that declare a key describe it.
///
/// # Errors
///
/// [`TraceError::Build`], and [`TraceError::Table`] if the new table is not valid.
pub fn frame_table<'a>(
    schema: impl FrameSchema,
    source: &Program,
    functions: impl IntoIterator<Item = (u64, &'a CompiledFunction)>,
    offset: impl FnMut(u64) -> Option<u64>,
) -> Result<FrameTable, TraceError> {
    let mut builder = FrameTableBuilder::new(schema);
    for (_, function) in source.iter() {
        builder.describe_slots(function.body(), |_, data| {
            let key = data.key?.bits();
            Some(format!("slot {key} of {}", function.name()).into_bytes())
        })?;
    }
    for (identity, compiled) in functions {
        builder.add(identity, compiled)?;
    }
    let table = builder.link(offset)?;
    table.reader().validate()?;
    Ok(table)
}

impl VirtualStack {
    /// Reads the stack of a program whose code is at the address `text`.
    ///
    /// # Errors
    ///
    /// Those of [`StackWalker`], and [`TraceError::Slot`].
    pub fn read(
        table: FrameTableReader<'_>,
        text: u64,
        snapshot: &Snapshot,
    ) -> Result<Self, TraceError> {
        let memory = CopiedMemory::new(snapshot.base, &snapshot.stack);
        let start = WalkStart {
            pc: snapshot.pc,
            fp: snapshot.fp,
            position: MachDebugTagPos::Post,
        };
        let mut stack = VirtualStack {
            frames: Vec::new(),
            is_complete: true,
        };
        for physical in StackWalker::new(table, text, memory, start) {
            let physical = physical?;
            let Some(frames) = physical.frames else {
                stack.is_complete = false;
                continue;
            };
            for frame in frames.innermost_first() {
                let mut tags = Vec::new();
                for tag in frame?.tags() {
                    tags.push(Tag::read(&tag?, physical.fp, &memory)?);
                }
                if !tags.is_empty() {
                    stack.frames.push(tags);
                }
            }
        }
        stack.frames.reverse();
        Ok(stack)
    }
}

impl Tag {
    fn read(tag: &FrameTag<'_>, fp: u64, memory: &CopiedMemory<'_>) -> Result<Self, TraceError> {
        Ok(match tag {
            FrameTag::User(value) => Tag::User(*value),
            FrameTag::Slot(slot) => {
                let mut value = vec![0; slot.size as usize];
                slot.read(fp, memory, 0, &mut value)?;
                Tag::Slot {
                    key: slot.key.map(|key| key.bits()),
                    descriptor: slot.descriptor.map(<[u8]>::to_vec),
                    value,
                }
            }
        })
    }
}
