//! The tree of inlined bodies in a function's code.

use super::DebugFunction;
use super::variables::Variable;
use crate::locations::{Chain, CodeLocations, Place};
use crate::program::FunctionName;
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::ir::{DebugTag, SourceLoc, StackSlot};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// The bodies that one function's code consists of.
pub(super) struct Scopes<'a> {
    /// The function itself first, and each body after the one that it is in.
    pub(super) scopes: Vec<Scope<'a>>,
    by_call: FxHashMap<(u32, &'a FunctionName), usize>,
}

pub(super) struct Scope<'a> {
    pub(super) function: &'a FunctionName,
    /// The place of the call that the body was inlined at.
    pub(super) call: Option<Place<'a>>,
    pub(super) parent: usize,
    /// The code, in bytes from the function's start, in order.
    pub(super) ranges: Vec<Range<CodeOffset>>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(function: &DebugFunction<'a>) -> Self {
        let table = function.locations;
        let mut scopes = Scopes {
            scopes: vec![Scope {
                function: table.function(),
                call: None,
                parent: 0,
                ranges: Vec::new(),
            }],
            by_call: FxHashMap::default(),
        };
        let mut known: FxHashMap<SourceLoc, usize> = FxHashMap::default();
        for (range, location) in CodeLocations::new(function.compiled, table).ranges() {
            let innermost = *known
                .entry(location)
                .or_insert_with(|| scopes.scope(table.chain(location)));
            let mut at = innermost;
            loop {
                let scope = &mut scopes.scopes[at];
                match scope.ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => scope.ranges.push(range.clone()),
                }
                if at == 0 {
                    break;
                }
                at = scope.parent;
            }
        }
        scopes
    }

    /// Returns the scope of a chain's innermost place, made if it is new.
    fn scope(&mut self, chain: Chain<'a>) -> usize {
        let places: Vec<Place<'a>> = chain.collect();
        let mut at = 0;
        for (place, around) in places.iter().zip(places.iter().skip(1)).rev() {
            // The entry of the call determines everything around it.
            let Some(call) = place.call else {
                continue;
            };
            let parent = at;
            at = *self
                .by_call
                .entry((call.bits(), place.function))
                .or_insert_with(|| {
                    self.scopes.push(Scope {
                        function: place.function,
                        call: Some(*around),
                        parent,
                        ranges: Vec::new(),
                    });
                    self.scopes.len() - 1
                });
        }
        at
    }

    /// Returns the scopes in which a variable in `slot` is seen.
    ///
    /// A slot does not say which body it came with. Tagged points that name it do; without any it
    /// must be the only body of the variable's function.
    pub(super) fn of_variable(
        &mut self,
        function: &DebugFunction<'a>,
        slot: StackSlot,
        variable: &Variable,
    ) -> Vec<usize> {
        let places = CodeLocations::new(function.compiled, function.locations);
        let mut found = Vec::new();
        for point in function.compiled.debug_tags() {
            if !point.tags.contains(&DebugTag::StackSlot(slot)) {
                continue;
            }
            let chain = match point.position {
                MachDebugTagPos::Pre => places.lookup(point.offset),
                MachDebugTagPos::Post => places.lookup_return_address(point.offset),
            };
            let mut at = self.scope(chain);
            loop {
                let scope = &self.scopes[at];
                if *scope.function == variable.function && !found.contains(&at) {
                    found.push(at);
                }
                if at == 0 {
                    break;
                }
                at = scope.parent;
            }
        }
        if found.is_empty() {
            let bodies = self.scopes.iter().enumerate();
            let of_function = bodies.filter(|(_, scope)| *scope.function == variable.function);
            found.extend(of_function.map(|(at, _)| at));
            if found.len() > 1 {
                found.clear();
            }
        }
        found
    }
}
