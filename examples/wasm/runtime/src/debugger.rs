//! A debugger in the process, which code compiled for debugging calls before each instruction.

use crate::context::Context;
use crate::traps::Stack;
use cranelift_inliner::frames::FrameMemory;
use std::fmt;

/// The function that is called at each breakpoint, and returns whether the program goes on.
pub(crate) struct Debugger(pub(crate) Box<dyn FnMut(&Stop) -> bool>);

impl fmt::Debug for Debugger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debugger").finish_non_exhaustive()
    }
}

impl Debugger {
    /// Stops at a breakpoint; returns whether the program goes on. `frame` is the frame pointer of
    /// the function that calls the host.
    pub(crate) fn stop(&mut self, frame: u64, context: &Context) -> bool {
        let memory = Stack {
            start: frame,
            end: context.entry_stack as u64,
        };
        let word = |at: u64| {
            let mut bytes = [0; 8];
            memory.read(at, &mut bytes).ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        match (word(frame), word(frame + 8)) {
            (Some(fp), Some(pc)) => (self.0)(&Stop { pc, fp, memory }),
            _ => false,
        }
    }
}

/// A stopped program.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// The address that the breakpoint returns to.
    pub pc: u64,
    /// The frame pointer of the function with the breakpoint.
    pub fp: u64,
    memory: Stack,
}

impl Stop {
    /// Returns the address of the stack's first byte, and the stack up to the frame of the entry.
    pub fn stack(&self) -> (u64, Vec<u8>) {
        let (start, end) = (self.memory.start, self.memory.end);
        let mut bytes = vec![0; end.saturating_sub(start) as usize];
        let read = self.memory.read(start, &mut bytes);
        debug_assert!(read.is_ok(), "the frame is on the stack");
        (start, bytes)
    }
}
