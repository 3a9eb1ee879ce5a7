//! Copying one callee body into one call site.
//!
//! By the time a [`Copy`] exists, the call is the last instruction of its block
//! or has just been taken out of it, and nothing can fail any more. The callee's
//! entry block goes on in the call's block; its other blocks follow in the
//! caller's layout in their own order. Instructions are appended in reverse
//! postorder, so that each value's translation is known before it is used.

use super::callee::{BlockPlan, CalleeTables, InstClass, InstPlan};
use super::entities::EntityMaps;
use super::inherited_tags::InheritedTags;
use super::mapper::{Mapper, OuterHandlers};
use super::session::{CopiedCall, SpliceContext};
use super::site::{Site, SiteKind};
use super::{Callee, struct_args};
use crate::body::{HandlerAddresses, copy_labels, move_labels, null_address};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{
    self, Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, Function,
    GlobalValueData, Inst, InstructionData, Opcode, Value, types,
};
use smallvec::SmallVec;

/// What a copy leaves to the session.
pub(super) struct Copied {
    /// Where the instructions after a `call` continue; `None` where the callee
    /// never returns to them.
    pub(super) continues_in: Option<Block>,
    /// Whether blocks of the caller may have lost their last predecessor.
    pub(super) leaves_unreachable: bool,
}

pub(super) struct Copy<'a> {
    caller: &'a mut Function,
    callee: &'a Function,
    tables: &'a CalleeTables,
    maps: &'a EntityMaps,
    site: &'a Site,
    call: Inst,
    /// Translations by the callee's index. Only what the callee uses is set.
    values: &'a mut Vec<Value>,
    /// Translations by the index in [`CalleeTables::blocks`].
    blocks: &'a mut Vec<Block>,
    /// Where each block's terminator is, which differs from `blocks` where
    /// calls became `try_call`s.
    last_pieces: &'a mut Vec<Block>,
    slots: &'a mut Vec<ir::StackSlot>,
    dynamic_slots: &'a mut Vec<ir::DynamicStackSlot>,
    copied_calls: &'a mut Vec<CopiedCall>,
    copied_addresses: &'a mut Vec<Inst>,
    handler_addresses: &'a mut HandlerAddresses,
    inherited_tags: &'a mut InheritedTags,
    outer: Option<OuterHandlers>,
    cold: bool,
    has_srclocs: bool,
    has_tags: bool,
    join: Option<Block>,
    continues_in: Option<Block>,
    normal_edge_used: bool,
}

impl<'a> Copy<'a> {
    pub(super) fn new(
        caller: &'a mut Function,
        context: &'a mut SpliceContext,
        callee: &'a Callee<'_>,
        site: &'a Site,
        call: Inst,
    ) -> Self {
        let SpliceContext {
            entities,
            values,
            blocks,
            last_pieces,
            slots,
            dynamic_slots,
            copied_calls,
            copied_addresses,
            handler_addresses,
            inherited_tags,
            ..
        } = context;
        copied_calls.clear();
        copied_addresses.clear();
        let maps = entities.translate(caller, callee, site.shares_vmctx);
        let outer = match site.kind {
            SiteKind::TryCall(exception) => {
                Some(OuterHandlers::new(&caller.dfg.exception_tables[exception]))
            }
            SiteKind::Call | SiteKind::ReturnCall => None,
        };
        let func = callee.func;
        grow(values, func.dfg.num_values());
        grow(slots, func.sized_stack_slots.len());
        grow(dynamic_slots, func.dynamic_stack_slots.len());
        blocks.clear();
        blocks.resize(callee.tables.blocks.len(), Block::reserved_value());
        Copy {
            cold: caller.layout.is_cold(site.block),
            has_srclocs: !func.srclocs.is_empty(),
            has_tags: !func.debug_tags.is_empty(),
            caller,
            callee: func,
            tables: &callee.tables,
            maps,
            site,
            call,
            values,
            blocks,
            last_pieces,
            slots,
            dynamic_slots,
            copied_calls,
            copied_addresses,
            handler_addresses,
            inherited_tags,
            outer,
            join: None,
            continues_in: None,
            normal_edge_used: false,
        }
    }

    pub(super) fn run(mut self) -> Copied {
        if self.has_srclocs {
            self.ensure_base_srcloc();
        }
        self.create_slots();
        let entry = self.bind_args();
        self.create_blocks(entry);
        let tables = self.tables;
        for (index, plan) in tables.blocks.iter().enumerate() {
            self.copy_block(index, plan);
        }
        self.aim_handler_addresses();
        self.order_copied_calls();
        self.hand_down_tags();
        copy_labels(self.caller, self.callee, &tables.labels, self.values);
        let outer_unused = self
            .outer
            .as_ref()
            .is_some_and(|outer| !self.normal_edge_used || outer.is_unused());
        Copied {
            continues_in: self.continues_in,
            leaves_unreachable: outer_unused
                || (self.site.kind == SiteKind::Call && self.continues_in.is_none()),
        }
    }

