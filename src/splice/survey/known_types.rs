//! A cache of the valid result types of opcodes.
//!
//! Most instructions are like one that was seen before, and working out the type of a result from
//! its opcode's constraints costs more than the rest of looking at an instruction.

use cranelift_codegen::ir::{Opcode, Type, types};
use std::cell::Cell;

/// A power of two, so that the place of an entry is cheap to compute.
const ENTRIES: usize = 256;

/// An opcode, the controlling type and the result's type, `INVALID` where there is none. Packed
/// into one number for fast comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known(u64);

impl Known {
    fn new(opcode: Opcode, ctrl_type: Type, result_type: Type) -> Self {
        let types = (ctrl_type.index() as u64) << 16 | result_type.index() as u64;
        Known(u64::from(opcode as u8) << 32 | types)
    }

    /// Returns the place in the cache. The usual types have neighbouring numbers, and most
    /// instructions have a result of their controlling type.
    fn place(self) -> usize {
        let Known(known) = self;
        let mixed = (known >> 32) + (known >> 16 & 0xffff) * 67 + (known & 0xffff) * 13;
        mixed as usize % ENTRIES
    }
}

/// Caches, for opcodes with at most one result, types that were found valid. A later entry may
/// evict an earlier one.
///
/// Validity depends only on Cranelift's opcodes, so that a thread keeps the cache across functions.
pub(super) struct KnownTypes([Known; ENTRIES]);

thread_local! {
    static OF_THREAD: Cell<Option<Box<KnownTypes>>> = const { Cell::new(None) };
}

impl KnownTypes {
    pub(super) fn of_thread() -> Box<Self> {
        let known = OF_THREAD.take();
        known.unwrap_or_else(|| Box::new(KnownTypes::new()))
    }

    /// Returns the cache to the thread for its next function.
    pub(super) fn give_back(self: Box<Self>) {
        OF_THREAD.set(Some(self));
    }

    fn new() -> Self {
        // These types are always valid for `nop`.
        let nop = Known::new(Opcode::Nop, types::INVALID, types::INVALID);
        KnownTypes([nop; ENTRIES])
    }

    /// Returns whether the types were found valid before.
    #[inline]
    pub(super) fn contains(&self, opcode: Opcode, ctrl_type: Type, result_type: Type) -> bool {
        let known = Known::new(opcode, ctrl_type, result_type);
        self.0[known.place()] == known
    }

    /// Adds valid types.
    pub(super) fn add(&mut self, opcode: Opcode, ctrl_type: Type, result_type: Type) {
        let known = Known::new(opcode, ctrl_type, result_type);
        self.0[known.place()] = known;
    }
}
