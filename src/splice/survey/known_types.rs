//! Which opcodes gave which types to their results before.
//!
//! Most instructions are like one that was seen before, and working out the
//! type of a result from its opcode's constraints costs more than the rest of
//! looking at an instruction.

use cranelift_codegen::ir::{Opcode, Type, types};
use std::cell::Cell;

/// A power of two, so that finding an entry's place costs nothing.
const ENTRIES: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    opcode: Opcode,
    ctrl_type: Type,
    /// `INVALID` where there is no result.
    result_type: Type,
}

/// Remembers, for opcodes with at most one result, types that were found right.
/// A later entry may push out an earlier one.
///
/// What is right depends on Cranelift's opcodes alone, so that a thread goes on
/// with what it knew from the function before.
pub(super) struct KnownTypes([Known; ENTRIES]);

thread_local! {
    static OF_THREAD: Cell<Option<Box<KnownTypes>>> = const { Cell::new(None) };
}

impl KnownTypes {
    pub(super) fn of_thread() -> Box<Self> {
        let known = OF_THREAD.take();
        known.unwrap_or_else(|| Box::new(KnownTypes::new()))
    }

    /// Lets the thread's next function have it.
    pub(super) fn give_back(self: Box<Self>) {
        OF_THREAD.set(Some(self));
    }

    fn new() -> Self {
        // `nop` is right with these types, whether it was seen or not.
        KnownTypes(
            [Known {
                opcode: Opcode::Nop,
                ctrl_type: types::INVALID,
                result_type: types::INVALID,
            }; ENTRIES],
        )
    }

    /// The usual types have neighbouring numbers, and most instructions have a
    /// result of their controlling type.
    fn place(known: Known) -> usize {
        let types = known.ctrl_type.index() * 67 + known.result_type.index() * 13;
        (usize::from(known.opcode as u8) + types) % ENTRIES
    }

    /// Whether the types are known, and remembers them where `check` says that
    /// they are right.
    pub(super) fn check<E>(
        &mut self,
        opcode: Opcode,
        ctrl_type: Type,
        result_type: Type,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let known = Known {
            opcode,
            ctrl_type,
            result_type,
        };
        if let Some(entry) = self.0.get_mut(Self::place(known))
            && *entry != known
        {
            check()?;
            *entry = known;
        }
        Ok(())
    }
}
