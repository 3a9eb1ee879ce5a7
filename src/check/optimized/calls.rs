//! Calls, direct and indirect, with handlers and without.

use super::contents::{Content, ContentId, Name};
use super::nodes::{Node, Side, Symbol, Term};
use super::surroundings::cannot_throw;
use super::walk::{BlockArgNode, Outcome, Walk};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTable, ExceptionTableItem, ExternalName, FuncRef,
    Function, Inst, InstructionData, SigRef, Value,
};

/// The parts of a call of any format.
pub(super) struct Call<'f> {
    callee: Option<FuncRef>,
    /// The address of an indirect call.
    pub(super) address: Option<Value>,
    signature: SigRef,
    args: &'f [Value],
    table: Option<ExceptionTable>,
    is_tail: bool,
}

pub(super) fn call(func: &Function, inst: Inst) -> Option<Call<'_>> {
    let dfg = &func.dfg;
    let args = dfg.inst_args(inst);
    let data = dfg.insts[inst];
    let is_tail = data.opcode().is_return();
    let table = |exception: ExceptionTable| dfg.exception_tables.get(exception);
    let direct = |callee, signature, table| Call {
        callee: Some(callee),
        address: None,
        signature,
        args,
        table,
        is_tail,
    };
    let indirect = |signature, table| {
        let (&address, args) = args.split_first()?;
        Some(Call {
            callee: None,
            address: Some(address),
            signature,
            args,
            table,
            is_tail,
        })
    };
    match data {
        InstructionData::Call { func_ref, .. } => {
            let signature = dfg.ext_funcs.get(func_ref)?.signature;
            Some(direct(func_ref, signature, None))
        }
        InstructionData::TryCall {
            func_ref,
            exception,
            ..
        } => {
            let signature = table(exception)?.signature();
            Some(direct(func_ref, signature, Some(exception)))
        }
        InstructionData::CallIndirect { sig_ref, .. } => indirect(sig_ref, None),
        InstructionData::TryCallIndirect { exception, .. } => {
            let signature = table(exception)?.signature();
            indirect(signature, Some(exception))
        }
        _ => None,
    }
}

