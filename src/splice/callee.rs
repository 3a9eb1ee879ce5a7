//! A callee prepared for splicing: read once, copied many times.
//!
//! Everything that can be known without the caller is worked out here: which
//! blocks are reachable and in which order definitions come before uses, what
//! each alias stands for, each instruction's controlling type, which entities
//! are used at all, and whether something in the body restricts where it may
//! go. The same walk checks every reference that the copy will follow, so that
//! copying cannot fail half-way, whatever the input.

use super::Refusal;
use crate::panics;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::entity::{EntityRef, EntitySet};
use cranelift_codegen::ir::instructions::{InstructionFormat, InstructionMapper};
use cranelift_codegen::ir::{
    self, ArgumentPurpose, Block, BlockCall, ExceptionTableItem, GlobalValueData, Inst,
    InstructionData, Opcode, Type, Value, ValueLabelAssignments, ValueLabelStart, types,
};
use cranelift_codegen::isa::CallConv;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// A function body ready to be spliced into any number of callers.
///
/// Preparing costs one walk over the body; each splice then only copies. The
/// tables can be kept beside the body with [`Callee::into_tables`] and put
/// together again with [`Callee::from_tables`].
#[derive(Clone)]
pub struct Callee<'f> {
    pub(super) func: &'f ir::Function,
    pub(super) tables: Cow<'f, CalleeTables>,
}

/// The part of a prepared [`Callee`] that does not borrow the function.
#[derive(Clone)]
pub struct CalleeTables {
    /// Tells prepared bodies apart, so that a caller's translation of one is
    /// found again.
    pub(super) id: u64,
    /// Reachable blocks in reverse postorder; the entry block is first.
    pub(super) blocks: Vec<BlockPlan>,
    /// Indices into `blocks`, without the entry, in layout order.
    pub(super) layout_order: Vec<u32>,
    /// The index in `blocks` of each of the callee's blocks, by its number;
    /// `u32::MAX` for those that are unreachable.
    pub(super) block_index: Vec<u32>,
    /// Whether reverse postorder is layout order.
    pub(super) layout_is_ordered: bool,
    /// The place in `layout_order` of each of the callee's blocks, by its number.
    pub(super) block_place: Vec<u32>,
    /// Instructions of `blocks`, block after block.
    pub(super) insts: Vec<InstPlan>,
    /// What each value stands for once aliases are followed.
    pub(super) resolved: Vec<Value>,
    pub(super) used: UsedEntities,
    /// Whether each global value, by index, leads to the `vmctx` parameter.
    pub(super) from_vmctx: Vec<bool>,
    /// Labels of values, by the value that is copied.
    pub(super) labels: Vec<(Value, Vec<ValueLabelStart>)>,
    /// Reachable instructions that leave the callee for its caller: `return`,
    /// `return_call` and `return_call_indirect`.
    pub(super) returns: u32,
    /// The first instruction that sees the physical frame.
    pub(super) introspection: Option<Opcode>,
    /// The calling conventions of calls that do not already catch everything.
    pub(super) inner_call_convs: Vec<CallConv>,
    pub(super) has_patchable_call: bool,
    /// Whether some exception table of the callee names a dynamic context.
    pub(super) has_exception_context: bool,
    pub(super) has_inner_calls: bool,
    pub(super) values_added: usize,
}

#[derive(Clone)]
pub(super) struct BlockPlan {
    pub(super) block: Block,
    /// The range of this block in [`CalleeTables::insts`].
    pub(super) insts: std::ops::Range<u32>,
    pub(super) cold: bool,
}

#[derive(Clone, Copy)]
pub(super) struct InstPlan {
    pub(super) inst: Inst,
    pub(super) ctrl_type: Type,
    pub(super) class: InstClass,
    pub(super) has_results: bool,
}

/// What the copy has to do for an instruction beyond mapping its operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InstClass {
    Plain,
    /// Carries tags but is no call.
    SequencePoint,
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
    seen: EntitySet<K>,
    pub(super) list: Vec<K>,
}

impl<K: EntityRef> Default for Used<K> {
    fn default() -> Self {
        Used {
            seen: EntitySet::new(),
            list: Vec::new(),
        }
    }
}

