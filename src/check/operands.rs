//! Compares the operands of two instructions.

use super::assigned::Assigned;
use super::difference::Difference;
use super::tables::{NamedBlock, Walk};
use super::tree::CopyId;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::instructions::InstructionMapper;
use cranelift_codegen::ir::{
    self, BlockArg, BlockCall, Inst, InstructionData, Value, ValueList, ValueListPool,
};

/// An operand of an instruction that refers to an entity or a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Value(Value),
    List(ValueList),
    Global(ir::GlobalValue),
    /// An edge, or a table of edges.
    Edge,
    Block(ir::Block),
    Function(ir::FuncRef),
    Signature(ir::SigRef),
    Slot(ir::StackSlot),
    DynamicSlot(ir::DynamicStackSlot),
    Constant(ir::Constant),
    Immediate(ir::Immediate),
    MemFlags(ir::MemFlags),
}

/// Splits an instruction into its references, and the rest with all references blanked, which can
/// be compared directly.
pub(super) fn take_apart(data: &InstructionData) -> (Vec<Operand>, InstructionData) {
    let mut parts = Parts {
        operands: Vec::new(),
        blank_call: BlockCall::new(ir::Block::new(0), [], &mut ValueListPool::new()),
    };
    let blank = data.map(&mut parts);
    (parts.operands, blank)
}

struct Parts {
    operands: Vec<Operand>,
    blank_call: BlockCall,
}

macro_rules! blank {
    ($($method:ident: $ty:ty => $variant:ident),* $(,)?) => {
        $(fn $method(&mut self, entity: $ty) -> $ty {
            self.operands.push(Operand::$variant(entity));
            <$ty>::new(0)
        })*
    };
}

impl InstructionMapper for Parts {
    blank! {
        map_value: Value => Value,
        map_global_value: ir::GlobalValue => Global,
        map_block: ir::Block => Block,
        map_func_ref: ir::FuncRef => Function,
        map_sig_ref: ir::SigRef => Signature,
        map_stack_slot: ir::StackSlot => Slot,
        map_dynamic_stack_slot: ir::DynamicStackSlot => DynamicSlot,
        map_constant: ir::Constant => Constant,
        map_immediate: ir::Immediate => Immediate,
        map_mem_flags: ir::MemFlags => MemFlags,
    }

    fn map_value_list(&mut self, list: ValueList) -> ValueList {
        self.operands.push(Operand::List(list));
        ValueList::new()
    }

    fn map_block_call(&mut self, _: BlockCall) -> BlockCall {
        self.operands.push(Operand::Edge);
        self.blank_call
    }

    fn map_jump_table(&mut self, _: ir::JumpTable) -> ir::JumpTable {
        self.operands.push(Operand::Edge);
        ir::JumpTable::new(0)
    }

    fn map_exception_table(&mut self, _: ir::ExceptionTable) -> ir::ExceptionTable {
        self.operands.push(Operand::Edge);
        ir::ExceptionTable::new(0)
    }
}

impl Walk<'_> {
    /// Compares everything but edges, which are followed, and the results.
    pub(super) fn compare(
        &mut self,
        copy: CopyId,
        inst: Inst,
        data: &InstructionData,
        result: Inst,
        result_data: &InstructionData,
    ) -> Result<(), Difference> {
        let (operands, rest) = take_apart(data);
        let (result_operands, result_rest) = take_apart(result_data);
        if rest != result_rest || operands.len() != result_operands.len() {
            let message = format!(
                "`{}` became `{}`",
                self.tree.func(copy).dfg.display_inst(inst),
                self.after.dfg.display_inst(result)
            );
            return Err(self.at(copy, inst, message).with_result(result));
        }
        for (operand, result_operand) in operands.into_iter().zip(result_operands) {
            self.compare_operand(copy, inst, operand, result, result_operand)?;
        }
        self.compare_result_types(copy, inst, result)
    }

    fn compare_operand(
        &mut self,
        copy: CopyId,
        inst: Inst,
        operand: Operand,
        result: Inst,
        result_operand: Operand,
    ) -> Result<(), Difference> {
        let func = self.tree.func(copy);
        let same = match (operand, result_operand) {
            (Operand::Value(a), Operand::Value(b)) => self.equals(copy, a, b),
            (Operand::List(a), Operand::List(b)) => {
                let a = a.as_slice(&func.dfg.value_lists);
                let b = b.as_slice(&self.after.dfg.value_lists);
                a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| self.equals(copy, a, b))
            }
            (Operand::Global(a), Operand::Global(b)) => self.same_global(copy, a, b),
            (Operand::Function(a), Operand::Function(b)) => self.same_function(copy, a, b),
            (Operand::Signature(a), Operand::Signature(b)) => {
                func.dfg.signatures[a] == self.after.dfg.signatures[b]
            }
            (Operand::Slot(a), Operand::Slot(b)) => self.same_slot(copy, a, b),
            (Operand::DynamicSlot(a), Operand::DynamicSlot(b)) => {
                self.same_dynamic_slot(copy, a, b)
            }
            (Operand::Constant(a), Operand::Constant(b)) => {
                func.dfg.constants.get(a) == self.after.dfg.constants.get(b)
            }
            (Operand::Immediate(a), Operand::Immediate(b)) => {
                func.dfg.immediates[a] == self.after.dfg.immediates[b]
            }
            (Operand::MemFlags(a), Operand::MemFlags(b)) => {
                self.same_access(copy, inst, a, result, b)
            }
            (Operand::Block(a), Operand::Block(b)) => {
                self.named_blocks.push(NamedBlock {
                    copy,
                    inst,
                    block: a,
                    result: Some(b),
                });
                true
            }
            // Edges are compared by following them.
            (Operand::Edge, Operand::Edge) => true,
            _ => false,
        };
        if same {
            return Ok(());
        }
        let message = format!(
            "`{}` became `{}`, with another operand",
            func.dfg.display_inst(inst),
            self.after.dfg.display_inst(result)
        );
        Err(self.at(copy, inst, message).with_result(result))
    }

    /// Compares the type of an instruction that no operand determines.
    pub(super) fn compare_result_types(
        &self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        let types = |func: &ir::Function, inst: Inst| -> Vec<ir::Type> {
            let results = func.dfg.inst_results(inst).iter();
            results.map(|&value| func.dfg.value_type(value)).collect()
        };
        let converted = self.after.dfg.insts[result].exception_table().is_some()
            || self.tree.func(copy).dfg.insts[inst].opcode().is_return();
        if converted || types(self.tree.func(copy), inst) == types(self.after, result) {
            Ok(())
        } else {
            let message = "its results have other types in the result";
            Err(self.at(copy, inst, message).with_result(result))
        }
    }

    /// Returns whether a value of the result is equal to a source value here.
    pub(super) fn equals(&self, copy: CopyId, value: Value, result: Value) -> bool {
        let result = self.after.dfg.resolve_aliases(result);
        self.lookup(copy, value, &Assigned::default())
            .contains(&BlockArg::Value(result))
    }
}
