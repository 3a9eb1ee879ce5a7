//! The promises that memory flags may make in the result.
//!
//! `readonly`, `can_move` and alias regions are promised for one activation of one function, unless
//! the tree says that they hold for the whole program. So an access of a copy makes no promise,
//! unless the caller itself loads from the same address, with the same flags, before the copy is
//! executed. Stores of the caller have no region if some copy accesses memory that the caller may
//! write, because Cranelift assumes that accesses in different regions do not overlap, nor loads
//! without a region with stores in one. And the caller may not move a load whose address was
//! returned by a replaced call, or loaded after one.

use super::difference::Difference;
use super::silent::has_struct_args;
use super::tables::Walk;
use super::tree::{CopyId, CopyTree};
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    BlockArg, Function, GlobalValue, GlobalValueData, Inst, InstructionData, MemFlags,
    MemFlagsData, Opcode, StackSlot, Type, Value, ValueDef,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// An access of the result, and its counterpart in the source.
#[derive(Clone, Copy)]
struct Access {
    copy: CopyId,
    inst: Inst,
    result: Inst,
    flags: MemFlagsData,
}

/// The promise of a load: the base of its address, its form, and its flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Expression {
    base: Base,
    opcode: Opcode,
    offset: Offset32,
    ty: Type,
    flags: MemFlagsData,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Base {
    Value(Value),
    /// The result of the load with this number.
    Loaded(usize),
}

/// Promising loads of the result, numbered by their expressions: loads with one number load the
/// same value, as far as their promises hold.
#[derive(Default)]
struct Expressions {
    known: FxHashMap<Expression, usize>,
    numbers: FxHashMap<Inst, usize>,
}

fn is_promising(flags: MemFlagsData) -> bool {
    flags.readonly() || flags.can_move()
}

/// Compares trap, alignment and byte order, the facts of an access that do not depend on its place.
fn same_facts(a: MemFlagsData, b: MemFlagsData) -> bool {
    a.trap_code() == b.trap_code()
        && a.aligned() == b.aligned()
        && a.explicit_endianness() == b.explicit_endianness()
}

fn region_of(func: &Function, flags: MemFlagsData) -> Option<u32> {
    let region = flags.alias_region()?;
    Some(func.dfg.alias_regions[region].user_id)
}