impl<K: EntityRef> Used<K> {
    /// Returns whether `entity` is used for the first time.
    fn add(&mut self, entity: K) -> bool {
        let first = self.seen.insert(entity);
        if first {
            self.list.push(entity);
        }
        first
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl<'f> Callee<'f> {
    /// Reads `func` and checks everything that a splice relies on.
    ///
    /// The cost is linear in the size of `func`. It need not be verified or
    /// legalized.
    ///
    /// # Errors
    ///
    /// [`Refusal::MalformedCallee`] where the body breaks a rule of CLIF on
    /// which copying relies.
    pub fn new(func: &'f ir::Function) -> Result<Self, Refusal> {
        let tables = panics::catch(|| Survey::new(func).run())
            .unwrap_or_else(Err)
            .map_err(Refusal::MalformedCallee)?;
        Ok(Callee {
            func,
            tables: Cow::Owned(tables),
        })
    }

    /// Puts `func` and tables that were made from it together again.
    ///
    /// `tables` must come from [`Callee::into_tables`] of the same unchanged
    /// function.
    pub fn from_tables(func: &'f ir::Function, tables: &'f CalleeTables) -> Self {
        Callee {
            func,
            tables: Cow::Borrowed(tables),
        }
    }

    /// Takes the tables out, so that they can be kept beside the function.
    pub fn into_tables(self) -> CalleeTables {
        self.tables.into_owned()
    }

    /// The function that was prepared.
    pub fn function(&self) -> &'f ir::Function {
        self.func
    }

    /// The number of instructions that a splice copies: those of reachable
    /// blocks.
    pub fn reachable_insts(&self) -> usize {
        self.tables.insts.len()
    }

    /// The number of blocks that are reachable from the entry block, itself
    /// included.
    pub fn reachable_blocks(&self) -> usize {
        self.tables.blocks.len()
    }
}

/// The walk that fills the tables.
struct Survey<'f> {
    func: &'f ir::Function,
    tables: CalleeTables,
    defined: EntitySet<Value>,
    entry: Option<Block>,
    error: Option<String>,
}

impl<'f> Survey<'f> {
    fn new(func: &'f ir::Function) -> Self {
        Survey {
            func,
            tables: CalleeTables {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                blocks: Vec::new(),
                layout_order: Vec::new(),
                block_index: Vec::new(),
                layout_is_ordered: true,
                block_place: Vec::new(),
                insts: Vec::new(),
                resolved: Vec::new(),
                used: UsedEntities::default(),
                from_vmctx: Vec::new(),
                labels: Vec::new(),
                returns: 0,
                introspection: None,
                inner_call_convs: Vec::new(),
                has_patchable_call: false,
                has_exception_context: false,
                has_inner_calls: false,
                values_added: 0,
            },
            defined: EntitySet::with_capacity(func.dfg.num_values()),
            entry: func.layout.entry_block(),
            error: None,
        }
    }

