//! The facts about the program for the checker of optimized bodies.

use super::state::State;
use crate::check::{MemoryCall, Surroundings};
use crate::cleanup::OptimizeOptions;
use crate::program::{FunctionId, FunctionName, Linkage};
use cranelift_codegen::ir::{Endianness, Function, Signature};
use std::cell::OnceCell;
use std::sync::Arc;

/// The bodies that one proof has asked for: a stream may free them meanwhile. Few functions refer
/// to many others, so it is a list.
#[derive(Default)]
pub(super) struct Lent(OnceCell<Box<Loan>>);

struct Loan {
    function: FunctionId,
    body: Arc<Function>,
    next: Lent,
}

impl Lent {
    /// Returns the body of `function`, which `find` finds the first time.
    fn body(
        &self,
        function: FunctionId,
        find: impl FnOnce() -> Option<Arc<Function>>,
    ) -> Option<&Function> {
        let mut last = self;
        while let Some(loan) = last.0.get() {
            if loan.function == function {
                return Some(&loan.body);
            }
            last = &loan.next;
        }
        let body = find()?;
        let loan = last.0.get_or_init(|| {
            Box::new(Loan {
                function,
                body,
                next: Lent::default(),
            })
        });
        Some(&loan.body)
    }
}

/// Without recursion, which a long list would let overflow the stack.
impl Drop for Lent {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut loan) = next {
            next = loan.next.0.take();
        }
    }
}

/// The final functions of the program so far, and the embedder's promises.
pub(super) struct Known<'a> {
    pub(super) state: &'a State<'a>,
    pub(super) options: &'a OptimizeOptions,
    pub(super) keeps_locations: bool,
    pub(super) lent: Lent,
}

impl Known<'_> {
    /// Returns whether a function that calls by a table lead to never throws by the declarations.
    /// Its body need not be there, because nothing waits for it, and is checked against them when
    /// it comes.
    fn is_declared_quiet(&self, name: &FunctionName) -> bool {
        let state = self.state;
        let id = state
            .program
            .id(name)
            .filter(|_| state.graph.awaits_bodies());
        id.is_some_and(|id| {
            state.program[id].linkage() != Linkage::Interposable
                && state.never_throwing.contains(id)
        })
    }
}

impl Surroundings for Known<'_> {
    fn endianness(&self) -> Option<Endianness> {
        self.options.endianness
    }

    fn body(&self, name: &FunctionName) -> Option<&Function> {
        let id = self.state.program.id(name)?;
        if self.state.program[id].linkage() == Linkage::Interposable {
            return None;
        }
        let last = || {
            let done = self.state.finals.get(id)?.get()?;
            Some(Arc::clone(&done.held()?.body))
        };
        self.lent.body(id, || {
            // Another thread may free the original between the first look and the second, but only
            // after the function is final.
            last()
                .or_else(|| self.state.original_if_held(id))
                .or_else(last)
        })
    }

    fn signature(&self, name: &FunctionName) -> Option<&Signature> {
        // It is declared before the body, and a definition that replaces the function has it too.
        let function = &self.state.program[self.state.program.id(name)?];
        Some(&function.body().signature)
    }

    fn never_throws(&self, name: &FunctionName) -> bool {
        self.options.never_throws.contains(name)
            || self.options.memory_functions.contains(name)
            || self.is_declared_quiet(name)
    }

    fn address_in_data(&self, data: &FunctionName, offset: i64) -> Option<FunctionName> {
        let function = self.options.tables.get(data, offset)?;
        Some(function.name.clone())
    }

    fn memory_call(&self, name: &FunctionName) -> Option<MemoryCall> {
        let functions = &self.options.memory_functions;
        if functions.copy.contains(name) {
            return Some(MemoryCall::Copy);
        }
        functions.set.contains(name).then_some(MemoryCall::Fill)
    }

    fn keeps_locations(&self) -> bool {
        self.keeps_locations
    }
}
