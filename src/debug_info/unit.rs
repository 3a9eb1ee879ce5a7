//! Lines and entries of the compilation unit.

use super::scopes::{Scope, Scopes};
use super::sections::{Placed, SectionWriter, endian};
use super::{DebugInfo, DebugInfoError, SourcePosition, VariableType};
use crate::locations::Place;
use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::isa::TargetIsa;
use gimli::write::{
    Address, AttributeValue, DwarfUnit, Expression, FileId, LineProgram, LineString, Range,
    RangeList, Sections, UnitEntryId,
};
use gimli::{Encoding, Format, LineEncoding, Register};
use rustc_hash::FxHashMap;

/// All current debuggers read this version without exceptions.
const VERSION: u16 = 4;

pub(super) fn write(
    info: &DebugInfo<'_>,
    functions: &[Placed<'_>],
) -> Result<Sections<SectionWriter>, DebugInfoError> {
    panics::catch(|| {
        let mut writer = UnitWriter::new(info);
        let scopes: Vec<_> = functions
            .iter()
            .map(|placed| Scopes::new(info.isa, &placed.function))
            .collect();
        for scopes in &scopes {
            for inlined in scopes.scopes.iter().skip(1) {
                writer.declare_inlined(inlined.function);
            }
        }
        let mut entries = Vec::with_capacity(functions.len());
        for (placed, scopes) in functions.iter().zip(scopes) {
            writer.add_lines(placed);
            entries.push(writer.add_function(placed, scopes));
        }
        writer.add_calls(functions, &entries);
        writer.cover(functions);
        let mut sections = Sections::new(SectionWriter::new(endian(info.isa)));
        writer.dwarf.write(&mut sections).map(|()| sections)
    })
    .map_err(|reason| DebugInfoError::Writing { reason })?
    .map_err(DebugInfoError::from)
}

pub(super) struct UnitWriter<'a> {
    pub(super) info: &'a DebugInfo<'a>,
    pub(super) dwarf: DwarfUnit,
    files: FxHashMap<String, FileId>,
    pub(super) main_file: FileId,
    /// The entries that inlined bodies are instances of.
    inlined: FxHashMap<FunctionName, UnitEntryId>,
    pub(super) types: FxHashMap<VariableType, UnitEntryId>,
}

impl<'a> UnitWriter<'a> {
    fn new(info: &'a DebugInfo<'a>) -> Self {
        let encoding = Encoding {
            format: Format::Dwarf32,
            version: VERSION,
            address_size: info.isa.pointer_bytes(),
        };
        let mut dwarf = DwarfUnit::new(encoding);
        let (unit, directory) = (text(info.source.unit()), text(info.source.directory()));
        dwarf.unit.line_program = LineProgram::new(
            encoding,
            LineEncoding::default(),
            LineString::String(directory.clone()),
            None,
            LineString::String(unit.clone()),
            None,
        );
        let main_directory = dwarf.unit.line_program.default_directory();
        let main_file = dwarf.unit.line_program.add_file(
            LineString::String(unit.clone()),
            main_directory,
            None,
        );
        let producer = concat!("cranelift-inliner ", env!("CARGO_PKG_VERSION"));
        let strings = [
            (gimli::DW_AT_producer, producer.as_bytes().to_vec()),
            (gimli::DW_AT_name, unit),
            (gimli::DW_AT_comp_dir, directory),
        ];
        let root = dwarf.unit.root();
        for (name, value) in strings {
            let value = AttributeValue::StringRef(dwarf.strings.add(value));
            dwarf.unit.get_mut(root).set(name, value);
        }
        let language = AttributeValue::Language(gimli::DwLang(info.source.language()));
        let entry = dwarf.unit.get_mut(root);
        entry.set(gimli::DW_AT_language, language);
        // The base of ranges.
        let zero = AttributeValue::Address(Address::Constant(0));
        entry.set(gimli::DW_AT_low_pc, zero);
        UnitWriter {
            info,
            dwarf,
            files: FxHashMap::from_iter([(info.source.unit().to_owned(), main_file)]),
            main_file,
            inlined: FxHashMap::default(),
            types: FxHashMap::default(),
        }
    }

    pub(super) fn set(&mut self, entry: UnitEntryId, name: gimli::DwAt, value: AttributeValue) {
        self.dwarf.unit.get_mut(entry).set(name, value);
    }

    pub(super) fn set_string(&mut self, entry: UnitEntryId, name: gimli::DwAt, value: &str) {
        let value = AttributeValue::StringRef(self.dwarf.strings.add(text(value)));
        self.set(entry, name, value);
    }

    pub(super) fn file(&mut self, path: &str) -> FileId {
        if let Some(&file) = self.files.get(path) {
            return file;
        }
        let lines = &mut self.dwarf.unit.line_program;
        let directory = lines.default_directory();
        let file = lines.add_file(LineString::String(text(path)), directory, None);
        self.files.insert(path.to_owned(), file);
        file
    }

