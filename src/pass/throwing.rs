//! Functions that never throw.
//!
//! CLIF has no instruction that throws: an exception comes out of a call and goes on to the caller,
//! unless the call has a handler for all. So a function never throws if none of its calls passes on
//! an exception of a function that may throw. Unknown functions may, and so may external ones,
//! unless the embedder says otherwise. Another stack may also throw after a switch to it.

use super::Inliner;
use super::state::{Final, State};
use crate::body::has_default;
use crate::cleanup::OptimizeOptions;
use crate::graph::{CallGraph, CallNode, SiteRef};
use crate::program::{FunctionId, FunctionName, Linkage, Program};
use cranelift_codegen::ir::{ExternalName, FuncRef, Function, InstructionData, Opcode};
use cranelift_entity::{EntitySet, SecondaryMap};
use std::sync::OnceLock;

/// Finds the functions that never throw as they came in, callees first. Those of a component share
/// their answer.
pub(super) fn never_throwing(
    inliner: &Inliner<'_>,
    program: &Program,
    graph: &CallGraph,
) -> EntitySet<FunctionId> {
    let options = &inliner.optimize_options;
    let mut known = EntitySet::with_capacity(program.len());
    for members in graph.bottom_up() {
        let component = members.first().and_then(|&id| graph.component(id));
        let lets_through = |site: &SiteRef<'_>| match site.callee {
            CallNode::Function(callee) => {
                let is_member = graph.component(*callee) == component;
                let is_replaceable = program[*callee].linkage() == Linkage::Interposable;
                match is_replaceable {
                    true => !options.function_never_throws(program[*callee].name()),
                    false => !is_member && !known.contains(*callee),
                }
            }
            CallNode::External(name) => !options.function_never_throws(name),
            CallNode::Runtime(name) => !matches!(name, ExternalName::LibCall(_)),
        };
        let may_throw = |id: FunctionId| {
            graph.indirect_calls(id) > 0
                || graph.switches_stacks(id)
                || graph
                    .callees(id)
                    .any(|site| lets_through(&site) && !graph.is_caught(&site, program[id].body()))
        };
        if !members.iter().any(|&id| may_throw(id)) {
            known.extend(members.iter().copied());
        }
    }
    known
}

impl State<'_> {
    /// Returns whether no call of `name` by the function `caller` throws.
    pub(super) fn call_never_throws(
        &self,
        options: &OptimizeOptions,
        caller: FunctionId,
        name: &FunctionName,
    ) -> bool {
        let Some(callee) = self.program.id(name) else {
            return options.function_never_throws(name);
        };
        if self.program[callee].linkage() == Linkage::Interposable {
            return options.function_never_throws(name);
        }
        if self.never_throwing.contains(callee) {
            return true;
        }
        // The final body may be better, but the answer must not depend on threads.
        let graph = &self.graph;
        let cycle = |id| graph.cycle(graph.component(id)?);
        let is_ordered =
            cycle(caller) != cycle(callee) || graph.component(caller) == graph.component(callee);
        let is_ordered = is_ordered
            && self.unwanted.reason(callee).is_none()
            && !self.in_other_tables.contains(callee);
        let done = self.finals.get(callee).and_then(OnceLock::get);
        is_ordered && done.is_some_and(|done: &Final| done.never_throws)
    }

    /// Returns whether the final body of the function `id` never throws.
    pub(super) fn body_never_throws(
        &self,
        options: &OptimizeOptions,
        id: FunctionId,
        body: &Function,
    ) -> bool {
        if self.never_throwing.contains(id) {
            return true;
        }
        if !self.has_handlers {
            return false;
        }
        let mut known: SecondaryMap<FuncRef, Option<bool>> = SecondaryMap::new();
        let mut quiet = |func_ref: FuncRef| {
            *known[func_ref].get_or_insert_with(|| {
                let data = body.dfg.ext_funcs.get(func_ref);
                let is_library =
                    data.is_some_and(|data| matches!(data.name, ExternalName::LibCall(_)));
                let name = || FunctionName::of_callee(body, func_ref);
                is_library
                    || name().is_some_and(|name| {
                        self.program.id(&name) == Some(id)
                            || self.call_never_throws(options, id, &name)
                    })
            })
        };
        let mut insts = body
            .layout
            .blocks()
            .flat_map(|block| body.layout.block_insts(block));
        !insts.any(|inst| match body.dfg.insts[inst] {
            InstructionData::Call { func_ref, .. } => !quiet(func_ref),
            InstructionData::CallIndirect { .. } => true,
            InstructionData::TryCall {
                func_ref,
                exception,
                ..
            } => !has_default(body, exception) && !quiet(func_ref),
            InstructionData::TryCallIndirect { exception, .. } => !has_default(body, exception),
            _ => body.dfg.insts[inst].opcode() == Opcode::StackSwitch,
        })
    }
}
