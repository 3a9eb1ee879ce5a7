//! The walk over a callee that fills its tables.

mod common;
mod instructions;
mod known_types;
mod line;
mod references;

use self::known_types::KnownTypes;
use super::facts::CalleeFacts;
use super::tables::{BlockPlan, InstPlan, MemoryUse, Tables, UsedEntities};
use super::{memory_promises, slot_access};
use crate::body::{labels_of, slot_overrun};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::instructions::InstructionMapper;
use cranelift_codegen::ir::{
    self, ArgumentPurpose, Block, BlockCall, GlobalValueData, InstructionData, Value,
};
use smallvec::{SmallVec, smallvec};

type BlockList = SmallVec<[Block; 16]>;

/// The walk that fills the tables.
pub(super) struct Survey<'f> {
    func: &'f ir::Function,
    tables: Box<Tables>,
    known_types: Box<KnownTypes>,
    entry: Option<Block>,
    keeps_insts: bool,
    /// Whether the blocks are one straight line; see [`line`].
    is_line: bool,
    error: Option<String>,
}

impl<'f> Survey<'f> {
    pub(super) fn new(func: &'f ir::Function) -> Self {
        Survey {
            func,
            tables: Box::new(Tables {
                facts: CalleeFacts::new(func),
                blocks: SmallVec::new(),
                layout_order: SmallVec::new(),
                block_index: SmallVec::new(),
                layout_is_ordered: true,
                block_place: Vec::new(),
                insts: Vec::new(),
                resolved: vec![Value::reserved_value(); func.dfg.num_values()],
                used: UsedEntities::default(),
                slot_access: Vec::new(),
                memory: MemoryUse::default(),
                from_vmctx: SmallVec::new(),
                labels: Vec::new(),
                has_inner_calls: false,
            }),
            known_types: KnownTypes::of_thread(),
            entry: func.layout.entry_block(),
            keeps_insts: false,
            is_line: false,
            error: None,
        }
    }

    /// Makes the tables.
    pub(super) fn run(mut self) -> Result<Box<Tables>, String> {
        self.keeps_insts = true;
        self.tables.insts.reserve_exact(self.func.dfg.num_insts());
        let order = self.walk()?;
        if !self.is_line {
            self.order_layout(&order);
        }
        self.keep_keyed_slots();
        self.tables.slot_access = slot_access::of_used_slots(self.func, &self.tables);
        self.tables.memory = memory_promises::memory_use(self.func, &self.tables);
        self.collect_labels();
        self.known_types.give_back();
        Ok(self.tables)
    }

    /// Makes the same checks, and keeps only the facts that refusals depend on.
    #[cfg(feature = "shards")]
    pub(super) fn facts(mut self) -> Result<CalleeFacts, String> {
        self.walk()?;
        self.known_types.give_back();
        Ok(self.tables.facts)
    }

    /// Returns the reachable blocks in reverse postorder.
    fn walk(&mut self) -> Result<BlockList, String> {
        let entry = self.entry.ok_or("it has no entry block")?;
        self.root_globals()?;
        self.check_entry_params(entry)?;
        self.use_dynamic_types()?;
        let order = self.reverse_postorder(entry)?;
        self.is_line = line::is_line(self.func, &order);
        let blocks = if self.is_line { 1 } else { order.len() };
        self.tables.blocks.reserve_exact(blocks);
        for &block in &order {
            self.survey_block(block)?;
        }
        if self.is_line {
            self.join_line(entry)?;
        }
        self.tables.facts.is_straight =
            self.tables.blocks.len() == 1 && self.tables.facts.structures == 0;
        let insts = order.iter();
        let insts = insts.flat_map(|&block| self.func.layout.block_insts(block));
        let resolved = &self.tables.resolved;
        self.tables.facts.overrun_slot = slot_overrun(self.func, insts, |value| {
            resolved.get(value.index()).copied()
        });
        let mem_flags = std::mem::take(&mut self.tables.used.mem_flags.list);
        self.tables
            .facts
            .complete(self.func, mem_flags, &self.tables.from_vmctx);
        Ok(order)
    }

