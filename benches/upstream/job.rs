//! A caller with the calls to inline into it, for both engines.

use cranelift_codegen::Context;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{FuncRef, Function, Inst, Opcode, Value};
use cranelift_inliner::splice::{Callee, CalleeTables, SpliceContext, SpliceOptions};
use std::borrow::Cow;
use std::sync::Arc;

/// A caller and its replaced calls, in layout order, each with an index into the inlined bodies.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) caller: Arc<Function>,
    pub(crate) sites: Vec<(Inst, usize)>,
}

/// Callers, and the final bodies of their callees.
#[derive(Clone, Default)]
pub(crate) struct Work {
    pub(crate) jobs: Vec<Job>,
    pub(crate) bodies: Vec<Arc<Function>>,
}

impl Work {
    pub(crate) fn site_count(&self) -> usize {
        self.jobs.iter().map(|job| job.sites.len()).sum()
    }

    /// Returns the number of instructions that splicing every site copies.
    pub(crate) fn spliced_insts(&self) -> usize {
        let sizes: Vec<usize> = self
            .bodies
            .iter()
            .map(|body| Callee::new(body).map_or(0, |callee| callee.reachable_insts()))
            .collect();
        let sites = self.jobs.iter().flat_map(|job| &job.sites);
        sites.map(|(_, body)| sizes[*body]).sum()
    }

    /// Returns fresh copies of the callers, in which calls can be replaced.
    pub(crate) fn callers(&self) -> Vec<Function> {
        let callers = self.jobs.iter().map(|job| (*job.caller).clone());
        callers.collect()
    }
}

/// Splices all sites into `callers` with this crate. Each body is prepared once.
#[inline(never)]
pub(crate) fn splice_ours(work: &Work, callers: &mut [Function], context: &mut SpliceContext) {
    let options = SpliceOptions::default();
    let mut tables: Vec<Option<CalleeTables>> = vec![None; work.bodies.len()];
    for (job, caller) in work.jobs.iter().zip(callers) {
        for &(_, body) in &job.sites {
            tables[body].get_or_insert_with(|| {
                let callee = Callee::new(&work.bodies[body]);
                callee
                    .unwrap_or_else(|error| panic!("{error}"))
                    .into_tables()
            });
        }
        let prepared = job.sites.iter().filter_map(|&(call, body)| {
            let tables = tables[body].as_ref()?;
            Some((call, Callee::from_tables(&work.bodies[body], tables)))
        });
        let prepared: Vec<_> = prepared.collect();
        let splices: Vec<_> = prepared
            .iter()
            .map(|(call, callee)| (*call, callee))
            .collect();
        let mut session = context.session(caller, &options);
        session.splice_all(&splices, |index, spliced| {
            spliced.unwrap_or_else(|error| panic!("{}: {error}", splices[index].0));
        });
        session.finish();
    }
}

/// Splices all sites into `callers` with Cranelift's own inliner.
#[inline(never)]
pub(crate) fn splice_upstream(work: &Work, callers: &mut [Function], context: &mut Context) {
    for (job, caller) in work.jobs.iter().zip(callers) {
        std::mem::swap(&mut context.func, caller);
        let inlined = context.inline(Replay::new(&job.sites, &work.bodies));
        inlined.unwrap_or_else(|error| panic!("{error}"));
        std::mem::swap(&mut context.func, caller);
    }
}

/// Answers Cranelift's inliner with recorded decisions.
pub(crate) struct Replay<'a> {
    sites: &'a [(Inst, usize)],
    bodies: &'a [Arc<Function>],
}

impl<'a> Replay<'a> {
    /// Returns a policy for `sites` in layout order, which is the order of the questions.
    pub(crate) fn new(sites: &'a [(Inst, usize)], bodies: &'a [Arc<Function>]) -> Self {
        Replay { sites, bodies }
    }
}

impl Inline for Replay<'_> {
    fn inline(
        &mut self,
        _: &Function,
        call: Inst,
        _: Opcode,
        _: FuncRef,
        _: &[Value],
    ) -> InlineCommand<'_> {
        match self.sites.split_first() {
            Some((&(site, body), rest)) if site == call => {
                self.sites = rest;
                InlineCommand::Inline {
                    callee: Cow::Borrowed(&self.bodies[body]),
                    visit_callee: false,
                }
            }
            _ => InlineCommand::KeepCall,
        }
    }
}
