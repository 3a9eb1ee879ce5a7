//! The walk over a callee that fills its tables.

mod instructions;
mod known_types;
mod references;

use self::known_types::KnownTypes;
use super::callee::{BlockPlan, CalleeTables, UsedEntities};
use super::facts::CalleeFacts;
use super::slot_access;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::instructions::InstructionMapper;
use cranelift_codegen::ir::{
    self, ArgumentPurpose, Block, BlockCall, GlobalValueData, InstructionData, Value,
    ValueLabelAssignments,
};

/// The walk that fills the tables.
pub(super) struct Survey<'f> {
    func: &'f ir::Function,
    tables: CalleeTables,
    /// Whether each value, by its number, has been defined.
    defined: Vec<bool>,
    known_types: Box<KnownTypes>,
    entry: Option<Block>,
    keeps_insts: bool,
    error: Option<String>,
}

impl<'f> Survey<'f> {
    pub(super) fn new(func: &'f ir::Function) -> Self {
        Survey {
            func,
            tables: CalleeTables {
                facts: CalleeFacts::new(func),
                blocks: Vec::new(),
                layout_order: Vec::new(),
                block_index: Vec::new(),
                layout_is_ordered: true,
                block_place: Vec::new(),
                insts: Vec::new(),
                resolved: Vec::new(),
                used: UsedEntities::default(),
                slot_access: Vec::new(),
                from_vmctx: Vec::new(),
                labels: Vec::new(),
                returns: 0,
                has_inner_calls: false,
                certain_insts: 0,
            },
            defined: vec![false; func.dfg.num_values()],
            known_types: KnownTypes::of_thread(),
            entry: func.layout.entry_block(),
            keeps_insts: false,
            error: None,
        }
    }

    /// Makes the tables.
    pub(super) fn run(mut self) -> Result<CalleeTables, String> {
        self.keeps_insts = true;
        self.tables.insts.reserve_exact(self.func.dfg.num_insts());
        let order = self.walk()?;
        self.order_layout(&order);
        self.keep_keyed_slots();
        self.tables.slot_access = slot_access::of_used_slots(self.func, &self.tables);
        self.collect_labels();
        self.known_types.give_back();
        Ok(self.tables)
    }

    /// Checks as much, and keeps only what refusals depend on.
    pub(super) fn facts(mut self) -> Result<CalleeFacts, String> {
        self.walk()?;
        self.known_types.give_back();
        Ok(self.tables.facts)
    }

    /// Returns the reachable blocks in reverse postorder.
    fn walk(&mut self) -> Result<Vec<Block>, String> {
        let entry = self.entry.ok_or("it has no entry block")?;
        self.resolve_aliases()?;
        self.root_globals()?;
        self.check_entry_params(entry)?;
        self.use_dynamic_types()?;
        let order = self.reverse_postorder(entry)?;
        for &block in &order {
            self.survey_block(block)?;
        }
        self.tables
            .facts
            .complete(self.func, &self.tables.used, &self.tables.from_vmctx);
        Ok(order)
    }

    fn resolve_aliases(&mut self) -> Result<(), String> {
        let dfg = &self.func.dfg;
        let count = dfg.num_values();
        let resolved = &mut self.tables.resolved;
        resolved.resize(count, Value::reserved_value());
        let mut chain = Vec::new();
        for index in 0..count {
            let mut value = Value::new(index);
            // An alias of nothing pads the numbering of parsed text.
            while let Some(&known) = resolved.get(value.index()) {
                if !known.is_reserved_value() {
                    value = known;
                    break;
                }
                let Some(target) = dfg.value_alias_dest_for_serialization(value) else {
                    break;
                };
                if chain.len() > count {
                    return Err(format!("{value} is an alias of itself"));
                }
                chain.push(value);
                value = target;
            }
            if let Some(slot) = resolved.get_mut(index) {
                *slot = value;
            }
            for alias in chain.drain(..) {
                if let Some(slot) = resolved.get_mut(alias.index()) {
                    *slot = value;
                }
            }
        }
        Ok(())
    }

