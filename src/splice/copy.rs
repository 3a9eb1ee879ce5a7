//! Copying one callee body into one call site.
//!
//! By the time a [`Copy`] exists, the call is the last instruction of its block
//! or has just been taken out of it, and nothing can fail any more. The callee's
//! entry block goes on in the call's block; its other blocks follow in the
//! caller's layout in their own order. Instructions are appended in reverse
//! postorder, so that each value's translation is known before it is used.

use super::callee::{BlockPlan, CalleeTables, InstClass, InstPlan};
use super::entities::EntityMaps;
use super::mapper::{Mapper, OuterHandlers};
use super::session::{CopiedCall, SpliceContext};
use super::site::{Site, SiteKind};
use super::{Callee, SpliceLocations, struct_args};
use crate::body::{copy_labels, move_labels, set_srcloc};
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
    /// Translations by the callee's index.
    values: &'a mut Vec<Value>,
    blocks: &'a mut Vec<Block>,
    /// Where each block's terminator is, which differs from `blocks` where
    /// calls became `try_call`s.
    last_pieces: &'a mut Vec<Block>,
    slots: &'a mut Vec<ir::StackSlot>,
    dynamic_slots: &'a mut Vec<ir::DynamicStackSlot>,
    copied_calls: &'a mut Vec<CopiedCall>,
    handler_addresses: &'a mut Vec<Inst>,
    outer: Option<OuterHandlers>,
    cold: bool,
    /// `None` where the callee has no locations to be translated.
    locations: Option<&'a mut dyn SpliceLocations>,
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
        locations: &'a mut dyn SpliceLocations,
    ) -> Self {
        let SpliceContext {
            entities,
            values,
            blocks,
            last_pieces,
            slots,
            dynamic_slots,
            copied_calls,
            handler_addresses,
            ..
        } = context;
        copied_calls.clear();
        let maps = entities.translate(caller, callee, site.shares_vmctx);
        let outer = match site.kind {
            SiteKind::TryCall(exception) => {
                Some(OuterHandlers::new(&caller.dfg.exception_tables[exception]))
            }
            SiteKind::Call | SiteKind::ReturnCall => None,
        };
        let func = callee.func;
        values.resize(func.dfg.num_values(), Value::reserved_value());
        blocks.clear();
        blocks.resize(func.dfg.num_blocks(), Block::reserved_value());
        Copy {
            cold: caller.layout.is_cold(site.block),
            locations: (locations.places_unknown() || !func.srclocs.is_empty())
                .then_some(locations),
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
            handler_addresses,
            outer,
            join: None,
            continues_in: None,
            normal_edge_used: false,
        }
    }

    pub(super) fn run(mut self) -> Copied {
        self.create_slots();
        let entry = self.bind_args();
        self.create_blocks(entry);
        let first_address = self.handler_addresses.len();
        let tables = self.tables;
        for plan in &tables.blocks {
            self.copy_block(plan);
        }
        self.aim_handler_addresses(first_address);
        let (locations, call) = (&mut self.locations, self.site.srcloc);
        copy_labels(
            self.caller,
            self.callee,
            &tables.labels,
            self.values,
            |location| match locations {
                Some(locations) => locations.spliced(location, call),
                None => location,
            },
        );
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

    fn create_slots(&mut self) {
        let used = &self.tables.used;
        let callee = self.callee;
        self.slots.clear();
        self.slots.resize(
            callee.sized_stack_slots.len(),
            ir::StackSlot::reserved_value(),
        );
        for &slot in &used.slots.list {
            let data = callee.sized_stack_slots[slot].clone();
            self.slots[slot.index()] = self.caller.create_sized_stack_slot(data);
        }
        self.dynamic_slots.clear();
        self.dynamic_slots.resize(
            callee.dynamic_stack_slots.len(),
            ir::DynamicStackSlot::reserved_value(),
        );
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
        self.blocks[tables.blocks[0].block.index()] = entry;
        let mut previous = entry;
        for &index in &tables.layout_order {
            let plan = &tables.blocks[index as usize];
            let block = self.new_block_after(previous, plan.cold);
            for &param in self.callee.dfg.block_params(plan.block) {
                let ty = self.callee.dfg.value_type(param);
                self.values[param.index()] = self.caller.dfg.append_block_param(block, ty);
            }
            self.blocks[plan.block.index()] = block;
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

    fn copy_block(&mut self, plan: &BlockPlan) {
        let mut at = self.blocks[plan.block.index()];
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
        self.last_pieces[plan.block.index()] = at;
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
        if let Some(locations) = &mut self.locations {
            let own = self.callee.srcloc(srcloc_of);
            let location = locations.spliced(own, self.site.srcloc);
            set_srcloc(self.caller, inst, location);
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
        self.handler_addresses.push(copy);
    }

    fn aim_handler_addresses(&mut self, first: usize) {
        let mut kept = first;
        for index in first..self.handler_addresses.len() {
            let inst = self.handler_addresses[index];
            let InstructionData::ExceptionHandlerAddress { opcode, block, imm } =
                self.caller.dfg.insts[inst]
            else {
                continue;
            };
            let named = self.last_pieces[block.index()];
            self.caller.dfg.insts[inst] = if named.is_reserved_value() {
                // The named call is unreachable, so nothing ever resumes there.
                InstructionData::UnaryImm {
                    opcode: Opcode::Iconst,
                    imm: 0.into(),
                }
            } else {
                self.handler_addresses[kept] = inst;
                kept += 1;
                InstructionData::ExceptionHandlerAddress {
                    opcode,
                    block: named,
                    imm,
                }
            };
        }
        self.handler_addresses.truncate(kept);
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
