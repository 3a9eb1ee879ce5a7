//! The frame table: its rows are read as they were added, in any order of building, and corrupt
//! bytes do no harm.

use crate::frames_model as model;
use crate::frames_model::{Model, compile_random, read_everything};
use cranelift_codegen::MachDebugTagPos;
use cranelift_codegen::ir::StackSlotKey;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, TargetSettings, compile_function, target,
};
use cranelift_inliner::decide::Always;
use cranelift_inliner::frames::{
    BuildError, CountedFrames, FixedFrames, FrameSchema, FrameTable, FrameTableBuilder,
    FrameTableReader, FrameTag, SlotPlace, TableError, WasmtimeFrames,
};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::{FunctionName, Program};
use cranelift_inliner::splice::SpliceOptions;
use proptest::prelude::*;
use std::thread;

fn compile(text: &str) -> Vec<CompiledFunction> {
    let isa = target("host", &TargetSettings::new()).unwrap();
    let mut scratch = CompileScratch::new();
    let functions = cranelift_reader::parse_functions(text).unwrap();
    let compiled = functions.iter();
    compiled
        .map(|function| compile_function(&*isa, function, &mut scratch).unwrap())
        .collect()
}

/// Returns the functions one after the other, 64 bytes apart at least.
fn link<S: FrameSchema>(
    builder: &FrameTableBuilder<S>,
    functions: &[CompiledFunction],
) -> FrameTable {
    let offsets = model::offsets(functions);
    let table = builder.link(|identity| offsets.get(identity as usize).copied());
    let table = table.unwrap();
    table.reader().validate().unwrap();
    table
}

