//! From code offsets to places.

use super::table::{Chain, LocationTable};
use crate::backend::CompiledFunction;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::ir::SourceLoc;
use cranelift_codegen::{CompiledCode, Final, MachSrcLoc};
use std::ops::Range;

/// Maps each byte of a compiled function to its source.
#[derive(Clone, Copy, Debug)]
pub struct CodeLocations<'a> {
    ranges: &'a [MachSrcLoc<Final>],
    size: CodeOffset,
    table: &'a LocationTable,
}

impl<'a> CodeLocations<'a> {
    /// Returns the locations of `compiled`, a function compiled from the body that `table` belongs
    /// to.
    pub fn new(compiled: &'a CompiledFunction, table: &'a LocationTable) -> Self {
        CodeLocations {
            ranges: compiled.source_locations(),
            // Cranelift's own offsets are as wide.
            size: u32::try_from(compiled.code().len()).unwrap_or(u32::MAX),
            table,
        }
    }

    /// Returns the locations of Cranelift's own result. It lacks those of `try_call`s.
    pub(crate) fn of_cranelift(code: &'a CompiledCode, table: &'a LocationTable) -> Self {
        CodeLocations {
            ranges: code.buffer.get_srclocs_sorted(),
            size: code.buffer.total_size(),
            table,
        }
    }

    /// Returns the places that the instruction at `offset` comes from, innermost first. `offset` is
    /// in bytes from the start of the code.
    ///
    /// There is always one: code without a location of its own, such as the prologue, is at an
    /// unknown location of the compiled function. The offset of a trap is that of its instruction;
    /// for a call's return address use [`CodeLocations::lookup_return_address`].
    ///
    /// Costs O(log n) for n ranges.
    pub fn lookup(&self, offset: CodeOffset) -> Chain<'a> {
        self.table.chain(self.location(offset))
    }

    /// Returns the places that the call comes from which returns to `offset`, in bytes from the
    /// start of the code.
    pub fn lookup_return_address(&self, offset: CodeOffset) -> Chain<'a> {
        // The call ends right before this offset.
        self.lookup(offset.wrapping_sub(1))
    }

    /// Returns the location of the instruction at `offset`, which the table explains.
    pub fn location(&self, offset: CodeOffset) -> SourceLoc {
        let after = self.ranges.partition_point(|range| range.start <= offset);
        let range = after.checked_sub(1).and_then(|last| self.ranges.get(last));
        range
            .filter(|range| offset < range.end)
            .map_or_else(SourceLoc::default, |range| range.loc)
    }

    /// Returns a function like [`CodeLocations::location`] for offsets that do not decrease from
    /// call to call, which all take constant time together with the ranges that they pass.
    pub(crate) fn in_order(&self) -> impl FnMut(CodeOffset) -> SourceLoc + use<'a> {
        let mut ranges = self.ranges;
        move |offset| {
            while let [first, rest @ ..] = ranges
                && first.end <= offset
            {
                ranges = rest;
            }
            let range = ranges.first().filter(|range| range.start <= offset);
            range.map_or_else(SourceLoc::default, |range| range.loc)
        }
    }

    /// Returns the whole code in order, in ranges of one location each; neighbours have different
    /// ones.
    pub fn ranges(&self) -> impl Iterator<Item = (Range<CodeOffset>, SourceLoc)> + use<'a> {
        let (ranges, size) = (self.ranges, self.size);
        let mut next = 0;
        let mut at: CodeOffset = 0;
        let mut piece = move || {
            let range: Option<&MachSrcLoc<Final>> = loop {
                match ranges.get(next) {
                    Some(range) if range.end <= at => next += 1,
                    other => break other,
                }
            };
            let (end, location) = match range {
                Some(range) if range.start <= at => (range.end.min(size), range.loc),
                Some(range) => (range.start.min(size), SourceLoc::default()),
                None => (size, SourceLoc::default()),
            };
            let start = at;
            at = end.max(start);
            (start < at).then_some((start..at, location))
        };
        let mut pending = piece();
        std::iter::from_fn(move || {
            let (mut range, location) = pending.take()?;
            pending = loop {
                match piece() {
                    Some((more, same)) if same == location => range.end = more.end,
                    other => break other,
                }
            };
            Some((range, location))
        })
    }
}