    /// A function's source locations are relative to its first one; without
    /// one, or with an unknown first one, none could be recorded.
    fn ensure_base_srcloc(&mut self) {
        let base = self.callee.params.base_srcloc();
        if base.is_default() || !self.caller.params.ensure_base_srcloc(base).is_default() {
            return;
        }
        let mut fresh = ir::function::FunctionParameters::new();
        fresh.ensure_base_srcloc(base);
        for name in self.caller.params.user_named_funcs().values() {
            fresh.ensure_user_func_name(name.clone());
        }
        if fresh.user_named_funcs() == self.caller.params.user_named_funcs() {
            self.caller.params = fresh;
        }
    }

    fn create_slots(&mut self) {
        let used = &self.tables.used;
        let callee = self.callee;
        for &slot in &used.slots.list {
            let data = callee.sized_stack_slots[slot].clone();
            self.slots[slot.index()] = self.caller.create_sized_stack_slot(data);
        }
        for &slot in &used.dynamic_slots.list {
            let mut data = callee.dynamic_stack_slots[slot].clone();
            data.dyn_ty = self.maps.dynamic_types[data.dyn_ty.index()];
            self.dynamic_slots[slot.index()] = self.caller.create_dynamic_stack_slot(data);
        }
    }

    /// Makes the entry block's parameters stand for the arguments. Returns the
    /// block in which the body starts.
    fn bind_args(&mut self) -> Block {
        let callee = self.callee;
        let mut block = self.site.block;
        let entry = self.tables.blocks[0].block;
        let params = callee.dfg.block_params(entry);
        for ((&param, &arg), abi) in params
            .iter()
            .zip(&self.site.args)
            .zip(&callee.signature.params)
        {
            self.values[param.index()] = match abi.purpose {
                ir::ArgumentPurpose::StructArgument(size) => {
                    let (copy, next) =
                        struct_args::copy(self.caller, block, arg, size, self.site.srcloc);
                    block = next;
                    copy
                }
                _ => arg,
            };
        }
        block
    }

    fn create_blocks(&mut self, entry: Block) {
        let tables = self.tables;
        self.blocks[0] = entry;
        let mut previous = entry;
        for &index in &tables.layout_order {
            let plan = &tables.blocks[index as usize];
            let block = self.new_block_after(previous, plan.cold);
            for &param in self.callee.dfg.block_params(plan.block) {
                let ty = self.callee.dfg.value_type(param);
                self.values[param.index()] = self.caller.dfg.append_block_param(block, ty);
            }
            self.blocks[index as usize] = block;
            previous = block;
        }
        self.last_pieces.clear();
        self.last_pieces.extend_from_slice(self.blocks);
        if self.site.kind == SiteKind::Call && tables.returns > 1 {
            // The results themselves become the parameters, so that no use of
            // them has to be looked at.
            let join = self.new_block_after(previous, false);
            let results: SmallVec<[Value; 4]> = self.caller.dfg.inst_results(self.call).into();
            self.caller.dfg.detach_inst_results(self.call);
            for result in results {
                self.caller.dfg.attach_block_param(join, result);
            }
            self.join = Some(join);
            self.continues_in = Some(join);
        }
    }

    fn new_block_after(&mut self, previous: Block, cold: bool) -> Block {
        let block = self.caller.dfg.make_block();
        self.caller.layout.insert_block_after(block, previous);
        if cold || self.cold {
            self.caller.layout.set_cold(block);
        }
        block
    }

    fn copy_block(&mut self, index: usize, plan: &BlockPlan) {
        let mut at = self.blocks[index];
        let tables = self.tables;
        for inst in &tables.insts[plan.insts.start as usize..plan.insts.end as usize] {
            match inst.class {
                InstClass::Plain => {
                    self.copy_inst(inst, at);
                }
                InstClass::SequencePoint => {
                    let copy = self.copy_inst(inst, at);
                    self.copy_tags(inst.inst, copy);
                }
                InstClass::Call => at = self.copy_call(inst, at),
                InstClass::TryCall => {
                    let copy = self.copy_inst(inst, at);
                    self.finish_call(inst.inst, copy);
                }
                InstClass::Return => self.copy_return(inst, at),
                InstClass::ReturnCall => self.copy_return_call(inst, at),
                InstClass::VmctxGlobal => self.copy_vmctx_global(inst, at),
                InstClass::HandlerAddress => self.copy_handler_address(inst, at),
            }
        }
        self.last_pieces[index] = at;
    }

