//! Tables written by hand from `docs/FRAMES.md` rather than by the builder: they are read as they
//! were meant, and each thing that can be wrong with one has its own error.

use cranelift_codegen::MachDebugTagPos::{self, Post, Pre};
use cranelift_codegen::ir::StackSlotKey;
use cranelift_inliner::frames::{FrameTableReader, FrameTag, TableError, TablePart};

/// The columns of a table before they are one after the other.
#[derive(Clone, Default)]
struct Columns {
    /// Start, length, identity.
    functions: Vec<(u32, u32, u64)>,
    point_count: u32,
    /// The offset of a block's first point, and where the block begins.
    point_index: Vec<(u32, u32)>,
    points: Vec<u8>,
    frame_count: u32,
    frame_index: Vec<u32>,
    frames: Vec<u8>,
    /// Offset from the frame pointer, size, one more than the key's number.
    slots: Vec<(i32, u32, u32)>,
    /// Key, where its descriptor begins, its length.
    keys: Vec<(u64, u32, u32)>,
    descriptors: Vec<u8>,
    max_depth: u32,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push((value % 128) as u8 + 128);
        value /= 128;
    }
    out.push(value as u8);
}

/// Encodes differences 0, -1, 1, -2 … as 0, 1, 2, 3 …
fn signed(value: u32, base: u32) -> u64 {
    let difference = i64::from(value) - i64::from(base);
    if difference < 0 {
        (-2 * difference - 1) as u64
    } else {
        (2 * difference) as u64
    }
}

