//! The places of debug information in a linked program.

use object::{Object, ObjectSection, ObjectSymbol};
use std::ops::Range;

/// The bytes of a linked program, and the debug information of the build under test.
pub(crate) struct Image<'a> {
    file: object::File<'a>,
    bytes: &'a [u8],
    /// The code of the build.
    code: Range<u64>,
}

type Reader<'a> = gimli::EndianSlice<'a, gimli::LittleEndian>;

impl<'a> Image<'a> {
    /// Reads `program`, whose build has its code from the entry `before`, the last one of the build
    /// before it, to its own first entry.
    pub(crate) fn of_entries(program: &'a [u8], before: &str, first: &str) -> Self {
        let file = object::File::parse(program).unwrap();
        let address = |name: &str| {
            let mut symbols = file.symbols();
            let symbol = symbols.find(|symbol| symbol.name() == Ok(name)).unwrap();
            symbol.address()
        };
        let code = address(before)..address(first);
        Image {
            bytes: program,
            code,
            file,
        }
    }

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
    pub(crate) fn of(&self, tag: gimli::DwTag, name: gimli::DwAt) -> Vec<Range<usize>> {
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

    pub(crate) fn ranges(&self, which: usize) -> Vec<Range<usize>> {
        self.pairs(".debug_ranges", which)
    }

    pub(crate) fn places(&self, which: usize) -> Vec<Range<usize>> {
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

    pub(crate) fn registers(&self) -> Vec<Range<usize>> {
        let mut operations = self.operations();
        operations.retain(|range| (0x50..0x70).contains(&self.bytes[range.start]));
        operations
    }

    pub(crate) fn frame_offsets(&self) -> Vec<Range<usize>> {
        let mut operations = self.operations();
        operations.retain(|range| self.bytes[range.start] == gimli::DW_OP_call_frame_cfa.0);
        // After the operation of a signed number.
        operations
            .into_iter()
            .map(|range| range.start + 2..range.end)
            .collect()
    }

    /// Returns the place of the least step of lines in the header of the unit's line program.
    pub(crate) fn line_base(&self) -> Vec<Range<usize>> {
        let (base, _) = self.section(".debug_line");
        let start =
            self.with_unit(|_, unit| unit.line_program.as_ref().unwrap().header().offset().0);
        // The length, the version, the header's length, two of instructions, and a default.
        let at = base + start + 4 + 2 + 4 + 1 + 1 + 1;
        Vec::from([Range {
            start: at,
            end: at + 1,
        }])
    }

    /// Returns the addresses in the line program.
    pub(crate) fn line_starts(&self) -> Vec<Range<usize>> {
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

    pub(crate) fn saved_registers(&self) -> Vec<Range<usize>> {
        // All but rbp and the return address.
        self.unwinding(|operation| matches!(operation, 0x83 | 0x8c..=0x8f))
    }

    pub(crate) fn frame_sizes(&self) -> Vec<Range<usize>> {
        self.unwinding(|operation| operation == gimli::DW_CFA_def_cfa_offset.0)
    }
}
