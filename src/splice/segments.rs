//! Blocks split into segments while their calls are spliced.
//!
//! A splice replaces a call in the middle of a block, and the instructions after the call go on
//! where the callee returns. Moving them for each call would make a block with N calls cost N²
//! moves. So the first splice in a block splits the instructions after the call into segments, each
//! of which ends in a call and a jump to the next segment:
//!
//! ```text
//! block0:                 block0:                     block0:
//!     a                       a                           a
//!     call f0()               <body of f0>                <body of f0>
//!     b             =>        jump block8       =>        jump block8
//!     call f1()           block8:                     block8:
//!     c                       b                           b
//!     return                  call f1()                   <body of f1>
//!                             jump block9                 jump block9
//!                         block9:                     block9:
//!                             c                           c
//!                             return                      return
//! ```
//!
//! From then on a call of these segments is the last instruction before a jump, and replacing it
//! moves nothing. In the end the segments are joined again. An instruction moves when its part of
//! the block is first split, and when it is joined: at most twice, for any order of the splices.
//!
//! A copy that [goes in place](super::in_place) does not split the block.
//!
//! If several calls are spliced [together](super::Session::splice_all), only these end segments,
//! and another call splits its own segment once more.

use crate::body::HandlerAddresses;
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value};
use smallvec::SmallVec;

/// The kind of the code that replaces a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A copy that goes between the instructions around the call.
    InPlace,
    /// A copy after which the caller goes on.
    Returns,
    /// A copy after which the caller does not go on.
    Ends,
}

/// The place of a call that was taken out of its block.
#[derive(Clone, Copy)]
pub(super) enum Opening {
    /// The end of the block, without a continuation: the call was the terminator, or does not
    /// return.
    AtEnd,
    /// The end of the block. This jump leads to the instructions after the call, and is for
    /// [`Segments::close`].
    Onward(Inst),
    /// Before this instruction.
    Before(Inst),
}

/// The segments of one caller.
#[derive(Default)]
pub(super) struct Segments {
    /// The jump to each segment but the first of a block.
    jumps: SecondaryMap<Block, PackedOption<Inst>>,
    /// The segments in the order in which they were cut off.
    order: Vec<Block>,
    /// Segments to which no callee returned.
    dead: EntitySet<Block>,
    /// Calls that the session expects to splice.
    expected: EntitySet<Inst>,
}

impl Segments {
    pub(super) fn clear(&mut self) {
        self.jumps.clear();
        self.order.clear();
        self.dead.clear();
        self.expected.clear();
    }

    /// Lets `call` end a segment when its block is split. Calls that are not expected then no
    /// longer do.
    pub(super) fn expect(&mut self, call: Inst) {
        self.expected.insert(call);
    }

    /// Returns whether `block` is known to be a segment that nothing reaches.
    pub(super) fn is_dead(&self, block: Block) -> bool {
        self.dead.contains(block)
    }

    /// Removes `call` from its `block`, and makes the place for `copy`.
    pub(super) fn open(
        &mut self,
        func: &mut Function,
        handler_addresses: &mut HandlerAddresses,
        call: Inst,
        block: Block,
        copy: Shape,
    ) -> Opening {
        let Some(next) = func.layout.next_inst(call) else {
            func.layout.remove_inst(call);
            return Opening::AtEnd;
        };
        if copy == Shape::InPlace {
            func.layout.remove_inst(call);
            return Opening::Before(next);
        }
        if let Some(segment) = self.segment_after(func, next) {
            func.layout.remove_inst(call);
            func.layout.remove_inst(next);
            if copy == Shape::Returns {
                return Opening::Onward(next);
            }
            self.jumps[segment] = None.into();
            self.abandon(func, call, segment);
        } else if copy == Shape::Returns {
            let onward = self.cut(func, handler_addresses, block, call);
            func.layout.remove_inst(call);
            func.layout.remove_inst(onward);
            return Opening::Onward(onward);
        } else {
            func.layout.remove_inst(call);
            let segment = func.dfg.make_block();
            func.layout.split_block(segment, next);
            handler_addresses.rename(func, block, segment);
            self.abandon(func, call, segment);
        }
        Opening::AtEnd
    }

