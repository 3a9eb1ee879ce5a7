//! The `get_exception_handler_address` instructions of a function.
//!
//! Such an instruction names a block for the `try_call` in its end, without a
//! branch to it. Whoever moves a terminator to another block, or removes a
//! block, has to tell.

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

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_block.is_empty()
    }

    /// Notes `inst` if it is a handler address.
    pub(crate) fn add(&mut self, func: &Function, inst: Inst) {
        if let InstructionData::ExceptionHandlerAddress { block, .. } = func.dfg.insts[inst] {
            self.by_block.entry(block).or_default().push(inst);
        }
    }

    /// Whether some instruction names `block`.
    pub(crate) fn contains(&self, block: Block) -> bool {
        self.by_block.contains_key(&block)
    }

    /// The terminator of `from` has moved to `to`.
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

    /// Nothing reaches `block` any more: no call can be on the stack that would
    /// resume there, and its address becomes a null pointer.
    pub(crate) fn drop_block(&mut self, func: &mut Function, block: Block) {
        for inst in self.by_block.remove(&block).unwrap_or_default() {
            func.dfg.insts[inst] = null_address();
        }
    }
}

/// What stands for the address of a handler that is never reached.
pub(crate) fn null_address() -> InstructionData {
    InstructionData::UnaryImm {
        opcode: Opcode::Iconst,
        imm: 0.into(),
    }
}
