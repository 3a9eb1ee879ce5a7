//! Running components bottom-up without barriers.

use crate::graph::{CallGraph, ComponentId};
use crate::program::FunctionId;
use rayon::Scope;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is done for each component.
pub(super) trait Work<'s>: Sync {
    /// Called when everything that the component calls is done. What the
    /// component's callers do not need may be spawned on `scope`.
    fn component(&'s self, scope: &Scope<'s>, component: ComponentId);
}

/// Which components wait for which.
pub(super) struct Schedule {
    /// How many components each one still waits for.
    waits_for: Vec<AtomicUsize>,
    /// The components that wait for each one.
    wakes: Vec<Vec<u32>>,
    components: Vec<ComponentId>,
}

impl Schedule {
    /// The order for `graph`: linear in functions plus sites.
    pub(super) fn new(graph: &CallGraph) -> Self {
        let count = graph.component_count();
        let mut number_of = vec![0u32; graph.function_count()];
        let mut components = Vec::with_capacity(count);
        for (number, members) in (0u32..).zip(graph.bottom_up()) {
            for &member in members {
                number_of[index(member)] = number;
            }
            components.extend(members.first().and_then(|&first| graph.component(first)));
        }
        let mut wakes = vec![Vec::new(); count];
        let mut waits_for = Vec::with_capacity(count);
        // The last component that was seen to wait for each one, so that
        // several sites between the same two count once.
        let mut last_waiter = vec![u32::MAX; count];
        for (number, members) in (0u32..).zip(graph.bottom_up()) {
            let mut waits = 0;
            for site in members.iter().flat_map(|&member| graph.callees(member)) {
                let Some(callee) = site.callee_function() else {
                    continue;
                };
                let callee = number_of[index(callee)];
                let seen = &mut last_waiter[callee as usize];
                if callee != number && *seen != number {
                    *seen = number;
                    wakes[callee as usize].push(number);
                    waits += 1;
                }
            }
            waits_for.push(AtomicUsize::new(waits));
        }
        Schedule {
            waits_for,
            wakes,
            components,
        }
    }

    /// Does `work` once for each component, after all components that it
    /// calls into, on the current rayon pool.
    pub(super) fn run<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>) {
        // Those that wait for nothing are collected first: once work runs,
        // the counters of others reach zero too.
        let ready: Vec<usize> = (0..self.waits_for.len())
            .filter(|&number| self.waits_for[number].load(Ordering::Relaxed) == 0)
            .collect();
        for number in ready {
            scope.spawn(move |scope| self.run_one(scope, work, number));
        }
    }

    fn run_one<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>, number: usize) {
        if let Some(&component) = self.components.get(number) {
            work.component(scope, component);
        }
        for &waiter in &self.wakes[number] {
            let waiter = waiter as usize;
            // Acquire and release order the results of all callees before the
            // work of their caller.
            if self.waits_for[waiter].fetch_sub(1, Ordering::AcqRel) == 1 {
                scope.spawn(move |scope| self.run_one(scope, work, waiter));
            }
        }
    }
}

fn index(id: FunctionId) -> usize {
    cranelift_entity::EntityRef::index(id)
}