    fn run(mut self) -> Result<CalleeTables, String> {
        let entry = self.entry.ok_or("it has no entry block")?;
        self.resolve_aliases()?;
        self.root_globals()?;
        self.check_entry_params(entry)?;
        self.use_dynamic_types()?;
        let order = self.reverse_postorder(entry)?;
        for &block in &order {
            self.survey_block(block)?;
        }
        self.order_layout(&order);
        self.keep_keyed_slots();
        self.collect_labels();
        Ok(self.tables)
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
            self.tables.values_added += func.dfg.block_params(block).len();
        }
        let start = self.tables.insts.len();
        let last = func.layout.last_inst(block);
        for inst in func.layout.block_insts(block) {
            let is_last = Some(inst) == last;
            if func.dfg.insts[inst].opcode().is_terminator() != is_last {
                return Err(format!("{block} does not end in its only terminator"));
            }
            let plan = self.survey_inst(inst)?;
            self.tables.insts.push(plan);
        }
        let range = u32::try_from(start)
            .ok()
            .zip(u32::try_from(self.tables.insts.len()).ok());
        let (start, end) = range.ok_or("it has too many instructions")?;
        self.tables.blocks.push(BlockPlan {
            block,
            insts: start..end,
            cold: func.layout.is_cold(block),
        });
        Ok(())
    }

    fn survey_inst(&mut self, inst: Inst) -> Result<InstPlan, String> {
        let func = self.func;
        let dfg = &func.dfg;
        let data = &dfg.insts[inst];
        let opcode = data.opcode();
        if opcode.format() != InstructionFormat::from(data) {
            return Err(format!("{inst} has an opcode of another format"));
        }
        data.map(&mut *self);
        if let Some(error) = self.error.take() {
            return Err(format!("{inst}: {error}"));
        }
        let ctrl_type = self.ctrl_type(inst)?;
        let results = dfg.inst_results(inst);
        let types = dfg.inst_result_types(inst, ctrl_type);
        if results.len() != types.len() {
            return Err(format!(
                "{inst} has another number of results than its opcode"
            ));
        }
        for (&result, ty) in results.iter().zip(types) {
            if !dfg.value_is_valid(result) || dfg.value_type(result) != ty {
                return Err(format!("{inst} has an invalid result"));
            }
            self.define(result)?;
        }
        self.tables.values_added += results.len();
        let class = self.classify(inst, opcode)?;
        self.survey_metadata(inst, opcode, class)?;
        Ok(InstPlan {
            inst,
            ctrl_type,
            class,
            has_results: !results.is_empty(),
        })
    }

    /// The type of `value`, or of what it is an alias of.
    fn type_of(&self, value: Value) -> Option<Type> {
        let resolved = self.tables.resolved.get(value.index())?;
        Some(self.func.dfg.value_type(*resolved))
    }

    /// Notes that `value` is defined, and not a second time or as an alias.
    fn define(&mut self, value: Value) -> Result<(), String> {
        let is_itself = self.tables.resolved.get(value.index()) == Some(&value);
        if is_itself && self.defined.insert(value) {
            Ok(())
        } else {
            Err(format!("{value} is defined twice"))
        }
    }

    fn ctrl_type(&self, inst: Inst) -> Result<Type, String> {
        let dfg = &self.func.dfg;
        let constraints = dfg.insts[inst].opcode().constraints();
        let Some(allowed) = constraints.ctrl_typeset() else {
            return Ok(types::INVALID);
        };
        if !constraints.requires_typevar_operand() && !dfg.has_results(inst) {
            return Err(format!("{inst} has no result"));
        }
        let ctrl_type = dfg.ctrl_typevar(inst);
        if !allowed.contains(ctrl_type) {
            return Err(format!("{inst} has the impossible type {ctrl_type}"));
        }
        Ok(ctrl_type)
    }

    fn classify(&mut self, inst: Inst, opcode: Opcode) -> Result<InstClass, String> {
        let func = self.func;
        Ok(match func.dfg.insts[inst] {
            InstructionData::MultiAry { args, .. } if opcode == Opcode::Return => {
                let returned = args.as_slice(&func.dfg.value_lists);
                let expected = &func.signature.returns;
                let matches = returned.len() == expected.len()
                    && returned
                        .iter()
                        .zip(expected)
                        .all(|(&v, r)| self.type_of(v) == Some(r.value_type));
                if !matches {
                    return Err(format!("{inst} does not return what the signature says"));
                }
                self.tables.returns += 1;
                InstClass::Return
            }
            InstructionData::Call { func_ref, .. } => {
                let signature = func.dfg.ext_funcs[func_ref].signature;
                self.tables.has_patchable_call |= func.dfg.ext_funcs[func_ref].patchable;
                self.classify_call(inst, opcode, signature)?
            }
            InstructionData::CallIndirect { sig_ref, .. } => {
                self.classify_call(inst, opcode, sig_ref)?
            }
            InstructionData::TryCall { exception, .. }
            | InstructionData::TryCallIndirect { exception, .. } => {
                let table = &func.dfg.exception_tables[exception];
                let mut catches_all = false;
                let mut has_context = false;
                for item in table.items() {
                    match item {
                        ExceptionTableItem::Context(_) => has_context = true,
                        ExceptionTableItem::Default(_) => catches_all = true,
                        ExceptionTableItem::Tag(..) => {}
                    }
                }
                // The caller's handlers never follow a default.
                if !catches_all {
                    self.tables.has_exception_context |= has_context;
                    self.note_inner_call(table.signature());
                }
                self.tables.has_inner_calls = true;
                InstClass::TryCall
            }
            InstructionData::UnaryGlobalValue { global_value, .. }
                if self.tables.from_vmctx[global_value.index()] =>
            {
                self.check_vmctx_global(inst, global_value)?;
                InstClass::VmctxGlobal
            }
            InstructionData::ExceptionHandlerAddress { .. } => InstClass::HandlerAddress,
            _ => match opcode {
                Opcode::SequencePoint => InstClass::SequencePoint,
                Opcode::GetFramePointer | Opcode::GetStackPointer | Opcode::GetReturnAddress => {
                    self.tables.introspection.get_or_insert(opcode);
                    InstClass::Plain
                }
                _ => InstClass::Plain,
            },
        })
    }

    fn classify_call(
        &mut self,
        inst: Inst,
        opcode: Opcode,
        signature: ir::SigRef,
    ) -> Result<InstClass, String> {
        self.note_inner_call(signature);
        self.tables.has_inner_calls = true;
        if !opcode.is_return() {
            return Ok(InstClass::Call);
        }
        let signatures = &self.func.dfg.signatures;
        let types = |sig: &ir::Signature| -> Vec<Type> {
            sig.returns.iter().map(|r| r.value_type).collect()
        };
        if types(&signatures[signature]) != types(&self.func.signature) {
            return Err(format!("{inst} does not return what the signature says"));
        }
        self.tables.returns += 1;
        self.tables.values_added += signatures[signature].returns.len();
        Ok(InstClass::ReturnCall)
    }

    /// Such a global value may have to be expanded to the instructions for
    /// which it stands, so these must exist for its types.
    fn check_vmctx_global(&self, inst: Inst, global: ir::GlobalValue) -> Result<(), String> {
        let func = self.func;
        let mut current = global;
        let mut expected = None;
        loop {
            let (ty, base) = match func.global_values[current] {
                GlobalValueData::Load {
                    base, global_type, ..
                } => (global_type, Some(base)),
                GlobalValueData::IAddImm {
                    base, global_type, ..
                } => (global_type, Some(base)),
                _ => {
                    let index = func
                        .signature
                        .special_param_index(ArgumentPurpose::VMContext);
                    let param = index.and_then(|index| func.signature.params.get(index));
                    (param.map_or(types::INVALID, |param| param.value_type), None)
                }
            };
            let is_sum = matches!(func.global_values[current], GlobalValueData::IAddImm { .. });
            if (is_sum && !(ty.is_int() && ty.bits() <= 64))
                || expected.is_some_and(|expected| expected != ty)
            {
                return Err(format!("{current} has the impossible type {ty}"));
            }
            if current == global && func.dfg.value_type(func.dfg.first_result(inst)) != ty {
                return Err(format!("{inst} has another type than {global}"));
            }
            let Some(base) = base else {
                return Ok(());
            };
            expected = is_sum.then_some(ty);
            current = base;
        }
    }

    fn note_inner_call(&mut self, signature: ir::SigRef) {
        let call_conv = self.func.dfg.signatures[signature].call_conv;
        if !self.tables.inner_call_convs.contains(&call_conv) {
            self.tables.inner_call_convs.push(call_conv);
        }
    }

    fn survey_metadata(
        &mut self,
        inst: Inst,
        opcode: Opcode,
        class: InstClass,
    ) -> Result<(), String> {
        let func = self.func;
        if opcode.is_call() || class == InstClass::SequencePoint {
            for tag in func.debug_tags.get(inst) {
                if let ir::DebugTag::StackSlot(slot) = *tag {
                    self.slot(slot);
                }
            }
        }
        if opcode.is_safepoint() {
            for entry in func.dfg.user_stack_map_entries(inst).unwrap_or_default() {
                self.slot(entry.slot);
            }
        }
        match self.error.take() {
            Some(error) => Err(format!("{inst}: {error}")),
            None => Ok(()),
        }
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
                && self.defined.contains(target)
            {
                self.tables.labels.push((target, starts.clone()));
            }
        }
    }

    fn fail(&mut self, message: String) {
        self.error.get_or_insert(message);
    }

    fn slot(&mut self, slot: ir::StackSlot) {
        if self.func.sized_stack_slots.is_valid(slot) {
            self.tables.used.slots.add(slot);
        } else {
            self.fail(format!("{slot} does not exist"));
        }
    }
}

