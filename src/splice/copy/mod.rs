//! Copies one callee body into one call site.
//!
//! By the time a [`BodyCopier`] exists, the call has been taken out of its block, and nothing can
//! fail any more. The callee's entry block goes on in the call's block; its other blocks follow in
//! the caller's layout in their own order. Instructions are appended in reverse postorder, so that
//! each value's translation is known before it is used. A callee of one block may go between the
//! instructions around the call instead.

mod calls;
mod globals;

use super::context::SpliceContext;
use super::entities::EntityMaps;
use super::inherited_tags::InheritedTags;
use super::mapper::{Mapper, OuterHandlers};
use super::shared_slots::{SharedSlots, Sharers};
use super::site::{Site, SiteKind};
use super::tables::{BlockPlan, CopiedCall, InstClass, InstPlan, Results, Tables};
use super::{Callee, SpliceLocations, struct_args};
use crate::body::{HandlerAddresses, copy_labels, map_common, null_address, set_srcloc};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::ir::{self, Block, Function, Inst, InstructionData, MemFlags, Value};
use smallvec::SmallVec;

/// The results of a copy for the session.
pub(super) struct Copied {
    /// Where the instructions after a `call` continue; `None` where the callee
    /// never returns to them.
    pub(super) continues_in: Option<Block>,
    /// Whether blocks of the caller may have lost their last predecessor.
    pub(super) leaves_unreachable: bool,
}

pub(super) struct BodyCopier<'a> {
    caller: &'a mut Function,
    callee: &'a Function,
    tables: &'a Tables,
    maps: &'a EntityMaps,
    site: &'a Site,
    /// Whether stores of the caller or of any copy may have alias regions.
    stores_have_regions: bool,
    call: Inst,
    /// The instruction before which the copy goes, if not at the end of its blocks.
    before: Option<Inst>,
    /// Translations by the callee's index. Only the entities that the callee uses are set.
    values: &'a mut Vec<Value>,
    /// Translations by the index in [`Tables::blocks`].
    blocks: &'a mut Vec<Block>,
    /// Where each block's terminator is, which differs from `blocks` where
    /// calls became `try_call`s.
    last_pieces: &'a mut Vec<Block>,
    slots: &'a mut Vec<ir::StackSlot>,
    shared_slots: &'a mut SharedSlots,
    dynamic_slots: &'a mut Vec<ir::DynamicStackSlot>,
    copied_calls: &'a mut Vec<CopiedCall>,
    copied_addresses: &'a mut Vec<Inst>,
    handler_addresses: &'a mut HandlerAddresses,
    inherited_tags: &'a mut InheritedTags,
    aliases: &'a mut Vec<Value>,
    outer: Option<OuterHandlers>,
    cold: bool,
    /// `None` if the callee has no locations to translate.
    locations: Option<&'a mut dyn SpliceLocations>,
    has_tags: bool,
    join: Option<Block>,
    continues_in: Option<Block>,
    normal_edge_used: bool,
}

