//! The stages of one function.
//!
//! A stage splices, tidies and optimizes. The first one begins with the body of the program and its
//! own calls, each further one with the result of the stage before, and the calls that became
//! direct in it.

use super::caller::{CallerScratch, InlinedCaller, inline_into};
use super::copies::copy_tree;
use super::error::{PassError, Step};
use super::known::{Known, Lent};
use super::references::References;
use super::report::SiteRecord;
use super::resolved::{FoundTargets, inline_resolved};
use super::run::Run;
use super::state::{Final, FinalBody, LAST_STAGE};
use crate::backend::verify_function;
use crate::body::{code_size, frame_bytes, slot_bytes};
use crate::check::{check, check_optimized};
use crate::cleanup::{
    Before, CleanupStats, Others, clean_up, clean_up_spliced, optimize_in_program, optimize_tidied,
    tidy_spliced,
};
use crate::locations::{LocationBuilder, LocationMode};
use crate::program::{FunctionId, FunctionName, Linkage};
use crate::splice::MemoryPromises;
use cranelift_codegen::ir::Function;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Below this number of instructions, the allocations of a clone cost more than the memory that it
/// saves.
const WORTH_PACKING: usize = 250;

/// A larger callee is rarely inlined, and a guard without that gains little.
const LARGEST_GUARDED: usize = 100;

/// A body exists twice while it is packed. So all final bodies must be this many times as large, or
/// packing would raise the peak of memory.
const PACKED_AMONG: usize = 2;

