//! Runs components bottom-up without barriers, the longest remaining chain first.
//!
//! A component is ready when all its callees are done, and all functions whose address it takes,
//! except those in one cycle of calls and addresses with it, and those that no call can have
//! inlined. Ready tasks are taken by the least
//! work that follows: their own, and that of the longest chain of callers that wait for them in
//! turn. So threads do not end up with one long chain that was started too late.

use crate::graph::{CallGraph, ComponentId};
use crate::program::FunctionId;
use rayon::Scope;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The work for each component.
pub(super) trait Work<'s>: Sync {
    /// Works on a component after all of its callees. Returns the functions that can be compiled
    /// now, with their sizes in instructions.
    fn component(&'s self, component: ComponentId) -> Vec<(FunctionId, u64)>;

    /// Compiles one of them.
    fn compile(&'s self, function: FunctionId);
}

/// The cost of compiling a function, as a multiple of that of inlining into it.
const COMPILING: u64 = 8;

/// The dependencies between components.
pub(super) struct Schedule {
    /// The number of components of its cycle, and of other cycles, that each one still waits for;
    /// and of its own bodies, where [these come later](Schedule::await_bodies).
    waits_for: Vec<AtomicUsize>,
    /// The components that wait for each one, in its cycle.
    wakes: Vec<Vec<u32>>,
    /// The cycle of calls and addresses of each one.
    cycle_of: Vec<u32>,
    /// The number of components of each cycle that are still to be done.
    cycles_left: Vec<AtomicUsize>,
    /// The components beyond it that wait for each cycle. They wait for the whole cycle. Otherwise
    /// it would depend on threads whether a function is final when its address comes in with a
    /// body.
    cycles_wake: Vec<Vec<u32>>,
    components: Vec<ComponentId>,
    /// The number of the component of each function.
    number_of: Vec<u32>,
    /// The work that follows for each component until all is done, itself
    /// included, in instructions of the original bodies.
    work_ahead: Vec<u64>,
    /// The tasks that wait for a thread.
    ready: Mutex<BinaryHeap<Task>>,
}

/// Tasks are ordered by the work ahead. The order of equal ones affects only the use of threads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    work_ahead: u64,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Component(usize),
    Compile(FunctionId),
}

impl Schedule {
    /// Returns the order for `graph`: linear in functions plus sites.
    ///
    /// `needs` says of a function whether those that call it have to wait for it, or those that
    /// take its address.
    pub(super) fn new(graph: &CallGraph, needs: impl Fn(FunctionId, bool) -> bool) -> Self {
        let count = graph.component_count();
        let mut number_of = vec![0u32; graph.function_count()];
        let mut components = Vec::with_capacity(count);
        for (number, members) in (0u32..).zip(graph.bottom_up()) {
            for &member in members {
                number_of[index(member)] = number;
            }
            components.extend(members.first().and_then(|&first| graph.component(first)));
        }
        let cycle_of: Vec<u32> = components
            .iter()
            .map(|&component| graph.cycle(component).unwrap_or_default())
            .collect();
        let mut sizes = vec![0usize; count];
        for &cycle in &cycle_of {
            sizes[cycle as usize] += 1;
        }
        let mut wakes = vec![Vec::new(); count];
        let mut cycles_wake = vec![Vec::new(); count];
        let mut waits_for = Vec::with_capacity(count);
        // The last component found to wait for each one, so that several sites between the same two
        // count once.
        let mut last_waiter = vec![u32::MAX; count];
        let mut last_waiter_of_cycle = vec![u32::MAX; count];
        for (number, members) in (0u32..).zip(graph.bottom_up()) {
            let mut waits = 0;
            let own = cycle_of[number as usize];
            let mut wait_for = |function: FunctionId, is_called: bool| {
                if !needs(function, is_called) {
                    return;
                }
                let callee = number_of[index(function)];
                let cycle = cycle_of[callee as usize];
                let (seen, wakes) = if cycle != own {
                    let cycle = cycle as usize;
                    (&mut last_waiter_of_cycle[cycle], &mut cycles_wake[cycle])
                } else if is_called && callee != number {
                    let callee = callee as usize;
                    (&mut last_waiter[callee], &mut wakes[callee])
                } else {
                    return;
                };
                if *seen != number {
                    *seen = number;
                    wakes.push(number);
                    waits += 1;
                }
            };
            for &member in members {
                let callees = graph.callees(member);
                let callees = callees.filter_map(|site| site.callee_function());
                callees.for_each(|callee| wait_for(callee, true));
                let addressed = graph.addressed(member).iter();
                addressed.for_each(|&function| wait_for(function, false));
            }
            waits_for.push(AtomicUsize::new(waits));
        }
        let work_ahead = work_ahead(graph, &wakes, &cycle_of, &cycles_wake);
        let cycles_left = sizes.into_iter().map(AtomicUsize::new).collect();
        Schedule {
            waits_for,
            wakes,
            cycle_of,
            cycles_left,
            cycles_wake,
            components,
            number_of,
            work_ahead,
            ready: Mutex::default(),
        }
    }

