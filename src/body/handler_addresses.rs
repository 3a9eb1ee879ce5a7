//! The `get_exception_handler_address` instructions of a function.
//!
//! Such an instruction names a block for the `try_call` at its end, without a branch to it. Code
//! that moves a terminator to another block, or removes a block, has to update these instructions.

use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode};
use rustc_hash::FxHashMap;

/// Finds a function's handler addresses by the block that they name.
#[derive(Default)]
pub(crate) struct HandlerAddresses {
    by_block: FxHashMap<Block, Vec<Inst>>,
}

impl HandlerAddresses {
    pub(crate) fn clear(&mut self) {
        self.by_block.clear();
    }

    /// Returns whether there are no such instructions.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_block.is_empty()
    }

    /// Notes `inst` if it is a handler address.
    pub(crate) fn add(&mut self, func: &Function, inst: Inst) {
        if let InstructionData::ExceptionHandlerAddress { block, .. } = func.dfg.insts[inst] {
            self.by_block.entry(block).or_default().push(inst);
        }
    }

    /// Returns whether some instruction names `block`.
    pub(crate) fn contains(&self, block: Block) -> bool {
        self.by_block.contains_key(&block)
    }

    /// Updates the instructions after a move of the terminator of `from` to `to`.
    pub(crate) fn rename(&mut self, func: &mut Function, from: Block, to: Block) {
        let Some(insts) = self.by_block.remove(&from) else {
            return;
        };
        for &inst in &insts {
            if let InstructionData::ExceptionHandlerAddress { block, .. } =
                &mut func.dfg.insts[inst]
            {
                *block = to;
            }
        }
        self.by_block.entry(to).or_default().extend(insts);
    }

    /// Replaces the address of `block`, which is no longer reachable, by a null pointer: no call on
    /// the stack can resume there.
    pub(crate) fn drop_block(&mut self, func: &mut Function, block: Block) {
        for inst in self.by_block.remove(&block).unwrap_or_default() {
            func.dfg.insts[inst] = null_address();
        }
    }
}

/// Returns the instruction for the address of an unreachable handler.
pub(crate) fn null_address() -> InstructionData {
    InstructionData::UnaryImm {
        opcode: Opcode::Iconst,
        imm: 0.into(),
    }
}
