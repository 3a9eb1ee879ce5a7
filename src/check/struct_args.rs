//! Copies of structures passed by value.

use super::assigned::Assigned;
use super::difference::Difference;
use super::place::{Next, Place, Terms, one};
use super::tables::{Gap, Source, Walk};
use super::tree::CopyId;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ArgumentPurpose, BlockArg, Inst, InstructionData, MemFlags, MemFlagsData, Opcode, StackSlot,
    StackSlotKind, Value,
};

/// A callee may rely on the alignment that a stack argument can have at most:
/// sixteen bytes.
const ALIGN_SHIFT: u8 = 4;

impl Walk<'_> {
    /// Steps into a copy whose callee takes structures by value: each is
    /// copied, starting at `first`, before the body.
    pub(super) fn enter_with_structs(
        &mut self,
        copy: CopyId,
        call: Inst,
        child: CopyId,
        first: Inst,
    ) -> Result<(), Difference> {
        let mut assigned = Assigned::default();
        let entry = self.enter(copy, call, child, &mut assigned)?;
        let params = &self.tree.func(child).signature.params;
        let mut next = Next::At(first);
        for (index, (param, terms)) in params.iter().zip(assigned.terms_mut()).enumerate() {
            if let ArgumentPurpose::StructArgument(size) = param.purpose {
                let source = terms.clone();
                let mut reader = StructCopy {
                    walk: self,
                    copy,
                    call,
                    child,
                    next,
                    at: None,
                    source,
                };
                reader.go_to(next);
                let address = reader.read(size, index)?;
                next = reader.next;
                *terms = one(address);
            }
        }
        self.work.push(Gap {
            copy: child,
            source: Source::Enter(entry),
            next,
            assigned,
            known: None,
        });
        Ok(())
    }
}

/// Reads the instructions of one copy.
struct StructCopy<'w, 'a> {
    walk: &'w mut Walk<'a>,
    copy: CopyId,
    call: Inst,
    child: CopyId,
    /// The place where the result goes on. Its assignments on the way to the next instruction
    /// belong to the gap after the copies.
    next: Next,
    /// The next instruction, unless the result loops forever.
    at: Option<Inst>,
    source: Terms,
}

impl StructCopy<'_, '_> {
    fn go_to(&mut self, next: Next) {
        self.next = next;
        self.at = match self.walk.settle(next, None).place {
            Place::At(inst) => Some(inst),
            Place::Spins => None,
        };
    }

    /// Reads one copy and returns its address; `next` is then the place after it.
    fn read(&mut self, size: u32, index: usize) -> Result<Value, Difference> {
        let slot = match self.data() {
            InstructionData::StackAddr {
                stack_slot, offset, ..
            } if i32::from(offset) == 0 => stack_slot,
            _ => return Err(self.wrong("a structure is not copied to a slot")),
        };
        let data = self.walk.after.sized_stack_slots.get(slot);
        let fits = data.is_some_and(|data| {
            let is_plain = data.kind == StackSlotKind::ExplicitSlot && data.key.is_none();
            is_plain && data.size >= size
        });
        if !fits || !self.claims(slot, index) {
            return Err(self.wrong("a structure is copied to a slot that is not its own"));
        }
        if data.is_none_or(|data| data.align_shift < ALIGN_SHIFT) {
            return Err(self.wrong("a structure is copied to a slot that is not aligned enough"));
        }
        let target = self.take()?;
        if size > 0 {
            self.read_fence(target)?;
        }
        let mut copied = 0;
        while copied < size {
            copied = match self.data() {
                InstructionData::UnaryImm { .. } if copied == 0 => self.read_loop(target)?,
                _ => copied + self.read_word(target, copied)?,
            };
        }
        if copied > size {
            return Err(self.wrong("more than the structure is copied"));
        }
        Ok(target)
    }

    /// Reads the store before the copy. Where promises hold for the whole program, stores may have
    /// alias regions, and a load without a region does not see them. So a store without a region
    /// has to come first. It must differ from the stores of the copy, because one of two equal
    /// stores is dropped.
    fn read_fence(&mut self, target: Value) -> Result<(), Difference> {
        let is_fence = match self.data() {
            InstructionData::Store {
                opcode: Opcode::Istore8,
                args: [_, address],
                flags,
                offset,
            } => address == target && i32::from(offset) == 0 && self.is_plain(flags),
            _ => false,
        };
        if is_fence && self.walk.tree.holds_for_program {
            self.take()?;
        } else if self.walk.tree.holds_for_program && self.walk.store_with_region().is_some() {
            let message = "a structure is copied past stores to alias regions";
            return Err(self.wrong(message));
        }
        Ok(())
    }

    fn claims(&mut self, slot: StackSlot, index: usize) -> bool {
        let (tree, copy) = (self.walk.tree, self.child);
        let slots = &mut self.walk.slots;
        slots.claim_for_struct(tree, slot, copy, index)
    }

    fn data(&self) -> InstructionData {
        const NOTHING: InstructionData = InstructionData::NullAry {
            opcode: Opcode::Nop,
        };
        let insts = &self.walk.after.dfg.insts;
        self.at.map_or(NOTHING, |at| insts[at])
    }

    fn wrong(&self, message: &str) -> Difference {
        let difference = self.walk.at(self.copy, self.call, message);
        match self.at {
            Some(at) => difference.with_result(at),
            None => difference,
        }
    }

