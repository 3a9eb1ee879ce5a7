//! Copies that go into the call's block without splitting it.
//!
//! The instructions of a single-block callee can go between those around the call. Cranelift's
//! layout numbers the instructions of a block with gaps of ten. Where a gap is used up, it moves
//! the numbers of the following instructions, and after more than a hundred of these, it renumbers
//! the whole block. So an insertion into a block can cost time linear in the block, and insertions
//! are bounded:
//!
//! - The gap that a call leaves behind takes five instructions. A callee with [`FITS_IN_GAP`] of
//!   them fits, in a block of any length and with any insertions at the calls around it. Where the
//!   gaps of the block were used up before, a renumbering restores them.
//! - In the worst case, with all insertions at one place and in the least favourable order, a block
//!   is renumbered once per about eighty inserted instructions. In a caller of [`SMALL_CALLER`]
//!   instructions that costs no more than copying, and is rare.

use super::facts::CalleeFacts;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, Inst};

/// The number of instructions that fit into the place of a call in a fresh block.
const FITS_IN_GAP: usize = 4;

/// Callers of up to this number of instructions take copies of [`FEW`] instructions anywhere.
const SMALL_CALLER: usize = 4_096;

/// A longer copy is worth a block of its own: cutting costs as much as copying three to six
/// instructions.
const FEW: usize = 16;

/// Returns whether the copy for `call`, which is a plain one, goes between the instructions around
/// it. Instructions below `own_insts` are the caller's own.
pub(super) fn goes_in_place(
    caller: &Function,
    own_insts: usize,
    call: Inst,
    callee: &CalleeFacts,
) -> bool {
    if !callee.is_straight || callee.returns == 0 {
        return false;
    }
    let insts = callee.certain_insts + callee.vmctx_insts_added;
    if caller.dfg.num_insts() <= SMALL_CALLER {
        insts <= FEW
    } else {
        insts <= FITS_IN_GAP && call.index() < own_insts
    }
}
