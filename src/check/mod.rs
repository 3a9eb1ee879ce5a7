//! An independent checker: proves that a function is what inlining should have
//! made of it.
//!
//! [`check`] is given a caller as it was, the tree of calls that were replaced
//! with the bodies that replaced them ([`CopyTree`]), and the function that
//! came out, cleaned up or not. It follows both sides together, from the entry
//! block, through every path: on the one side an imaginary machine that runs
//! the caller and steps into a copy of the callee at each replaced call, on the
//! other the function that came out. No code is shared with the splicing
//! engine, and none of its intermediate results are trusted.
//!
//! **What is proved.** Every reachable instruction of the caller, and of each
//! copy, stands in the result exactly once, in the same order on every path,
//! and nothing else does but jumps. Its operands are equal to the originals':
//! for each source value the checker keeps the set of result values that equal
//! it on all paths (a greatest fixpoint, found by going around until no set
//! shrinks), and an operand must be in that set. Calls, signatures, constants,
//! memory flags, alias regions and global values are the same in content.
//! Branches lead to corresponding places; a branch may be missing only where
//! its condition is a constant, or where both its sides lead to one place and
//! nothing needs what they differ in. Exceptional edges are the callee's own,
//! then the replaced calls', innermost first. Stack slots keep kind, size,
//! alignment and key, and none is that of two copies unless neither of them is
//! inside the other and both use it through the same alias region; the caller's
//! own are never a copy's. Tags are the tags of the replaced calls around the
//! instruction, outermost first, then its own. Stack maps are the union, in the
//! same order. Memory flags promise no more than holds in the caller's activation, unless
//! the tree says that promises hold for the whole program. Source locations and value labels are kept, and no label is
//! added, but that what no instruction uses may be gone with its labels, where
//! splicing makes it a parameter and clean-up goes past its block. Cold stays
//! cold. A structure passed by value is copied whole before the body, to a slot
//! of its own. The stack limit of a copied body is checked by the prologue of
//! the result.
//!
//! **Branches that decide nothing.** Of several branches on one value that
//! follow each other some may be gone. Which of them is left does not matter:
//! behind the first all go the same way, so the first is taken for it. All ways
//! from a branch that is gone are followed together to the place where they
//! meet, so that a chain of such branches costs what its length is.
//!
//! **Where it cannot tell.** The answer is [`Undecided`] where a result goes
//! wrong at another place if another of several branches on one value is taken
//! for the one that is left; where a value equals more than a few others; and
//! where the branches that are gone take more than a fixed number of steps for
//! each instruction, as they do where many places lead into the same long
//! stretch of them. It may still say no to a right result where loops consist
//! of several branches on one value and do nothing: of random functions that
//! hold little but branches on three values, about one in two thousand.
//!
//! **What is not proved.** That the callee was the right one, that the call was
//! legal to replace (signatures, frame introspection: the engine's refusals),
//! and anything about code that neither side can reach. Block order is not
//! looked at, nor whether code became cold, nor stack slots without a key that
//! nothing names.
//!
//! The idea of following two programs together until the pairs of places close
//! is translation validation by simulation (Necula, PLDI 2000); that a compiler
//! should carry such a checker with it is regalloc2's habit.
//!
//! ```
//! use cranelift_inliner::check::{CopyTree, check};
//! use cranelift_inliner::splice::{SpliceOptions, splice};
//!
//! let functions = cranelift_reader::parse_functions("
//! function %one() -> i32 system_v {
//! block0:
//!     v0 = iconst.i32 1
//!     return v0
//! }
//! function %caller(i32) -> i32 system_v {
//!     fn0 = %one() -> i32 system_v
//! block0(v0: i32):
//!     v1 = call fn0()
//!     v2 = isub v1, v0
//!     return v2
//! }")?;
//! let (callee, caller) = (&functions[0], &functions[1]);
//! let entry = caller.layout.entry_block().unwrap();
//! let call = caller.layout.first_inst(entry).unwrap();
//! let mut after = caller.clone();
//! splice(&mut after, call, callee, &SpliceOptions::default())?;
//!
//! let mut copies = CopyTree::new(caller);
//! copies.add(CopyTree::ROOT, call, callee);
//! check(&copies, &after)?;
//!
//! // A subtraction the other way round is found out.
//! let wrong = cranelift_reader::parse_functions("
//! function %caller(i32) -> i32 system_v {
//! block0(v0: i32):
//!     v1 = iconst.i32 1
//!     v2 = isub v0, v1
//!     return v2
//! }")?.remove(0);
//! assert!(check(&copies, &wrong).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assigned;
mod calls;
mod constants;
mod difference;
mod entities;
mod forks;
mod known;
mod labels;
mod limits;
mod metadata;
mod operands;
mod optimized;
mod place;
mod promises;
mod scope;
mod slots;
mod steps;
mod struct_args;
mod tree;
mod walk;

pub use difference::{CheckError, Difference, Undecided};
pub use optimized::{Alone, MemoryCall, Surroundings, Unproved, check_optimized};
pub use tree::{CopyId, CopyTree};

use crate::panics;
use cranelift_codegen::ir::Function;

/// Proves that `after` is the root of `copies` with the copies in place.
///
/// The cost is linear in the size of `after`, times the number of rounds that
/// the fixpoint takes (two or three for usual code), and twice that before a
/// difference is told.
///
/// # Errors
///
/// [`CheckError::Difference`] with the first difference, in words, and
/// [`CheckError::Undecided`] where the checker cannot tell.
pub fn check(copies: &CopyTree<'_>, after: &Function) -> Result<(), CheckError> {
    // The functions may be anything; Cranelift's accessors may panic on them.
    panics::catch(|| walk::Walk::prove(copies, after))
        .unwrap_or_else(|message| Err(Difference::malformed(message).into()))
}
