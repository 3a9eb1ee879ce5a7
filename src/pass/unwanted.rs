//! Functions that no call can have inlined, by facts that are known before any body.
//!
//! Their callers need not wait for them, and in a [stream](super::Inliner::stream) not even for
//! their bodies. The pass over a whole program leaves their calls alone by the same rules, so that
//! both give the same result.

use super::Inliner;
use super::report::Reason;
use crate::decide::EarlyCallee;
use crate::graph::CallGraph;
use crate::program::{FunctionId, InlineAttribute, Linkage, Program, SiteHint};
use cranelift_entity::{EntitySet, PrimaryMap};

/// Why the calls of each function stay calls.
pub(super) struct Unwanted {
    reasons: PrimaryMap<FunctionId, Option<Reason>>,
    /// The functions of which calls may be inlined whatever the policy says.
    demanded: EntitySet<FunctionId>,
    /// Whether calls may become direct, so that a function is wanted for its address.
    resolves: bool,
}

impl Unwanted {
    /// Finds them: linear in functions plus sites. `has_demands` is whether hints may demand to
    /// inline some call.
    pub(super) fn new(
        inliner: &Inliner<'_>,
        program: &Program,
        graph: &CallGraph,
        has_demands: bool,
    ) -> Self {
        let flattened = match inliner.meet_demands {
            true => flattened(program, graph),
            false => EntitySet::new(),
        };
        let in_other_tables = in_other_tables(inliner, program);
        let mut demanded = EntitySet::new();
        let mut reason = |id: FunctionId| {
            let function = &program[id];
            if function.linkage() == Linkage::Interposable {
                return Some(Reason::Interposable);
            }
            if inliner.keeps_memory_function(function.name()) {
                return Some(Reason::MemoryFunction);
            }
            let inline = function.attributes().inline;
            let is_demanded = has_demands
                || flattened.contains(id)
                || inliner.meet_demands && inline == InlineAttribute::Always;
            if is_demanded {
                demanded.insert(id);
            }
            match inline {
                // Such a hint takes precedence even where demands are not met.
                _ if has_demands => return None,
                InlineAttribute::Never => return Some(Reason::Attribute(inline)),
                InlineAttribute::Always if inliner.meet_demands => return None,
                InlineAttribute::Always | InlineAttribute::None => {}
            }
            if flattened.contains(id) {
                return None;
            }
            if graph.size(id) > inliner.limits.function_insts {
                return Some(Reason::FunctionSize);
            }
            let early = EarlyCallee {
                name: function.name(),
                insts: graph.size(id),
                linkage: function.linkage(),
                attributes: function.attributes(),
                call_sites: graph.call_count(id),
                address_taken: graph.is_address_taken(id) || in_other_tables.contains(id),
                recursion: graph.recursion(id),
            };
            inliner.policy.rules_out(&early).map(Reason::Policy)
        };
        let options = &inliner.optimize_options;
        Unwanted {
            reasons: program.ids().map(&mut reason).collect(),
            demanded,
            resolves: inliner.optimizes(1) && options.resolve_targets,
        }
    }

    /// Returns why no call of `id` is inlined; `None` if one might be.
    pub(super) fn reason(&self, id: FunctionId) -> Option<&Reason> {
        self.reasons.get(id)?.as_ref()
    }

    /// Returns whether the policy alone decides about all calls of `id`.
    pub(super) fn is_decided_by_policy(&self, id: FunctionId) -> bool {
        !self.demanded.contains(id)
    }

    /// Returns whether a function that calls `id`, or takes its address, needs its final body.
    pub(super) fn is_wanted(&self, id: FunctionId, is_called: bool) -> bool {
        self.reason(id).is_none() && (is_called || self.resolves)
    }
}

/// Returns the functions in the tables of the optimizer's options.
pub(super) fn in_other_tables(inliner: &Inliner<'_>, program: &Program) -> EntitySet<FunctionId> {
    let names = inliner.optimize_options.tables.functions();
    let mut functions = EntitySet::new();
    functions.extend(names.filter_map(|name| program.id(name)));
    functions
}

/// Returns whether a hint of `program` demands to inline a call.
pub(super) fn has_demands(program: &Program) -> bool {
    let mut hints = program.iter().flat_map(|(_, function)| function.hints());
    hints.any(|(_, hint)| demands(hint))
}

/// Returns whether a hint demands to inline its call.
pub(super) fn demands(hint: SiteHint) -> bool {
    matches!(hint, SiteHint::Always | SiteHint::Flatten)
}

/// Returns the functions below those that are to be flattened.
fn flattened(program: &Program, graph: &CallGraph) -> EntitySet<FunctionId> {
    let mut below = EntitySet::new();
    let roots = program.iter();
    let roots = roots.filter(|(_, function)| function.attributes().flatten);
    let mut work: Vec<FunctionId> = roots.map(|(id, _)| id).collect();
    while let Some(id) = work.pop() {
        work.extend(graph.references(id).filter(|&callee| below.insert(callee)));
    }
    below
}

/// Returns the functions that are reached by calls and addresses from those that are part of the
/// result anyway.
pub(super) fn reachable(
    program: &Program,
    graph: &CallGraph,
    in_tables: &EntitySet<FunctionId>,
) -> EntitySet<FunctionId> {
    let is_root = |&id: &FunctionId| program[id].linkage().is_kept() || in_tables.contains(id);
    let mut work: Vec<FunctionId> = program.ids().filter(is_root).collect();
    let mut reached = EntitySet::with_capacity(program.len());
    reached.extend(work.iter().copied());
    while let Some(id) = work.pop() {
        work.extend(
            graph
                .references(id)
                .filter(|&callee| reached.insert(callee)),
        );
    }
    reached
}