    fn root_globals(&mut self) -> Result<(), String> {
        let globals = &self.func.global_values;
        let has_vmctx = self
            .func
            .signature
            .uses_special_param(ArgumentPurpose::VMContext);
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

    /// A value of a dynamic type names no entity, so every declared type
    /// counts as used.
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

    fn reverse_postorder(&self, entry: Block) -> Result<Vec<Block>, String> {
        let func = self.func;
        let pool = &func.dfg.value_lists;
        let mut seen = EntitySet::with_capacity(func.dfg.num_blocks());
        let mut order = Vec::new();
        let mut stack = vec![(entry, self.successors(entry)?)];
        seen.insert(entry);
        while let Some((block, successors)) = stack.last_mut() {
            // Taking successors from the back leaves the first one, which is
            // usually the hot one, next to its predecessor in the order.
            if let Some((next, rest)) = successors.split_last() {
                *successors = rest;
                let target = next.block(pool);
                if !func.dfg.block_is_valid(target) || !func.layout.is_block_inserted(target) {
                    return Err(format!(
                        "{block} branches to {target}, which is not in the layout"
                    ));
                }
                if target == entry {
                    return Err(format!("{block} branches to the entry block"));
                }
                if seen.insert(target) {
                    stack.push((target, self.successors(target)?));
                }
            } else {
                order.push(*block);
                stack.pop();
            }
        }
        order.reverse();
        Ok(order)
    }

    fn survey_block(&mut self, block: Block) -> Result<(), String> {
        let func = self.func;
        for &param in func.dfg.block_params(block) {
            if !func.dfg.value_is_valid(param) {
                return Err(format!("{block} has an invalid parameter"));
            }
            self.define(param)?;
        }
        if self.entry != Some(block) {
            self.tables.facts.values_added += func.dfg.block_params(block).len();
        }
        let start = self.tables.facts.insts;
        let mut current = func.layout.first_inst(block);
        while let Some(inst) = current {
            current = func.layout.next_inst(inst);
            let data = &func.dfg.insts[inst];
            if data.opcode().is_terminator() != current.is_none() {
                return Err(format!("{block} does not end in its only terminator"));
            }
            let plan = self.survey_inst(inst, data)?;
            self.tables.facts.insts += 1;
            if self.keeps_insts {
                self.tables.insts.push(plan);
            }
        }
        let range = u32::try_from(start)
            .ok()
            .zip(u32::try_from(self.tables.facts.insts).ok());
        let (start, end) = range.ok_or("it has too many instructions")?;
        self.tables.facts.blocks += 1;
        self.tables.blocks.push(BlockPlan {
            block,
            insts: start..end,
            cold: func.layout.is_cold(block),
        });
        Ok(())
    }

    /// Blocks keep the callee's own order in the caller's layout.
    fn order_layout(&mut self, order: &[Block]) {
        let tables = &mut self.tables;
        tables.block_index = vec![u32::MAX; self.func.dfg.num_blocks()];
        for (index, block) in (0u32..).zip(order) {
            tables.block_index[block.index()] = index;
        }
        let in_layout = self.func.layout.blocks().skip(1);
        tables.layout_order = in_layout
            .map(|block| tables.block_index[block.index()])
            .filter(|&index| index != u32::MAX)
            .collect();
        tables.layout_is_ordered = tables.layout_order.is_sorted();
        if !tables.layout_is_ordered {
            tables.block_place = vec![0; self.func.dfg.num_blocks()];
            for (place, &index) in (1u32..).zip(&tables.layout_order) {
                tables.block_place[order[index as usize].index()] = place;
            }
        }
    }

    /// A key is how an embedder finds a slot, used by code or not.
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
        // An alias of an alias of labels is followed as far as Cranelift does.
        const LONGEST_CHAIN: usize = 10;
        for (&value, assignments) in labels {
            let mut assignments = Some(assignments);
            let mut starts = None;
            for _ in 0..=LONGEST_CHAIN {
                match assignments {
                    Some(ValueLabelAssignments::Starts(list)) => {
                        starts = Some(list);
                        break;
                    }
                    Some(ValueLabelAssignments::Alias { value, .. }) => {
                        assignments = labels.get(value);
                    }
                    None => break,
                }
            }
            let target = self.tables.resolved.get(value.index()).copied();
            if let (Some(starts), Some(target)) = (starts, target)
                && self.is_defined(target)
            {
                self.tables.labels.push((target, starts.clone()));
            }
        }
    }
}
