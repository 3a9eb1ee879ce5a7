//! Faults in debug information are found by the comparison of backtraces.
//!
//! A linked program has two builds, one without inlining. Each fault is put into the sections of the
//! other, in every place of its kind, as a mistake of the writer would be.

use super::builds::{Build, REFERENCE};
use super::programs::{Lines, Subject};
use super::session::{Host, Stop, has};
use super::trees::difference;
use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::pass::Optimize;
use cranelift_inliner::program::{Attributes, FunctionName, InlineAttribute, Program};
use cranelift_inliner_testing::execute::Invocation;
use cranelift_inliner_testing::generate::Generated;
use object::{Object, ObjectSection};
use std::fs;
use std::ops::Range;
use std::path::Path;

const TEXT: &str = "\
function %leaf(i64, i64) -> i64 tail {
    fn0 = %first(i64) -> i64 system_v
    fn1 = %note(i64) system_v
block0(v0: i64, v1: i64):
    v2 = call fn0(v0)
    trapz v1, user2
    v3 = imul v2, v1
    call fn1(v3)
    return v3
}
function %ends() tail {
    fn0 = %bare() system_v
block0:
    call fn0()
    return
}
function %ends_too(i64) tail {
    fn0 = %bare() system_v
block0(v0: i64):
    trapz v0, user3
    call fn0()
    return
}
function %last(i64) -> i64 tail {
    fn0 = %note(i64) system_v
block0(v0: i64):
    v1 = imul v0, v0
    call fn0(v1)
    return v1
}
function %middle(i64, i64) -> i64 system_v {
    fn0 = %leaf(i64, i64) -> i64 tail
    fn1 = %second(i64) -> i64 system_v
block0(v0: i64, v1: i64):
    v2 = iadd v0, v1
    v3 = imul v0, v1
    v4 = bxor v2, v3
    v5 = call fn0(v2, v0)
    v6 = call fn0(v3, v1)
    v7 = iadd v5, v4
    v8 = iadd v7, v3
    v9 = call fn1(v8)
    v10 = isub v9, v2
    v11 = iadd v10, v6
    v12 = imul v11, v7
    v13 = bxor v12, v8
    v14 = iadd v13, v0
    v15 = iadd v14, v1
    v16 = bxor v15, v4
    v17 = iadd v16, v5
    return v17
}
function %main(i64, i64) -> i64 system_v {
    fn0 = %middle(i64, i64) -> i64 system_v
    fn1 = %last(i64) -> i64 tail
    fn2 = %bare() system_v
    fn3 = %ends() tail
    fn4 = %ends_too(i64) tail
block0(v0: i64, v1: i64):
    v2 = bxor v0, v1
    v3 = iadd v0, v1
    v4 = call fn0(v0, v1)
    v5 = call fn1(v4)
    v6 = iadd v5, v2
    v7 = call fn0(v6, v3)
    v8 = iadd v7, v2
    v9 = iadd v8, v0
    call fn3()
    call fn2()
    call fn4(v9)
    call fn2()
    return v9
}
";

/// A change of the bytes of one number.
type Change = fn(&mut [u8]);

/// A fault: its description, the places that it changes, and the change.
type Fault = (&'static str, fn(&Image<'_>) -> Vec<Range<usize>>, Change);

