//! Metadata of instructions.

use super::nodes::Side;
use super::walk::{Outcome, Walk};
use cranelift_codegen::ir::{DebugTag, Function, Inst, StackSlot};

impl Walk<'_> {
    pub(super) fn check_metadata(&mut self, inst: Inst, result: Inst) -> Outcome {
        let (func, after) = (self.before.func, self.after.func);
        let tags = (func.debug_tags.get(inst), after.debug_tags.get(result));
        let mut same = tags.0.len() == tags.1.len();
        for (a, b) in tags.0.iter().zip(tags.1) {
            same &= match (a, b) {
                (DebugTag::User(a), DebugTag::User(b)) => a == b,
                (DebugTag::StackSlot(a), DebugTag::StackSlot(b)) => self.same_slot(*a, *b),
                _ => false,
            };
        }
        if !same {
            return Err(self.differs(inst, result, ", with other tags"));
        }
        let maps = [(func, inst), (after, result)];
        let [a, b] = maps.map(|(func, inst)| func.dfg.user_stack_map_entries(inst));
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let mut same = a.len() == b.len();
        for (a, b) in a.iter().zip(b) {
            same &= a.ty == b.ty && a.offset == b.offset && self.same_slot(a.slot, b.slot);
        }
        if !same {
            return Err(self.differs(inst, result, ", with another stack map"));
        }
        if self.surroundings.keeps_locations() && func.srcloc(inst) != after.srcloc(result) {
            return Err(self.differs(inst, result, ", with another source location"));
        }
        let is_cold = |func: &Function, inst: Inst| {
            let block = func.layout.inst_block(inst);
            block.is_some_and(|block| func.layout.is_cold(block))
        };
        if is_cold(func, inst) && !is_cold(after, result) {
            return Err(self.differs(inst, result, ", in a block that is no longer cold"));
        }
        Ok(())
    }

    pub(super) fn same_slot(&mut self, before: StackSlot, after: StackSlot) -> bool {
        let named = self.world.tracking.unite(before, after);
        self.world.tracking.share_named((Side::Before, before));
        self.world.tracking.share_named((Side::After, after));
        named
    }
}