    /// Returns the segment to which `jump` leads, if it is one of ours.
    fn segment_after(&self, func: &Function, jump: Inst) -> Option<Block> {
        let InstructionData::Jump { destination, .. } = func.dfg.insts[jump] else {
            return None;
        };
        let target = destination.block(&func.dfg.value_lists);
        (self.jumps[target].expand() == Some(jump)).then_some(target)
    }

    /// Splits off the instructions after `call` in `block`, and returns the jump to them.
    ///
    /// Every direct call after `call` ends a segment; if `call` was expected, only the expected
    /// ones do. Segments are split off from the last one on, so that each instruction moves once.
    fn cut(
        &mut self,
        func: &mut Function,
        handler_addresses: &mut HandlerAddresses,
        block: Block,
        call: Inst,
    ) -> Inst {
        let mut calls: SmallVec<[Inst; 16]> = SmallVec::new();
        calls.push(call);
        let all = !self.expected.contains(call);
        let mut current = func.layout.next_inst(call);
        while let Some(inst) = current {
            current = func.layout.next_inst(inst);
            let ends_segment = (all || self.expected.contains(inst))
                && func.dfg.insts[inst].opcode() == Opcode::Call
                && current.is_some_and(|next| self.segment_after(func, next).is_none());
            if ends_segment {
                calls.push(inst);
            }
        }
        let mut last_segment = None;
        let mut onward = call;
        while let Some(call) = calls.pop() {
            let Some(next) = func.layout.next_inst(call) else {
                debug_assert!(false, "{call} was followed by an instruction");
                continue;
            };
            let segment = func.dfg.make_block();
            func.layout.split_block(segment, next);
            if func.layout.is_cold(block) {
                func.layout.set_cold(segment);
            }
            let destination = func.dfg.block_call(segment, &[]);
            onward = func.dfg.make_inst(InstructionData::Jump {
                opcode: Opcode::Jump,
                destination,
            });
            func.layout.append_inst(onward, block);
            self.jumps[segment] = onward.into();
            self.order.push(segment);
            last_segment = last_segment.or(Some(segment));
        }
        if let Some(last_segment) = last_segment {
            handler_addresses.rename(func, block, last_segment);
        }
        onward
    }

    /// Lets the callee return to the instructions after the call, from `block`.
    pub(super) fn close(func: &mut Function, onward: Inst, block: Block) {
        func.layout.append_inst(onward, block);
    }

    /// Notes that nothing returns to `segment`, which has the instructions after `call`. Until it
    /// is removed it still uses the call's results, so these become its parameters.
    fn abandon(&mut self, func: &mut Function, call: Inst, segment: Block) {
        let results: SmallVec<[Value; 4]> = func.dfg.inst_results(call).into();
        func.dfg.detach_inst_results(call);
        for result in results {
            func.dfg.attach_block_param(segment, result);
        }
        let mut next = Some(segment);
        while let Some(segment) = next
            && self.dead.insert(segment)
        {
            let last = func.layout.last_inst(segment);
            next = last.and_then(|jump| self.segment_after(func, jump));
        }
    }

    /// Joins all segments again.
    pub(super) fn join(&mut self, func: &mut Function, handler_addresses: &mut HandlerAddresses) {
        let mut pending: SmallVec<[(Block, Inst); 16]> = SmallVec::new();
        for segment in std::mem::take(&mut self.order) {
            // The segments before a segment are joined first, so that it moves to its final place
            // at once.
            let mut current = segment;
            while let Some(jump) = self.jumps[current].take()
                && let Some(before) = func.layout.inst_block(jump)
            {
                pending.push((current, jump));
                current = before;
            }
            while let Some((segment, jump)) = pending.pop() {
                join_one(func, handler_addresses, segment, jump);
            }
        }
    }
}

/// Moves the instructions of `segment` to the place of `jump`, which leads to it.
fn join_one(
    func: &mut Function,
    handler_addresses: &mut HandlerAddresses,
    segment: Block,
    jump: Inst,
) {
    let layout = &mut func.layout;
    let Some(block) = layout.inst_block(jump) else {
        debug_assert!(false, "{jump} leads to a segment, so it is in a block");
        return;
    };
    layout.remove_inst(jump);
    while let Some(inst) = layout.first_inst(segment) {
        layout.remove_inst(inst);
        layout.append_inst(inst, block);
    }
    layout.remove_block(segment);
    handler_addresses.rename(func, segment, block);
}
