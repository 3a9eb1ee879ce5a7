//! Proves that an optimised body has the behaviour of the body before optimisation.
//!
//! [`check_optimized`] gets both bodies and, as [`Surroundings`], facts about the rest of the
//! program. It shares no code with the [transforms](crate::cleanup), and does not know which of
//! them ran.
//!
//! **The idea.** Both functions are followed together, symbolically, block by block of the
//! optimised one. The state at the start of each of its blocks has the place of the other function
//! at that moment, the values of both functions, and the bytes in their private slots, in common
//! terms. A term is built from symbols (parameters, results of calls, loaded values) by the
//! instructions that compute; equal terms have equal numbers. So two values are equal if their
//! numbers are, on whichever side they are and in whichever order they were computed. Each side
//! executes computations, jumps and accesses of private slots by itself. Every other instruction of
//! the optimised function must be the next one of the other, with equal operands. Where ways meet,
//! values that were equal on all of them stay equal: entries that were equal on each way become one
//! new symbol. Loops are taken optimistically at first and followed until nothing changes (a
//! greatest fixpoint); then everything is followed once more without changes, and only that counts.
//!
//! **Private slots** are those whose addresses are not seen to escape: to be passed, stored
//! outside, returned, or hidden where ways meet with another value. A slot is assumed to be private
//! at first; once its address escapes, the proof starts again with the slot as ordinary memory.
//! Accesses of such slots must be the same on both sides, like those of slots with keys and of
//! slots named by tags and stack maps. Private slots of either side are values: the bytes at
//! constant offsets one by one, and slots that are accessed at other places as a whole. Stores to
//! bytes that neither function can read change nothing. Slots of both functions are paired if terms
//! that must be equal differ only in slots.
//!
//! **Proved.** On every path calls, accesses of other memory, atomics, fences, traps and
//! sequence points are the same, in the same order, with equal operands, flags, source locations,
//! tags and stack maps; so are the ends, the stack limit and the handlers. An indirect call may be
//! direct if its target is the address of that function and the signatures are equal, and may be
//! preceded by a test for that address; a `try_call` may be a call if no function that the callee
//! reaches throws. A branch may be left out if the checker knows its condition on that way, from a
//! constant, an earlier branch or trap on it, or a comparison with a known value; or if all sides
//! lead to one place without an effect. One block of the function before may be several of the
//! optimised one, each on other ways. An endless loop is endless on both sides. Slots with keys are
//! there, used or not. The results of effects keep their labels, and so do remaining parameters; no
//! value has a label that no equal value had, nor a parameter that always has this value. Cold
//! blocks stay cold. A load that can move may no longer do so; where it still can, its address is
//! computed from values of the same kinds: results of instructions that stay at their places,
//! parameters of blocks, and each parameter of the function.
//!
//! **Permitted differences.** Pure instructions, block parameters, jumps, private slots and their
//! contents, loads that cannot trap and whose results are unused, and divisions by a constant other
//! than 0 (and -1). Calls that copy or fill private slots equal the same loads and stores; of a
//! copy from other memory, only the needed bytes have to be loaded. Bytes that no store precedes
//! may be anything, but the same each time: the contents of the optimised function's slot if it has
//! the slot, and zeros otherwise.
//!
//! **Limits of the proof.** It does not cover the body before; block order; labels and locations
//! of unused computed values; unreachable code.
//!
//! **Assumptions.** Accesses through the address of a slot stay in the slot, whatever is added to
//! it. The bodies verify; otherwise the answer may be either. [`Surroundings`] are true.
//!
//! **Limits.** For a right body that it cannot prove, the checker mostly answers
//! [`Unproved::CannotTell`], but may also answer that it is wrong. It does not see: values that are
//! equal by other arithmetic than that of constants, shifts and masks; loads of other memory that
//! became earlier ones; a choice of uninitialised bytes other than the above.
//!
//! **Cost.** Near linear for usual code: live values and slots per block, a few rounds, and one
//! more round per level of loops. The number of steps per instruction is bounded; beyond that the
//! checker cannot tell.
//!
//! The ideas are those of translation validation by simulation (Necula, PLDI 2000) and by value
//! graphs (Tristan, Govereau and Morrisett, PLDI 2011); the partition where ways meet is Kildall's
//! (POPL 1973). regalloc2, too, comes with a checker of its results.
//!
//! ```
//! use cranelift_codegen::ir::Endianness;
//! use cranelift_inliner::check::{Alone, check_optimized};
//!
//! let before = cranelift_reader::parse_functions("
//! function %f(i32) -> i32 system_v {
//!     ss0 = explicit_slot 4
//! block0(v0: i32):
//!     v1 = stack_addr.i64 ss0
//!     store v0, v1
//!     v2 = load.i32 v1
//!     return v2
//! }")?.remove(0);
//! let after = cranelift_reader::parse_functions("
//! function %f(i32) -> i32 system_v {
//! block0(v0: i32):
//!     return v0
//! }")?.remove(0);
//! let known = Alone(Some(Endianness::Little));
//! check_optimized(&before, &after, &known)?;
//! assert!(check_optimized(&after, &before, &known).is_ok());
//!
//! let wrong = cranelift_reader::parse_functions("
//! function %f(i32) -> i32 system_v {
//! block0(v0: i32):
//!     v1 = iconst.i32 0
//!     return v1
//! }")?.remove(0);
//! assert!(check_optimized(&before, &wrong, &known).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod arrivals;
mod bits;
mod calls;
mod contents;
mod copies;
mod effects;
mod entities;
mod evaluate;
mod facts;
mod fork;
mod guards;
mod labels;
mod liveness;
mod machine;
mod memory;
mod memory_calls;
mod metadata;
mod movable;
mod nodes;
mod orders;
mod reads;
mod state;
mod steps;
mod surroundings;
mod tracking;
mod unite;
mod walk;

