//! The work of both engines: the same calls, recorded from one run of the pass.

use crate::job::{Job, Replay, Work};
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Function, Inst};
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::backend::verify_function;
use cranelift_inliner::decide::{Always, Inline, Limits, Small};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::{FunctionId, Program};
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

/// The policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Wasmtime's two thresholds.
    Small,
    /// Every legal call that keeps callers below 20,000 instructions.
    Generous,
}

impl Policy {
    pub(crate) const ALL: [Policy; 2] = [Policy::Small, Policy::Generous];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::Small => "small",
            Policy::Generous => "generous",
        }
    }

    pub(crate) fn inliner(self) -> Inliner<'static> {
        match self {
            Policy::Small => Inliner::new(Small::default()),
            Policy::Generous => {
                let mut limits = Limits::default();
                limits.function_insts = 20_000;
                Inliner::new(Box::new(Always) as Box<dyn Inline>).limits(limits)
            }
        }
    }
}

/// The decisions of one policy over one module.
pub(crate) struct Decisions {
    pub(crate) inlined: Inlined,
    /// For each caller in input order, its original calls that were inlined, in layout order,
    /// without copied calls.
    pub(crate) sites: Vec<(FunctionId, Vec<(Inst, FunctionId)>)>,
    /// Calls that this crate inlines and Cranelift's own inliner does not, or not validly.
    pub(crate) dropped: usize,
}

impl Decisions {
    pub(crate) fn record(program: &Program, policy: Policy, isa: &dyn TargetIsa) -> Self {
        let mut decisions = Self::record_all(program, &policy.inliner());
        decisions.drop_calls_that_upstream_cannot(program, isa);
        decisions
    }

    /// Like [`Decisions::record`], but without checking that Cranelift's own inliner can do it.
    pub(crate) fn record_all(program: &Program, inliner: &Inliner<'_>) -> Self {
        let inlined = inliner
            .run(program)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut sites: Vec<(FunctionId, Vec<(Inst, FunctionId)>)> = Vec::new();
        for site in inlined.sites() {
            let (true, true, Some(callee)) = (site.inlined, site.via().is_empty(), site.callee_id)
            else {
                continue;
            };
            match sites.last_mut() {
                Some((caller, list)) if *caller == site.caller => list.push((site.inst, callee)),
                _ => sites.push((site.caller, vec![(site.inst, callee)])),
            }
        }
        Decisions {
            inlined,
            sites,
            dropped: 0,
        }
    }

    /// Returns the callers with their sites, and the final bodies from this crate's pass.
    pub(crate) fn work(&self, program: &Program) -> Work {
        let mut work = Work::default();
        let mut indices: HashMap<FunctionId, usize> = HashMap::new();
        for (caller, sites) in &self.sites {
            let sites = sites.iter().map(|&(call, callee)| {
                let index = *indices.entry(callee).or_insert_with(|| {
                    work.bodies.extend(self.inlined.body(callee).cloned());
                    work.bodies.len() - 1
                });
                (call, index)
            });
            work.jobs.push(Job {
                sites: sites.collect(),
                caller: Arc::clone(program[*caller].body()),
            });
        }
        work
    }

    fn drop_calls_that_upstream_cannot(&mut self, program: &Program, isa: &dyn TargetIsa) {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let inlined = &self.inlined;
        for (caller, sites) in &mut self.sites {
            let body = program[*caller].body();
            let works = |sites: &[(Inst, FunctionId)]| upstream_works(inlined, body, sites, isa);
            if works(sites) {
                continue;
            }
            let all = std::mem::take(sites);
            self.dropped += all.len();
            for site in all {
                sites.push(site);
                if works(sites) {
                    self.dropped -= 1;
                } else {
                    sites.pop();
                }
            }
        }
        panic::set_hook(previous);
        self.sites.retain(|(_, sites)| !sites.is_empty());
    }
}

fn upstream_works(
    inlined: &Inlined,
    caller: &Function,
    sites: &[(Inst, FunctionId)],
    isa: &dyn TargetIsa,
) -> bool {
    let bodies: Vec<Arc<Function>> = sites
        .iter()
        .filter_map(|&(_, callee)| inlined.body(callee).cloned())
        .collect();
    let numbered: Vec<(Inst, usize)> = (0..).zip(sites).map(|(i, site)| (site.0, i)).collect();
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut context = Context::for_function(caller.clone());
        context.inline(Replay::new(&numbered, &bodies)).is_ok()
            && verify_function(&context.func, isa).is_ok()
    }));
    result.unwrap_or(false)
}
