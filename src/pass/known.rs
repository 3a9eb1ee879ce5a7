//! The facts about the program for the checker of optimized bodies.

use super::state::{Final, State};
use crate::check::{MemoryCall, Surroundings};
use crate::cleanup::OptimizeOptions;
use crate::program::{FunctionName, Linkage};
use cranelift_codegen::ir::{Endianness, Function};

/// The final functions of the program so far, and the embedder's promises.
pub(super) struct Known<'a> {
    pub(super) state: &'a State<'a>,
    pub(super) options: &'a OptimizeOptions,
    pub(super) keeps_locations: bool,
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
        let done = self.state.finals.get(id).and_then(|done| done.get());
        if done.is_none() && self.state.program[id].is_awaited() {
            return None;
        }
        Some(done.map_or_else(
            || &**self.state.program[id].body(),
            |done: &Final| &*done.body,
        ))
    }

    fn never_throws(&self, name: &FunctionName) -> bool {
        self.options.never_throws.contains(name) || self.options.memory_functions.contains(name)
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
