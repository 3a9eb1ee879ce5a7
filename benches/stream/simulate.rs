//! The wall time on many threads, by a simulation of the scheduler.
//!
//! It is fed with the times of translating, inlining and compiling each function, measured on one
//! thread. Threads take work like those of a stream: each translates the next function, except
//! that it does a task first where more tasks wait than there are other threads; the task with the
//! most work ahead comes first. Not in the model are memory and caches that threads share, the
//! time before the first body and after the last task, and cycles over addresses.

use cranelift_entity::EntityRef;
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::graph::{CallGraph, ComponentId};
use cranelift_inliner::program::{FunctionId, Linkage, Program};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

/// Compiling costs so many times as much as inlining, by the scheduler's estimate.
const COMPILING: usize = 8;

/// The times of each function.
#[derive(Clone)]
pub(crate) struct Costs {
    pub(crate) translate: Vec<Duration>,
    /// Without inlining.
    pub(crate) plain: Vec<Duration>,
    pub(crate) inline: Vec<Duration>,
    /// After inlining; none for a function that was dropped.
    pub(crate) compile: Vec<Duration>,
}

impl Costs {
    pub(crate) fn new(functions: usize) -> Self {
        let zero = vec![Duration::ZERO; functions];
        Costs {
            translate: zero.clone(),
            plain: zero.clone(),
            inline: zero.clone(),
            compile: zero,
        }
    }

    pub(crate) fn least(mut self, other: &Costs) -> Costs {
        for (mine, others) in [
            (&mut self.translate, &other.translate),
            (&mut self.plain, &other.plain),
            (&mut self.inline, &other.inline),
            (&mut self.compile, &other.compile),
        ] {
            for (mine, other) in mine.iter_mut().zip(others) {
                *mine = (*mine).min(*other);
            }
        }
        self
    }
}

/// The ways that are simulated.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Plain,
    Pass,
    /// In the order of the file, or in the order of need.
    Stream {
        asked: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Inline(usize),
    Compile(usize),
}

