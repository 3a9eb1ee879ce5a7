//! Walks a stack of physical frames to give the source program's stack.

use super::error::{TableError, WalkError};
use super::frame::{FrameList, VirtualFrame};
use super::memory::{FrameMemory, UnreadableMemory};
use super::rows::{FrameTableReader, TableFunction};
use cranelift_codegen::MachDebugTagPos;

/// Frame pointers are multiples of this on the targets that the walker knows.
const FP_ALIGNMENT: u64 = 8;

/// The default limit of physical frames that a walk visits.
const DEFAULT_LIMIT: usize = 1 << 20;

/// Where a walk begins: in the innermost physical frame that is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkStart {
    /// The program counter: the address to which a call made there will return, or that of an
    /// instruction that the program stopped at.
    pub pc: u64,
    /// The frame-pointer register in that frame.
    pub fp: u64,
    /// `Post` for a return address, `Pre` for an instruction.
    pub position: MachDebugTagPos,
}

/// Walks the stack of a program that keeps frame pointers, innermost frame first.
///
/// It expects the frame layout of x64 and aarch64: the caller's frame pointer was saved at the
/// frame pointer, and the return address is 8 bytes above it. Code for these targets has such
/// frames if it is compiled with Cranelift's `preserve_frame_pointers`. Signed return addresses are
/// not understood.
///
/// The walk ends at the first address outside of the text's functions, or at the frame given to
/// [`stop_at`](Self::stop_at). As an iterator it yields the physical frames, and nothing after an
/// error; [`virtual_frames`](Self::virtual_frames) yields the frames of the source program.
///
/// ```
/// use cranelift_codegen::MachDebugTagPos;
/// use cranelift_inliner::frames::{
///     CopiedMemory, FixedFrames, FrameTableBuilder, StackWalker, WalkStart,
/// };
///
/// let table = FrameTableBuilder::new(FixedFrames::new(1)).link(|_| None)?;
/// let start = WalkStart { pc: 0x1000, fp: 0x8000, position: MachDebugTagPos::Post };
/// let stack = CopiedMemory::new(0x8000, &[]);
/// // Nothing is in an empty table's text, so the walk is over before it reads anything.
/// assert_eq!(StackWalker::new(table.reader(), 0x1000, &stack, start).count(), 0);
/// # Ok::<(), cranelift_inliner::frames::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StackWalker<'a, M> {
    table: FrameTableReader<'a>,
    text: u64,
    memory: M,
    next: Option<WalkStart>,
    stop_at: Option<u64>,
    limit: usize,
    visited: usize,
}

/// A physical frame, and the virtual frames in it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PhysicalFrame<'a> {
    /// The program counter in it; for all but the innermost a return address.
    pub pc: u64,
    /// Its frame pointer, from which its slots are counted.
    pub fp: u64,
    /// The function whose code contains `pc`.
    pub function: TableFunction,
    /// Its virtual frames; `None` where the instruction has no tags.
    pub frames: Option<FrameList<'a>>,
}

impl<'a, M: FrameMemory> StackWalker<'a, M> {
    /// Starts a walk at `start` over a stack in `memory`. The code is that of `table`, with the
    /// text at the address `text`.
    pub fn new(table: FrameTableReader<'a>, text: u64, memory: M, start: WalkStart) -> Self {
        StackWalker {
            table,
            text,
            memory,
            next: Some(start),
            stop_at: None,
            limit: DEFAULT_LIMIT,
            visited: 0,
        }
    }

    /// Ends the walk before the first frame whose frame pointer is `fp` or above it.
    #[must_use]
    pub fn stop_at(mut self, fp: u64) -> Self {
        self.stop_at = Some(fp);
        self
    }

    /// Makes it an error to visit more than `limit` physical frames.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns the virtual frames, innermost first, each with the frame pointer that its slots are
    /// counted from. Physical frames without any are passed over.
    pub fn virtual_frames(
        self,
    ) -> impl Iterator<Item = Result<(u64, VirtualFrame<'a>), WalkError>> {
        self.flat_map(|physical| {
            let (error, frames) = match physical {
                Ok(physical) => (None, physical.frames.map(|frames| (physical.fp, frames))),
                Err(error) => (Some(Err(error)), None),
            };
            let frames = frames.into_iter().flat_map(|(fp, frames)| {
                let frames = frames.innermost_first();
                frames.map(move |frame| Ok((fp, frame?)))
            });
            error.into_iter().chain(frames)
        })
    }

    fn visit(&mut self, at: WalkStart) -> Result<Option<PhysicalFrame<'a>>, WalkError> {
        if self.stop_at.is_some_and(|end| at.fp >= end) {
            return Ok(None);
        }
        let Some((offset, function)) = self.locate(at)? else {
            return Ok(None);
        };
        if self.visited >= self.limit {
            return Err(WalkError::TooManyFrames { limit: self.limit });
        }
        self.visited += 1;
        let frames = self.table.lookup(offset, at.position)?;
        self.next = self.caller(at.fp)?;
        Ok(Some(PhysicalFrame {
            pc: at.pc,
            fp: at.fp,
            function,
            frames,
        }))
    }

    /// Returns the offset of `at` in the text, with its function; `None` for an address outside.
    fn locate(&self, at: WalkStart) -> Result<Option<(u32, TableFunction)>, TableError> {
        let Some(offset) = at.pc.checked_sub(self.text) else {
            return Ok(None);
        };
        let Ok(offset) = u32::try_from(offset) else {
            return Ok(None);
        };
        // A return address may be the first byte behind the function that called.
        let within = match at.position {
            MachDebugTagPos::Post => offset.checked_sub(1),
            MachDebugTagPos::Pre => Some(offset),
        };
        let Some(within) = within else {
            return Ok(None);
        };
        let function = self.table.function_at(within)?;
        Ok(function.map(|function| (offset, function)))
    }

    /// Returns the frame that called the one at `fp`; `None` if it is not in the text.
    fn caller(&self, fp: u64) -> Result<Option<WalkStart>, WalkError> {
        if !fp.is_multiple_of(FP_ALIGNMENT) {
            return Err(WalkError::Misaligned { fp });
        }
        let (pc, caller_fp) = saved_frame(&self.memory, fp)?;
        let caller = WalkStart {
            pc,
            fp: caller_fp,
            position: MachDebugTagPos::Post,
        };
        if self.locate(caller)?.is_none() {
            return Ok(None);
        }
        if caller.fp <= fp {
            let next = caller.fp;
            return Err(WalkError::NotAscending { fp, next });
        }
        Ok(Some(caller))
    }
}

/// Returns the return address and the frame pointer that the frame at `fp` has saved.
pub(crate) fn saved_frame(
    memory: &impl FrameMemory,
    fp: u64,
) -> Result<(u64, u64), UnreadableMemory> {
    let mut words = [0; 16];
    memory.read(fp, &mut words)?;
    let (saved, return_address) = words.split_at(8);
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    Ok((word(return_address), word(saved)))
}

impl<'a, M: FrameMemory> Iterator for StackWalker<'a, M> {
    type Item = Result<PhysicalFrame<'a>, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take()?;
        let frame = self.visit(at);
        if frame.is_err() {
            self.next = None;
        }
        frame.transpose()
    }
}