impl Walk<'_> {
    /// Returns whether the flags of the result's access may stand for those of the source. Their
    /// remaining promises are checked in the end.
    pub(super) fn same_access(
        &self,
        copy: CopyId,
        inst: Inst,
        a: MemFlags,
        result: Inst,
        b: MemFlags,
    ) -> bool {
        let func = self.tree.func(copy);
        let (before, after) = (func.dfg.mem_flags[a], self.after.dfg.mem_flags[b]);
        let regions = (region_of(func, before), region_of(self.after, after));
        let no_more =
            (before.readonly() || !after.readonly()) && (before.can_move() || !after.can_move());
        if !same_facts(before, after) || !no_more {
            return false;
        }
        let has_copies = self.tree.copies.len() > 1;
        let same_promises =
            before.readonly() == after.readonly() && before.can_move() == after.can_move();
        // Where ways are gone, an address may be known earlier, and clean-up pins the load.
        let is_pinned = || {
            let is_load = matches!(func.dfg.insts[inst], InstructionData::Load { .. });
            let loses_move = before.can_move() && !after.can_move();
            is_load
                && loses_move
                && before.readonly() == after.readonly()
                && is_of_param(func, inst)
        };
        if self.tree.holds_for_program {
            let is_load = matches!(self.after.dfg.insts[result], InstructionData::Load { .. });
            let may_lose = copy != CopyTree::ROOT && is_load && self.copies_structures();
            let fewer = may_lose && !is_promising(after) || is_pinned();
            return regions.0 == regions.1 && (same_promises || fewer);
        }
        if copy == CopyTree::ROOT {
            let loses_region = regions.1.is_none()
                && has_copies
                && self.after.dfg.insts[result].opcode().can_store();
            let loses_move = has_copies && before.can_move() && !after.can_move();
            return (regions.0 == regions.1 || loses_region)
                && before.readonly() == after.readonly()
                && (before.can_move() == after.can_move() || loses_move || is_pinned());
        }
        // The caller decides the region of a kept promise.
        is_promising(after) || regions.1.is_none()
    }

    /// Returns whether a global value of a copy may be loaded with the flags `b` of `loaded`, a
    /// global value of the result. Promises are kept only where the result's prologue makes them.
    pub(super) fn same_global_flags(
        &self,
        copy: CopyId,
        a: MemFlags,
        (loaded, b): (&GlobalValueData, MemFlags),
    ) -> bool {
        let func = self.tree.func(copy);
        let (before, after) = (func.dfg.mem_flags[a], self.after.dfg.mem_flags[b]);
        let regions = (region_of(func, before), region_of(self.after, after));
        let same_promises =
            before.readonly() == after.readonly() && before.can_move() == after.can_move();
        if copy == CopyTree::ROOT || self.tree.holds_for_program {
            return same_facts(before, after) && same_promises && regions.0 == regions.1;
        }
        let plain = !is_promising(after) && regions.1.is_none();
        let kept = same_promises && is_promising(before) && self.prologue_loads(loaded);
        same_facts(before, after) && (plain || kept)
    }

    /// Returns whether the stack limit of the result is computed with this load.
    fn prologue_loads(&self, loaded: &GlobalValueData) -> bool {
        let mut next = self.after.stack_limit;
        for _ in 0..=self.after.global_values.len() {
            next = match next.and_then(|global| self.after.global_values.get(global)) {
                Some(own) if own == loaded => return true,
                Some(
                    GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. },
                ) => Some(*base),
                _ => return false,
            };
        }
        false
    }

    fn copies_structures(&self) -> bool {
        let mut copies = self.tree.copies.iter();
        copies.any(|(id, copy)| id != CopyTree::ROOT && has_struct_args(copy.func))
    }

    /// Returns a reachable store of the result that has a region, if there is one.
    pub(super) fn store_with_region(&self) -> Option<Inst> {
        *self.store_with_region.get_or_init(|| {
            let blocks = self.after.layout.blocks();
            let blocks = blocks.filter(|&block| self.domtree.is_reachable(block));
            let mut insts = blocks.flat_map(|block| self.after.layout.block_insts(block));
            insts.find(|&inst| {
                let data = &self.after.dfg.insts[inst];
                data.opcode().can_store() && data.alias_region(&self.after.dfg).is_some()
            })
        })
    }

    /// Returns the accesses of the result, as they stand.
    fn accesses(&self) -> Vec<Access> {
        let blocks = self.after.layout.blocks();
        let blocks = blocks.filter(|&block| self.domtree.is_reachable(block));
        let insts = blocks.flat_map(|block| self.after.layout.block_insts(block));
        let accesses = insts.filter_map(|result| {
            let flags = self.after.dfg.insts[result].memflags_data(&self.after.dfg)?;
            let &(copy, inst) = self.owners.get(&result)?;
            Some(Access {
                copy,
                inst,
                result,
                flags,
            })
        });
        accesses.collect()
    }

    /// Checks the promises of the result's accesses, after all are matched.
    pub(super) fn check_promises(&self) -> Result<(), Difference> {
        if self.tree.copies.len() <= 1 {
            return Ok(());
        }
        let accesses = self.accesses();
        if self.tree.holds_for_program {
            return self.check_structures(&accesses);
        }
        // The copies of structures were calls.
        let of_root = |access: &Access| {
            let data = &self.tree.func(access.copy).dfg.insts[access.inst];
            access.copy == CopyTree::ROOT && data.memflags().is_some()
        };
        let (own, copied): (Vec<Access>, Vec<Access>) = accesses.into_iter().partition(of_root);
        self.check_own_promises(&own)?;
        let mut expressions = Expressions::default();
        let mut known: FxHashMap<usize, Vec<Inst>> = FxHashMap::default();
        for access in own {
            if let Some(number) = expressions.number(self.after, access.result) {
                known.entry(number).or_default().push(access.result);
            }
        }
        let mut outside = self.copies_load_globals();
        for access in copied {
            if is_promising(access.flags) {
                let number = expressions.number(self.after, access.result);
                let known = number.and_then(|number| known.get(&number));
                let is_before = |&known: &Inst| {
                    let layout = &self.after.layout;
                    self.domtree.dominates(known, access.result, layout)
                };
                if !known.is_some_and(|known| known.iter().any(is_before)) {
                    let message = "it has a promise that the caller does not make before it";
                    return Err(self.wrong(&access, message));
                }
            }
            let data = &self.after.dfg.insts[access.result];
            outside |= !access.flags.readonly() && !self.is_in_own_slot(data);
        }
        match self.store_with_region().filter(|_| outside) {
            Some(store) => Err(Difference::in_result(
                store,
                "it has an alias region, though a copy may access the same memory",
            )),
            None => Ok(()),
        }
    }

    /// Returns whether a copy names a global value that is loaded from memory which the caller may
    /// write.
    fn copies_load_globals(&self) -> bool {
        let blocks = self.after.layout.blocks();
        let blocks = blocks.filter(|&block| self.domtree.is_reachable(block));
        let mut insts = blocks.flat_map(|block| self.after.layout.block_insts(block));
        insts.any(|result| {
            let of_copy = self.owners.get(&result);
            let of_copy = of_copy.is_some_and(|&(copy, _)| copy != CopyTree::ROOT);
            match self.after.dfg.insts[result] {
                InstructionData::UnaryGlobalValue { global_value, .. } if of_copy => {
                    self.loads_written(global_value)
                }
                _ => false,
            }
        })
    }

    fn loads_written(&self, global: GlobalValue) -> bool {
        let mut next = Some(global);
        // A longer chain is a cycle.
        for _ in 0..=self.after.global_values.len() {
            next = match next.and_then(|global| self.after.global_values.get(global)) {
                Some(GlobalValueData::Load { base, flags, .. }) => {
                    if !self.after.dfg.mem_flags[*flags].readonly() {
                        return true;
                    }
                    Some(*base)
                }
                Some(GlobalValueData::IAddImm { base, .. }) => Some(*base),
                _ => return false,
            };
        }
        false
    }

    fn wrong(&self, access: &Access, message: &str) -> Difference {
        self.at(access.copy, access.inst, message)
            .with_result(access.result)
    }

    /// Checks that accesses of the caller that may move have addresses that were known as early as
    /// they are now.
    fn check_own_promises(&self, own: &[Access]) -> Result<(), Difference> {
        let func = self.tree.func(CopyTree::ROOT);
        let mut late: Option<FxHashSet<Value>> = None;
        for access in own {
            if !access.flags.can_move() {
                continue;
            }
            let Some(address) = address_of(&func.dfg.insts[access.inst]) else {
                continue;
            };
            let address = func.dfg.resolve_aliases(address);
            let late = late.get_or_insert_with(|| self.late_values());
            if late.contains(&address) {
                let message = "it may still move, though its address is known earlier now";
                return Err(self.wrong(access, message));
            }
        }
        Ok(())
    }

    /// Returns the caller's values that come from a replaced call, or from a load that may have
    /// been after a call and stays where it is.
    fn late_values(&self) -> FxHashSet<Value> {
        let func = self.tree.func(CopyTree::ROOT);
        let dfg = &func.dfg;
        let mut pending: Vec<Value> = Vec::new();
        let mut uses: FxHashMap<Value, Vec<Value>> = FxHashMap::default();
        let mut add = |from: Value, to: Value| {
            let from = dfg.resolve_aliases(from);
            uses.entry(from).or_default().push(to);
        };
        let mut called = false;
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                let data = &dfg.insts[inst];
                let opcode = data.opcode();
                let is_replaced = self.tree.child(CopyTree::ROOT, inst).is_some();
                called |= opcode.is_call();
                for call in data.branch_destination(&dfg.jump_tables, &dfg.exception_tables) {
                    let params = dfg.block_params(call.block(&dfg.value_lists));
                    for (arg, &param) in call.args(&dfg.value_lists).zip(params) {
                        match arg {
                            BlockArg::Value(value) => add(value, param),
                            BlockArg::TryCallRet(_) if is_replaced => pending.push(param),
                            _ => {}
                        }
                    }
                }
                let results = dfg.inst_results(inst);
                let stays = !data
                    .memflags_data(dfg)
                    .is_some_and(|flags| flags.can_move());
                if is_replaced || opcode.can_load() && stays && called {
                    pending.extend(results);
                } else if !(opcode.is_call() || opcode.can_load() && stays) {
                    for value in dfg.inst_values(inst) {
                        results.iter().for_each(|&result| add(value, result));
                    }
                }
            }
            // Only in the entry block are the instructions before a call known.
            called = true;
        }
        let mut late = FxHashSet::default();
        while let Some(value) = pending.pop() {
            if late.insert(value) {
                pending.extend(uses.get(&value).into_iter().flatten());
            }
        }
        late
    }

    /// Returns whether an access is directly to a stack slot of a copy.
    fn is_in_own_slot(&self, data: &InstructionData) -> bool {
        let slot = address_of(data).and_then(|address| slot_at(self.after, address));
        slot.is_some_and(|slot| self.slots.is_of_copies(slot))
    }

    /// Checks that memory of structures, which is written in the caller's activation, is not read
    /// as `readonly`.
    fn check_structures(&self, accesses: &[Access]) -> Result<(), Difference> {
        for access in accesses {
            if !is_promising(access.flags) || access.copy == CopyTree::ROOT {
                continue;
            }
            let address = address_of(&self.after.dfg.insts[access.result]);
            let mut pending: Vec<Value> = address.into_iter().collect();
            let mut seen: FxHashSet<Value> = FxHashSet::default();
            while let Some(value) = pending.pop() {
                let value = self.after.dfg.resolve_aliases(value);
                if !seen.insert(value) {
                    continue;
                }
                if let Some(slot) = slot_at(self.after, value)
                    && self.slots.holds_structure(slot)
                {
                    let message = "it promises that a structure is not written, which is copied";
                    return Err(self.wrong(access, message));
                }
                if let ValueDef::Result(inst, _) = self.after.dfg.value_def(value)
                    && let InstructionData::Binary { args, .. } = self.after.dfg.insts[inst]
                {
                    pending.extend(args);
                }
            }
        }
        Ok(())
    }
}

