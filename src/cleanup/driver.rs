//! The order of the transforms, and the number of rounds.

use super::comparisons::simplify_comparisons;
use super::dead::{DeadContext, drop_dead};
use super::decided::{self, DecidedContext, thread_decided};
use super::flow::Flow;
use super::handlers::drop_handlers;
use super::held::Contents;
use super::params::{ParamsContext, unify_params};
use super::promote::{PromoteContext, promote_slots};
use super::scope::{Before, Scope};
use super::stores::drop_stores;
use super::targets::{Resolved, TargetsContext, resolve_targets};
use super::{
    CleanupContext, CleanupStats, OptimizeOptions, Others, guards, slots, tidy, trace_step,
};
use crate::program::FunctionName;
use cranelift_codegen::ir::{ExternalName, Function, Inst};
use std::borrow::Cow;

/// A slot may hold the address of another, which can only be promoted after it, and so on: the
/// environment of a closure of a closure. Deeper nests are rare.
const MOST_ROUNDS: usize = 6;

/// Scratch memory of the transforms.
#[derive(Default)]
pub(super) struct OptimizeContext {
    flow: Flow,
    scope: Scope,
    params: ParamsContext,
    dead: DeadContext,
    decided: DecidedContext,
    promote: PromoteContext,
    targets: TargetsContext,
    contents: Contents,
}

impl OptimizeContext {
    /// Forgets the findings of the last function.
    pub(super) fn clear(&mut self) {
        self.targets.clear();
        self.decided.clear();
    }

    /// Returns the loads that can move and were copied, in order, each with its copy.
    pub(super) fn copied_loads(&self) -> &[(Inst, Inst)] {
        self.decided.copied_loads()
    }

    pub(super) fn resolved_calls(&self) -> &[Inst] {
        &self.targets.resolved
    }

    pub(super) fn mismatched_calls(&self) -> &[(Inst, FunctionName)] {
        &self.targets.mismatched
    }
}

/// The changes so far, and their number.
struct Progress {
    stats: CleanupStats,
    /// From one on, so that 0 stands for no state of the function.
    version: u32,
}

impl Progress {
    /// Adds the counts of a step.
    fn add(&mut self, func: &Function, step: &str, counts: CleanupStats) {
        trace_step(func, step, &counts);
        self.note(counts);
    }

    /// Like [`Progress::add`], for counts that are in the trace already.
    fn note(&mut self, counts: CleanupStats) {
        if counts != CleanupStats::default() {
            self.version += 1;
            self.stats += counts;
        }
    }
}

/// The version of the function in which the scope was found, and that in which each transform found
/// nothing: it need not look again before the next.
#[derive(Default)]
struct Seen {
    scope: u32,
    params: u32,
    unused: u32,
    slots: u32,
    targets: u32,
    guards: u32,
    handlers: u32,
    branches: u32,
}

