//! The reader of frame tables on arbitrary bytes.
//!
//! The reader must neither panic nor run forever. If `validate` accepts the bytes, reading must not
//! return errors, and different ways of reading must agree.

#![no_main]

use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::StackSlotKey;
use cranelift_inliner::frames::{
    CopiedMemory, FrameList, FrameTableReader, FrameTag, StackWalker, TableError, TablePoint,
    VirtualFrame, WalkStart,
};
use libfuzzer_sys::fuzz_target;

/// A table's header, in bytes.
const HEADER: usize = 64;
/// The most points checked closely; a corrupt table can have thousands at one offset.
const POINTS: usize = 64;
/// The most frames of a list that are checked.
const FRAMES: usize = 64;
/// The address of the walked stack.
const STACK: u64 = 0x1000;

fuzz_target!(|data: &[u8]| {
    read_all(data);
    // Few mutations keep the header's sum right, and otherwise the reader stops at the header.
    if let Some(repaired) = with_fitting_header(data) {
        read_all(&repaired);
    }
});

/// Returns `data` under a header with a valid magic, length and descriptor size; `None` if its
/// other counts need more bytes than there are.
fn with_fitting_header(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.get(..data.len().min(1 << 16))?.to_vec();
    let header = bytes.get_mut(..HEADER)?;
    let word = |header: &[u8], at: usize| {
        let word = header.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(word)))
    };
    // `docs/FRAMES.md` has their meaning.
    let [functions, points, point_bytes] =
        [word(header, 16)?, word(header, 20)?, word(header, 24)?];
    let [frames, frame_bytes] = [word(header, 28)?, word(header, 32)?];
    let [slots, keys] = [word(header, 36)?, word(header, 40)?];
    let columns = functions * 16
        + points.div_ceil(32) * 8
        + frames.div_ceil(32) * 4
        + slots * 12
        + keys * 16
        + point_bytes
        + frame_bytes;
    let descriptors = (data.len().min(1 << 16) as u64).checked_sub(HEADER as u64 + columns)?;
    header[..8].copy_from_slice(b"CLIFRAME");
    header[8..12].copy_from_slice(&[1, 0, 0, 0]);
    header[44..48].copy_from_slice(&u32::try_from(descriptors).ok()?.to_le_bytes());
    header[52..].fill(0);
    let total = u32::try_from(HEADER as u64 + columns + descriptors).ok()?;
    header[12..16].copy_from_slice(&total.to_le_bytes());
    Some(bytes)
}

fn read_all(bytes: &[u8]) {
    let reader = match FrameTableReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let valid = Table {
        reader,
        valid: reader.validate().is_ok(),
    };
    valid.read_points();
    valid.read_rows();
    valid.look_up(bytes);
    valid.walk(bytes);
}

struct Table<'a> {
    reader: FrameTableReader<'a>,
    /// Whether `validate` accepts it.
    valid: bool,
}