/// The program as the scheduler sees it. Components and functions are indices.
pub(crate) struct Model<'a> {
    costs: &'a Costs,
    members: Vec<Vec<usize>>,
    component_of: Vec<usize>,
    waits_for: Vec<usize>,
    wakes: Vec<Vec<usize>>,
    work_ahead: Vec<usize>,
    sizes: Vec<usize>,
    /// The functions that call each one, and it itself.
    callers: Vec<BTreeSet<usize>>,
    is_local: Vec<bool>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(program: &Program, costs: &'a Costs) -> Self {
        let graph = CallGraph::new(program);
        let size = |id| graph.declaration(id).map_or(0, |known| known.insts);
        let sizes: Vec<usize> = program.ids().map(size).collect();
        let is_wanted = |id: FunctionId| {
            program[id].linkage() != Linkage::Interposable
                && sizes[id.index()] <= CostModel::default().max_callee_insts
        };
        let number = |id: FunctionId| graph.component(id).map_or(0, ComponentId::index);
        let members: Vec<Vec<usize>> = graph
            .bottom_up()
            .map(|members| members.iter().map(|id| id.index()).collect())
            .collect();
        let mut waits: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); members.len()];
        let mut callers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); sizes.len()];
        for id in program.ids() {
            callers[id.index()].insert(id.index());
            for callee in graph.callees(id).filter_map(|site| site.callee_function()) {
                callers[callee.index()].insert(id.index());
                if number(callee) != number(id) && is_wanted(callee) {
                    waits[number(id)].insert(number(callee));
                }
            }
        }
        let mut wakes = vec![Vec::new(); members.len()];
        for (waiter, waits) in waits.iter().enumerate() {
            waits.iter().for_each(|&callee| wakes[callee].push(waiter));
        }
        let mut work_ahead = vec![0; members.len()];
        for component in (0..members.len()).rev() {
            let size: usize = members[component].iter().map(|&member| sizes[member]).sum();
            let after = wakes[component].iter().map(|&waiter| work_ahead[waiter]);
            work_ahead[component] = size + after.max().unwrap_or(0).max(COMPILING * size);
        }
        Model {
            costs,
            component_of: program.ids().map(number).collect(),
            waits_for: waits.iter().map(BTreeSet::len).collect(),
            members,
            wakes,
            work_ahead,
            sizes,
            callers,
            is_local: program
                .iter()
                .map(|(_, function)| function.linkage() == Linkage::Local)
                .collect(),
        }
    }

    /// Returns the time until all is done on `threads` threads.
    pub(crate) fn run(&self, way: Way, threads: usize) -> Duration {
        let Costs {
            translate, plain, ..
        } = self.costs;
        let functions = 0..translate.len();
        match way {
            Way::Plain => {
                let tasks = functions.map(|function| translate[function] + plain[function]);
                in_turn(tasks, threads)
            }
            Way::Pass => {
                let translated = in_turn(translate.iter().copied(), threads);
                translated + self.stream(&[], threads)
            }
            Way::Stream { asked } => {
                let mut order: Vec<usize> = functions.collect();
                if asked {
                    order.sort_by_key(|&function| {
                        let component = self.component_of[function];
                        (Reverse(self.work_ahead[component]), component)
                    });
                }
                self.stream(&order, threads)
            }
        }
    }

    /// Runs a stream; with an empty `order`, all bodies are there at the start.
    fn stream(&self, order: &[usize], threads: usize) -> Duration {
        let mut waits_for = self.waits_for.clone();
        if !order.is_empty() {
            for (waits, members) in waits_for.iter_mut().zip(&self.members) {
                *waits += members.len();
            }
        }
        let mut callers_left: Vec<usize> = self.callers.iter().map(BTreeSet::len).collect();
        let mut ready: BinaryHeap<(usize, Task)> = BinaryHeap::new();
        for (component, &waits) in waits_for.iter().enumerate() {
            if waits == 0 {
                ready.push((self.work_ahead[component], Task::Inline(component)));
            }
        }
        let mut to_translate = order.iter();
        // The work that ends at each time, by thread.
        let mut running: BTreeMap<(Duration, usize), Done> = BTreeMap::new();
        let mut idle: Vec<usize> = (0..threads).rev().collect();
        let mut now = Duration::ZERO;
        loop {
            while let Some(thread) = idle.pop() {
                let most = if to_translate.as_slice().is_empty() {
                    0
                } else {
                    threads - 1
                };
                let task = (ready.len() > most).then(|| ready.pop()).flatten();
                let (takes, done) = match (task, task.is_none().then(|| to_translate.next())) {
                    (Some((_, Task::Inline(component))), _) => {
                        let members = self.members[component].iter();
                        let takes = members.map(|&member| self.costs.inline[member]).sum();
                        (takes, Done::Inlined(component))
                    }
                    (Some((_, Task::Compile(function))), _) => {
                        (self.costs.compile[function], Done::Compiled)
                    }
                    (None, Some(Some(&function))) => {
                        (self.costs.translate[function], Done::Translated(function))
                    }
                    (None, _) => {
                        idle.push(thread);
                        break;
                    }
                };
                running.insert((now + takes, thread), done);
            }
            let Some(((time, thread), done)) = running.pop_first() else {
                return now;
            };
            now = time;
            idle.push(thread);
            let mut one_less = |component: usize, ready: &mut BinaryHeap<(usize, Task)>| {
                waits_for[component] -= 1;
                if waits_for[component] == 0 {
                    ready.push((self.work_ahead[component], Task::Inline(component)));
                }
            };
            match done {
                Done::Translated(function) => {
                    one_less(self.component_of[function], &mut ready);
                }
                Done::Compiled => {}
                Done::Inlined(component) => {
                    let mut compile = |function: usize| {
                        let work = COMPILING * self.sizes[function];
                        ready.push((work, Task::Compile(function)));
                    };
                    for &member in &self.members[component] {
                        if !self.is_local[member] {
                            compile(member);
                        }
                        for (callee, callers) in self.callers.iter().enumerate() {
                            if callers.contains(&member) {
                                callers_left[callee] -= 1;
                                if callers_left[callee] == 0 && self.is_local[callee] {
                                    compile(callee);
                                }
                            }
                        }
                    }
                    for &waiter in &self.wakes[component] {
                        one_less(waiter, &mut ready);
                    }
                }
            }
        }
    }
}

/// The work that has ended.
enum Done {
    Translated(usize),
    Inlined(usize),
    Compiled,
}

/// Returns the time for tasks without an order, each taken by the next free thread.
fn in_turn(tasks: impl Iterator<Item = Duration>, threads: usize) -> Duration {
    let mut free: BinaryHeap<Reverse<Duration>> =
        (0..threads).map(|_| Reverse(Duration::ZERO)).collect();
    let mut end = Duration::ZERO;
    for task in tasks {
        let Reverse(start) = free.pop().unwrap_or_default();
        end = end.max(start + task);
        free.push(Reverse(start + task));
    }
    end
}