impl<'a> BodyCopier<'a> {
    pub(super) fn new(
        caller: &'a mut Function,
        context: &'a mut SpliceContext,
        callee: &'a Callee<'_>,
        site: &'a Site,
        call: Inst,
        before: Option<Inst>,
        locations: &'a mut dyn SpliceLocations,
    ) -> Self {
        let SpliceContext {
            entities,
            values,
            blocks,
            last_pieces,
            slots,
            shared_slots,
            dynamic_slots,
            copied_calls,
            copied_addresses,
            handler_addresses,
            inherited_tags,
            aliases,
            ..
        } = context;
        copied_calls.clear();
        copied_addresses.clear();
        let maps = entities.maps(callee, site.shares_vmctx);
        let stores_have_regions = entities.promises.stores_have_regions();
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
        blocks.resize(callee.tables().blocks.len(), Block::reserved_value());
        BodyCopier {
            cold: caller.layout.is_cold(site.block),
            locations: (locations.places_unknown() || !func.srclocs.is_empty())
                .then_some(locations),
            has_tags: !func.debug_tags.is_empty(),
            caller,
            callee: func,
            tables: callee.tables(),
            maps,
            site,
            stores_have_regions,
            call,
            before,
            values,
            blocks,
            last_pieces,
            slots,
            shared_slots,
            dynamic_slots,
            copied_calls,
            copied_addresses,
            handler_addresses,
            inherited_tags,
            aliases,
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
        self.make_room(entry);
        let tables = self.tables;
        for (index, plan) in tables.blocks.iter().enumerate() {
            self.copy_block(index, plan);
        }
        self.aim_handler_addresses();
        self.order_copied_calls();
        self.shared_slots.leave(self.copied_calls);
        self.hand_down_tags();
        let (locations, call) = (&mut self.locations, self.site.srcloc);
        copy_labels(
            self.caller,
            self.callee,
            &tables.labels,
            self.values,
            |location| match locations {
                Some(locations) if !location.is_default() || locations.places_unknown() => {
                    locations.spliced(location, call)
                }
                _ => location,
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
        self.shared_slots.enter(self.call);
        for (&slot, &access) in used.slots.list.iter().zip(&self.tables.slot_access) {
            let data = callee.sized_stack_slots[slot].clone();
            let sharers = self.shared_slots.sharers(self.tables, slot, access);
            self.slots[slot.index()] = self.shared_slots.take(self.caller, data, sharers);
        }
        for &slot in &used.dynamic_slots.list {
            let mut data = callee.dynamic_stack_slots[slot].clone();
            data.dyn_ty = self.maps.dynamic_types[data.dyn_ty.index()];
            self.dynamic_slots[slot.index()] = self.caller.create_dynamic_stack_slot(data);
        }
    }

    /// Maps the entry block's parameters to the arguments. Returns the block in which the body
    /// starts.
    fn bind_args(&mut self) -> Block {
        let callee = self.callee;
        let mut block = self.site.block;
        let entry = self.tables.blocks[0].block;
        let stores_have_regions = self.stores_have_regions;
        let params = callee.dfg.block_params(entry);
        let abis = callee.signature.params.iter().enumerate();
        for ((&param, &arg), (index, abi)) in params.iter().zip(&self.site.args).zip(abis) {
            self.values[param.index()] = match abi.purpose {
                ir::ArgumentPurpose::StructArgument(size) => {
                    let sharers = Sharers::Structure(self.tables.facts.id, index);
                    let data = struct_args::slot_data(size);
                    let slot = self.shared_slots.take(self.caller, data, sharers);
                    let (copy, next) = struct_args::copy(
                        self.caller,
                        block,
                        arg,
                        slot,
                        size,
                        self.site.srcloc,
                        stores_have_regions,
                    );
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
        if self.site.kind == SiteKind::Call && tables.facts.returns > 1 {
            // The results themselves become the parameters, so that no use of them has to change.
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

    /// Lets the caller's tables grow once for all copied instructions.
    fn make_room(&mut self, block: Block) {
        let insts = self.tables.facts.certain_insts;
        let Some(last) = insts.checked_sub(1) else {
            return;
        };
        let end = self.caller.dfg.num_insts() + insts;
        // The layout grows when an instruction is put into it. This one will
        // be made and put into its place before the copy is done.
        let last = Inst::new(self.caller.dfg.num_insts() + last);
        let layout = &mut self.caller.layout;
        layout.append_inst(last, block);
        layout.remove_inst(last);
        if self.locations.is_some() && self.caller.srclocs.as_values_slice().len() < end {
            self.caller.srclocs.resize(end);
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
                    self.copy_plain(inst, at);
                }
                InstClass::SequencePoint => {
                    let copy = self.copy_inst(inst, at);
                    self.copy_tags(inst.inst, copy);
                }
                InstClass::Call => at = self.copy_call(inst, at),
                InstClass::TryCall | InstClass::StackSwitch => {
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

    /// Returns the caller's version of an instruction.
    #[inline(always)]
    pub(super) fn map_data(&mut self, plan: &InstPlan) -> InstructionData {
        let value = |value: Value| Some(self.values[value.index()]);
        let flags = |flags: MemFlags| Some(self.maps.mem_flags[flags.index()]);
        match map_common::<false>(&plan.data, value, flags) {
            Some(data) => data,
            None => self.map_any(plan.data),
        }
    }

    #[inline(never)]
    fn map_any(&mut self, data: InstructionData) -> InstructionData {
        let dfg = &mut self.caller.stencil.dfg;
        data.map(&mut Mapper {
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

    // Always inlined, because every copied instruction goes through here.
    #[inline(always)]
    fn append(&mut self, data: InstructionData, at: Block, srcloc_of: Inst) -> Inst {
        let inst = self.caller.dfg.make_inst(data);
        match self.before {
            None => self.caller.layout.append_inst(inst, at),
            Some(next) => insert(self.caller, inst, next),
        }
        if let Some(locations) = &mut self.locations {
            let own = self.callee.srcloc(srcloc_of);
            let location = locations.spliced(own, self.site.srcloc);
            set_srcloc(self.caller, inst, location);
        }
        inst
    }

    #[inline(never)]
    fn copy_inst(&mut self, plan: &InstPlan, at: Block) -> Inst {
        self.copy_plain(plan, at)
    }

    // A part of the loop over a block, for which nearly all instructions are plain.
    #[inline(always)]
    fn copy_plain(&mut self, plan: &InstPlan, at: Block) -> Inst {
        let data = self.map_data(plan);
        let copy = self.append(data, at, plan.inst);
        match plan.results {
            Results::None => {}
            Results::One(result) => {
                let dfg = &mut self.caller.stencil.dfg;
                // New values are numbered in the order in which they are made.
                self.values[result.index()] = Value::new(dfg.num_values());
                dfg.make_inst_results(copy, plan.ctrl_type);
            }
            Results::Several => {
                self.caller.dfg.make_inst_results(copy, plan.ctrl_type);
                let results = self.callee.dfg.inst_results(plan.inst);
                let copies = self.caller.dfg.inst_results(copy);
                for (result, &copy) in results.iter().zip(copies) {
                    self.values[result.index()] = copy;
                }
            }
        }
        copy
    }

    /// Copies tags. Only calls and sequence points may have them.
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

    /// Copies a `get_exception_handler_address`. The named block is known only after all blocks are
    /// copied.
    fn copy_handler_address(&mut self, plan: &InstPlan, at: Block) {
        let copy = self.copy_inst(plan, at);
        self.copied_addresses.push(copy);
    }

    fn aim_handler_addresses(&mut self) {
        for &inst in &*self.copied_addresses {
            let InstructionData::ExceptionHandlerAddress { opcode, block, imm } =
                self.caller.dfg.insts[inst]
            else {
                debug_assert!(false, "{inst} is the address of a handler");
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

    /// Sorts the copied calls by layout; they were copied in reverse postorder.
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

/// Inserts before `next`. A separate function keeps appending short, which is the usual case.
#[inline(never)]
fn insert(caller: &mut Function, inst: Inst, next: Inst) {
    caller.layout.insert_inst(inst, next);
}

/// Makes room for `len` translations.
fn grow<T: ReservedValue + Clone>(translations: &mut Vec<T>, len: usize) {
    if translations.len() < len {
        translations.resize(len, T::reserved_value());
    }
}