    fn map_data(&mut self, inst: Inst) -> InstructionData {
        let dfg = &mut self.caller.stencil.dfg;
        self.callee.dfg.insts[inst].map(Mapper {
            callee: self.callee,
            tables: self.tables,
            maps: self.maps,
            values: self.values,
            blocks: self.blocks,
            slots: self.slots,
            dynamic_slots: self.dynamic_slots,
            outer: self.outer.as_mut(),
            value_lists: &mut dfg.value_lists,
            jump_tables: &mut dfg.jump_tables,
            exception_tables: &mut dfg.exception_tables,
        })
    }

    fn append(&mut self, data: InstructionData, at: Block, srcloc_of: Inst) -> Inst {
        let inst = self.caller.dfg.make_inst(data);
        self.caller.layout.append_inst(inst, at);
        if self.has_srclocs {
            let srcloc = self.callee.srcloc(srcloc_of);
            if !srcloc.is_default() {
                self.caller.set_srcloc(inst, srcloc);
            }
        }
        inst
    }

    fn copy_inst(&mut self, plan: &InstPlan, at: Block) -> Inst {
        let data = self.map_data(plan.inst);
        let copy = self.append(data, at, plan.inst);
        if plan.has_results {
            self.caller.dfg.make_inst_results(copy, plan.ctrl_type);
            let results = self.callee.dfg.inst_results(plan.inst);
            let copies = self.caller.dfg.inst_results(copy);
            for (result, &copy) in results.iter().zip(copies) {
                self.values[result.index()] = copy;
            }
        }
        copy
    }

    /// Only calls and sequence points come here: nothing else may carry tags.
    fn copy_tags(&mut self, inst: Inst, copy: Inst) {
        if !self.has_tags {
            return;
        }
        let own = self.callee.debug_tags.get(inst);
        if own.is_empty() {
            return;
        }
        let slots = &*self.slots;
        let own = own.iter().map(|tag| match tag {
            ir::DebugTag::User(value) => ir::DebugTag::User(*value),
            ir::DebugTag::StackSlot(slot) => ir::DebugTag::StackSlot(slots[slot.index()]),
        });
        let tags = self.site.tags.iter().cloned().chain(own);
        self.caller.debug_tags.set(copy, tags);
    }

    /// Tags, stack map and report of a copied call.
    fn finish_call(&mut self, inst: Inst, copy: Inst) {
        self.copy_tags(inst, copy);
        if self.caller.dfg.insts[copy].opcode().is_safepoint() {
            let own = self.callee.dfg.user_stack_map_entries(inst);
            let slots = &*self.slots;
            let own = own.unwrap_or_default().iter().map(|entry| {
                let mut entry = entry.clone();
                entry.slot = slots[entry.slot.index()];
                entry
            });
            let entries = self.site.stack_map.iter().cloned().chain(own);
            self.caller.dfg.append_user_stack_map_entries(copy, entries);
        }
        let is_direct = matches!(
            self.caller.dfg.insts[copy],
            InstructionData::Call { .. } | InstructionData::TryCall { .. }
        );
        if is_direct {
            self.copied_calls.push(CopiedCall {
                callee_inst: inst,
                inst: copy,
            });
        }
    }

    /// Returns the block in which the instructions after the call go on.
    fn copy_call(&mut self, plan: &InstPlan, at: Block) -> Block {
        if !self.outer.as_ref().is_some_and(OuterHandlers::catches) {
            let copy = self.copy_inst(plan, at);
            self.finish_call(plan.inst, copy);
            return at;
        }
        let mapped = self.map_data(plan.inst);
        let cold = self.caller.layout.is_cold(at);
        let rest = self.new_block_after(at, cold);
        let results = self.callee.dfg.inst_results(plan.inst);
        for &result in results {
            let ty = self.callee.dfg.value_type(result);
            self.values[result.index()] = self.caller.dfg.append_block_param(rest, ty);
        }
        let returned = (0u32..).take(results.len()).map(BlockArg::TryCallRet);
        let normal = BlockCall::new(rest, returned, &mut self.caller.stencil.dfg.value_lists);
        let copy = self.append_try_call(mapped, normal, at, plan.inst);
        self.finish_call(plan.inst, copy);
        rest
    }