fn slots(reader: FrameTableReader<'_>) -> Vec<Vec<SlotPlace<'_>>> {
    let calls = reader.points().map(Result::unwrap);
    let calls = calls.filter(|point| point.position == MachDebugTagPos::Post);
    calls
        .map(|point| {
            let frames = point.frames.outermost_first().map(Result::unwrap);
            let tags = frames.flat_map(|frame| frame.tags());
            tags.filter_map(|tag| match tag.unwrap() {
                FrameTag::Slot(slot) => Some(slot),
                FrameTag::User(_) => None,
            })
            .collect()
        })
        .collect()
}

const TAGGED: &str = "
function %f(i64) -> i64 fast {
    ss0 = explicit_slot 8, key = 70
    ss1 = explicit_slot 16
    fn0 = colocated %g(i64) -> i64 fast
block0(v0: i64):
    <TAGS> v1 = call fn0(v0)
    return v1
}";

#[test]
fn each_schema_reads_its_own_form() {
    let shape = |schema: &dyn FrameSchema, tags: &str| -> Result<Vec<String>, BuildError> {
        let functions = compile(&TAGGED.replace("TAGS", tags));
        let mut builder = FrameTableBuilder::new(schema);
        builder.add(0, &functions[0])?;
        let table = link(&builder, &functions);
        let calls = table.reader();
        let mut points = calls
            .points()
            .map(Result::unwrap)
            .filter(|point| point.position == MachDebugTagPos::Post);
        let point = points.next().unwrap();
        assert!(points.next().is_none());
        let frames = point.frames.outermost_first().map(|frame| {
            let tags = frame.unwrap().tags().map(|tag| match tag.unwrap() {
                FrameTag::User(value) => value.to_string(),
                FrameTag::Slot(slot) => format!("{:?}", slot.key.map(|key| key.bits())),
            });
            tags.collect::<Vec<_>>().join(" ")
        });
        Ok(frames.collect())
    };
    let frames = shape(&WasmtimeFrames, "ss0, 5, 4294967295, ss1, 6, 7").unwrap();
    assert_eq!(frames, ["Some(70) 5 4294967295", "None 6 7"]);
    let frames = shape(&FixedFrames::new(1), "ss0, 5").unwrap();
    assert_eq!(frames, ["Some(70)", "5"]);
    let frames = shape(&CountedFrames, "0, 2, 1, ss0, 1, 4").unwrap();
    assert_eq!(frames, ["", "1 Some(70)", "4"]);

    let wrong: [(&dyn FrameSchema, &str); 3] = [
        (&WasmtimeFrames, "ss0, 5, 6, 7"),
        (&FixedFrames::new(2), "ss0, 5, 6"),
        (&CountedFrames, "2, 5"),
    ];
    for (schema, tags) in wrong {
        match shape(schema, tags).unwrap_err() {
            BuildError::Schema {
                function,
                offset,
                position,
                ..
            } => {
                assert_eq!(function.to_string(), "%f");
                let functions = compile(&TAGGED.replace("TAGS", tags));
                let mut points = functions[0].debug_tags();
                assert!(
                    points.any(|point| (point.offset, point.position) == (offset, position)),
                    "{offset:#x} {position:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

const TWO_COPIES: &str = "
function %inner(i64) system_v {
    ss0 = explicit_slot 8, key = 100
    fn0 = %probe(i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    <ss0, 11> call fn0(v0)
    return
}
function %outer(i64) system_v {
    ss0 = explicit_slot 24, key = 200
    fn0 = %inner(i64) system_v
block0(v0: i64):
    v100 = stack_addr.i64 ss0
    store v0, v100
    <ss0, 22> call fn0(v0)
    v200 = iconst.i64 1
    v2 = iadd v0, v200
    <ss0, 23> call fn0(v2)
    return
}";

#[test]
fn copies_have_their_own_places_and_share_the_meaning_of_their_key() {
    let mut program = Program::from_clif(TWO_COPIES, "copies").unwrap();
    program.export_only(&["outer".parse().unwrap()]).unwrap();
    let isa = target("host", &TargetSettings::new()).unwrap();
    for share_slots in [false, true] {
        let mut options = SpliceOptions::default();
        options.share_slots = share_slots;
        let (_, compiled) = Inliner::new(Always)
            .splice_options(options)
            .run_and_compile(&program, &*isa)
            .unwrap();
        assert_eq!(compiled.iter().len(), 1, "%inner is dropped");
        let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
        for (_, function) in program.iter() {
            let described = builder.describe_slots(function.body(), |slot, data| {
                Some(format!("{} {slot} {}", function.name(), data.size).into_bytes())
            });
            described.unwrap();
        }
        for (id, function) in compiled.iter() {
            builder.add(u64::from(id.as_u32()), function).unwrap();
        }
        let table = builder.link(|_| Some(0)).unwrap();
        let reader = table.reader();
        reader.validate().unwrap();
        let slots = slots(reader);
        let [first, second] = &slots[..] else {
            panic!("{slots:?}")
        };
        for call in [first, second] {
            assert_eq!(call.len(), 2);
            assert_eq!(call[0].descriptor, Some(&b"%outer ss0 24"[..]));
            assert_eq!(call[1].descriptor, Some(&b"%inner ss0 8"[..]));
            assert_eq!(call[1].key, Some(StackSlotKey::new(100)));
            assert!(call.iter().all(|slot| slot.fp_offset < 0));
        }
        assert_eq!(first[0], second[0], "both are in one frame of %outer");
        assert_eq!(first[1].fp_offset == second[1].fp_offset, share_slots);
        assert_eq!(
            first[1].descriptor.map(<[u8]>::as_ptr),
            second[1].descriptor.map(<[u8]>::as_ptr),
            "stored once"
        );
        let known = reader.descriptor(StackSlotKey::new(100)).unwrap();
        assert_eq!(known, Some(&b"%inner ss0 8"[..]));
        assert_eq!(reader.descriptor(StackSlotKey::new(101)).unwrap(), None);
    }
}

#[test]
fn copies_of_one_function_share_the_frames_around_them() {
    let mut body = String::new();
    for place in 0..50 {
        body += &format!("    <1, 2, 3, {place}> call fn0(v0)\n");
    }
    let text = format!(
        "function %f(i64) fast {{\n    fn0 = colocated %g(i64) fast\nblock0(v0: i64):\n{body}    \
         return\n}}"
    );
    let functions = compile(&text);
    let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
    builder.add(0, &functions[0]).unwrap();
    let table = link(&builder, &functions);
    assert_eq!(table.reader().frame_count(), 1 + 50);
    assert_eq!(table.reader().point_count(), 50);
    assert_eq!(table.reader().max_depth(), 2);
}

#[test]
fn bytes_depend_neither_on_the_order_nor_on_the_thread() {
    let (functions, _) = compile_random(7, 12);
    let describe = |builder: &mut FrameTableBuilder<CountedFrames>, key: u64| {
        let bytes = vec![key as u8; (key % 5) as usize];
        builder.describe(StackSlotKey::new(key), bytes).unwrap();
    };
    let mut forward = FrameTableBuilder::new(CountedFrames);
    let mut backward = FrameTableBuilder::new(CountedFrames);
    for (index, function) in functions.iter().enumerate() {
        forward.add(index as u64, function).unwrap();
        describe(&mut forward, index as u64);
    }
    for (index, function) in functions.iter().enumerate().rev() {
        describe(&mut backward, index as u64);
        backward.add(index as u64, function).unwrap();
    }
    let expected = link(&forward, &functions);
    assert_eq!(link(&backward, &functions).bytes(), expected.bytes());

    let mut merged = FrameTableBuilder::new(CountedFrames);
    let parts: Vec<_> = thread::scope(|scope| {
        let spawn = |part: usize| {
            let functions = &functions;
            scope.spawn(move || {
                let mut builder = FrameTableBuilder::new(CountedFrames);
                for index in (part..functions.len()).step_by(3) {
                    builder.add(index as u64, &functions[index]).unwrap();
                    describe(&mut builder, index as u64);
                }
                builder
            })
        };
        let threads: Vec<_> = (0..3).map(spawn).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for part in parts.into_iter().rev() {
        merged.merge(part).unwrap();
    }
    assert_eq!(merged.len(), functions.len());
    assert_eq!(link(&merged, &functions).bytes(), expected.bytes());
}

#[test]
fn a_function_that_cannot_be_added_leaves_the_builder_as_it_was() {
    let functions = compile(TWO_COPIES);
    let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
    builder.add(1, &functions[0]).unwrap();
    builder.describe(StackSlotKey::new(5), *b"five").unwrap();
    builder.describe(StackSlotKey::new(5), *b"five").unwrap();
    let before = builder.link(|_| Some(0)).unwrap();

    let duplicate = builder.add(1, &functions[1]);
    let expected = BuildError::DuplicateIdentity {
        identity: 1,
        first: FunctionName::testcase("inner"),
        second: FunctionName::testcase("outer"),
    };
    assert_eq!(duplicate, Err(expected.clone()));
    let conflict = Err(BuildError::DescriptorConflict { key: 5 });
    assert_eq!(builder.describe(StackSlotKey::new(5), *b"six"), conflict);

    let mut other = FrameTableBuilder::new(FixedFrames::new(2));
    other.add(1, &functions[1]).unwrap();
    assert_eq!(builder.merge(other), Err(expected));
    let mut other = FrameTableBuilder::new(FixedFrames::new(2));
    other.add(2, &functions[1]).unwrap();
    other.describe(StackSlotKey::new(4), *b"four").unwrap();
    other.describe(StackSlotKey::new(5), *b"six").unwrap();
    assert_eq!(builder.merge(other), conflict);
    assert_eq!(builder.link(|_| Some(0)).unwrap().bytes(), before.bytes());

    builder.add(2, &functions[1]).unwrap();
    let overlap = builder.link(Some);
    assert!(
        matches!(&overlap, Err(BuildError::Overlap { first, second, offset: 2 })
            if *first == FunctionName::testcase("inner")
                && *second == FunctionName::testcase("outer")),
        "{overlap:?}"
    );
    let far = builder.link(|identity| Some(identity << 32));
    assert!(matches!(far, Err(BuildError::TooLarge { .. })), "{far:?}");
    let huge = builder.link(|_| Some(u64::MAX));
    assert!(matches!(huge, Err(BuildError::TooLarge { .. })), "{huge:?}");
    let left_out = builder
        .link(|identity| (identity == 1).then_some(0))
        .unwrap();
    assert_eq!(left_out.bytes(), before.bytes());
}

#[test]
fn several_sequence_points_at_one_place_are_all_kept() {
    let functions = compile(
        "function %f(i64) -> i64 fast {
         block0(v0: i64):
             <1> sequence_point
             <2> sequence_point
             <2> sequence_point
             <3> sequence_point
             return v0
         }",
    );
    let mut builder = FrameTableBuilder::new(FixedFrames::new(1));
    builder.add(0, &functions[0]).unwrap();
    let table = link(&builder, &functions);
    let points: Vec<_> = functions[0].debug_tags().collect();
    let offset = points[0].offset;
    assert!(
        points.iter().all(|point| point.offset == offset),
        "{points:?}"
    );
    let offset = model::offsets(&functions)[0] as u32 + offset;
    let tags = |frames: cranelift_inliner::frames::FrameList<'_>| -> Vec<String> {
        let frames = frames.innermost_first();
        let tags = frames.flat_map(|frame| frame.unwrap().tags());
        tags.map(|tag| format!("{:?}", tag.unwrap())).collect()
    };
    let reader = table.reader();
    let all: Vec<_> = reader
        .points_at(offset, MachDebugTagPos::Pre)
        .flat_map(|point| tags(point.unwrap().frames))
        .collect();
    assert_eq!(all, ["User(1)", "User(2)", "User(3)"]);
    let last = reader
        .lookup(offset, MachDebugTagPos::Pre)
        .unwrap()
        .unwrap();
    assert_eq!(tags(last), ["User(3)"]);
    assert!(
        reader
            .lookup(offset, MachDebugTagPos::Post)
            .unwrap()
            .is_none()
    );
}

#[test]
fn deep_stacks_come_in_both_orders() {
    let tags: Vec<String> = (0..100)
        .map(|frame| format!("{frame}, {}", frame * 3))
        .collect();
    let functions = compile(&TAGGED.replace("TAGS", &tags.join(", ")));
    let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
    builder.add(0, &functions[0]).unwrap();
    let table = link(&builder, &functions);
    let point = table.reader().points().next().unwrap().unwrap();
    let first = |frame: Result<cranelift_inliner::frames::VirtualFrame<'_>, TableError>| match frame
        .unwrap()
        .tags()
        .next()
        .unwrap()
        .unwrap()
    {
        FrameTag::User(value) => value,
        FrameTag::Slot(_) => panic!("no slots here"),
    };
    assert_eq!(point.frames.depth().unwrap(), 100);
    let outermost: Vec<u32> = point.frames.outermost_first().map(first).collect();
    assert_eq!(outermost, (0..100).collect::<Vec<_>>());
    let innermost: Vec<u32> = point.frames.innermost_first().map(first).collect();
    assert_eq!(innermost, (0..100).rev().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn tables_read_back_as_they_were_written(seed: u64, count in 0_usize..6) {
        let (functions, descriptors) = compile_random(seed, count);
        let mut builder = FrameTableBuilder::new(CountedFrames);
        for (index, function) in functions.iter().enumerate() {
            builder.add(index as u64, function).unwrap();
        }
        for (key, bytes) in &descriptors {
            builder.describe(StackSlotKey::new(*key), bytes.clone()).unwrap();
        }
        let table = link(&builder, &functions);
        let model = Model::new(&functions, &descriptors);
        prop_assert_eq!(model::read_model(&table.reader()), Ok(model.points.clone()));
        let end = model.end + 3;
        for offset in 0..end {
            for position in [MachDebugTagPos::Post, MachDebugTagPos::Pre] {
                let found = table.reader().points_at(offset, position);
                let found: Result<Vec<_>, _> = found.map(|point| model::read_point(&point?)).collect();
                prop_assert_eq!(found, Ok(model.at(offset, position)), "{} {:?}", offset, position);
            }
            let function = table.reader().function_at(offset).unwrap();
            prop_assert_eq!(
                function.map(|function| (function.identity, function.start, function.length)),
                model.function_at(offset)
            );
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(mut bytes: Vec<u8>, counts: [u8; 9], body: Vec<u8>) {
        let _ = FrameTableReader::new(&bytes).map(|reader| read_everything(&reader));
        // With a header that holds, the columns are reached.
        let (table, _) = small_table();
        bytes = table.bytes()[..16].to_vec();
        bytes.extend(counts.iter().flat_map(|&count| u32::from(count % 40).to_le_bytes()));
        bytes.resize(64, 0);
        let total = model::total_length(&bytes);
        bytes[12..16].copy_from_slice(&(total as u32).to_le_bytes());
        let filling = body.iter().copied().chain(std::iter::once(1)).cycle();
        bytes.extend(filling.take(total - 64));
        let reader = FrameTableReader::new(&bytes).unwrap();
        let read = read_everything(&reader);
        prop_assert!(reader.validate().is_err() || read.is_ok());
    }
}

fn small_table() -> (FrameTable, Vec<CompiledFunction>) {
    let (functions, descriptors) = compile_random(3, 2);
    let mut builder = FrameTableBuilder::new(CountedFrames);
    for (index, function) in functions.iter().enumerate() {
        builder.add(index as u64, function).unwrap();
    }
    for (key, bytes) in descriptors {
        builder.describe(StackSlotKey::new(key), bytes).unwrap();
    }
    (link(&builder, &functions), functions)
}

#[test]
fn every_corrupt_byte_is_an_error_or_harmless() {
    let (table, _) = small_table();
    let bytes = table.bytes();
    assert!(bytes.len() > 400, "{}", bytes.len());
    read_everything(&table.reader()).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for change in [0x01_u8, 0x40, 0x80, 0xff] {
            let mut corrupt = bytes.to_vec();
            corrupt[at] ^= change;
            let Ok(reader) = FrameTableReader::new(&corrupt) else {
                refused += 1;
                continue;
            };
            let read = read_everything(&reader);
            match reader.validate() {
                Ok(()) => read.unwrap(),
                Err(_) => refused += 1,
            }
        }
    }
    // The remaining numbers may have any value: tags, sizes, offsets, descriptors.
    assert!(refused > bytes.len(), "{refused} of {}", bytes.len() * 4);
}

#[test]
fn every_truncation_is_an_error() {
    let (table, _) = small_table();
    for length in 0..table.bytes().len() {
        let error = FrameTableReader::new(&table.bytes()[..length]).unwrap_err();
        assert!(
            matches!(error, TableError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    let mut padded = table.bytes().to_vec();
    padded.extend([0xaa; 5]);
    let reader = FrameTableReader::new(&padded).unwrap();
    assert_eq!(reader.table_bytes(), table.bytes().len());
    reader.validate().unwrap();
}

#[test]
fn bytes_that_are_not_a_table_are_told_apart() {
    let (table, _) = small_table();
    let error = |at: usize, byte: u8| {
        let mut bytes = table.bytes().to_vec();
        bytes[at] = byte;
        FrameTableReader::new(&bytes).unwrap_err()
    };
    assert_eq!(error(0, b'X'), TableError::BadMagic);
    let version = TableError::UnsupportedVersion {
        version: 9,
        known: 1,
    };
    assert_eq!(error(8, 9), version);
    assert!(matches!(error(10, 1), TableError::Header { .. }));
    assert!(matches!(error(60, 1), TableError::Header { .. }));
    assert!(matches!(error(51, 1), TableError::Header { .. }));
}

#[test]
fn an_empty_table_has_nothing() {
    let table = FrameTableBuilder::new(CountedFrames)
        .link(|_| None)
        .unwrap();
    let reader = table.reader();
    reader.validate().unwrap();
    assert_eq!(table.bytes().len(), 64);
    assert_eq!(reader.points().count(), 0);
    assert_eq!(reader.function_at(0), Ok(None));
    assert!(reader.lookup(0, MachDebugTagPos::Pre).unwrap().is_none());
}
