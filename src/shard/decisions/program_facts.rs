//! Facts about the program as a whole.

use crate::graph::{CallGraph, CallNode, SiteId, Strong};
use crate::pass::Inliner;
use crate::profile::{Profile, SiteCounts};
use crate::program::{FunctionId, Linkage};
use crate::shard::index::Index;
use crate::shard::summary::site_flags;
use cranelift_codegen::ir::SourceLoc;
use cranelift_entity::{EntityRef, EntitySet};

/// Returns the counts of all shards on the graph.
pub(super) fn counts(index: &Index, graph: &CallGraph) -> Option<SiteCounts> {
    let mut profile = Profile::new();
    for &(site, count) in &index.counts {
        if let Some(name) = graph.site_name(site) {
            profile.insert(name, SourceLoc::default(), count);
        }
    }
    (!profile.is_empty()).then(|| SiteCounts::new(&profile, graph))
}

/// Finds the functions that never throw, as the pass does. `order` has callees first.
pub(super) fn never_throwing(
    index: &Index,
    graph: &CallGraph,
    inliner: &Inliner<'_>,
    order: &Strong<FunctionId>,
) -> EntitySet<FunctionId> {
    let options = inliner.optimization();
    let mut known = EntitySet::with_capacity(index.program.len());
    for members in order.iter() {
        let is_member = |callee: FunctionId| match members {
            [member] => callee == *member,
            _ => {
                members.first().and_then(|&first| graph.component(first)) == graph.component(callee)
            }
        };
        let may_throw = |id: FunctionId| {
            let Some(facts) = index.functions.get(id) else {
                return true;
            };
            let throws = |number: usize| {
                let id = SiteId::new(number);
                let target = index.target(id);
                if target.is_some_and(|callee| known.contains(callee))
                    || index.site(id).has(site_flags::CATCHES_ALL)
                {
                    return false;
                }
                match target {
                    Some(callee) => match index.functions[callee].in_program.linkage {
                        Linkage::Interposable => {
                            !options.function_never_throws(index.program[callee].name())
                        }
                        _ => !is_member(callee),
                    },
                    None => match graph.site(id).map(|site| site.callee) {
                        Some(CallNode::External(name)) => !options.function_never_throws(name),
                        _ => true,
                    },
                }
            };
            graph.indirect_calls(id) > 0 || graph.switches_stacks(id) || facts.sites().any(throws)
        };
        if !members.iter().any(|&id| may_throw(id)) {
            // Another definition may take the place of one that is interposable.
            let is_final =
                |id: &FunctionId| index.functions[*id].in_program.linkage != Linkage::Interposable;
            known.extend(members.iter().copied().filter(is_final));
        }
    }
    known
}
