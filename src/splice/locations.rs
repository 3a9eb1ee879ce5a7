//! The source locations of copied instructions.

use cranelift_codegen::ir::SourceLoc;

/// Chooses the source locations of the instructions that a splice copies.
///
/// To the engine a location is a number, and this trait defines its meaning: [`KeepLocations`]
/// keeps the callee's own, and
/// [`LocationBuilder::inlining`](crate::locations::LocationBuilder::inlining) gives numbers that
/// also identify the inlined call.
pub trait SpliceLocations {
    /// Begins the splice with this index in the list of
    /// [`Session::splice_all_with`](super::Session::splice_all_with), also if it is then refused.
    fn start(&mut self, splice: usize) {
        let _ = splice;
    }

    /// Returns the location of a copy: `own` is that of the callee's instruction and `call` that of
    /// the replaced call, each unknown where the instruction has none. During one splice `call`
    /// stays the same.
    fn spliced(&mut self, own: SourceLoc, call: SourceLoc) -> SourceLoc;

    /// Returns whether [`SpliceLocations::spliced`] gives a location to an instruction that had
    /// none. If not, callees without locations are copied faster.
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
