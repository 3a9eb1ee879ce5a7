//! Copies that go into the call's block without cutting it.
//!
//! A callee of one block needs no other place than that of its call, if its
//! instructions are put between those around it. Cranelift's layout numbers the
//! instructions of a block with gaps of ten. Where a gap is used up, it moves
//! the numbers of those that follow, and when that goes on for more than a
//! hundred, it numbers the whole block anew. So putting something into a block
//! can cost as much as the block is long, and what is put in is bounded:
//!
//! - The gap that a call leaves behind takes five instructions. A callee with
//!   [`FITS_IN_GAP`] of them fits, whatever was put in the places of the calls
//!   around it, and however long the block is. Where the gaps of the block were
//!   used up before, numbering it anew makes them again.
//! - A block is numbered anew once for about eighty instructions that are put
//!   in, if they all come to the same place and in the least favourable order.
//!   In a caller of [`SMALL_CALLER`] instructions that is no more than copying
//!   costs, and hardly ever happens.

use super::facts::CalleeFacts;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{Function, Inst};

/// How many instructions fit into the place of a call of a fresh block.
const FITS_IN_GAP: usize = 4;

/// Callers with no more instructions take copies of [`FEW`] anywhere.
const SMALL_CALLER: usize = 4_096;

/// A longer copy is worth a block of its own: cutting costs as much as copying
/// three to six instructions.
const FEW: usize = 16;

/// Whether the copy for `call`, which is a plain one, goes between the
/// instructions around it. Those below `own_insts` were there first.
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
