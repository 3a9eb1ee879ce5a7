//! Structures passed by value.
//!
//! For a parameter `sarg(N)` the caller passes an address, and the calling convention copies the N
//! bytes there, so that the callee's changes stay its own. An inlined body gets the same: a stack
//! slot of the caller into which the bytes are copied at the call.
//!
//! The structure may have been written through any alias region, and may be read through any. A
//! store without a region is seen by every later access. But a load without a region sees only such
//! stores. So where stores may have regions, one byte is stored to the new slot first, which
//! invalidates Cranelift's knowledge of memory like a call. The instruction of that store differs
//! from those that copy, so that Cranelift takes neither for a repetition of the other. And the
//! byte comes from the slot's own address, so that the address escapes, and the store is not
//! removed as one to a private slot.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{
    Block, BlockArg, Function, InstBuilder, MemFlagsData, SourceLoc, StackSlot, StackSlotData,
    StackSlotKind, Type, Value,
};

/// Structures of up to this many bytes are copied without a loop: sixteen
/// eight-byte moves, few enough that two more blocks would cost more than they
/// save.
const UNROLLED_BYTES: u32 = 128;

/// The strictest alignment that a calling convention gives such a structure.
const ALIGN_SHIFT: u8 = 4;

/// Returns the slot that a structure of `size` bytes is copied to.
pub(super) fn slot_data(size: u32) -> StackSlotData {
    StackSlotData::new(StackSlotKind::ExplicitSlot, size, ALIGN_SHIFT)
}

/// Appends to `block` a copy of the `size` bytes at `address` to `slot`.
///
/// Returns the copy's address and the block in which to go on.
pub(super) fn copy(
    func: &mut Function,
    block: Block,
    address: Value,
    slot: StackSlot,
    size: u32,
    srcloc: SourceLoc,
    stores_have_regions: bool,
) -> (Value, Block) {
    let pointer = func.dfg.value_type(address);
    let mut cursor = FuncCursor::new(func).at_bottom(block);
    if !srcloc.is_default() {
        cursor = cursor.with_srcloc(srcloc);
    }
    let copy = cursor.ins().stack_addr(pointer, slot, 0);
    if stores_have_regions && size > 0 {
        cursor.ins().istore8(flags(), copy, copy, 0);
    }
    if size <= UNROLLED_BYTES {
        copy_unrolled(&mut cursor, address, copy, 0, size);
        return (copy, block);
    }
    let whole = size / 8 * 8;
    let rest = copy_looped(&mut cursor, block, pointer, address, copy, whole);
    copy_unrolled(&mut cursor, address, copy, whole, size);
    (copy, rest)
}

/// Returns the flags for copying a structure, which may be anywhere and at any alignment. The
/// caller already promised that it can be read.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

fn copy_unrolled(cursor: &mut FuncCursor<'_>, from: Value, to: Value, start: u32, end: u32) {
    let mut offset = start;
    for (ty, bytes) in [(I64, 8), (I32, 4), (I16, 2), (I8, 1)] {
        while end - offset >= bytes {
            // Both offsets are small: at most a structure's size.
            let Ok(at) = i32::try_from(offset) else {
                debug_assert!(false, "structures of {end} bytes are refused");
                return;
            };
            let word = cursor.ins().load(ty, flags(), from, at);
            cursor.ins().store(flags(), word, to, at);
            offset += bytes;
        }
    }
}

/// Copies the first `size` bytes, a multiple of eight, and leaves the cursor
/// at the end of the returned block.
fn copy_looped(
    cursor: &mut FuncCursor<'_>,
    block: Block,
    pointer: Type,
    from: Value,
    to: Value,
    size: u32,
) -> Block {
    let func = &mut *cursor.func;
    let cold = func.layout.is_cold(block);
    let body = func.dfg.make_block();
    let rest = func.dfg.make_block();
    func.layout.insert_block_after(body, block);
    func.layout.insert_block_after(rest, body);
    if cold {
        func.layout.set_cold(body);
        func.layout.set_cold(rest);
    }
    let offset = func.dfg.append_block_param(body, pointer);
    let zero = cursor.ins().iconst(pointer, 0);
    cursor.ins().jump(body, &[BlockArg::Value(zero)]);
    cursor.goto_bottom(body);
    let source = cursor.ins().iadd(from, offset);
    let target = cursor.ins().iadd(to, offset);
    let word = cursor.ins().load(I64, flags(), source, 0);
    cursor.ins().store(flags(), word, target, 0);
    let step = cursor.ins().iconst(pointer, 8);
    let next = cursor.ins().iadd(offset, step);
    let end = cursor.ins().iconst(pointer, i64::from(size));
    let more = cursor.ins().icmp(IntCC::UnsignedLessThan, next, end);
    cursor
        .ins()
        .brif(more, body, &[BlockArg::Value(next)], rest, &[]);
    cursor.goto_bottom(rest);
    rest
}