/// Optimizes a tidy function without references to missing entities.
pub(super) fn optimize_checked(
    func: &mut Function,
    options: &OptimizeOptions,
    others: Others<'_>,
    before: Option<Before>,
    context: &mut CleanupContext,
) -> CleanupStats {
    let mut progress = Progress {
        stats: CleanupStats::default(),
        version: 1,
    };
    let mut seen = Seen::default();
    let mut options = Cow::Borrowed(options);
    let survey = context.optimize.scope.begin(func, before);
    let follows_slots = !survey.has_slot_addresses || !slots::relies_on_layout(func);
    if !follows_slots || !survey.has_slot_addresses {
        // A slot may be accessed by the address of another.
        let options = options.to_mut();
        options.promote_slots = false;
        options.drop_stores = false;
    }
    if !follows_slots || !options.resolve_targets || !survey.has_indirect_calls {
        options.to_mut().guard_calls = false;
    }
    let options = &*options;
    let mut copies_left = decided::budget(survey.insts);
    let mut may_be_unused = context.optimize.scope.is_whole();
    let mut knows_flow = false;
    for _ in 0..MOST_ROUNDS {
        let OptimizeContext {
            flow,
            scope,
            params,
            dead,
            promote,
            ..
        } = &mut context.optimize;
        if !knows_flow {
            flow.compute(func);
            knows_flow = true;
        }
        if seen.scope != progress.version {
            scope.find(func, flow);
            seen.scope = progress.version;
        }
        let mut unified = 0;
        if options.drop_params && seen.params != progress.version {
            unified = unify_params(func, flow, scope, params);
            let counts = CleanupStats {
                params_dropped: unified,
                ..CleanupStats::default()
            };
            progress.add(func, "parameters with one value", counts);
            if unified == 0 {
                seen.params = progress.version;
            }
        }
        if may_be_unused && seen.unused != progress.version {
            let counts = unused(func, flow, options, dead);
            progress.add(func, "not used", counts);
            seen.unused = progress.version;
        }
        let mut promoted = CleanupStats::default();
        if options.promote_slots && seen.slots != progress.version && has_candidates(func) {
            promoted = promote_slots(func, flow, options, promote);
            progress.add(func, "promoted", promoted);
            if promoted == CleanupStats::default() {
                seen.slots = progress.version;
            }
        }
        let mut is_changed = promoted != CleanupStats::default();
        if unified > 0 || is_changed {
            let tidied = tidy(func, context);
            progress.note(tidied);
            is_changed |= tidied != CleanupStats::default();
            if is_changed {
                context.optimize.flow.compute(func);
            }
        }
        if promoted != CleanupStats::default() {
            may_be_unused = true;
            let OptimizeContext { flow, dead, .. } = &mut context.optimize;
            let counts = unused(func, flow, options, dead);
            progress.add(func, "not used", counts);
            seen.unused = progress.version;
        }
        if options.resolve_targets
            && (survey.has_indirect_calls || !options.tables.is_empty())
            && seen.targets != progress.version
        {
            let OptimizeContext { flow, targets, .. } = &mut context.optimize;
            let resolved = resolve_targets(func, flow, options, targets);
            let counts = CleanupStats {
                calls_resolved: resolved.calls,
                table_loads_replaced: resolved.loads,
                ..CleanupStats::default()
            };
            progress.add(func, "targets known", counts);
            match resolved == Resolved::default() {
                true => seen.targets = progress.version,
                false => is_changed = true,
            }
        }
        if options.guard_calls
            && seen.guards != progress.version
            && has_candidates(func)
            && guards::has_tests(func)
        {
            let OptimizeContext { flow, contents, .. } = &mut context.optimize;
            let guards = guards::decide_guards(func, flow, contents);
            let counts = CleanupStats {
                guards_decided: guards,
                ..CleanupStats::default()
            };
            progress.add(func, "guards decided", counts);
            if guards > 0 {
                progress.note(tidy(func, context));
                context.optimize.flow.compute(func);
                is_changed = true;
                may_be_unused = true;
            } else {
                seen.guards = progress.version;
            }
        }
        if options.drop_handlers && survey.has_handlers && seen.handlers != progress.version {
            let never_throws = |func: &Function, func_ref| match func.dfg.ext_funcs.get(func_ref) {
                Some(declared) => match &declared.name {
                    ExternalName::LibCall(_) => true,
                    name => FunctionName::of_external(func, name)
                        .is_some_and(|name| (others.never_throws)(&name)),
                },
                None => false,
            };
            let plain = drop_handlers(func, &context.handler_addresses, never_throws);
            let counts = CleanupStats {
                try_calls_replaced: plain,
                ..CleanupStats::default()
            };
            progress.note(counts);
            if plain > 0 {
                progress.note(tidy(func, context));
                context.optimize.flow.compute(func);
                is_changed = true;
            } else {
                seen.handlers = progress.version;
            }
        }
        if options.thread_branches && seen.branches != progress.version {
            if seen.scope != progress.version {
                let OptimizeContext { flow, scope, .. } = &mut context.optimize;
                scope.find(func, flow);
                seen.scope = progress.version;
            }
            let decided = thread_branches(func, follows_slots, &mut copies_left, context);
            let counts = CleanupStats {
                branches_decided: decided,
                ..CleanupStats::default()
            };
            progress.add(func, "branches decided", counts);
            if decided > 0 {
                progress.note(tidy(func, context));
                is_changed = true;
                may_be_unused |= context.optimize.scope.is_whole();
            } else {
                seen.branches = progress.version;
            }
            knows_flow = decided == 0;
        }
        if !is_changed {
            break;
        }
    }
    let mut leaves_unused = false;
    if options.simplify_comparisons {
        let counts = CleanupStats {
            comparisons_simplified: simplify_comparisons(func, &context.optimize.scope),
            ..CleanupStats::default()
        };
        leaves_unused |= counts.comparisons_simplified > 0;
        progress.add(func, "comparisons", counts);
    }
    if options.drop_stores && has_candidates(func) {
        let OptimizeContext { flow, promote, .. } = &mut context.optimize;
        if !knows_flow {
            flow.compute(func);
            knows_flow = true;
        }
        let is_scanned = seen.slots == progress.version;
        let counts = CleanupStats {
            stores_dropped: drop_stores(func, flow, options, is_scanned, promote),
            ..CleanupStats::default()
        };
        leaves_unused |= counts.stores_dropped > 0;
        progress.add(func, "stores not read", counts);
    }
    if leaves_unused && (options.drop_insts || options.drop_params) {
        let OptimizeContext { flow, dead, .. } = &mut context.optimize;
        if !knows_flow {
            flow.compute(func);
            knows_flow = true;
        }
        let counts = unused(func, flow, options, dead);
        progress.add(func, "not used", counts);
    }
    if options.guard_calls && has_candidates(func) && guards::has_indirect_calls(func) {
        let CleanupContext {
            handler_addresses,
            optimize:
                OptimizeContext {
                    flow,
                    contents,
                    targets,
                    ..
                },
            ..
        } = context;
        if !knows_flow {
            flow.compute(func);
        }
        let counts = CleanupStats {
            calls_guarded: guards::guard_calls(
                func,
                flow,
                handler_addresses,
                others.may_inline,
                contents,
                targets,
            ),
            ..CleanupStats::default()
        };
        progress.add(func, "targets likely", counts);
    }
    progress.stats
}

fn unused(
    func: &mut Function,
    flow: &Flow,
    options: &OptimizeOptions,
    context: &mut DeadContext,
) -> CleanupStats {
    if !options.drop_params && !options.drop_insts {
        return CleanupStats::default();
    }
    let (params_dropped, insts_dropped) = drop_dead(func, flow, options, context);
    CleanupStats {
        params_dropped,
        insts_dropped,
        ..CleanupStats::default()
    }
}

fn thread_branches(
    func: &mut Function,
    follows_slots: bool,
    copies_left: &mut usize,
    context: &mut CleanupContext,
) -> usize {
    let CleanupContext {
        handler_addresses,
        optimize:
            OptimizeContext {
                flow,
                scope,
                decided,
                ..
            },
        ..
    } = context;
    thread_decided(
        func,
        flow,
        scope,
        follows_slots,
        copies_left,
        handler_addresses,
        decided,
    )
}

/// Returns whether there is a slot that could be private.
fn has_candidates(func: &Function) -> bool {
    let mut slots = func.sized_stack_slots.values();
    slots.any(|slot| slot.key.is_none())
}