pub use surroundings::{Alone, MemoryCall, Surroundings};

use super::Difference;
use crate::panics;
use cranelift_codegen::ir::{BlockCall, Function, Inst};
use thiserror::Error;

/// The reason why an optimised body was not proved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unproved {
    /// Its behaviour differs from that of the body before.
    #[error("{0}")]
    Wrong(Difference),
    /// It may have the same behaviour, but the checker cannot prove it.
    #[error("cannot tell: {0}")]
    CannotTell(Difference),
}

impl Unproved {
    /// Returns the difference, or the place that the checker does not understand.
    pub fn difference(&self) -> &Difference {
        match self {
            Unproved::Wrong(difference) | Unproved::CannotTell(difference) => difference,
        }
    }

    fn wrong(message: impl Into<String>) -> Box<Self> {
        Box::new(Unproved::Wrong(Difference::general(message)))
    }

    fn cannot_tell(message: impl Into<String>) -> Box<Self> {
        Box::new(Unproved::CannotTell(Difference::general(message)))
    }
}

/// Proves that `after` has the behaviour of `before`: for any arguments and any results of other
/// functions, the same calls, accesses and traps in the same order, and the same end.
///
/// `surroundings` has the facts about other functions and the target; [`Alone`] has only a byte
/// order.
///
/// A private slot of `before` whose initial contents `after` does not have is assumed to hold
/// zeros.
///
/// # Errors
///
/// [`Unproved::Wrong`] if the two differ, as far as the checker sees; [`Unproved::CannotTell`] if
/// it does not see enough, or would take too long. Both name the first place where this shows. A
/// malformed function is wrong.
pub fn check_optimized(
    before: &Function,
    after: &Function,
    surroundings: &dyn Surroundings,
) -> Result<(), Unproved> {
    // The functions may be malformed, and Cranelift's accessors may panic on them.
    match panics::catch(|| walk::prove(before, after, surroundings)) {
        Ok(outcome) => outcome.map_err(|unproved| *unproved),
        Err(message) => Err(Unproved::Wrong(Difference::malformed(message))),
    }
}

/// Returns the targets of an instruction.
fn edges(func: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &func.dfg;
    dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
}
