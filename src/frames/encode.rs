//! Encodes placed functions as the bytes that `docs/FRAMES.md` describes.

use super::error::BuildError;
use super::format::{
    Counts, DELTA_TAGS, FRAMES_PER_BLOCK, NO_DESCRIPTOR, POINTS_PER_BLOCK, Starts, difference,
    write_varint,
};
use super::function::{FunctionFrames, LocalTag, count};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// A function at its place in the text.
pub(super) struct Placed<'a> {
    pub(super) identity: u64,
    pub(super) start: u32,
    pub(super) frames: &'a FunctionFrames,
}

impl Placed<'_> {
    pub(super) fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.frames.code_bytes)
    }
}

/// A table with the content of its header.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) counts: Counts,
    pub(super) starts: Starts,
}

pub(super) fn encode(
    placed: &[Placed<'_>],
    descriptors: &BTreeMap<u64, Box<[u8]>>,
) -> Result<Encoded, BuildError> {
    let keys = Keys::new(placed, descriptors)?;
    let mut points = Points::default();
    let mut frames = Frames::default();
    let mut functions = Vec::new();
    let mut slots = Vec::new();
    let mut slot_count = 0_u32;
    let mut max_depth = 0;
    for function in placed {
        functions.extend(function.start.to_le_bytes());
        functions.extend(function.frames.code_bytes.to_le_bytes());
        functions.extend(function.identity.to_le_bytes());
        let first_slot = slot_count;
        for slot in &function.frames.slots {
            slots.extend(slot.fp_offset.to_le_bytes());
            slots.extend(slot.size.to_le_bytes());
            slots.extend(keys.reference(slot.key).to_le_bytes());
            slot_count = next(slot_count, "the number of slots")?;
        }
        let first_frame = frames.count;
        for frame in &function.frames.frames {
            let parent = match frame.parent {
                // Both are within the function's frames, which follow `first_frame`.
                Some(parent) => first_frame.saturating_add(parent).saturating_add(1),
                None => 0,
            };
            let tags = function.frames.tags.get(frame.tags.clone());
            let tags = tags.unwrap_or_default().iter().map(|tag| match tag {
                LocalTag::User(value) => (*value, false),
                LocalTag::Slot(slot) => (first_slot.saturating_add(*slot), true),
            });
            frames.push(parent, tags)?;
        }
        for point in &function.frames.points {
            // The point is in the code, whose end fits into 32 bits.
            let offset = function.start.saturating_add(point.offset);
            points.push(offset, point.pre, first_frame.saturating_add(point.frame))?;
        }
        max_depth = max_depth.max(function.frames.max_depth);
    }

    let counts = Counts {
        functions: count(placed.len(), "the number of functions")?,
        points: points.count,
        point_bytes: count(points.stream.len(), "the points")?,
        frames: frames.count,
        frame_bytes: count(frames.stream.len(), "the frames")?,
        slots: slot_count,
        keys: count(keys.numbers.len(), "the number of keys")?,
        descriptor_bytes: count(keys.descriptors.len(), "the descriptors")?,
        max_depth,
    };
    let too_large = BuildError::TooLarge {
        what: "the table itself",
    };
    let starts = counts.starts();
    let starts = starts.ok_or_else(|| too_large.clone())?;
    let total = u32::try_from(starts.end).map_err(|_| too_large)?;
    let mut bytes = counts.write_header(total);
    for column in [
        functions,
        points.index,
        frames.index,
        slots,
        keys.rows,
        points.stream,
        frames.stream,
        keys.descriptors,
    ] {
        bytes.extend(column);
    }
    Ok(Encoded {
        bytes,
        counts,
        starts,
    })
}

fn next(number: u32, what: &'static str) -> Result<u32, BuildError> {
    number.checked_add(1).ok_or(BuildError::TooLarge { what })
}

/// The keys in use or described, in order, and the descriptors, each of them once.
struct Keys {
    numbers: FxHashMap<u64, u32>,
    rows: Vec<u8>,
    descriptors: Vec<u8>,
}

impl Keys {
    fn new(
        placed: &[Placed<'_>],
        descriptors: &BTreeMap<u64, Box<[u8]>>,
    ) -> Result<Self, BuildError> {
        let functions = placed.iter();
        let slots = functions.flat_map(|function| &function.frames.slots);
        let mut all: BTreeSet<u64> = slots.filter_map(|slot| slot.key).collect();
        all.extend(descriptors.keys());
        let mut keys = Keys {
            numbers: FxHashMap::default(),
            rows: Vec::new(),
            descriptors: Vec::new(),
        };
        let mut written: FxHashMap<&[u8], u32> = FxHashMap::default();
        for (number, key) in all.into_iter().enumerate() {
            keys.numbers
                .insert(key, count(number, "the number of keys")?);
            keys.rows.extend(key.to_le_bytes());
            let (start, length) = match descriptors.get(&key) {
                None => (0, NO_DESCRIPTOR),
                Some(bytes) => {
                    let what = "the descriptors";
                    let length = count(bytes.len(), what)?;
                    if length == NO_DESCRIPTOR {
                        return Err(BuildError::TooLarge { what });
                    }
                    let start = match written.get(&**bytes) {
                        Some(&start) => start,
                        None => {
                            let start = count(keys.descriptors.len(), what)?;
                            keys.descriptors.extend_from_slice(bytes);
                            written.insert(bytes, start);
                            start
                        }
                    };
                    (start, length)
                }
            };
            keys.rows.extend(start.to_le_bytes());
            keys.rows.extend(length.to_le_bytes());
        }
        Ok(keys)
    }

    /// Returns 0 without a key, otherwise one more than the key's number.
    fn reference(&self, key: Option<u64>) -> u32 {
        let number = key.and_then(|key| self.numbers.get(&key));
        number.map_or(0, |number| number.saturating_add(1))
    }
}

#[derive(Default)]
struct Points {
    index: Vec<u8>,
    stream: Vec<u8>,
    count: u32,
    last_offset: u32,
    last_frame: u32,
}

impl Points {
    fn push(&mut self, offset: u32, pre: bool, frame: u32) -> Result<(), BuildError> {
        if self.count.is_multiple_of(POINTS_PER_BLOCK) {
            self.index.extend(offset.to_le_bytes());
            let at = count(self.stream.len(), "the points")?;
            self.index.extend(at.to_le_bytes());
            self.last_offset = offset;
            self.last_frame = 0;
        }
        let step = u64::from(offset.saturating_sub(self.last_offset));
        write_varint(&mut self.stream, step << 1 | u64::from(pre));
        write_varint(&mut self.stream, difference(frame, self.last_frame));
        self.last_offset = offset;
        self.last_frame = frame;
        self.count = next(self.count, "the number of points")?;
        Ok(())
    }
}

#[derive(Default)]
struct Frames {
    index: Vec<u8>,
    stream: Vec<u8>,
    count: u32,
    last_parent: u32,
    last_tags: [u32; DELTA_TAGS],
}

impl Frames {
    /// Adds a frame. `parent` is 0 for none, otherwise one more than its number.
    fn push(
        &mut self,
        parent: u32,
        tags: impl ExactSizeIterator<Item = (u32, bool)>,
    ) -> Result<(), BuildError> {
        if self.count.is_multiple_of(FRAMES_PER_BLOCK) {
            let at = count(self.stream.len(), "the frames")?;
            self.index.extend(at.to_le_bytes());
            self.last_parent = self.count;
            self.last_tags = [0; DELTA_TAGS];
        }
        write_varint(&mut self.stream, difference(parent, self.last_parent));
        self.last_parent = parent;
        let length = count(tags.len(), "the tags of a frame")?;
        write_varint(&mut self.stream, u64::from(length));
        for (index, (value, is_slot)) in tags.enumerate() {
            let base = self.last_tags.get_mut(index);
            let step = difference(value, base.as_deref().copied().unwrap_or(0));
            if let Some(base) = base {
                *base = value;
            }
            write_varint(&mut self.stream, step << 1 | u64::from(is_slot));
        }
        self.count = next(self.count, "the number of frames")?;
        Ok(())
    }
}
