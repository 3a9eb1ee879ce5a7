//! A program: its functions' names and signatures, who may call whom and how often, and calls from
//! outside.

use super::body::Body;
use super::choices::Choices;
use super::instructions::constants;
use super::{CallGraph, Generated, Shape};
use crate::program::{FunctionName, Program};
use crate::testing::execute::Invocation;
use cranelift_codegen::ir::{AbiParam, Function, Signature, Type, types};
use cranelift_codegen::isa::CallConv;

/// How often one block is executed at most during one invocation.
pub(super) const MAX_BLOCK_RUNS: u64 = 128;

/// How often one function is executed at most during one invocation.
const MAX_RUNS: u64 = 64;

/// How deep recursion goes. Fuel is masked by this, so that any argument is good.
pub(super) const MAX_FUEL: u64 = 3;

/// How many calls of a recursive function may pass on fuel.
pub(super) const RECURSIVE_CALLS: usize = 2;

/// The number of executions that one call from outside makes of a group of recursive functions:
/// the nodes of a tree in which each has [`RECURSIVE_CALLS`] children, [`MAX_FUEL`] deep.
const RUNS_OF_RECURSION: u64 = 15;

/// What is known of all functions before any is made.
pub(super) struct Plan {
    pub(super) functions: Vec<FunctionPlan>,
    pub(super) hosts: Vec<HostPlan>,
}

pub(super) struct FunctionPlan {
    pub(super) name: FunctionName,
    pub(super) signature: Signature,
    /// Whether the first parameter is fuel.
    pub(super) has_fuel: bool,
    /// Functions that it may call.
    pub(super) callees: Vec<usize>,
    /// Whether it has to call each of them.
    pub(super) calls_all: bool,
    /// How often it is called from outside its recursion.
    entries: u64,
}

pub(super) struct HostPlan {
    pub(super) name: FunctionName,
    pub(super) signature: Signature,
}

impl Plan {
    fn new(shape: &Shape, choices: &mut Choices<'_, '_>) -> Self {
        let graphs = [
            CallGraph::Forward,
            CallGraph::Chain,
            CallGraph::Diamond,
            CallGraph::FanOut,
            CallGraph::Recursive,
        ];
        let count = choices.within(&shape.functions).max(1);
        let graph = shape
            .call_graph
            .or_else(|| choices.one_of(&graphs))
            .unwrap_or(CallGraph::Forward);
        let functions = (0..count)
            .map(|index| FunctionPlan::new(graph, index, count, choices))
            .collect();
        let hosts = (0..1 + choices.below(3))
            .map(|index| HostPlan {
                name: FunctionName::testcase(format!("host{index}")),
                signature: signature(choices, CallConv::SystemV),
            })
            .collect();
        Plan { functions, hosts }
    }

    /// How often the function `index` is executed by the calls that are known so far.
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

    /// Whether a call of `callee` in `caller` may come back to `caller`.
    pub(super) fn is_recursion(&self, caller: usize, callee: usize) -> bool {
        caller == callee
            || self
                .functions
                .get(callee)
                .is_some_and(|function| function.has_fuel && function.callees.contains(&caller))
    }

    /// Whether `runs` more calls of `callee` can be made from outside its recursion.
    pub(super) fn has_room(&self, callee: usize, runs: u64) -> bool {
        let factor = match self.functions.get(callee) {
            Some(function) if function.has_fuel => RUNS_OF_RECURSION,
            Some(_) => 1,
            None => return false,
        };
        self.runs(callee) + runs * factor <= MAX_RUNS
    }

    /// Notes that `callee` is called `runs` times more.
    pub(super) fn add_entries(&mut self, callee: usize, runs: u64) {
        if let Some(function) = self.functions.get_mut(callee) {
            function.entries += runs;
        }
    }
}

impl FunctionPlan {
    fn new(graph: CallGraph, index: usize, count: usize, choices: &mut Choices<'_, '_>) -> Self {
        let last = count - 1;
        let callees: Vec<usize> = match graph {
            CallGraph::Forward => (index + 1..count).collect(),
            CallGraph::Chain => (index + 1..count).take(1).collect(),
            CallGraph::Diamond if index == 0 && last > 1 => (1..last).collect(),
            CallGraph::Diamond if index < last => vec![last],
            CallGraph::FanOut if index == 0 => (1..count).collect(),
            CallGraph::Recursive => (0..count).collect(),
            CallGraph::Diamond | CallGraph::FanOut => Vec::new(),
        };
        let calls_itself = graph == CallGraph::Forward && choices.chance(24);
        let has_fuel = graph == CallGraph::Recursive || calls_itself;
        let mut signature = signature(choices, CallConv::SystemV);
        if has_fuel {
            signature.params.insert(0, AbiParam::new(types::I32));
        }
        let itself = calls_itself.then_some(index);
        FunctionPlan {
            name: FunctionName::testcase(format!("f{index}")),
            signature,
            has_fuel,
            callees: itself.into_iter().chain(callees).collect(),
            calls_all: matches!(
                graph,
                CallGraph::Chain | CallGraph::Diamond | CallGraph::FanOut
            ),
            entries: u64::from(index == 0),
        }
    }
}

fn signature(choices: &mut Choices<'_, '_>, call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    for _ in 0..choices.below(5) {
        signature.params.push(AbiParam::new(value_type(choices)));
    }
    for _ in 0..choices.below(3) {
        signature.returns.push(AbiParam::new(value_type(choices)));
    }
    signature
}

pub(super) fn value_type(choices: &mut Choices<'_, '_>) -> Type {
    let all = [types::I32, types::I64, types::I8, types::I16];
    choices.one_of(&all).unwrap_or(types::I32)
}

/// Makes a program of `shape`.
pub(super) fn generate(
    shape: &Shape,
    choices: &mut Choices<'_, '_>,
) -> arbitrary::Result<Generated> {
    let mut plan = Plan::new(shape, choices);
    let mut program = Program::new();
    for index in 0..plan.functions.len() {
        let statements = choices.within(&shape.statements);
        let body: Function = Body::generate(&mut plan, index, statements, choices);
        program
            .add(body)
            .map_err(|_| arbitrary::Error::IncorrectFormat)?;
    }
    let root = plan.functions.first();
    let root = root.ok_or(arbitrary::Error::IncorrectFormat)?;
    let _ = program.export_only(std::slice::from_ref(&root.name));
    let invocations = (0..1 + choices.below(3))
        .map(|_| Invocation {
            function: root.name.clone(),
            arguments: root
                .signature
                .params
                .iter()
                .map(|param| constants::data_value(choices, param.value_type))
                .collect(),
        })
        .collect();
    Ok(Generated {
        program,
        invocations,
    })
}
