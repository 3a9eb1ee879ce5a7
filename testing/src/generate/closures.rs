//! Closures: addresses of functions in stack slots, beside environments.
//!
//! A closure is a slot:
//!
//! ```text
//! offset  0  the address of its function
//!         8  the environment, two words
//!        24  a tag, in some
//! ```
//!
//! Its function gets a number and the address of the environment, and may change that. So the slot
//! escapes into the function whose address it holds, like with closures of front ends. Some
//! closures have the address of an environment in another slot instead. Sometimes the function's
//! address is one of several, and sometimes the function itself, a callee or its caller puts
//! another one there.
//!
//! The functions of closures are some of the program's. All of them have one signature, and each
//! computes something of its own, so that a call of the wrong one is seen.

use super::aggregates::PLAIN;
use super::body::{Body, Target};
use super::calls::Call;
use super::choices::Choices;
use super::control::{End, MAX_DEPTH};
use super::features::{Feature, Features};
use super::helpers::Helper;
use super::methods::Table;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, BlockArg, FuncRef, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot,
    StackSlotData, StackSlotKind, Value, types,
};
use cranelift_codegen::isa::CallConv;
use std::collections::BTreeSet;
use std::ops::Range;

/// The most functions of closures.
pub(super) const MOST_FUNCTIONS: usize = 3;

/// The most calls of a closure in a loop.
const MOST_ROUNDS: usize = 3;

/// Offsets in the slot.
const CODE: u32 = 0;
pub(super) const ENVIRONMENT: u32 = 8;
const TAG: u32 = 24;
/// The size of the slot without a tag, and with one.
pub(super) const SIZE: u32 = 24;
const TAGGED_SIZE: u32 = 32;

/// A closure or an object.
#[derive(Clone, Copy)]
pub(super) struct Closure {
    /// Starts with the address of a function or of a table of functions.
    pub(super) slot: StackSlot,
    /// The slot with the environment, and its offset there.
    environment: (StackSlot, u32),
}

/// The plan of closures.
pub(super) struct Closures {
    /// Takes a number and the address of an environment, and returns a number.
    pub(super) signature: Signature,
    /// The functions of closures, by their indices.
    pub(super) functions: Range<usize>,
    /// The one that a helper puts into closures.
    pub(super) rebound: usize,
    /// The form of the helpers' bodies.
    pub(super) form: usize,
    /// The helpers that the program needs.
    pub(super) helpers: BTreeSet<Helper>,
    pub(super) tables: Vec<Table>,
}

impl Closures {
    /// Plans closures with functions from the index `first` on.
    pub(super) fn new(
        first: usize,
        call_conv: CallConv,
        features: Features,
        choices: &mut Choices<'_, '_>,
    ) -> Self {
        let mut signature = Signature::new(call_conv);
        signature.params = [types::I64; 2].map(AbiParam::new).to_vec();
        signature.returns = vec![AbiParam::new(types::I64)];
        let count = choices.one_of(&[2, MOST_FUNCTIONS, 1]).unwrap_or(2);
        let functions = first..first + count;
        let tables = match features.has(Feature::MethodTables) {
            true => Table::some(functions.clone(), choices),
            false => Vec::new(),
        };
        Closures {
            signature,
            rebound: first + choices.below(count),
            form: choices.below(4),
            functions,
            helpers: BTreeSet::new(),
            tables,
        }
    }
}