    pub(super) fn position(&self, place: &Place<'_>) -> Option<SourcePosition<'a>> {
        if place.location.is_default() {
            return None;
        }
        self.info.source.position(place.function, place.location)
    }

    /// Makes the entry that bodies of `function` are instances of.
    fn declare_inlined(&mut self, function: &FunctionName) {
        if self.inlined.contains_key(function) {
            return;
        }
        let root = self.dwarf.unit.root();
        let entry = self.dwarf.unit.add(root, gimli::DW_TAG_subprogram);
        self.describe(entry, function);
        let inlined = AttributeValue::Inline(gimli::DW_INL_inlined);
        self.set(entry, gimli::DW_AT_inline, inlined);
        self.inlined.insert(function.clone(), entry);
    }

    fn describe(&mut self, entry: UnitEntryId, function: &FunctionName) {
        let source = self.info.source;
        self.set_string(entry, gimli::DW_AT_name, &source.name(function));
        if let Some(position) = source.declaration(function) {
            let file = self.file(position.file);
            let file = AttributeValue::FileIndex(Some(file));
            self.set(entry, gimli::DW_AT_decl_file, file);
            let line = AttributeValue::Udata(position.line);
            self.set(entry, gimli::DW_AT_decl_line, line);
        }
    }

    fn add_function<'f>(&mut self, placed: &Placed<'f>, mut scopes: Scopes<'f>) -> UnitEntryId {
        let root = self.dwarf.unit.root();
        let subprogram = self.dwarf.unit.add(root, gimli::DW_TAG_subprogram);
        let name = placed.function.locations.function();
        match self.inlined.get(name) {
            Some(&origin) => {
                let origin = AttributeValue::UnitRef(origin);
                self.set(subprogram, gimli::DW_AT_abstract_origin, origin);
            }
            None => self.describe(subprogram, name),
        }
        let start = AttributeValue::Address(placed.address(0));
        self.set(subprogram, gimli::DW_AT_low_pc, start);
        let size = AttributeValue::Udata(placed.size());
        self.set(subprogram, gimli::DW_AT_high_pc, size);
        let frame_pointer = frame_pointer(self.info.isa);
        if let Some(register) = frame_pointer {
            let mut base = Expression::new();
            base.op_reg(register);
            self.set(
                subprogram,
                gimli::DW_AT_frame_base,
                AttributeValue::Exprloc(base),
            );
        }
        let mut entries = vec![subprogram];
        for scope in scopes.scopes.iter().skip(1) {
            let parent = entries[scope.parent];
            entries.push(self.add_inlined(placed, scope, parent));
        }
        self.add_labels(placed, &scopes, &entries);
        if frame_pointer.is_some() {
            self.add_variables(placed, &mut scopes, &entries);
        }
        subprogram
    }

    fn add_inlined(
        &mut self,
        placed: &Placed<'_>,
        scope: &Scope<'_>,
        parent: UnitEntryId,
    ) -> UnitEntryId {
        let entry = self
            .dwarf
            .unit
            .add(parent, gimli::DW_TAG_inlined_subroutine);
        if let Some(&origin) = self.inlined.get(scope.function) {
            let origin = AttributeValue::UnitRef(origin);
            self.set(entry, gimli::DW_AT_abstract_origin, origin);
        }
        if let [range] = &scope.ranges[..] {
            let start = AttributeValue::Address(placed.address(range.start));
            self.set(entry, gimli::DW_AT_low_pc, start);
            let size = AttributeValue::Udata(u64::from(range.end - range.start));
            self.set(entry, gimli::DW_AT_high_pc, size);
        } else {
            let ranges = scope.ranges.iter().map(|range| Range::StartLength {
                begin: placed.address(range.start),
                length: u64::from(range.end - range.start),
            });
            let ranges = self.dwarf.unit.ranges.add(RangeList(ranges.collect()));
            let ranges = AttributeValue::RangeListRef(ranges);
            self.set(entry, gimli::DW_AT_ranges, ranges);
        }
        // gdb shows no frame for a body without these two.
        let call = scope.call.as_ref().and_then(|call| self.position(call));
        let file = call.map_or(self.main_file, |call| self.file(call.file));
        let file = AttributeValue::FileIndex(Some(file));
        self.set(entry, gimli::DW_AT_call_file, file);
        let line = AttributeValue::Udata(call.map_or(0, |call| call.line));
        self.set(entry, gimli::DW_AT_call_line, line);
        if let Some(call) = call.filter(|call| call.column != 0) {
            let column = AttributeValue::Udata(call.column);
            self.set(entry, gimli::DW_AT_call_column, column);
        }
        entry
    }

    /// Says which code the unit describes.
    fn cover(&mut self, functions: &[Placed<'_>]) {
        let ranges = functions
            .iter()
            .filter(|placed| placed.size() > 0)
            .map(|placed| Range::StartLength {
                begin: placed.address(0),
                length: placed.size(),
            });
        let ranges = self.dwarf.unit.ranges.add(RangeList(ranges.collect()));
        let root = self.dwarf.unit.root();
        self.set(
            root,
            gimli::DW_AT_ranges,
            AttributeValue::RangeListRef(ranges),
        );
    }
}

/// Returns the number that DWARF gives the frame pointer.
fn frame_pointer(isa: &dyn TargetIsa) -> Option<Register> {
    use target_lexicon::Architecture;
    match isa.triple().architecture {
        Architecture::X86_64 => Some(Register(6)),
        Architecture::Aarch64(_) => Some(Register(29)),
        Architecture::Riscv64(_) => Some(Register(8)),
        _ => None,
    }
}

/// Converts a string for the sections: at least one byte, without NUL.
fn text(string: &str) -> Vec<u8> {
    let bytes: Vec<u8> = string.bytes().filter(|byte| *byte != 0).collect();
    match bytes.is_empty() {
        true => b"?".to_vec(),
        false => bytes,
    }
}
