//! A plain model of a table, and functions to fill one with.

use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::{DebugTag, StackSlotKey};
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, TargetSettings, compile_function, target,
};
use cranelift_inliner::frames::{
    CountedFrames, FrameTableReader, FrameTag, TableError, TablePoint, split_frames,
};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A tag: a number, or a slot's offset, size, key and descriptor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ModelTag {
    User(u32),
    Slot(i32, u32, Option<u64>, Option<Vec<u8>>),
}

/// An offset, whether it is `Pre`, and the frames, outermost first.
pub(crate) type ModelPoint = (u32, bool, Vec<Vec<ModelTag>>);

/// The expected contents of a table, in lists.
pub(crate) struct Model {
    pub(crate) points: Vec<ModelPoint>,
    functions: Vec<(u64, u32, u32)>,
    pub(crate) end: u32,
}

/// Returns the offset of each function: one after the other with gaps.
pub(crate) fn offsets(functions: &[CompiledFunction]) -> Vec<u64> {
    let mut next = 16;
    let offsets = functions.iter().map(|function| {
        let start = next;
        next += function.code().len() as u64 + 5;
        start
    });
    offsets.collect()
}

impl Model {
    pub(crate) fn new(
        functions: &[CompiledFunction],
        descriptors: &BTreeMap<u64, Vec<u8>>,
    ) -> Self {
        let mut points: Vec<ModelPoint> = Vec::new();
        let mut rows = Vec::new();
        let mut end = 0;
        for (identity, (function, start)) in functions.iter().zip(offsets(functions)).enumerate() {
            let start = start as u32;
            rows.push((identity as u64, start, function.code().len() as u32));
            end = start + function.code().len() as u32;
            let slots: Vec<_> = function.frame_slots().collect();
            let top = function.frame_to_fp_offset().unwrap() as i32;
            let mut own = Vec::new();
            for point in function.debug_tags() {
                let frames = split_frames(&CountedFrames, point.tags).map(|frame| {
                    let tags = frame.unwrap().iter().map(|tag| match tag {
                        DebugTag::User(value) => ModelTag::User(*value),
                        DebugTag::StackSlot(slot) => {
                            let slot = slots[slot.as_u32() as usize];
                            let key = slot.key.map(|key| key.bits());
                            let descriptor = key.and_then(|key| descriptors.get(&key).cloned());
                            ModelTag::Slot(slot.offset as i32 - top, slot.size, key, descriptor)
                        }
                    });
                    tags.collect()
                });
                let pre = point.position == MachDebugTagPos::Pre;
                own.push((start + point.offset, pre, frames.collect()));
            }
            own.sort_by_key(|(offset, pre, _)| (*offset, *pre));
            own.dedup();
            points.extend(own);
        }
        Model {
            points,
            functions: rows,
            end,
        }
    }

    pub(crate) fn at(&self, offset: u32, position: MachDebugTagPos) -> Vec<ModelPoint> {
        let wanted = (offset, position == MachDebugTagPos::Pre);
        let points = self.points.iter();
        points
            .filter(|point| (point.0, point.1) == wanted)
            .cloned()
            .collect()
    }

    pub(crate) fn function_at(&self, offset: u32) -> Option<(u64, u32, u32)> {
        let mut functions = self.functions.iter();
        functions
            .find(|(_, start, length)| (*start..start + length).contains(&offset))
            .copied()
    }
}

pub(crate) fn read_point(point: &TablePoint<'_>) -> Result<ModelPoint, TableError> {
    let mut frames = Vec::new();
    for frame in point.frames.outermost_first() {
        let mut tags = Vec::new();
        for tag in frame?.tags() {
            tags.push(match tag? {
                FrameTag::User(value) => ModelTag::User(value),
                FrameTag::Slot(slot) => ModelTag::Slot(
                    slot.fp_offset,
                    slot.size,
                    slot.key.map(|key| key.bits()),
                    slot.descriptor.map(<[u8]>::to_vec),
                ),
            });
        }
        frames.push(tags);
    }
    let pre = point.position == MachDebugTagPos::Pre;
    Ok((point.offset, pre, frames))
}

