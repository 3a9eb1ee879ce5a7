//! Splicing many calls of one caller.
//!
//! A splice replaces a call in the middle of a block, and what follows the
//! call continues where the callee returns. Moving that tail for each call
//! would make a block with N calls cost N² moves. Instead the first splice in
//! a block moves the tail to a block of its own, reached by one jump, and each
//! later call of the tail takes only the instructions before it back:
//!
//! ```text
//! block0:                 block0:                     block0:
//!     a                       a                           a
//!     call f0()               <body of f0>                <body of f0>
//!     b             =>        jump block9       =>        b
//!     call f1()           block9:                         <body of f1>
//!     c                       b                           jump block9
//!     return                  call f1()               block9:
//!                             c                           c
//!                             return                      return
//! ```
//!
//! [`Session::finish`] puts the rest back and removes the tail block. Between
//! splices the caller is valid CLIF, so that whoever decides about the next
//! call may look at it.

use super::copy::Copy;
use super::entities::CallerEntities;
use super::site::{LegalSite, SiteKind, check_site};
use super::{Callee, KeepLocations, Refusal, SpliceLocations, SpliceOptions};
use crate::body::{drop_unreachable_blocks, handler_addresses};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{self, Block, Inst, InstructionData, Opcode, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Scratch memory of splices, kept from one caller to the next.
#[derive(Default)]
pub struct SpliceContext {
    pub(super) entities: CallerEntities,
    pub(super) values: Vec<Value>,
    pub(super) blocks: Vec<Block>,
    pub(super) last_pieces: Vec<Block>,
    pub(super) slots: Vec<ir::StackSlot>,
    pub(super) dynamic_slots: Vec<ir::DynamicStackSlot>,
    pub(super) copied_calls: Vec<CopiedCall>,
    pub(super) handler_addresses: Vec<Inst>,
    /// The jump to each block that holds the tail of another.
    tails: FxHashMap<Block, Inst>,
    tail_order: Vec<Block>,
    /// Tails to which no callee returned.
    dead_tails: EntitySet<Block>,
}

impl SpliceContext {
    /// An empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts splicing calls of `caller`.
    ///
    /// Costs one walk over the caller. Call [`Session::finish`] at the end;
    /// dropping the session does the same.
    pub fn session<'s>(
        &'s mut self,
        caller: &'s mut ir::Function,
        options: &'s SpliceOptions,
    ) -> Session<'s> {
        self.entities.clear();
        self.tails.clear();
        self.tail_order.clear();
        self.dead_tails.clear();
        self.copied_calls.clear();
        self.handler_addresses.clear();
        self.handler_addresses.extend(handler_addresses(caller));
        Session {
            context: self,
            caller,
            options,
            leaves_unreachable: false,
        }
    }
}

/// A call that came into the caller with a callee's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedCall {
    /// The direct call in the callee.
    pub callee_inst: Inst,
    /// Its copy in the caller. A `return_call` may have become a `call`, and
    /// a `call` a `try_call`.
    pub inst: Inst,
}

/// Splices calls of one caller, one after the other.
///
/// See the head of the module for what the caller looks like between splices.
pub struct Session<'s> {
    context: &'s mut SpliceContext,
    caller: &'s mut ir::Function,
    options: &'s SpliceOptions,
    leaves_unreachable: bool,
}

