//! Reading a table in place.

use super::cursor::{FrameCursor, FrameRow, PointCursor};
use super::error::{TableError, TablePart};
use super::format::{
    Counts, FRAME_BLOCK_ROW, FRAMES_PER_BLOCK, FUNCTION_ROW, KEY_ROW, NO_DESCRIPTOR,
    POINT_BLOCK_ROW, POINTS_PER_BLOCK, SLOT_ROW, Starts, u32_at, u64_at,
};
use super::frame::{FrameList, SlotPlace};
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::StackSlotKey;

/// Reads a table in place, without allocating.
///
/// It does not panic for any bytes: each row is checked when it is read, and a malformed one is a
/// [`TableError`]. To rule these errors out beforehand, call [`validate`](Self::validate) once.
#[derive(Clone, Copy, Debug)]
pub struct FrameTableReader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) counts: Counts,
    pub(super) starts: Starts,
}

/// A function in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFunction {
    /// The number under which it was added.
    pub identity: u64,
    /// Where its code begins, in bytes from the start of the text.
    pub start: u32,
    /// Its code's length in bytes.
    pub length: u32,
}

impl TableFunction {
    /// Returns where its code ends, in bytes from the start of the text.
    pub fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.length)
    }
}

/// A program point.
#[derive(Clone, Copy, Debug)]
pub struct TablePoint<'a> {
    /// Where it is, in bytes from the start of the text.
    pub offset: u32,
    /// Whether the frames are those of the instruction that ends there (`Post`: a call with this
    /// return address) or of the one that begins there (`Pre`).
    pub position: MachDebugTagPos,
    /// The virtual frames; there is at least one.
    pub frames: FrameList<'a>,
}

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

    pub(super) fn function(&self, index: u32) -> Result<TableFunction, TableError> {
        let row = self.row(self.starts.functions, FUNCTION_ROW, index);
        row.and_then(|at| {
            Some(TableFunction {
                start: u32_at(self.bytes, at)?,
                length: u32_at(self.bytes, at + 4)?,
                identity: u64_at(self.bytes, at + 8)?,
            })
        })
        .ok_or(missing(TablePart::Function, index))
    }

    /// Returns the offset of the first point of a block, and where the block begins in the column.
    pub(super) fn point_block(&self, block: u32) -> Result<(u32, usize), TableError> {
        let row = self.row(self.starts.point_index, POINT_BLOCK_ROW, block);
        row.and_then(|at| {
            let stream = usize::try_from(u32_at(self.bytes, at + 4)?).ok()?;
            Some((u32_at(self.bytes, at)?, stream))
        })
        .ok_or(missing(
            TablePart::Point,
            block.saturating_mul(POINTS_PER_BLOCK),
        ))
    }

    /// Returns where a block of frames begins in the column.
    pub(super) fn frame_block(&self, block: u32) -> Result<usize, TableError> {
        let row = self.row(self.starts.frame_index, FRAME_BLOCK_ROW, block);
        row.and_then(|at| usize::try_from(u32_at(self.bytes, at)?).ok())
            .ok_or(missing(
                TablePart::Frame,
                block.saturating_mul(FRAMES_PER_BLOCK),
            ))
    }

    pub(super) fn slot(&self, index: u32) -> Result<SlotPlace<'a>, TableError> {
        if index >= self.counts.slots {
            return Err(malformed(TablePart::Slot, index, "there is no such slot"));
        }
        let row = self.row(self.starts.slots, SLOT_ROW, index);
        let (fp_offset, size, key) = row
            .and_then(|at| {
                let fp_offset = u32_at(self.bytes, at)?.cast_signed();
                Some((
                    fp_offset,
                    u32_at(self.bytes, at + 4)?,
                    u32_at(self.bytes, at + 8)?,
                ))
            })
            .ok_or(missing(TablePart::Slot, index))?;
        let (key, descriptor) = match key.checked_sub(1) {
            None => (None, None),
            Some(number) if number < self.counts.keys => {
                let (key, descriptor) = self.key(number)?;
                (Some(StackSlotKey::new(key)), descriptor)
            }
            Some(_) => return Err(malformed(TablePart::Slot, index, "there is no such key")),
        };
        Ok(SlotPlace {
            fp_offset,
            size,
            key,
            descriptor,
        })
    }

    pub(super) fn key(&self, index: u32) -> Result<(u64, Option<&'a [u8]>), TableError> {
        let row = self.row(self.starts.keys, KEY_ROW, index);
        let (key, start, length) = row
            .and_then(|at| {
                Some((
                    u64_at(self.bytes, at)?,
                    u32_at(self.bytes, at + 8)?,
                    u32_at(self.bytes, at + 12)?,
                ))
            })
            .ok_or(missing(TablePart::Key, index))?;
        if length == NO_DESCRIPTOR {
            return Ok((key, None));
        }
        let range = usize::try_from(start)
            .ok()
            .zip(usize::try_from(length).ok());
        let bytes = self.bytes.get(self.starts.descriptors..);
        let descriptor = range
            .zip(bytes)
            .and_then(|((start, length), bytes)| bytes.get(start..)?.get(..length));
        match descriptor {
            Some(descriptor) => Ok((key, Some(descriptor))),
            None => Err(malformed(
                TablePart::Key,
                index,
                "its descriptor is beyond the end",
            )),
        }
    }

    pub(super) fn point_stream(&self) -> &'a [u8] {
        let bytes = self.bytes;
        bytes
            .get(self.starts.points..self.starts.frames)
            .unwrap_or_default()
    }

    pub(super) fn frame_stream(&self) -> &'a [u8] {
        let bytes = self.bytes;
        bytes
            .get(self.starts.frames..self.starts.descriptors)
            .unwrap_or_default()
    }

    /// Reads up to a block's frame `index`.
    pub(super) fn frame_row(&self, index: u32) -> Result<FrameRow, TableError> {
        if index >= self.counts.frames {
            return Err(malformed(TablePart::Frame, index, "there is no such frame"));
        }
        let block = index / FRAMES_PER_BLOCK;
        let mut cursor = FrameCursor::new(self, block * FRAMES_PER_BLOCK, self.frame_block(block)?);
        loop {
            let at = cursor.index;
            let row = cursor.next()?;
            if at == index {
                return Ok(row);
            }
        }
    }

    /// Returns the place of row `index` of the column at `start`. The header was checked to have
    /// room for every row, so this does not overflow for any index below the count.
    fn row(&self, start: usize, row: usize, index: u32) -> Option<usize> {
        usize::try_from(index)
            .ok()?
            .checked_mul(row)?
            .checked_add(start)
    }
}

fn rows(count: u32) -> impl ExactSizeIterator<Item = u32> {
    // A range of u32 has no exact size; a count of rows that lie in memory fits.
    (0..usize::try_from(count).unwrap_or(usize::MAX)).map(|index| index as u32)
}

pub(super) fn malformed(part: TablePart, index: u32, reason: &'static str) -> TableError {
    TableError::Malformed {
        part,
        index,
        reason,
    }
}

fn missing(part: TablePart, index: u32) -> TableError {
    malformed(part, index, "it is beyond the end")
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
