//! Debug tags inherited by untagged calls.
//!
//! A call without tags gets none when it is copied. When such a copy is spliced in turn, the tagged
//! instructions of that body must still begin with the tags of the outermost frame, as they do
//! where the inner splice ran first. So the session remembers with which tags an untagged call came
//! in.

use cranelift_codegen::ir::{DebugTag, Inst};
use rustc_hash::FxHashMap;
use std::ops::Range;

#[derive(Default)]
pub(super) struct InheritedTags {
    pool: Vec<DebugTag>,
    of_calls: FxHashMap<Inst, Range<usize>>,
}

impl InheritedTags {
    pub(super) fn clear(&mut self) {
        self.pool.clear();
        self.of_calls.clear();
    }

    /// Returns the tags with which an untagged `call` came in; empty for others.
    pub(super) fn of(&self, call: Inst) -> &[DebugTag] {
        let range = self.of_calls.get(&call).cloned().unwrap_or_default();
        self.pool.get(range).unwrap_or_default()
    }

    /// Notes the untagged `calls`, which came in where the call had `tags`.
    pub(super) fn note(&mut self, calls: impl Iterator<Item = Inst>, tags: &[DebugTag]) {
        let start = self.pool.len();
        self.pool.extend_from_slice(tags);
        let range = start..self.pool.len();
        self.of_calls
            .extend(calls.map(|call| (call, range.clone())));
    }
}
