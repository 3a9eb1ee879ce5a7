//! The backtraces of one function.

use super::error::LinkError;
use crate::backend::CompiledFunction;
use crate::locations::{CodeLocations, LocationTable, Place};
use crate::program::FunctionName;
use cranelift_codegen::CompiledCode;
use cranelift_codegen::ir::SourceLoc;
use rustc_hash::FxHashMap;

/// The chains of source places in one compiled function, before it has its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionBacktraces {
    /// The function itself first.
    pub(super) names: Vec<FunctionName>,
    /// The function itself first, and scopes before those in them.
    pub(super) scopes: Vec<Scope>,
    /// Sorted by key, each key once.
    pub(super) points: Vec<Point>,
    pub(super) code_bytes: u32,
}

/// A body: that of the function, or one that was inlined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) name: u32,
    /// The scope with the call that was replaced, and the location of the call in it.
    pub(super) call: Option<(u32, SourceLoc)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// Twice the offset, plus 1 for a trap.
    pub(super) key: u32,
    pub(super) scope: u32,
    pub(super) location: u32,
}

impl FunctionBacktraces {
    /// Returns those of `compiled`, a function compiled from the body that `locations` belongs to.
    ///
    /// Takes time linear in its calls, traps, and the places of these.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLarge`] for 2 GiB of code.
    pub fn of(compiled: &CompiledFunction, locations: &LocationTable) -> Result<Self, LinkError> {
        let code = CodeLocations::new(compiled, locations);
        Self::collect(compiled.cranelift(), &code, locations)
    }

    /// Returns those of a function that a `cranelift_codegen::Context` has compiled, such as a
    /// module's. It is like [`FunctionBacktraces::of`], but the calls of `try_call`s have unknown
    /// locations, because Cranelift loses these.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLarge`] for 2 GiB of code.
    ///
    /// ```
    /// use cranelift_codegen::Context;
    /// use cranelift_codegen::control::ControlPlane;
    /// use cranelift_inliner::backend::{TargetSettings, target};
    /// use cranelift_inliner::backtrace::FunctionBacktraces;
    /// use cranelift_inliner::locations::LocationTable;
    ///
    /// let text = "function %check(i32) system_v {
    /// block0(v0: i32):
    /// @0001   trapz v0, user7
    ///         return
    /// }";
    /// let isa = target("host", &TargetSettings::new())?;
    /// let mut context = Context::for_function(cranelift_reader::parse_functions(text)?.remove(0));
    /// context.compile(&*isa, &mut ControlPlane::default()).map_err(|error| error.inner)?;
    /// let code = context.compiled_code().ok_or("no code")?;
    /// let locations = LocationTable::own("%check".parse()?);
    /// assert_eq!(FunctionBacktraces::of_cranelift(code, &locations)?.point_count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_cranelift(code: &CompiledCode, locations: &LocationTable) -> Result<Self, LinkError> {
        Self::collect(
            code,
            &CodeLocations::of_cranelift(code, locations),
            locations,
        )
    }

    fn collect(
        compiled: &CompiledCode,
        code: &CodeLocations<'_>,
        locations: &LocationTable,
    ) -> Result<Self, LinkError> {
        let too_large = LinkError::TooLarge {
            what: "a function of 2 GiB",
        };
        let code_bytes = Some(compiled.buffer.total_size());
        let code_bytes = code_bytes
            .filter(|&bytes| bytes < 1 << 31)
            .ok_or(too_large)?;
        let mut collector = Collector {
            locations,
            known: FxHashMap::default(),
            last: None,
            names: FxHashMap::default(),
            into: FunctionBacktraces {
                names: vec![locations.function().clone()],
                scopes: vec![Scope {
                    name: 0,
                    call: None,
                }],
                points: Vec::new(),
                code_bytes,
            },
        };
        collector.names.insert(locations.function(), 0);
        let calls = compiled.buffer.call_sites();
        let calls = calls.map(|call| call.ret_addr.wrapping_mul(2));
        let traps = compiled.buffer.traps().iter();
        let traps = traps.map(|trap| trap.offset.wrapping_mul(2) | 1);
        let mut keys: Vec<u32> = calls.chain(traps).collect();
        // Calls and traps are each in order, which a stable sort makes use of.
        keys.sort();
        // Two traps of one instruction are one point.
        keys.dedup();
        let mut location_at = code.in_order();
        collector.into.points.reserve_exact(keys.len());
        for key in keys {
            // A call ends right before its return address.
            let offset = (key / 2).wrapping_sub(1 - key % 2);
            let (scope, location) = collector.place(location_at(offset));
            collector.into.points.push(Point {
                key,
                scope,
                location: location.bits(),
            });
        }
        Ok(collector.into)
    }

    /// Returns the function.
    pub fn function(&self) -> &FunctionName {
        // Every constructor puts it there.
        &self.names[0]
    }

    /// Returns the number of return addresses and traps.
    pub fn point_count(&self) -> usize {
        self.points.len()
    }
}

struct Collector<'a> {
    locations: &'a LocationTable,
    /// By the call that was replaced and the function in its place.
    known: FxHashMap<(SourceLoc, &'a FunctionName), u32>,
    /// The last one, because neighbours are mostly in the same scope.
    last: Option<((SourceLoc, &'a FunctionName), u32)>,
    names: FxHashMap<&'a FunctionName, u32>,
    into: FunctionBacktraces,
}

impl<'a> Collector<'a> {
    /// Returns the scope of a location, and the front end's location in it.
    fn place(&mut self, location: SourceLoc) -> (u32, SourceLoc) {
        let innermost = self.locations.innermost(location);
        let Some(call) = innermost.call else {
            return (0, innermost.location);
        };
        let key = (call, innermost.function);
        if let Some((last, scope)) = self.last
            && last == key
        {
            return (scope, innermost.location);
        }
        let scope = self.scope(innermost);
        self.last = Some((key, scope));
        (scope, innermost.location)
    }

    /// Returns the scope of `at`, which is added if it is not there yet.
    fn scope(&mut self, mut at: Place<'a>) -> u32 {
        let mut missing = Vec::new();
        let mut scope = 0;
        while let Some(call) = at.call {
            if let Some(&known) = self.known.get(&(call, at.function)) {
                scope = known;
                break;
            }
            missing.push((call, at.function));
            at = self.locations.innermost(call);
        }
        // The scopes around others first.
        for (call, function) in missing.into_iter().rev() {
            let count = self.names.len();
            let name = *self.names.entry(function).or_insert_with(|| {
                self.into.names.push(function.clone());
                index(count)
            });
            let number = index(self.into.scopes.len());
            self.into.scopes.push(Scope {
                name,
                call: Some((scope, self.locations.innermost(call).location)),
            });
            self.known.insert((call, function), number);
            scope = number;
        }
        scope
    }
}

/// Numbers of scopes and names: there are fewer than bytes of code and of locations, which have 32
/// bits.
fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