    /// Returns all functions, those first for which most work waits, and callees before their
    /// callers.
    pub(super) fn by_urgency(&self, graph: &CallGraph) -> Vec<FunctionId> {
        let mut numbers: Vec<usize> = (0..self.components.len()).collect();
        // The sort is stable, and callees have the lower numbers.
        numbers.sort_by_key(|&number| Reverse(self.work_ahead.get(number).copied()));
        let members = numbers
            .iter()
            .filter_map(|&number| self.components.get(number))
            .flat_map(|&component| graph.members(component));
        members.copied().collect()
    }

    /// Lets each component wait for the bodies of its members as well.
    pub(super) fn await_bodies(&self) {
        for &number in &self.number_of {
            if let Some(waits) = self.waits_for.get(number as usize) {
                waits.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Notes that the body of a function is there, and runs its component if that waited for
    /// nothing else.
    pub(super) fn arrived<'s>(
        &'s self,
        scope: &Scope<'s>,
        work: &'s impl Work<'s>,
        function: FunctionId,
    ) {
        let Some(&number) = self.number_of.get(index(function)) else {
            debug_assert!(false, "{function} is in a component");
            return;
        };
        let number = number as usize;
        if is_last(&self.waits_for[number]) {
            self.component_is_ready(scope, work, number);
        }
    }

    /// Does `work` once for each component, after all components that it
    /// calls into, on the current rayon pool.
    pub(super) fn run<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>) {
        // Components without dependencies are collected first: after work has started, the counters
        // of others reach zero too.
        let ready: Vec<usize> = (0..self.waits_for.len())
            .filter(|&number| self.waits_for[number].load(Ordering::Relaxed) == 0)
            .collect();
        for number in ready {
            self.component_is_ready(scope, work, number);
        }
    }

    fn component_is_ready<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>, number: usize) {
        let work_ahead = self.work_ahead.get(number).copied().unwrap_or(0);
        let what = What::Component(number);
        self.push(scope, work, Task { work_ahead, what });
    }

    /// Pushes a task, and lets some thread do the most urgent one.
    fn push<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>, task: Task) {
        self.tasks().push(task);
        scope.spawn(move |scope| self.do_one(scope, work));
    }

    /// Does the most urgent task, if any waits: another thread may have [helped](Self::help) and
    /// taken the last one.
    fn do_one<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>) {
        let task = self.tasks().pop();
        match task.map(|task| task.what) {
            Some(What::Component(number)) => self.run_one(scope, work, number),
            Some(What::Compile(function)) => work.compile(function),
            None => {}
        }
    }

    /// Does tasks on this thread while `is_full` says so of the number of those that wait for one.
    pub(super) fn help<'s>(
        &'s self,
        scope: &Scope<'s>,
        work: &'s impl Work<'s>,
        is_full: impl Fn(usize) -> bool,
    ) {
        loop {
            let waiting = self.tasks().len();
            if waiting == 0 || !is_full(waiting) {
                return;
            }
            self.do_one(scope, work);
        }
    }

    fn tasks(&self) -> MutexGuard<'_, BinaryHeap<Task>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_one<'s>(&'s self, scope: &Scope<'s>, work: &'s impl Work<'s>, number: usize) {
        debug_assert!(number < self.components.len(), "{number} is a component");
        if let Some(&component) = self.components.get(number) {
            for (function, insts) in work.component(component) {
                let work_ahead = COMPILING.saturating_mul(insts);
                let what = What::Compile(function);
                self.push(scope, work, Task { work_ahead, what });
            }
        }
        let cycle = self.cycle_of[number] as usize;
        let beyond = match is_last(&self.cycles_left[cycle]) {
            true => &self.cycles_wake[cycle][..],
            false => &[],
        };
        for &waiter in self.wakes[number].iter().chain(beyond) {
            let waiter = waiter as usize;
            if is_last(&self.waits_for[waiter]) {
                self.component_is_ready(scope, work, waiter);
            }
        }
    }
}