impl Walk<'_> {
    /// Returns whether both are direct calls of one function.
    pub(super) fn calls_the_same(&mut self, inst: Inst, result: Inst) -> bool {
        let callees = [
            call(self.before.func, inst).and_then(|call| call.callee),
            call(self.after.func, result).and_then(|call| call.callee),
        ];
        let [Some(a), Some(b)] = callees else {
            return false;
        };
        let contents = &mut self.world.contents;
        contents.function(self.before.func, a) == contents.function(self.after.func, b)
    }

    pub(super) fn match_call(
        &mut self,
        block: Block,
        (inst, of): (Inst, Call<'_>),
        (result, to): (Inst, Call<'_>),
    ) -> Outcome {
        let (func, after) = (self.before.func, self.after.func);
        let signature = self.world.contents.signature(func, of.signature);
        let same_signature = signature == self.world.contents.signature(after, to.signature);
        if of.is_tail != to.is_tail || !same_signature {
            return Err(self.differs(inst, result, ", another kind of call"));
        }
        let name = self.match_callee((inst, &of), (result, &to), signature)?;
        if of.args.len() != to.args.len() {
            return Err(self.differs(inst, result, ", with another number of arguments"));
        }
        for (&a, &b) in of.args.iter().zip(to.args) {
            let a = self.before.get(&mut self.world, a);
            let b = self.after.get(&mut self.world, b);
            self.match_nodes((inst, a), (result, b), true)?;
        }
        let first = usize::from(of.address.is_some());
        for index in 0..of.args.len() {
            self.note_use(inst, first + index);
        }
        if of.is_tail {
            return Ok(());
        }
        let returns = &func.dfg.signatures[of.signature].returns;
        let returned: Vec<Option<Node>> = returns
            .iter()
            .enumerate()
            .map(|(index, param)| {
                let symbol = Symbol::Result(result, index);
                Some(self.world.nodes.symbol(symbol, param.value_type.bits()))
            })
            .collect();
        let passed: Vec<BlockArgNode> = (0..)
            .zip(&returned)
            .map(|(index, &node)| (BlockArg::TryCallRet(index), node))
            .collect();
        match (of.table, to.table) {
            (None, None) => {
                self.set_results(inst, result, &returned);
                self.next_inst()
            }
            (Some(table), None) => {
                match self.never_throws(name) {
                    Some(true) => {}
                    Some(false) => {
                        return Err(self.differs(inst, result, ", though it may throw"));
                    }
                    None => {
                        let message = "whether a call throws depends on too many functions";
                        return Err(self.unknown(result, message.to_owned()));
                    }
                }
                for (&value, &node) in after.dfg.inst_results(result).iter().zip(&returned) {
                    self.after.set(value, node);
                }
                self.note_computed(Side::After, result);
                let normal = *func.dfg.exception_tables[table].normal_return();
                self.take_edge(normal, &passed)
            }
            (Some(table), Some(other)) => {
                let mark = self.mark();
                let items: Vec<ExceptionTableItem> =
                    func.dfg.exception_tables[table].items().collect();
                let others: Vec<ExceptionTableItem> =
                    after.dfg.exception_tables[other].items().collect();
                if items.len() != others.len() {
                    return Err(self.differs(inst, result, ", with other handlers"));
                }
                for (number, (item, other)) in (1..).zip(items.iter().zip(&others)) {
                    let sides = self.match_handler((inst, item), (result, other))?;
                    let Some((side, other)) = sides else { continue };
                    let payloads = self.payloads(result, number, (side, other));
                    self.follow_edge(block, (side, &payloads), (other, &payloads))?;
                    self.rollback(&mark);
                }
                let normal = *func.dfg.exception_tables[table].normal_return();
                let other = *after.dfg.exception_tables[other].normal_return();
                self.follow_edge(block, (normal, &passed), (other, &passed))
            }
            (None, Some(_)) => Err(self.differs(inst, result, ", which catches exceptions")),
        }
    }

    pub(super) fn set_results(&mut self, inst: Inst, result: Inst, returned: &[Option<Node>]) {
        let (func, after) = (self.before.func, self.after.func);
        for (&value, &node) in func.dfg.inst_results(inst).iter().zip(returned) {
            self.before.set(value, node);
        }
        for (&value, &node) in after.dfg.inst_results(result).iter().zip(returned) {
            self.after.set(value, node);
        }
        self.note_computed(Side::Before, inst);
        self.note_computed(Side::After, result);
        self.note_kept(inst);
    }

    /// Returns the exception's payloads that the edges of a handler pass on, each with a symbol.
    pub(super) fn payloads(
        &mut self,
        result: Inst,
        number: usize,
        (side, other): (BlockCall, BlockCall),
    ) -> Vec<BlockArgNode> {
        let (func, after) = (self.before.func, self.after.func);
        let mut payloads: Vec<BlockArgNode> = Vec::new();
        for (func, edge) in [(func, side), (after, other)] {
            let target = edge.block(&func.dfg.value_lists);
            let params = func.dfg.block_params(target);
            for (arg, &param) in edge.args(&func.dfg.value_lists).zip(params) {
                if let BlockArg::TryCallExn(index) = arg
                    && !payloads.iter().any(|(known, _)| *known == arg)
                {
                    let symbol = Symbol::OnEdge(result, number, index);
                    let width = func.dfg.value_type(param).bits();
                    let node = self.world.nodes.symbol(symbol, width);
                    payloads.push((arg, Some(node)));
                }
            }
        }
        payloads
    }

    pub(super) fn match_handler(
        &mut self,
        (inst, item): (Inst, &ExceptionTableItem),
        (result, other): (Inst, &ExceptionTableItem),
    ) -> Outcome<Option<(BlockCall, BlockCall)>> {
        match (item, other) {
            (ExceptionTableItem::Tag(a, side), ExceptionTableItem::Tag(b, other)) if a == b => {
                Ok(Some((*side, *other)))
            }
            (ExceptionTableItem::Default(side), ExceptionTableItem::Default(other)) => {
                Ok(Some((*side, *other)))
            }
            (ExceptionTableItem::Context(a), ExceptionTableItem::Context(b)) => {
                let a = self.before.get(&mut self.world, *a);
                let b = self.after.get(&mut self.world, *b);
                self.match_nodes((inst, a), (result, b), true)?;
                Ok(None)
            }
            _ => Err(self.differs(inst, result, ", with another handler")),
        }
    }

    /// Compares the callees, and returns the name, if it is known.
    pub(super) fn match_callee(
        &mut self,
        (inst, of): (Inst, &Call<'_>),
        (result, to): (Inst, &Call<'_>),
        signature: ContentId,
    ) -> Outcome<Option<ContentId>> {
        let (func, after) = (self.before.func, self.after.func);
        match (of.callee, of.address, to.callee, to.address) {
            (Some(a), _, Some(b), _) => {
                let a = self.world.contents.function(func, a);
                let b = self.world.contents.function(after, b);
                if a != b {
                    return Err(self.differs(inst, result, ", another function"));
                }
                Ok(self.name_of(a))
            }
            (None, Some(a), None, Some(b)) => {
                let a = self.before.get(&mut self.world, a);
                let b = self.after.get(&mut self.world, b);
                self.match_nodes((inst, a), (result, b), true)?;
                Ok(a.and_then(|a| match self.world.nodes.term(a) {
                    Term::Function(name) => Some(*name),
                    _ => None,
                }))
            }
            (None, Some(a), Some(b), _) => {
                let address = self.before.get(&mut self.world, a);
                let target = self.world.contents.function(after, b);
                let name = address.and_then(|address| self.function_at(address));
                let Some(name) = name else {
                    let how = ", though its target is not known";
                    return Err(self.differs(inst, result, how));
                };
                if self.name_of(target) != Some(name) {
                    return Err(self.differs(inst, result, ", another function"));
                }
                if !self.is_declared_so(name, target, signature) {
                    return Err(self.differs(inst, result, ", a function of another kind"));
                }
                Ok(Some(name))
            }
            _ => Err(self.differs(inst, result, ", another kind of call")),
        }
    }

    pub(super) fn name_of(&self, function: ContentId) -> Option<ContentId> {
        match self.world.contents.get(function) {
            Content::Function { name, .. } => Some(*name),
            _ => None,
        }
    }

    /// Returns whether a function may be called directly with this declaration: it has the
    /// signature, by its body or by a declaration in the function before; and it is declared to be
    /// as near.
    pub(super) fn is_declared_so(
        &mut self,
        name: ContentId,
        target: ContentId,
        signature: ContentId,
    ) -> bool {
        let func = self.before.func;
        let Content::Function {
            colocated,
            patchable: false,
            ..
        } = *self.world.contents.get(target)
        else {
            return false;
        };
        let mut is_as_near = false;
        let mut has_signature = false;
        let mut is_declared = false;
        for func_ref in func.dfg.ext_funcs.keys() {
            let declared = self.world.contents.function(func, func_ref);
            if let &Content::Function {
                name: of,
                signature: declared,
                colocated: near,
                ..
            } = self.world.contents.get(declared)
                && of == name
            {
                is_declared = true;
                is_as_near |= near == colocated;
                has_signature |= declared == signature;
            }
        }
        if let Content::Name(Name::Program(name)) = self.world.contents.get(name)
            && let Some(real) = self.surroundings.signature(name)
        {
            let real = Content::Signature(real.clone());
            // A wrong declaration makes the call wrong both through the address and without it.
            has_signature |= self.world.contents.number(real) == signature;
        }
        // A function whose address comes from data alone is not declared before.
        has_signature && (is_as_near || !is_declared && !colocated)
    }

    /// Returns whether the callee never throws; `None` if that depends on too many functions.
    pub(super) fn never_throws(&self, name: Option<ContentId>) -> Option<bool> {
        let name = name.map(|name| self.world.contents.get(name));
        match name {
            Some(Content::Name(Name::Program(name))) => cannot_throw(self.surroundings, name),
            Some(Content::Name(Name::Builtin(ExternalName::LibCall(_)))) => Some(true),
            _ => Some(false),
        }
    }
}
