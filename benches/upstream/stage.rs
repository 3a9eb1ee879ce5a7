//! The whole stage, as this crate and as a user of Cranelift's own inliner runs it.
//!
//! The peer goes through the same call graph bottom-up, level by level: Cranelift has no pass, so
//! its users write this. A function without inlined calls is shared, not copied.

use crate::decisions::Decisions;
use crate::job::Replay;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Function, Inst};
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::{CompileError, ScratchPool, compile_function};
use cranelift_inliner::decide::{Decision, Limits};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::pass::{Inlined, Inliner, RecordLevel};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// RecordLevel decisions in the form that both sides use.
pub(crate) struct Stage<'a> {
    program: &'a Program,
    by_name: HashMap<FunctionName, HashSet<Inst>>,
    sites: HashMap<FunctionId, &'a [(Inst, FunctionId)]>,
    /// Functions whose callees are all in earlier levels, or are earlier members of the same
    /// component.
    levels: Vec<Vec<Vec<FunctionId>>>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(program: &'a Program, decisions: &'a Decisions) -> Self {
        let sites = decisions.sites.iter();
        let by_name = sites.clone().map(|(caller, sites)| {
            let calls = sites.iter().map(|(call, _)| *call).collect();
            (program[*caller].name().clone(), calls)
        });
        Stage {
            program,
            by_name: by_name.collect(),
            sites: sites.map(|(caller, sites)| (*caller, &**sites)).collect(),
            levels: levels(program, decisions),
        }
    }

    /// Returns the callers, in input order.
    pub(crate) fn callers(&self) -> Vec<FunctionId> {
        let ids = self.program.ids();
        ids.filter(|id| self.sites.contains_key(id)).collect()
    }

    /// Returns this crate's pass with a policy that repeats the decisions.
    pub(crate) fn inliner(&self) -> Inliner<'_> {
        let mut limits = Limits::default();
        limits.function_growth = f64::INFINITY;
        limits.program_growth = f64::INFINITY;
        limits.depth = u32::MAX;
        let policy = |site: &cranelift_inliner::decide::CallSite<'_>| {
            let calls = self.by_name.get(site.caller_name());
            if site.depth() == 0 && calls.is_some_and(|calls| calls.contains(&site.call())) {
                Decision::inline("recorded")
            } else {
                Decision::keep("recorded")
            }
        };
        Inliner::new(policy).limits(limits)
    }

    /// Runs this crate's pass.
    pub(crate) fn ours(&self, records: RecordLevel) -> Inlined {
        let inlined = self.inliner().records(records).run(self.program);
        inlined.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the call graph. The peer gets only its order.
    pub(crate) fn graph(&self) -> CallGraph {
        CallGraph::new(self.program)
    }

    /// Runs Cranelift's own inliner over the program.
    pub(crate) fn upstream(&self) -> HashMap<FunctionId, Arc<Function>> {
        let mut bodies: HashMap<FunctionId, Arc<Function>> = HashMap::new();
        for level in &self.levels {
            let done: Vec<_> = level
                .par_iter()
                .flat_map_iter(|members| self.inline_members(members, &bodies))
                .collect();
            bodies.extend(done);
        }
        bodies
    }

    fn inline_members(
        &self,
        members: &[FunctionId],
        finals: &HashMap<FunctionId, Arc<Function>>,
    ) -> Vec<(FunctionId, Arc<Function>)> {
        let mut done: Vec<(FunctionId, Arc<Function>)> = Vec::new();
        for &id in members {
            let original = self.program[id].body();
            let Some(sites) = self.sites.get(&id) else {
                done.push((id, Arc::clone(original)));
                continue;
            };
            let body = |callee: FunctionId| {
                let own = done.iter().find(|(id, _)| *id == callee);
                let body = own.map(|(_, body)| body).or_else(|| finals.get(&callee));
                Arc::clone(body.unwrap_or_else(|| self.program[callee].body()))
            };
            let bodies: Vec<_> = sites.iter().map(|&(_, callee)| body(callee)).collect();
            let numbered: Vec<_> = sites.iter().map(|site| site.0).zip(0..).collect();
            let mut context = Context::for_function((**original).clone());
            let inlined = context.inline(Replay::new(&numbered, &bodies));
            inlined.unwrap_or_else(|error| panic!("{error}"));
            done.push((id, Arc::new(context.func)));
        }
        done
    }

    /// Inlines with this crate and compiles everything.
    pub(crate) fn ours_compiled(&self, isa: &dyn TargetIsa) -> usize {
        let compiled = self.inliner().run_and_compile(self.program, isa);
        compiled
            .unwrap_or_else(|error| panic!("{error}"))
            .1
            .code_bytes()
    }

    /// Inlines with Cranelift's own inliner and compiles everything.
    pub(crate) fn upstream_compiled(&self, isa: &dyn TargetIsa) -> usize {
        let bodies = self.upstream();
        let ids: Vec<FunctionId> = self.program.ids().collect();
        compile_all(ids.iter().map(|id| &bodies[id]), isa)
    }

    /// Compiles everything without inlining.
    pub(crate) fn compiled(&self, isa: &dyn TargetIsa) -> usize {
        compile_all(
            self.program.iter().map(|(_, function)| function.body()),
            isa,
        )
    }
}

fn compile_all<'f>(bodies: impl Iterator<Item = &'f Arc<Function>>, isa: &dyn TargetIsa) -> usize {
    let bodies: Vec<_> = bodies.collect();
    let scratch = ScratchPool::new();
    let compile = |body: &&Arc<Function>| -> Result<usize, CompileError> {
        scratch.with(|scratch| Ok(compile_function(isa, body, scratch)?.code().len()))
    };
    bodies
        .par_iter()
        .map(|body| compile(body).unwrap_or(0))
        .sum()
}

fn levels(program: &Program, decisions: &Decisions) -> Vec<Vec<Vec<FunctionId>>> {
    let graph = decisions.inlined.graph();
    let mut level_of: HashMap<FunctionId, usize> = HashMap::with_capacity(program.len());
    let mut levels: Vec<Vec<Vec<FunctionId>>> = Vec::new();
    for members in graph.bottom_up() {
        let callees = members.iter().flat_map(|&id| graph.callees(id));
        let callees = callees.filter_map(|site| site.callee_function());
        let below = callees.filter_map(|callee| level_of.get(&callee));
        let level = below.max().map_or(0, |level| level + 1);
        level_of.extend(members.iter().map(|&id| (id, level)));
        if levels.len() <= level {
            levels.resize_with(level + 1, Vec::new);
        }
        levels[level].push(members.to_vec());
    }
    levels
}