/// Counts one down, and returns whether it was the last. Acquire and release order the bodies, and
/// the results of all callees, before the work of their caller.
fn is_last(count: &AtomicUsize) -> bool {
    count.fetch_sub(1, Ordering::AcqRel) == 1
}

/// Callers come after their callees, so that in reverse order, the components that wait for one are
/// known before it.
fn work_ahead(
    graph: &CallGraph,
    wakes: &[Vec<u32>],
    cycle_of: &[u32],
    cycles_wake: &[Vec<u32>],
) -> Vec<u64> {
    let mut ahead = vec![0u64; wakes.len()];
    for (number, members) in graph.bottom_up().enumerate().rev() {
        let sizes = members.iter().map(|&member| graph.size(member));
        let size = u64::try_from(sizes.sum::<usize>()).unwrap_or(u64::MAX);
        let waiters = wakes.get(number).into_iter().flatten();
        let cycle = cycle_of.get(number).copied().unwrap_or_default();
        let beyond = cycles_wake.get(cycle as usize).into_iter().flatten();
        let waiters = waiters.chain(beyond);
        let waiters = waiters.filter_map(|&waiter| ahead.get(waiter as usize));
        let after = waiters.copied().max().unwrap_or(0);
        let after = after.max(COMPILING.saturating_mul(size));
        if let Some(ahead) = ahead.get_mut(number) {
            *ahead = size.saturating_add(after);
        }
    }
    ahead
}

fn index(id: FunctionId) -> usize {
    cranelift_entity::EntityRef::index(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    /// Notes the tasks in the order in which they are done.
    struct Notes<'a>(&'a Program, &'a CallGraph, Mutex<Vec<String>>);

    impl Notes<'_> {
        fn note(&self, what: &str, id: FunctionId) {
            let mut notes = self.2.lock().unwrap();
            notes.push(format!("{what} {}", self.0[id].name()));
        }
    }

    impl<'s> Work<'s> for Notes<'_> {
        fn component(&'s self, component: ComponentId) -> Vec<(FunctionId, u64)> {
            let members = self.1.members(component);
            members.iter().for_each(|&id| self.note("inline", id));
            members.iter().map(|&id| (id, 1)).collect()
        }

        fn compile(&'s self, function: FunctionId) {
            self.note("compile", function);
        }
    }

    #[test]
    fn a_thread_first_takes_the_function_with_most_work_waiting() {
        let program = Program::from_clif(
            "function %alone() { block0: nop return }
             function %bottom() { block0: return }
             function %middle() { fn0 = %bottom() block0: call fn0() return }
             function %top() { fn0 = %middle() block0: call fn0() nop nop nop return }",
            "test",
        );
        let program = program.unwrap();
        let graph = CallGraph::new(&program);
        let schedule = Schedule::new(&graph, |_, _| true);
        let notes = Notes(&program, &graph, Mutex::default());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        pool.unwrap()
            .install(|| rayon::scope(|scope| schedule.run(scope, &notes)));
        let order = notes.2.into_inner().unwrap();
        let inlined: Vec<_> = order
            .iter()
            .filter_map(|n| n.strip_prefix("inline "))
            .collect();
        assert_eq!(inlined, ["%bottom", "%middle", "%top", "%alone"]);
        assert_eq!(order.len(), 8);
    }
}
