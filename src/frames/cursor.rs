//! Iteration over the frames of a table, which are stored as differences from earlier ones.

use super::error::{TableError, TablePart};
use super::format::{DELTA_TAGS, FRAMES_PER_BLOCK, apply, read_varint};
use super::rows::{FrameTableReader, malformed};

/// A frame as it lies in the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRow {
    /// 0 for none, else one more than its number.
    pub(super) parent: u32,
    pub(super) tag_count: u64,
    /// Where its tags begin in the column.
    pub(super) tags_at: usize,
    /// The tags that they are stored as differences from.
    pub(super) bases: [u32; DELTA_TAGS],
}

/// Goes over frames one after the other.
pub(super) struct FrameCursor<'a> {
    stream: &'a [u8],
    /// The index of the next frame.
    pub(super) index: u32,
    /// Where it is in the column.
    pub(super) at: usize,
    parent: u32,
    bases: [u32; DELTA_TAGS],
}

impl<'a> FrameCursor<'a> {
    /// Starts at the frame `index`, the first of the block that begins at `at`.
    pub(super) fn new(reader: &FrameTableReader<'a>, index: u32, at: usize) -> Self {
        FrameCursor {
            stream: reader.frame_stream(),
            index,
            at,
            parent: index,
            bases: [0; DELTA_TAGS],
        }
    }

    pub(super) fn next(&mut self) -> Result<FrameRow, TableError> {
        let index = self.index;
        if index.is_multiple_of(FRAMES_PER_BLOCK) {
            self.parent = index;
            self.bases = [0; DELTA_TAGS];
        }
        let wrong = |reason| malformed(TablePart::Frame, index, reason);
        let unreadable = wrong("a number cannot be read");
        let parent = read_varint(self.stream, &mut self.at).ok_or(unreadable)?;
        let parent = apply(self.parent, parent);
        // Parents come before their children, so that no chain has an end that it does not reach.
        let parent = parent.filter(|&parent| parent <= index);
        self.parent = parent.ok_or(wrong("its parent does not precede it"))?;
        let tag_count = read_varint(self.stream, &mut self.at).ok_or(unreadable)?;
        let row = FrameRow {
            parent: self.parent,
            tag_count,
            tags_at: self.at,
            bases: self.bases,
        };
        let mut tags = TagCursor::new(self.stream, &row);
        while let Some(tag) = tags.next() {
            let (value, _) = tag.ok_or(wrong("a tag cannot be read"))?;
            if let Some(base) = self.bases.get_mut(tags.index - 1) {
                *base = value;
            }
        }
        self.at = tags.at;
        self.index = index.saturating_add(1);
        Ok(row)
    }
}

impl FrameTableReader<'_> {
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
}

/// Goes over the tags of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagCursor<'a> {
    stream: &'a [u8],
    at: usize,
    index: usize,
    pub(super) left: u64,
    bases: [u32; DELTA_TAGS],
}

impl<'a> TagCursor<'a> {
    pub(super) fn new(stream: &'a [u8], row: &FrameRow) -> Self {
        TagCursor {
            stream,
            at: row.tags_at,
            index: 0,
            left: row.tag_count,
            bases: row.bases,
        }
    }

    /// Returns the next tag's number and whether it is that of a slot; `Some(None)` for one that
    /// cannot be read.
    pub(super) fn next(&mut self) -> Option<Option<(u32, bool)>> {
        self.left = self.left.checked_sub(1)?;
        let tag = read_varint(self.stream, &mut self.at);
        let base = self.bases.get(self.index).copied().unwrap_or(0);
        self.index += 1;
        Some(tag.and_then(|tag| Some((apply(base, tag >> 1)?, tag & 1 == 1))))
    }
}