const FAULTS: [Fault; 20] = [
    (
        "the line of a call is off by one",
        |image| image.of(INLINED, gimli::DW_AT_call_line),
        flip,
    ),
    (
        "the line of a call is far off",
        |image| image.of(INLINED, gimli::DW_AT_call_line),
        |bytes| bytes[0] ^= 0x20,
    ),
    (
        "a body is another function's",
        |image| image.of(INLINED, gimli::DW_AT_abstract_origin),
        |bytes| bytes.copy_from_slice(&[0; 4]),
    ),
    (
        "a body starts after its first bytes",
        |image| image.of(INLINED, gimli::DW_AT_low_pc),
        |bytes| add(bytes, 40),
    ),
    (
        "a body ends a byte early",
        |image| image.of(INLINED, gimli::DW_AT_high_pc),
        |bytes| add_varint(bytes, -1),
    ),
    (
        "a body ends too late",
        |image| image.of(INLINED, gimli::DW_AT_high_pc),
        |bytes| add_varint(bytes, 40),
    ),
    (
        "a body has another's ranges",
        |image| image.of(INLINED, gimli::DW_AT_ranges),
        |bytes| add(bytes, 16),
    ),
    (
        "ranges end a byte early",
        |image| image.ranges(1),
        |bytes| add(bytes, -1),
    ),
    (
        "ranges start late",
        |image| image.ranges(0),
        |bytes| add(bytes, 8),
    ),
    (
        "a function starts early",
        |image| image.of(gimli::DW_TAG_subprogram, gimli::DW_AT_low_pc),
        |bytes| add(bytes, -64),
    ),
    (
        "functions have another name",
        |image| image.of(gimli::DW_TAG_subprogram, gimli::DW_AT_name),
        |bytes| add(bytes, 1),
    ),
    (
        "variables have another name",
        |image| image.of(gimli::DW_TAG_variable, gimli::DW_AT_name),
        |bytes| add(bytes, 3),
    ),
    (
        "values are smaller",
        |image| image.of(gimli::DW_TAG_base_type, gimli::DW_AT_byte_size),
        |bytes| bytes[0] = 1,
    ),
    (
        "a variable is in another register",
        |image| image.registers(),
        |bytes| bytes[0] ^= 1,
    ),
    (
        "a variable is at another place of the frame",
        |image| image.frame_offsets(),
        |bytes| bytes[0] ^= 8,
    ),
    (
        "a variable keeps its place too long",
        |image| image.places(1),
        |bytes| add(bytes, 60),
    ),
    (
        "lines are off by one",
        |image| image.line_base(),
        |bytes| bytes[0] = bytes[0].wrapping_add(1),
    ),
    (
        "lines start too late",
        |image| image.line_starts(),
        |bytes| add(bytes, 7),
    ),
    (
        "a saved register is at another place",
        |image| image.saved_registers(),
        |bytes| bytes[1] ^= 1,
    ),
    (
        "the frame is at another place",
        |image| image.frame_sizes(),
        |bytes| bytes[1] ^= 8,
    ),
];

const INLINED: gimli::DwTag = gimli::DW_TAG_inlined_subroutine;

fn flip(bytes: &mut [u8]) {
    bytes[0] ^= 1;
}

fn add(bytes: &mut [u8], number: i64) {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let sum = i64::from_le_bytes(word).wrapping_add(number);
    let length = bytes.len();
    bytes.copy_from_slice(&sum.to_le_bytes()[..length]);
}

/// Adds to a number in groups of seven bits, without another length.
fn add_varint(bytes: &mut [u8], number: i64) {
    let low = i64::from(bytes[0] & 0x7f) + number;
    bytes[0] = bytes[0] & 0x80 | low.clamp(1, 0x7f) as u8;
}

/// The bytes of a linked program, and the debug information of the build under test.
struct Image<'a> {
    file: object::File<'a>,
    bytes: &'a [u8],
    /// The code of the build.
    code: Range<u64>,
}

type Reader<'a> = gimli::EndianSlice<'a, gimli::LittleEndian>;

impl<'a> Image<'a> {
    fn section(&self, name: &str) -> (usize, &'a [u8]) {
        let section = self.file.section_by_name(name).unwrap();
        let (offset, size) = section.file_range().unwrap();
        let (offset, size) = (offset as usize, size as usize);
        (offset, &self.bytes[offset..offset + size])
    }

