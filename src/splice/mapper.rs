//! Translates an instruction's operands from callee to caller.

use super::entities::EntityMaps;
use super::tables::Tables;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::instructions::{InstructionMapper, ValueListPool};
use cranelift_codegen::ir::{
    self, Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, Function,
    JumpTableData, Value,
};
use smallvec::SmallVec;

/// The exception table of a replaced `try_call`.
pub(super) struct OuterHandlers {
    pub(super) normal: BlockCall,
    items: Vec<ExceptionTableItem>,
    catches: bool,
    used: bool,
}

impl OuterHandlers {
    pub(super) fn new(table: &ExceptionTableData) -> Self {
        let items: Vec<_> = table.items().collect();
        OuterHandlers {
            normal: *table.normal_return(),
            catches: items.iter().any(is_handler),
            items,
            used: false,
        }
    }

    /// Returns whether there is a handler at all.
    pub(super) fn catches(&self) -> bool {
        self.catches
    }

    /// Returns whether there are handlers that no copied call reaches.
    pub(super) fn is_unused(&self) -> bool {
        self.catches && !self.used
    }

    /// Returns the items for one more call. Lists of arguments are not shared between instructions,
    /// which may change them independently.
    pub(super) fn copy_items(&mut self, pool: &mut ValueListPool) -> Vec<ExceptionTableItem> {
        self.used = true;
        self.items
            .iter()
            .map(|item| match item {
                ExceptionTableItem::Tag(tag, call) => {
                    ExceptionTableItem::Tag(*tag, call.deep_clone(pool))
                }
                ExceptionTableItem::Default(call) => {
                    ExceptionTableItem::Default(call.deep_clone(pool))
                }
                ExceptionTableItem::Context(value) => ExceptionTableItem::Context(*value),
            })
            .collect()
    }

    /// Returns the normal edge, with `returned` in the place of the call's results.
    pub(super) fn normal_with(&self, returned: &[Value], pool: &mut ValueListPool) -> BlockCall {
        let args: SmallVec<[BlockArg; 8]> = self
            .normal
            .args(pool)
            .map(|arg| match arg {
                BlockArg::TryCallRet(index) => returned
                    .get(index as usize)
                    .map_or(arg, |&value| BlockArg::Value(value)),
                other => other,
            })
            .collect();
        BlockCall::new(self.normal.block(pool), args, pool)
    }
}

pub(super) struct Mapper<'a> {
    pub(super) callee: &'a Function,
    pub(super) tables: &'a Tables,
    pub(super) maps: &'a EntityMaps,
    pub(super) values: &'a [Value],
    pub(super) blocks: &'a [Block],
    pub(super) slots: &'a [ir::StackSlot],
    pub(super) dynamic_slots: &'a [ir::DynamicStackSlot],
    pub(super) outer: Option<&'a mut OuterHandlers>,
    pub(super) value_lists: &'a mut ValueListPool,
    pub(super) jump_tables: &'a mut ir::JumpTables,
    pub(super) exception_tables: &'a mut ir::ExceptionTables,
}

impl InstructionMapper for Mapper<'_> {
    #[inline]
    fn map_value(&mut self, value: Value) -> Value {
        self.values[self.tables.resolved[value.index()].index()]
    }

    fn map_value_list(&mut self, list: ir::ValueList) -> ir::ValueList {
        let (values, resolved) = (self.values, &self.tables.resolved);
        let mapped = list
            .as_slice(&self.callee.dfg.value_lists)
            .iter()
            .map(|value| values[resolved[value.index()].index()]);
        ir::ValueList::from_iter(mapped, self.value_lists)
    }

    fn map_global_value(&mut self, global: ir::GlobalValue) -> ir::GlobalValue {
        self.maps.globals[global.index()]
    }

    fn map_jump_table(&mut self, table: ir::JumpTable) -> ir::JumpTable {
        let callee = self.callee;
        let data = &callee.dfg.jump_tables[table];
        let default = self.map_block_call(data.default_block());
        let targets: SmallVec<[BlockCall; 16]> = data
            .as_slice()
            .iter()
            .map(|&call| self.map_block_call(call))
            .collect();
        self.jump_tables.push(JumpTableData::new(default, &targets))
    }

    fn map_exception_table(&mut self, table: ir::ExceptionTable) -> ir::ExceptionTable {
        let callee = self.callee;
        let data = &callee.dfg.exception_tables[table];
        let signature = self.map_sig_ref(data.signature());
        let normal = self.map_block_call(*data.normal_return());
        let mut catches_all = false;
        let mut items: SmallVec<[ExceptionTableItem; 8]> = data
            .items()
            .map(|item| match item {
                ExceptionTableItem::Tag(tag, call) => {
                    ExceptionTableItem::Tag(tag, self.map_block_call(call))
                }
                ExceptionTableItem::Default(call) => {
                    catches_all = true;
                    ExceptionTableItem::Default(self.map_block_call(call))
                }
                ExceptionTableItem::Context(value) => {
                    ExceptionTableItem::Context(self.map_value(value))
                }
            })
            .collect();
        // Exceptions that the callee catches in any case never reached the caller. Some readers of
        // exception tables try all tags before the default, so that adding the caller's tags behind
        // it would not be harmless.
        if let Some(outer) = self.outer.as_mut().filter(|outer| outer.catches())
            && !catches_all
        {
            items.extend(outer.copy_items(self.value_lists));
        }
        self.exception_tables
            .push(ExceptionTableData::new(signature, normal, items))
    }

    fn map_block_call(&mut self, call: BlockCall) -> BlockCall {
        let pool = &self.callee.dfg.value_lists;
        let index = self.tables.block_index[call.block(pool).index()];
        let block = self.blocks[index as usize];
        let (values, resolved) = (self.values, &self.tables.resolved);
        let args = call
            .args(pool)
            .map(|arg| arg.map_value(|value| values[resolved[value.index()].index()]));
        BlockCall::new(block, args, self.value_lists)
    }

    /// Keeps the block. Only `get_exception_handler_address` names one without branching to it, and
    /// is translated when the place of the terminator is known.
    fn map_block(&mut self, block: Block) -> Block {
        block
    }

    fn map_func_ref(&mut self, func_ref: ir::FuncRef) -> ir::FuncRef {
        self.maps.functions[func_ref.index()]
    }

    fn map_sig_ref(&mut self, sig_ref: ir::SigRef) -> ir::SigRef {
        self.maps.signatures[sig_ref.index()]
    }

    fn map_stack_slot(&mut self, slot: ir::StackSlot) -> ir::StackSlot {
        self.slots[slot.index()]
    }

    fn map_dynamic_stack_slot(&mut self, slot: ir::DynamicStackSlot) -> ir::DynamicStackSlot {
        self.dynamic_slots[slot.index()]
    }

    fn map_constant(&mut self, constant: ir::Constant) -> ir::Constant {
        self.maps.constants[constant.index()]
    }

    fn map_immediate(&mut self, immediate: ir::Immediate) -> ir::Immediate {
        self.maps.immediates[immediate.index()]
    }

    fn map_mem_flags(&mut self, flags: ir::MemFlags) -> ir::MemFlags {
        self.maps.mem_flags[flags.index()]
    }
}

/// Returns whether an item of an exception table catches.
fn is_handler(item: &ExceptionTableItem) -> bool {
    !matches!(item, ExceptionTableItem::Context(_))
}
