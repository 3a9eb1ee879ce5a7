//! Walks a stack of frame pointers.

use super::error::BacktraceError;
use super::reader::{Backtrace, BacktraceReader};
use crate::frames::{FrameMemory, UnreadableMemory, saved_frame};

/// Walks the stack of a program that keeps frame pointers, innermost frame first.
///
/// It expects the frame layout of x64 and aarch64, like
/// [`StackWalker`](crate::frames::StackWalker): the caller's frame pointer was saved at the frame
/// pointer, and the return address is 8 bytes above it. The walk ends at the first address outside
/// of the text. It allocates nothing.
///
/// ```
/// use cranelift_inliner::backtrace::{BacktraceTable, BacktraceWalker};
/// use cranelift_inliner::frames::CopiedMemory;
///
/// let table = BacktraceTable::link([])?;
/// let stack = CopiedMemory::new(0x8000, &[]);
/// // Nothing is in an empty table's text, so the walk is over before it reads anything.
/// let mut walk = BacktraceWalker::from_trap(table.reader(), 0x1000, &stack, 0x1000, 0x8000);
/// assert!(walk.next().is_none());
/// # Ok::<(), cranelift_inliner::backtrace::LinkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BacktraceWalker<'a, M> {
    table: BacktraceReader<'a>,
    text: u64,
    memory: M,
    next: Option<Start>,
    /// The frame behind the last one, which is outside of the text.
    outside: Option<Start>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) pc: u64,
    pub(super) fp: u64,
    pub(super) is_trap: bool,
}

/// A frame of the stack.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BacktraceFrame<'a> {
    /// The program counter in it: the address of the trap, or a return address.
    pub pc: u64,
    /// Its frame pointer.
    pub fp: u64,
    /// Its places in the source; `None` for an address that the table does not have.
    pub places: Option<Backtrace<'a>>,
}

impl<'a, M: FrameMemory> BacktraceWalker<'a, M> {
    /// Starts at an instruction that trapped, at the address `pc` with the frame pointer `fp`. The
    /// code is that of `table`, with its text at the address `text`.
    pub fn from_trap(table: BacktraceReader<'a>, text: u64, memory: M, pc: u64, fp: u64) -> Self {
        let is_trap = true;
        Self::from_start(table, text, memory, Start { pc, fp, is_trap })
    }

    /// Starts at a call that returns to the address `pc`, in the frame with the pointer `fp`: a
    /// host function's way to its caller.
    pub fn from_return_address(
        table: BacktraceReader<'a>,
        text: u64,
        memory: M,
        pc: u64,
        fp: u64,
    ) -> Self {
        let is_trap = false;
        Self::from_start(table, text, memory, Start { pc, fp, is_trap })
    }

    pub(super) fn from_start(
        table: BacktraceReader<'a>,
        text: u64,
        memory: M,
        start: Start,
    ) -> Self {
        BacktraceWalker {
            table,
            text,
            memory,
            next: Some(start),
            outside: None,
        }
    }

    /// Returns the frame at which the walk has ended because it is outside of the text.
    pub(super) fn outside(&self) -> Option<Start> {
        self.outside
    }

    fn visit(&mut self, at: Start) -> Result<Option<BacktraceFrame<'a>>, BacktraceWalkError> {
        let offset = at.pc.checked_sub(self.text);
        let offset = offset.and_then(|offset| u32::try_from(offset).ok());
        let end = self.table.text_bytes();
        // A call ends where it returns to, which may be the first byte behind the text.
        let is_within = |offset: u32| match at.is_trap {
            true => offset < end,
            false => 0 < offset && offset <= end,
        };
        let Some(offset) = offset.filter(|&offset| is_within(offset)) else {
            self.outside = Some(at);
            return Ok(None);
        };
        let places = match at.is_trap {
            true => self.table.trap(offset)?,
            false => self.table.return_address(offset)?,
        };
        let (pc, fp) = saved_frame(&self.memory, at.fp)?;
        // Frame pointers rise towards the callers; otherwise the chain is broken.
        self.next = (fp > at.fp).then_some(Start {
            pc,
            fp,
            is_trap: false,
        });
        Ok(Some(BacktraceFrame {
            pc: at.pc,
            fp: at.fp,
            places,
        }))
    }
}

/// Yields nothing after an error.
impl<'a, M: FrameMemory> Iterator for BacktraceWalker<'a, M> {
    type Item = Result<BacktraceFrame<'a>, BacktraceWalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take()?;
        self.visit(at).transpose()
    }
}

/// Why a walk cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BacktraceWalkError {
    /// The table is corrupt.
    #[error(transparent)]
    Table(#[from] BacktraceError),
    /// A frame cannot be read.
    #[error(transparent)]
    Memory(#[from] UnreadableMemory),
}