    /// Appends `data`, a `call` or `call_indirect` of any kind, as one that
    /// catches what the replaced `try_call` would have caught.
    fn append_try_call(
        &mut self,
        data: InstructionData,
        normal: BlockCall,
        at: Block,
        srcloc_of: Inst,
    ) -> Inst {
        let dfg = &mut self.caller.stencil.dfg;
        let signature = match data {
            InstructionData::Call { func_ref, .. } => dfg.ext_funcs[func_ref].signature,
            InstructionData::CallIndirect { sig_ref, .. } => sig_ref,
            _ => return self.append(data, at, srcloc_of),
        };
        let items = self
            .outer
            .as_mut()
            .map(|outer| outer.copy_items(&mut dfg.value_lists))
            .unwrap_or_default();
        let table = ExceptionTableData::new(signature, normal, items);
        let exception = dfg.exception_tables.push(table);
        let data = match data {
            InstructionData::Call { args, func_ref, .. } => InstructionData::TryCall {
                opcode: Opcode::TryCall,
                args,
                func_ref,
                exception,
            },
            InstructionData::CallIndirect { args, .. } => InstructionData::TryCallIndirect {
                opcode: Opcode::TryCallIndirect,
                args,
                exception,
            },
            other => other,
        };
        self.append(data, at, srcloc_of)
    }

    fn copy_return(&mut self, plan: &InstPlan, at: Block) {
        if self.site.kind == SiteKind::ReturnCall {
            self.copy_inst(plan, at);
            return;
        }
        let returned: SmallVec<[Value; 4]> = self
            .callee
            .dfg
            .inst_args(plan.inst)
            .iter()
            .map(|value| self.values[self.tables.resolved[value.index()].index()])
            .collect();
        self.leave(&returned, at, plan.inst);
    }

    /// Goes on after the call with `returned`.
    fn leave(&mut self, returned: &[Value], at: Block, srcloc_of: Inst) {
        if let Some(outer) = &self.outer {
            self.normal_edge_used = true;
            let pool = &mut self.caller.stencil.dfg.value_lists;
            let destination = outer.normal_with(returned, pool);
            self.append(jump(destination), at, srcloc_of);
            return;
        }
        let args = returned.iter().map(|&value| BlockArg::Value(value));
        if let Some(join) = self.join {
            let pool = &mut self.caller.stencil.dfg.value_lists;
            let destination = BlockCall::new(join, args, pool);
            self.append(jump(destination), at, srcloc_of);
            return;
        }
        let results: SmallVec<[Value; 4]> = self.caller.dfg.inst_results(self.call).into();
        self.caller.dfg.detach_inst_results(self.call);
        for (result, &value) in results.into_iter().zip(returned) {
            self.caller.dfg.change_to_alias(result, value);
            move_labels(self.caller, result, value);
        }
        self.continues_in = Some(at);
    }

    fn copy_return_call(&mut self, plan: &InstPlan, at: Block) {
        if self.site.kind == SiteKind::ReturnCall {
            let copy = self.copy_inst(plan, at);
            self.finish_call(plan.inst, copy);
            return;
        }
        let data = match self.map_data(plan.inst) {
            InstructionData::Call { args, func_ref, .. } => InstructionData::Call {
                opcode: Opcode::Call,
                args,
                func_ref,
            },
            InstructionData::CallIndirect { args, sig_ref, .. } => InstructionData::CallIndirect {
                opcode: Opcode::CallIndirect,
                args,
                sig_ref,
            },
            other => other,
        };
        if let Some(outer) = self.outer.as_ref().filter(|outer| outer.catches()) {
            // What the tail callee returns is what the `try_call` returned.
            self.normal_edge_used = true;
            let normal = outer
                .normal
                .deep_clone(&mut self.caller.stencil.dfg.value_lists);
            let copy = self.append_try_call(data, normal, at, plan.inst);
            self.finish_call(plan.inst, copy);
            return;
        }
        let copy = self.append(data, at, plan.inst);
        self.caller.dfg.make_inst_results(copy, types::INVALID);
        self.finish_call(plan.inst, copy);
        let returned: SmallVec<[Value; 4]> = self.caller.dfg.inst_results(copy).into();
        self.leave(&returned, at, plan.inst);
    }

    /// A global value that starts from the callee's `vmctx` becomes the
    /// computation that it stands for, starting from the argument.
    fn copy_vmctx_global(&mut self, plan: &InstPlan, at: Block) {
        let InstructionData::UnaryGlobalValue { global_value, .. } =
            self.callee.dfg.insts[plan.inst]
        else {
            return;
        };
        if self.site.shares_vmctx {
            self.copy_inst(plan, at);
            return;
        }
        let value = self.expand_global(global_value, at, plan.inst);
        for result in self.callee.dfg.inst_results(plan.inst) {
            self.values[result.index()] = value;
        }
    }

