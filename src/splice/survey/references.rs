//! The entities that instructions refer to: each must exist, and is noted.

use super::Survey;
use cranelift_codegen::ir::instructions::InstructionMapper;
use cranelift_codegen::ir::{self, Block, BlockCall, ExceptionTableItem, GlobalValueData, Value};

impl Survey<'_> {
    pub(super) fn fail(&mut self, message: String) {
        self.error.get_or_insert(message);
    }

    pub(super) fn slot(&mut self, slot: ir::StackSlot) {
        if self.func.sized_stack_slots.is_valid(slot) {
            self.tables.used.slots.add(slot);
        } else {
            self.fail(format!("{slot} does not exist"));
        }
    }
}

/// Visiting operands through Cranelift's own mapper covers every instruction format, including
/// those of later versions.
impl InstructionMapper for Survey<'_> {
    /// Returns the value behind `value`, after following aliases.
    #[inline]
    fn map_value(&mut self, value: Value) -> Value {
        self.resolve(value).unwrap_or_else(|| {
            self.fail(format!("{value} is used before its definition"));
            value
        })
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
            GlobalValueData::Symbol { name, tls, .. } => {
                self.tables.facts.reads_thread_locals |= tls;
                if !name_is_valid(func, name) {
                    self.fail(format!("{global} has no name"));
                }
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
        // The pool has no check of its own; where the constant is missing, this panics and
        // `Callee::new` turns that into an error.
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

/// Returns whether a user-defined name is in the function's own table of names.
fn name_is_valid(func: &ir::Function, name: &ir::ExternalName) -> bool {
    match name {
        ir::ExternalName::User(name_ref) => func.params.user_named_funcs().is_valid(*name_ref),
        _ => true,
    }
}
