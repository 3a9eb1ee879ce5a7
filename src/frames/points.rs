//! Program points, each stored as a difference from the one before it.

use super::error::{TableError, TablePart};
use super::format::{POINTS_PER_BLOCK, apply, read_varint};
use super::frame::FrameList;
use super::rows::{FrameTableReader, malformed};
use cranelift_codegen::MachDebugTagPos;

/// A program point.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TablePoint<'a> {
    /// Where it is, in bytes from the start of the text.
    pub offset: u32,
    /// Whether the frames are those of the instruction that ends there (`Post`: a call with this
    /// return address) or of the one that begins there (`Pre`).
    pub position: MachDebugTagPos,
    /// The virtual frames; there is at least one.
    pub frames: FrameList<'a>,
}

/// Goes over points one after the other.
pub(super) struct PointCursor<'a> {
    reader: FrameTableReader<'a>,
    /// The index of the next point.
    pub(super) index: u32,
    /// Where it is in the column.
    pub(super) at: usize,
    offset: u32,
    frame: u32,
}

impl<'a> PointCursor<'a> {
    /// Starts at the point `index`, the first of a block.
    pub(super) fn new(reader: FrameTableReader<'a>, index: u32) -> Self {
        PointCursor {
            reader,
            index,
            at: 0,
            offset: 0,
            frame: 0,
        }
    }

    fn read(&mut self) -> Result<TablePoint<'a>, TableError> {
        let index = self.index;
        if index.is_multiple_of(POINTS_PER_BLOCK) {
            (self.offset, self.at) = self.reader.point_block(index / POINTS_PER_BLOCK)?;
            self.frame = 0;
        }
        let stream = self.reader.point_stream();
        let wrong = |reason| malformed(TablePart::Point, index, reason);
        let unreadable = wrong("a number cannot be read");
        let step = read_varint(stream, &mut self.at).ok_or(unreadable)?;
        let frame = read_varint(stream, &mut self.at).ok_or(unreadable)?;
        let offset = u64::from(self.offset).checked_add(step >> 1);
        let offset = offset.and_then(|offset| u32::try_from(offset).ok());
        self.offset = offset.ok_or(wrong("its offset has more than 32 bits"))?;
        let frame = apply(self.frame, frame);
        let frame = frame.filter(|&frame| frame < self.reader.counts.frames);
        self.frame = frame.ok_or(wrong("there is no such frame"))?;
        self.index += 1;
        Ok(TablePoint {
            offset: self.offset,
            position: if step & 1 == 0 {
                MachDebugTagPos::Post
            } else {
                MachDebugTagPos::Pre
            },
            frames: FrameList::new(self.reader, self.frame),
        })
    }

    pub(super) fn next(&mut self) -> Option<Result<TablePoint<'a>, TableError>> {
        if self.index >= self.reader.counts.points {
            return None;
        }
        let point = self.read();
        if point.is_err() {
            self.index = self.reader.counts.points;
        }
        Some(point)
    }
}