impl<'a> Table<'a> {
    /// Returns the value of `result`; an error is a finding if the table is valid.
    fn get<T>(&self, result: Result<T, TableError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.to_string();
                assert!(!self.valid, "a valid table: {error}");
                None
            }
        }
    }

    fn read_points(&self) {
        let mut count = 0_u64;
        for point in self.reader.points() {
            count += 1;
            let Some(point) = self.get(point) else { break };
            if count <= POINTS as u64 {
                self.read_point(&point);
            }
        }
        let expected = u64::from(self.reader.point_count());
        // An error counts like the point in its place.
        assert!(count <= expected + 1, "{count} of {expected} points");
        assert!(
            !self.valid || count == expected,
            "{count} of {expected} points"
        );
    }

    fn read_point(&self, point: &TablePoint<'a>) {
        self.read_frames(&point.frames);
        let found = self
            .reader
            .points_at(point.offset, point.position)
            .take(POINTS);
        let mut last = None;
        let mut seen = false;
        let mut all = 0;
        for other in found {
            all += 1;
            let Some(other) = self.get(other) else { break };
            assert_eq!(
                (other.offset, other.position),
                (point.offset, point.position)
            );
            seen |= other.frames.id() == point.frames.id();
            last = Some(other.frames.id());
        }
        let looked_up = self.get(self.reader.lookup(point.offset, point.position));
        if self.valid && all < POINTS {
            assert!(seen, "a point is not found at its offset");
            assert_eq!(looked_up.flatten().map(|frames| frames.id()), last);
        }
        for before in self.reader.points_from(point.offset).take(2) {
            self.get(before);
        }
    }

    fn read_frames(&self, frames: &FrameList<'a>) {
        let Some(depth) = self.get(frames.depth()) else {
            assert!(frames.innermost_first().any(|frame| frame.is_err()));
            assert!(frames.outermost_first().any(|frame| frame.is_err()));
            return;
        };
        assert!(depth <= self.reader.max_depth());
        if depth as usize > FRAMES {
            return;
        }
        // There is a depth, so every frame can be read.
        let tags = |frame: Result<VirtualFrame<'a>, TableError>| match frame {
            Ok(frame) => self.read_tags(&frame),
            Err(error) => panic!("a list with a depth: {error}"),
        };
        let mut inwards: Vec<_> = frames.innermost_first().map(tags).collect();
        let outwards: Vec<_> = frames.outermost_first().map(tags).collect();
        assert_eq!(inwards.len(), depth as usize);
        inwards.reverse();
        assert_eq!(inwards, outwards);
    }

    fn read_tags(&self, frame: &VirtualFrame<'a>) -> Vec<FrameTag<'a>> {
        let mut tags = Vec::new();
        for tag in frame.tags() {
            let Some(tag) = self.get(tag) else { break };
            if let FrameTag::Slot(slot) = tag {
                let memory = CopiedMemory::new(STACK, &[7; 32]);
                let mut value = [0; 8];
                for fp in [0, STACK, STACK + 32, u64::MAX] {
                    for start in [0, 4, u64::MAX] {
                        let _ = slot.read(fp, &memory, start, &mut value);
                    }
                    slot.address(fp);
                }
                if let Some(key) = slot.key {
                    let described = self.get(self.reader.descriptor(key));
                    assert!(!self.valid || described == Some(slot.descriptor));
                }
            }
            tags.push(tag);
        }
        tags
    }

    fn read_rows(&self) {
        for function in self.reader.functions() {
            let Some(function) = self.get(function) else {
                break;
            };
            for offset in [function.start, function.start.wrapping_add(function.length)] {
                self.look_up_at(offset);
            }
            let found = self.get(self.reader.function_at(function.start)).flatten();
            assert!(!self.valid || function.length == 0 || found == Some(function));
        }
        for key in self.reader.keys() {
            let Some((key, descriptor)) = self.get(key) else {
                break;
            };
            let found = self.get(self.reader.descriptor(key)).flatten();
            assert!(!self.valid || found == descriptor);
        }
    }

    /// Looks up offsets and keys from the input's last bytes, and the ends of the range.
    fn look_up(&self, bytes: &[u8]) {
        for word in bytes.rchunks_exact(4).take(8) {
            let offset = word
                .iter()
                .fold(0, |all, &byte| (all << 8) | u32::from(byte));
            self.look_up_at(offset);
            self.get(self.reader.descriptor(StackSlotKey::new(u64::from(offset))));
        }
        for offset in [0, 1, 16, u32::MAX] {
            self.look_up_at(offset);
        }
    }

    fn look_up_at(&self, offset: u32) {
        for offset in [offset.wrapping_sub(1), offset, offset.wrapping_add(1)] {
            self.get(self.reader.function_at(offset));
            for position in [MachDebugTagPos::Pre, MachDebugTagPos::Post] {
                self.get(self.reader.lookup(offset, position));
            }
        }
    }

    /// Walks a stack that is the input itself.
    fn walk(&self, bytes: &[u8]) {
        let memory = CopiedMemory::new(STACK, bytes);
        let offsets = self
            .reader
            .points()
            .take(4)
            .flatten()
            .map(|point| point.offset);
        let offsets = offsets.chain([0, u32::MAX]);
        for (offset, text) in offsets.flat_map(|offset| [(offset, 0), (offset, STACK)]) {
            for position in [MachDebugTagPos::Pre, MachDebugTagPos::Post] {
                let start = WalkStart {
                    pc: u64::from(offset) + text,
                    fp: STACK,
                    position,
                };
                let walker = StackWalker::new(self.reader, text, &memory, start).limit(16);
                assert!(walker.clone().count() <= 17, "the limit is passed over");
                let _ = walker.virtual_frames().take(FRAMES).count();
            }
        }
    }
}