impl Session<'_> {
    /// The caller as it stands.
    pub fn caller(&self) -> &ir::Function {
        self.caller
    }

    /// Whether `call` could be replaced by `callee` now.
    ///
    /// # Errors
    ///
    /// The reason for which [`Session::splice`] would refuse.
    pub fn check(&mut self, call: Inst, callee: &Callee<'_>) -> Result<(), Refusal> {
        self.plan(call, callee).map(|_| ())
    }

    /// Replaces `call` by a copy of `callee`'s body.
    ///
    /// Returns the direct calls that came in with the body, in reverse
    /// postorder of the callee's blocks; they can be spliced in turn.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], with the caller untouched.
    pub fn splice(&mut self, call: Inst, callee: &Callee<'_>) -> Result<&[CopiedCall], Refusal> {
        self.splice_with(call, callee, &mut KeepLocations)
    }

    /// As [`Session::splice`], where `locations` chooses the source locations
    /// of the copied instructions.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], with the caller untouched.
    pub fn splice_with(
        &mut self,
        call: Inst,
        callee: &Callee<'_>,
        locations: &mut dyn SpliceLocations,
    ) -> Result<&[CopiedCall], Refusal> {
        let mut site = self.plan(call, callee)?.with_metadata(self.caller, call);
        let (block, tail) = self.isolate(call);
        site.block = block;
        let copied = Copy::new(self.caller, self.context, callee, &site, call, locations).run();
        self.leaves_unreachable |= copied.leaves_unreachable;
        self.caller.debug_tags.set(call, []);
        match (tail, copied.continues_in) {
            (Some(tail), Some(block)) => self.join_tail(block, tail),
            (Some(tail), None) => self.abandon_tail(call, tail),
            (None, _) => {}
        }
        Ok(&self.context.copied_calls)
    }

    /// Puts every tail back and removes what nothing reaches any more.
    pub fn finish(self) {
        // The work is done on drop, so that an early return cannot skip it.
    }

    fn plan(&mut self, call: Inst, callee: &Callee<'_>) -> Result<LegalSite, Refusal> {
        let site = check_site(self.caller, call, callee, self.options)?;
        if self.context.dead_tails.contains(site.block) {
            return Err(Refusal::Unreachable);
        }
        check_handler_addresses(self.caller, &self.context.handler_addresses, &site)?;
        let entities = &mut self.context.entities;
        entities.check(self.caller, callee, site.shares_vmctx)?;
        Ok(site)
    }

    /// Takes `call` out of the layout and leaves what precedes it at the end
    /// of the first returned block; what follows it is in the second.
    fn isolate(&mut self, call: Inst) -> (Block, Option<Block>) {
        let ir::function::FunctionStencil { layout, dfg, .. } = &mut self.caller.stencil;
        let Some(block) = layout.inst_block(call) else {
            return (Block::reserved_value(), None);
        };
        let jump = self.context.tails.get(&block).copied();
        if layout.last_inst(block) == Some(call) {
            let block = match jump {
                Some(_) => self.close_tail(block),
                None => block,
            };
            self.caller.layout.remove_inst(call);
            return (block, None);
        }
        let head = jump.and_then(|jump| layout.inst_block(jump));
        if let (Some(jump), Some(head)) = (jump, head) {
            layout.remove_inst(jump);
            while let Some(inst) = layout.first_inst(block) {
                layout.remove_inst(inst);
                if inst == call {
                    break;
                }
                layout.append_inst(inst, head);
            }
            return (head, Some(block));
        }
        let tail = dfg.make_block();
        if let Some(next) = layout.next_inst(call) {
            layout.split_block(tail, next);
        }
        if layout.is_cold(block) {
            layout.set_cold(tail);
        }
        layout.remove_inst(call);
        self.rename_in_handler_addresses(block, tail);
        (block, Some(tail))
    }

    /// Ends `block` in the jump to `tail`, the one that led there before if
    /// there is one.
    fn join_tail(&mut self, block: Block, tail: Block) {
        let caller = &mut *self.caller;
        let context = &mut *self.context;
        let jump = *context.tails.entry(tail).or_insert_with(|| {
            context.tail_order.push(tail);
            let destination = caller.dfg.block_call(tail, &[]);
            caller.dfg.make_inst(InstructionData::Jump {
                opcode: Opcode::Jump,
                destination,
            })
        });
        caller.layout.append_inst(jump, block);
    }

    /// Nothing returns to `tail`. Until it is removed, it still uses the
    /// results of `call`, so these become its parameters.
    fn abandon_tail(&mut self, call: Inst, tail: Block) {
        self.context.tails.remove(&tail);
        self.context.dead_tails.insert(tail);
        let results: SmallVec<[Value; 4]> = self.caller.dfg.inst_results(call).into();
        self.caller.dfg.detach_inst_results(call);
        for result in results {
            self.caller.dfg.attach_block_param(tail, result);
        }
    }

    /// Moves the rest of `tail` to the block that jumps to it, and returns
    /// that block.
    fn close_tail(&mut self, tail: Block) -> Block {
        let layout = &mut self.caller.layout;
        let jump = self.context.tails.remove(&tail);
        let Some((jump, head)) = jump.and_then(|jump| Some((jump, layout.inst_block(jump)?)))
        else {
            return tail;
        };
        layout.remove_inst(jump);
        while let Some(inst) = layout.first_inst(tail) {
            layout.remove_inst(inst);
            layout.append_inst(inst, head);
        }
        layout.remove_block(tail);
        self.rename_in_handler_addresses(tail, head);
        head
    }

    /// The terminator of `from` has moved to `to`.
    fn rename_in_handler_addresses(&mut self, from: Block, to: Block) {
        for &inst in &self.context.handler_addresses {
            if let InstructionData::ExceptionHandlerAddress { block, .. } =
                &mut self.caller.dfg.insts[inst]
                && *block == from
            {
                *block = to;
            }
        }
    }
}

/// A handler's address means something only as long as the `try_call` is there.
fn check_handler_addresses(
    caller: &ir::Function,
    handler_addresses: &[Inst],
    site: &LegalSite,
) -> Result<(), Refusal> {
    let names_block = |&inst: &Inst| match caller.dfg.insts[inst] {
        InstructionData::ExceptionHandlerAddress { block, .. } => block == site.block,
        _ => false,
    };
    let goes_away = matches!(site.kind, SiteKind::TryCall(_));
    if goes_away && handler_addresses.iter().any(names_block) {
        return Err(Refusal::HandlerAddress(site.block));
    }
    Ok(())
}

/// Tells of calls of one unchanged caller whether they can be spliced.
///
/// This is for whoever decides about many calls before the first is spliced.
/// What fills up as splices go on is not looked at: memory flags and entity
/// numbers.
pub struct Checker<'c> {
    caller: &'c ir::Function,
    options: &'c SpliceOptions,
    handler_addresses: Vec<Inst>,
}

impl<'c> Checker<'c> {
    /// Costs one walk over the caller.
    pub fn new(caller: &'c ir::Function, options: &'c SpliceOptions) -> Self {
        Checker {
            caller,
            options,
            handler_addresses: handler_addresses(caller).collect(),
        }
    }

    /// Whether `call` can be replaced by `callee`.
    ///
    /// # Errors
    ///
    /// The reason for which [`Session::splice`] would refuse.
    pub fn check(&self, call: Inst, callee: &Callee<'_>) -> Result<(), Refusal> {
        let site = check_site(self.caller, call, callee, self.options)?;
        check_handler_addresses(self.caller, &self.handler_addresses, &site)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        for tail in std::mem::take(&mut self.context.tail_order) {
            self.close_tail(tail);
        }
        if self.leaves_unreachable {
            drop_unreachable_blocks(self.caller, &mut self.context.handler_addresses);
        }
    }
}
