//! Proves that an optimised body does what the body before optimisation did.
//!
//! [`check_optimized`] is given both bodies and, as [`Surroundings`], what there is to read of the
//! rest of the program. It shares no code with the [transforms](crate::cleanup) and is told
//! nothing of what they did.
//!
//! **The idea.** Both functions are followed together, symbolically, block by block of the
//! optimised one. At the start of each of its blocks is kept where the other function is meanwhile,
//! and what the values of both and the bytes in their private slots are, in common terms. A term
//! is built from symbols (parameters, what calls returned, what was loaded) by the instructions
//! that compute; equal terms have equal numbers. So two values are equal if their numbers are, on
//! whichever side they are and in whichever order they were computed. What only computes, jumps, or
//! accesses a private slot is done on each side by itself. Everything else the optimised function
//! does must be what the other does next, with equal operands. Where ways meet, what was equal on
//! all of them stays equal: entries that were equal on each way become one new symbol. Loops are
//! taken optimistically at first and followed until nothing changes (a greatest fixpoint); then
//! everything is followed once more, changing nothing, and only that counts.
//!
//! **Private slots** are those of which no address is seen to get out: passed, stored outside,
//! returned, or hidden where ways meet with something else. A slot is taken for private until then;
//! once it is found not to be, all starts anew with it as memory like any other. Accesses of it
//! must then be the same on both sides, and so must they be for slots with keys and those that tags
//! and stack maps name. Private slots of either side are values: the bytes at constant offsets one
//! by one, those that are accessed at other places as a whole. Which of the optimised function's
//! slots is which of the others is found where terms that must be equal differ in slots alone.
//!
//! **What is proved.** On every path calls, accesses of other memory, atomics, fences, traps and
//! sequence points are the same, in the same order, with equal operands, flags, source locations,
//! tags and stack maps; so are the ends, the stack limit and the handlers. An indirect call may be a
//! direct one where its target is the address of that function and the signatures are equal, and it
//! may be preceded by a test whether it is; a
//! `try_call` may be a call where nothing that the callee reaches throws. A branch may be left out
//! where the checker knows its condition on that way: by a constant, by an earlier branch or trap on
//! it, by a comparison with what is known; or where all sides come to one place without having
//! done anything. One block of the function before may be many of the optimised one, each on
//! other ways. A loop without end is one on both sides. Slots with keys are there, dead or not. A
//! result of what both do keeps its labels, and so do parameters where they are still such; no value
//! has a label that no equal value had. What was cold is cold.
//!
//! **What may differ.** Pure instructions, block parameters, jumps, private slots and what is stored
//! in them, loads that cannot trap and whose results are not needed, and divisions by a constant
//! other than 0 (and -1). Copies and fills of private slots by calls are the same as their loads and
//! stores; of a copy from other memory only what is needed is loaded. Bytes that no store precedes may be anything, but the same each time: what
//! the optimised function's slot holds if it has the slot, and zeros otherwise.
//!
//! **What is not proved.** That the body before was right; block order; labels and locations of
//! what is computed and not otherwise used; code that nothing reaches.
//!
//! **Assumptions.** Accesses through the address of a slot stay in the slot, whatever is added to
//! it. The bodies verify; if they do not, there is an answer, which may be either.
//! [`Surroundings`] tell the truth.
//!
//! **Where it does not see that a body is right**, it mostly says so with [`Unproved::CannotTell`],
//! but may take what it does not understand for wrong. It does not see: values that are equal by
//! arithmetic other than that of constants, shifts and masks; loads of other memory that became
//! earlier ones; a choice of uninitialised bytes other than the above.
//!
//! **Cost.** Near linear for usual code: live values and slots for each block, a few rounds, one
//! more for each level of loops. There is a budget of steps for each instruction, beyond which it
//! cannot tell.
//!
//! The ideas are those of translation validation by simulation (Necula, PLDI 2000) and by value
//! graphs (Tristan, Govereau and Morrisett, PLDI 2011); the partition where ways meet is Kildall's
//! (POPL 1973). That a compiler should carry such a checker with it is regalloc2's habit.
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
mod nodes;
mod orders;
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

/// Why an optimised body was not proved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unproved {
    /// It does something else than the body before.
    #[error("{0}")]
    Wrong(Difference),
    /// It may do the same, but the checker does not see it.
    #[error("cannot tell: {0}")]
    CannotTell(Difference),
}

impl Unproved {
    /// What differs, or what is not seen.
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

/// Proves that `after` does what `before` does: whatever the arguments and whatever functions
/// outside do, the same calls, accesses and traps in the same order, and the same end.
///
/// `surroundings` is what there is to know of other functions and of the target;
/// [`Alone`] tells nothing but a byte order.
///
/// Each private slot of `before` whose contents before the first store `after` does not have too is
/// taken to hold zeros.
///
/// # Errors
///
/// [`Unproved::Wrong`] where the two do not do the same, as far as the checker sees;
/// [`Unproved::CannotTell`] where it does not see enough, or would take too long. Both name the
/// first place where this shows. A function that is malformed is wrong.
pub fn check_optimized(
    before: &Function,
    after: &Function,
    surroundings: &dyn Surroundings,
) -> Result<(), Unproved> {
    // The functions may be anything; Cranelift's accessors may panic on them.
    match panics::catch(|| walk::prove(before, after, surroundings)) {
        Ok(outcome) => outcome.map_err(|unproved| *unproved),
        Err(message) => Err(Unproved::Wrong(Difference::malformed(message))),
    }
}

/// Where an instruction branches to.
fn edges(func: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &func.dfg;
    dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
}