impl Body<'_, '_, '_> {
    /// Returns whether statements with closures are made.
    pub(super) fn has_closures(&self) -> bool {
        self.plan.closures.is_some()
    }

    /// Makes a statement with a closure.
    pub(super) fn closure(&mut self) -> End {
        let known = self.values.len();
        match self.choices.below(8) {
            0 | 1 if self.called_closure() == End::Closed => return End::Closed,
            0 | 1 => {}
            2 => self.repeated_closure(),
            3 => self.passed_closure(),
            4 => self.rebound_closure(),
            5 => self.changing_closure(),
            6 => self.tagged_closure(),
            _ => self.replaced_closure(),
        }
        self.observe_since(known);
        End::Open
    }

    /// Shows the host the numbers that a statement made, in most cases: those behind the first
    /// `known` values.
    pub(super) fn observe_since(&mut self, known: usize) {
        if !self.choices.chance(64) {
            let made = self.values.get(known..).unwrap_or_default().iter().copied();
            let dfg = &self.func.dfg;
            let made = made.filter(|&value| dfg.value_type(value) == types::I64);
            let made: Vec<Value> = made.collect();
            self.observe(made);
        }
    }

    /// Makes the computation of a closure's function that no other has, from its number and its
    /// environment.
    pub(super) fn use_environment(&mut self) {
        let entry = self.func.layout.entry_block();
        let params = entry.map_or(&[][..], |entry| self.func.dfg.block_params(entry));
        let &[given, environment] = params else {
            return;
        };
        let flags = MemFlagsData::trusted().with_alias_region(self.pointer_region);
        let captured = self.at().ins().load(types::I64, flags, environment, 0);
        let factor = 2 * self.index as i64 + 3;
        let factor = self.at().ins().iconst(types::I64, factor);
        let product = self.at().ins().imul(captured, factor);
        let sum = self.at().ins().iadd(given, product);
        if !self.choices.chance(96) {
            self.at().ins().store(flags, sum, environment, 8);
        }
        self.define([sum]);
    }

    /// Returns the functions of closures of which `times` calls can be made here.
    pub(super) fn closure_functions(&self, times: u64) -> Vec<usize> {
        let functions = self.plan.closures.as_ref();
        let functions = functions.map_or(0..0, |closures| closures.functions.clone());
        let runs = self.runs() * times;
        functions
            .filter(|&function| function > self.index && self.plan.has_room(function, runs))
            .collect()
    }

    /// Chooses functions for a closure that is called `times` times here, each of which may be
    /// called each time; `None` if there are none.
    fn some_functions(&mut self, times: u64) -> Option<Vec<usize>> {
        let possible = self.closure_functions(times);
        let count = 1 + self.choices.below(possible.len().min(3));
        let mut chosen = Vec::new();
        for _ in 0..count {
            let function = self.choices.one_of(&possible)?;
            if !chosen.contains(&function) {
                chosen.push(function);
            }
        }
        self.count_calls(&chosen, times);
        Some(chosen)
    }

    /// Records `times` calls of each of these functions.
    pub(super) fn count_calls(&mut self, functions: &[usize], times: u64) {
        let runs = self.runs() * times;
        for &function in functions {
            self.plan.add_entries(function, runs);
        }
    }

    /// Makes the address of a function of the program.
    pub(super) fn function_address(&mut self, function: usize) -> Value {
        match self.declare(Target::Function(function)) {
            Some((func_ref, _)) => self.at().ins().func_addr(types::I64, func_ref),
            None => self.at().ins().iconst(types::I64, 0),
        }
    }

    /// Makes the address of one of these functions, which a condition chooses.
    fn one_address(&mut self, functions: &[usize]) -> Value {
        let mut address = None;
        for &function in functions {
            address = Some(match address {
                None => self.function_address(function),
                Some(other) => self.one_of_two(|body| body.function_address(function), |_| other),
            });
        }
        match address {
            Some(address) => address,
            None => self.at().ins().iconst(types::I64, 0),
        }
    }

    /// Makes one of two addresses, by a select or where two branches join.
    pub(super) fn one_of_two(
        &mut self,
        one: impl Fn(&mut Self) -> Value,
        other: impl Fn(&mut Self) -> Value,
    ) -> Value {
        let condition = self.condition();
        if self.choices.chance(128) {
            let (one, other) = (one(self), other(self));
            return self.at().ins().select(condition, one, other);
        }
        let join = self.branched_to(condition, &[types::I64], |body, taken| {
            vec![if taken { one(body) } else { other(body) }]
        });
        self.func.dfg.block_params(join)[0]
    }

    /// Makes the address of a function for an indirect call: sometimes as a value that passed
    /// through a slot, or as one of two that are the same.
    pub(super) fn target_address(&mut self, func_ref: FuncRef) -> Value {
        let ways = if self.has_closures() { 5 } else { 1 };
        match self.choices.below(ways) {
            3 => {
                let address = self.at().ins().func_addr(types::I64, func_ref);
                let slot = self.new_slot(8);
                self.write_plainly(slot, 0, address);
                self.read_plainly(slot, 0, types::I64)
            }
            4 => {
                let address = |body: &mut Self| body.at().ins().func_addr(types::I64, func_ref);
                self.one_of_two(address, address)
            }
            _ => self.at().ins().func_addr(types::I64, func_ref),
        }
    }

    /// Makes a slot for addresses and words.
    pub(super) fn new_slot(&mut self, size: u32) -> StackSlot {
        let kind = StackSlotKind::ExplicitSlot;
        let align_shift = 3 + self.choices.below(2) as u8;
        let data = StackSlotData::new(kind, size, align_shift);
        self.func.create_sized_stack_slot(data)
    }

    /// Makes a slot of `size` bytes with an address at its start, and an environment behind it.
    pub(super) fn with_environment(&mut self, size: u32, address: Value) -> Closure {
        let slot = self.new_slot(size);
        let environment = (slot, ENVIRONMENT);
        self.fill(Closure { slot, environment }, address)
    }

    /// Like [`Body::with_environment`], but sometimes the environment is in another slot.
    pub(super) fn with_some_environment(&mut self, address: Value) -> Closure {
        if !self.choices.chance(80) {
            return self.with_environment(SIZE, address);
        }
        let slot = self.new_slot(16);
        let environment = (self.new_slot(16), 0);
        let closure = self.fill(Closure { slot, environment }, address);
        let environment = self.environment_address(closure);
        self.write_plainly(slot, ENVIRONMENT, environment);
        closure
    }

    /// Makes the stores to a new closure.
    fn fill(&mut self, closure: Closure, address: Value) -> Closure {
        let (slot, start) = closure.environment;
        let first = self.choices.chance(128);
        if first {
            self.write_plainly(closure.slot, CODE, address);
        }
        for word in 0..2 {
            let value = self.value(types::I64);
            self.write(slot, start + 8 * word, value);
        }
        if !first {
            self.write_plainly(closure.slot, CODE, address);
        }
        closure
    }

    fn environment_address(&mut self, closure: Closure) -> Value {
        let (slot, start) = closure.environment;
        self.at().ins().stack_addr(types::I64, slot, start as i32)
    }

    /// Makes the address of an environment for a call.
    fn passed_environment(&mut self, closure: Closure) -> Value {
        match closure.environment.0 == closure.slot {
            true => self.environment_address(closure),
            false => self.read_plainly(closure.slot, ENVIRONMENT, types::I64),
        }
    }

    fn closure_of(&mut self, functions: &[usize]) -> Closure {
        let address = self.one_address(functions);
        self.with_some_environment(address)
    }

    /// Like [`Body::closure_of`], for callees that find the environment behind the address.
    fn whole_closure_of(&mut self, functions: &[usize]) -> Closure {
        let address = self.one_address(functions);
        self.with_environment(SIZE, address)
    }

    /// Returns the signature of closures, as one of the references to it.
    pub(super) fn closure_signature(&mut self) -> Option<SigRef> {
        let closures = self.plan.closures.as_ref()?;
        let function = closures.functions.start;
        let known = self.func_refs.get(&Target::Function(function));
        match known {
            Some(&known) if !self.choices.chance(64) => {
                Some(self.func.dfg.ext_funcs[known].signature)
            }
            _ => Some(self.func.import_signature(closures.signature.clone())),
        }
    }

    /// Makes a call through the address `code` with the number `given` and an environment; returns
    /// the result.
    pub(super) fn call_code(&mut self, code: Value, closure: Closure, given: Value) -> Value {
        let environment = self.passed_environment(closure);
        let Some(signature) = self.closure_signature() else {
            return given;
        };
        let args = [given, environment];
        let call = self.at().ins().call_indirect(signature, code, &args);
        self.annotate_call(call);
        self.func.dfg.first_result(call)
    }

    fn call_closure(&mut self, closure: Closure) {
        let code = self.read_plainly(closure.slot, CODE, types::I64);
        let given = self.value(types::I64);
        let result = self.call_code(code, closure, given);
        self.define([result]);
    }

    /// Makes a read of an environment.
    pub(super) fn read_environment(&mut self, closure: Closure) {
        let (slot, start) = closure.environment;
        let word = self.choices.below(3) as u32;
        if word < 2 {
            let value = self.read(slot, start + 8 * word, types::I64);
            self.define([value]);
        }
    }

    fn called_closure(&mut self) -> End {
        let Some(functions) = self.some_functions(2) else {
            self.instruction();
            return End::Open;
        };
        let closure = self.closure_of(&functions);
        if self.choices.chance(96) {
            self.call_closure(closure);
        }
        let may_catch = self.plan.features.has(Feature::Exceptions)
            && self.labels.len() < MAX_DEPTH
            && self.choices.chance(96);
        let signature = self.signature_of(Target::Function(functions[0]));
        let catchable = signature.filter(|signature| signature.call_conv == CallConv::Tail);
        let declared = self.declare(Target::Function(functions[0]));
        if let (true, Some(signature), Some((func_ref, _))) = (may_catch, catchable, declared) {
            let address = self.read_plainly(closure.slot, CODE, types::I64);
            let environment = self.passed_environment(closure);
            let call = Call {
                func_ref,
                signature,
                args: vec![self.value(types::I64), environment],
                address: Some(address),
            };
            if self.try_prepared_call(&call) == End::Closed {
                return End::Closed;
            }
        } else {
            self.call_closure(closure);
        }
        self.read_environment(closure);
        End::Open
    }

    /// Makes a loop that calls a closure, and sometimes puts another address there.
    fn repeated_closure(&mut self) {
        let rounds = 1 + self.choices.below(MOST_ROUNDS) as u64;
        let functions = match self.may_repeat(rounds) {
            true => self.some_functions(rounds),
            false => None,
        };
        let Some(functions) = functions else {
            return self.instruction();
        };
        let changes = functions.len() > 1 && self.choices.chance(128);
        let closure = match changes {
            true => self.closure_of(&functions[..1]),
            false => self.closure_of(&functions),
        };
        self.repeated(rounds, |body, given| {
            let code = body.read_plainly(closure.slot, CODE, types::I64);
            let result = body.call_code(code, closure, given);
            if changes {
                let address = body.one_address(&functions);
                body.write_plainly(closure.slot, CODE, address);
            }
            result
        });
        self.read_environment(closure);
    }

    /// Makes a loop of `rounds` that computes a number from itself.
    pub(super) fn repeated(&mut self, rounds: u64, inside: impl FnOnce(&mut Self, Value) -> Value) {
        let header = self.block_with(&[types::I32, types::I64]);
        let exit = self.block_with(&[types::I64]);
        let counter = self.at().ins().iconst(types::I32, rounds as i64);
        let first = self.value(types::I64);
        let args = [counter, first].map(BlockArg::Value);
        self.at().ins().jump(header, &args);
        self.rounds *= rounds;
        self.start(header);
        let outside = self.values.len();
        let &[counter, given] = self.func.dfg.block_params(header) else {
            return;
        };
        self.define([given]);
        let result = inside(self, given);
        let one = self.at().ins().iconst(types::I32, 1);
        let left = self.at().ins().isub(counter, one);
        let again = [left, result].map(BlockArg::Value);
        let mut cursor = self.at();
        let builder = cursor.ins();
        builder.brif(left, header, &again, exit, &[BlockArg::Value(result)]);
        self.values.truncate(outside);
        self.rounds /= rounds;
        self.start(exit);
        self.define_params(exit);
    }

    /// Makes a call of a helper with the address of a closure, sometimes through the helper's
    /// address; `None` if there is no helper.
    pub(super) fn call_helper(&mut self, helper: Helper, closure: Closure) -> Option<Value> {
        let helpers = &mut self.plan.closures.as_mut()?.helpers;
        helpers.extend(helper.needed());
        let (func_ref, _) = self.declare(Target::Helper(helper))?;
        let given = self.value(types::I64);
        let slot = closure.slot;
        let address = self.at().ins().stack_addr(types::I64, slot, CODE as i32);
        let args = [given, address];
        let call = if self.choices.chance(48) {
            let code = self.target_address(func_ref);
            let signature = self.closure_signature()?;
            self.at().ins().call_indirect(signature, code, &args)
        } else {
            self.at().ins().call(func_ref, &args)
        };
        self.annotate_call(call);
        self.define_results(call);
        Some(self.func.dfg.first_result(call))
    }

    /// Makes a closure that another function calls.
    fn passed_closure(&mut self) {
        let Some(functions) = self.some_functions(2) else {
            return self.instruction();
        };
        let closure = self.whole_closure_of(&functions);
        self.call_helper(Helper::Apply, closure);
        self.read_environment(closure);
    }

    /// Makes a closure that is called, gets another function from a callee, and is called again.
    fn rebound_closure(&mut self) {
        let rebound = self.plan.closures.as_ref().map(|closures| closures.rebound);
        let possible = self.closure_functions(4);
        let rebound = rebound.filter(|rebound| possible.contains(rebound));
        let (Some(rebound), Some(functions)) = (rebound, self.some_functions(2)) else {
            return self.instruction();
        };
        self.count_calls(&[rebound], 1);
        let closure = self.closure_of(&functions);
        self.call_closure(closure);
        if self.choices.chance(64) {
            let condition = self.condition();
            self.branched(condition, |body, taken| {
                if taken {
                    body.call_helper(Helper::Rebind, closure);
                }
            });
        } else {
            self.call_helper(Helper::Rebind, closure);
        }
        self.call_closure(closure);
        self.read_environment(closure);
    }

    /// Makes a closure whose function changes the address beside its environment, like coroutines
    /// do.
    fn changing_closure(&mut self) {
        let rounds = 1 + self.choices.below(MOST_ROUNDS + 1) as u64;
        if !self.may_repeat(rounds) {
            return self.instruction();
        }
        let Some(closures) = self.plan.closures.as_mut() else {
            return;
        };
        closures.helpers.extend(Helper::OneState.needed());
        let Some((first, _)) = self.declare(Target::Helper(Helper::OneState)) else {
            return;
        };
        let address = self.at().ins().func_addr(types::I64, first);
        let closure = self.with_environment(SIZE, address);
        if self.choices.chance(128) {
            self.repeated(rounds, |body, given| {
                let code = body.read_plainly(closure.slot, CODE, types::I64);
                body.call_code(code, closure, given)
            });
        } else {
            for _ in 0..rounds {
                self.call_closure(closure);
            }
        }
        self.read_environment(closure);
    }

    /// Makes a closure with a call of another signature, which is never executed: a tag beside the
    /// environment tells, or the address, which is never zero.
    fn tagged_closure(&mut self) {
        let Some(functions) = self.some_functions(2) else {
            return self.instruction();
        };
        let address = self.one_address(&functions);
        let closure = self.with_environment(TAGGED_SIZE, address);
        let one = self.at().ins().iconst(types::I64, 1);
        self.write_plainly(closure.slot, TAG, one);
        if self.choices.chance(128) {
            self.call_closure(closure);
        }
        let code = self.read_plainly(closure.slot, CODE, types::I64);
        let fits = match self.choices.below(3) {
            0 => {
                let tag = self.read_plainly(closure.slot, TAG, types::I64);
                self.at().ins().icmp(IntCC::Equal, tag, one)
            }
            1 => self.read_plainly(closure.slot, TAG, types::I64),
            _ => code,
        };
        let join = self.branched_to(fits, &[types::I64], |body, taken| {
            let given = body.value(types::I64);
            vec![match taken {
                true => body.call_code(code, closure, given),
                false => body.call_wrongly(code, given),
            }]
        });
        self.define_params(join);
        self.read_environment(closure);
    }

    /// Makes a call through an address with a signature that its function does not have.
    pub(super) fn call_wrongly(&mut self, code: Value, given: Value) -> Value {
        let Some(closures) = self.plan.closures.as_ref() else {
            return given;
        };
        let mut signature = closures.signature.clone();
        let result = match self.choices.below(4) {
            0 => {
                signature.params.pop();
                types::I64
            }
            1 => {
                signature.params.push(AbiParam::new(types::I64));
                types::I64
            }
            2 => {
                signature.returns = vec![AbiParam::new(types::I32)];
                types::I32
            }
            _ => {
                signature.call_conv = match signature.call_conv {
                    CallConv::Fast => CallConv::SystemV,
                    _ => CallConv::Fast,
                };
                types::I64
            }
        };
        let args = vec![given; signature.params.len()];
        let signature = self.func.import_signature(signature);
        let call = self.at().ins().call_indirect(signature, code, &args);
        self.annotate_call(call);
        let value = self.func.dfg.first_result(call);
        match result {
            types::I64 => value,
            _ => self.at().ins().uextend(types::I64, value),
        }
    }

    /// Makes the address of one of these functions by a closure that has already been called, so
    /// that its function might have changed it.
    fn address_of_another(&mut self, functions: &[usize]) -> Value {
        let other = self.whole_closure_of(functions);
        self.call_closure(other);
        self.read_plainly(other.slot, CODE, types::I64)
    }

    /// Makes a closure that gets another function from its caller, on all ways or on some.
    fn replaced_closure(&mut self) {
        let (Some(functions), Some(others)) = (self.some_functions(2), self.some_functions(2))
        else {
            return self.instruction();
        };
        let closure = self.closure_of(&functions);
        if self.choices.chance(128) {
            self.call_closure(closure);
        }
        let address = match self.choices.chance(128) {
            true => self.one_address(&others),
            false => self.address_of_another(&others),
        };
        if self.choices.chance(96) {
            let condition = self.condition();
            self.branched(condition, |body, taken| {
                if taken {
                    let at = body
                        .at()
                        .ins()
                        .stack_addr(types::I64, closure.slot, CODE as i32);
                    body.at().ins().store(PLAIN, address, at, 0);
                }
            });
        } else {
            self.write_plainly(closure.slot, CODE, address);
        }
        self.call_closure(closure);
        self.read_environment(closure);
    }
}
