//! The plan of all functions before any is made: their names and signatures, and the calls between
//! them.

use super::choices::Choices;
use super::closures::Closures;
use super::features::{Feature, Features};
use super::types::Types;
use super::{CallGraph, Shape};
use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, types};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::FunctionName;

/// The most executions of a block during one invocation.
pub(super) const MAX_BLOCK_RUNS: u64 = 128;

/// The most executions of a function during one invocation.
const MAX_RUNS: u64 = 64;

/// The greatest depth of recursion. Fuel is masked by this, so any argument is valid.
pub(super) const MAX_FUEL: u64 = 3;

/// The number of calls of a recursive function that may pass on fuel.
pub(super) const RECURSIVE_CALLS: usize = 2;

/// The executions of a group of recursive functions per call from outside: the nodes of a tree in
/// which each has [`RECURSIVE_CALLS`] children, [`MAX_FUEL`] deep.
const RUNS_OF_RECURSION: u64 = 15;

/// The size of a pointer parameter's memory, in bytes.
pub(super) const POINTED_TO: u32 = 16;

/// The plan of all functions.
pub(super) struct Plan {
    pub(super) features: Features,
    pub(super) types: Types,
    pub(super) functions: Vec<FunctionPlan>,
    pub(super) hosts: Vec<HostPlan>,
    /// A function of the host that takes a number.
    pub(super) observer: Option<usize>,
    /// The number of the last tagged place.
    pub(super) places: u32,
    /// Whether a function calls the one that copies bytes.
    pub(super) copies_bytes: bool,
    /// The plan of closures, if the program may have some.
    pub(super) closures: Option<Closures>,
}

/// The plan of one function.
pub(super) struct FunctionPlan {
    pub(super) name: FunctionName,
    pub(super) signature: Signature,
    /// Whether it is called from outside.
    pub(super) exported: bool,
    /// Whether the first parameter is a `vmctx`, which is always zero. Backends find it in a
    /// register only.
    pub(super) has_context: bool,
    /// Whether the next parameter is fuel.
    pub(super) has_fuel: bool,
    /// Whether the last parameter points to [`POINTED_TO`] bytes of a caller.
    pub(super) has_pointer: bool,
    /// Whether it does not write there, and calls no function that does.
    pub(super) reads_only: bool,
    /// Whether it is called by its address, with an environment.
    pub(super) is_closure: bool,
    /// The functions that it may call.
    pub(super) callees: Vec<usize>,
    /// Whether it has to call each of them.
    pub(super) calls_all: bool,
    /// The calls from outside its recursion.
    entries: u64,
}

/// The plan of a function of the host.
pub(super) struct HostPlan {
    pub(super) name: FunctionName,
    pub(super) signature: Signature,
}

impl Plan {
    pub(super) fn new(shape: &Shape, choices: &mut Choices<'_, '_>) -> Self {
        let graphs = [
            CallGraph::Forward,
            CallGraph::Chain,
            CallGraph::Diamond,
            CallGraph::FanOut,
            CallGraph::Recursive,
        ];
        let count = choices.within(&shape.functions).max(1);
        let features = shape.features.chosen(choices).and(shape.required);
        let graph = shape
            .call_graph
            .or_else(|| choices.one_of(&graphs))
            .unwrap_or(CallGraph::Forward);
        let mut plan = Plan {
            features,
            types: Types::new(features, choices),
            functions: Vec::new(),
            hosts: Vec::new(),
            observer: None,
            places: 0,
            copies_bytes: false,
            closures: None,
        };
        for index in 0..count {
            let function = plan.function(graph, index, count, choices);
            plan.functions.push(function);
        }
        if features.has(Feature::TailCalls) {
            plan.make_tail_calls_possible(choices);
        }
        for index in 0..1 + choices.below(3) {
            let call_conv = plan.call_conv(choices);
            plan.hosts.push(HostPlan {
                name: FunctionName::testcase(format!("host{index}")),
                signature: plan.signature(choices, call_conv),
            });
        }
        let has_closures = features.has(Feature::Memory) && features.has(Feature::Closures);
        if plan.passes_memory() || has_closures {
            let mut signature = Signature::new(CallConv::SystemV);
            signature.params.push(AbiParam::new(types::I64));
            plan.observer = Some(plan.hosts.len());
            plan.hosts.push(HostPlan {
                name: FunctionName::testcase(format!("host{}", plan.hosts.len())),
                signature,
            });
        }
        if has_closures {
            plan.add_closures(choices);
        }
        plan
    }