/// Visiting operands through Cranelift's own mapper covers every instruction
/// format, those that a later version adds included.
impl InstructionMapper for Survey<'_> {
    fn map_value(&mut self, value: Value) -> Value {
        let resolved = self.tables.resolved.get(value.index()).copied();
        if !resolved.is_some_and(|resolved| self.defined.contains(resolved)) {
            self.fail(format!("{value} is used before its definition"));
        }
        value
    }

    fn map_value_list(&mut self, list: ir::ValueList) -> ir::ValueList {
        let func = self.func;
        if list.is_valid(&func.dfg.value_lists) {
            for &value in list.as_slice(&func.dfg.value_lists) {
                self.map_value(value);
            }
        } else {
            self.fail("its value list does not exist".into());
        }
        list
    }

    fn map_global_value(&mut self, global: ir::GlobalValue) -> ir::GlobalValue {
        let func = self.func;
        let Some(data) = func.global_values.get(global) else {
            self.fail(format!("{global} does not exist"));
            return global;
        };
        if !self.tables.used.globals.add(global) {
            return global;
        }
        match data {
            GlobalValueData::Load { base, flags, .. } => {
                self.map_mem_flags(*flags);
                self.map_global_value(*base);
            }
            GlobalValueData::IAddImm { base, .. } => {
                self.map_global_value(*base);
            }
            GlobalValueData::Symbol { name, .. } if !name_is_valid(func, name) => {
                self.fail(format!("{global} has no name"));
            }
            _ => {}
        }
        global
    }

    fn map_jump_table(&mut self, table: ir::JumpTable) -> ir::JumpTable {
        let func = self.func;
        match func.dfg.jump_tables.get(table) {
            Some(data) => {
                for call in data.all_branches() {
                    self.map_block_call(*call);
                }
            }
            None => self.fail(format!("{table} does not exist")),
        }
        table
    }

    fn map_exception_table(&mut self, table: ir::ExceptionTable) -> ir::ExceptionTable {
        let func = self.func;
        let Some(data) = func.dfg.exception_tables.get(table) else {
            self.fail(format!("{table} does not exist"));
            return table;
        };
        self.map_sig_ref(data.signature());
        self.map_block_call(*data.normal_return());
        for item in data.items() {
            match item {
                ExceptionTableItem::Tag(_, call) | ExceptionTableItem::Default(call) => {
                    self.map_block_call(call);
                }
                ExceptionTableItem::Context(value) => {
                    self.map_value(value);
                }
            }
        }
        table
    }

    fn map_block_call(&mut self, call: BlockCall) -> BlockCall {
        // The target itself was checked when the blocks were put in order.
        let func = self.func;
        for arg in call.args(&func.dfg.value_lists) {
            if let Some(value) = arg.as_value() {
                self.map_value(value);
            }
        }
        call
    }

    fn map_block(&mut self, block: Block) -> Block {
        if !self.func.dfg.block_is_valid(block) {
            self.fail(format!("{block} does not exist"));
        }
        block
    }

    fn map_func_ref(&mut self, func_ref: ir::FuncRef) -> ir::FuncRef {
        let func = self.func;
        match func.dfg.ext_funcs.get(func_ref) {
            Some(data) => {
                self.map_sig_ref(data.signature);
                if !name_is_valid(func, &data.name) {
                    self.fail(format!("{func_ref} has no name"));
                }
                self.tables.used.functions.add(func_ref);
            }
            None => self.fail(format!("{func_ref} does not exist")),
        }
        func_ref
    }

    fn map_sig_ref(&mut self, sig_ref: ir::SigRef) -> ir::SigRef {
        if self.func.dfg.signatures.is_valid(sig_ref) {
            self.tables.used.signatures.add(sig_ref);
        } else {
            self.fail(format!("{sig_ref} does not exist"));
        }
        sig_ref
    }

    fn map_stack_slot(&mut self, slot: ir::StackSlot) -> ir::StackSlot {
        self.slot(slot);
        slot
    }

    fn map_dynamic_stack_slot(&mut self, slot: ir::DynamicStackSlot) -> ir::DynamicStackSlot {
        let func = self.func;
        match func.dynamic_stack_slots.get(slot) {
            Some(data) if func.dfg.dynamic_types.is_valid(data.dyn_ty) => {
                self.tables.used.dynamic_slots.add(slot);
            }
            _ => self.fail(format!("{slot} does not exist")),
        }
        slot
    }

    fn map_constant(&mut self, constant: ir::Constant) -> ir::Constant {
        // The pool has no check of its own; where the constant is missing,
        // this panics and `Callee::new` turns that into an error.
        let _ = self.func.dfg.constants.get(constant);
        self.tables.used.constants.add(constant);
        constant
    }

    fn map_immediate(&mut self, immediate: ir::Immediate) -> ir::Immediate {
        if self.func.dfg.immediates.is_valid(immediate) {
            self.tables.used.immediates.add(immediate);
        } else {
            self.fail(format!("{immediate} does not exist"));
        }
        immediate
    }

    fn map_mem_flags(&mut self, flags: ir::MemFlags) -> ir::MemFlags {
        let dfg = &self.func.dfg;
        let region_exists = dfg.mem_flags.is_valid(flags)
            && dfg.mem_flags[flags]
                .alias_region()
                .is_none_or(|region| dfg.alias_regions.is_valid(region));
        if region_exists {
            self.tables.used.mem_flags.add(flags);
        } else {
            self.fail(format!("{flags} does not exist"));
        }
        flags
    }
}

/// Whether a user-defined name is in the function's own table of names.
pub(super) fn name_is_valid(func: &ir::Function, name: &ir::ExternalName) -> bool {
    match name {
        ir::ExternalName::User(name_ref) => func.params.user_named_funcs().is_valid(*name_ref),
        _ => true,
    }
}