impl Columns {
    /// Encodes `points` (offset, whether before the instruction, frame) and `frames` (one more than
    /// the number of the frame around it, tags with whether they are slots).
    fn new(points: &[(u32, bool, u32)], frames: &[(u32, &[(u32, bool)])]) -> Self {
        let mut columns = Columns::default();
        let (mut last_offset, mut last_frame) = (0, 0);
        for (index, &(offset, pre, frame)) in points.iter().enumerate() {
            if index % 32 == 0 {
                let at = columns.points.len() as u32;
                columns.point_index.push((offset, at));
                (last_offset, last_frame) = (offset, 0);
            }
            let step = u64::from(offset - last_offset);
            varint(&mut columns.points, step * 2 + u64::from(pre));
            varint(&mut columns.points, signed(frame, last_frame));
            (last_offset, last_frame) = (offset, frame);
        }
        columns.point_count = points.len() as u32;
        let (mut last_parent, mut bases) = (0, [0; 4]);
        for (index, &(parent, tags)) in frames.iter().enumerate() {
            if index % 16 == 0 {
                columns.frame_index.push(columns.frames.len() as u32);
                (last_parent, bases) = (index as u32, [0; 4]);
            }
            varint(&mut columns.frames, signed(parent, last_parent));
            last_parent = parent;
            varint(&mut columns.frames, tags.len() as u64);
            for (place, &(tag, is_slot)) in tags.iter().enumerate() {
                let base = bases.get(place).copied().unwrap_or(0);
                varint(
                    &mut columns.frames,
                    signed(tag, base) * 2 + u64::from(is_slot),
                );
                if place < 4 {
                    bases[place] = tag;
                }
            }
        }
        columns.frame_count = frames.len() as u32;
        columns
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for &(start, length, identity) in &self.functions {
            body.extend(start.to_le_bytes());
            body.extend(length.to_le_bytes());
            body.extend(identity.to_le_bytes());
        }
        for &(offset, at) in &self.point_index {
            body.extend(offset.to_le_bytes());
            body.extend(at.to_le_bytes());
        }
        for &at in &self.frame_index {
            body.extend(at.to_le_bytes());
        }
        for &(offset, size, key) in &self.slots {
            body.extend(offset.to_le_bytes());
            body.extend(size.to_le_bytes());
            body.extend(key.to_le_bytes());
        }
        for &(key, start, length) in &self.keys {
            body.extend(key.to_le_bytes());
            body.extend(start.to_le_bytes());
            body.extend(length.to_le_bytes());
        }
        body.extend(&self.points);
        body.extend(&self.frames);
        body.extend(&self.descriptors);

        let mut bytes = b"CLIFRAME\x01\0\0\0".to_vec();
        for word in [
            64 + body.len() as u32,
            self.functions.len() as u32,
            self.point_count,
            self.points.len() as u32,
            self.frame_count,
            self.frames.len() as u32,
            self.slots.len() as u32,
            self.keys.len() as u32,
            self.descriptors.len() as u32,
            self.max_depth,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(64, 0);
        bytes.extend(body);
        bytes
    }

    fn validate(&self) -> Result<(), TableError> {
        let bytes = self.bytes();
        FrameTableReader::new(&bytes)?.validate()
    }

    /// Returns the result of validation after `change`.
    fn after(&self, change: impl FnOnce(&mut Columns)) -> Result<(), TableError> {
        let mut changed = self.clone();
        change(&mut changed);
        changed.validate()
    }
}

fn wrong(part: TablePart, index: u32, reason: &'static str) -> Result<(), TableError> {
    Err(TableError::Malformed {
        part,
        index,
        reason,
    })
}

/// Returns two functions of 40 and 20 bytes; 40 points, 20 frames, so that either has two blocks.
/// Frame 1 is around frame 2, which is around frame 18; the others are alone.
fn good() -> Columns {
    let tags: Vec<Vec<(u32, bool)>> = (0..20)
        .map(|frame| {
            (0..frame % 7)
                .map(|tag| (frame * 10 + tag, false))
                .collect()
        })
        .collect();
    let mut frames: Vec<(u32, &[(u32, bool)])> =
        tags.iter().map(|tags| (0, tags.as_slice())).collect();
    frames[2].0 = 2;
    frames[18].0 = 3;
    frames[5].1 = &[(0, true), (7, false), (1, true)];
    let points: Vec<(u32, bool, u32)> = (0..40)
        .map(|point| match point {
            0..35 => (16 + point, point % 3 == 0, point % 20),
            _ => (30 + point, true, 18),
        })
        .collect();
    let mut columns = Columns::new(&points, &frames);
    columns.functions = vec![(16, 40, 7), (60, 20, 9)];
    columns.slots = vec![(-8, 8, 0), (-32, 16, 2)];
    columns.keys = vec![(3, 0, u32::MAX), (1 << 40, 1, 2), (u64::MAX, 3, 0)];
    columns.descriptors = vec![1, 2, 3];
    columns.max_depth = 3;
    columns
}

#[test]
fn a_table_written_by_the_documentation_is_read() {
    let columns = good();
    assert_eq!(columns.validate(), Ok(()));
    let bytes = columns.bytes();
    let reader = FrameTableReader::new(&bytes).unwrap();
    assert_eq!(reader.table_bytes(), bytes.len());
    assert_eq!(reader.point_count(), 40);
    assert_eq!(reader.frame_count(), 20);
    assert_eq!(reader.max_depth(), 3);
    let functions: Vec<_> = reader
        .functions()
        .map(|function| function.map(|row| (row.start, row.length, row.identity)))
        .collect();
    assert_eq!(functions, [Ok((16, 40, 7)), Ok((60, 20, 9))]);
    let keys: Vec<_> = reader.keys().map(Result::unwrap).collect();
    assert_eq!(
        keys,
        [
            (StackSlotKey::new(3), None),
            (StackSlotKey::new(1 << 40), Some(&[2, 3][..])),
            (StackSlotKey::new(u64::MAX), Some(&[][..])),
        ]
    );
    for (key, descriptor) in [
        (0, None),
        (3, None),
        (4, None),
        (1 << 40, Some(&[2, 3][..])),
        ((1 << 40) + 1, None),
        (u64::MAX - 1, None),
        (u64::MAX, Some(&[][..])),
    ] {
        assert_eq!(reader.descriptor(StackSlotKey::new(key)), Ok(descriptor));
    }

    let points: Vec<_> = reader
        .points()
        .map(|point| {
            let point = point.unwrap();
            (point.offset, point.position, point.frames.id())
        })
        .collect();
    assert_eq!(points.len(), 40);
    let position = |pre: bool| if pre { Pre } else { Post };
    for (index, &found) in (0_u32..).zip(&points) {
        let expected = match index {
            0..35 => (16 + index, position(index % 3 == 0), index % 20),
            _ => (30 + index, Pre, 18),
        };
        assert_eq!(found, expected);
        let from: Vec<u32> = reader
            .points_from(expected.0)
            .map(|point| point.unwrap().offset)
            .collect();
        let rest: Vec<u32> = points[index as usize..]
            .iter()
            .map(|point| point.0)
            .collect();
        assert_eq!(from, rest);
        let frames = reader.lookup(expected.0, expected.1).unwrap().unwrap();
        assert_eq!(frames.id(), expected.2);
        assert!(
            reader
                .lookup(expected.0, other(expected.1))
                .unwrap()
                .is_none()
        );
    }
    assert_eq!(reader.points_from(70).count(), 0);
    for (offset, identity) in [
        (0, None),
        (15, None),
        (16, Some(7)),
        (55, Some(7)),
        (56, None),
        (59, None),
        (60, Some(9)),
        (79, Some(9)),
        (80, None),
        (u32::MAX, None),
    ] {
        let found = reader.function_at(offset).unwrap();
        assert_eq!(
            found.map(|function| function.identity),
            identity,
            "{offset}"
        );
    }
}

fn other(position: MachDebugTagPos) -> MachDebugTagPos {
    match position {
        Pre => Post,
        Post => Pre,
    }
}

#[test]
fn frames_have_their_tags_and_the_frames_around_them() {
    let bytes = good().bytes();
    let reader = FrameTableReader::new(&bytes).unwrap();
    let list = |offset| {
        let point = reader.points_from(offset).next().unwrap().unwrap();
        point.frames
    };
    let tags_of = |frame: u32| -> Vec<u32> { (0..frame % 7).map(|tag| frame * 10 + tag).collect() };
    for (offset, chain) in [
        (16, &[0][..]),
        (18, &[2, 1]),
        (34, &[18, 2, 1]),
        (69, &[18, 2, 1]),
    ] {
        let frames = list(offset);
        assert_eq!(frames.depth(), Ok(chain.len() as u32));
        let inward: Vec<Vec<u32>> = frames
            .outermost_first()
            .map(|frame| {
                frame
                    .unwrap()
                    .tags()
                    .map(|tag| number(tag.unwrap()))
                    .collect()
            })
            .collect();
        let outward: Vec<Vec<u32>> = frames
            .innermost_first()
            .map(|frame| {
                frame
                    .unwrap()
                    .tags()
                    .map(|tag| number(tag.unwrap()))
                    .collect()
            })
            .collect();
        let expected: Vec<Vec<u32>> = chain.iter().map(|&frame| tags_of(frame)).collect();
        assert_eq!(outward, expected);
        assert!(inward.iter().eq(expected.iter().rev()));
    }

    let frames = list(16 + 5);
    let frame = frames.innermost_first().next().unwrap().unwrap();
    let tags: Vec<_> = frame.tags().map(Result::unwrap).collect();
    let [
        FrameTag::Slot(first),
        FrameTag::User(7),
        FrameTag::Slot(second),
    ] = tags[..]
    else {
        panic!("{tags:?}");
    };
    assert_eq!((first.fp_offset, first.size, first.key), (-8, 8, None));
    assert_eq!(first.descriptor, None);
    assert_eq!((second.fp_offset, second.size), (-32, 16));
    assert_eq!(second.key, Some(StackSlotKey::new(1 << 40)));
    assert_eq!(second.descriptor, Some(&[2, 3][..]));
    assert_eq!(second.address(100), Some(68));
    assert_eq!(second.address(31), None);
}

#[test]
fn a_list_is_no_deeper_than_the_header_says() {
    let mut columns = good();
    columns.max_depth = 2;
    let bytes = columns.bytes();
    let reader = FrameTableReader::new(&bytes).unwrap();
    // Frames 18, 2 and 1.
    let point = reader.points_from(34).next().unwrap().unwrap();
    let deeper = || TableError::Malformed {
        part: TablePart::Frame,
        index: 1,
        reason: "it has more frames around it than the header says",
    };
    let outward = point.frames.innermost_first().map(Result::err);
    assert!(outward.eq([None, None, Some(deeper())]));
    let inward = point.frames.outermost_first().map(Result::err);
    assert!(inward.eq([Some(deeper())]));
    assert_eq!(point.frames.depth(), Err(deeper()));
}

fn number(tag: FrameTag<'_>) -> u32 {
    match tag {
        FrameTag::User(value) => value,
        FrameTag::Slot(_) => panic!("a slot"),
    }
}

#[test]
fn functions_come_one_behind_the_other() {
    let good = good();
    let functions = |rows: &[(u32, u32, u64)]| good.after(|table| table.functions = rows.to_vec());
    assert_eq!(functions(&[(16, 40, 7), (56, 20, 9)]), Ok(()));
    assert_eq!(functions(&[(0, 56, 7), (56, 24, 9)]), Ok(()));
    let overlap = "it begins before the end of the function before it";
    assert_eq!(
        functions(&[(16, 40, 7), (55, 20, 9)]),
        wrong(TablePart::Function, 1, overlap)
    );
    assert_eq!(
        functions(&[(60, 20, 9), (16, 40, 7)]),
        wrong(TablePart::Function, 1, overlap)
    );
    let rest = u32::MAX - 60;
    assert_eq!(functions(&[(16, 40, 7), (60, rest, 9)]), Ok(()));
    assert_eq!(
        functions(&[(16, 40, 7), (60, rest + 1, 9)]),
        wrong(TablePart::Function, 1, "it ends beyond 32 bits")
    );
}

#[test]
fn keys_come_in_order_and_have_their_descriptors() {
    let good = good();
    let unordered = "it is out of order";
    assert_eq!(
        good.after(|table| table.keys[1].0 = 3),
        wrong(TablePart::Key, 1, unordered)
    );
    assert_eq!(
        good.after(|table| table.keys[2].0 = 4),
        wrong(TablePart::Key, 2, unordered)
    );
    let beyond = "its descriptor is beyond the end";
    assert_eq!(
        good.after(|table| table.keys[1].2 = 3),
        wrong(TablePart::Key, 1, beyond)
    );
    assert_eq!(
        good.after(|table| table.keys[2].1 = 4),
        wrong(TablePart::Key, 2, beyond)
    );
    assert_eq!(
        good.after(|table| table.slots[1].2 = 4),
        wrong(TablePart::Slot, 1, "there is no such key")
    );
    assert_eq!(good.after(|table| table.slots[1].2 = 3), Ok(()));
}

#[test]
fn frames_are_in_order_without_gaps() {
    let good = good();
    assert_eq!(
        good.after(|table| table.frame_index[1] += 1),
        wrong(TablePart::Frame, 16, "its block begins elsewhere")
    );
    assert_eq!(
        good.after(|table| table.frame_index[0] = 1),
        wrong(TablePart::Frame, 0, "its block begins elsewhere")
    );
    assert_eq!(
        good.after(|table| table.frames.push(0)),
        wrong(
            TablePart::Frame,
            20,
            "there are bytes behind the last frame"
        )
    );
    assert_eq!(
        good.after(|table| {
            table.frames.pop();
        }),
        wrong(TablePart::Frame, 19, "a tag cannot be read")
    );
    assert_eq!(
        good.after(|table| table.max_depth = 2),
        wrong(
            TablePart::Frame,
            18,
            "it has more frames around it than the header says"
        )
    );
    assert_eq!(
        good.after(|table| table.max_depth = 4),
        Err(TableError::Header {
            reason: "the depth is not that of any point"
        })
    );
    assert_eq!(
        good.after(|table| {
            table.slots.pop();
        }),
        wrong(TablePart::Slot, 1, "there is no such slot")
    );

    let one = |parent| {
        let mut table = Columns::new(&[], &[(0, &[]), (parent, &[])]);
        table.max_depth = 2;
        table.validate()
    };
    let unused = Err(TableError::Header {
        reason: "the depth is not that of any point",
    });
    assert_eq!(one(1), unused);
    assert_eq!(
        one(2),
        wrong(TablePart::Frame, 1, "its parent does not precede it")
    );
    // A frame without tags and without frames around it takes two bytes.
    let mut sparse = Columns::new(&[], &[(0, &[]), (0, &[])]);
    sparse.frame_count = 3;
    assert_eq!(
        sparse.validate(),
        wrong(
            TablePart::Frame,
            3,
            "there are fewer bytes than frames need"
        )
    );
}

#[test]
fn points_are_in_order_without_gaps_and_in_functions() {
    let good = good();
    let elsewhere = "its block begins elsewhere";
    assert_eq!(
        good.after(|table| table.point_index[1].1 += 2),
        wrong(TablePart::Point, 32, elsewhere)
    );
    // Bytes between two blocks, which the index passes over.
    let gap = good.after(|table| {
        let at = table.point_index[1].1;
        table.points.splice(at as usize..at as usize, [0, 0]);
        table.point_index[1].1 += 2;
    });
    assert_eq!(gap, wrong(TablePart::Point, 32, elsewhere));
    // A block whose first point is not where the index says.
    let late = good.after(|table| {
        table.point_index[0].0 -= 1;
        table.points[0] += 2;
    });
    assert_eq!(late, wrong(TablePart::Point, 0, elsewhere));
    assert_eq!(
        good.after(|table| table.points.extend([0, 0])),
        wrong(
            TablePart::Point,
            40,
            "there are bytes behind the last point"
        )
    );
    assert_eq!(
        good.after(|table| {
            table.points.pop();
        }),
        wrong(TablePart::Point, 39, "a number cannot be read")
    );

    let points = |points: &[(u32, bool, u32)]| {
        let mut table = Columns::new(points, &[(0, &[]), (1, &[])]);
        table.functions = vec![(0, 8, 1), (16, 4, 2)];
        table.max_depth = 2;
        table.validate()
    };
    assert_eq!(points(&[(0, false, 1), (0, true, 0), (0, true, 1)]), Ok(()));
    assert_eq!(
        points(&[(8, true, 1), (16, false, 0), (20, true, 0)]),
        Ok(())
    );
    assert_eq!(
        points(&[(4, true, 1), (4, false, 0)]),
        wrong(TablePart::Point, 1, "it is out of order")
    );
    let outside = "it is in no function";
    assert_eq!(points(&[(9, true, 1)]), wrong(TablePart::Point, 0, outside));
    assert_eq!(
        points(&[(15, true, 1)]),
        wrong(TablePart::Point, 0, outside)
    );
    assert_eq!(
        points(&[(16, true, 1), (21, true, 1)]),
        wrong(TablePart::Point, 1, outside)
    );
    assert_eq!(
        points(&[(0, true, 2)]),
        wrong(TablePart::Point, 0, "there is no such frame")
    );

    let mut last = Columns::new(&[(0, true, 0), (u32::MAX, true, 0)], &[(0, &[])]);
    last.functions = vec![(0, u32::MAX, 1)];
    last.max_depth = 1;
    assert_eq!(last.validate(), Ok(()));
    // The highest byte of the second point's step.
    last.points[6] += 0x20;
    assert_eq!(
        last.validate(),
        wrong(TablePart::Point, 1, "its offset has more than 32 bits")
    );
}

#[test]
fn headers_have_their_limits() {
    let empty = |depth| {
        let table = Columns {
            max_depth: depth,
            ..Columns::default()
        };
        FrameTableReader::new(&table.bytes()).map(|reader| reader.max_depth())
    };
    assert_eq!(empty(1 << 16), Ok(1 << 16));
    let reason = "the depth is beyond the limit";
    assert_eq!(empty((1 << 16) + 1), Err(TableError::Header { reason }));

    let bytes = good().bytes();
    let with_byte = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        FrameTableReader::new(&bytes).map(drop)
    };
    for reserved in (10..12).chain(52..64) {
        let reason = "a reserved byte is not 0";
        assert_eq!(with_byte(reserved, 1), Err(TableError::Header { reason }));
    }
    // Every count adds to the length.
    for count in (16..48).step_by(4) {
        let reason = "the length is not that of the columns";
        assert_eq!(
            with_byte(count, bytes[count] + 40),
            Err(TableError::Header { reason }),
            "{count}"
        );
    }
    assert_eq!(
        FrameTableReader::new(&bytes[..63]).map(drop),
        Err(TableError::Truncated {
            needed: 64,
            length: 63
        })
    );
    let length = bytes.len() as u64;
    assert_eq!(
        FrameTableReader::new(&bytes[..bytes.len() - 1]).map(drop),
        Err(TableError::Truncated {
            needed: length,
            length: length - 1
        })
    );
}

