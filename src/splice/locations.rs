//! What the copies of a callee's instructions say about where they come from.

use cranelift_codegen::ir::SourceLoc;

/// Chooses the source locations of the instructions that a splice copies.
///
/// The engine takes a location for a number and leaves it to this trait what
/// the number means: [`KeepLocations`] hands on the callee's own, and
/// [`LocationBuilder::inlining`](crate::locations::LocationBuilder::inlining)
/// gives numbers that also say where the callee was inlined.
pub trait SpliceLocations {
    /// The location of a copy: `own` is that of the callee's instruction and
    /// `call` that of the replaced call, each unknown where the instruction
    /// has none. During one splice `call` stays the same.
    fn spliced(&mut self, own: SourceLoc, call: SourceLoc) -> SourceLoc;

    /// Whether [`SpliceLocations::spliced`] gives a location to an instruction
    /// that had none. Where it does not, callees without locations are copied
    /// faster.
    fn places_unknown(&self) -> bool {
        false
    }
}

/// Copies have the locations of the callee's instructions.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepLocations;

impl SpliceLocations for KeepLocations {
    fn spliced(&mut self, own: SourceLoc, _call: SourceLoc) -> SourceLoc {
        own
    }
}