pub(crate) fn read_model(reader: &FrameTableReader<'_>) -> Result<Vec<ModelPoint>, TableError> {
    reader.points().map(|point| read_point(&point?)).collect()
}

/// Uses everything that a reader has; the first error, but only after all was tried.
pub(crate) fn read_everything(reader: &FrameTableReader<'_>) -> Result<(), TableError> {
    let mut result = read_model(reader).map(drop);
    let mut note = |outcome: Result<(), TableError>| result = result.and(outcome);
    for point in reader.points() {
        note(point.and_then(|point| point.frames.depth()).map(drop));
    }
    let mut last = 0;
    for function in reader.functions() {
        last = function.map_or(last, |function| function.start);
        note(function.map(drop));
    }
    for key in reader.keys() {
        note(key.map(drop));
    }
    for key in [0, 3, u64::MAX] {
        note(reader.descriptor(StackSlotKey::new(key)).map(drop));
    }
    for offset in [0, 1, last, last.wrapping_add(20), last / 2, u32::MAX] {
        note(reader.function_at(offset).map(drop));
        for position in [MachDebugTagPos::Pre, MachDebugTagPos::Post] {
            note(reader.lookup(offset, position).map(drop));
        }
    }
    result
}

/// Returns the length that a header's counts add up to, by the documentation.
pub(crate) fn total_length(header: &[u8]) -> usize {
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap()) as usize;
    let (points, frames) = (word(20), word(28));
    64 + word(16) * 16
        + points.div_ceil(32) * 8
        + frames.div_ceil(16) * 4
        + word(36) * 12
        + word(40) * 16
        + word(24)
        + word(32)
        + word(44)
}

/// Returns `count` functions with random slots and tags, in the form of counted frames, and random
/// descriptors.
pub(crate) fn compile_random(
    seed: u64,
    count: usize,
) -> (Vec<CompiledFunction>, BTreeMap<u64, Vec<u8>>) {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let isa = target("host", &TargetSettings::new()).unwrap();
    let mut scratch = CompileScratch::new();
    let mut functions = Vec::new();
    for number in 0..count {
        let mut text = format!("function %f{number}(i64) fast {{\n");
        let slots = random(4);
        for slot in 0..slots {
            let size = 8 * (1 + random(4));
            write!(text, "    ss{slot} = explicit_slot {size}").unwrap();
            if random(3) > 0 {
                write!(text, ", key = {}", random(6)).unwrap();
            }
            text.push('\n');
        }
        text += "    fn0 = colocated %g(i64) fast\nblock0(v0: i64):\n";
        for _ in 0..random(60) {
            let mut tags: Vec<String> = Vec::new();
            for _ in 0..random(4) {
                let length = random(7);
                tags.push(length.to_string());
                for _ in 0..length {
                    tags.push(match random(4) {
                        0 if slots > 0 => format!("ss{}", random(slots)),
                        1 => random(1 << 32).to_string(),
                        2 => u32::MAX.to_string(),
                        _ => random(5).to_string(),
                    });
                }
            }
            if !tags.is_empty() {
                write!(text, "    <{}>", tags.join(", ")).unwrap();
            }
            let call = random(3) == 0;
            text += if call {
                " call fn0(v0)\n"
            } else {
                " sequence_point\n"
            };
        }
        text += "    return\n}";
        let function = cranelift_reader::parse_functions(&text).unwrap().remove(0);
        functions.push(compile_function(&*isa, &function, &mut scratch).unwrap());
    }
    let descriptors = (0..random(7)).map(|_| {
        let key = random(8);
        (key, vec![key as u8; (key % 3) as usize])
    });
    (functions, descriptors.collect())
}
