//! What both functions must do.

use super::contents::{Content, ContentId, Name};
use super::nodes::{Node, Side, Symbol, Term};
use super::surroundings::cannot_throw;
use super::walk::{BlockArgNode, Outcome, Walk};
use super::{Unproved, edges};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, DebugTag, ExceptionTable, ExceptionTableItem, FuncRef, Function,
    Inst, InstructionData, Opcode, SigRef, StackSlot, Value,
};
use rustc_hash::FxHashSet;

/// How many terms are looked through that turn out to be different.
const MAX_TERMS: usize = 1000;

/// The parts of a call, whatever its format.
struct Call<'f> {
    callee: Option<FuncRef>,
    /// The address of an indirect call.
    address: Option<Value>,
    signature: SigRef,
    args: &'f [Value],
    table: Option<ExceptionTable>,
    is_tail: bool,
}

fn call(func: &Function, inst: Inst) -> Option<Call<'_>> {
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
    /// Matches something that the optimised function does with what the other does next.
    pub(super) fn match_effect(&mut self, block: Block, result: Inst) -> Outcome {
        loop {
            self.advance()?;
            let inst = self.position;
            if self.is_same_kind(inst, result)? {
                break;
            }
            if self.pass_load()? {
                continue;
            }
            if let InstructionData::ExceptionHandlerAddress { block, .. } =
                self.before.func.dfg.insts[inst]
            {
                // It may be 0 where nothing reaches the block.
                for &value in self.before.func.dfg.inst_results(inst) {
                    let width = self.before.func.dfg.value_type(value).bits();
                    let zero = self.world.nodes.constant(0, width);
                    self.before.set(value, Some(zero));
                }
                self.named_blocks.push((inst, block, result, None));
                self.next_inst()?;
                continue;
            }
            if !self.fork()? {
                let func = self.before.func;
                let message = format!(
                    "`{}` came before `{}`",
                    func.dfg.display_inst(inst),
                    self.after.func.dfg.display_inst(result)
                );
                let args = self.before.args(&mut self.world, inst);
                if func.dfg.insts[inst].opcode().is_branch()
                    && let Some(condition) = args.first().copied().flatten()
                    && self.choose_zeros(condition)
                {
                    return Err(self.unknown(result, message));
                }
                let is_open = func.dfg.insts[inst].opcode().is_branch() && args.contains(&None);
                return Err(match is_open {
                    true => self.unknown(result, message),
                    false => self.wrong(result, message),
                });
            }
        }
        let inst = self.position;
        self.check_metadata(inst, result)?;
        self.matched.entry(inst).or_default().insert(result);
        if self.before.func.dfg.insts[inst].opcode().is_call()
            && let (Some(of), Some(to)) =
                (call(self.before.func, inst), call(self.after.func, result))
        {
            return self.match_call(block, (inst, of), (result, to));
        }
        let (data, opcode) = (
            self.before.func.dfg.insts[inst],
            self.before.func.dfg.insts[inst].opcode(),
        );
        match data {
            InstructionData::Brif { blocks, .. } => {
                return self.match_brif(block, (inst, blocks), result);
            }
            InstructionData::BranchTable { .. } => return self.match_table(block, inst, result),
            _ => {}
        }
        let (shape, other) = (
            self.before.shape(&mut self.world, inst),
            self.after.shape(&mut self.world, result),
        );
        if shape != other {
            return Err(self.differs(inst, result, ""));
        }
        self.match_args(inst, result)?;
        if let (
            InstructionData::ExceptionHandlerAddress { block: a, .. },
            InstructionData::ExceptionHandlerAddress { block: b, .. },
        ) = (data, self.after.func.dfg.insts[result])
        {
            self.named_blocks.push((inst, a, result, Some(b)));
        }
        if opcode.is_terminator() {
            return Ok(());
        }
        self.match_results(inst, result)?;
        if let InstructionData::CondTrap { opcode, arg, .. } = data {
            let condition = self.before.get(&mut self.world, arg);
            self.learn(condition, opcode == Opcode::Trapz);
        }
        self.next_inst()
    }

    /// Goes past a load that only loads. If something needs what it loads, that is noticed there.
    pub(super) fn pass_load(&mut self) -> Outcome<bool> {
        let inst = self.position;
        let func = self.before.func;
        if !super::memory::is_harmless_load(func, inst) {
            return Ok(false);
        }
        let name = self.address_in_data(inst);
        for &value in func.dfg.inst_results(inst) {
            let width = func.dfg.value_type(value).bits();
            let node = name.map(|name| self.world.nodes.node(Term::Function(name), width));
            self.before.set(value, node);
        }
        self.next_inst()?;
        Ok(true)
    }

    /// Whether an instruction may be what the other became, by its operation alone; of branches
    /// and loads, which may be gone, by the operands too.
    fn is_same_kind(&mut self, inst: Inst, result: Inst) -> Outcome<bool> {
        let data = self.before.func.dfg.insts[inst];
        let opcode = data.opcode();
        let other = self.after.func.dfg.insts[result].opcode();
        if opcode.is_call() && other.is_call() {
            return Ok(true);
        }
        if opcode != other {
            return Ok(false);
        }
        let is_branch = opcode.is_branch();
        if !is_branch && !super::memory::is_harmless_load(self.before.func, inst) {
            return Ok(true);
        }
        let args = self.before.args(&mut self.world, inst);
        let others = self.after.args(&mut self.world, result);
        if args.len() != others.len() {
            return Ok(false);
        }
        for (&arg, &other) in args.iter().zip(&others) {
            let (Some(arg), Some(other)) = (arg, other) else {
                return Ok(false);
            };
            if arg != other && !self.unites(arg, other) {
                return Ok(false);
            }
        }
        let (shape, other) = (
            self.before.shape(&mut self.world, inst),
            self.after.shape(&mut self.world, result),
        );
        Ok(is_branch || shape == other)
    }

    pub(super) fn differs(&self, inst: Inst, result: Inst, how: &str) -> Box<Unproved> {
        let message = format!(
            "`{}` became `{}`{how}",
            self.before.func.dfg.display_inst(inst),
            self.after.func.dfg.display_inst(result)
        );
        self.wrong(result, message)
    }

    /// Whether two terms are equal if slots in them are the same: takes slots in the same places
    /// of them for one.
    pub(super) fn unites(&mut self, a: Node, b: Node) -> bool {
        let mut seen: FxHashSet<(Node, Node)> = FxHashSet::default();
        let mut found = false;
        let mut work = vec![(a, b)];
        while let Some((a, b)) = work.pop() {
            if a == b || seen.len() > MAX_TERMS || !seen.insert((a, b)) {
                continue;
            }
            match (self.world.nodes.term(a), self.world.nodes.term(b)) {
                (&Term::Slot((Side::Before, a), x), &Term::Slot((Side::After, b), y)) if x == y => {
                    found |= self.world.tracking.unite(a, b);
                }
                (
                    &Term::Symbol(Symbol::Uninitialised(Side::Before, a)),
                    &Term::Symbol(Symbol::Uninitialised(Side::After, b)),
                ) => found |= self.world.tracking.unite(a, b),
                (Term::Symbol(Symbol::Join(x, _)), Term::Symbol(Symbol::Join(y, _))) if x == y => {
                    let joined = &self.world.nodes.joined;
                    let [x, y] = [a, b].map(|node| joined.get(&node).into_iter().flatten());
                    for (&(old, new), &(other_old, other_new)) in x.zip(y) {
                        work.extend([(old, other_old), (new, other_new)]);
                    }
                }
                (x, y) => work.extend(parts(x).into_iter().zip(parts(y))),
            }
        }
        found || self.choose_zeros(a)
    }

    /// Decides that slots which a term of the function before depends on held zeros when the
    /// function was called, where that was open.
    fn choose_zeros(&mut self, node: Node) -> bool {
        let mut seen: FxHashSet<Node> = FxHashSet::default();
        let mut found = false;
        let mut work = vec![node];
        while let Some(node) = work.pop() {
            if !seen.insert(node) || seen.len() > MAX_TERMS {
                continue;
            }
            if let Some(joined) = self.world.nodes.joined.get(&node) {
                work.extend(joined.iter().flat_map(|&(old, new)| [old, new]));
            }
            match self.world.nodes.term(node) {
                &Term::Symbol(Symbol::Uninitialised(Side::Before, slot)) => {
                    found |= self.world.tracking.choose_zeros(slot);
                }
                term => work.extend(parts(term)),
            }
        }
        found
    }

    /// Compares two operands. What is given away with `escapes` may be used by anything later.
    pub(super) fn match_nodes(
        &mut self,
        (inst, a): (Inst, Option<Node>),
        (result, b): (Inst, Option<Node>),
        escapes: bool,
    ) -> Outcome {
        let (Some(a), Some(b)) = (a, b) else {
            let message = format!(
                "an operand of `{}` is not known",
                self.before.func.dfg.display_inst(inst)
            );
            return Err(self.unknown(result, message));
        };
        let same = a == b || self.unites(a, b);
        if escapes {
            for node in [a, b] {
                for named in self.world.nodes.mentions(node).to_vec() {
                    self.world.tracking.share_named(named);
                }
            }
        }
        match same {
            true => Ok(()),
            false => Err(self.differs(inst, result, ", with another operand")),
        }
    }

    fn match_args(&mut self, inst: Inst, result: Inst) -> Outcome {
        let args = self.before.args(&mut self.world, inst);
        let others = self.after.args(&mut self.world, result);
        if args.len() != others.len() {
            return Err(self.differs(inst, result, ", with another number of operands"));
        }
        let opcode = self.before.func.dfg.insts[inst].opcode();
        let escapes = !opcode.is_branch() && !matches!(opcode, Opcode::Trapz | Opcode::Trapnz);
        for (index, (&a, &b)) in args.iter().zip(&others).enumerate() {
            self.match_nodes((inst, a), (result, b), escapes)?;
            self.note_use(inst, index);
        }
        Ok(())
    }

    /// The results are the same on both sides: what the operands make them where an instruction
    /// only computes, and else anything.
    fn match_results(&mut self, inst: Inst, result: Inst) -> Outcome {
        let (func, after) = (self.before.func, self.after.func);
        let values = func.dfg.inst_results(inst);
        let results = after.dfg.inst_results(result);
        let opcode = func.dfg.insts[inst].opcode();
        let computes = opcode.can_trap()
            && !opcode.can_load()
            && !opcode.can_store()
            && !opcode.is_call()
            && !opcode.other_side_effects();
        if computes {
            self.before.compute(&mut self.world, inst);
            self.after.compute(&mut self.world, result);
        } else {
            let constant = self.address_in_data(inst);
            for (index, (&value, &other)) in values.iter().zip(results).enumerate() {
                let width = after.dfg.value_type(other).bits();
                let symbol = Symbol::Result(result, index);
                let node = match constant {
                    Some(name) => self.world.nodes.node(Term::Function(name), width),
                    None => self.world.nodes.symbol(symbol, width),
                };
                self.before.set(value, Some(node));
                self.after.set(other, Some(node));
            }
        }
        self.note_computed(Side::Before, inst);
        self.note_computed(Side::After, result);
        self.note_kept(inst);
        Ok(())
    }

    /// The function whose address a load finds in data that does not change.
    fn address_in_data(&mut self, inst: Inst) -> Option<ContentId> {
        let func = self.before.func;
        let InstructionData::Load {
            opcode: Opcode::Load,
            arg,
            offset,
            ..
        } = func.dfg.insts[inst]
        else {
            return None;
        };
        let address = self.before.get(&mut self.world, arg)?;
        let (symbol, further) = match self.world.nodes.term(address) {
            Term::Computed { shape, args, .. } if args.is_empty() => (*shape, 0),
            Term::Computed { shape, args, .. } => {
                let (&[x, y], Some(Opcode::Iadd)) = (&args[..], self.world.contents.opcode(*shape))
                else {
                    return None;
                };
                let width = self.world.nodes.width(y);
                let further = self.world.nodes.constant_of(y)?;
                let further = super::nodes::signed(further, width);
                match self.world.nodes.term(x) {
                    Term::Computed { shape, args, .. } if args.is_empty() => {
                        (*shape, i64::try_from(further).ok()?)
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        let Content::Shape { data, refers, .. } = self.world.contents.get(symbol) else {
            return None;
        };
        let (Opcode::SymbolValue, &[global]) = (data.opcode(), &refers[..]) else {
            return None;
        };
        let &Content::Symbol {
            name,
            offset: start,
            tls: false,
            ..
        } = self.world.contents.get(global)
        else {
            return None;
        };
        let Content::Name(Name::Program(data)) = self.world.contents.get(name) else {
            return None;
        };
        let offset = start
            .checked_add(further)?
            .checked_add(i64::from(i32::from(offset)))?;
        let found = self.surroundings.address_in_data(data, offset)?;
        let name = Content::Name(Name::Program(found));
        Some(self.world.contents.number(name))
    }

    fn match_brif(
        &mut self,
        block: Block,
        (inst, sides): (Inst, [BlockCall; 2]),
        result: Inst,
    ) -> Outcome {
        let InstructionData::Brif { blocks, .. } = self.after.func.dfg.insts[result] else {
            return Err(self.differs(inst, result, ""));
        };
        self.match_args(inst, result)?;
        let args = [
            self.before.args(&mut self.world, inst),
            self.after.args(&mut self.world, result),
        ];
        for (index, (side, other)) in sides.into_iter().zip(blocks).enumerate() {
            let mark = self.mark();
            for args in &args {
                self.learn(args.first().copied().flatten(), index == 0);
            }
            self.follow_edge(block, (side, &[]), (other, &[]))?;
            self.rollback(&mark);
        }
        Ok(())
    }

    fn match_table(&mut self, block: Block, inst: Inst, result: Inst) -> Outcome {
        self.match_args(inst, result)?;
        let (func, after) = (self.before.func, self.after.func);
        let (sides, others) = (edges(func, inst), edges(after, result));
        if sides.len() != others.len() {
            return Err(self.differs(inst, result, ", which branches to another number of blocks"));
        }
        let index = self.before.args(&mut self.world, inst);
        let index = index.first().copied().flatten();
        // The default comes first.
        for (number, (&side, &other)) in (0u128..).zip(sides.iter().zip(others)) {
            let mark = self.mark();
            if let (Some(index), Some(value)) = (index, number.checked_sub(1)) {
                self.facts.insert(index, super::facts::Fact::Is(value));
            }
            self.follow_edge(block, (side, &[]), (other, &[]))?;
            self.rollback(&mark);
        }
        Ok(())
    }

    fn follow_edge(
        &mut self,
        block: Block,
        (side, passed): (BlockCall, &[BlockArgNode]),
        (other, passed_after): (BlockCall, &[BlockArgNode]),
    ) -> Outcome {
        self.take_edge(side, passed)?;
        self.go(block, other, passed_after)
    }

    fn match_call(
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
                if !self.never_throws(name) {
                    return Err(self.differs(inst, result, ", though it may throw"));
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

    fn set_results(&mut self, inst: Inst, result: Inst, returned: &[Option<Node>]) {
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

    /// What both edges of a handler may pass on of the exception.
    fn payloads(
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

    fn match_handler(
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

    /// Compares who is called, and returns the name, if it is known.
    fn match_callee(
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
                let name = address.and_then(|address| match self.world.nodes.term(address) {
                    Term::Function(name) => Some(*name),
                    _ => None,
                });
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

    fn name_of(&self, function: ContentId) -> Option<ContentId> {
        match self.world.contents.get(function) {
            Content::Function { name, .. } => Some(*name),
            _ => None,
        }
    }

    /// Whether a function that an address was taken of may be called directly so: it has the
    /// signature, by its body or, if that is not known, by what the function before declares of
    /// it; and it is declared to be as near.
    fn is_declared_so(&mut self, name: ContentId, target: ContentId, signature: ContentId) -> bool {
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
            && let Some(body) = self.surroundings.body(name)
        {
            let real = Content::Signature(body.signature.clone());
            has_signature = self.world.contents.number(real) == signature;
        }
        // One whose address comes from data alone is not declared before.
        has_signature && (is_as_near || !is_declared && !colocated)
    }

    fn never_throws(&self, name: Option<ContentId>) -> bool {
        let name = name.map(|name| self.world.contents.get(name));
        match name {
            Some(Content::Name(Name::Program(name))) => cannot_throw(self.surroundings, name),
            _ => false,
        }
    }

    fn check_metadata(&mut self, inst: Inst, result: Inst) -> Outcome {
        let (func, after) = (self.before.func, self.after.func);
        let tags = (func.debug_tags.get(inst), after.debug_tags.get(result));
        let mut same = tags.0.len() == tags.1.len();
        for (a, b) in tags.0.iter().zip(tags.1) {
            same &= match (a, b) {
                (DebugTag::User(a), DebugTag::User(b)) => a == b,
                (DebugTag::StackSlot(a), DebugTag::StackSlot(b)) => self.same_slot(*a, *b),
                _ => false,
            };
        }
        if !same {
            return Err(self.differs(inst, result, ", with other tags"));
        }
        let maps = [(func, inst), (after, result)];
        let [a, b] = maps.map(|(func, inst)| func.dfg.user_stack_map_entries(inst));
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let mut same = a.len() == b.len();
        for (a, b) in a.iter().zip(b) {
            same &= a.ty == b.ty && a.offset == b.offset && self.same_slot(a.slot, b.slot);
        }
        if !same {
            return Err(self.differs(inst, result, ", with another stack map"));
        }
        if self.surroundings.keeps_locations() && func.srcloc(inst) != after.srcloc(result) {
            return Err(self.differs(inst, result, ", with another source location"));
        }
        let is_cold = |func: &Function, inst: Inst| {
            let block = func.layout.inst_block(inst);
            block.is_some_and(|block| func.layout.is_cold(block))
        };
        if is_cold(func, inst) && !is_cold(after, result) {
            return Err(self.differs(inst, result, ", in a block that is no longer cold"));
        }
        Ok(())
    }

    fn same_slot(&mut self, before: StackSlot, after: StackSlot) -> bool {
        let named = self.world.tracking.unite(before, after);
        self.world.tracking.share_named((Side::Before, before));
        self.world.tracking.share_named((Side::After, after));
        named
    }
}

/// What a term is made of.
fn parts(term: &Term) -> Vec<Node> {
    match term {
        Term::Computed { args, .. } | Term::Row(args) | Term::Sequence(args) => args.to_vec(),
        &Term::Bits(of, _)
        | &Term::Reversed(of, _)
        | &Term::SwappedBytes(of)
        | &Term::Piece(of, _)
        | &Term::Image(of, _)
        | &Term::View(of, _)
        | &Term::Part(of, _) => vec![of],
        Term::Memory { behind, pieces } => {
            let pieces = pieces.iter().map(|&(_, _, node)| node);
            std::iter::once(*behind).chain(pieces).collect()
        }
        &Term::Stored {
            memory,
            address,
            value,
            ..
        } => vec![memory, address, value],
        &Term::Read {
            memory, address, ..
        } => vec![memory, address],
        Term::Symbol(_) | Term::Constant(_) | Term::Slot(..) | Term::Function(_) | Term::Zeros => {
            Vec::new()
        }
    }
}