/// Returns whether the address of an access comes from a parameter of a block in which ways meet.
fn is_of_param(func: &Function, inst: Inst) -> bool {
    let dfg = &func.dfg;
    let mut pending: Vec<Value> = address_of(&dfg.insts[inst]).into_iter().collect();
    let mut seen: FxHashSet<Value> = FxHashSet::default();
    while let Some(value) = pending.pop() {
        let value = dfg.resolve_aliases(value);
        if !seen.insert(value) {
            continue;
        }
        match dfg.value_def(value) {
            ValueDef::Param(block, _) if func.layout.entry_block() != Some(block) => return true,
            ValueDef::Result(inst, _) if !dfg.insts[inst].opcode().is_call() => {
                pending.extend(dfg.inst_values(inst));
            }
            _ => {}
        }
    }
    false
}

/// Returns the address of an access.
fn address_of(data: &InstructionData) -> Option<Value> {
    match *data {
        InstructionData::Load { arg, .. } | InstructionData::LoadNoOffset { arg, .. } => Some(arg),
        InstructionData::Store { args, .. } | InstructionData::StoreNoOffset { args, .. } => {
            Some(args[1])
        }
        InstructionData::AtomicRmw { args, .. } => Some(args[0]),
        InstructionData::AtomicCas { args, .. } => Some(args[0]),
        _ => None,
    }
}

