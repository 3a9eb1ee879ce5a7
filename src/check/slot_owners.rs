//! The mapping from slots of the source to slots of the result, and the rules for shared ones.
//!
//! The content of a body's slots is lost when it ends. So several copies may share one slot of the
//! result if no two of them are nested: then one ends before the other begins. The slot must have
//! the kind, size, alignment and key of each of them. All must access it through the same alias
//! region, because Cranelift assumes that no address is accessed through two. If the address of a
//! slot escapes from a body, only copies of the same body can share it, unless there are no alias
//! regions in any of the functions, or none in any copy, because regions hold only in their own
//! functions.

use super::tree::{CopyId, CopyTree};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{self, Function, InstructionData, StackSlot, Value, ValueDef};
use rustc_hash::{FxHashMap, FxHashSet};
use std::ptr;

/// The result's slot for each slot of the source, and the owners of each slot of the result.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) of: FxHashMap<(CopyId, StackSlot), StackSlot>,
    pub(super) owners: FxHashMap<StackSlot, Owners>,
    /// Keyed by the function's address.
    uses: FxHashMap<*const Function, SlotUses>,
    /// Whether no function has alias regions; computed on first use.
    without_regions: Option<bool>,
    pub(super) dynamic_of: FxHashMap<(CopyId, ir::DynamicStackSlot), ir::DynamicStackSlot>,
    pub(super) dynamic_owners: FxHashMap<ir::DynamicStackSlot, (CopyId, ir::DynamicStackSlot)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotOwner {
    Slot(StackSlot),
    /// The structure that a copy takes as the parameter of this number.
    Structure(usize),
}

/// The copies that have a slot of the result.
#[derive(Default)]
pub(super) struct Owners {
    copies: FxHashMap<CopyId, SlotOwner>,
    /// Copies with some owner inside them.
    around: FxHashSet<CopyId>,
    /// One of the owners whose code names the slot; the others are equivalent.
    named_by: Option<(CopyId, SlotOwner)>,
}

/// The uses of a slot by its own function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SlotUse {
    /// By loads and stores through this alias region, or through none.
    Accessed(Option<u32>),
    /// Its address escapes, or it is accessed through several regions.
    GivenAway,
}

type SlotUses = FxHashMap<StackSlot, SlotUse>;

impl Owners {
    /// Returns whether `copy` is neither an owner nor nested with one.
    pub(super) fn never_meet(&self, tree: &CopyTree<'_>, copy: CopyId) -> bool {
        let mut around = tree.site(copy).map(|site| site.parent);
        while let Some(copy) = around {
            if self.copies.contains_key(&copy) {
                return false;
            }
            around = tree.site(copy).map(|site| site.parent);
        }
        !self.copies.contains_key(&copy) && !self.around.contains(&copy)
    }

    pub(super) fn admit(&mut self, tree: &CopyTree<'_>, copy: CopyId, owner: SlotOwner) {
        self.copies.insert(copy, owner);
        let mut around = tree.site(copy).map(|site| site.parent);
        while let Some(copy) = around {
            if !self.around.insert(copy) {
                break;
            }
            around = tree.site(copy).map(|site| site.parent);
        }
    }
}

impl Slots {
    /// Clears the mapping of slots, but keeps the facts about functions.
    pub(super) fn forget_owners(&mut self) {
        self.of.clear();
        self.owners.clear();
        self.dynamic_of.clear();
        self.dynamic_owners.clear();
    }

    /// Claims a slot for a structure passed by value; false if it cannot have it.
    pub(super) fn claim_for_struct(
        &mut self,
        tree: &CopyTree<'_>,
        slot: StackSlot,
        copy: CopyId,
        index: usize,
    ) -> bool {
        self.claim(tree, slot, copy, SlotOwner::Structure(index))
    }

    /// Returns whether a slot of the result belongs to copies.
    pub(super) fn is_of_copies(&self, slot: StackSlot) -> bool {
        let owners = self.owners.get(&slot);
        owners.is_some_and(|owners| !owners.copies.contains_key(&CopyTree::ROOT))
    }