    fn dwarf(&self) -> gimli::Dwarf<Reader<'a>> {
        let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
            let data = self.file.section_by_name(id.name());
            let data = data.map_or(&[][..], |_| self.section(id.name()).1);
            Ok(gimli::EndianSlice::new(data, gimli::LittleEndian))
        };
        gimli::Dwarf::load(load).unwrap()
    }

    /// Calls `f` with the unit of the build.
    fn with_unit<T>(
        &self,
        f: impl FnOnce(&gimli::Dwarf<Reader<'a>>, &gimli::Unit<Reader<'a>>) -> T,
    ) -> T {
        let dwarf = self.dwarf();
        let mut units = dwarf.units();
        while let Some(header) = units.next().unwrap() {
            let unit = dwarf.unit(header).unwrap();
            let mut ranges = dwarf.unit_ranges(&unit).unwrap();
            if let Some(range) = ranges.next().unwrap()
                && self.code.contains(&range.begin)
            {
                return f(&dwarf, &unit);
            }
        }
        panic!("no unit at {:#x?}", self.code);
    }

    /// Returns the bytes of the attribute `name` in entries with `tag`.
    fn of(&self, tag: gimli::DwTag, name: gimli::DwAt) -> Vec<Range<usize>> {
        let (base, _) = self.section(".debug_info");
        self.with_unit(|_, unit| {
            let mut found = Vec::new();
            let mut raw = unit.entries_raw(None).unwrap();
            while !raw.is_empty() {
                let Some(abbreviation) = raw.read_abbreviation().unwrap() else {
                    continue;
                };
                for specification in abbreviation.attributes() {
                    let place = |offset: gimli::UnitOffset| {
                        base + offset.to_debug_info_offset(&unit.header).unwrap().0
                    };
                    let start = place(raw.next_offset());
                    raw.read_attribute(*specification).unwrap();
                    let end = place(raw.next_offset());
                    if abbreviation.tag() == tag && specification.name() == name {
                        found.push(start..end);
                    }
                }
            }
            found
        })
    }

    /// Returns the words of pairs in a section that are addresses of the build: the first or the
    /// second of each pair.
    fn pairs(&self, section: &str, which: usize) -> Vec<Range<usize>> {
        let (base, data) = self.section(section);
        let word = |at: usize| {
            data.get(at..at + 8)
                .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        };
        let mut found = Vec::new();
        let mut at = 0;
        while let (Some(start), Some(end)) = (word(at), word(at + 8)) {
            let is_pair = self.code.contains(&start) && start < end && end <= self.code.end;
            if is_pair {
                found.push(base + at + 8 * which..base + at + 8 * which + 8);
            }
            at += if is_pair { 16 } else { 1 };
        }
        found
    }

    fn ranges(&self, which: usize) -> Vec<Range<usize>> {
        self.pairs(".debug_ranges", which)
    }

    fn places(&self, which: usize) -> Vec<Range<usize>> {
        self.pairs(".debug_loc", which)
    }

    /// Returns the operations of places, each after the two addresses and the length.
    fn operations(&self) -> Vec<Range<usize>> {
        let places = self.places(1).into_iter();
        let operations = places.map(|end| {
            let at = end.end;
            let length = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
            at + 2..at + 2 + usize::from(length)
        });
        operations.collect()
    }

    fn registers(&self) -> Vec<Range<usize>> {
        let mut operations = self.operations();
        operations.retain(|range| (0x50..0x70).contains(&self.bytes[range.start]));
        operations
    }

    fn frame_offsets(&self) -> Vec<Range<usize>> {
        let mut operations = self.operations();
        operations.retain(|range| self.bytes[range.start] == gimli::DW_OP_call_frame_cfa.0);
        // After the operation of a signed number.
        operations
            .into_iter()
            .map(|range| range.start + 2..range.end)
            .collect()
    }

    /// Returns the place of the least step of lines in the header of the unit's line program.
    fn line_base(&self) -> Vec<Range<usize>> {
        let (base, _) = self.section(".debug_line");
        let start =
            self.with_unit(|_, unit| unit.line_program.as_ref().unwrap().header().offset().0);
        // The length, the version, the header's length, two of instructions, and a default.
        let at = base + start + 4 + 2 + 4 + 1 + 1 + 1;
        vec![at..at + 1]
    }

    /// Returns the addresses in the line program.
    fn line_starts(&self) -> Vec<Range<usize>> {
        let (base, data) = self.section(".debug_line");
        let places = data.windows(11).enumerate().filter(|(_, bytes)| {
            let address = u64::from_le_bytes(bytes[3..].try_into().unwrap());
            bytes[..3] == [0, 9, gimli::DW_LNE_set_address.0] && self.code.contains(&address)
        });
        places
            .map(|(at, _)| base + at + 3..base + at + 11)
            .collect()
    }

    /// Returns the unwinding instructions of the build that `keep` accepts, with an operand.
    fn unwinding(&self, keep: fn(u8) -> bool) -> Vec<Range<usize>> {
        let section = self.file.section_by_name(".eh_frame").unwrap();
        let (base, data) = self.section(".eh_frame");
        let frames = gimli::EhFrame::new(data, gimli::LittleEndian);
        let bases = gimli::BaseAddresses::default().set_eh_frame(section.address());
        let mut entries = gimli::UnwindSection::entries(&frames, &bases);
        let mut found = Vec::new();
        while let Some(entry) = entries.next().unwrap() {
            let gimli::CieOrFde::Fde(partial) = entry else {
                continue;
            };
            let fde = partial
                .parse(|_, bases, offset| {
                    gimli::UnwindSection::cie_from_offset(&frames, bases, offset)
                })
                .unwrap();
            if !self.code.contains(&fde.initial_address()) {
                continue;
            }
            let start = fde.offset() + 16;
            let end = fde.offset() + 4 + fde.entry_len();
            let mut at = start;
            while at < end {
                let operation = data[at];
                // Advances of one byte, of an operand, and instructions with one or two operands.
                let length = match operation {
                    0x40..=0x7f | 0x00 => 1,
                    0x0c => 3,
                    0x03 => 3,
                    0x04 => 5,
                    _ => 2,
                };
                if keep(operation) {
                    found.push(base + at..base + at + length);
                }
                at += length;
            }
        }
        found
    }

    fn saved_registers(&self) -> Vec<Range<usize>> {
        // All but rbp and the return address.
        self.unwinding(|operation| matches!(operation, 0x83 | 0x8c..=0x8f))
    }

    fn frame_sizes(&self) -> Vec<Range<usize>> {
        self.unwinding(|operation| operation == gimli::DW_CFA_def_cfa_offset.0)
    }
}

