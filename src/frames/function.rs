//! The virtual frames of one compiled function, before it has a place in the text.

use super::error::BuildError;
use super::format::MAX_DEPTH;
use super::schema::{FrameSchema, split_frames};
use crate::backend::{CompiledFunction, DebugTagPoint};
use crate::program::FunctionName;
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::{DebugTag, StackSlot};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::ops::Range;

/// The parts of a compiled function that the table needs. Frames and slots are numbered within it.
#[derive(Clone, Debug)]
pub(super) struct FunctionFrames {
    pub(super) name: FunctionName,
    pub(super) code_bytes: u32,
    pub(super) points: Vec<LocalPoint>,
    pub(super) frames: Vec<LocalFrame>,
    pub(super) tags: Vec<LocalTag>,
    pub(super) slots: Vec<LocalSlot>,
    pub(super) max_depth: u32,
}

/// A program point with the innermost of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalPoint {
    pub(super) offset: u32,
    /// Before the instruction; else after.
    pub(super) pre: bool,
    pub(super) frame: u32,
}

/// A frame and the frame around it.
#[derive(Clone, Debug)]
pub(super) struct LocalFrame {
    pub(super) parent: Option<u32>,
    /// In [`FunctionFrames::tags`].
    pub(super) tags: Range<usize>,
}

/// A tag, with the number of a place where it named a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LocalTag {
    User(u32),
    Slot(u32),
}

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalSlot {
    pub(super) fp_offset: i32,
    pub(super) size: u32,
    pub(super) key: Option<u64>,
}

impl FunctionFrames {
    pub(super) fn collect(
        schema: &impl FrameSchema,
        compiled: &CompiledFunction,
    ) -> Result<Self, BuildError> {
        let name = FunctionName::from(compiled.name().clone());
        let code_bytes =
            u32::try_from(compiled.code().len()).map_err(|_| BuildError::TooLarge {
                what: "the size of a function",
            })?;
        let mut collector = Collector {
            schema,
            places: places(compiled),
            slot_numbers: FxHashMap::default(),
            frame_numbers: FxHashMap::default(),
            into: FunctionFrames {
                name,
                code_bytes,
                points: Vec::new(),
                frames: Vec::new(),
                tags: Vec::new(),
                slots: Vec::new(),
                max_depth: 0,
            },
        };
        for point in compiled.debug_tags() {
            collector.point(&point)?;
        }
        let mut collected = collector.into;
        // A call's return address belongs to the call before it, so it comes first.
        collected
            .points
            .sort_by_key(|point| (point.offset, point.pre));
        collected.points.dedup();
        Ok(collected)
    }
}

/// A slot's place: its signed distance from the frame pointer is worked out in 64 bits.
struct Place {
    fp_offset: i64,
    size: u32,
    key: Option<u64>,
}

fn places(compiled: &CompiledFunction) -> FxHashMap<StackSlot, Place> {
    let top = i64::from(compiled.frame_to_fp_offset().unwrap_or_default());
    let slots = compiled.frame_slots();
    slots
        .map(|slot| {
            let place = Place {
                fp_offset: i64::from(slot.offset) - top,
                size: slot.size,
                key: slot.key.map(|key| key.bits()),
            };
            (slot.slot, place)
        })
        .collect()
}

struct Collector<'a, S> {
    schema: &'a S,
    places: FxHashMap<StackSlot, Place>,
    slot_numbers: FxHashMap<StackSlot, u32>,
    /// By the frame around and the tags.
    frame_numbers: FxHashMap<(Option<u32>, SmallVec<[LocalTag; 4]>), u32>,
    into: FunctionFrames,
}

impl<S: FrameSchema> Collector<'_, S> {
    fn point(&mut self, point: &DebugTagPoint<'_>) -> Result<(), BuildError> {
        let mut innermost = None;
        let mut depth = 0;
        for frame in split_frames(self.schema, point.tags) {
            let frame = frame.map_err(|violation| BuildError::Schema {
                function: self.into.name.clone(),
                offset: point.offset,
                position: point.position,
                violation,
            })?;
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(BuildError::TooDeep {
                    function: self.into.name.clone(),
                    offset: point.offset,
                    limit: MAX_DEPTH,
                });
            }
            innermost = Some(self.frame(innermost, frame, point.offset)?);
        }
        if let Some(frame) = innermost {
            self.into.max_depth = self.into.max_depth.max(depth);
            self.into.points.push(LocalPoint {
                offset: point.offset,
                pre: point.position == MachDebugTagPos::Pre,
                frame,
            });
        }
        Ok(())
    }

    /// Returns the number of the frame with these tags in `parent`.
    fn frame(
        &mut self,
        parent: Option<u32>,
        tags: &[DebugTag],
        offset: u32,
    ) -> Result<u32, BuildError> {
        let mut local = SmallVec::with_capacity(tags.len());
        for tag in tags {
            local.push(match tag {
                DebugTag::User(value) => LocalTag::User(*value),
                DebugTag::StackSlot(slot) => LocalTag::Slot(self.slot(*slot, offset)?),
            });
        }
        let key = (parent, local);
        if let Some(&known) = self.frame_numbers.get(&key) {
            return Ok(known);
        }
        let number = count(self.into.frames.len(), "the number of frames")?;
        let start = self.into.tags.len();
        self.into.tags.extend_from_slice(&key.1);
        self.into.frames.push(LocalFrame {
            parent,
            tags: start..self.into.tags.len(),
        });
        self.frame_numbers.insert(key, number);
        Ok(number)
    }

    fn slot(&mut self, slot: StackSlot, offset: u32) -> Result<u32, BuildError> {
        if let Some(&known) = self.slot_numbers.get(&slot) {
            return Ok(known);
        }
        let place = self.places.get(&slot);
        let place = place.ok_or_else(|| BuildError::NoSuchSlot {
            function: self.into.name.clone(),
            offset,
            slot,
        })?;
        let number = count(self.into.slots.len(), "the number of slots")?;
        self.into.slots.push(LocalSlot {
            fp_offset: i32::try_from(place.fp_offset).map_err(|_| BuildError::SlotOutOfReach {
                function: self.into.name.clone(),
                slot,
            })?,
            size: place.size,
            key: place.key,
        });
        self.slot_numbers.insert(slot, number);
        Ok(number)
    }
}

pub(super) fn count(number: usize, what: &'static str) -> Result<u32, BuildError> {
    u32::try_from(number).map_err(|_| BuildError::TooLarge { what })
}
