//! Facts about the program as a whole.

use crate::graph::{CallGraph, CallNode, SiteId};
use crate::pass::Inliner;
use crate::profile::{Profile, SiteCounts};
use crate::program::{FunctionId, Linkage};
use crate::shard::index::Index;
use crate::shard::summary::site_flags;
use cranelift_codegen::ir::SourceLoc;
use cranelift_entity::{EntityRef, EntitySet};

/// Returns the counts of all shards on the graph.
pub(super) fn counts(index: &Index<'_>, graph: &CallGraph) -> Option<SiteCounts> {
    let mut profile = Profile::new();
    for id in index.functions() {
        let (summary, function) = index.function(id);
        if summary.counts.is_empty() {
            continue;
        }
        let first = graph.first_site(id)?;
        let last = function.first_site.saturating_add(function.sites);
        let begin = summary
            .counts
            .partition_point(|&(site, _)| site < function.first_site);
        let counts = summary.counts.get(begin..).unwrap_or_default();
        for &(site, count) in counts.iter().take_while(|&&(site, _)| site < last) {
            let number = site.saturating_sub(function.first_site) as usize;
            if let Some(name) = graph.site_name(SiteId::new(first.index() + number)) {
                profile.insert(name, SourceLoc::default(), count);
            }
        }
    }
    (!profile.is_empty()).then(|| SiteCounts::new(&profile, graph))
}

/// Finds the functions that never throw, as the pass does.
pub(super) fn never_throwing(
    index: &Index<'_>,
    graph: &CallGraph,
    inliner: &Inliner<'_>,
) -> EntitySet<FunctionId> {
    let options = inliner.optimization();
    let mut known = EntitySet::with_capacity(index.program.len());
    for members in graph.bottom_up() {
        let component = members.first().and_then(|&id| graph.component(id));
        let may_throw = |id: FunctionId| {
            graph.indirect_calls(id) > 0
                || graph.switches_stacks(id)
                || graph.callees(id).any(|site| {
                    let caught = index.site(graph, site.id);
                    let caught = caught.is_some_and(|(.., site)| site.has(site_flags::CATCHES_ALL));
                    let lets_through = match site.callee {
                        CallNode::Function(callee) => {
                            match index.program[*callee].linkage() == Linkage::Interposable {
                                true => {
                                    !options.function_never_throws(index.program[*callee].name())
                                }
                                false => {
                                    graph.component(*callee) != component
                                        && !known.contains(*callee)
                                }
                            }
                        }
                        CallNode::External(name) => !options.function_never_throws(name),
                        CallNode::Runtime(_) => true,
                    };
                    lets_through && !caught
                })
        };
        if !members.iter().any(|&id| may_throw(id)) {
            known.extend(members.iter().copied());
        }
    }
    known
}
