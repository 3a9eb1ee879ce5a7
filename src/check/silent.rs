//! Silent steps of the source: jumps, folded branches, and steps into copies and out of them.

use super::assigned::Assigned;
use super::difference::Difference;
use super::place::{Place, Settled, Term, Terms};
use super::tables::{Known, Source, Step, Walk};
use super::tree::{CopyId, SiteKind};
use cranelift_codegen::ir::{
    ArgumentPurpose, Block, BlockArg, BlockCall, Function, Inst, InstructionData, Opcode, Value,
    ValueDef,
};

impl Walk<'_> {
    pub(super) fn first_inst(&self, copy: CopyId, source: Source) -> Result<Inst, Difference> {
        match source {
            Source::At(inst) => Ok(inst),
            Source::Enter(block) => {
                let first = self.tree.func(copy).layout.first_inst(block);
                first.ok_or_else(|| Difference::general(format!("{block} is empty")))
            }
        }
    }

    /// Returns the next step of the source, on the way to the place where the result is settled.
    pub(super) fn silent_step(
        &self,
        copy: CopyId,
        inst: Inst,
        settled: &Settled,
        known: Option<&Known>,
        assigned: &mut Assigned,
    ) -> Result<Step, Difference> {
        let func = self.tree.func(copy);
        if let Some(child) = self.tree.child(copy, inst) {
            if has_struct_args(self.tree.func(child)) {
                return Ok(Step::End);
            }
            let entry = self.enter(copy, inst, child, assigned)?;
            return Ok(Step::On(child, Source::Enter(entry)));
        }
        let data = func.dfg.insts[inst];
        let destination = match data {
            InstructionData::Jump { destination, .. } => destination,
            InstructionData::Brif { arg, blocks, .. } => {
                let terms = self.lookup(copy, arg, assigned);
                let is_there = self.is_branch_on(copy, arg, data.opcode(), settled, assigned);
                self.note_branch((copy, inst), &terms, known, !is_there);
                if is_there {
                    return Ok(Step::Branch);
                }
                match self.decided(&terms, known) {
                    Some(taken) => blocks[usize::from(!taken)],
                    None => return Ok(Step::Fork(blocks)),
                }
            }
            InstructionData::BranchTable { arg, table, .. } => {
                if self.is_branch_on(copy, arg, data.opcode(), settled, assigned) {
                    return Ok(Step::Branch);
                }
                let condition = self.lookup(copy, arg, assigned);
                let Some(index) = self.constant_of(&condition) else {
                    return Ok(Step::End);
                };
                let table = &func.dfg.jump_tables[table];
                let target = usize::try_from(index).ok();
                let target = target.and_then(|index| table.as_slice().get(index));
                target.copied().unwrap_or_else(|| table.default_block())
            }
            InstructionData::MultiAry { .. } if data.opcode() == Opcode::Return => {
                let returned: Vec<Terms> = func
                    .dfg
                    .inst_args(inst)
                    .iter()
                    .map(|&value| self.lookup(copy, value, assigned))
                    .collect();
                return Ok(match self.leave(copy, &returned, assigned)? {
                    Some((copy, source)) => Step::On(copy, source),
                    None => Step::End,
                });
            }
            _ => return Ok(Step::End),
        };
        let block = self.assign(copy, destination, &[], assigned);
        Ok(Step::On(copy, Source::Enter(block)))
    }

    /// Returns whether the result has a branch of this kind on this value here, so that the
    /// source's was not folded. A value that the gap assigns is the one after the crossings: it may
    /// be constant only on this path.
    pub(super) fn is_branch_on(
        &self,
        copy: CopyId,
        arg: Value,
        opcode: Opcode,
        settled: &Settled,
        assigned: &Assigned,
    ) -> bool {
        let Place::At(inst) = settled.place else {
            return false;
        };
        let dfg = &self.after.dfg;
        let result = dfg
            .inst_args(inst)
            .first()
            .map(|&arg| dfg.resolve_aliases(arg));
        dfg.insts[inst].opcode() == opcode
            && result.is_some_and(|result| {
                let terms = self.lookup(copy, arg, assigned);
                let arg = self.tree.func(copy).dfg.resolve_aliases(arg);
                let terms = match assigned.get(copy, arg) {
                    Some(_) => self.carry(&terms, &settled.crossings),
                    None => terms,
                };
                terms.contains(&Term::Value(result))
            })
    }

    /// Steps into a copy: its parameters are the arguments. Returns its entry block.
    pub(super) fn enter(
        &self,
        copy: CopyId,
        call: Inst,
        child: CopyId,
        assigned: &mut Assigned,
    ) -> Result<Block, Difference> {
        let data = self.tree.func(copy).dfg.insts[call];
        if !matches!(
            data,
            InstructionData::Call { .. } | InstructionData::TryCall { .. }
        ) {
            return Err(self.at(copy, call, "it is not a direct call"));
        }
        let callee = self.tree.func(child);
        let entry = callee
            .layout
            .entry_block()
            .ok_or_else(|| self.at(copy, call, "the callee has no body"))?;
        let args = self.tree.func(copy).dfg.inst_args(call);
        let params = callee.dfg.block_params(entry);
        if args.len() != params.len() {
            return Err(self.at(copy, call, "the callee has another number of parameters"));
        }
        let passed: Vec<Terms> = args
            .iter()
            .map(|&arg| self.lookup(copy, arg, assigned))
            .collect();
        for (&param, terms) in params.iter().zip(passed) {
            assigned.push(child, param, terms);
        }
        Ok(entry)
    }

    /// Steps out of a copy with its return values; `None` if that returns from the caller itself.
    pub(super) fn leave(
        &self,
        copy: CopyId,
        returned: &[Terms],
        assigned: &mut Assigned,
    ) -> Result<Option<(CopyId, Source)>, Difference> {
        let Some(site) = self.tree.returns_to(copy) else {
            return Ok(None);
        };
        let func = self.tree.func(site.parent);
        if let SiteKind::TryCall(table) = site.kind {
            let normal = *func.dfg.exception_tables[table].normal_return();
            let block = self.assign(site.parent, normal, returned, assigned);
            return Ok(Some((site.parent, Source::Enter(block))));
        }
        let results = func.dfg.inst_results(site.call);
        for (&result, terms) in results.iter().zip(returned) {
            assigned.push(site.parent, result, terms.clone());
        }
        match func.layout.next_inst(site.call) {
            Some(next) => Ok(Some((site.parent, Source::At(next)))),
            None => Err(self.at(site.parent, site.call, "nothing follows the call")),
        }
    }

    /// Assigns the parameters of the block to which `call` leads; returned values are those of a
    /// replaced `try_call`.
    pub(super) fn assign(
        &self,
        copy: CopyId,
        call: BlockCall,
        returned: &[Terms],
        assigned: &mut Assigned,
    ) -> Block {
        let (block, args) = self.passed_along(copy, call, returned, assigned);
        self.enter_block(copy, block, args, assigned);
        block
    }

    /// Returns the block to which `call` leads, and the terms of the arguments for its parameters.
    pub(super) fn passed_along(
        &self,
        copy: CopyId,
        call: BlockCall,
        returned: &[Terms],
        assigned: &Assigned,
    ) -> (Block, Vec<Terms>) {
        let dfg = &self.tree.func(copy).dfg;
        let args = call.args(&dfg.value_lists).map(|arg| match arg {
            BlockArg::Value(value) => self.lookup(copy, value, assigned),
            BlockArg::TryCallRet(index) if !returned.is_empty() => {
                returned.get(index as usize).cloned().unwrap_or_default()
            }
            other => [other].into_iter().collect(),
        });
        (call.block(&dfg.value_lists), args.collect())
    }

    pub(super) fn enter_block(
        &self,
        copy: CopyId,
        block: Block,
        args: Vec<Terms>,
        assigned: &mut Assigned,
    ) {
        let params = self.tree.func(copy).dfg.block_params(block);
        for (&param, terms) in params.iter().zip(args) {
            assigned.push(copy, param, terms);
        }
    }

    /// Returns the terms that a source value equals, with the assignments of the gap so far.
    pub(super) fn lookup(&self, copy: CopyId, value: Value, assigned: &Assigned) -> Terms {
        let value = self.tree.func(copy).dfg.resolve_aliases(value);
        let in_gap = assigned.get(copy, value);
        match in_gap {
            Some(terms) => terms.clone(),
            None => self.terms[copy][value].clone().unwrap_or_default(),
        }
    }

    pub(super) fn merge(&mut self, copy: CopyId, value: Value, terms: Terms) {
        match &mut self.terms[copy][value] {
            known @ None => {
                for term in &terms {
                    if let Term::Value(equal) = *term
                        && let ValueDef::Param(..) = self.after.dfg.value_def(equal)
                    {
                        self.equal_to_params[equal].push((copy, value));
                    }
                }
                *known = Some(terms);
            }
            Some(known) => {
                let before = known.len();
                known.retain(|term| terms.contains(term));
                self.shrunk |= known.len() != before;
            }
        }
    }
}

pub(super) fn has_struct_args(func: &Function) -> bool {
    let mut params = func.signature.params.iter();
    params.any(|param| matches!(param.purpose, ArgumentPurpose::StructArgument(_)))
}
