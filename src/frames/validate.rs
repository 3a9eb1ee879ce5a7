//! Checks a whole table at once.

use super::cursor::{FrameCursor, TagCursor};
use super::error::{TableError, TablePart};
use super::format::{FRAMES_PER_BLOCK, POINTS_PER_BLOCK};
use super::points::PointCursor;
use super::rows::{FrameTableReader, malformed};
use cranelift_codegen::MachDebugTagPos;

impl FrameTableReader<'_> {
    /// Checks the whole table, in linear time. A table that passes is read without errors.
    ///
    /// In addition to the checks of reading, columns must be in order without gaps, points must be
    /// in their functions, and the depth in the header must be the greatest depth of a frame. One
    /// number for each frame is allocated.
    ///
    /// # Errors
    ///
    /// The first defect.
    pub fn validate(&self) -> Result<(), TableError> {
        self.validate_functions()?;
        self.validate_keys()?;
        for index in 0..self.counts.slots {
            self.slot(index)?;
        }
        let depths = self.validate_frames()?;
        self.validate_points(&depths)
    }

    fn validate_functions(&self) -> Result<(), TableError> {
        let mut end = 0;
        for index in 0..self.counts.functions {
            let function = self.function(index)?;
            let wrong = |reason| Err(malformed(TablePart::Function, index, reason));
            if u64::from(function.start) < end {
                return wrong("it begins before the end of the function before it");
            }
            end = function.end();
            if end > u64::from(u32::MAX) {
                return wrong("it ends beyond 32 bits");
            }
        }
        Ok(())
    }

    fn validate_keys(&self) -> Result<(), TableError> {
        let mut last = None;
        for index in 0..self.counts.keys {
            let (key, _) = self.key(index)?;
            if last.is_some_and(|last| key <= last) {
                return Err(malformed(TablePart::Key, index, "it is out of order"));
            }
            last = Some(key);
        }
        Ok(())
    }

    /// Returns the depth of each frame.
    fn validate_frames(&self) -> Result<Vec<u32>, TableError> {
        let stream = self.frame_stream();
        let count = self.counts.frames;
        let wrong = |index, reason| Err(malformed(TablePart::Frame, index, reason));
        // A frame has at least two bytes, so a larger count is wrong and not worth the memory.
        if usize::try_from(count).is_ok_and(|count| count > stream.len() / 2) {
            return wrong(count, "there are fewer bytes than frames need");
        }
        let mut depths: Vec<u32> = Vec::with_capacity(count as usize);
        let mut cursor = FrameCursor::new(self, 0, 0);
        while cursor.index < count {
            let index = cursor.index;
            if index.is_multiple_of(FRAMES_PER_BLOCK)
                && self.frame_block(index / FRAMES_PER_BLOCK)? != cursor.at
            {
                return wrong(index, "its block begins elsewhere");
            }
            let row = cursor.next()?;
            let mut tags = TagCursor::new(stream, &row);
            while let Some(tag) = tags.next() {
                if let Some((slot, true)) = tag {
                    self.slot(slot)?;
                }
            }
            let around = row.parent.checked_sub(1);
            let around = around.and_then(|parent| depths.get(parent as usize));
            let depth = around.copied().unwrap_or(0) + 1;
            if depth > self.counts.max_depth {
                return wrong(index, "it has more frames around it than the header says");
            }
            depths.push(depth);
        }
        if cursor.at != stream.len() {
            return wrong(count, "there are bytes behind the last frame");
        }
        Ok(depths)
    }

    fn validate_points(&self, depths: &[u32]) -> Result<(), TableError> {
        let mut cursor = PointCursor::new(*self, 0);
        let mut last = None;
        let mut deepest = 0;
        loop {
            let index = cursor.index;
            let wrong = |reason| Err(malformed(TablePart::Point, index, reason));
            let at = cursor.at;
            let Some(point) = cursor.next() else { break };
            let point = point?;
            if index.is_multiple_of(POINTS_PER_BLOCK) {
                let (first, stream) = self.point_block(index / POINTS_PER_BLOCK)?;
                if stream != at || first != point.offset {
                    return wrong("its block begins elsewhere");
                }
            }
            let pre = point.position == MachDebugTagPos::Pre;
            if last.is_some_and(|last| (point.offset, pre) < last) {
                return wrong("it is out of order");
            }
            last = Some((point.offset, pre));
            // A point at a function's end still belongs to it.
            let mut inside = self.function_at(point.offset)?.is_some();
            if let Some(before) = point.offset.checked_sub(1) {
                inside |= self.function_at(before)?.is_some();
            }
            if !inside {
                return wrong("it is in no function");
            }
            let depth = depths.get(point.frames.id() as usize);
            deepest = deepest.max(depth.copied().unwrap_or(0));
        }
        if cursor.at != self.point_stream().len() {
            let reason = "there are bytes behind the last point";
            return Err(malformed(TablePart::Point, self.counts.points, reason));
        }
        if deepest != self.counts.max_depth {
            let reason = "the depth is not that of any point";
            return Err(TableError::Header { reason });
        }
        Ok(())
    }
}