fn subject() -> Subject {
    let mut program = Program::from_clif(TEXT, "faults.clif").unwrap();
    program.export_only(&["%main".parse().unwrap()]).unwrap();
    // The registers that it saves are those of its caller.
    let never = Attributes::default().with_inline(InlineAttribute::Never);
    let middle: FunctionName = "%middle".parse().unwrap();
    program.set_attributes(&middle, never).unwrap();
    let invocation = |one, two| Invocation {
        function: "%main".parse().unwrap(),
        arguments: vec![DataValue::I64(one), DataValue::I64(two)],
    };
    let generated = Generated {
        program,
        invocations: vec![invocation(3, 4), invocation(5, 0), invocation(-7, 9)],
    };
    Subject::new(&generated, Lines::Unique).unwrap()
}

/// Returns the stops of the build without inlining and of the other.
fn stops(host: &Host, folder: &Path) -> Option<(Vec<Vec<Stop>>, Vec<Vec<Stop>>)> {
    let mut stops = host.stops_in_gdb(folder)?;
    let other = stops.split_off(stops.len() / 2);
    Some((stops, other))
}

#[test]
fn every_fault_is_found() {
    if !has("cc") || !has("gdb") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let subject = subject();
    let inlined = Build {
        policy: "always",
        optimize: Optimize::None,
        level: OptLevel::Speed,
    };
    let mut host = Host::default();
    for (number, build) in [REFERENCE, inlined].into_iter().enumerate() {
        let prefix = format!("entry_{number}_");
        fs::write(
            folder.join(format!("{number}.o")),
            build.object(&subject, 0, "x64", &prefix),
        )
        .unwrap();
        for (run, invocation) in subject.invocations.iter().enumerate() {
            let values: Vec<[u8; 16]> = invocation
                .arguments
                .iter()
                .map(|argument| {
                    let mut bytes = [0; 16];
                    argument.write_to_slice_le(&mut bytes);
                    bytes
                })
                .collect();
            host.add(&format!("{prefix}{run}"), &values, 2);
        }
    }
    host.link("cc", &[], folder);
    let Some((expected, right)) = stops(&host, folder) else {
        return;
    };
    let differs = |actual: &[Vec<Stop>]| {
        let mut pairs = expected.iter().zip(actual);
        pairs.any(|(one, other)| difference(&subject, one, other).is_some())
    };
    assert!(!differs(&right));
    let program = fs::read(folder.join("host")).unwrap();
    let image = image(&program);
    let mut missed = Vec::new();
    for (what, places, change) in FAULTS {
        let places = places(&image);
        let mut bytes = program.clone();
        for place in &places {
            change(&mut bytes[place.clone()]);
        }
        if bytes == program {
            missed.push(format!("{what}: no place"));
            continue;
        }
        fs::write(folder.join("host"), &bytes).unwrap();
        let found = match host.try_stops_in_gdb(folder) {
            Ok(mut stops) => differs(&stops.split_off(expected.len())),
            // gdb complains, or its output makes no sense.
            Err(_) => true,
        };
        if !found {
            missed.push(format!("{what}: {} places", places.len()));
        }
    }
    assert_eq!(missed, [""; 0]);
}

/// Returns the image whose build is that of the second half of the entries.
fn image(program: &[u8]) -> Image<'_> {
    let file = object::File::parse(program).unwrap();
    let address = |name: &str| {
        use object::ObjectSymbol;
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| symbol.name() == Ok(name)).unwrap();
        symbol.address()
    };
    // The functions of a build come before its entries in the text, and so do those of the first.
    let code = address("entry_0_2")..address("entry_1_0");
    let text = file.section_by_name(".text").unwrap();
    let end = code.end.min(text.address() + text.size());
    Image {
        bytes: program,
        code: code.start..end,
        file,
    }
}