/// Returns the slot whose address is `value`.
fn slot_at(func: &Function, value: Value) -> Option<StackSlot> {
    let value = func.dfg.resolve_aliases(value);
    match func.dfg.insts[func.dfg.value_def(value).inst()?] {
        InstructionData::StackAddr { stack_slot, .. } => Some(stack_slot),
        _ => None,
    }
}

impl Expressions {
    /// Returns the number of the load `inst` of `func`, if it makes a promise.
    fn number(&mut self, func: &Function, inst: Inst) -> Option<usize> {
        // From the load at which the address starts.
        let mut chain = Vec::new();
        let mut next = Some(inst);
        while let Some(inst) = next
            && !self.numbers.contains_key(&inst)
            && let Some((base, _)) = promised_load(func, inst)
            && chain.len() <= func.dfg.num_insts()
        {
            chain.push(inst);
            next = func.dfg.value_def(base).inst();
        }
        for inst in chain.into_iter().rev() {
            let (base, mut expression) = promised_load(func, inst)?;
            let loaded = func.dfg.value_def(base).inst().filter(|&inst| {
                let flags = func.dfg.insts[inst].memflags_data(&func.dfg);
                flags.is_some_and(|flags| flags.readonly())
            });
            if let Some(&number) = loaded.and_then(|inst| self.numbers.get(&inst)) {
                expression.base = Base::Loaded(number);
            }
            let next = self.known.len();
            let number = *self.known.entry(expression).or_insert(next);
            self.numbers.insert(inst, number);
        }
        self.numbers.get(&inst).copied()
    }
}

/// Returns the base of a promising load's address, and the load's expression relative to that base.
fn promised_load(func: &Function, inst: Inst) -> Option<(Value, Expression)> {
    let InstructionData::Load {
        opcode,
        arg,
        flags,
        offset,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let flags = func.dfg.mem_flags[flags];
    let &[result] = func.dfg.inst_results(inst) else {
        return None;
    };
    let base = func.dfg.resolve_aliases(arg);
    let expression = Expression {
        base: Base::Value(base),
        opcode,
        offset,
        ty: func.dfg.value_type(result),
        flags,
    };
    is_promising(flags).then_some((base, expression))
}