impl Run<'_> {
    pub(super) fn function(&self, id: FunctionId, scratch: &mut CallerScratch) -> Final {
        let program = self.state.program;
        let original = &self.state.original(id);
        let (mut caller, body, mut stats) = self.verified_stages(id, original, scratch);
        let inlined_at = self.inliner.locations == LocationMode::InlinedAt;
        let mut table = None;
        let (body, locations) = match body {
            Ok(body) => (body, caller.locations.take()),
            // A run has failed then, and a stream has an error for the function. For its callers it
            // is as it was.
            Err(Unsound) => {
                caller.keep_original(self.inliner, &program[id]);
                stats = CleanupStats::default();
                (None, None)
            }
        };
        let known = self.state.location_tables.get(&id);
        let body = match body {
            None if !inlined_at => Arc::clone(original),
            None if known.is_some() => {
                table = known.map(Arc::clone);
                Arc::clone(original)
            }
            body => {
                let mut body = body.unwrap_or_else(|| (**original).clone());
                let made = match locations {
                    Some(builder) => Some(builder.finish(&mut body)),
                    None if !inlined_at => None,
                    None if known.is_some() => {
                        let builder = self.state.begin_locations(id, &mut body);
                        Some(builder.finish(&mut body))
                    }
                    None => Some(LocationBuilder::number(&mut body)),
                };
                table = made.map(Arc::new);
                Arc::new(match caller.inlined {
                    0 => body,
                    _ => self.pack(body),
                })
            }
        };
        let changed = caller.inlined > 0 || stats != CleanupStats::default();
        let found = changed.then(|| References::of(program, &body));
        let state = self.state;
        Final {
            size: match changed {
                true => code_size(&body),
                false => state.size_at_start(id),
            },
            frame_bytes: frame_bytes(&body),
            never_throws: state.body_never_throws(&self.optimize_options, id, &body),
            calls: found
                .as_ref()
                .map_or_else(|| state.graph.calls(id), |found| found.calls),
            references: found.map(|found| found.functions.into_boxed_slice()),
            slot_bytes_before: slot_bytes(original),
            slot_bytes_after: slot_bytes(&body),
            held: Mutex::new(Some(Arc::new(FinalBody::new(body, table)))),
            depth: caller.depth,
            inlined: caller.inlined,
            promises: caller.promises,
            cleanup: stats,
            records: caller.records.into_boxed_slice(),
            kept: OnceLock::new(),
        }
    }

    /// Inlines into the function, and verifies the result as the pass is set.
    ///
    /// Only the last body is verified. Where the verifier rejects it, all is done once more, with
    /// each step verified, to find the one that broke it.
    fn verified_stages(
        &self,
        id: FunctionId,
        original: &Function,
        scratch: &mut CallerScratch,
    ) -> (
        InlinedCaller,
        Result<Option<Function>, Unsound>,
        CleanupStats,
    ) {
        let mut stats = CleanupStats::default();
        // The checker relies on the verifier.
        let mut each_step = self.inliner.check;
        let (caller, body) = self.stages(id, original, scratch, each_step, &mut stats);
        let Ok(Some(last)) = &body else {
            return (caller, body, stats);
        };
        let error = match each_step {
            true => None,
            false => self.verify(id, last, Step::Optimize),
        };
        if error.is_none() {
            return (caller, body, stats);
        }
        each_step = true;
        stats = CleanupStats::default();
        let (caller, body) = self.stages(id, original, scratch, each_step, &mut stats);
        match body {
            // No step alone is to blame, which cannot be.
            Ok(_) => {
                self.keep_error(id, error);
                (caller, Err(Unsound), stats)
            }
            Err(unsound) => (caller, Err(unsound), stats),
        }
    }

    /// Inlines into the function, stage by stage. The body is `None` where it stays the original.
    fn stages(
        &self,
        id: FunctionId,
        original: &Function,
        scratch: &mut CallerScratch,
        each_step: bool,
        stats: &mut CleanupStats,
    ) -> (InlinedCaller, Result<Option<Function>, Unsound>) {
        let (inliner, state, clock) = (self.inliner, self.state, self.clock);
        let inline = &clock.inline;
        let (mut caller, mut spliced) =
            inline.time(|| inline_into(inliner, state, id, original, &mut scratch.splice));
        let mut body: Option<Function> = None;
        let (mut is_tidy, mut new_since) = (false, Before::of(original));
        // The first record of the stage.
        let mut first = 0;
        for stage in 1.. {
            let was_spliced = spliced.is_some();
            if let Some(mut spliced) = spliced.take() {
                let before = body.as_ref().unwrap_or(original);
                let records = caller.records.get(first..).unwrap_or_default();
                let made = Made {
                    before,
                    records,
                    first,
                };
                let before = Before::of(before);
                let Some(tidied) = self.tidy(id, &mut spliced, &made, each_step, scratch, stats)
                else {
                    return (caller, Err(Unsound));
                };
                (body, is_tidy, new_since) = (Some(spliced), tidied, before);
            } else if stage > 1 {
                break;
            }
            let worth_it = match was_spliced {
                true => caller.inlined,
                false => usize::from(caller.left_to_optimizer),
            };
            if !inliner.optimizes(worth_it) {
                break;
            }
            let unoptimized = Unoptimized {
                body: body.map_or(Cow::Borrowed(original), Cow::Owned),
                is_tidy,
                // All of it is old, where nothing was spliced.
                before: inliner.optimizes_part().then_some(new_since),
            };
            match self.optimize(id, stage, unoptimized, each_step, scratch, stats) {
                Ok(optimized) => body = optimized,
                Err(unsound) => return (caller, Err(unsound)),
            }
            let Some(found) = FoundTargets::take(&scratch.cleanup, stage) else {
                break;
            };
            first = caller.records.len();
            let before = body.as_ref().unwrap_or(original);
            caller.size = code_size(before);
            let splice = &mut scratch.splice;
            spliced = inline
                .time(|| inline_resolved(inliner, state, id, before, found, &mut caller, splice));
        }
        (caller, Ok(body))
    }

    /// Tidies the result of a stage's splices; returns whether it has no addresses of handlers, or
    /// `None` if it is not correct.
    fn tidy(
        &self,
        id: FunctionId,
        body: &mut Function,
        made: &Made<'_>,
        each_step: bool,
        scratch: &mut CallerScratch,
        stats: &mut CleanupStats,
    ) -> Option<bool> {
        if each_step && !self.is_sound(id, body, made, Step::Splice) {
            return None;
        }
        if !self.inliner.clean_up {
            return Some(false);
        }
        // The session has checked the caller and the callees.
        let needs_check = scratch.splice.left_handler_addresses();
        let context = &mut scratch.cleanup;
        let is_last = !self.inliner.optimizes(1);
        *stats += self.clock.cleanup.time(|| match (needs_check, is_last) {
            (true, _) => clean_up(body, context),
            (false, true) => clean_up_spliced(body, context),
            (false, false) => tidy_spliced(body, context),
        });
        let is_sound = !each_step || self.is_sound(id, body, made, Step::Cleanup);
        is_sound.then_some(!needs_check)
    }

    /// Optimizes a body; returns `None` if it is the original and does not change, so that the body
    /// stays shared with the input.
    fn optimize(
        &self,
        id: FunctionId,
        stage: u8,
        unoptimized: Unoptimized<'_>,
        each_step: bool,
        scratch: &mut CallerScratch,
        stats: &mut CleanupStats,
    ) -> Result<Option<Function>, Unsound> {
        let Unoptimized {
            body,
            is_tidy,
            before,
        } = unoptimized;
        let unchanged = each_step.then(|| body.clone());
        let is_original = matches!(body, Cow::Borrowed(_));
        let mut body = body.into_owned();
        let (options, context) = (&self.optimize_options, &mut scratch.cleanup);
        let state = self.state;
        let never_throws = |name: &FunctionName| state.call_never_throws(options, id, name);
        let may_inline = |name: &FunctionName| stage <= LAST_STAGE && self.may_inline(id, name);
        let others = Others {
            never_throws: &never_throws,
            may_inline: &may_inline,
        };
        let done = self.clock.cleanup.time(|| match is_tidy {
            true => optimize_tidied(&mut body, options, others, before, context),
            false => optimize_in_program(&mut body, options, others, before, context),
        });
        if done == CleanupStats::default() {
            return Ok((!is_original).then_some(body));
        }
        *stats += done;
        match unchanged.is_none_or(|before| self.is_well_optimized(id, &before, &body)) {
            true => Ok(Some(body)),
            false => Err(Unsound),
        }
    }

    /// Returns whether a call of a function would probably be inlined if it were direct. This must
    /// not depend on what other threads have done.
    fn may_inline(&self, caller: FunctionId, name: &FunctionName) -> bool {
        let state = self.state;
        state.program.id(name).is_some_and(|callee| {
            callee != caller
                && state.program[callee].linkage() != Linkage::Interposable
                && state.sizes[callee] <= LARGEST_GUARDED
        })
    }

    /// Shrinks the function's tables to their content, if that is worth it.
    ///
    /// A table that was full when the caller was copied has doubled with the first new entry, and a
    /// final body is kept to the end. Only a clone frees the unused capacity.
    fn pack(&self, body: Function) -> Function {
        let insts = body.dfg.num_insts();
        let before = self.final_insts.fetch_add(insts, Ordering::Relaxed);
        if insts < WORTH_PACKING || insts.saturating_mul(PACKED_AMONG) > before {
            return body;
        }
        body.clone()
    }

    /// Verifies an optimized body and proves that it does the same as the one `before`, as the pass
    /// is set; an error is kept for the end.
    fn is_well_optimized(&self, id: FunctionId, before: &Function, body: &Function) -> bool {
        let error = self.verify(id, body, Step::Optimize).or_else(|| {
            let known = Known {
                state: self.state,
                options: &self.optimize_options,
                keeps_locations: self.inliner.locations != LocationMode::InlinedAt,
                lent: Lent::default(),
            };
            let prove = || check_optimized(before, body, &known);
            let proved = self.inliner.check.then(|| self.clock.verify.time(prove))?;
            Some(PassError::CheckOptimized {
                function: self.state.program[id].name().clone(),
                source: proved.err()?,
            })
        });
        self.keep_error(id, error)
    }

    /// Keeps an error for the end; returns whether there is none.
    fn keep_error(&self, id: FunctionId, error: Option<PassError>) -> bool {
        let Some(error) = error else {
            return true;
        };
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.push((id, error));
        false
    }

    /// Verifies and checks as the pass is set; an error is kept for the end.
    pub(super) fn is_sound(
        &self,
        id: FunctionId,
        body: &Function,
        made: &Made<'_>,
        step: Step,
    ) -> bool {
        let invalid = self.verify(id, body, step).map(|error| {
            // The copies are not to blame for an error that was there before.
            let before = self.verify(id, made.before, Step::Input);
            before.unwrap_or(error)
        });
        let error = invalid.or_else(|| {
            let check = || self.check(id, body, made, step);
            self.inliner.check.then(|| self.clock.verify.time(check))?
        });
        self.keep_error(id, error)
    }

    fn verify(&self, id: FunctionId, body: &Function, step: Step) -> Option<PassError> {
        let isa = self.inliner.verify.as_deref()?;
        let result = self.clock.verify.time(|| verify_function(body, isa));
        Some(PassError::Verifier {
            function: self.state.program[id].name().clone(),
            step,
            source: result.err()?,
        })
    }

    fn check(
        &self,
        id: FunctionId,
        body: &Function,
        made: &Made<'_>,
        step: Step,
    ) -> Option<PassError> {
        let finals = &self.state.finals;
        let inlined = made.records.iter().filter(|record| record.inlined);
        let held = inlined.filter_map(|record| {
            let id = record.callee_id?;
            Some((id, finals.get(id)?.get()?.held()?))
        });
        let held: FxHashMap<FunctionId, Arc<FinalBody>> = held.collect();
        let body_of = |id| held.get(&id).map(|held| &*held.body);
        let mut tree = copy_tree(made.before, made.records, made.first, body_of);
        if self.inliner.locations == LocationMode::InlinedAt {
            tree.ignore_locations();
        }
        if !self.inliner.splice_options.share_slots {
            tree.forbid_shared_slots();
        }
        if self.inliner.splice_options.stack_limit_is_per_thread {
            tree.stack_limits_are_per_thread();
        }
        if self.inliner.splice_options.memory_promises == MemoryPromises::WholeProgram {
            tree.promise_for_whole_program();
        }
        let error = check(&tree, body).err()?;
        let function = self.state.program[id].name().clone();
        Some(PassError::of_check(error, function, step))
    }
}

/// A body that is to be optimized.
struct Unoptimized<'a> {
    body: Cow<'a, Function>,
    /// Whether it was tidied, and has no addresses of handlers.
    is_tidy: bool,
    /// The entities before the stage; `None` where all code is to be optimized.
    before: Option<Before>,
}

/// The error for an incorrect result; its details are kept elsewhere.
struct Unsound;

/// The result of one stage.
pub(super) struct Made<'a> {
    /// The body with which the stage began.
    pub(super) before: &'a Function,
    /// The records of the stage.
    pub(super) records: &'a [SiteRecord],
    /// The number of records before the stage.
    pub(super) first: usize,
}
