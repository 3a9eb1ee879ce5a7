//! Calls of the program's functions and of the host's.

use super::body::{Body, Target};
use super::program::RECURSIVE_CALLS;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, InstBuilder, Signature, Type, UserFuncName, Value, types,
};

impl Body<'_, '_, '_> {
    /// A call of some function that may be called here, of the host's otherwise.
    pub(super) fn call(&mut self) {
        let callees = match self.plan.functions.get(self.index) {
            Some(function) => function.callees.clone(),
            None => Vec::new(),
        };
        let possible = callees.into_iter().filter(|&callee| self.may_call(callee));
        let possible: Vec<Target> = possible.map(Target::Function).collect();
        let hosts = (0..self.plan.hosts.len()).map(Target::Host);
        let hosts: Vec<Target> = hosts.collect();
        let among = if possible.is_empty() || self.choices.chance(80) {
            &hosts
        } else {
            &possible
        };
        if let Some(target) = self.choices.one_of(among) {
            self.call_target(target);
        }
    }

    /// Calls what the call graph demands and is not called so far.
    pub(super) fn call_the_rest(&mut self) {
        for callee in self.owed_calls() {
            self.call_target(Target::Function(callee));
        }
    }

    /// Whether the call graph demands a call that is not there yet. As long as it does, no branch
    /// leaves the function, so that there is a place for the call.
    pub(super) fn owes_calls(&self) -> bool {
        !self.owed_calls().is_empty()
    }

    fn owed_calls(&self) -> Vec<usize> {
        let function = self.plan.functions.get(self.index);
        let callees = function.filter(|function| function.calls_all);
        let callees = callees.into_iter().flat_map(|function| &function.callees);
        let owed =
            callees.filter(|&&callee| !self.func_refs.contains_key(&Target::Function(callee)));
        owed.copied().collect()
    }

    fn may_call(&self, callee: usize) -> bool {
        if self.plan.is_recursion(self.index, callee) {
            self.rounds == 1 && self.recursive_calls < RECURSIVE_CALLS
        } else {
            self.plan.has_room(callee, self.runs())
        }
    }

    fn call_target(&mut self, target: Target) {
        match target {
            Target::Function(callee) if self.plan.is_recursion(self.index, callee) => {
                self.call_while_there_is_fuel(target);
            }
            Target::Function(callee) => {
                self.plan.add_entries(callee, self.runs());
                let fuel = self.plan.functions.get(callee);
                let fuel = fuel.is_some_and(|function| function.has_fuel);
                let fuel = fuel.then(|| self.value(types::I32));
                self.direct_call(target, fuel);
            }
            Target::Host(_) => self.direct_call(target, None),
        }
    }

    fn call_while_there_is_fuel(&mut self, target: Target) {
        let Some(fuel) = self.fuel else { return };
        self.recursive_calls += 1;
        let call = self.block_with(&[]);
        let join = self.block_with(&[]);
        self.at().ins().brif(fuel, call, &[], join, &[]);
        self.start(call);
        let outside = self.values.len();
        let one = self.at().ins().iconst(types::I32, 1);
        let less = self.at().ins().isub(fuel, one);
        self.direct_call(target, Some(less));
        self.values.truncate(outside);
        self.at().ins().jump(join, &[]);
        self.start(join);
    }

    fn direct_call(&mut self, target: Target, fuel: Option<Value>) {
        let Some((func_ref, signature)) = self.declare(target) else {
            return;
        };
        let params = signature.params.iter().map(|param| param.value_type);
        let types: Vec<Type> = params.skip(usize::from(fuel.is_some())).collect();
        let rest = self.values_of(&types);
        let args: Vec<Value> = fuel.into_iter().chain(rest).collect();
        let call = self.at().ins().call(func_ref, &args);
        let results = self.func.dfg.inst_results(call).to_vec();
        self.define(results);
    }

    /// The reference to `target`, and its signature.
    pub(super) fn declare(&mut self, target: Target) -> Option<(FuncRef, Signature)> {
        let (name, signature) = match target {
            Target::Function(index) => {
                let function = self.plan.functions.get(index)?;
                (&function.name, &function.signature)
            }
            Target::Host(index) => {
                let host = self.plan.hosts.get(index)?;
                (&host.name, &host.signature)
            }
        };
        let signature = signature.clone();
        if let Some(&func_ref) = self.func_refs.get(&target) {
            return Some((func_ref, signature));
        }
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
            colocated: matches!(target, Target::Function(_)),
            patchable: false,
        });
        self.func_refs.insert(target, func_ref);
        Some((func_ref, signature))
    }
}