    /// Takes the instruction for the copy and goes on; returns its result.
    fn take(&mut self) -> Result<Value, Difference> {
        let after = self.walk.after;
        let next = self.at.and_then(|at| after.layout.next_inst(at));
        let (Some(taken), Some(next)) = (self.at, next) else {
            return Err(self.wrong("a structure is not copied to its end"));
        };
        self.walk.own(self.copy, self.call, taken)?;
        self.go_to(Next::At(next));
        let results = after.dfg.inst_results(taken);
        Ok(results.first().copied().unwrap_or(Value::from_u32(0)))
    }

    /// Reads a load and a store of the same bytes; returns their number.
    fn read_word(&mut self, target: Value, offset: u32) -> Result<u32, Difference> {
        let source = self.source.clone();
        self.read_move(
            |value| source.contains(&BlockArg::Value(value)),
            |value| value == target,
            offset,
        )
    }

    fn read_move(
        &mut self,
        is_source: impl Fn(Value) -> bool,
        is_target: impl Fn(Value) -> bool,
        offset: u32,
    ) -> Result<u32, Difference> {
        let at_offset = |found: i32| u32::try_from(found).is_ok_and(|found| found == offset);
        let dfg = &self.walk.after.dfg;
        match self.data() {
            InstructionData::Load {
                opcode: Opcode::Load,
                arg,
                offset,
                flags,
            } if is_source(dfg.resolve_aliases(arg))
                && at_offset(offset.into())
                && self.is_plain(flags) => {}
            _ => return Err(self.wrong("bytes of a structure are not loaded")),
        }
        let word = self.take()?;
        let dfg = &self.walk.after.dfg;
        match self.data() {
            InstructionData::Store {
                opcode: Opcode::Store,
                args: [value, address],
                offset,
                flags,
            } if value == word
                && is_target(address)
                && at_offset(offset.into())
                && self.is_plain(flags) => {}
            _ => return Err(self.wrong("bytes of a structure are not stored")),
        }
        let bytes = dfg.value_type(word).bytes();
        self.take()?;
        Ok(bytes)
    }

    /// Returns whether an access makes only the promises of the call.
    fn is_plain(&self, flags: MemFlags) -> bool {
        let flags = self.walk.after.dfg.mem_flags[flags];
        let plain = MemFlagsData::new();
        flags == plain || flags == plain.with_notrap()
    }

    /// Reads a loop over eight bytes at a time; returns the number of bytes.
    fn read_loop(&mut self, target: Value) -> Result<u32, Difference> {
        let after = self.walk.after;
        let first = self.at.and_then(|at| after.layout.next_inst(at));
        let crossings = first.map(|first| self.walk.settle(Next::At(first), None).crossings);
        let zero = self.take()?;
        let body = self.at.and_then(|at| after.layout.inst_block(at));
        let offset = match body.map(|body| after.dfg.block_params(body)) {
            Some(&[offset]) => offset,
            _ => return Err(self.wrong("a structure is copied in an unknown way")),
        };
        let starts = self
            .walk
            .carry(&one(zero), crossings.as_deref().unwrap_or_default());
        if !starts.contains(&BlockArg::Value(offset)) {
            return Err(self.wrong("a structure is not copied from its start"));
        }
        let sum_with = |this: &Self, is_base: &dyn Fn(Value) -> bool| match this.data() {
            InstructionData::Binary {
                opcode: Opcode::Iadd,
                args: [base, index],
            } => is_base(this.walk.after.dfg.resolve_aliases(base)) && index == offset,
            _ => false,
        };
        let source = self.source.clone();
        if !sum_with(self, &|value| source.contains(&BlockArg::Value(value))) {
            return Err(self.wrong("a structure is copied from elsewhere"));
        }
        let from = self.take()?;
        if !sum_with(self, &|value| value == target) {
            return Err(self.wrong("a structure is copied to elsewhere"));
        }
        let to = self.take()?;
        let step_bytes = self.read_move(|value| value == from, |value| value == to, 0)?;
        let step = self.take()?;
        let next = match self.data() {
            InstructionData::Binary {
                opcode: Opcode::Iadd,
                args,
            } if args == [offset, step] => self.take()?,
            _ => return Err(self.wrong("a structure is copied in other steps")),
        };
        let end = self.take()?;
        let more = match self.data() {
            InstructionData::IntCompare {
                args,
                cond: IntCC::UnsignedLessThan,
                ..
            } if args == [next, end] => self.take()?,
            _ => return Err(self.wrong("a structure is not copied to its end")),
        };
        let InstructionData::Brif { arg, blocks, .. } = self.data() else {
            return Err(self.wrong("a structure is not copied to its end"));
        };
        let [again, done] = blocks;
        let pool = &after.dfg.value_lists;
        let goes_again = Some(again.block(pool)) == body
            && again.args(pool).eq([BlockArg::Value(next)])
            && done.len(pool) == 0
            && arg == more;
        let known = |value: Value| self.walk.constant_of(&one(value));
        let size = known(end).and_then(|end| u32::try_from(end).ok());
        let whole = known(zero) == Some(0) && known(step) == Some(step_bytes.into());
        if let Some(branch) = self.at {
            self.walk.own(self.copy, self.call, branch)?;
        }
        self.go_to(Next::Along(done));
        match size {
            Some(size) if goes_again && whole && size > 0 && size % step_bytes == 0 => Ok(size),
            _ => Err(self.wrong("a structure is copied in an unknown way")),
        }
    }
}
