//! Blocks that no path from the entry block reaches.

use super::branches;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode};

/// The blocks that a path from the entry block reaches.
fn reachable_blocks(func: &Function) -> EntitySet<Block> {
    let mut reached = EntitySet::with_capacity(func.dfg.num_blocks());
    let mut work = Vec::new();
    if let Some(entry) = func.layout.entry_block() {
        reached.insert(entry);
        work.push(entry);
    }
    while let Some(block) = work.pop() {
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        for call in branches(func, last) {
            let successor = call.block(&func.dfg.value_lists);
            if reached.insert(successor) {
                work.push(successor);
            }
        }
    }
    reached
}

/// Takes unreachable blocks out of the layout; returns their number.
///
/// `handler_addresses` are the function's `get_exception_handler_address`
/// instructions. Where one names a block that goes, no call can be on the
/// stack that would resume there, and the address becomes a null pointer.
/// Those that went themselves are dropped from the list.
pub(crate) fn drop_unreachable_blocks(
    func: &mut Function,
    handler_addresses: &mut Vec<Inst>,
) -> usize {
    let reached = reachable_blocks(func);
    let dead: Vec<Block> = func
        .layout
        .blocks()
        .filter(|&block| !reached.contains(block))
        .collect();
    for &block in &dead {
        func.layout.remove_block_and_insts(block);
    }
    handler_addresses.retain(|&inst| {
        if func.layout.inst_block(inst).is_none() {
            return false;
        }
        let InstructionData::ExceptionHandlerAddress { block, .. } = func.dfg.insts[inst] else {
            return false;
        };
        if reached.contains(block) {
            return true;
        }
        func.dfg.insts[inst] = InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm: 0.into(),
        };
        false
    });
    dead.len()
}