    fn function(
        &self,
        graph: CallGraph,
        index: usize,
        count: usize,
        choices: &mut Choices<'_, '_>,
    ) -> FunctionPlan {
        let last = count - 1;
        let mut callees: Vec<usize> = match graph {
            CallGraph::Forward => (index + 1..count).collect(),
            CallGraph::Chain => (index + 1..count).take(1).collect(),
            CallGraph::Diamond if index == 0 && last > 1 => (1..last).collect(),
            CallGraph::Diamond if index < last => vec![last],
            CallGraph::FanOut if index == 0 => (1..count).collect(),
            CallGraph::Recursive => (0..count).collect(),
            CallGraph::Diamond | CallGraph::FanOut => Vec::new(),
        };
        let calls_itself = graph == CallGraph::Forward && choices.chance(32);
        if calls_itself {
            callees.push(index);
        }
        let has_fuel = calls_itself || graph == CallGraph::Recursive;
        let exported = index == 0 || choices.chance(32);
        let has_pointer = !exported && self.features.has(Feature::Memory) && choices.chance(96);

        let call_conv = self.call_conv(choices);
        let mut signature = self.signature(choices, call_conv);
        if has_fuel {
            signature.params.insert(0, AbiParam::new(types::I32));
        }
        let mut reads_only =
            has_pointer && self.features.has(Feature::Promises) && choices.chance(160);
        if has_pointer {
            let by_value = self.features.has(Feature::Structures)
                && call_conv == CallConv::SystemV
                && choices.chance(128);
            reads_only |= by_value;
            if self.passes_memory() && call_conv == CallConv::SystemV && choices.chance(192) {
                // The read value can be returned.
                signature.returns = vec![AbiParam::new(types::I64)];
            }
            signature.params.push(if by_value {
                let purpose = ArgumentPurpose::StructArgument(POINTED_TO);
                AbiParam::special(types::I64, purpose)
            } else {
                AbiParam::new(types::I64)
            });
        }
        let has_context = !exported && self.features.has(Feature::Globals) && choices.chance(160);
        if has_context {
            let context = AbiParam::special(types::I64, ArgumentPurpose::VMContext);
            signature.params.insert(0, context);
        }
        let name = if self.features.has(Feature::UserNames) {
            FunctionName::user(0, index as u32)
        } else {
            FunctionName::testcase(format!("f{index}"))
        };
        FunctionPlan {
            name,
            signature,
            exported,
            has_fuel,
            has_context,
            has_pointer,
            reads_only,
            is_closure: false,
            callees,
            calls_all: matches!(
                graph,
                CallGraph::Chain | CallGraph::Diamond | CallGraph::FanOut
            ),
            entries: u64::from(exported),
        }
    }

    /// Adds the functions that are called by their addresses. Each may call the later ones.
    fn add_closures(&mut self, choices: &mut Choices<'_, '_>) {
        let call_conv = match self.call_conv(choices) {
            // Functions of this one have no results.
            CallConv::PreserveAll => CallConv::SystemV,
            call_conv => call_conv,
        };
        let closures = Closures::new(self.functions.len(), call_conv, self.features, choices);
        for index in closures.functions.clone() {
            self.functions.push(FunctionPlan {
                name: match self.features.has(Feature::UserNames) {
                    true => FunctionName::user(0, index as u32),
                    false => FunctionName::testcase(format!("f{index}")),
                },
                signature: closures.signature.clone(),
                exported: false,
                has_context: false,
                has_fuel: false,
                has_pointer: true,
                reads_only: false,
                is_closure: true,
                callees: (index + 1..closures.functions.end).collect(),
                calls_all: false,
                entries: 0,
            });
        }
        self.closures = Some(closures);
    }

