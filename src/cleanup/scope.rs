//! The part of a function in which the transforms look.
//!
//! A large function into which something small was inlined is not searched as a whole: new chances
//! are in the copies, or just behind them.

use super::flow::Flow;
use crate::body::{branches, check_definitions_before};
use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData};

/// Where this share of a function or more came in with its last splices, all of it is looked at.
const WHOLE_FROM_SHARE: usize = 8;

/// All of a function of up to this number of instructions is looked at, which costs next to
/// nothing.
const ALWAYS_WHOLE: usize = 64;

/// The numbers of a body's entities before its splices. Higher ones came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    insts: usize,
    blocks: usize,
}

impl Before {
    /// Notes the entities of `func`.
    pub(crate) fn of(func: &Function) -> Self {
        Before {
            insts: func.dfg.num_insts(),
            blocks: func.dfg.num_blocks(),
        }
    }

    /// Returns whether the entities that were there before have [sound
    /// definitions](check_definitions_before). Those that came in are made with theirs.
    pub(super) fn has_sound_definitions(self, func: &Function) -> bool {
        check_definitions_before(func, self.insts, self.blocks)
    }

    fn is_new(self, func: &Function, block: Block) -> bool {
        block.index() >= self.blocks || self.new_insts(func, block).next().is_some()
    }

    fn new_insts(self, func: &Function, block: Block) -> impl Iterator<Item = Inst> + '_ {
        let insts = func.layout.block_insts(block);
        insts.filter(move |inst| inst.index() >= self.insts)
    }
}

/// Facts about all instructions of a function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Survey {
    /// Their number.
    pub(super) insts: usize,
    pub(super) has_indirect_calls: bool,
    pub(super) has_handlers: bool,
    /// Whether the address of a stack slot is taken anywhere.
    pub(super) has_slot_addresses: bool,
}

/// The blocks in which transforms look.
#[derive(Default)]
pub(super) struct Scope {
    /// `None` for all blocks.
    before: Option<Before>,
    blocks: EntitySet<Block>,
}

impl Scope {
    /// Sets the scope: the whole function without `before`, or where much of it is new.
    pub(super) fn begin(&mut self, func: &Function, before: Option<Before>) -> Survey {
        let mut survey = Survey::default();
        let mut new = 0;
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                survey.insts += 1;
                new += usize::from(before.is_none_or(|before| inst.index() >= before.insts));
                match func.dfg.insts[inst] {
                    InstructionData::CallIndirect { .. } => survey.has_indirect_calls = true,
                    InstructionData::TryCallIndirect { .. } => {
                        survey.has_indirect_calls = true;
                        survey.has_handlers = true;
                    }
                    InstructionData::TryCall { .. } => survey.has_handlers = true,
                    InstructionData::StackAddr { .. } => survey.has_slot_addresses = true,
                    _ => {}
                }
            }
        }
        let is_whole =
            survey.insts <= ALWAYS_WHOLE || new.saturating_mul(WHOLE_FROM_SHARE) >= survey.insts;
        self.before = before.filter(|_| !is_whole);
        survey
    }

    /// Returns whether all blocks are in scope.
    pub(super) fn is_whole(&self) -> bool {
        self.before.is_none()
    }

    /// Finds the blocks in scope, after changes: those with something new, and those to which these
    /// lead.
    pub(super) fn find(&mut self, func: &Function, flow: &Flow) {
        self.blocks.clear();
        let Some(before) = self.before else {
            return;
        };
        for &block in flow.blocks() {
            if !before.is_new(func, block) {
                continue;
            }
            self.blocks.insert(block);
            let last = func.layout.last_inst(block);
            for call in last.map_or(&[][..], |last| branches(func, last)) {
                self.blocks.insert(call.block(&func.dfg.value_lists));
            }
        }
    }

    pub(super) fn contains(&self, block: Block) -> bool {
        self.before.is_none() || self.blocks.contains(block)
    }
}
