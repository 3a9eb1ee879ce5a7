//! The backtraces of one function.

use super::error::LinkError;
use crate::backend::CompiledFunction;
use crate::locations::{CodeLocations, LocationTable};
use crate::program::FunctionName;
use cranelift_codegen::ir::SourceLoc;
use rustc_hash::FxHashMap;

/// The chains of source places in one compiled function, before it has its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionBacktraces {
    /// The function itself first.
    pub(super) names: Vec<FunctionName>,
    /// Callers' places before those in them.
    pub(super) places: Vec<Place>,
    /// Sorted by key, each key once.
    pub(super) points: Vec<Point>,
    pub(super) code_bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) name: u32,
    pub(super) location: SourceLoc,
    /// The place of the call that was replaced.
    pub(super) caller: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// Twice the offset, plus 1 for a trap.
    pub(super) key: u32,
    pub(super) place: u32,
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
        let too_large = LinkError::TooLarge {
            what: "a function of 2 GiB",
        };
        let code_bytes = u32::try_from(compiled.code().len()).ok();
        let code_bytes = code_bytes
            .filter(|&bytes| bytes < 1 << 31)
            .ok_or(too_large)?;
        let mut collector = Collector {
            locations,
            known: FxHashMap::default(),
            names: FxHashMap::default(),
            into: FunctionBacktraces {
                names: vec![locations.function().clone()],
                places: Vec::new(),
                points: Vec::new(),
                code_bytes,
            },
        };
        collector.names.insert(locations.function(), 0);
        let code = CodeLocations::new(compiled, locations);
        let calls = compiled.call_sites().map(|call| {
            // The call ends right before this offset.
            let location = code.location(call.ret_addr.wrapping_sub(1));
            (call.ret_addr.wrapping_mul(2), location)
        });
        let traps = compiled.traps().iter();
        let traps = traps.map(|trap| {
            let location = code.location(trap.offset);
            (trap.offset.wrapping_mul(2) | 1, location)
        });
        for (key, location) in calls.chain(traps) {
            let place = collector.place(location);
            collector.into.points.push(Point { key, place });
        }
        let points = &mut collector.into.points;
        points.sort_unstable();
        // Two traps of one instruction are one point.
        points.dedup_by_key(|point| point.key);
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
    /// The places of locations, in the function's numbers.
    known: FxHashMap<SourceLoc, u32>,
    names: FxHashMap<&'a FunctionName, u32>,
    into: FunctionBacktraces,
}

impl<'a> Collector<'a> {
    fn place(&mut self, location: SourceLoc) -> u32 {
        let mut missing = Vec::new();
        let mut caller = None;
        let mut next = Some(location);
        while let Some(at) = next {
            if let Some(&known) = self.known.get(&at) {
                caller = Some(known);
                break;
            }
            let place = self.locations.innermost(at);
            missing.push((at, place));
            next = place.call;
        }
        // Callers first.
        for (at, place) in missing.into_iter().rev() {
            let count = self.names.len();
            let name = *self.names.entry(place.function).or_insert_with(|| {
                self.into.names.push(place.function.clone());
                index(count)
            });
            let number = index(self.into.places.len());
            self.into.places.push(Place {
                name,
                location: place.location,
                caller,
            });
            self.known.insert(at, number);
            caller = Some(number);
        }
        debug_assert!(caller.is_some(), "every location has a place");
        caller.unwrap_or(0)
    }
}

/// Numbers of places and names: there are fewer than bytes of code and of locations, which have 32
/// bits.
fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
