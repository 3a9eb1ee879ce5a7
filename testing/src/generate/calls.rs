//! Calls of the program's functions and of the host's.

use super::body::{Body, Target};
use super::copy_bytes::{COPY_BYTES, copy_bytes_signature};
use super::features::Feature;
use super::plan::RECURSIVE_CALLS;
use super::stacks;
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, FuncRef, Inst, InstBuilder, Signature, Type, UserFuncName,
    Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::FunctionName;

/// The parts of a call instruction.
pub(super) struct Call {
    pub(super) func_ref: FuncRef,
    pub(super) signature: Signature,
    pub(super) args: Vec<Value>,
    /// The callee's address, for an indirect call.
    pub(super) address: Option<Value>,
}

impl Body<'_, '_, '_> {
    /// Makes a call of a permitted function, otherwise of the host.
    pub(super) fn call(&mut self) {
        let Some(target) = self.some_target() else {
            return;
        };
        self.call_target(target);
    }

    /// Returns the useful callees here.
    pub(super) fn some_target(&mut self) -> Option<Target> {
        let possible = self.possible_callees();
        let hosts = (0..self.plan.hosts.len()).map(Target::Host);
        let hosts: Vec<Target> = hosts.collect();
        let among = if possible.is_empty() || self.choices.chance(64) {
            hosts
        } else {
            possible
        };
        self.choices.one_of(&among)
    }

    /// Returns the program's functions that may be called here.
    fn possible_callees(&self) -> Vec<Target> {
        let function = self.plan.functions.get(self.index);
        let callees = function.into_iter().flat_map(|function| &function.callees);
        let possible = callees.filter(|&&callee| self.may_call(callee));
        possible.map(|&callee| Target::Function(callee)).collect()
    }

    /// Makes the calls that the call graph demands and that are still missing.
    pub(super) fn call_the_rest(&mut self) {
        for callee in self.owed_calls() {
            self.call_target(Target::Function(callee));
        }
    }

    /// Returns whether the call graph demands a call that is still missing. Until then, no branch
    /// leaves the function, so that there is a place for the call.
    pub(super) fn owes_calls(&self) -> bool {
        !self.owed_calls().is_empty()
    }

    fn owed_calls(&self) -> Vec<usize> {
        let function = self.plan.functions.get(self.index);
        let callees = function.filter(|function| function.calls_all);
        let callees = callees.into_iter().flat_map(|function| &function.callees);
        let is_owed = |callee: &usize| !self.func_refs.contains_key(&Target::Function(*callee));
        callees.copied().filter(is_owed).collect()
    }

    /// Calls `target` if it is permitted.
    pub(super) fn call_if_possible(&mut self, target: Target) {
        if self.possible_callees().contains(&target) {
            self.call_target(target);
        }
    }

    /// Passes some numbers to the host, to make them observable.
    pub(super) fn observe(&mut self, values: Vec<Value>) {
        let sum = values.into_iter().reduce(|a, b| self.at().ins().bxor(a, b));
        let host = self.plan.observer.map(Target::Host);
        if let (Some(sum), Some((func_ref, _))) = (sum, host.and_then(|host| self.declare(host))) {
            let call = self.at().ins().call(func_ref, &[sum]);
            self.annotate_call(call);
        }
    }

    fn may_call(&self, callee: usize) -> bool {
        if self.is_recursion(Target::Function(callee)) {
            self.rounds == 1 && self.fuel.is_some() && self.recursive_calls < RECURSIVE_CALLS
        } else {
            self.plan.has_room(callee, self.runs())
        }
    }

    pub(super) fn is_recursion(&self, target: Target) -> bool {
        match target {
            Target::Function(callee) => self.plan.is_recursion(self.index, callee),
            Target::Host(_)
            | Target::Throw
            | Target::Switch
            | Target::Started
            | Target::CopyBytes
            | Target::Helper(_) => false,
        }
    }

    pub(super) fn call_target(&mut self, target: Target) {
        if !self.is_recursion(target) {
            return self.plain_call(target);
        }
        let Some(fuel) = self.fuel else { return };
        let call = self.block_with(&[]);
        let join = self.block_with(&[]);
        self.at().ins().brif(fuel, call, &[], join, &[]);
        self.start(call);
        let outside = self.values.len();
        self.plain_call(target);
        self.values.truncate(outside);
        self.at().ins().jump(join, &[]);
        self.start(join);
    }

    /// Makes a call that returns. A recursive one has fuel.
    fn plain_call(&mut self, target: Target) {
        let Some(call) = self.prepare_call(target) else {
            return;
        };
        let inst = match call.address {
            None => self.at().ins().call(call.func_ref, &call.args),
            Some(address) => {
                let signature = self.func.dfg.ext_funcs[call.func_ref].signature;
                self.at()
                    .ins()
                    .call_indirect(signature, address, &call.args)
            }
        };
        self.annotate_call(inst);
        self.define_results(inst);
    }

    /// Returns the parts of a call of `target`, and records the call.
    pub(super) fn prepare_call(&mut self, target: Target) -> Option<Call> {
        let is_owed = match target {
            Target::Function(callee) => self.owed_calls().contains(&callee),
            Target::Host(_)
            | Target::Throw
            | Target::Switch
            | Target::Started
            | Target::CopyBytes
            | Target::Helper(_) => false,
        };
        let (func_ref, signature) = self.declare(target)?;
        let mut params = signature.params.iter().map(|param| param.value_type);
        let mut args = Vec::new();
        let mut pointer = None;
        if let Target::Function(callee) = target {
            let function = self.plan.functions.get(callee)?;
            let (has_fuel, has_pointer) = (function.has_fuel, function.has_pointer);
            let (has_context, reads_only) = (function.has_context, function.reads_only);
            if self.plan.is_recursion(self.index, callee) {
                self.recursive_calls += 1;
            } else {
                self.plan.add_entries(callee, self.runs());
            }
            if has_context {
                params.next();
                args.push(match self.context {
                    Some(context) => context,
                    None => self.at().ins().iconst(types::I64, 0),
                });
            }
            if has_fuel {
                params.next();
                args.push(self.fuel_for(target));
            }
            if has_pointer {
                params.next_back();
                pointer = Some(self.pointer_argument(target, reads_only)?);
            }
        }
        let types: Vec<Type> = params.collect();
        args.extend(self.values_of(&types));
        args.extend(pointer);
        let is_indirect =
            self.plan.features.has(Feature::IndirectCalls) && !is_owed && self.choices.chance(64);
        let address = is_indirect.then(|| self.target_address(func_ref));
        Some(Call {
            func_ref,
            signature,
            args,
            address,
        })
    }

    /// Returns the remaining fuel less one for a recursion, any number otherwise.
    fn fuel_for(&mut self, target: Target) -> Value {
        match self.fuel {
            Some(fuel) if self.is_recursion(target) => {
                let one = self.at().ins().iconst(types::I32, 1);
                self.at().ins().isub(fuel, one)
            }
            _ => self.value(types::I32),
        }
    }

    /// Ends the function with a `return_call` if one is possible and chosen. Otherwise control
    /// continues.
    pub(super) fn return_call(&mut self) -> bool {
        if !self.plan.features.has(Feature::TailCalls)
            || self.func.signature.call_conv != CallConv::Tail
            || !self.choices.chance(160)
        {
            return false;
        }
        let hosts = (0..self.plan.hosts.len()).map(Target::Host);
        let all = self.possible_callees().into_iter().chain(hosts);
        let fitting: Vec<Target> = all
            .filter(|&target| self.returns_the_same(target))
            .collect();
        let Some(target) = self.choices.one_of(&fitting) else {
            return false;
        };
        let otherwise = match self.fuel {
            Some(fuel) if self.is_recursion(target) => {
                let call = self.block_with(&[]);
                let otherwise = self.block_with(&[]);
                self.at().ins().brif(fuel, call, &[], otherwise, &[]);
                self.start(call);
                Some(otherwise)
            }
            _ => None,
        };
        // A callee must not get an address in a frame that is gone.
        let frame = std::mem::take(&mut self.slots);
        let call = self.prepare_call(target);
        self.slots = frame;
        if let Some(call) = call {
            let inst = self.return_call_instruction(&call);
            self.annotate_return_call(inst);
        } else {
            let code = self.trap_code();
            self.at().ins().trap(code);
        }
        if let Some(otherwise) = otherwise {
            self.start(otherwise);
        }
        otherwise.is_none()
    }

    fn return_call_instruction(&mut self, call: &Call) -> Inst {
        match call.address {
            None => self.at().ins().return_call(call.func_ref, &call.args),
            Some(address) => {
                let signature = self.func.dfg.ext_funcs[call.func_ref].signature;
                let mut cursor = self.at();
                cursor
                    .ins()
                    .return_call_indirect(signature, address, &call.args)
            }
        }
    }

    fn returns_the_same(&self, target: Target) -> bool {
        let has_pointer = match target {
            Target::Function(callee) => self.plan.functions.get(callee).map(|f| f.has_pointer),
            Target::Host(_)
            | Target::Throw
            | Target::Switch
            | Target::Started
            | Target::CopyBytes
            | Target::Helper(_) => Some(false),
        };
        let signature = self.signature_of(target);
        signature.is_some_and(|signature| {
            signature.call_conv == CallConv::Tail
                && signature.returns == self.func.signature.returns
                && (has_pointer == Some(false) || self.pointer.is_some())
        })
    }

    pub(super) fn signature_of(&self, target: Target) -> Option<Signature> {
        Some(match target {
            Target::Function(index) => self.plan.functions.get(index)?.signature.clone(),
            Target::Host(index) => self.plan.hosts.get(index)?.signature.clone(),
            Target::Throw => {
                let mut signature = Signature::new(CallConv::Tail);
                signature.params = [types::I64; 2].map(AbiParam::new).to_vec();
                signature
            }
            Target::Switch | Target::Started => stacks::signature(target),
            Target::CopyBytes => copy_bytes_signature(),
            Target::Helper(_) => self.plan.closures.as_ref()?.signature.clone(),
        })
    }

    /// Returns the reference to the function that copies bytes, and records that the program needs
    /// it.
    pub(super) fn copy_function(&mut self) -> Option<FuncRef> {
        self.plan.copies_bytes = true;
        self.declare(Target::CopyBytes)
            .map(|(func_ref, _)| func_ref)
    }

    /// Returns the reference to `target`, and its signature.
    pub(super) fn declare(&mut self, target: Target) -> Option<(FuncRef, Signature)> {
        let signature = self.signature_of(target)?;
        if let Some(&func_ref) = self.func_refs.get(&target) {
            return Some((func_ref, signature));
        }
        let name = match target {
            Target::Function(index) => self.plan.functions.get(index)?.name.clone(),
            Target::Host(index) => self.plan.hosts.get(index)?.name.clone(),
            Target::Throw => FunctionName::testcase("throw"),
            Target::Switch | Target::Started => stacks::name(target)?,
            Target::CopyBytes => FunctionName::testcase(COPY_BYTES),
            Target::Helper(helper) => helper.name(),
        };
        let name = match name.as_user_func_name() {
            UserFuncName::User(name) => {
                ExternalName::user(self.func.declare_imported_user_function(name.clone()))
            }
            UserFuncName::Testcase(name) => ExternalName::TestCase(name.clone()),
        };
        let sig_ref = self.func.import_signature(signature.clone());
        let func_ref = self.func.import_function(ExtFuncData {
            name,
            signature: sig_ref,
            colocated: matches!(
                target,
                Target::Function(_) | Target::CopyBytes | Target::Helper(_)
            ) && self.choices.chance(128),
            patchable: false,
        });
        self.func_refs.insert(target, func_ref);
        Some((func_ref, signature))
    }
}
