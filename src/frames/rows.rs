//! The rows of a table where they lie.

use super::error::{TableError, TablePart};
use super::format::{
    Counts, FRAME_BLOCK_ROW, FRAMES_PER_BLOCK, FUNCTION_ROW, KEY_ROW, NO_DESCRIPTOR,
    POINT_BLOCK_ROW, POINTS_PER_BLOCK, SLOT_ROW, Starts, u32_at, u64_at,
};
use super::slot::SlotPlace;
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
#[non_exhaustive]
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

impl<'a> FrameTableReader<'a> {
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

    /// Returns the place of row `index` of the column at `start`. The header was checked to have
    /// room for every row, so this does not overflow for any index below the count.
    fn row(&self, start: usize, row: usize, index: u32) -> Option<usize> {
        usize::try_from(index)
            .ok()?
            .checked_mul(row)?
            .checked_add(start)
    }
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
