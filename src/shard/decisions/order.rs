//! The order of decisions.

use crate::graph::{CallGraph, ComponentId};
use cranelift_entity::EntitySet;

/// A component on the way, with the callees followed so far.
struct Visit {
    component: ComponentId,
    /// The next call: the number of its caller in the component, and its own there.
    member: usize,
    call: usize,
}

/// Returns all components, callees before their callers. Neighbors in the program, which share their
/// callees, are close to each other where the calls allow it, so that the facts about them are still
/// in the processor's caches.
pub(super) fn callees_first(graph: &CallGraph) -> Vec<ComponentId> {
    let count = graph.component_count();
    let mut order = Vec::with_capacity(count);
    let mut seen: EntitySet<ComponentId> = EntitySet::with_capacity(count);
    let mut work: Vec<Visit> = Vec::new();
    let begin = |component| Visit {
        component,
        member: 0,
        call: 0,
    };
    for root in graph.program().ids().filter_map(|id| graph.component(id)) {
        if seen.insert(root) {
            work.push(begin(root));
        }
        while let Some(visit) = work.last_mut() {
            let Some(&caller) = graph.members(visit.component).get(visit.member) else {
                order.push(visit.component);
                work.pop();
                continue;
            };
            if visit.call >= graph.direct_calls(caller) {
                (visit.member, visit.call) = (visit.member + 1, 0);
                continue;
            }
            let callee = graph.nth_callee(caller, visit.call);
            visit.call += 1;
            let component = callee.and_then(|callee| graph.component(callee));
            if let Some(component) = component.filter(|&component| seen.insert(component)) {
                work.push(begin(component));
            }
        }
    }
    order
}
