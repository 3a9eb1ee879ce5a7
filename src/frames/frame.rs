//! Virtual frames for readers.

use super::cursor::{FrameRow, TagCursor};
use super::error::{TableError, TablePart};
use super::rows::{FrameTableReader, malformed};
use super::slot::SlotPlace;

/// The virtual frames of one program point.
///
/// In the table each frame names the frame around it, so that lists share their common frames.
#[derive(Clone, Copy, Debug)]
pub struct FrameList<'a> {
    reader: FrameTableReader<'a>,
    innermost: u32,
}

/// One virtual frame of a point.
#[derive(Clone, Copy, Debug)]
pub struct VirtualFrame<'a> {
    reader: FrameTableReader<'a>,
    number: u32,
    row: FrameRow,
}

/// A tag of a virtual frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameTag<'a> {
    /// A number with a meaning to the embedder alone.
    User(u32),
    /// A stack slot.
    Slot(SlotPlace<'a>),
}

/// The number of frames that an outermost-first iteration looks up at once.
const CHUNK: u32 = 16;

impl<'a> FrameList<'a> {
    pub(super) fn new(reader: FrameTableReader<'a>, innermost: u32) -> Self {
        FrameList { reader, innermost }
    }

    /// Returns a number that two lists of one table have in common exactly if they have the same
    /// frames and were made from the same function.
    pub fn id(&self) -> u32 {
        self.innermost
    }

    /// Returns the number of frames. Costs a walk over them.
    ///
    /// # Errors
    ///
    /// A malformed frame.
    pub fn depth(&self) -> Result<u32, TableError> {
        let mut depth = 0;
        for frame in self.innermost_first() {
            frame?;
            depth += 1;
        }
        Ok(depth)
    }

    /// Returns the frames from the one that the program is in to the one around all others. After
    /// an error it ends.
    pub fn innermost_first(
        &self,
    ) -> impl Iterator<Item = Result<VirtualFrame<'a>, TableError>> + use<'a> {
        let reader = self.reader;
        let mut next = Some(self.innermost);
        let mut left = reader.counts.max_depth;
        std::iter::from_fn(move || {
            let number = next.take()?;
            if left == 0 {
                let reason = "it has more frames around it than the header says";
                return Some(Err(malformed(TablePart::Frame, number, reason)));
            }
            left -= 1;
            let frame = VirtualFrame::read(reader, number);
            if let Ok(frame) = &frame {
                next = frame.row.parent.checked_sub(1);
            }
            Some(frame)
        })
    }

    /// Returns the frames from the one around all others to the one that the program is in. After
    /// an error it ends.
    ///
    /// Nothing is allocated for it: the chain is walked once for every 16 frames.
    pub fn outermost_first(
        &self,
    ) -> impl Iterator<Item = Result<VirtualFrame<'a>, TableError>> + use<'a> {
        let list = *self;
        let reader = self.reader;
        // The number of remaining frames, counted from the innermost; known after the first step.
        let mut left = None;
        let mut chunk = [0_u32; CHUNK as usize];
        let mut in_chunk = 0_u32;
        let mut step = move || -> Result<Option<VirtualFrame<'a>>, TableError> {
            // Nothing follows an error.
            let remaining = match left.replace(0) {
                Some(remaining) => remaining,
                None => list.depth()?,
            };
            let Some(depth) = remaining.checked_sub(1) else {
                return Ok(None);
            };
            if in_chunk == 0 {
                in_chunk = remaining.min(CHUNK);
                let skipped = remaining - in_chunk;
                let wanted = list.innermost_first().skip(skipped as usize);
                for (place, frame) in chunk.iter_mut().zip(wanted) {
                    *place = frame?.number;
                }
            }
            in_chunk -= 1;
            let number = chunk.get(in_chunk as usize).copied().unwrap_or_default();
            let frame = VirtualFrame::read(reader, number)?;
            left = Some(depth);
            Ok(Some(frame))
        };
        std::iter::from_fn(move || step().transpose())
    }
}

impl<'a> VirtualFrame<'a> {
    fn read(reader: FrameTableReader<'a>, number: u32) -> Result<Self, TableError> {
        Ok(VirtualFrame {
            reader,
            number,
            row: reader.frame_row(number)?,
        })
    }

    /// Returns the frame's tags in their order, without those that only delimit frames. After an
    /// error it ends.
    pub fn tags(&self) -> impl Iterator<Item = Result<FrameTag<'a>, TableError>> + use<'a> {
        let reader = self.reader;
        let number = self.number;
        let mut cursor = TagCursor::new(reader.frame_stream(), &self.row);
        std::iter::from_fn(move || {
            let tag = match cursor.next()? {
                Some((value, false)) => Ok(FrameTag::User(value)),
                Some((slot, true)) => reader.slot(slot).map(FrameTag::Slot),
                None => Err(malformed(TablePart::Frame, number, "a tag cannot be read")),
            };
            if tag.is_err() {
                cursor.left = 0;
            }
            Some(tag)
        })
    }
}
