//! The tables of a prepared callee, which its survey fills and a copy reads, and the results of a
//! copy.

use super::facts::CalleeFacts;
use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    self, Block, Inst, InstructionData, MemFlags, Opcode, Type, Value, ValueLabelStart,
};
use smallvec::SmallVec;

/// The tables of a callee, computed once.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) facts: CalleeFacts,
    /// Reachable blocks in reverse postorder; the entry block is first, and the
    /// only one where all are one straight line.
    pub(super) blocks: SmallVec<[BlockPlan; 4]>,
    /// Indices into `blocks`, without the entry, in layout order.
    pub(super) layout_order: SmallVec<[u32; 8]>,
    /// The index in `blocks` of each of the callee's blocks, by its number;
    /// `u32::MAX` for those that are unreachable.
    pub(super) block_index: SmallVec<[u32; 8]>,
    /// Whether reverse postorder is layout order.
    pub(super) layout_is_ordered: bool,
    /// The place in `layout_order` of each of the callee's blocks, by its number.
    pub(super) block_place: Vec<u32>,
    /// Instructions of `blocks`, block after block.
    pub(super) insts: Vec<InstPlan>,
    /// The value behind each used value, after following aliases.
    pub(super) resolved: Vec<Value>,
    pub(super) used: UsedEntities,
    /// The accesses to each of the used slots.
    pub(super) slot_access: Vec<SlotAccess>,
    pub(super) memory: MemoryUse,
    /// Whether each global value, by index, leads to the `vmctx` parameter.
    pub(super) from_vmctx: SmallVec<[bool; 8]>,
    /// Labels of values, by the copied value.
    pub(super) labels: Vec<(Value, Vec<ValueLabelStart>)>,
    pub(super) has_inner_calls: bool,
}

#[derive(Clone)]
pub(super) struct BlockPlan {
    pub(super) block: Block,
    /// The range of this block in [`Tables::insts`].
    pub(super) insts: std::ops::Range<u32>,
    pub(super) cold: bool,
}

#[derive(Clone, Copy)]
pub(super) struct InstPlan {
    pub(super) inst: Inst,
    /// The instruction, with aliases followed in operands that are not in a list.
    pub(super) data: InstructionData,
    pub(super) ctrl_type: Type,
    pub(super) class: InstClass,
    pub(super) results: Results,
}

/// The results of an instruction.
#[derive(Clone, Copy)]
pub(super) enum Results {
    None,
    One(Value),
    Several,
}

/// The work of the copy for an instruction, beyond mapping its operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InstClass {
    Plain,
    /// Has tags but is not a call.
    SequencePoint,
    /// Has tags and a stack map like a call, but no signature.
    StackSwitch,
    /// `call` or `call_indirect`.
    Call,
    /// `try_call` or `try_call_indirect`.
    TryCall,
    Return,
    /// `return_call` or `return_call_indirect`.
    ReturnCall,
    /// Names a global value that leads to the `vmctx` parameter.
    VmctxGlobal,
    HandlerAddress,
}

/// Each kind of entity that reachable code uses, in the order of first use.
#[derive(Clone, Default)]
pub(super) struct UsedEntities {
    pub(super) signatures: Used<ir::SigRef>,
    pub(super) functions: Used<ir::FuncRef>,
    pub(super) globals: Used<ir::GlobalValue>,
    pub(super) constants: Used<ir::Constant>,
    pub(super) immediates: Used<ir::Immediate>,
    pub(super) mem_flags: Used<ir::MemFlags>,
    pub(super) slots: Used<ir::StackSlot>,
    pub(super) dynamic_slots: Used<ir::DynamicStackSlot>,
}

#[derive(Clone)]
pub(super) struct Used<K: EntityRef> {
    /// One bit for each of the first 64 entities, which are all entities of most bodies.
    seen_first: u64,
    seen: Option<Box<EntitySet<K>>>,
    pub(super) list: SmallVec<[K; 4]>,
}

impl<K: EntityRef> Default for Used<K> {
    fn default() -> Self {
        Used {
            seen_first: 0,
            seen: None,
            list: SmallVec::new(),
        }
    }
}

impl<K: EntityRef> Used<K> {
    #[inline]
    pub(super) fn contains(&self, entity: K) -> bool {
        match entity.index() {
            index @ 0..64 => self.seen_first >> index & 1 == 1,
            _ => self.seen.as_ref().is_some_and(|seen| seen.contains(entity)),
        }
    }

    /// Returns whether `entity` is used for the first time.
    pub(super) fn add(&mut self, entity: K) -> bool {
        if self.contains(entity) {
            return false;
        }
        match entity.index() {
            index @ 0..64 => self.seen_first |= 1 << index,
            _ => {
                self.seen.get_or_insert_default().insert(entity);
            }
        }
        self.list.push(entity);
        true
    }
}

/// The accesses to a slot, as far as the body shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotAccess {
    /// Only loads and stores of the body itself, if any, all through the alias region with this
    /// number of the user's or, for `None`, without a region.
    Direct(Option<u32>),
    /// Its address escapes.
    Anyone,
}

/// The memory accesses of a body.
#[derive(Clone, Default)]
pub(super) struct MemoryUse {
    /// Loads with promises, in an order in which definitions come before uses.
    pub(super) promised: Vec<PromisedLoad>,
    /// Accesses of memory that may be outside of the body's own frame. Code of the caller never
    /// runs between those of a copy to its own frame.
    pub(super) outside: usize,
    /// The promises that a copy loses if the caller makes none.
    pub(super) promising: DroppedPromises,
}

/// A load, or another access of its format, that is `readonly` or `can_move`.
#[derive(Clone, Copy)]
pub(super) struct PromisedLoad {
    pub(super) result: Value,
    pub(super) opcode: Opcode,
    pub(super) flags: MemFlags,
    pub(super) base: Base,
    pub(super) offset: Offset32,
}

/// The base of the address of a [`PromisedLoad`].
#[derive(Clone, Copy)]
pub(super) enum Base {
    Value(Value),
    /// The result of the promised load with this number.
    Load(usize),
}

/// The numbers of loads and stores of a caller and its copies that have lost their promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedPromises {
    /// Those that were `readonly` or `can_move`.
    pub flags: usize,
    /// Those that had an alias region.
    pub regions: usize,
}

impl std::ops::AddAssign for DroppedPromises {
    fn add_assign(&mut self, other: Self) {
        self.flags += other.flags;
        self.regions += other.regions;
    }
}

/// A direct call that came into the caller with a callee's body; see
/// [`Session::splice`](super::Session::splice).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedCall {
    /// The direct call in the callee.
    pub callee_inst: Inst,
    /// Its copy in the caller. A `return_call` may have become a `call`, and
    /// a `call` a `try_call`.
    pub inst: Inst,
}