    /// Returns whether a structure passed by value is copied to a slot of the result.
    pub(super) fn holds_structure(&self, slot: StackSlot) -> bool {
        let owners = self.owners.get(&slot).into_iter();
        let mut owners = owners.flat_map(|owners| owners.copies.values());
        owners.any(|owner| matches!(owner, SlotOwner::Structure(_)))
    }

    /// Claims a slot that code of `copy` names.
    pub(super) fn claim(
        &mut self,
        tree: &CopyTree<'_>,
        slot: StackSlot,
        copy: CopyId,
        owner: SlotOwner,
    ) -> bool {
        let Slots {
            owners,
            uses,
            without_regions,
            ..
        } = self;
        let owners = owners.entry(slot).or_default();
        if let Some(&before) = owners.copies.get(&copy) {
            return before == owner;
        }
        let alike = match owners.named_by {
            Some(other) => {
                tree.shares_slots
                    && owners.never_meet(tree, copy)
                    && (used_alike(uses, tree, other, (copy, owner))
                        || are_slots(other.1, owner)
                            && *without_regions.get_or_insert_with(|| tree_has_no_regions(tree)))
            }
            None => true,
        };
        if alike {
            owners.named_by.get_or_insert((copy, owner));
            owners.admit(tree, copy, owner);
        }
        alike
    }
}

fn are_slots(one: SlotOwner, other: SlotOwner) -> bool {
    matches!((one, other), (SlotOwner::Slot(_), SlotOwner::Slot(_)))
}

/// Returns whether all copies access memory only without regions.
fn tree_has_no_regions(tree: &CopyTree<'_>) -> bool {
    let mut copies = tree.copies.values();
    !tree.holds_for_program || copies.all(|copy| copy.func.dfg.alias_regions.len() == 0)
}

fn used_alike(
    uses: &mut FxHashMap<*const Function, SlotUses>,
    tree: &CopyTree<'_>,
    (copy, owner): (CopyId, SlotOwner),
    (other_copy, other_owner): (CopyId, SlotOwner),
) -> bool {
    let (func, other_func) = (tree.func(copy), tree.func(other_copy));
    if ptr::eq(func, other_func) && owner == other_owner {
        return true;
    }
    let (SlotOwner::Slot(slot), SlotOwner::Slot(other_slot)) = (owner, other_owner) else {
        return false;
    };
    let mut used = |func: &Function, slot: StackSlot| {
        let uses = uses.entry(ptr::from_ref(func));
        let uses = uses.or_insert_with(|| slot_uses(func));
        // A slot without accesses can be in any memory.
        uses.get(&slot).copied().unwrap_or(SlotUse::Accessed(None))
    };
    let used = [used(func, slot), used(other_func, other_slot)];
    used[0] == used[1] && used[0] != SlotUse::GivenAway
}

/// Returns the uses of a function's slots by its reachable code.
fn slot_uses(func: &Function) -> SlotUses {
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    let slot_at = |value: Value| {
        let value = func.dfg.resolve_aliases(value);
        let ValueDef::Result(inst, _) = func.dfg.value_def(value) else {
            return None;
        };
        match func.dfg.insts[inst] {
            InstructionData::StackAddr { stack_slot, .. } => Some(stack_slot),
            _ => None,
        }
    };
    let mut uses = SlotUses::default();
    let mut note = |value: Value, used: SlotUse| {
        if let Some(slot) = slot_at(value) {
            let known = uses.entry(slot).or_insert(used);
            if *known != used {
                *known = SlotUse::GivenAway;
            }
        }
    };
    let through = |flags: ir::MemFlags| {
        let region = func.dfg.mem_flags[flags].alias_region();
        SlotUse::Accessed(region.map(|region| func.dfg.alias_regions[region].user_id))
    };
    let blocks = func.layout.blocks();
    for block in blocks.filter(|&block| domtree.is_reachable(block)) {
        for inst in func.layout.block_insts(block) {
            match func.dfg.insts[inst] {
                InstructionData::Load { arg, flags, .. } => note(arg, through(flags)),
                InstructionData::Store { args, flags, .. } => {
                    note(args[0], SlotUse::GivenAway);
                    note(args[1], through(flags));
                }
                _ => {
                    let values = func.dfg.inst_values(inst);
                    values.for_each(|value| note(value, SlotUse::GivenAway));
                }
            }
        }
    }
    uses
}
