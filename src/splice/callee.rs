//! A callee prepared for splicing: read once, copied many times.
//!
//! All facts that do not depend on the caller are computed here: the reachable blocks in an order
//! in which definitions come before uses, the value behind each alias, each instruction's
//! controlling type, the used entities, and restrictions on the call sites that the body can go to.
//! The same walk checks every reference that the copy will follow, so that copying cannot fail
//! half-way for any input.

use super::Refusal;
use super::facts::{CalleeFacts, Outline};
use super::memory_promises::MemoryUse;
use super::slot_access::SlotAccess;
use super::survey::Survey;
use crate::panics;
use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::{self, Block, Inst, InstructionData, Type, Value, ValueLabelStart};
use smallvec::SmallVec;
use std::borrow::Cow;

/// A function body ready to be spliced into any number of callers.
///
/// Preparing costs one walk over the body; each splice then only copies. The tables can be kept
/// beside the body with [`Callee::into_tables`] and put together again with
/// [`Callee::from_tables`].
///
/// ```
/// use cranelift_inliner::splice::Callee;
///
/// let text = "
/// function %f(i32) -> i32 system_v {
/// block0(v0: i32):
///     jump block2
/// block1:
///     trap user1
/// block2:
///     return v0
/// }";
/// let func = cranelift_reader::parse_functions(text)?.remove(0);
/// let callee = Callee::new(&func)?;
/// // `block1` is unreachable and will not be copied.
/// assert_eq!((callee.reachable_blocks(), callee.reachable_insts()), (2, 2));
///
/// let tables = callee.into_tables();
/// let callee = Callee::from_tables(&func, &tables);
/// assert_eq!(callee.reachable_blocks(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Callee<'f> {
    pub(super) func: &'f ir::Function,
    pub(super) tables: Cow<'f, CalleeTables>,
}

/// The part of a prepared [`Callee`] that does not borrow the function.
#[derive(Clone)]
pub struct CalleeTables(
    /// In a box, because it is moved several times and large enough for that to cost time.
    pub(super) Box<Tables>,
);

/// The tables of a callee, computed once.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) facts: CalleeFacts,
    /// Reachable blocks in reverse postorder; the entry block is first, and the only one where all
    /// are one straight line.
    pub(super) blocks: SmallVec<[BlockPlan; 4]>,
    /// Indices into `blocks`, without the entry, in layout order.
    pub(super) layout_order: SmallVec<[u32; 8]>,
    /// The index in `blocks` of each of the callee's blocks, by its number; `u32::MAX` for those
    /// that are unreachable.
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

impl CalleeTables {
    /// Returns the facts that refusals depend on.
    pub(crate) fn facts(&self) -> &CalleeFacts {
        &self.0.facts
    }
}

impl<'f> Callee<'f> {
    /// Reads `func` and checks all properties that a splice relies on.
    ///
    /// The cost is linear in the size of `func`. It need not be verified or legalized.
    ///
    /// # Errors
    ///
    /// [`Refusal::MalformedCallee`] where the body breaks a rule of CLIF on which copying relies.
    pub fn new(func: &'f ir::Function) -> Result<Self, Refusal> {
        match panics::catch(|| Survey::new(func).run()) {
            Ok(Ok(tables)) => Ok(Callee {
                func,
                tables: Cow::Owned(CalleeTables(tables)),
            }),
            Ok(Err(error)) | Err(error) => Err(Refusal::MalformedCallee(error)),
        }
    }

    /// Joins `func` with tables that were made from it.
    ///
    /// `tables` must come from [`Callee::into_tables`] of the same unchanged function. Where `func`
    /// has other numbers of values, instructions, blocks or other entities, splicing it is refused
    /// as malformed.
    pub fn from_tables(func: &'f ir::Function, tables: &'f CalleeTables) -> Self {
        Callee {
            func,
            tables: Cow::Borrowed(tables),
        }
    }

    /// Returns the tables, so that they can be kept without the borrowed function.
    pub fn into_tables(self) -> CalleeTables {
        self.tables.into_owned()
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables.0
    }

    /// Returns the facts that refusals depend on.
    pub(crate) fn outline(&self) -> Outline<'_> {
        Outline::new(self.func, &self.tables().facts)
    }

    /// Returns the function that was prepared.
    pub fn function(&self) -> &'f ir::Function {
        self.func
    }

    /// Returns the number of instructions in reachable blocks. A splice copies no more of them.
    pub fn reachable_insts(&self) -> usize {
        self.tables().facts.insts
    }

    /// Returns the number of blocks that are reachable from the entry block, itself included.
    pub fn reachable_blocks(&self) -> usize {
        self.tables().facts.blocks
    }
}