    /// Returns the value behind `value`, if that is defined already.
    pub(super) fn resolve(&mut self, value: Value) -> Option<Value> {
        let dfg = &self.func.dfg;
        let resolved = &mut self.tables.resolved;
        let mut current = value;
        let mut steps = 0;
        let target = loop {
            let known = *resolved.get(current.index())?;
            if !known.is_reserved_value() {
                break known;
            }
            // An alias of nothing pads the numbering of parsed text.
            current = dfg.value_alias_dest_for_serialization(current)?;
            steps += 1;
            if steps > resolved.len() {
                return None;
            }
        };
        // This keeps chains short for later aliases.
        let mut current = value;
        while let Some(known) = resolved.get_mut(current.index())
            && known.is_reserved_value()
            && let Some(next) = dfg.value_alias_dest_for_serialization(current)
        {
            *known = target;
            current = next;
        }
        Some(target)
    }

    fn root_globals(&mut self) -> Result<(), String> {
        let globals = &self.func.global_values;
        let has_vmctx = self
            .func
            .signature
            .uses_special_param(ArgumentPurpose::VMContext);
        self.tables.from_vmctx.reserve_exact(globals.len());
        for global in globals.keys() {
            let mut current = global;
            let mut steps = 0;
            let from_vmctx = loop {
                match globals.get(current) {
                    None => {
                        return Err(format!(
                            "{global} refers to {current}, which does not exist"
                        ));
                    }
                    Some(
                        GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. },
                    ) => {
                        current = *base;
                    }
                    Some(GlobalValueData::VMContext) => break true,
                    Some(
                        GlobalValueData::Symbol { .. }
                        | GlobalValueData::DynScaleTargetConst { .. },
                    ) => {
                        break false;
                    }
                }
                steps += 1;
                if steps > globals.len() {
                    return Err(format!("{global} depends on itself"));
                }
            };
            if from_vmctx && !has_vmctx {
                return Err(format!("{global} needs a `vmctx` parameter"));
            }
            self.tables.from_vmctx.push(from_vmctx);
        }
        Ok(())
    }

    fn check_entry_params(&self, entry: Block) -> Result<(), String> {
        let dfg = &self.func.dfg;
        let params = dfg.block_params(entry);
        let expected = &self.func.signature.params;
        let matches = params.len() == expected.len()
            && params
                .iter()
                .zip(expected)
                .all(|(&v, p)| dfg.value_is_valid(v) && dfg.value_type(v) == p.value_type);
        if matches {
            Ok(())
        } else {
            Err("the entry block's parameters are not the signature's".into())
        }
    }

    /// Marks every declared dynamic type as used, because values of such a type name no entity.
    fn use_dynamic_types(&mut self) -> Result<(), String> {
        let func = self.func;
        for data in func.dfg.dynamic_types.values() {
            self.map_global_value(data.dynamic_scale);
        }
        self.error.take().map_or(Ok(()), Err)
    }

    fn successors(&self, block: Block) -> Result<&'f [BlockCall], String> {
        let func: &'f ir::Function = self.func;
        let Some(last) = func.layout.last_inst(block) else {
            return Err(format!("{block} is empty"));
        };
        let data = &func.dfg.insts[last];
        let valid = match data {
            InstructionData::BranchTable { table, .. } => func.dfg.jump_tables.is_valid(*table),
            InstructionData::TryCall { exception, .. }
            | InstructionData::TryCallIndirect { exception, .. } => {
                func.dfg.exception_tables.is_valid(*exception)
            }
            _ => true,
        };
        if !valid {
            return Err(format!("{last} refers to a table that does not exist"));
        }
        Ok(data.branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables))
    }

    fn reverse_postorder(&mut self, entry: Block) -> Result<BlockList, String> {
        let func = self.func;
        let pool = &func.dfg.value_lists;
        let mut seen: SmallVec<[u32; 8]> = smallvec![u32::MAX; func.dfg.num_blocks()];
        let mut order = BlockList::new();
        let mut stack: SmallVec<[(Block, &[BlockCall]); 16]> = SmallVec::new();
        stack.push((entry, self.successors(entry)?));
        while let Some((block, successors)) = stack.last_mut() {
            // Taking successors from the back leaves the first one, which is
            // usually the hot one, next to its predecessor in the order.
            if let Some((next, rest)) = successors.split_last() {
                *successors = rest;
                let target = next.block(pool);
                let is_there = func.layout.is_block_inserted(target);
                let Some(seen) = seen.get_mut(target.index()).filter(|_| is_there) else {
                    return Err(format!(
                        "{block} branches to {target}, which is not in the layout"
                    ));
                };
                if target == entry {
                    return Err(format!("{block} branches to the entry block"));
                }
                if *seen == u32::MAX {
                    *seen = 0;
                    stack.push((target, self.successors(target)?));
                }
            } else {
                order.push(*block);
                stack.pop();
            }
        }
        order.reverse();
        // The visited blocks get their positions in the order instead.
        self.tables.block_index = seen;
        for (index, block) in (0u32..).zip(&order) {
            self.tables.block_index[block.index()] = index;
        }
        Ok(order)
    }

    #[inline]
    fn add_inst(&mut self, plan: InstPlan) {
        self.tables.facts.insts += 1;
        if self.keeps_insts {
            self.tables.insts.push(plan);
        }
    }

    fn survey_block(&mut self, block: Block) -> Result<(), String> {
        let func = self.func;
        for &param in func.dfg.block_params(block) {
            if !func.dfg.value_is_valid(param) {
                return Err(format!("{block} has an invalid parameter"));
            }
        }
        let is_entry = self.entry == Some(block);
        // In a line, the jump to here has bound the parameters.
        if is_entry || !self.is_line {
            for &param in func.dfg.block_params(block) {
                self.define(param)?;
            }
        }
        if !is_entry {
            self.tables.facts.values_added += func.dfg.block_params(block).len();
        }
        let start = self.tables.facts.insts;
        let mut current = func.layout.first_inst(block);
        while let Some(inst) = current {
            current = func.layout.next_inst(inst);
            let data = &func.dfg.insts[inst];
            let is_common = self.survey_common_inst(inst, data);
            let ends_block = !is_common && data.opcode().is_terminator();
            if ends_block != current.is_none() {
                return Err(format!("{block} does not end in its only terminator"));
            }
            if !is_common {
                self.survey_inst(inst, data)?;
            }
            if self.is_line && matches!(data, InstructionData::Jump { .. }) {
                self.bind_next(inst)?;
            }
        }
        self.tables.facts.blocks += 1;
        if self.is_line {
            return Ok(());
        }
        let range = u32::try_from(start)
            .ok()
            .zip(u32::try_from(self.tables.facts.insts).ok());
        let (start, end) = range.ok_or("it has too many instructions")?;
        self.tables.blocks.push(BlockPlan {
            block,
            insts: start..end,
            cold: func.layout.is_cold(block),
        });
        Ok(())
    }

    /// Orders the blocks of the layout: they keep the callee's order in the caller's.
    fn order_layout(&mut self, order: &[Block]) {
        let tables = &mut self.tables;
        if order.len() == 1 {
            return;
        }
        tables.layout_order.reserve_exact(order.len() - 1);
        let in_layout = self.func.layout.blocks().skip(1);
        let in_layout = in_layout
            .map(|block| tables.block_index[block.index()])
            .filter(|&index| index != u32::MAX);
        tables.layout_order.extend(in_layout);
        tables.layout_is_ordered = tables.layout_order.is_sorted();
        if !tables.layout_is_ordered {
            tables.block_place = vec![0; self.func.dfg.num_blocks()];
            for (place, &index) in (1u32..).zip(&tables.layout_order) {
                tables.block_place[order[index as usize].index()] = place;
            }
        }
    }

    /// Keeps slots with a key, because embedders look them up by it, used by code or not.
    fn keep_keyed_slots(&mut self) {
        for (slot, data) in self.func.sized_stack_slots.iter() {
            if data.key.is_some() {
                self.tables.used.slots.add(slot);
            }
        }
        self.tables.used.slots.list.sort_unstable();
    }

    fn collect_labels(&mut self) {
        let Some(labels) = &self.func.dfg.values_labels else {
            return;
        };
        for &value in labels.keys() {
            if let (Some(starts), Some(target)) = (labels_of(labels, value), self.resolve(value)) {
                self.tables.labels.push((target, starts.to_vec()));
            }
        }
    }
}