    /// Returns whether the time of a read of a pointer's memory matters.
    pub(super) fn passes_memory(&self) -> bool {
        self.features.has(Feature::Promises) || self.features.has(Feature::Structures)
    }

    fn call_conv(&self, choices: &mut Choices<'_, '_>) -> CallConv {
        let handlers = [Feature::Exceptions, Feature::TailCalls];
        let prefer_tail = handlers.iter().any(|&feature| self.features.has(feature));
        if prefer_tail && choices.chance(192) {
            return CallConv::Tail;
        }
        if !self.features.has(Feature::Conventions) {
            return CallConv::SystemV;
        }
        let all = [
            CallConv::SystemV,
            CallConv::Tail,
            CallConv::Fast,
            CallConv::PreserveAll,
        ];
        choices.one_of(&all).unwrap_or(CallConv::SystemV)
    }

    /// Returns a signature with at most two results: riscv64 has no registers for more.
    fn signature(&self, choices: &mut Choices<'_, '_>, call_conv: CallConv) -> Signature {
        let mut signature = Signature::new(call_conv);
        let most = match choices.byte() {
            255 if self.features.has(Feature::LongLists) => 40,
            240.. => 12,
            _ => 5,
        };
        for _ in 0..choices.below(most) {
            let ty = self.types.param(choices, call_conv);
            let param = AbiParam::new(ty);
            signature.params.push(self.extended(choices, param));
        }
        if call_conv != CallConv::PreserveAll {
            for _ in 0..choices.below(3) {
                let ty = self.types.returned(choices);
                let result = AbiParam::new(ty);
                signature.returns.push(self.extended(choices, result));
            }
        }
        signature
    }

    /// Sometimes makes a narrow integer that is passed in a full register.
    fn extended(&self, choices: &mut Choices<'_, '_>, param: AbiParam) -> AbiParam {
        let narrow = matches!(param.value_type, types::I8 | types::I16 | types::I32);
        if !narrow || !self.features.has(Feature::Conventions) || !choices.chance(48) {
            param
        } else if choices.chance(128) {
            param.sext()
        } else {
            param.uext()
        }
    }

    /// Gives functions of the convention `tail` the results of the first such function.
    fn make_tail_calls_possible(&mut self, choices: &mut Choices<'_, '_>) {
        let tail = |function: &&FunctionPlan| function.signature.call_conv == CallConv::Tail;
        let Some(first) = self.functions.iter().find(tail) else {
            return;
        };
        let returns = first.signature.returns.clone();
        for function in &mut self.functions {
            if function.signature.call_conv == CallConv::Tail && !choices.chance(64) {
                function.signature.returns = returns.clone();
            }
        }
    }

    /// Returns the executions of the function `index` by the calls known so far.
    pub(super) fn runs(&self, index: usize) -> u64 {
        let Some(function) = self.functions.get(index) else {
            return 0;
        };
        if function.has_fuel {
            let group = self.functions.iter().enumerate();
            let group = group.filter(|(other, _)| self.is_recursion(index, *other));
            let entries: u64 = group.map(|(_, member)| member.entries).sum();
            entries * RUNS_OF_RECURSION
        } else {
            function.entries
        }
    }

    /// Returns whether a call of `callee` in `caller` may come back to `caller`.
    pub(super) fn is_recursion(&self, caller: usize, callee: usize) -> bool {
        caller == callee
            || self
                .functions
                .get(callee)
                .is_some_and(|function| function.has_fuel && function.callees.contains(&caller))
    }

    /// Returns whether `runs` more calls of `callee` can be made from outside its recursion.
    pub(super) fn has_room(&self, callee: usize, runs: u64) -> bool {
        let factor = match self.functions.get(callee) {
            Some(function) if function.has_fuel => RUNS_OF_RECURSION,
            Some(_) => 1,
            None => return false,
        };
        self.runs(callee) + runs * factor <= MAX_RUNS
    }

    /// Records `runs` more calls of `callee`.
    pub(super) fn add_entries(&mut self, callee: usize, runs: u64) {
        if let Some(function) = self.functions.get_mut(callee) {
            function.entries += runs;
        }
    }
}
