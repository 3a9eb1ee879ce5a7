//! Metadata of instructions, values and blocks.

use super::body::Body;
use super::features::Feature;
use cranelift_codegen::ir::{
    Block, DebugTag, Inst, InstBuilder, RelSourceLoc, SourceLoc, Type, UserStackMapEntry, Value,
    ValueLabel, ValueLabelAssignments, ValueLabelStart, types,
};

impl Body<'_, '_, '_> {
    /// Gives the following instructions a new source location, or none.
    pub(super) fn locate(&mut self) {
        if !self.plan.features.has(Feature::Debugging) {
            return;
        }
        self.srcloc = if self.choices.chance(32) {
            SourceLoc::default()
        } else {
            let line = match self.plan.features.has(Feature::AdjacentLocations) {
                true => 1 + self.choices.below(255) as u32,
                false => 2 + 2 * self.choices.below(127) as u32,
            };
            SourceLoc::new(line + 0x1000 * (1 + self.index as u32))
        };
    }

    /// Sometimes gives `value` the label of a variable.
    pub(super) fn label(&mut self, value: Value) {
        if !self.plan.features.has(Feature::Debugging) || !self.choices.chance(64) {
            return;
        }
        let label = ValueLabel::from_u32(self.choices.below(8) as u32);
        let from = RelSourceLoc::from_base_offset(self.func.params.base_srcloc(), self.srcloc);
        let start = ValueLabelStart { from, label };
        if let Some(labels) = &mut self.func.dfg.values_labels {
            labels.insert(value, ValueLabelAssignments::Starts(vec![start]));
        }
    }

    /// Sometimes marks `block` as cold.
    pub(super) fn chill(&mut self, block: Block) {
        if self.plan.features.has(Feature::Debugging) && self.choices.chance(32) {
            self.func.layout.set_cold(block);
        }
    }

    /// Adds tags and a stack map to a switch to another stack. Cranelift emits no map for it, and
    /// compiles none of these programs if its assertions are on, so maps are rare.
    pub(super) fn annotate_switch(&mut self, inst: Inst) {
        if self.choices.chance(64) {
            return self.annotate_call(inst);
        }
        let tags = self.frame();
        self.func.debug_tags.set(inst, tags);
    }

    /// Adds tags and a stack map to a call that returns.
    pub(super) fn annotate_call(&mut self, call: Inst) {
        let tags = self.frame();
        self.func.debug_tags.set(call, tags);
        if !self.plan.features.has(Feature::StackMaps) {
            return;
        }
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index).copied() else {
                return;
            };
            let kinds: &[Type] = if slot.size >= 8 {
                &[types::I64, types::I32]
            } else {
                &[types::I32]
            };
            if self.choices.chance(96) {
                let ty = self.choices.one_of(kinds).unwrap_or(types::I32);
                let places = (slot.size / ty.bytes()) as usize;
                let offset = ty.bytes() * self.choices.below(places) as u32;
                let slot = slot.slot;
                let entry = UserStackMapEntry { ty, slot, offset };
                self.func.dfg.append_user_stack_map_entry(call, entry);
            }
        }
    }

    /// Adds tags to a call that does not return: its frame is gone when the callee runs.
    pub(super) fn annotate_return_call(&mut self, call: Inst) {
        if self.plan.features.has(Feature::Tags) {
            self.func.debug_tags.set(call, [DebugTag::User(0)]);
        }
    }

    pub(super) fn sequence_point(&mut self) {
        let tags = self.frame();
        let point = self.at().ins().sequence_point();
        self.func.debug_tags.set(point, tags);
    }

    /// Makes a frame in the form of `CountedFrames`: a count, some of the slots, and a number that
    /// is unique in the program. Slots are filled on entry, so each may be shown.
    fn frame(&mut self) -> Vec<DebugTag> {
        if !self.plan.features.has(Feature::Tags) || self.choices.chance(24) {
            return Vec::new();
        }
        let mut tags = Vec::new();
        for slot in &self.slots {
            if !self.choices.chance(64) {
                tags.push(DebugTag::StackSlot(slot.slot));
            }
        }
        self.plan.places += 1;
        tags.push(DebugTag::User(self.plan.places));
        tags.insert(0, DebugTag::User(tags.len() as u32));
        tags
    }
}
