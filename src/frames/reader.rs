//! Reading a table in place.

use super::error::TableError;
use super::format::{Counts, POINTS_PER_BLOCK};
use super::frame::FrameList;
use super::points::{PointCursor, TablePoint};
use super::rows::{FrameTableReader, TableFunction};
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::StackSlotKey;

impl<'a> FrameTableReader<'a> {
    /// Returns the table at the start of `bytes`. Bytes after the table are ignored, so that a
    /// section with padding can be passed as it is.
    ///
    /// # Errors
    ///
    /// Bytes that do not begin with a table of this version and its whole length. Only the header
    /// is looked at.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TableError> {
        let (counts, starts) = Counts::read_header(bytes)?;
        Ok(FrameTableReader {
            bytes: bytes.get(..starts.end).unwrap_or(bytes),
            counts,
            starts,
        })
    }

    /// Returns the table's length in bytes.
    pub fn table_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the number of program points.
    pub fn point_count(&self) -> u32 {
        self.counts.points
    }

    /// Returns the number of different virtual frames; points share them.
    pub fn frame_count(&self) -> u32 {
        self.counts.frames
    }

    /// Returns the most virtual frames at one point.
    pub fn max_depth(&self) -> u32 {
        self.counts.max_depth
    }

    /// Returns the functions in the order of the text.
    pub fn functions(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<TableFunction, TableError>> + use<'a> {
        let reader = *self;
        rows(self.counts.functions).map(move |index| reader.function(index))
    }

    /// Returns the function whose code contains the byte at `offset` from the start of the text.
    /// O(log n).
    ///
    /// A return address may be the first byte after a function, so pass the address before it.
    ///
    /// # Errors
    ///
    /// A malformed row on the way.
    pub fn function_at(&self, offset: u32) -> Result<Option<TableFunction>, TableError> {
        let after = partition_point(self.counts.functions, |index| {
            Ok(self.function(index)?.start <= offset)
        })?;
        let Some(index) = after.checked_sub(1) else {
            return Ok(None);
        };
        let function = self.function(index)?;
        Ok((u64::from(offset) < function.end()).then_some(function))
    }

    /// Returns the virtual frames at `offset` from the start of the text, `position` the
    /// instruction there; `None` for a point without. O(log n).
    ///
    /// A `sequence_point` has no code of its own, so several may be at one `Pre` point. These are
    /// the frames of the last of them; [`points_at`](Self::points_at) has them all.
    ///
    /// # Errors
    ///
    /// A malformed row on the way.
    pub fn lookup(
        &self,
        offset: u32,
        position: MachDebugTagPos,
    ) -> Result<Option<FrameList<'a>>, TableError> {
        let mut last = None;
        for point in self.points_at(offset, position) {
            last = Some(point?.frames);
        }
        Ok(last)
    }

    /// Returns all points at `offset`, `position` the instruction there, in the order in which they
    /// are passed. O(log n) up to the first of them.
    pub fn points_at(
        &self,
        offset: u32,
        position: MachDebugTagPos,
    ) -> impl Iterator<Item = Result<TablePoint<'a>, TableError>> + use<'a> {
        let points = self.points_from(offset);
        points
            .take_while(move |point| match point {
                Ok(point) => point.offset == offset,
                Err(_) => true,
            })
            .filter(move |point| match point {
                Ok(point) => point.position == position,
                Err(_) => true,
            })
    }

    /// Returns all points in the order of the text. After an error it ends.
    pub fn points(&self) -> impl Iterator<Item = Result<TablePoint<'a>, TableError>> + use<'a> {
        self.points_from(0)
    }

    /// Returns the points at and behind `offset` in the order of the text.
    pub fn points_from(
        &self,
        offset: u32,
    ) -> impl Iterator<Item = Result<TablePoint<'a>, TableError>> + use<'a> {
        // The first point at `offset` may be in the block before the one that starts with `offset`.
        let before = partition_point(self.counts.point_blocks(), |block| {
            Ok(self.point_block(block)?.0 < offset)
        });
        let mut cursor = match before {
            Ok(before) => {
                let index = before.saturating_sub(1).saturating_mul(POINTS_PER_BLOCK);
                Ok(PointCursor::new(*self, index))
            }
            Err(error) => Err(Some(error)),
        };
        std::iter::from_fn(move || {
            match &mut cursor {
                Ok(cursor) => cursor.next(),
                // The error is returned once.
                Err(error) => error.take().map(Err),
            }
        })
        .skip_while(move |point| matches!(point, Ok(point) if point.offset < offset))
    }

    /// Returns the descriptor of `key`, in logarithmic time; `None` for a key without a descriptor,
    /// or one that is not in the table.
    ///
    /// # Errors
    ///
    /// A malformed row on the way.
    pub fn descriptor(&self, key: StackSlotKey) -> Result<Option<&'a [u8]>, TableError> {
        let at = partition_point(
            self.counts.keys,
            |index| Ok(self.key(index)?.0 < key.bits()),
        )?;
        if at >= self.counts.keys {
            return Ok(None);
        }
        let (found, descriptor) = self.key(at)?;
        Ok(descriptor.filter(|_| found == key.bits()))
    }

    /// Returns every key with its descriptor, by key.
    pub fn keys(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<(StackSlotKey, Option<&'a [u8]>), TableError>> + use<'a>
    {
        let reader = *self;
        rows(self.counts.keys).map(move |index| {
            let (key, descriptor) = reader.key(index)?;
            Ok((StackSlotKey::new(key), descriptor))
        })
    }
}

fn rows(count: u32) -> impl ExactSizeIterator<Item = u32> {
    // A range of u32 has no exact size; a count of rows that lie in memory fits.
    (0..usize::try_from(count).unwrap_or(usize::MAX)).map(|index| index as u32)
}

/// Returns the number of leading rows that satisfy `holds`, which must not hold for any row after
/// one for which it does not.
fn partition_point(
    count: u32,
    holds: impl Fn(u32) -> Result<bool, TableError>,
) -> Result<u32, TableError> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
