//! An independent checker: proves that a function is the correct result of inlining.
//!
//! [`check`] takes the original caller, the tree of replaced calls with their callees
//! ([`CopyTree`]), and the resulting function, cleaned up or not. It follows both sides together,
//! from the entry block, through every path: on one side an imaginary machine that runs the caller
//! and steps into a copy of the callee at each replaced call, on the other side the result. The
//! checker shares no code with the splicing engine, and trusts none of its intermediate results.
//!
//! **Proved.** Every reachable instruction of the caller, and of each copy, is in the
//! result exactly once, in the same order on every path, and the result has no other instructions
//! except jumps. Its operands are equal to the originals': for each source value the checker keeps
//! the set of result values that equal it on all paths (a greatest fixpoint, found by iterating
//! until no set shrinks), and an operand must be in that set. Calls, signatures, constants, memory
//! flags, alias regions and global values are the same in content. Branches lead to corresponding
//! places; a branch may be missing only where its condition is a constant, or where both its sides
//! lead to one place and their differences are not needed. Exceptional edges are the callee's own,
//! then the replaced calls', innermost first. Stack slots keep kind, size, alignment and key. Two
//! copies share one only if they are not nested and both use it through the same alias region; the
//! caller's own are never shared with a copy. Tags are the tags of the replaced calls around the
//! instruction, outermost first, then its own. Stack maps are the union, in the same order. Memory
//! flags promise no more than holds in the caller's activation, unless the tree says that promises
//! hold for the whole program. Source locations and value labels are kept, and no label is added.
//! One exception: a value that no instruction uses may be gone with its labels, if splicing makes
//! it a parameter and clean-up removes its block. Cold blocks stay cold. A structure passed by
//! value is copied whole before the body, to a slot of its own. The stack limit of a copied body is
//! checked by the prologue of the result.
//!
//! **Branches that decide nothing.** Some of several successive branches on one value may be gone.
//! It does not matter which of them remains: after the first all go the same way, so the first is
//! matched with it. All ways from a removed branch are followed together to the place where they
//! meet, so that the cost of a chain of such branches is linear in its length.
//!
//! **Where it cannot tell.** The answer is [`Undecided`] in three cases: if the place of a
//! difference depends on which of several branches on one value is matched with the remaining one;
//! if a value equals more than a few others; and if the removed branches take more than a fixed
//! number of steps per instruction, as with many places that lead into the same long stretch of
//! them. The checker may still reject a correct result with loops that consist of several branches
//! on one value and have no effect: about one in two thousand random functions with little but
//! branches on three values.
//!
//! **Not proved.** The choice of the callee, the legality of the replacement (signatures,
//! frame introspection: the engine's refusals), and anything about code that is unreachable on both
//! sides. Block order is not checked, nor whether code became cold, nor unused stack slots without
//! a key.
//!
//! Following two programs together until the pairs of places close is translation validation by
//! simulation (Necula, PLDI 2000). Shipping such a checker with the compiler follows regalloc2.
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
mod comparison;
mod constants;
mod difference;
mod entities;
mod forks;
mod known;
mod labels;
mod limits;
mod liveness;
mod metadata;
mod operands;
mod optimized;
mod place;
mod promises;
mod rounds;
mod scope;
mod settle;
mod silent;
mod slot_owners;
mod slots;
mod steps;
mod struct_args;
mod tables;
mod tree;
mod walk;

pub use difference::{CheckError, Difference, Undecided};
pub use optimized::{Alone, MemoryCall, Surroundings, Unproved, check_optimized};
pub use tree::{CopyId, CopyTree};

use crate::panics;
use cranelift_codegen::ir::Function;

/// Proves that `after` is the root of `copies` with the copies in place.
///
/// The cost is linear in the size of `after`, times the number of rounds of the fixpoint (two or
/// three for usual code), and twice that before a difference is reported.
///
/// # Errors
///
/// [`CheckError::Difference`] with the first difference, in words, and [`CheckError::Undecided`] if
/// the checker cannot tell.
pub fn check(copies: &CopyTree<'_>, after: &Function) -> Result<(), CheckError> {
    // The functions may be invalid, and Cranelift's accessors may panic on them.
    panics::catch(|| tables::Walk::prove(copies, after))
        .unwrap_or_else(|message| Err(Difference::malformed(message).into()))
}