#[test]
fn numbers_have_one_form() {
    let frame = |stream: &[u8]| {
        let mut table = Columns::new(&[], &[(0, &[])]);
        table.frames = stream.to_vec();
        table.validate()
    };
    // The answer for a good frame that no point has.
    let depth = Err(TableError::Header {
        reason: "the depth is not that of any point",
    });
    let around = wrong(
        TablePart::Frame,
        0,
        "it has more frames around it than the header says",
    );
    assert_eq!(frame(&[0, 0]), around);
    let unreadable = wrong(TablePart::Frame, 0, "a number cannot be read");
    assert_eq!(frame(&[0x80, 0, 0]), unreadable);
    assert_eq!(frame(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0]), unreadable);
    assert_eq!(frame(&[0, 0x80]), unreadable);
    let tag = wrong(TablePart::Frame, 0, "a tag cannot be read");
    assert_eq!(frame(&[0, 1, 0x80, 0]), tag);
    // The greatest number that a tag can be, and one more.
    let with_depth = |stream: &[u8]| {
        let mut table = Columns::new(&[], &[(0, &[])]);
        table.max_depth = 1;
        table.frames = stream.to_vec();
        table.validate()
    };
    assert_eq!(with_depth(&[0, 1, 0xfc, 0xff, 0xff, 0xff, 0x3f]), depth);
    assert_eq!(with_depth(&[0, 1, 0x80, 0x80, 0x80, 0x80, 0x40]), tag);
}