    fn expand_global(&mut self, global: ir::GlobalValue, at: Block, srcloc_of: Inst) -> Value {
        let mut chain: SmallVec<[ir::GlobalValue; 4]> = SmallVec::new();
        let mut current = global;
        while let GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. } =
            &self.callee.global_values[current]
        {
            chain.push(current);
            current = *base;
        }
        let vmctx = self
            .callee
            .signature
            .special_param_index(ir::ArgumentPurpose::VMContext);
        let mut value = vmctx.map_or(Value::reserved_value(), |index| self.site.args[index]);
        for step in chain.into_iter().rev() {
            let (data, ty) = match self.callee.global_values[step] {
                GlobalValueData::Load {
                    offset,
                    global_type,
                    flags,
                    ..
                } => {
                    let load = InstructionData::Load {
                        opcode: Opcode::Load,
                        arg: value,
                        flags: self.maps.mem_flags[flags.index()],
                        offset,
                    };
                    (load, global_type)
                }
                GlobalValueData::IAddImm {
                    offset,
                    global_type,
                    ..
                } => {
                    let imm = mask(offset.bits(), global_type);
                    let iconst = InstructionData::UnaryImm {
                        opcode: Opcode::Iconst,
                        imm: imm.into(),
                    };
                    let amount = self.append_with_result(iconst, global_type, at, srcloc_of);
                    let add = InstructionData::Binary {
                        opcode: Opcode::Iadd,
                        args: [value, amount],
                    };
                    (add, global_type)
                }
                _ => continue,
            };
            value = self.append_with_result(data, ty, at, srcloc_of);
        }
        value
    }

    fn append_with_result(
        &mut self,
        data: InstructionData,
        ty: ir::Type,
        at: Block,
        srcloc_of: Inst,
    ) -> Value {
        let inst = self.append(data, at, srcloc_of);
        self.caller.dfg.make_inst_results(inst, ty);
        self.caller.dfg.first_result(inst)
    }

    /// The block that is named is known only when all blocks are copied.
    fn copy_handler_address(&mut self, plan: &InstPlan, at: Block) {
        let copy = self.copy_inst(plan, at);
        self.copied_addresses.push(copy);
    }

    fn aim_handler_addresses(&mut self) {
        for &inst in &*self.copied_addresses {
            let InstructionData::ExceptionHandlerAddress { opcode, block, imm } =
                self.caller.dfg.insts[inst]
            else {
                continue;
            };
            let named = self.tables.block_index[block.index()];
            self.caller.dfg.insts[inst] = match self.last_pieces.get(named as usize) {
                Some(&block) => InstructionData::ExceptionHandlerAddress { opcode, block, imm },
                // The named call is unreachable, so nothing ever resumes there.
                None => null_address(),
            };
            self.handler_addresses.add(self.caller, inst);
        }
    }

    /// Calls were copied in reverse postorder, but are visited as they stand.
    fn order_copied_calls(&mut self) {
        let tables = self.tables;
        if !tables.layout_is_ordered && self.copied_calls.len() > 1 {
            let layout = &self.callee.layout;
            self.copied_calls.sort_by_key(|call| {
                let block = layout.inst_block(call.callee_inst);
                block.map(|block| tables.block_place[block.index()])
            });
        }
    }

    fn hand_down_tags(&mut self) {
        if self.site.tags.is_empty() {
            return;
        }
        let tags = &self.caller.debug_tags;
        let untagged = self.copied_calls.iter().map(|copied| copied.inst);
        let untagged = untagged.filter(|&call| !tags.has(call));
        self.inherited_tags.note(untagged, &self.site.tags);
    }
}

/// Makes room for `len` translations.
fn grow<T: ReservedValue + Clone>(translations: &mut Vec<T>, len: usize) {
    if translations.len() < len {
        translations.resize(len, T::reserved_value());
    }
}

fn jump(destination: BlockCall) -> InstructionData {
    InstructionData::Jump {
        opcode: Opcode::Jump,
        destination,
    }
}

/// `iconst` takes an immediate whose bits beyond its type are zero.
fn mask(bits: i64, ty: ir::Type) -> i64 {
    match ty.bits() {
        0..64 => bits & ((1 << ty.bits()) - 1),
        _ => bits,
    }
}

/// Whether an item of an exception table catches.
pub(super) fn is_handler(item: &ExceptionTableItem) -> bool {
    !matches!(item, ExceptionTableItem::Context(_))
}
