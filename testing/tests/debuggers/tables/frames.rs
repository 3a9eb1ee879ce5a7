//! The content of a frame table, read and written as `docs/FRAMES.md` says.

use super::bytes::{Cursor, Writer, apply, step};

const POINTS: usize = 32;
const FRAMES: usize = 16;
const DIFFERENCES: usize = 4;

/// The content of a table, to be changed and written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    magic_and_version: [u8; 12],
    pub(super) functions: Vec<Function>,
    pub(super) points: Vec<Point>,
    pub(super) frames: Vec<Frame>,
    pub(super) slots: Vec<Slot>,
    pub(super) keys: Vec<Key>,
    descriptors: Vec<u8>,
    depth: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) start: u32,
    pub(super) length: u32,
    pub(super) identity: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) offset: u32,
    pub(super) is_pre: bool,
    pub(super) frame: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// One more than the number of the frame around it; 0 for none.
    pub(super) parent: u32,
    /// Each with whether it is a slot.
    pub(super) tags: Vec<(u32, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) fp_offset: i32,
    pub(super) size: u32,
    pub(super) key: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) key: u64,
    pub(super) start: u32,
    pub(super) length: u32,
}

impl Frames {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut cursor = Cursor::new(bytes);
        let magic_and_version = cursor.take(12).try_into().unwrap();
        cursor.u32();
        let numbers = [(); 9].map(|()| cursor.u32() as usize);
        let [
            functions,
            points,
            point_bytes,
            frames,
            frame_bytes,
            slots,
            keys,
            described,
            depth,
        ] = numbers;
        cursor.take(12);
        let functions = (0..functions).map(|_| Function {
            start: cursor.u32(),
            length: cursor.u32(),
            identity: cursor.u64(),
        });
        let functions = functions.collect();
        let point_blocks: Vec<u32> = (0..points.div_ceil(POINTS))
            .map(|_| {
                let offset = cursor.u32();
                cursor.u32();
                offset
            })
            .collect();
        cursor.take(4 * frames.div_ceil(FRAMES));
        let slots = (0..slots).map(|_| Slot {
            fp_offset: cursor.u32().cast_signed(),
            size: cursor.u32(),
            key: cursor.u32(),
        });
        let slots = slots.collect();
        let keys = (0..keys).map(|_| Key {
            key: cursor.u64(),
            start: cursor.u32(),
            length: cursor.u32(),
        });
        let keys = keys.collect();
        Frames {
            magic_and_version,
            functions,
            points: read_points(cursor.take(point_bytes), points, &point_blocks),
            frames: read_frames(cursor.take(frame_bytes), frames),
            slots,
            keys,
            descriptors: cursor.take(described).to_vec(),
            depth: depth as u32,
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let (mut point_index, mut points) = (Writer::default(), Writer::default());
        let (mut offset, mut frame) = (0, 0);
        for (number, point) in self.points.iter().enumerate() {
            if number.is_multiple_of(POINTS) {
                point_index.u32(point.offset);
                point_index.u32(points.len());
                (offset, frame) = (point.offset, 0);
            }
            let step = u64::from(point.offset - offset);
            points.varint(step << 1 | u64::from(point.is_pre));
            points.from(frame, point.frame);
            (offset, frame) = (point.offset, point.frame);
        }
        let (mut frame_index, mut frames) = (Writer::default(), Writer::default());
        let (mut parent, mut last) = (0, [0; DIFFERENCES]);
        for (number, frame) in self.frames.iter().enumerate() {
            if number.is_multiple_of(FRAMES) {
                frame_index.u32(frames.len());
                (parent, last) = (number as u32, [0; DIFFERENCES]);
            }
            frames.from(parent, frame.parent);
            parent = frame.parent;
            frames.varint(frame.tags.len() as u64);
            for (at, &(value, is_slot)) in frame.tags.iter().enumerate() {
                let base = last.get(at).copied().unwrap_or(0);
                frames.varint(step(base, value) << 1 | u64::from(is_slot));
                if let Some(base) = last.get_mut(at) {
                    *base = value;
                }
            }
        }
        let mut rows = [(); 3].map(|()| Writer::default());
        let [functions, slots, keys] = &mut rows;
        for function in &self.functions {
            functions.u32(function.start);
            functions.u32(function.length);
            functions.0.extend(function.identity.to_le_bytes());
        }
        for slot in &self.slots {
            slots.u32(slot.fp_offset.cast_unsigned());
            slots.u32(slot.size);
            slots.u32(slot.key);
        }
        for key in &self.keys {
            keys.0.extend(key.key.to_le_bytes());
            keys.u32(key.start);
            keys.u32(key.length);
        }
        let counts = [
            self.functions.len() as u32,
            self.points.len() as u32,
            points.len(),
            self.frames.len() as u32,
            frames.len(),
            self.slots.len() as u32,
            self.keys.len() as u32,
            self.descriptors.len() as u32,
            self.depth,
        ];
        let [functions, slots, keys] = rows;
        let parts = [
            functions,
            point_index,
            frame_index,
            slots,
            keys,
            points,
            frames,
        ];
        let length: u32 = parts.iter().map(Writer::len).sum();
        let mut all = Writer(self.magic_and_version.to_vec());
        all.u32(64 + length + self.descriptors.len() as u32);
        for count in counts {
            all.u32(count);
        }
        all.0.resize(64, 0);
        for part in parts {
            all.0.extend(part.0);
        }
        all.0.extend(&self.descriptors);
        all.0
    }
}

fn read_points(bytes: &[u8], count: usize, offsets: &[u32]) -> Vec<Point> {
    let mut cursor = Cursor::new(bytes);
    let (mut offset, mut frame) = (0, 0);
    let points = (0..count).map(|number| {
        if number.is_multiple_of(POINTS) {
            (offset, frame) = (offsets[number / POINTS], 0);
        }
        let start = cursor.varint();
        offset += (start >> 1) as u32;
        frame = cursor.from(frame);
        Point {
            offset,
            is_pre: start & 1 == 1,
            frame,
        }
    });
    points.collect()
}

fn read_frames(bytes: &[u8], count: usize) -> Vec<Frame> {
    let mut cursor = Cursor::new(bytes);
    let (mut parent, mut last) = (0, [0; DIFFERENCES]);
    let frames = (0..count).map(|number| {
        if number.is_multiple_of(FRAMES) {
            (parent, last) = (number as u32, [0; DIFFERENCES]);
        }
        parent = cursor.from(parent);
        let length = cursor.varint() as usize;
        let tags = (0..length).map(|at| {
            let start = cursor.varint();
            let value = apply(last.get(at).copied().unwrap_or(0), start >> 1);
            if let Some(base) = last.get_mut(at) {
                *base = value;
            }
            (value, start & 1 == 1)
        });
        Frame {
            parent,
            tags: tags.collect(),
        }
    });
    frames.collect()
}
