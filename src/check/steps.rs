//! Matches one instruction with an effect.

use super::assigned::Assigned;
use super::difference::Difference;
use super::entities::special_param;
use super::place::{Next, Term, Terms, one};
use super::tables::{Gap, Known, NamedBlock, Source, Walk};
use super::tree::{CopyId, CopyTree};
use cranelift_codegen::ir::{
    self, BlockCall, Function, GlobalValueData, Inst, InstructionData, Opcode, Value,
};

impl Walk<'_> {
    /// Matches `inst` with `result` and goes on after both.
    pub(super) fn step(
        &mut self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
        is_branch: bool,
    ) -> Result<(), Difference> {
        if let Some(child) = self.tree.child(copy, inst) {
            return self.enter_with_structs(copy, inst, child, result);
        }
        let func = self.tree.func(copy);
        let data = func.dfg.insts[inst];
        let result_data = self.after.dfg.insts[result];
        // `stack_switch` is a call by its properties, and has neither callee nor signature.
        if data.opcode().is_call() && data.opcode() != Opcode::StackSwitch {
            return self.call(copy, inst, result);
        }
        if data.opcode() == Opcode::StackSwitch {
            self.check_stack_switch(copy, inst, result)?;
        }
        match data {
            InstructionData::UnaryGlobalValue { global_value, .. }
                if copy != CopyTree::ROOT
                    && starts_from_vmctx(func, global_value)
                    && !self.is_global(copy, global_value, &result_data) =>
            {
                return self.expanded_global(copy, inst, global_value, result);
            }
            InstructionData::ExceptionHandlerAddress { block, .. } if is_zero(&result_data) => {
                self.compare_result_types(copy, inst, result)?;
                self.named_blocks.push(NamedBlock {
                    copy,
                    inst,
                    block,
                    result: None,
                });
            }
            // Its condition was compared on the way to it.
            _ if is_branch => {}
            _ => self.compare(copy, inst, &data, result, &result_data)?,
        }
        self.own(copy, inst, result)?;
        self.check_metadata(copy, inst, result)?;
        if data.opcode().is_terminator() {
            return self.follow_edges(copy, inst, result);
        }
        self.assign_results(copy, inst, result);
        self.go_on(copy, inst, result)
    }

    pub(super) fn assign_results(&mut self, copy: CopyId, inst: Inst, result: Inst) {
        let values = self.tree.func(copy).dfg.inst_results(inst);
        let results = self.after.dfg.inst_results(result);
        for (&value, &result) in values.iter().zip(results) {
            self.merge(copy, value, one(result));
        }
    }

    /// Goes on with the instruction after each.
    pub(super) fn go_on(
        &mut self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        let next = self.tree.func(copy).layout.next_inst(inst);
        let next_result = self.after.layout.next_inst(result);
        let (Some(next), Some(next_result)) = (next, next_result) else {
            return Err(self
                .at(copy, inst, "nothing follows it")
                .with_result(result));
        };
        self.work.push(Gap {
            copy,
            source: Source::At(next),
            next: Next::At(next_result),
            assigned: Assigned::default(),
            known: None,
        });
        Ok(())
    }

    fn follow_edges(&mut self, copy: CopyId, inst: Inst, result: Inst) -> Result<(), Difference> {
        let source_edges = edges(self.tree.func(copy), inst);
        let result_edges = edges(self.after, result);
        if source_edges.len() != result_edges.len() {
            return Err(self
                .at(copy, inst, "it branches to another number of blocks")
                .with_result(result));
        }
        let condition = match (
            self.tree.func(copy).dfg.insts[inst],
            self.after.dfg.insts[result],
        ) {
            (InstructionData::Brif { arg, .. }, InstructionData::Brif { arg: on, .. }) => {
                let mut condition = self.lookup(copy, arg, &Assigned::default());
                let on = Term::Value(self.after.dfg.resolve_aliases(on));
                if !condition.contains(&on) {
                    condition.push(on);
                }
                Some(condition)
            }
            _ => None,
        };
        let mut is_first = true;
        for (edge, result_edge) in source_edges.into_iter().zip(result_edges) {
            let taken = self.work.len();
            self.follow_edge(copy, edge, result_edge);
            if let Some(gap) = self.work.get_mut(taken) {
                gap.known = condition.clone().map(|condition| Known {
                    branch: (copy, inst),
                    condition,
                    taken: is_first,
                });
            }
            is_first = false;
        }
        Ok(())
    }

    pub(super) fn follow_edge(&mut self, copy: CopyId, edge: BlockCall, result_edge: BlockCall) {
        let mut assigned = Assigned::default();
        let block = self.assign(copy, edge, &[], &mut assigned);
        self.work.push(Gap {
            copy,
            source: Source::Enter(block),
            next: Next::Along(result_edge),
            assigned,
            known: None,
        });
    }

    /// Returns whether an instruction of the result is about that global value.
    fn is_global(&self, copy: CopyId, global: ir::GlobalValue, result: &InstructionData) -> bool {
        match *result {
            InstructionData::UnaryGlobalValue { global_value, .. } => {
                self.same_global(copy, global, global_value)
            }
            _ => false,
        }
    }

    /// Follows the computation of a global value that starts from a copy's `vmctx`.
    fn expanded_global(
        &mut self,
        copy: CopyId,
        inst: Inst,
        global: ir::GlobalValue,
        first: Inst,
    ) -> Result<(), Difference> {
        let func = self.tree.func(copy);
        let mut steps = Vec::new();
        let mut current = global;
        while let Some(GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. }) =
            func.global_values.get(current)
        {
            if steps.len() > func.global_values.len() {
                break;
            }
            steps.push(current);
            current = *base;
        }
        let root = func.global_values.get(current);
        let vmctx = special_param(func).filter(|_| root == Some(&GlobalValueData::VMContext));
        let vmctx = vmctx.ok_or_else(|| self.at(copy, inst, "it is missing").with_result(first))?;
        let mut terms = self.lookup(copy, vmctx, &Assigned::default());
        let mut result = first;
        for step in steps.into_iter().rev() {
            let (value, next) = self.expanded_step(copy, inst, step, &terms, result)?;
            terms = one(value);
            result = next;
        }
        for &value in func.dfg.inst_results(inst) {
            self.merge(copy, value, terms.clone());
        }
        let next = func.layout.next_inst(inst);
        let next = next.ok_or_else(|| self.at(copy, inst, "nothing follows it"))?;
        self.work.push(Gap {
            copy,
            source: Source::At(next),
            next: Next::At(result),
            assigned: Assigned::default(),
            known: None,
        });
        Ok(())
    }

    /// Follows one load or addition; returns its value and the instruction after it.
    fn expanded_step(
        &mut self,
        copy: CopyId,
        inst: Inst,
        global: ir::GlobalValue,
        base: &Terms,
        result: Inst,
    ) -> Result<(Value, Inst), Difference> {
        let dfg = &self.after.dfg;
        let is_base =
            |value: Value| base.contains(&ir::BlockArg::Value(dfg.resolve_aliases(value)));
        let wrong = || {
            let message = "the global value is computed in another way";
            self.at(copy, inst, message).with_result(result)
        };
        let (last, ty) = match self.tree.func(copy).global_values[global] {
            GlobalValueData::Load {
                offset,
                global_type,
                flags,
                ..
            } => match dfg.insts[result] {
                InstructionData::Load {
                    opcode: Opcode::Load,
                    arg,
                    flags: result_flags,
                    offset: result_offset,
                } if is_base(arg)
                    && offset == result_offset
                    && self.same_access(copy, inst, flags, result, result_flags) =>
                {
                    (result, global_type)
                }
                _ => return Err(wrong()),
            },
            GlobalValueData::IAddImm {
                offset,
                global_type,
                ..
            } => {
                let sum = self.after.layout.next_inst(result).ok_or_else(wrong)?;
                let constant = self.constant_of(&match dfg.inst_results(result) {
                    [value] => one(*value),
                    _ => return Err(wrong()),
                });
                let width = global_type.bits().clamp(1, 64);
                let wanted = offset.bits().cast_unsigned() & (u64::MAX >> (64 - width));
                match dfg.insts[sum] {
                    InstructionData::Binary {
                        opcode: Opcode::Iadd,
                        args: [x, y],
                    } if is_base(x)
                        && constant == Some(wanted)
                        && dfg.inst_results(result).contains(&y) =>
                    {
                        self.own(copy, inst, result)?;
                        (sum, global_type)
                    }
                    _ => return Err(wrong()),
                }
            }
            _ => return Err(wrong()),
        };
        let value = self.after.dfg.first_result(last);
        if self.after.dfg.value_type(value) != ty {
            return Err(self.at(copy, inst, "it has another type").with_result(last));
        }
        self.own(copy, inst, last)?;
        self.check_srcloc(copy, inst, last)?;
        self.check_cold(copy, inst, last)?;
        match self.after.layout.next_inst(last) {
            Some(next) => Ok((value, next)),
            None => Err(self.at(copy, inst, "nothing follows it").with_result(last)),
        }
    }
}

fn edges(func: &Function, inst: Inst) -> Vec<BlockCall> {
    let dfg = &func.dfg;
    dfg.insts[inst]
        .branch_destination(&dfg.jump_tables, &dfg.exception_tables)
        .to_vec()
}

fn starts_from_vmctx(func: &Function, global: ir::GlobalValue) -> bool {
    let mut current = global;
    for _ in 0..func.global_values.len() {
        match func.global_values.get(current) {
            Some(GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. }) => {
                current = *base
            }
            root => return root == Some(&GlobalValueData::VMContext),
        }
    }
    false
}

fn is_zero(data: &InstructionData) -> bool {
    matches!(data, InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } if imm.bits() == 0)
}
