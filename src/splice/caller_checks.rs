//! Lazy validation of the caller.
//!
//! A splice moves the instructions after its call, and adds to the caller's tables. So it is enough
//! that the instructions of this block exist. That is checked once per block, before the first of
//! its calls is replaced. The rest of the caller is not read and may be invalid: most callers are
//! much larger than the blocks with calls that are worth inlining.
//!
//! The unread part may have entities in the layout that do not exist, and Cranelift would give
//! their numbers to new ones. So the numbers that a copy will use are looked up in the layout.
//!
//! The whole caller is checked instead, once, where
//!
//! - it has exception tables, so that it may have handler addresses;
//! - a copy adds stack slots: a tag or a stack map may name a slot that does not exist, and the new
//!   one would take its place;
//! - a copy needs so many numbers that looking them up would cost as much.

use super::Refusal;
use super::capacity::Growth;
use super::facts::CalleeView;
use crate::body::{HandlerAddresses, check_params, check_structure};
use crate::panics;
use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::{Block, Function, Inst, Opcode};
use std::cell::{Cell, OnceCell, RefCell};

/// The number of look-ups that cost as much as checking one instruction.
const NUMBERS_FOR_ONE: usize = 4;

/// Entities have lower numbers.
const MOST_NUMBERS: usize = u32::MAX as usize;

/// The facts about the caller of a session.
#[derive(Default)]
pub(super) struct CallerChecks {
    /// Whether the whole caller is sound, if that was checked.
    whole: OnceCell<Result<(), String>>,
    /// The caller's own blocks have lower numbers; others were checked as the callee's.
    own_blocks: usize,
    /// Own blocks that were found sound.
    sound: RefCell<EntitySet<Block>>,
    /// Calls in sound blocks: each may come to end a segment of its own.
    calls: Cell<usize>,
    /// Up to these numbers, the layout has no entities that do not exist.
    free_insts: Cell<usize>,
    free_blocks: Cell<usize>,
}

/// The results of one walk over a caller.
pub(crate) struct CheckedCaller {
    pub(super) handler_addresses: HandlerAddresses,
    /// The reason why no callee can be spliced into it.
    pub(super) error: Option<String>,
}

impl CheckedCaller {
    pub(super) fn new(caller: &Function) -> Self {
        let mut handler_addresses = HandlerAddresses::default();
        let checked = check_structure(caller, |inst| handler_addresses.add(caller, inst));
        CheckedCaller {
            handler_addresses,
            error: checked.err(),
        }
    }
}

impl CallerChecks {
    /// Starts with `caller`, without any facts about it.
    pub(super) fn start(&mut self, caller: &Function) {
        self.whole.take();
        self.own_blocks = caller.dfg.num_blocks();
        self.sound.get_mut().clear();
        self.calls.set(0);
        self.free_insts.set(caller.dfg.num_insts());
        self.free_blocks.set(caller.dfg.num_blocks());
    }

    /// Starts with a caller that was checked.
    pub(super) fn start_checked(&mut self, error: Option<String>) {
        self.whole = OnceCell::from(error.map_or(Ok(()), Err));
    }

    /// Checks the parts of the caller that putting `callee` in the place of `call` relies on, apart
    /// from the call itself.
    pub(super) fn check(
        &self,
        caller: &Function,
        call: Inst,
        callee: CalleeView<'_>,
    ) -> Result<(), Refusal> {
        let checked = match self.whole.get() {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => Err(error.clone()),
            None if needs_whole(caller, callee) => self
                .whole
                .get_or_init(|| check_structure(caller, |_| {}))
                .clone(),
            None => self.check_block_of(caller, call),
        };
        checked.map_err(Refusal::MalformedCaller)
    }

    fn check_block_of(&self, caller: &Function, call: Inst) -> Result<(), String> {
        let Some(block) = caller.layout.inst_block(call) else {
            return Ok(());
        };
        let is_own = block.index() < self.own_blocks;
        if caller.dfg.block_is_valid(block) && (!is_own || self.sound.borrow().contains(block)) {
            return Ok(());
        }
        let calls = panics::catch(|| {
            // A call can pass on the `vmctx` parameter, which is one of the entry block.
            let entry = caller.layout.entry_block();
            entry.map_or(Ok(()), |entry| check_params(caller, entry))?;
            check_params(caller, block)?;
            count_calls(caller, block)
        })
        .unwrap_or_else(Err)?;
        self.calls.set(self.calls.get() + calls);
        self.sound.borrow_mut().insert(block);
        Ok(())
    }

    /// Checks that the layout has no entities with the numbers that a copy with this `growth`
    /// needs, and with those for splitting the call's block if it `cuts`.
    ///
    /// `caller` must have room for them.
    pub(super) fn check_numbers(
        &self,
        caller: &Function,
        growth: &Growth,
        cuts: bool,
    ) -> Result<(), Refusal> {
        if self.whole.get().is_some() {
            return Ok(());
        }
        // The instructions after each call may become a block of their own, with a jump to it.
        let calls = if cuts { self.calls.get() } else { 0 };
        let insts = growth.insts + calls;
        let blocks = growth.blocks + calls;
        let layout = &caller.layout;
        let missing = |what: &str| {
            let error = format!("{what} is in the layout and does not exist");
            Err(Refusal::MalformedCaller(error))
        };
        let end = (caller.dfg.num_insts() + insts).min(MOST_NUMBERS);
        let mut new = (self.free_insts.get()..end).map(Inst::new);
        if let Some(inst) = new.find(|&inst| layout.inst_block(inst).is_some()) {
            return missing(&inst.to_string());
        }
        self.free_insts.set(self.free_insts.get().max(end));
        let end = (caller.dfg.num_blocks() + blocks).min(MOST_NUMBERS);
        let mut new = (self.free_blocks.get()..end).map(Block::new);
        if let Some(block) = new.find(|&block| layout.is_block_inserted(block)) {
            return missing(&block.to_string());
        }
        self.free_blocks.set(self.free_blocks.get().max(end));
        Ok(())
    }

    /// Notes that `calls` calls came in with a body.
    pub(super) fn came_in(&self, calls: usize) {
        self.calls.set(self.calls.get() + calls);
    }
}

fn needs_whole(caller: &Function, callee: CalleeView<'_>) -> bool {
    callee.facts.adds_slots || callee.facts.insts / NUMBERS_FOR_ONE > caller.dfg.num_insts()
}

/// Returns the calls of a sound block: its instructions exist, and a terminator is the last of
/// them.
///
/// Panics where the list of a call's results lies outside of the pool.
fn count_calls(caller: &Function, block: Block) -> Result<usize, String> {
    let (dfg, layout) = (&caller.dfg, &caller.layout);
    let insts = dfg.num_insts();
    let mut calls = 0;
    let mut last = Opcode::Nop;
    let mut current = layout.first_inst(block);
    while let Some(inst) = current {
        if inst.index() >= insts {
            return Err(format!("{inst} does not exist"));
        }
        current = layout.next_inst(inst);
        last = dfg.insts[inst].opcode();
        if last.is_call() {
            dfg.inst_results(inst);
            calls += 1;
        }
    }
    if last.is_terminator() {
        Ok(calls)
    } else {
        Err(format!("{block} does not end in a terminator"))
    }
}
