//! The tree of inlined bodies in a function's code.

use super::DebugFunction;
use super::jumps::is_tail_call;
use super::variables::Variable;
use crate::backend::FrameSlot;
use crate::locations::{Chain, CodeLocations, LocationTable, Place};
use crate::program::FunctionName;
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::ir::{DebugTag, SourceLoc, StackSlot};
use cranelift_codegen::isa::TargetIsa;
use rustc_hash::{FxHashMap, FxHashSet};
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
    pub(super) fn new(isa: &dyn TargetIsa, function: &DebugFunction<'a>) -> Self {
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
        let mut pieces: Vec<(Range<CodeOffset>, usize)> = Vec::new();
        for (range, location) in CodeLocations::new(function.compiled, table).ranges() {
            let innermost = *known
                .entry(location)
                .or_insert_with(|| scopes.scope(table.chain(location)));
            pieces.push((range, innermost));
        }
        scopes.begin_before_traps(&mut pieces, isa, function);
        for (range, innermost) in pieces {
            scopes.extend(innermost, range);
        }
        scopes
    }

    /// Lets later ranges of a body that start with a trap start a byte earlier.
    ///
    /// gdb shows the call in place of a body that the program is about to enter. It takes the start
    /// of any range for the entry, unless the byte before belongs to the body too. Traps stand
    /// apart, so most start a range. The byte before ends a jump, a return or another trap. It is
    /// never that of a call, which return addresses are looked up by.
    fn begin_before_traps(
        &self,
        pieces: &mut [(Range<CodeOffset>, usize)],
        isa: &dyn TargetIsa,
        function: &DebugFunction<'_>,
    ) {
        let code = function.compiled;
        let traps: FxHashSet<CodeOffset> = code.traps().iter().map(|trap| trap.offset).collect();
        let calls = code.call_sites().map(|site| site.ret_addr);
        let returns: FxHashSet<CodeOffset> = calls
            .filter(|&after| !is_tail_call(isa, function, after))
            .collect();
        let mut has_code = vec![false; self.scopes.len()];
        for index in 1..pieces.len() {
            let [.., (before, outer), (range, body)] = &mut pieces[..=index] else {
                continue;
            };
            for at in self.outwards(*outer) {
                has_code[at] = true;
            }
            let start = range.start;
            let stands_apart = traps.contains(&start) && !returns.contains(&start);
            let enters = !self.outwards(*outer).any(|at| at == *body);
            if stands_apart && enters && has_code[*body] && before.len() > 1 {
                before.end -= 1;
                range.start -= 1;
            }
        }
    }

    /// Adds code to a scope and those around it.
    fn extend(&mut self, innermost: usize, range: Range<CodeOffset>) {
        let mut at = innermost;
        loop {
            let scope = &mut self.scopes[at];
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

    /// Returns a scope and those around it, innermost first.
    fn outwards(&self, innermost: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(innermost), |&at| {
            (at != 0).then(|| self.scopes[at].parent)
        })
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

    /// Returns the scope of a location; `None` if its body has no code left.
    pub(super) fn of_location(
        &self,
        table: &'a LocationTable,
        location: SourceLoc,
    ) -> Option<usize> {
        let place = table.innermost(location);
        match place.call {
            Some(call) => self.by_call.get(&(call.bits(), place.function)).copied(),
            None => Some(0),
        }
    }

    /// Returns the scopes in which a variable in `slot` is seen.
    ///
    /// A slot does not say which body it came with. Tagged points that name it do. Those of a body
    /// inside another one of the same function name the slots of both, the outer one first. If no
    /// point names it, it must be the only slot with its key, and the variable's function must have
    /// one body only: copies without code leave their slots behind.
    pub(super) fn of_variable(
        &mut self,
        function: &DebugFunction<'a>,
        slot: &FrameSlot,
        variable: &Variable,
    ) -> Vec<usize> {
        let places = CodeLocations::new(function.compiled, function.locations);
        let slots = function.compiled.frame_slots();
        let alike = slots.filter(|other| other.key == slot.key);
        let alike: Vec<StackSlot> = alike.map(|other| other.slot).collect();
        let mut found = Vec::new();
        let mut is_named = false;
        for point in function.compiled.debug_tags() {
            let named = point.tags.iter().filter_map(|tag| match tag {
                DebugTag::StackSlot(slot) if alike.contains(slot) => Some(*slot),
                _ => None,
            });
            let mut named: Vec<StackSlot> = named.collect();
            named.dedup();
            is_named |= !named.is_empty();
            if !named.contains(&slot.slot) {
                continue;
            }
            let chain = match point.position {
                MachDebugTagPos::Pre => places.lookup(point.offset),
                MachDebugTagPos::Post => places.lookup_return_address(point.offset),
            };
            let innermost = self.scope(chain);
            let bodies = self.outwards(innermost);
            let bodies = bodies.filter(|&at| *self.scopes[at].function == variable.function);
            let bodies: Vec<usize> = bodies.collect();
            // With fewer slots than bodies, it is not known which of them have none.
            if bodies.len() != named.len() {
                continue;
            }
            for (body, named) in bodies.into_iter().zip(named.into_iter().rev()) {
                if named == slot.slot && !found.contains(&body) {
                    found.push(body);
                }
            }
        }
        if !is_named && alike.len() == 1 {
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
