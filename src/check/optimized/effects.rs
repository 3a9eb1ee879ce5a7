//! Effects, which both functions must have.

use super::super::comparison::signed;
use super::calls::call;
use super::contents::{Content, ContentId, Name};
use super::nodes::{Node, Side, Symbol, Term};
use super::walk::{BlockArgNode, Outcome, Walk};
use super::{Unproved, edges};
use cranelift_codegen::ir::{Block, BlockCall, Inst, InstructionData, Opcode};

impl Walk<'_> {
    /// Matches an effect of the optimised function with the next one of the other.
    pub(super) fn match_effect(&mut self, block: Block, result: Inst) -> Outcome {
        loop {
            self.advance()?;
            let inst = self.position;
            if self.is_same_kind(inst, result)? {
                break;
            }
            if self.copy_part(inst, result)? {
                self.loaded.clear();
                return Ok(());
            }
            if self.pass_load(true)? {
                continue;
            }
            if let InstructionData::ExceptionHandlerAddress { block, .. } =
                self.before.func.dfg.insts[inst]
            {
                // The address may be 0 if the block is unreachable.
                for &value in self.before.func.dfg.inst_results(inst) {
                    let width = self.before.func.dfg.value_type(value).bits();
                    let zero = self.world.nodes.constant(0, width);
                    self.before.set(value, Some(zero));
                }
                self.named_blocks.push((inst, block, result, None));
                self.next_inst()?;
                continue;
            }
            if self.is_guard(inst, result) {
                return self.follow_guard(block, result);
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
                let is_open = func.dfg.insts[inst].opcode().is_branch()
                    && (args.contains(&None) || self.may_decide_nothing(inst));
                return Err(match is_open {
                    true => self.unknown(result, message),
                    false => self.wrong(result, message),
                });
            }
        }
        let inst = self.position;
        if !self.is_harmless(inst) {
            self.note_written(result);
        }
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
        if !self.moves_no_further(inst, result) {
            let how = ", which can move, and to where its address was not known";
            return Err(self.differs(inst, result, how));
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

    /// Goes past a load without other effects; a later use of its result is noticed there. From a
    /// known place outside, the result is a value that is neither one of the optimised function's
    /// nor an address of a private slot.
    pub(super) fn pass_load(&mut self, is_outside: bool) -> Outcome<bool> {
        let inst = self.position;
        let func = self.before.func;
        if !self.is_harmless(inst) {
            return if is_outside {
                self.pass_copy()
            } else {
                Ok(false)
            };
        }
        let name = self.address_in_data(inst);
        let known = self.load_key(inst).and_then(|key| self.loaded.get(&key));
        let known = known.filter(|_| is_outside).copied();
        for &value in func.dfg.inst_results(inst) {
            let width = func.dfg.value_type(value).bits();
            let term = match name {
                Some(name) => Some(Term::Function(name)),
                None if known.is_some() => {
                    self.before.set(value, known);
                    continue;
                }
                None if is_outside => {
                    self.passed_loads += 1;
                    let symbol = Symbol::Passed(self.block, self.passed_loads);
                    Some(Term::Symbol(symbol))
                }
                None => None,
            };
            let node = term.map(|term| self.world.nodes.node(term, width));
            self.before.set(value, node);
        }
        self.next_inst()?;
        Ok(true)
    }

    /// Forgets the memory that the optimised function changes with an effect. A stored value is the
    /// next one to be loaded from there, also by the function before if the effect is the same.
    fn note_written(&mut self, result: Inst) {
        let after = self.after.func;
        let opcode = after.dfg.insts[result].opcode();
        // Traps, branches and loads that may trap write nothing.
        if !opcode.can_store() && !opcode.is_call() && !opcode.other_side_effects() {
            return;
        }
        let load = self.world.contents.load_of_stored(after, result);
        let args = self.after.args(&mut self.world, result);
        let (Some(load), &[Some(value), Some(address)]) = (load, &args[..]) else {
            self.loaded.clear();
            return;
        };
        let (load, address) = self.world.load_key(load, address);
        let world = &self.world;
        // Where an address is a constant away from another, and where it is in a slot.
        let range = |load: ContentId, address: Node| {
            let (start, end) = world.contents.loaded_range(load)?;
            Some(match *world.nodes.term(address) {
                Term::Slot(slot, at) => {
                    let [start, end] = [start, end].map(|offset| at.saturating_add(offset));
                    (Some(slot), None, start, end)
                }
                _ => (None, Some(address), start, end),
            })
        };
        let written = range(load, address);
        self.loaded.retain(|&(load, address), _| {
            let (Some(written), Some(loaded)) = (written, range(load, address)) else {
                return false;
            };
            let (slot, base, start, end) = written;
            let (other_slot, other_base, from, to) = loaded;
            let are_slots = slot.is_some() && other_slot.is_some() && slot != other_slot;
            let is_same_base = slot == other_slot && base == other_base;
            are_slots || is_same_base && (end <= from || to <= start)
        });
        self.loaded.insert((load, address), value);
    }

    /// Returns a key that is equal for loads with the same result, if nothing happens between them.
    fn load_key(&mut self, inst: Inst) -> Option<(ContentId, Node)> {
        let address = *self.before.args(&mut self.world, inst).first()?;
        let load = self.before.shape(&mut self.world, inst);
        Some(self.world.load_key(load, address?))
    }

    /// Returns whether an instruction may be the counterpart of the other, by its operation alone;
    /// for branches and loads, which may be gone, by the operands too.
    fn is_same_kind(&mut self, inst: Inst, result: Inst) -> Outcome<bool> {
        let data = self.before.func.dfg.insts[inst];
        let opcode = data.opcode();
        let other = self.after.func.dfg.insts[result].opcode();
        if opcode.is_call() && other.is_call() {
            return Ok(!self.is_open_copy(inst) || self.is_same_copy(inst, result));
        }
        if opcode != other {
            return Ok(false);
        }
        let is_branch = opcode.is_branch();
        if !is_branch && !self.is_harmless(inst) {
            return Ok(true);
        }
        // Of two branches on one value, or of two loads of one address, the first may be gone.
        let same_location = self.before.func.srcloc(inst) == self.after.func.srcloc(result);
        if self.surroundings.keeps_locations() && !same_location {
            return Ok(false);
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
        Ok(is_branch || shape == other && self.moves_no_further(inst, result))
    }

    pub(super) fn differs(&self, inst: Inst, result: Inst, how: &str) -> Box<Unproved> {
        let message = format!(
            "`{}` became `{}`{how}",
            self.before.func.dfg.display_inst(inst),
            self.after.func.dfg.display_inst(result)
        );
        self.wrong(result, message)
    }

    /// Compares two operands. With `escapes`, anything may use the operand later.
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

    /// Defines the results on both sides as equal: the computed value if the instruction only
    /// computes, and otherwise a new symbol.
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
            // Equal loads with nothing between them have equal results. It is unknown which of
            // several was left out, so the match may be with another one than was kept.
            let is_load = self.is_harmless(inst);
            let key = is_load.then(|| self.load_key(inst)).flatten();
            let known = key.and_then(|key| self.loaded.get(&key).copied());
            for (index, (&value, &other)) in values.iter().zip(results).enumerate() {
                let width = after.dfg.value_type(other).bits();
                let symbol = Symbol::Result(result, index);
                let node = match (constant, known) {
                    (Some(name), _) => self.world.nodes.node(Term::Function(name), width),
                    (None, Some(known)) => known,
                    (None, None) => self.world.nodes.symbol(symbol, width),
                };
                self.before.set(value, Some(node));
                self.after.set(other, Some(node));
            }
            if let (&[value], Some(key)) = (values, key)
                && let Some(node) = self.before.get(&mut self.world, value)
            {
                self.loaded.insert(key, node);
            }
        }
        self.note_computed(Side::Before, inst);
        self.note_computed(Side::After, result);
        self.note_kept(inst);
        Ok(())
    }

    /// Returns whether an instruction is a load that has no other effect: it cannot trap by its
    /// flags, or because its bytes are known to be there.
    fn is_harmless(&mut self, inst: Inst) -> bool {
        super::access::is_harmless_load(self.before.func, inst)
            || self.address_in_data(inst).is_some()
    }

    /// Returns the function whose address a load reads from constant data.
    fn address_in_data(&mut self, inst: Inst) -> Option<ContentId> {
        let func = self.before.func;
        let InstructionData::Load {
            opcode: Opcode::Load,
            arg,
            offset,
            flags,
        } = func.dfg.insts[inst]
        else {
            return None;
        };
        let result = *func.dfg.inst_results(inst).first()?;
        let is_address = func.dfg.value_type(result) == func.dfg.value_type(arg);
        if !is_address || func.dfg.mem_flags[flags].explicit_endianness().is_some() {
            return None;
        }
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
                let further = signed(further, width);
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
                super::facts::learn_value(&self.world, &mut self.facts, index, value);
            }
            self.follow_edge(block, (side, &[]), (other, &[]))?;
            self.rollback(&mark);
        }
        Ok(())
    }

    pub(super) fn follow_edge(
        &mut self,
        block: Block,
        (side, passed): (BlockCall, &[BlockArgNode]),
        (other, passed_after): (BlockCall, &[BlockArgNode]),
    ) -> Outcome {
        self.take_edge(side, passed)?;
        self.go(block, other, passed_after)
    }
}
